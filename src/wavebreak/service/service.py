"""The service as a whole: its threads, what it promises to the event loop, start and end."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from django.db import Error, connection

from wavebreak.engine import Engine
from wavebreak.errors import ServiceError
from wavebreak.ledger import Draft
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.service.decide import Answer, Answering, event_of, log_of, standing_of
from wavebreak.service.decoder_pool import Intake, Reader
from wavebreak.service.engine_thread import BUSY, Decider, Question
from wavebreak.service.ledger_store import Seals, differing
from wavebreak.service.log_writer import Writer
from wavebreak.service.models import Applied
from wavebreak.service.pending_requests import (
    Accepted,
    BusyError,
    Decided,
    Repeat,
    RepeatedKeyError,
    Waiting,
)
from wavebreak.service.recovery import Snapshots, recover
from wavebreak.service.request_decoder import Body
from wavebreak.service.settings import Settings


@dataclass(frozen=True)
class Progress:
    """How far the service is: positions of the log, decisions, and what waits.

    `ready` is False while it recovers and while it cannot write; `why` says so in words.
    """

    ready: bool
    why: str
    logged: int
    decided: int
    applied: int
    decisions: int
    waiting_bodies: int
    waiting_bytes: int
    snapshot: int


BEHIND = 4
"""The part of the events at which bodies are refused from which on they wait: some half a second
of a busy engine's work."""

Background = Callable[["Service"], Awaitable[None]]


class Service:
    """One process that owns a log. `make` gives a fresh engine, `clock` milliseconds.

    `counts` counts bodies, events, refusals by cause and busy answers. `background` are coroutines
    that run beside it. `begun` is set once events are taken. `said` is told what a person should
    read, `progress` how many positions of how many of the log are read. `differ` is how many
    decisions of former versions would come out otherwise now.
    """

    def __init__(
        self, settings: Settings, make: Callable[[], Engine], edge: Pseudonymizer, *,
        answering: Answering, clock: Callable[[], int], seals: Seals, lateness_s: int = 60,
        background: Sequence[Background] = (),
        said: Callable[[str], None] = lambda _: None,
        progress: Callable[[int, int], None] = lambda _at, _end: None,
    ) -> None:  # fmt: skip
        self.settings, self.edge, self.clock = settings, edge, clock
        self.answering, self.seals, self.differ = answering, seals, 0
        self.counts: Counter[str] = Counter()
        self.failed: BaseException | None = None
        self.writer: Writer | None = None
        self.decider: Decider | None = None
        self.snapshots: Snapshots | None = None
        self._make, self._lateness_s = make, lateness_s
        self._background, self.said, self._progress = background, said, progress
        self._intake: Intake | None = None
        self._bodies, self._bytes = 0, 0
        self._keys: set[bytes] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self.begun, self._news = asyncio.Event(), asyncio.Event()

    def start(self, failed: Callable[[], None]) -> None:
        """Recover in a thread and begin to serve; `failed` is called where that cannot be."""
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._start, args=(failed,), name="wavebreak-start").start()

    def _start(self, failed: Callable[[], None]) -> None:
        limits = self.settings.limits
        readers = [Reader(self.edge, limits) for _ in range(self.settings.decoders)]
        try:
            self._recover(readers)
        except Error as error:
            told = str(error).splitlines()[0] if str(error) else type(error).__name__
            fix = "check the database, or restore a backup"
            self.failed = ServiceError(f"the log cannot be read: {told}", fix=fix)
            failed()
        except BaseException as error:
            self.failed = error
            failed()
        finally:
            if self._intake is None:
                for reader in readers:
                    reader.close()
            connection.close()

    def _recover(self, readers: list[Reader]) -> None:
        settings = self.settings
        missing: list[Decided] = []
        engine, found = recover(
            self._make, settings.home, self._lateness_s, accept_loss=settings.accept_loss,
            write=missing.append, progress=self._progress,
        )  # fmt: skip
        engine.core.touch()
        self.seals.versions(engine, found.made_by, found.earlier, found.differ)
        self.differ = differing()
        for line in found.said:
            self.said(line)
        applied = Applied.objects.get(id=1)
        writer = Writer(
            end=max(found.end, engine.fanout.position), applied=applied.position,
            decisions=applied.decisions, made_by=found.made_by,
            onward=lambda logged: decider.put(logged), news=self._newer, clock=self.clock,
            retry_after_s=settings.limits.retry_after_s,
            keep_s=settings.limits.idempotency_s, seals=self.seals,
        )  # fmt: skip
        self.snapshots = Snapshots(
            settings.home, seconds=settings.snapshot_s, events=settings.snapshot_events,
            keep=settings.snapshots, applied=lambda: writer.applied, position=applied.position,
            said=self.said,
        )  # fmt: skip
        decider = Decider(engine, found.decisions, writer.decided, self.snapshots.between)
        for made in missing:
            writer.decided(made)
        writer.start()
        # What was decided before the last end is written and sealed before anybody is answered.
        writer.flush()
        decider.start()
        self.writer, self.decider = writer, decider
        self._intake = Intake(
            readers, writer.put, retry_after_s=settings.limits.retry_after_s, behind=self._behind
        )
        assert self._loop is not None  # noqa: S101
        self._loop.call_soon_threadsafe(self._begin)

    def _behind(self) -> bool:
        """Whether bodies had better wait until the engine has caught up."""
        writer, decider = self.writer, self.decider
        if writer is None or decider is None or decider.broken:
            return False
        return writer.end - decider.position > self.settings.limits.behind_events // BEHIND

    def _begin(self) -> None:
        # What is there now stays; to walk it at each collection took a tenth of a second.
        gc.collect()
        gc.freeze()
        self._tasks = [asyncio.ensure_future(work(self)) for work in self._background]
        self.begun.set()

    async def stop(self) -> None:
        """Take no more, finish what was taken, write a snapshot."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.to_thread(self._stop)

    def _stop(self) -> None:
        intake, writer, decider, snapshots = (
            self._intake, self.writer, self.decider, self.snapshots,
        )  # fmt: skip
        if intake is None or writer is None or decider is None or snapshots is None:
            return
        self._intake = None
        intake.stop()
        # The writer gives the engine its last batch, the engine the writer its last decisions.
        writer.flush()
        decider.stop()
        writer.stop()
        if not decider.broken and writer.applied == decider.position:
            snapshots.take(decider.engine, decider.decisions)
        snapshots.wait()

    def progress(self) -> Progress:
        """Give how far the service is."""
        writer, decider = self.writer, self.decider
        if self._intake is None or writer is None or decider is None:
            why = str(self.failed) if self.failed else "the log is being read"
            return Progress(False, why, 0, 0, 0, 0, self._bodies, self._bytes, 0)
        why = writer.failing or decider.broken
        return Progress(
            not why, why, writer.end, decider.position, writer.applied, writer.decisions,
            self._bodies, self._bytes, self.snapshots.position if self.snapshots else 0,
        )  # fmt: skip

    def room_for(self, size: int) -> None:
        """Raise BusyError where a body of so many bytes cannot be held now."""
        limits, writer, decider = self.settings.limits, self.writer, self.decider
        why = ""
        if self._intake is None or writer is None or decider is None:
            why = "the log is being read"
        elif writer.failing:
            why = "the log cannot be written just now"
        elif decider.broken:
            why = "the engine has stopped"
        elif self._bodies >= limits.bodies or self._bytes + size > limits.queue_bytes:
            why = "too much waits for the log"
        elif writer.end - decider.position > limits.behind_events:
            why = "the engine is behind the log"
        if why:
            self.counts["busy"] += 1
            raise BusyError(why, retry_after_s=limits.retry_after_s)

    async def accept(
        self, body: Body, *, sender: str = "", key: str = "",
        ask: Callable[[Engine], Any] | None = None, drafts: tuple[Draft, ...] = (),
    ) -> Any:  # fmt: skip
        """Put a body's events into the log; returns once they are there for good: `Accepted`.

        `key` is an Idempotency-Key of `sender`. With `ask`, returns what it gives once the engine
        took the events. `drafts` are sealed with them. Raises BusyError, RepeatedKeyError, or
        EventError for a body unreadable.
        """
        size = len(body.content)
        self.room_for(size)
        assert self._intake is not None  # noqa: S101
        loop = asyncio.get_running_loop()
        repeat = Repeat.of(sender, key, body) if key else None
        if repeat and repeat.key in self._keys:
            what = "a request with this Idempotency-Key is under way"
            raise RepeatedKeyError(what, 409, fix="wait for its answer")
        self._bodies, self._bytes = self._bodies + 1, self._bytes + size
        if repeat:
            self._keys.add(repeat.key)
        try:
            waiting = Waiting(body, loop.create_future(), loop, repeat, ask, drafts)
            self._intake.put(waiting)
            answer = await waiting.future
        finally:
            self._bodies, self._bytes = self._bodies - 1, self._bytes - size
            if repeat:
                self._keys.discard(repeat.key)
        if isinstance(answer, Accepted):
            self._count(answer)
        return answer

    def _count(self, accepted: Accepted) -> None:
        self.counts["bodies"] += 1
        self.counts["events"] += accepted.count
        for refusal in accepted.refused:
            self.counts[f"refused.{refusal.cause}"] += 1

    async def ask(self, ask: Callable[[Engine], Any], *, brief: bool = False) -> Any:
        """Ask something of the engine between two stretches of the log.

        What is `brief` is answered on this thread where the engine rests.
        """
        if self.decider is None or self.decider.broken:
            why = "the engine is not there"
            raise BusyError(why, retry_after_s=self.settings.limits.retry_after_s)
        if brief and (answer := self.decider.at_once(ask)) is not BUSY:
            return answer
        loop = asyncio.get_running_loop()
        question = Question(ask, loop.create_future(), loop)
        self.decider.put(question)
        return await question.future

    async def decide(self, content: bytes, mode: str, *, sender: str = "") -> Answer:
        """Answer one event in JSON: by a trial (`ask`), or by its entering the log (`record`).

        Where the engine does not answer in time, the answer is as the policy's `on_failure` says;
        a record is then still made or refused as any event is. Raises EventError for an event that
        breaks the contract, BusyError where it is to be recorded and cannot be.
        """
        event = event_of(content)
        log, account = log_of(event, self.edge), event.account
        self.counts["decide"] += 1
        try:
            async with asyncio.timeout(self.settings.limits.answer_s):
                answer: Answer = await self.ask(
                    lambda engine: self.answering.tried(engine, event, log, mode), brief=True
                )
                await self.sealed(account)
        except (BusyError, TimeoutError):
            self.counts["on_failure"] += 1
            answer = self.answering.failing(event)
        if mode != "record":
            return answer
        body = Body(content, "json")
        now = await self.accept(body, sender=sender, ask=lambda e: standing_of(e, account))
        if isinstance(now, Accepted) or answer.mode == "on_failure":
            return answer
        try:
            async with asyncio.timeout(self.settings.limits.answer_s):
                await self.sealed(account)
        except TimeoutError:
            self.counts["on_failure"] += 1
            return self.answering.failing(event)
        return msgspec.structs.replace(answer, outcome=now[0], until=now[1])

    async def sealed(self, account: str) -> None:
        """Wait until the newest decision on an account is sealed, so that it may be told."""
        if self.decider is not None and (number := self.decider.unsealed.get(account, 0)):
            await self.news(number - 1)

    def _newer(self, number: int) -> None:
        if self.decider is not None:
            self.decider.sealed = number
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    async def news(self, number: int) -> int:
        """Wait until a decision beyond `number` is written; gives the newest one's number."""
        while self.writer is None or self.writer.decisions <= number:
            await self._news.wait()
        return self.writer.decisions
