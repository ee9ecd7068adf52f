"""The platform of a running service: a durable log, its state in memory, and one order for all.

What changes the platform is a *turn*. Turns are taken one after another on one thread; those that
wait go into one transaction: rows of the log, answers, entries of the ledger, messages to
webhooks. A request is answered after the commit. The state is a function of the log alone: where a
commit fails, the state is made anew from it, and so it is at a start, from the newest snapshot on.
The limits stand in the log too, so that other limits hold from their place on, and never for what
was decided before.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import hmac
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec
from django.db import DatabaseError, connection, transaction

from wavebreak.errors import EventError, ServiceError, SnapshotError, WavebreakError
from wavebreak.privacy.pseudonymizer import pseudonyms
from wavebreak_business.platform.events import read_events
from wavebreak_business.platform.platform import Platform, Result
from wavebreak_business.service import messages, models, retention, snapshots, standing_history
from wavebreak_business.service.standing_history import Author
from wavebreak_business.settings import Limits, Settings, load_settings
from wavebreak_server.errors import ApiError
from wavebreak_server.http.app_context import AppContext
from wavebreak_server.pipeline.executors import DaemonExecutor
from wavebreak_server.pipeline.pending_requests import BusyError
from wavebreak_server.pipeline.service import Background, Service
from wavebreak_server.storage import row_macs
from wavebreak_server.storage.authentic_rows import authentic, checked
from wavebreak_server.storage.models import Webhook

MAX_WAITING = 256
"""Turns that wait; further ones are refused until there is room."""
TOGETHER = 32
"""Turns of one transaction."""
SNAPSHOT_EVENTS = 200_000
"""Events after which a snapshot is written."""
PRUNED_EVERY_MS, PRUNED = 60_000, 10_000
"""How often ids that nobody may repeat are forgotten, and how many at once."""
_CHUNK = 500
PEOPLE = "business people"
"""Purpose of the key of people's pseudonyms."""
LOOKED_AFTER_S = 60
"""How often an erasure is looked for while nobody asks anything."""
_TAKE = "INSERT INTO business_taken_id (key, stands_for, answer, at_ms) VALUES (%s,%s,%s,%s)"
_CACHED = 1 << 16

NOBODY = Author()

T = TypeVar("T")


class Taken(NamedTuple):
    """An id that was taken: what it stood for, and the answer that it got."""

    stands_for: bytes
    answer: bytes


class Refused(ApiError):  # noqa: N818 - what happened to a change
    """What the registry refuses: it stands in the log as refused, and nothing was changed."""

    def __init__(self, error: EventError) -> None:
        super().__init__(409, error.what, fix=error.fix)


class Turn:
    """What a turn may read, and do once it has checked that it may.

    Attributes:
        now_ms: The service's clock.
        platform: The platform as the turns before left it.
    """

    def __init__(self, live: LivePlatform, platform: Platform, now_ms: int) -> None:
        self._live, self.platform, self.now_ms = live, platform, now_ms

    def take(self, events: Sequence[Any], author: Author = NOBODY) -> Result:
        """Put events into the log, and let the platform take them; who makes a change is named."""
        return self._live.put(self.platform, events, self.now_ms, author)

    def taken(self, keys: Iterable[bytes]) -> dict[bytes, Taken]:
        """Return which ids, by `id_key`, were taken before."""
        wanted, taken = list(keys), dict[bytes, Taken]()
        for at in range(0, len(wanted), _CHUNK):
            rows = models.TakenId.objects.filter(key__in=wanted[at : at + _CHUNK])
            for key, stands, answer in rows.values_list("key", "stands_for", "answer"):
                taken[bytes(key)] = Taken(bytes(stands), bytes(answer))
        return taken

    def forget_keys(self) -> None:
        """Have it read anew which keys act for which portfolios: this turn changes it."""
        self._live.keys_changed = True

    def note(self, taken: Iterable[tuple[bytes, bytes, bytes]]) -> None:
        """Keep ids with what they stand for, and their answers."""
        with connection.cursor() as cursor:
            cursor.executemany(_TAKE, [(*each, self.now_ms) for each in taken])


class LivePlatform:
    """The platform of a service.

    Args:
        service: The service, whose clock, ledger and directory it uses.
        policy: Directory with limits of the operator's own (None: the shipped ones).
        snapshot_events: Events after which a snapshot is written.
    """

    def __init__(
        self, service: Service, policy: Path | None = None, *,
        snapshot_events: int = SNAPSHOT_EVENTS,
    ) -> None:  # fmt: skip
        self._service, self._snapshot_events = service, snapshot_events
        self.settings: Settings = load_settings(policy)
        self._wanted_limits = msgspec.json.encode(
            _without_blanks(msgspec.to_builtins(self.settings.limits))
        )
        secret = row_macs.bound_key(PEOPLE)
        if secret is None:
            raise ServiceError(
                "the platform for businesses needs the deployment's key", fix="start it by `serve`"
            )
        self._secret = secret
        self.person = lru_cache(_CACHED)(pseudonyms(secret, "person"))
        """Returns the pseudonym of a person's id: nothing else of it is stored."""
        self._executor = DaemonExecutor("business", 1)
        self._waiting: deque[tuple[Callable[[Turn], Any], asyncio.Future[Any]]] = deque()
        self._platform: Platform | None = None
        self._row: tuple[int, bytes] = (0, b"")
        self._limits, self._snapshot_at, self._pruned_ms = b"", 0, 0
        self._bound: dict[str, set[str]] | None = None
        self._told: list[messages.Message] = []
        self._receivers: list[Webhook] = []
        self._erasures = 0
        self.keys_changed = False
        self.replayed = 0
        """Events that the last start took from the log."""

    def id_key(self, *names: str) -> bytes:
        """Return the key of an id within its portfolio, as it is stored."""
        text = "\0".join(names).encode()
        return hmac.digest(self._secret, b"id\0" + text, hashlib.sha256)[:16]

    def digest(self, *values: str | bool | None) -> bytes:
        """Return a digest of what an id stands for, as it is stored."""
        text = msgspec.json.encode(values)
        return hmac.digest(self._secret, b"digest\0" + text, hashlib.sha256)[:8]

    # Requests.

    async def turn(self, work: Callable[[Turn], T]) -> T:
        """Take a turn; return what it returns, once all that it did is durable.

        A turn that raises has done nothing: it checks before it does.

        Raises:
            BusyError: Too many turns wait.
        """
        if self._service.lost():
            raise BusyError("another server has taken over", retry_after_s=1)
        if len(self._waiting) >= MAX_WAITING:
            raise BusyError("too many requests on businesses wait", retry_after_s=1)
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((work, future))
        self._executor.submit(self._work_off)
        result: T = await future
        return result

    async def read(self, work: Callable[[Platform], T]) -> T:
        """Return what can be read of the platform between two transactions."""

        def reading() -> T:
            try:
                return work(self._opened())
            finally:
                connection.close()

        return await self._executor.run(reading)

    async def portfolios_of(self, owner: str) -> frozenset[str]:
        """Return the portfolios that a key, by the first of its line, acts for."""
        bound = self._bound
        if bound is None:
            bound = await self._executor.run(self._load_bound)
        return frozenset(bound.get(owner, ()))

    def _load_bound(self) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        try:
            for row in authentic(models.KeyPortfolio.objects.all()):
                found.setdefault(row.owner, set()).add(row.portfolio)
        finally:
            connection.close()
        self._bound = found
        return found

    # The thread.

    def _work_off(self) -> None:
        """Take the turns that wait, in one transaction; none may wait any more."""
        some = [self._waiting.popleft() for _ in range(min(len(self._waiting), TOGETHER))]
        if not some:
            return
        results: list[tuple[bool, Any]] = []
        try:
            platform = self._opened()
            with transaction.atomic():
                platform = self._with_limits(platform)
                self._receivers = messages.receivers()
                results = [self._one(platform, work) for work, _ in some]
                messages.enqueue(self._told, self._receivers, self._service.clock())
        except BaseException as error:
            # The state may hold what was not committed.
            self._platform = None
            results = [(False, error)] * len(some)
            if not isinstance(error, Exception):
                raise
        finally:
            self._told.clear()
            if self.keys_changed:
                self._bound, self.keys_changed = None, False
            if not self._waiting:
                connection.close()
            for (_, future), result in zip(some, results, strict=False):
                future.get_loop().call_soon_threadsafe(_settle, future, result)
        self._look_after()

    def _one(self, platform: Platform, work: Callable[[Turn], Any]) -> tuple[bool, Any]:
        before = self._row
        try:
            return True, work(Turn(self, platform, self._service.clock()))
        except WavebreakError as error:
            if self._row != before and not isinstance(error, Refused):
                raise
            return False, error

    def put(
        self, platform: Platform, events: Sequence[Any], now_ms: int, author: Author = NOBODY
    ) -> Result:  # fmt: skip
        """Add events to the log and to the platform, in the open transaction."""
        body = b"\n".join(map(msgspec.json.encode, events))
        self._append(models.EVENTS, body, now_ms, platform.position + len(events))
        watch = messages.Watch(platform, events if self._receivers else ())
        result = platform.apply(events)
        self._told += watch.changes()
        for row in standing_history.rows_of(platform, events, result.changes, author):
            row.save(force_insert=True)
            if self._receivers:
                self._told.append(messages.standing_message(platform, row, now_ms))
        if result.drafts:
            with self._service.ledger_store.sealing() as sealing:
                sealing.add(result.drafts)
        return result

    def _append(self, kind: str, body: bytes, now_ms: int, position: int) -> None:
        number = self._row[0] + 1
        row = models.PlatformRow(
            number=number, at_ms=now_ms, position=position, kind=kind, body=body
        )
        row.save(force_insert=True)
        self._row = (row.number, bytes(row.mac or b""))

    def _with_limits(self, platform: Platform) -> Platform:
        """Let the limits of this start hold from here on, where others did."""
        if self._limits == self._wanted_limits:
            return platform
        now_ms = self._service.clock()
        self._append(models.LIMITS, self._wanted_limits, now_ms, platform.position)
        return self._under(self._wanted_limits, platform)

    def _under(self, limits: bytes, former: Platform | None) -> Platform:
        """Return a platform with limits, and the state of another."""
        made = self._made(limits)
        if former is not None:
            made.load(former.dump())
        self._limits, self._platform = limits, made
        return made

    def _made(self, limits: bytes) -> Platform:
        found = msgspec.json.decode(limits, type=Limits)
        lateness_s = self._service.lateness_s
        settings = dataclasses.replace(self.settings, limits=found)
        return Platform(settings, lateness_s=lateness_s)

    # Starts.

    def _opened(self) -> Platform:
        """Return the platform; read it from snapshot and log where it is not there."""
        erasures = models.LogErasure.objects.count()
        if erasures != self._erasures:
            # The state has whoever was erased, and so have the snapshots.
            self._platform, self._erasures = None, erasures
            snapshots.remove(self._service.settings.home, keep=erasures)
        if self._platform is None:
            self._recover()
        platform = self._platform
        if platform is None:
            platform = self._under(self._wanted_limits, None)
            self._limits = b""
        return platform

    def _recover(self) -> None:
        self._row, self._limits, self.replayed = (0, b""), b"", 0
        self._restore()
        rows = models.PlatformRow.objects.filter(number__gt=self._row[0]).order_by("number")
        for row in rows.iterator(chunk_size=_CHUNK):
            checked([row])
            if row.number != self._row[0] + 1:
                raise retention.missing(self._row[0] + 1)
            self._row = (row.number, bytes(row.mac or b""))
            if row.kind == models.LIMITS:
                self._under(bytes(row.body), self._platform)
            elif self._platform is not None:
                events = read_events(bytes(row.body).split(b"\n")).events
                self._platform.apply(events)
                self.replayed += len(events)
        if self.replayed:
            self._service.report(f"the platform for businesses: {self.replayed:,} events replayed")

    def _restore(self) -> None:
        """Load the newest snapshot that fits this log; else what stands for rows that are gone."""
        for snapshot in snapshots.load(self._service.settings.home):
            row = models.PlatformRow.objects.filter(number=snapshot.number).first()
            if row is None or bytes(row.mac or b"") != snapshot.row_mac or not row.is_authentic:
                continue
            if self._restored(snapshot):
                return
        before = retention.first_kept()
        stored = retention.load(before.number) if before is not None else None
        if before is not None and (stored is None or not self._restored(stored)):
            raise retention.missing(1)

    def _restored(self, snapshot: snapshots.Snapshot) -> bool:
        """Go on from a snapshot; False where it is of before an erasure, or of another version."""
        if snapshot.erasures != self._erasures:
            return False
        made = self._made(snapshot.limits)
        try:
            made.load(snapshot.arrays)
        except (SnapshotError, KeyError):
            return False
        self._platform, self._limits = made, snapshot.limits
        self._row, self._snapshot_at = (snapshot.number, snapshot.row_mac), made.position
        return True

    def _look_after(self) -> None:
        """Write a snapshot where it is due, and forget ids that nobody may repeat any more."""
        platform = self._platform
        if platform is not None and platform.position - self._snapshot_at >= self._snapshot_events:
            self._snapshot_at = platform.position
            snapshots.save(self._service.settings.home, self._snapshot(platform))
        now_ms = self._service.clock()
        if not self._waiting and now_ms - self._pruned_ms >= PRUNED_EVERY_MS:
            self._pruned_ms = now_ms
            kept_ms = int(self._service.settings.limits.idempotency_s * 1000)
            try:
                old = models.TakenId.objects.filter(at_ms__lt=now_ms - kept_ms)
                some = list(old.values_list("key", flat=True)[:PRUNED])
                models.TakenId.objects.filter(key__in=some).delete()
                if platform is not None:
                    self._keep_rows(platform, now_ms)
            except (WavebreakError, DatabaseError) as error:
                # The next turn tries again; what was decided is safe.
                self._service.report(f"the platform for businesses: {error}")
                some = []
            finally:
                connection.close()
            if len(some) == PRUNED:
                self._pruned_ms = 0

    def _snapshot(self, platform: Platform) -> snapshots.Snapshot:
        number, mac = self._row
        return snapshots.Snapshot(number, mac, self._limits, self._erasures, platform.dump())

    def _keep_rows(self, platform: Platform, now_ms: int) -> None:
        """Let rows go that are older than the policy keeps them, and store what stands for them."""
        keep = self.settings.limits.log.keep
        if not retention.is_due(keep, now_ms):
            return
        with transaction.atomic():
            if models.LogErasure.objects.count() != self._erasures:
                return
            gone = retention.keep(self._snapshot(platform), platform.position, keep, now_ms)
        if gone:
            self._service.report(f"the platform for businesses: {gone:,} rows of its log have gone")


def position_at(at_ms: int) -> int | None:
    """Return how many events the log had at a time of the service's clock; None: it is gone."""
    before = retention.first_kept()
    if before is not None and at_ms < before.at_ms:
        return None
    numbers = models.PlatformRow.objects.order_by("number")
    first, last = numbers.only("number").first(), numbers.only("number").last()
    if first is None or last is None:
        return before.position if before is not None else 0
    # Rows are in the order of the clock: the last one of the time is looked for by halves.
    low, high = first.number - 1, last.number
    while low < high:
        middle = (low + high + 1) // 2
        row = models.PlatformRow.objects.only("at_ms").get(number=middle)
        low, high = (middle, high) if row.at_ms <= at_ms else (low, middle - 1)
    row = models.PlatformRow.objects.filter(number=low).only("position").first()
    if row is not None:
        return int(row.position)
    return before.position if before is not None else 0


def _without_blanks(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_blanks(each) for name, each in value.items() if each != ""}
    return [_without_blanks(each) for each in value] if isinstance(value, list | tuple) else value


def _settle(future: asyncio.Future[Any], result: tuple[bool, Any]) -> None:
    if future.done():
        return
    done, value = result
    if done:
        future.set_result(value)
    else:
        future.set_exception(value)


class OwnLimits(NamedTuple):
    """Where a service has limits of its own: a policy's directory (None: the shipped ones)."""

    directory: Path | None


def live_platform(app: AppContext, service: Service) -> LivePlatform:
    """Return the platform of a service."""
    own = app.states.get(OwnLimits, OwnLimits(None))
    return app.state_of(LivePlatform, service, own.directory)


def opening(app: AppContext, policy: Path | None) -> Background:
    """Return the task that reads the platform at the start, before anybody asks.

    Whoever asks first finds the limits of the policy.
    """
    app.states[OwnLimits] = OwnLimits(policy)

    async def run(service: Service) -> None:
        live = live_platform(app, service)
        await live.turn(lambda turn: turn.platform.position)
        while True:
            await asyncio.sleep(LOOKED_AFTER_S)
            # A turn: an erasure is noticed, and rows and ids that are old enough go.
            with suppress(BusyError):
                await live.turn(lambda turn: turn.platform.position)

    return run
