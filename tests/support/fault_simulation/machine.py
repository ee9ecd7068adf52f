"""A simulated machine: the service's own stages on a simulated disk, one step at a time.

The stages are those of `service.pipeline.recover_stages`. Their threads are not started: each step
is one `turn` of a stage, and what a thread would wait for is another step. Clock, disk, network and
the death of the process are the machine's.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, NamedTuple, cast
from unittest.mock import patch

import pyarrow as pa
from django.db import Error, connection, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from msgspec import structs

from support import shared_policy
from support.banning_policy import load_banning_policy
from support.fault_simulation.disk import SimulatedDisk, SimulatedVfs
from support.service_harness import SECRET, SIGNER, context
from wavebreak import rules
from wavebreak.engine import Engine, snapshot
from wavebreak.engine.decision import Decision
from wavebreak.engine.policy_change import carried_state
from wavebreak.engine.versions import Terms
from wavebreak.errors import EventError, ServiceError
from wavebreak.io import log_rows
from wavebreak.ledger import new_signer
from wavebreak.ledger.key_changes import RETIRED, KeyChange
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.schema.events import LOG_SCHEMA
from wavebreak_server.pipeline.admission import Admission
from wavebreak_server.pipeline.decoder_pool import decode_and_pack
from wavebreak_server.pipeline.enforcement_cache import EnforcementCache
from wavebreak_server.pipeline.engine_switch import Replacement
from wavebreak_server.pipeline.idempotency import find_response
from wavebreak_server.pipeline.live_policy import live_directory, live_policy, store_files
from wavebreak_server.pipeline.pending_requests import (
    Accepted,
    BusyError,
    IdempotencyKey,
    PendingRequest,
)
from wavebreak_server.pipeline.pipeline import Host, Listener, Runtime, Stages, recover_stages
from wavebreak_server.pipeline.recovery import list_snapshots
from wavebreak_server.pipeline.request_decoder import Body, DecodedBatch, RequestDecoder
from wavebreak_server.settings import Limits, Settings
from wavebreak_server.slices.backup import service as backups
from wavebreak_server.slices.erasure import service as erasure
from wavebreak_server.slices.log import trim as log_trim
from wavebreak_server.slices.versions import policy_switch
from wavebreak_server.slices.webhooks import service as webhooks
from wavebreak_server.storage import database, event_log
from wavebreak_server.storage.ledger_store import LedgerStore, rotate_service_key
from wavebreak_server.storage.models import Webhook
from wavebreak_server.storage.ownership import LOCK_FILE, Owner
from wavebreak_server.storage.sqlite_backend import base as sqlite_backend

NOON_MS = 1_772_366_400_000
FILE = "/wavebreak.sqlite3"
WEBHOOK = "webhook-1"
LATENESS_S = 60
_WRITTEN = (
    "SELECT (SELECT COUNT(*) FROM log_batch), (SELECT COUNT(*) FROM decision), "
    "(SELECT COUNT(*) FROM ledger_entry), (SELECT position FROM log_applied)"
)
"""What a writer of the log leaves."""


@cache
def vfs() -> SimulatedVfs:
    """The simulated file system of this process."""
    return SimulatedVfs()


class Reply:
    """What a request is answered, if its process lives so long."""

    def __init__(self) -> None:
        self.value: Any = None
        self.resolved = False

    def done(self) -> bool:
        """Whether there is an answer."""
        return self.resolved

    def set_result(self, value: Any) -> None:
        """Answer."""
        self.value, self.resolved = value, True

    def set_exception(self, error: BaseException) -> None:
        """Answer with an error."""
        self.set_result(error)


class Here:
    """An event loop that calls at once."""

    def is_closed(self) -> bool:
        """It is not."""
        return False

    def call_soon_threadsafe(self, function: Callable[..., None], *arguments: Any) -> None:
        """Call now."""
        function(*arguments)


class DeferredWork:
    """The work of a snapshot, which a later step does."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._work: Callable[[], None] | None = work

    def is_alive(self) -> bool:
        """Whether it is still to be done."""
        return self._work is not None

    def join(self) -> None:
        """Do it."""
        work, self._work = self._work, None
        if work is not None:
            work()


RULES = (
    "first_contact_allowance",
    "impossible_acts",
    "instant_ban",
    "confirmed_abusive",
)
"""Rules that the load meets. All thirty would make an engine take longer than a run."""


class Switch(NamedTuple):
    """A position of the log from which another version of the policy decides."""

    position: int
    version: str


@cache
def policy(version: str = "") -> rules.Policy:
    """The policy of simulated services, or the version that `Machine.switch` brings live.

    In that one a rule is gone, the others stand at other places, and one bans earlier.
    """
    shipped = load_banning_policy()
    chosen = tuple(rule for rule in shipped.rules if rule.id in RULES)
    if version:
        sooner = structs.replace(chosen[-1], when=("age_s <= 300", "sends_15s >= 50"))
        chosen = (sooner, *chosen[-2:0:-1])
    allowances = rules.Allowances(personal=rules.Allowance(newcomers=15, others=60))
    return replace(shipped, rules=chosen, allowances=allowances)


def make_engine(version: str = "") -> Engine:
    """Return an engine without state."""
    return shared_policy.make_engine(policy(version))


def decided(log: pa.RecordBatch, switches: Sequence[Switch]) -> tuple[Engine, list[Decision]]:
    """Return what one engine after another makes of a log, each from its switch on."""
    engine, begin = make_engine(), 0
    decisions = list[Decision]()
    for position, version in switches:
        decisions += engine.take(log.slice(begin, position - begin))
        former, engine, begin = engine, make_engine(version), position
        snapshot.load(engine, carried_state(former, engine))
    return engine, decisions + engine.take(log.slice(begin))


def counted(engine: Engine) -> dict[str, tuple[int, ...]]:
    """Return what an engine has counted of each account's acts: an event more or less shows."""
    slots = range(engine.core.accounts)
    names = engine.fanout.accounts.texts(list(slots)).to_pylist()
    rows = (engine.core.row_of(slot) for slot in slots)
    counts = {
        name: tuple(int(row[field]) for field in ("sends", "enforcement", "until"))
        for name, row in zip(names, rows, strict=True)
    }
    # Whom others have only written to may have a row, or none yet.
    return {name: count for name, count in counts.items() if any(count)}


class SimulatedTime:
    """A monotonic clock that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        """Return the seconds slept so far."""
        return self.seconds

    def sleep(self, seconds: float) -> None:
        """Let time pass at once."""
        self.seconds += seconds


def use_disk(disk: SimulatedDisk) -> None:
    """Bind Django's database to a simulated disk."""
    database.connect("", Path("/"))
    vfs().disk = disk
    held = database.database_settings("", Path("/"))
    options = dict(held["OPTIONS"])
    # There is one connection, and a file system without shared memory.
    options["init_command"] = f"PRAGMA locking_mode=EXCLUSIVE; {options['init_command']}"
    held |= {"NAME": f"file:{FILE}?vfs={SimulatedVfs.NAME}", "OPTIONS": options}
    connections.settings = connections.configure_settings({"default": held})


@cache
def empty_image() -> dict[str, bytes]:
    """Return the files of a new service."""
    disk = SimulatedDisk(Random(0))
    use_disk(disk)
    database.migrate()
    connection.close()
    return disk.image()


@cache
def fresh_image() -> dict[str, bytes]:
    """Return the files of a new service that has one webhook."""
    disk = SimulatedDisk(Random(0), empty_image())
    use_disk(disk)
    Webhook.objects.create(
        id=WEBHOOK, url="https://receiver.example/", min_outcome="limit", created_ms=0, cursor=0
    )
    connection.close()
    return disk.image()


@cache
def _context() -> Any:
    """What the delivery of webhooks reads: a policy, which no run changes."""
    return context()


class Process(NamedTuple):
    """A service's process: its stages, and what it owns."""

    stages: Stages
    owner: Owner


class Machine:
    """A machine that runs one service after another.

    A process whose lease is lost goes on beside the one that took over, as `former`: it takes turns
    with what it has, on the same database, and must write nothing.

    Attributes:
        disk: Its disk.
        clock_ms: Its clock.
        stages: The service's stages; None while no process runs.
        former: A process that was overtaken and does not know it yet, if there is one.
        signers: The keys that have signed the ledger, the current one last.
        changes: What leads from one of them to the next.
        switches: From where on which version of the policy decides, in order.
        starts: How many processes were started.
        said: What the processes reported.
        received: Messages that the webhook's receiver has taken, by id: how often.
    """

    def __init__(self, random: Random, *, fenced: bool = False) -> None:
        self.random, self.fenced = random, fenced
        self.disk = SimulatedDisk(Random(random.random()), fresh_image())
        use_disk(self.disk)
        self.home = Path(tempfile.mkdtemp(prefix="wavebreak-simulated-"))
        self.clock_ms = NOON_MS
        self.stages: Stages | None = None
        self.former: Process | None = None
        self.signers = [SIGNER]
        self.changes = list[KeyChange]()
        self.backup: Path | None = None
        self._backup_signers = [SIGNER]
        self._owner: Owner | None = None
        self.ledger_store = LedgerStore(SIGNER, self.now_ms)
        self.settings = Settings(self.home, snapshot_events=25, snapshot_s=1e9)
        self.decoder = RequestDecoder(Pseudonymizer(SECRET), Limits())
        self.context = _context()
        self.starts, self.said = 0, list[str]()
        self.received: Counter[str] = Counter()
        self._work: list[DeferredWork] = []
        self._keys: dict[bytes, Reply] = {}
        self._written: set[Path] = set()
        self._before_trims: pa.RecordBatch | None = None
        self._rests_on_snapshots = False
        self.switches = list[Switch]()
        # What waits for SQLite does not make a run wait.
        self._time = patch.object(database, "time", SimulatedTime())
        self._time.start()
        self._rewrite = patch.object(sqlite_backend, "rewrite", self._rewritten)
        self._rewrite.start()
        connection_created.connect(self._on_connection)

    def _on_connection(self, connection: BaseDatabaseWrapper, **_: Any) -> None:
        if self._fence not in connection.execute_wrappers:
            connection.execute_wrappers.append(self._fence)

    def _fence(
        self, execute: Callable[..., Any], sql: Any, params: Any, many: Any, context: Any
    ) -> Any:
        """Check the epoch of the process that acts before a statement that writes."""
        if self._owner is not None and str(sql).lstrip()[:6] in ("INSERT", "UPDATE", "DELETE"):
            self._owner.check(context["connection"])
        return execute(sql, params, many, context)

    def _rewritten(self, path: Path) -> None:
        self.disk.rewrite(path)

    def now_ms(self) -> int:
        """Return the clock."""
        return self.clock_ms

    # The process

    def start(self) -> bool:
        """Start a service; False where the disk's faults or death prevent it."""
        self.starts += 1
        self.ledger_store = LedgerStore(self.signers[-1], self.now_ms)
        self._work, self._keys = [], {}
        try:
            owner = self._owned() if self.fenced else None
            if not database.secure_wal():
                raise Error("the write-ahead log cannot be written")
            listed = erasure.read_list(self.home / erasure.LIST_FILE)
            erasure.apply_again(self.home, listed, self.clock_ms)
            erasure.seal_pending(self.ledger_store, self.clock_ms)
            self.stages = self._recovered(owner, partial(make_engine, self._live_version()))
        except (Error, ServiceError) as error:
            if isinstance(error, ServiceError) and not self.disk.dead:
                raise
            self.said.append(f"the start failed: {error}")
            self._owner = None
            connection.close()
            return False
        # As `Pipeline.start` does: what was decided before the start is stored first.
        self.write()
        return True

    def _recovered(self, owner: Owner | None, make: Callable[[], Engine]) -> Stages:
        lost = (lambda: owner.lost) if owner else str
        return recover_stages(
            Host(
                self.settings,
                make,
                self.ledger_store,
                LATENESS_S,
                EnforcementCache(self.now_ms),
                Runtime(self.now_ms, lambda: 0.0, self._start_work, lost),
                Listener(self._on_stored, self.said.append, lambda _at, _end: None),
            )
        )

    def _live_version(self) -> str:
        """Return which version decides, as a start reads it; note from where on it does."""
        live, directory = live_policy(self.home), live_directory(self.home)
        version = directory.name if directory else ""
        count = len(live.earlier or ()) if live else 0
        # A switch that was undone, or that a restored backup does not have, never was.
        del self.switches[max(0, count - 1) :]
        if live and count:
            self.switches.append(Switch(live.position, version))
        return version

    def _owned(self) -> Owner:
        """Raise the epoch, as a server that starts does; return what the process then owns."""
        self._owner = None
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("UPDATE owner SET epoch = epoch + 1 WHERE id = 1")
            cursor.execute("SELECT epoch FROM owner WHERE id = 1")
            (epoch,) = cursor.fetchone()
        self._owner = Owner(self.home / LOCK_FILE, -1, None, epoch)
        return self._owner

    def overtake(self) -> bool:
        """Let another process take over the log, while the former one goes on; whether it did."""
        if self.stages is None or self._owner is None or self.former is not None:
            return False
        self.former = Process(self.stages, self._owner)
        self.stages = None
        return self.start()

    def former_turns(self) -> None:
        """Let an overtaken process write and decide what it has; it ends once it knows."""
        if self.former is None or self.disk.dead:
            return
        before = self._written_rows()
        current, self._owner = self._owner, self.former.owner
        try:
            self.former.stages.log_writer.turn(wait=False)
            self.former.stages.engine_thread.turn(wait=False)
            self.former.stages.log_writer.turn(wait=False)
        finally:
            self._owner = current
        if not self.disk.dead:
            assert self._written_rows() == before, "an overtaken owner wrote"
        if self.former.owner.lost:
            self.former = None

    def _written_rows(self) -> list[tuple[Any, ...]]:
        """Return how much a writer of the log has left; faults and deaths wait meanwhile."""
        disk = self.disk
        odds = disk.fault_rate, disk.die_at
        disk.fault_rate, disk.die_at = 0.0, None
        try:
            return self.tables(_WRITTEN)
        finally:
            disk.fault_rate, disk.die_at = odds

    def _on_stored(self, number: int) -> None:
        if self.stages is not None:
            self.stages.engine_thread.sealed = number

    def _start_work(self, work: Callable[[], None]) -> DeferredWork:
        deferred = DeferredWork(work)
        self._work.append(deferred)
        return deferred

    def kill(self, *, power: bool) -> None:
        """End the process; without power, what was not synced is lost, sector by sector."""
        self.stages = self.former = self._owner = None
        database.truncation_due.clear()
        sqlite_backend.wal_in_doubt.clear()
        self.disk.dead = True
        with suppress(Error):
            connection.close()
        if power:
            self.disk.crash()
            self._tear_snapshots()
        else:
            self.disk.stop_process()
        use_disk(self.disk)

    def _tear_snapshots(self) -> None:
        """Remove or tear what was written into the home since the power was last lost.

        That is harder than a disk which keeps what was synced: the log makes up for it, as long as
        it is whole. A trimmed log rests on what was synced.
        """
        fresh = {path for _, _, path in list_snapshots(self.home)} - self._written
        if self._rests_on_snapshots:
            fresh = set()
        for path in sorted(fresh):
            fate = self.random.random()
            if fate < 0.2:
                path.unlink()
            elif fate < 0.4:
                content = path.read_bytes()
                path.write_bytes(content[: self.random.randrange(len(content) + 1)])
        self._written = {path for _, _, path in list_snapshots(self.home)}

    def close(self) -> None:
        """End the machine."""
        connection_created.disconnect(self._on_connection)
        self._time.stop()
        self._rewrite.stop()
        database.truncation_due.clear()
        with suppress(Error):
            connection.close()
        database.connect("", self.home)
        shutil.rmtree(self.home)
        self.home.with_name(f"{self.home.name}.backup").unlink(missing_ok=True)

    # Steps

    def request(
        self,
        body: Body,
        key: str = "",
        ask: Callable[[Engine], Any] | None = None,
    ) -> Reply:
        """Take a request, decode its body and queue it; as `Service.accept` and the pool do."""
        reply, stages = Reply(), self.stages
        if stages is None or stages.log_writer.failing or stages.engine_thread.broken:
            reply.set_result(BusyError("the service is not ready", retry_after_s=1))
            return reply
        repeat = IdempotencyKey.of("sender", key, body) if key else None
        if repeat is not None:
            held = self._keys.get(repeat.key)
            if held is not None and not held.done():
                reply.set_result(
                    BusyError("a request with this key is in progress", retry_after_s=1)
                )
                return reply
            self._keys[repeat.key] = reply
        body = replace(body, admission=Admission(True, self.clock_ms + 60_000, False))
        waiting = PendingRequest(body, reply, Here(), repeat, ask, "sender")  # type: ignore[arg-type]
        try:
            earlier: Any = find_response(repeat) if repeat else None
        except Error:
            connection.close()
            earlier = BusyError("the log cannot be read", retry_after_s=1)
        if earlier is not None:
            reply.set_result(earlier)
            return reply
        packed: Any = decode_and_pack(self.decoder, [body])
        stream, blob, reads = packed
        if isinstance(reads[0], EventError) or not reads[0].taken:
            reply.set_result(reads[0] if isinstance(reads[0], EventError) else Accepted(0))
            return reply
        decoded = DecodedBatch(log_rows.decode_stream(stream), reads, blob)
        stages.log_writer.put(([waiting], decoded))
        return reply

    def write(self) -> None:
        """Let the log writer take a turn."""
        if self.stages is not None:
            self.stages.log_writer.turn(wait=False)

    def decide(self) -> None:
        """Let the engine take a turn."""
        if self.stages is not None:
            self.stages.engine_thread.turn(wait=False)

    def checkpoint(self) -> None:
        """Let SQLite move its write-ahead log into the database file."""
        if self.stages is not None:
            with suppress(Error), connection.cursor() as cursor:
                cursor.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def write_snapshots(self) -> None:
        """Do the work of snapshots whose decisions are stored."""
        if self.stages is None or self.stages.log_writer.applied < self.stages.snapshots.position:
            return
        for work in self._work:
            work.join()
        self._work = [work for work in self._work if work.is_alive()]

    def take_snapshot(self) -> None:
        """Copy the engine's state now, and write it once its decisions are stored."""
        if self.stages is None or self.stages.engine_thread.broken:
            return
        self.write_snapshots()
        if not any(work.is_alive() for work in self._work):
            thread = self.stages.engine_thread
            self.stages.snapshots.take(thread.engine, thread.decisions)
            self.write()
            self.write_snapshots()

    def trim(self) -> bool:
        """Remove the rows of the log that a snapshot holds; whether it was done."""
        if self.stages is None:
            return False
        try:
            self._before_trims = self.log()
            planned = log_trim.plan(self.home, self.clock_ms + 1)
            self._rests_on_snapshots |= planned.first < planned.end
            log_trim.trim(
                planned, self.ledger_store, now_ms=self.clock_ms, reason="simulated", by="sender"
            )
        except (Error, ServiceError):
            connection.close()
            return False
        return not self.disk.dead and planned.first < planned.end

    def state(self) -> dict[str, tuple[int, ...]]:
        """Return what the running engine has counted, by account."""
        assert self.stages is not None
        return counted(self.stages.engine_thread.engine)

    def deliver(self, loss: float) -> None:
        """Deliver what is due to the webhook; requests and answers are lost at a rate."""
        if self.stages is None:
            return
        policy = webhooks.RetryPolicy(attempts=1_000_000, longest_s=4.0)
        try:
            webhooks.enqueue_deliveries(self.clock_ms)
            webhooks.bring_forward(self.clock_ms, policy)
            due = webhooks.load_due_deliveries(self.clock_ms, self.context, Counter(), set())
            for each in due:
                result = webhooks.AttemptResult(None, "ConnectError")
                if self.random.random() >= loss:
                    self.received[each.message] += 1
                    if self.random.random() >= loss:
                        result = webhooks.AttemptResult(200)
                webhooks.record_attempt(
                    each, result, self.clock_ms, policy, self.random.random(), self.ledger_store
                )
        except Error:
            connection.close()

    def erase(self, account: str) -> bool:
        """Erase an account's pseudonyms, as the API does; whether it was acknowledged."""
        if self.stages is None:
            return False
        try:
            number = erasure.begin(self.home, account, self.clock_ms)
            erasure.erase(number, self.clock_ms)
            with transaction.atomic():
                erasure.seal(number, self.ledger_store, "sender")
            erasure.finish()
        except Error:
            connection.close()
            return False
        return not self.disk.dead

    def switch(self) -> bool:
        """Let the other version of the policy decide from the log's end on; whether it does.

        The process ends where neither that one nor the former can start.
        """
        if self.stages is None:
            return False
        for step in (self.write, self.decide) * 4 + (self.write, self.write_snapshots):
            step()
        live, version = live_policy(self.home), "" if self._live_version() else "sooner"
        digest = store_files(self.home, version, {"empty.toml": ""}).parent.name if version else ""

        def load(directory: Path | None) -> rules.Policy:
            return policy(directory.name if directory else "")

        switcher = policy_switch.PolicySwitch(
            self.home,
            None,
            lambda chosen, _model, _enforce: shared_policy.make_engine(chosen),
            lambda _policy, _directory: SimpleNamespace(),  # type: ignore[arg-type, return-value]
            base_model="none",
            base_enforce=True,
            deciding=policy_switch.Deciding(live.version if live else "", enforce=True),
        )
        try:
            # Nothing is waited for: the database is used by threads without an event loop.
            with patch.object(policy_switch, "load_policy", load), suppress(StopIteration):
                switcher(cast(Any, self), version, digest=digest).send(None)
        except (Error, ServiceError) as error:
            self.said.append(f"the switch failed: {error}")
            connection.close()
            return False
        self._rests_on_snapshots = True
        return True

    clock, lateness_s = now_ms, LATENESS_S

    def deciding(self) -> Terms:
        """Return what decides, as `Service.deciding` does."""
        assert self.stages is not None
        return self.stages.decider.deciding

    async def replace_engine(self, prepare: Callable[[], Replacement], _why: str) -> float:
        """Go on with other engines, as `Service.replace_engine` does."""
        wanted, former = prepare(), self.stages
        assert former is not None
        self.stages, self._work, self._keys = None, [], {}
        make = partial(make_engine, self._live_version())
        undo: Callable[[], Any] = list
        try:
            undo = wanted.carry(cast(Any, former))
            self.stages = self._recovered(self._owner, wanted.make_engine)
        except (Error, ServiceError):
            undo()
            self.stages = self._recovered(self._owner, make)
            raise
        finally:
            self._live_version()
            self.write()
        return 0.0

    def rotate(self) -> bool:
        """Have another key sign the ledger, between two processes; whether it does."""
        self.kill(power=False)
        after = new_signer(SIGNER.name, secret=len(self.signers).to_bytes(32, "big"))
        # Whether a commit that failed is in the database is for its operator to look at.
        odds, self.disk.fault_rate = self.disk.fault_rate, 0.0
        try:
            rotate_service_key(self.signers[-1], after, self.clock_ms)
        except Error:
            connection.close()
            return False
        finally:
            self.disk.fault_rate = odds
        if self.disk.dead:
            return False
        self.changes.append(KeyChange(self.signers[-1].key, after.key, RETIRED, self.clock_ms))
        self.signers.append(after)
        return True

    def save_backup(self) -> bool:
        """Write a backup of the running service beside its directory; whether it is whole."""
        if self.stages is None:
            return False
        file = self.home.with_name(f"{self.home.name}.backup")
        try:
            backups.save(self.home, file, SECRET)
        except (Error, ServiceError):
            connection.close()
            return False
        self.backup, self._backup_signers = file, [*self.signers]
        return True

    def restore(self) -> None:
        """Lose the machine; restore the newest backup into another one, with the erasures' list."""
        assert self.backup is not None
        self.kill(power=False)
        with suppress(Error):
            connection.close()
        lost, self.home = self.home, Path(tempfile.mkdtemp(prefix="wavebreak-simulated-"))
        self.settings = replace(self.settings, home=self.home)
        self.disk = SimulatedDisk(Random(self.random.random()), empty_image())
        use_disk(self.disk)
        backups.restore(
            self.backup, self.home, SECRET, self.clock_ms, erasures=lost / erasure.LIST_FILE
        )
        shutil.move(self.backup, self.home.with_name(f"{self.home.name}.backup"))
        self.backup = None
        shutil.rmtree(lost)
        self.signers = self._backup_signers
        del self.changes[len(self.signers) - 1 :]
        self._written = {path for _, _, path in list_snapshots(self.home)}
        stored = {f"dec_{one}" for (one,) in self.tables("SELECT id FROM decision")}
        self.received = Counter({n: c for n, c in self.received.items() if n in stored})

    def tables(self, statement: str) -> list[tuple[Any, ...]]:
        """Return rows of the database."""
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())

    def stored_log(self) -> pa.RecordBatch:
        """Return what the log holds; fails where a row is damaged or missing."""
        begin = event_log.log_start().position
        segments = list(event_log.read_log(begin))
        assert all(segment.events is not None for segment in segments), "a row is damaged"
        batches = [segment.events for segment in segments if segment.events is not None]
        whole = pa.Table.from_batches(batches, LOG_SCHEMA).combine_chunks()
        return (whole.to_batches() or [pa.RecordBatch.from_pylist([], LOG_SCHEMA)])[0]

    def log(self) -> pa.RecordBatch:
        """Return the whole log, with what was trimmed; fails where a row is damaged or missing."""
        begin, stored = event_log.log_start().position, self.stored_log()
        if not begin:
            return stored
        assert self._before_trims is not None, "the log begins late"
        both = pa.Table.from_batches([self._before_trims.slice(0, begin), stored])
        return both.combine_chunks().to_batches()[0]

    def snapshots(self) -> int:
        """Return how many snapshots there are."""
        return len(list_snapshots(self.home))
