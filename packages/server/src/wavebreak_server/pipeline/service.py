"""The service facade: one process that owns a log, its lifecycle, and what callers may ask of it.

The flow from HTTP to a webhook, with its threads (boxes) and queues (arrows):

    event loop            decoder threads           writer thread           engine thread
  +--------------+ put  +------------------+ put  +---------------+ put   +---------------+
  | IngestApp    |----->| DecoderPool      |----->| LogWriter     |------>| EngineThread  |
  |  -> accept() |      |  one process per |      |  one commit:  |       |  Engine.take  |
  |              |      |  thread decodes  |      |  events,      |<------|               |
  |              |      |  + pseudonymizes |      |  decisions,   |decided+---------------+
  |              |      +------------------+      |  ledger       |            ^     |
  |              |<-------------------------------|               |            |     v
  |              |  future: Accepted, durable     +---------------+            |  snapshot
  |              |                                        |                    |  thread
  |              |<---------------------------------------+ on_stored          |
  |              |  wait_for_decision()                                        |
  |  ask()       |-------------------------------------------------------------+ EngineQuery
  +--------------+
         | deliveries_due, wait_for_decision()
         v
  WebhookDispatcher (coroutine): outbox -> attempt in a pool thread -> receiver

The SQLite write-ahead log is checkpointed by one more thread (`log_writer.WalCheckpointer`).
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol, TypeVar, cast

import msgspec
import pyarrow as pa
import structlog
from django.db import Error, connection

from wavebreak.engine import Engine
from wavebreak.engine.owner_answers import trials
from wavebreak.engine.queries import Held, Query
from wavebreak.engine.switch_records import SwitchTerms
from wavebreak.engine.versions import Terms
from wavebreak.errors import ServiceError, WavebreakError
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.schema.coverage import Profile
from wavebreak.schema.events import Event
from wavebreak_server.errors import ApiError
from wavebreak_server.pipeline import idempotency, job_switches, pending_requests
from wavebreak_server.pipeline.admission import FORBIDDEN, Admission, event_fault
from wavebreak_server.pipeline.backpressure import Backpressure, should_pause_decoding
from wavebreak_server.pipeline.decide import (
    DecideResponder,
    DecideResponse,
    OwnerJudge,
    ParsedEvents,
    enforcement_state,
    known_refusal,
    parse_events,
    pseudonymize_event,
    strictest,
)
from wavebreak_server.pipeline.decoder_pool import DecoderProcess
from wavebreak_server.pipeline.enforcement_cache import EnforcementCache
from wavebreak_server.pipeline.engine_thread import ENGINE_BUSY, EngineQuery
from wavebreak_server.pipeline.engine_view import AsOf, NoAnswerError, StaleError
from wavebreak_server.pipeline.job_view import JobView
from wavebreak_server.pipeline.log_clock import ClockSkews, LogClock, allowed_ahead_ms
from wavebreak_server.pipeline.log_writer import LogWriter, refusal_of
from wavebreak_server.pipeline.new_names import NoRoomError
from wavebreak_server.pipeline.pipeline import Host, Listener, Pipeline, Runtime, start_pipeline
from wavebreak_server.pipeline.request_decoder import Body, concat_batches
from wavebreak_server.settings import Settings
from wavebreak_server.storage import database
from wavebreak_server.storage.ledger_store import LedgerStore, count_differing_decisions

logger = structlog.stdlib.get_logger("wavebreak.service")

DECIDE = "POST /v1/decide"
T = TypeVar("T")
SWITCH_POLL_S = 0.005
"""How often a query tries a former engine that is being copied, or that decides its last batch."""
Background = Callable[["Service"], Awaitable[None]]


class Switch(Protocol):
    """Lets another policy, model, mode or coverage decide: see `policy_switch.PolicySwitch`."""

    deciding: Any

    def __call__(self, service: Service, *options: Any, **named: Any) -> Awaitable[float]:
        """Switch; return how long requests were refused (s)."""

    def terms(self, engine: Engine, versions: str, /) -> SwitchTerms:
        """Return what a job needs to decide by what a start decides by."""


@dataclass(frozen=True)
class Replacement:
    """What a running service goes on with after a switch.

    Attributes:
        make_engine: Returns an engine without state.
        responder: Answers `decide`.
        carry: Moves the state of the stopped pipeline; returns what undoes it.
        done: Called once the new pipeline runs.
    """

    make_engine: Callable[[], Engine]
    responder: DecideResponder
    carry: Callable[[Pipeline], Callable[[], None]]
    done: Callable[[], None]


class Decider(NamedTuple):
    """Who decides: what returns an engine without state, what answers `decide`, lateness (s)."""

    make_engine: Callable[[], Engine]
    responder: DecideResponder
    lateness_s: int = 60


class Observer(NamedTuple):
    """Who is told of a service's life.

    Attributes:
        report: Called with messages for the operator.
        progress: Called during recovery with the position reached and the log's end.
        recovered: Called once the database was checked and the log replayed, before any answer.
        settled: Called after each start and each switch of engines: the objects made by then stay.
    """

    report: Callable[[str], None] = lambda _: None
    progress: Callable[[int, int], None] = lambda _at, _end: None
    recovered: Callable[[], None] = lambda: None
    settled: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Progress:
    """Positions of the log, decisions, and what waits.

    `ready` is False during recovery and while the log cannot be written; `why` gives the reason,
    and `detail` what operators may read of it: it may name the database's server.
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
    detail: str = ""


class Service:
    """One process that owns a log.

    Args:
        settings: Where the service stores its files, and its limits.
        pseudonymizer: Pseudonymizes the events.
        clock: Returns milliseconds.
        ledger_store: Seals decisions.
        background: Coroutines that run beside the service.
        observer: Who is told of the service's life.

    Attributes:
        switch: Switches to another policy, model or mode (None: only a new start does).
        lost: Returns why this process no longer owns the log; empty while it does.
        states: The enforcement states that are known while the engine does not answer.
        lateness_s: Allowed lateness of events.
        ahead_ms: How far events may be dated ahead of the clock.
        skews: How far the clocks of senders are from the service's.
        failing_tasks: Tasks beside the service that failed and restart, with the error's name.
        lacking: What the log lacks that rules read, where nobody has declared what it carries.
        waiting: The sources whose declaration waits for an administrator.
        switches: How often the engine was replaced since the start.
        measured: The profile of the begin of the log, once it is long enough and nobody else has
            said what the stream carries.
        counts: Bodies, events, rejections by cause, and refused requests.
        started: Set once events are accepted.
        differ: Earlier decisions that the current versions would not reproduce.
        failed: What kept the service from starting.
    """

    def __init__(
        self,
        settings: Settings,
        decider: Decider,
        pseudonymizer: Pseudonymizer,
        *,
        clock: Callable[[], int],
        ledger_store: LedgerStore,
        background: Sequence[Background] = (),
        observer: Observer = Observer(),  # noqa: B008 - immutable
    ) -> None:
        self.settings, self.pseudonymizer, self.clock = settings, pseudonymizer, clock
        self._make_engine, self.responder, self.lateness_s = decider
        self.ledger_store, self.differ = ledger_store, 0
        self.report, self._progress, self._recovered, self._settled = observer
        self.switch: Switch | None = None
        self.lost: Callable[[], str] = lambda: ""
        self.switches = 0
        self.states = EnforcementCache(clock)
        self.counts: Counter[str] = Counter()
        self.failed: BaseException | None = None
        self.started = asyncio.Event()
        self.ahead_ms = allowed_ahead_ms(self.lateness_s)
        self.skews = ClockSkews(self.lateness_s * 1000)
        self.lacking = ""
        self.failing_tasks: dict[str, str] = {}
        self.waiting: tuple[str, ...] = ()
        self.measured: Profile | None = None
        self._background = background
        self._backpressure = Backpressure(settings.limits)
        keep_ms = int(settings.limits.idempotency_s * 1000)
        self._answered = idempotency.AnsweredAttempts(lambda: self.clock(), keep_ms)
        self._pipeline: Pipeline | None = None
        self._stopped, self._switching = False, ""
        self._lifecycle = asyncio.Lock()
        self._failed: Callable[[], None] = lambda: None
        self._tasks: list[asyncio.Task[None]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stored = asyncio.Event()

    # Lifecycle

    def start(self, failed: Callable[[], None]) -> None:
        """Recover in a thread and start to serve; `failed` is called if that is not possible."""
        self._loop, self._failed = asyncio.get_running_loop(), failed
        threading.Thread(target=self._start, args=(failed,), name="wavebreak-start").start()

    def _start(self, failed: Callable[[], None]) -> None:
        try:
            pipeline = self._started(self._make_engine, self._new_decoders())
            self._recovered()
            self.ledger_store.seal_states()
            self.differ = count_differing_decisions()
            self._pipeline = pipeline
            assert self._loop is not None  # noqa: S101
            self._loop.call_soon_threadsafe(self._on_started)
        except Error as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            fix = "check the database, or restore a backup"
            self.failed = ServiceError(f"the log cannot be read: {reason}", fix=fix)
            failed()
        except BaseException as error:
            self.failed = error
            failed()
        finally:
            connection.close()

    def _new_decoder(self) -> DecoderProcess:
        return DecoderProcess(self.pseudonymizer, self.settings.limits)

    def _new_decoders(self) -> list[DecoderProcess]:
        return [self._new_decoder() for _ in range(self.settings.decoders)]

    def _started(
        self, make_engine: Callable[[], Engine], decoders: list[DecoderProcess]
    ) -> Pipeline:
        """Recover, and start the pipeline; closes the decoders if that fails."""
        try:
            return start_pipeline(
                Host(
                    self.settings,
                    make_engine,
                    self.ledger_store,
                    self.lateness_s,
                    self.states,
                    Runtime(self.clock, lost=lambda: self.lost()),
                    Listener(self._on_stored, self.report, self._progress),
                    self.switch.terms if self.switch else None,
                ),
                decoders,
                pause_decoding=self._should_pause_decoding,
                new_decoder=self._new_decoder,
            )
        except BaseException:
            for decoder in decoders:
                decoder.close()
            raise

    def _on_started(self) -> None:
        self._settled()
        self._tasks = [asyncio.ensure_future(run(self)) for run in self._background]
        for task in self._tasks:
            task.add_done_callback(self._on_background_ended)
        self.started.set()

    def _on_background_ended(self, task: asyncio.Task[None]) -> None:
        """Report a task beside the service that failed; nobody waits for it."""
        if not task.cancelled() and (error := task.exception()) is not None:
            where = pending_requests.error_location(error)
            self.report(f"a task beside the service has ended with an error: {where}")

    async def stop(self) -> None:
        """Accept no more, finish what was accepted, write a snapshot."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        async with self._lifecycle:
            if self._pipeline is not None and not self._stopped:
                self._stopped = True
                await asyncio.to_thread(self._stop_pipeline, self._pipeline)

    def _stop_pipeline(self, pipeline: Pipeline) -> None:
        pipeline.stop()
        # Nothing that was erased stays in the write-ahead log of a service that is not running.
        with suppress(Error):
            database.truncate_wal()
        connection.close()

    async def replace_engine(self, prepare: Callable[[], Replacement], why: str) -> float:
        """Stop the pipeline in order, and start it with other engines; see `policy_switch`.

        Meanwhile new bodies are refused, as during a start. What was accepted is finished, and the
        former engine answers `decide` until the other one does.

        Args:
            prepare: Returns what to go on with; called in a thread while the service goes on.
            why: The reason that refused requests are given.

        Returns:
            How many seconds bodies were refused.

        Raises:
            BusyError: The service is not running, is being switched, or follows a job that is too
                far behind.
            ServiceError: The other engines could not start; the former ones go on.
        """
        if self._lifecycle.locked() or not self.progress().ready:
            raise pending_requests.BusyError(
                self._switching or "the service is not ready",
                retry_after_s=self.settings.limits.retry_after_s,
            )
        # Who waits for a job that is away would refuse bodies for nothing.
        self.as_of()
        # The switch goes on if the request that asked for it is cancelled.
        return await asyncio.shield(asyncio.ensure_future(self._replace_engine(prepare, why)))

    async def _replace_engine(self, prepare: Callable[[], Replacement], why: str) -> float:
        async with self._lifecycle:
            wanted = await asyncio.to_thread(prepare)
            decoders = await asyncio.to_thread(self._new_decoders)
            began = time.monotonic()
            self._switching = why
            try:
                await asyncio.to_thread(self._replace, wanted, decoders)
            finally:
                self._switching = ""
                self.switches += 1
                self._settled()
                self._wake()
            return time.monotonic() - began

    def _replace(self, wanted: Replacement, decoders: list[DecoderProcess]) -> None:
        """Replace the pipeline, in a thread; no request is put into it meanwhile."""
        former = self._pipeline
        assert former is not None  # noqa: S101 - replace_engine has seen it
        undo: Callable[[], None] = _nothing
        try:
            former.stop(switching=True)
            try:
                undo = wanted.carry(former)
                started = self._started(wanted.make_engine, decoders)
            except BaseException as error:
                self.report(f"the switch failed, what decided before decides on: {error}")
                for decoder in decoders:
                    decoder.close()
                undo()
                self._pipeline = self._started(self._make_engine, self._new_decoders())
                raise
            if self.settings.flink_job:
                with suppress(Error):
                    # Before anybody asks the job; without events it would not go over yet.
                    job_switches.settle()
            self._make_engine = wanted.make_engine
            self._pipeline, self.responder = started, wanted.responder
            with suppress(Error, WavebreakError):
                # What is not sealed now is sealed at the next start.
                self.ledger_store.seal_states()
            wanted.done()
        except BaseException as error:
            if self._pipeline is former:
                # It has stopped, and neither it nor another one goes on.
                self._pipeline, self.failed = None, error
                self._failed()
            raise
        finally:
            connection.close()

    def progress(self) -> Progress:
        """Return how far the service is."""
        waiting, pipeline = self._backpressure, self._pipeline
        if pipeline is None or self._stopped:
            why = "the service could not start" if self.failed else "the log is being recovered"
            detail = str(self.failed or "")
            return Progress(False, why, 0, 0, 0, 0, waiting.bodies, waiting.bytes, 0, detail)
        writer, view = pipeline.log_writer, pipeline.view
        reasons = (
            (self.lost(), "another server has taken over the log"),
            (self._switching, self._switching),
            (writer.failing, refusal_of(writer.failing)),
            (self._stalled(writer), "the database does not answer"),
            (view.broken, "the engine has stopped"),
        )
        detail, why = next((each for each in reasons if each[0]), ("", ""))
        return Progress(
            ready=not why,
            why=why,
            logged=writer.end,
            decided=view.position,
            applied=writer.applied,
            decisions=writer.decisions,
            waiting_bodies=waiting.bodies,
            waiting_bytes=waiting.bytes,
            snapshot=pipeline.snapshots.position,
            detail=detail,
        )

    def rules_off(self) -> tuple[str, ...]:
        """Return the rules that cannot hold for any account, by what the stream is to carry."""
        pipeline = self._pipeline
        return pipeline.view.deciding.rules_off if pipeline is not None else ()

    def rules_off_by_source(self) -> Mapping[str, tuple[str, ...]]:
        """Return the rules that cannot hold for the accounts of each source, and do for others'."""
        pipeline = self._pipeline
        return pipeline.view.deciding.rules_off_by_source if pipeline is not None else {}

    def deciding(self) -> Terms:
        """Return what decides, beside the state of accounts.

        Raises:
            BusyError: The service is not running.
        """
        if self._pipeline is None:
            raise pending_requests.BusyError(
                self._switching or "the log is being recovered",
                retry_after_s=self.settings.limits.retry_after_s,
            )
        return self._pipeline.view.deciding

    def model_abstains(self) -> bool:
        """Whether the model says nothing now, on a platform that has just opened."""
        pipeline = self._pipeline
        return pipeline is not None and pipeline.view.abstains

    def log_clock(self) -> LogClock:
        """Return the log's time, and how many of its events were out of time."""
        pipeline = self._pipeline
        if pipeline is None:
            return LogClock(None, 0, 0)
        return pipeline.view.clock

    def as_of(self) -> AsOf | None:
        """Return how far the job has decided that answers are taken from; None: the engine is here.

        Raises:
            StaleError: The job has published nothing, or nothing that may be answered from.
            BusyError: The service is not running.
        """
        if not self.settings.flink_job:
            return None
        if self._pipeline is None:
            raise pending_requests.BusyError(
                "the log is being recovered", retry_after_s=self.settings.limits.retry_after_s
            )
        return self._pipeline.view.as_of

    def age_s(self) -> float:
        """Return how old answers are (s): 0 with an engine, NaN where none may be given."""
        try:
            as_of = self.as_of()
        except pending_requests.BusyError:
            return math.nan
        return as_of.age_s if as_of else 0.0

    def clock_fault(self) -> str:
        """Return what is wrong where the log's time is too far ahead of the clock; else empty."""
        return self.log_clock().fault(self.clock(), self.ahead_ms)

    def _stalled(self, writer: LogWriter) -> str:
        """Return how long the current transaction has lasted, if that is too long."""
        lasted_s = writer.stalled_s
        long = lasted_s > self.settings.limits.stall_s
        return f"a transaction has lasted {lasted_s:.0f} s" if long else ""

    def state_size(self) -> tuple[int, int]:
        """Return the bytes of the state of accounts, and its ceiling (0: none)."""
        ceiling = self.settings.ceiling
        held = self._pipeline.new_names.held if self._pipeline is not None else 0
        return held, ceiling.bytes if ceiling is not None else 0

    # Backpressure

    def check_capacity(self, size: int, sender: str = "") -> None:
        """Raise BusyError if a sender's body of this many bytes cannot be held now."""
        self._check_owned()
        pipeline = None if self._stopped else self._pipeline
        if why := self._switching or self._backpressure.reason_to_refuse(pipeline, size, sender):
            self.counts["busy"] += 1
            raise pending_requests.BusyError(why, retry_after_s=self.settings.limits.retry_after_s)

    def _check_owned(self) -> None:
        """Raise BusyError if another server has taken over the log."""
        if why := self.lost():
            self.counts["busy"] += 1
            raise pending_requests.BusyError(why, retry_after_s=self.settings.limits.retry_after_s)

    @contextmanager
    def receiving(self, sender: str) -> Iterator[Callable[[int], None]]:
        """Give what counts the bytes of a body as they arrive, until the block ends.

        It raises BusyError if they cannot be held.
        """
        with self._backpressure.receiving(sender) as count:

            def arrived(size: int) -> None:
                self.check_capacity(size, sender)
                count(size)

            yield arrived

    def _should_pause_decoding(self) -> bool:
        pipeline = self._pipeline
        return pipeline is not None and should_pause_decoding(pipeline, self.settings.limits)

    # Facade

    async def accept(
        self,
        body: Body,
        sender: pending_requests.Sender,
        *,
        key: str = "",
        ask: Callable[[Engine], Any] | None = None,
        audit: str = "",
        arriving: bool = False,
        repeat: pending_requests.Repeat | None = None,
    ) -> Any:
        """Add a body's events to the log; returns when they are durable.

        Args:
            body: The request body.
            sender: Who sends it.
            key: The Idempotency-Key (empty: none).
            ask: Asked of the engine once it has taken the events.
            audit: The reason of the labels' audit entry (empty: the caller writes one).
            arriving: Whether events without a time are taken at the service's clock.
            repeat: What makes the request idempotent in place of an Idempotency-Key.

        Returns:
            `Accepted`, or the result of `ask`.

        Raises:
            BusyError: The body cannot be held now.
            NoRoomError: None of its events was accepted, since their new names have no room.
            IdempotencyConflictError: The key is in progress, or was used with another body.
            EventError: The body cannot be read.
        """
        size = len(body.content)
        name = sender.name
        self.check_capacity(size, name)
        repeat = repeat or pending_requests.Repeat(
            pending_requests.IdempotencyKey.of(sender.owner or name, key, body) if key else None
        )
        admitted = replace(body, admission=self._admission(sender, arriving=arriving))
        with self._backpressure.hold(size, repeat.key, name):
            try:
                result = await self._log(admitted, repeat, ask, name, audit)
            except NoRoomError as error:
                self.counts[f"refused.{error.cause}"] += error.events
                raise
        if isinstance(result, pending_requests.Accepted):
            self._count(result)
            if arriving and name and result.newest_ms:
                self._note_skew(name, result.newest_ms)
        return result

    def _note_skew(self, sender: str, newest_ms: int) -> None:
        """Note how far a sender's clock is behind, and report it once if that makes events late."""
        if self.skews.note(sender, self.clock(), newest_ms):
            logger.warning(
                "a key's newest event is further behind than lateness allows", key=sender
            )

    def _admission(self, sender: pending_requests.Sender, *, arriving: bool) -> Admission:
        """Return what a sender may send now."""
        now_ms = self.clock()
        return Admission(
            sender.labels,
            now_ms + self.ahead_ms + 1,
            sender.identifiers or self.settings.allow_identifiers,
            now_ms if arriving else 0,
            sender.source,
            sender.lists,
            sender.others,
            sender.declares,
        )

    async def _log(
        self,
        body: Body,
        repeat: pending_requests.Repeat,
        ask: Callable[[Engine], Any] | None,
        sender: str,
        audit: str,
    ) -> Any:
        """Send a body through the pipeline and wait for its result."""
        assert self._pipeline is not None  # noqa: S101 - check_capacity has seen it
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        request = pending_requests.PendingRequest(
            body, future, loop, repeat.key, ask, sender, audit, repeat.response
        )
        self._pipeline.decoder_pool.put(request)
        return await request.future

    def _count(self, accepted: pending_requests.Accepted) -> None:
        self.counts["bodies"] += 1
        self.counts["events"] += accepted.count
        for refusal in accepted.refused:
            self.counts[f"refused.{refusal.cause}"] += 1
        for cause, count in accepted.unlisted:
            self.counts[f"refused.{cause}"] += count

    async def ask(self, ask: Callable[[Engine], Any], *, brief: bool = False) -> Any:
        """Run a query on the engine between two batches of the log.

        A `brief` query runs on this thread if the engine is idle; while the engine is replaced, it
        is the former one that answers. Raises BusyError if the engine is not running, and
        NoEngineError if a job on Flink decides: `query` asks it, too.
        """
        self._check_owned()
        while brief and self._switching and (former := self._pipeline) is not None:
            if former.view.broken:
                break
            if (answer := former.view.try_ask_now(ask)) is not ENGINE_BUSY:
                return answer
            await asyncio.sleep(SWITCH_POLL_S)
        pipeline = self._pipeline
        if pipeline is None or pipeline.view.broken or self._switching:
            why = self._switching or "the engine is not running"
            raise pending_requests.BusyError(why, retry_after_s=self.settings.limits.retry_after_s)
        if brief and (answer := pipeline.view.try_ask_now(ask)) is not ENGINE_BUSY:
            return answer
        loop = asyncio.get_running_loop()
        query = EngineQuery(ask, loop.create_future(), loop)
        pipeline.view.ask_later(query)
        return await query.future

    async def query(
        self,
        query: Query[T],
        accounts: Sequence[str] = (),
        *,
        events: pa.RecordBatch | None = None,
        timeout_s: float = 0.0,
        **arguments: Any,
    ) -> T:
        """Ask about the state of accounts: the engine, or the groups of a job.

        Args:
            query: The question.
            accounts: Whom it is about.
            events: Events to be judged, of one account.
            timeout_s: How long a job may take to answer (0: as long as a person waits).
            arguments: Its other arguments.

        Raises:
            BusyError: What decides does not run, or does not answer in time.
        """
        view = self._pipeline.view if self._pipeline is not None else None
        if isinstance(view, JobView) and not self._switching:
            self._check_owned()
            try:
                async with asyncio.timeout(timeout_s or self.settings.limits.job_s):
                    return await view.ask_groups(query, accounts, events, arguments)
            except TimeoutError:
                raise NoAnswerError(view.terms.job) from None
        if query.lent:
            engine: Engine = await self.ask(lambda engine: engine)
            lent = Held.by(engine, accounts)
            return await asyncio.to_thread(lambda: query.read(lent, **arguments))
        answer: T = await self.ask(
            lambda engine: query.read(Held.by(engine, accounts, events), **arguments)
        )
        return answer

    async def accept_then(
        self, body: Body, sender: pending_requests.Sender, query: Query[T], accounts: Sequence[str]
    ) -> T | pending_requests.Accepted:
        """Accept a body as `accept` does, and ask about accounts once it is decided and sealed.

        What was accepted is returned where none of it entered the log, or nobody is asked about.

        Raises:
            BusyError: As `accept`; or the job that decides does not come to it in time: it is in
                the log, and takes effect then.
        """
        if not accounts:
            return cast("pending_requests.Accepted", await self.accept(body, sender))
        if not self.settings.flink_job:
            answer: T | pending_requests.Accepted = await self.accept(
                body, sender, ask=lambda engine: query.read(Held.by(engine, accounts))
            )
            return answer
        taken = await self.accept(body, sender)
        pipeline = self._pipeline
        if not isinstance(taken, pending_requests.Accepted) or not taken.count or pipeline is None:
            return cast("pending_requests.Accepted", taken)
        end = pipeline.log_writer.end
        try:
            async with asyncio.timeout(self.settings.limits.job_s):
                while pipeline.log_writer.applied < end:
                    await asyncio.sleep(SWITCH_POLL_S)
        except TimeoutError:
            raise NoAnswerError(self.settings.flink_job, logged=True) from None
        return await self.query(query, accounts)

    async def decide(
        self, content: bytes, mode: str, sender: pending_requests.Sender, *, key: str = ""
    ) -> DecideResponse:
        """Decide events of one account in JSON, by a dry run.

        In mode `record` the events are added to the log; in mode `attempt` those that are refused,
        as acts that did not happen. An attempt is answered once: the same ids get the same answer.

        If the engine does not answer in time, the outcome that is known to be in force holds, and
        for everybody else the policy's `on_failure`; an event to record is still added to the log,
        once for each Idempotency-Key, and an attempt is not.

        Args:
            content: The event, or an array of events.
            mode: `ask`, `record` or `attempt`.
            sender: Who sends it.
            key: The Idempotency-Key (empty: none).

        Raises:
            ApiError: An event is invalid, is dated ahead of the clock, has an id that looks like
                personal data, or is an attempt without an id (422); or it is a label, or
                what an outside list says, and the sender may not tell it (403).
            BusyError: The event is to be recorded and cannot be held now, no outcome is known yet,
                or another server has taken over the log.
        """
        self._check_owned()
        asking = sender._replace(labels=sender.labels or mode == "ask", source="")
        admission = self._admission(asking, arriving=True)
        asked = parse_events(content, admission.arrival_ms)
        self._check_admission(asked, admission)
        self.counts["decide"] += 1
        if mode == "attempt":
            return await self._attempt(asked, sender)
        tried = await self._dry_run(asked.events, mode, sender.source)
        response = strictest(tried, array=asked.array)
        if mode != "record":
            return response
        account = response.account
        state = await self.accept(
            Body(content, "json"),
            sender,
            key=key,
            ask=self._state_query(account),
            audit=DECIDE,
            arriving=True,
        )
        if isinstance(state, pending_requests.Accepted) or response.mode == "on_failure":
            return response
        if not await self._is_sealed(account):
            return strictest(list(map(self._last_known, asked.events)), array=asked.array)
        return msgspec.structs.replace(response, outcome=state[0], until=state[1])

    def _check_admission(self, asked: ParsedEvents, admission: Admission) -> None:
        """Raise ApiError (403 or 422) for an event that may not enter the log."""
        for n, event in enumerate(asked.events, 1):
            if fault := event_fault(event, admission):
                self.counts[f"refused.{fault.cause}"] += 1
                where = f"item {n}: " if asked.array else ""
                raise ApiError(
                    403 if fault in FORBIDDEN else 422,
                    f"{where}field `{fault.field}`: {fault.what}",
                    fix=fault.fix,
                    cause=fault.cause,
                    field=fault.field,
                )

    async def _dry_run(
        self, events: Sequence[Event], mode: str, source: str
    ) -> list[DecideResponse]:
        """Respond to events of one account by dry runs, or by its last known outcome.

        Where a job on Flink decides, by what it has published, and attempts by a dry run there.
        """
        logs = [pseudonymize_event(event, self.pseudonymizer, source) for event in events]
        if self.settings.flink_job:
            return await self._asked_of_job(events, logs, mode)
        try:
            async with asyncio.timeout(self.settings.limits.answer_s):
                responses: list[DecideResponse] = await self.ask(
                    lambda engine: self.responder.respond_to_all(engine, events, logs, mode),
                    brief=True,
                )
                await self.wait_until_sealed(events[0].account)
        except (pending_requests.BusyError, TimeoutError):
            return list(map(self._last_known, events))
        return responses

    async def _asked_of_job(
        self, events: Sequence[Event], logs: Sequence[pa.RecordBatch], mode: str
    ) -> list[DecideResponse]:
        """Respond to attempts by the group that holds the account, else by what is published."""
        published, pipeline = self._published(events, mode), self._pipeline
        view = pipeline.view if pipeline is not None else None
        late = published[0].mode == "on_failure"
        if mode != "attempt" or late or not isinstance(view, JobView):
            return published
        try:
            answer = await self.query(
                trials, events=concat_batches(logs), timeout_s=self.settings.limits.owner_s
            )
        except pending_requests.BusyError:
            self.counts["owner_away"] += 1
            return [msgspec.structs.replace(one, owner_away=True) for one in published]
        judge = OwnerJudge(view.deciding, answer)
        made = self.responder.respond_by(judge, answer.results(), events, logs, mode)
        as_of = published[0].as_of
        return [msgspec.structs.replace(one, as_of=as_of) for one in made]

    def _published(self, events: Sequence[Event], mode: str) -> list[DecideResponse]:
        """Respond by what a job has published; where that is too old, as the engine's last word."""
        try:
            as_of = self.as_of()
        except StaleError as error:
            if not error.as_of.position:
                raise
            as_of, mode = error.as_of, "on_failure"
        return [
            msgspec.structs.replace(self._last_known(event, mode), as_of=as_of or msgspec.UNSET)
            for event in events
        ]

    def _state_query(self, account: str) -> Callable[[Engine], Any] | None:
        """Return what asks an engine for an account's state; None where a job decides."""
        if self.settings.flink_job:
            return None
        return lambda engine: enforcement_state(engine, account)

    async def _attempt(
        self, asked: ParsedEvents, sender: pending_requests.Sender
    ) -> DecideResponse:
        """Decide events that have not happened; the log takes those that are refused."""
        key = idempotency.attempt_key(sender.owner or sender.name, asked.events)
        if answered := self._answered.allowed(key):
            return msgspec.json.decode(answered, type=DecideResponse)
        events = list(map(idempotency.attempted, asked.events))
        # Both wait for others: the engine, and the database. An answer that is stored in between is
        # found where it would be stored a second time.
        responses, answered = await asyncio.gather(
            self._dry_run(events, "attempt", sender.source), self._answered.refused(key)
        )
        response = strictest(responses, array=asked.array)
        if response.mode == "on_failure":
            return response
        if answered:
            return msgspec.json.decode(answered, type=DecideResponse)
        refused = self._evidence(events, responses)
        account, answer = response.account, msgspec.json.encode(response)
        if not refused:
            if not (response.listed_by or response.owner_away):
                self._answered.remember(key, answer)
            return response
        try:
            state = await self.accept(
                Body(idempotency.encode_lines(refused), "lines"),
                sender,
                ask=self._state_query(account),
                audit=DECIDE,
                repeat=pending_requests.Repeat(key, answer),
            )
        except pending_requests.BusyError:
            if not self._switching:
                raise
            # Nobody is refused by what would leave no trace, but by what is in force.
            return strictest(list(map(self._last_known, events)), array=asked.array)
        if isinstance(state, pending_requests.Accepted):
            # Answered meanwhile, or none of it could enter the log.
            return (
                msgspec.json.decode(state.answer, type=DecideResponse) if state.answer else response
            )
        if not await self._is_sealed(account):
            return strictest(list(map(self._last_known, events)), array=asked.array)
        return response

    def _evidence(
        self, events: Sequence[Event], responses: Sequence[DecideResponse]
    ) -> list[Event]:
        """Return the refused events that the log takes; others leave no trace, to be decided anew.

        That is what waits since its chats are not known here.
        """
        return [
            event
            for event, one in zip(events, responses, strict=True)
            if not one.allowed
            and (not one.owner_away or known_refusal(event, self.states.state(event.account))[0])
        ]

    async def _is_sealed(self, account: str) -> bool:
        """Whether the newest decision on an account is sealed in time."""
        try:
            async with asyncio.timeout(self.settings.limits.answer_s):
                await self.wait_until_sealed(account)
        except TimeoutError:
            return False
        return True

    def _last_known(self, event: Event, mode: str = "on_failure") -> DecideResponse:
        """Respond without the engine, by the last known outcome of the account."""
        if not self.states.loaded:
            raise pending_requests.BusyError(
                "the enforcement states are being loaded",
                retry_after_s=self.settings.limits.retry_after_s,
            )
        self.counts["on_failure"] += mode == "on_failure"
        known = self.states.state(event.account)
        return self.responder.fallback(event, known, self.clock(), mode)

    async def wait_until_sealed(self, account: str) -> None:
        """Wait until the newest decision on an account is sealed; no response shows it before."""
        pipeline = self._pipeline
        if pipeline and (number := pipeline.view.unsealed.get(account, 0)):
            await self.wait_for_decision(number - 1)

    async def wait_for_decision(self, number: int) -> int:
        """Wait until a decision beyond `number` is stored; return the newest one's number."""
        while self._pipeline is None or self._pipeline.log_writer.decisions <= number:
            await self._stored.wait()
        return self._pipeline.log_writer.decisions

    def _on_stored(self, number: int) -> None:
        """Wake what waits for a decision; called by the writer thread."""
        if self._pipeline is not None:
            self._pipeline.view.sealed = number
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._stored.set()
        self._stored = asyncio.Event()


def _nothing() -> None:
    """Undo nothing."""
