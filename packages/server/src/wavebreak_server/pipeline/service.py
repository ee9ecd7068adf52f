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
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from django.db import Error, connection

from wavebreak.engine import Engine
from wavebreak.engine.switch_records import SwitchTerms
from wavebreak.errors import ServiceError
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.schema.coverage import Profile
from wavebreak_server.pipeline.decide import DecideResponder
from wavebreak_server.pipeline.decide_requests import DecideRequests
from wavebreak_server.pipeline.enforcement_cache import EnforcementCache
from wavebreak_server.pipeline.engine_switch import EngineSwitch, Observer, Replacement
from wavebreak_server.pipeline.intake import Intake
from wavebreak_server.pipeline.log_writer import LogWriter, refusal_of
from wavebreak_server.pipeline.pending_requests import error_location
from wavebreak_server.pipeline.pipeline import Host, Launcher, Listener, Pipeline, Runtime
from wavebreak_server.pipeline.running import Running
from wavebreak_server.settings import Settings
from wavebreak_server.storage import database
from wavebreak_server.storage.ledger_store import LedgerStore, count_differing_decisions

Background = Callable[["Service"], Awaitable[None]]


class Switch(Protocol):
    """Lets another policy, model, mode or coverage decide: see `policy_switch.PolicySwitch`."""

    deciding: Any

    def __call__(self, service: Service, *options: Any, **named: Any) -> Awaitable[float]:
        """Switch; return how long requests were refused (s)."""

    def terms(self, engine: Engine, versions: str, /) -> SwitchTerms:
        """Return what a job needs to decide by what a start decides by."""


class EngineSetup(NamedTuple):
    """The engine's factory, the responder of `decide`, and allowed lateness (s)."""

    make_engine: Callable[[], Engine]
    responder: DecideResponder
    lateness_s: int = 60


@dataclass
class StreamCoverage:
    """Findings about what the stream carries.

    Attributes:
        lacking: What the log lacks that rules read, where nobody has declared what it carries.
        waiting: The sources whose declaration waits for an administrator.
        measured: The profile of the begin of the log, once it is long enough and nobody else has
            said what the stream carries.
    """

    lacking: str = ""
    waiting: tuple[str, ...] = ()
    measured: Profile | None = None


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
    """One process that owns a log: its life cycle, and the operations of its parts.

    Args:
        settings: Where the service stores its files, and its limits.
        setup: Engine and responder of the start.
        pseudonymizer: Pseudonymizes the events.
        clock: Returns milliseconds.
        ledger_store: Seals decisions.
        background: Coroutines that run beside the service.
        observer: Callbacks for the stages of the service's life.
        switch: Switches to another policy, model or mode (None: only a new start does).
        lost: Returns why this process no longer owns the log; empty while it does.

    Attributes:
        running: The running pipeline; its questions are the service's.
        intake: Takes bodies into the log; its operations are the service's.
        states: The enforcement states that are known while the engine does not answer.
        lateness_s: Allowed lateness of events.
        coverage: Findings about what the stream carries.
        failing_tasks: Tasks beside the service that failed and restart, with the error's name.
        started: Set once events are accepted.
        differ: Earlier decisions that the current versions would not reproduce.
    """

    def __init__(
        self,
        settings: Settings,
        setup: EngineSetup,
        pseudonymizer: Pseudonymizer,
        *,
        clock: Callable[[], int],
        ledger_store: LedgerStore,
        background: Sequence[Background] = (),
        observer: Observer = Observer(),  # noqa: B008 - immutable
        switch: Switch | None = None,
        lost: Callable[[], str] = lambda: "",
    ) -> None:
        self.settings, self.pseudonymizer, self.clock = settings, pseudonymizer, clock

        def now_ms() -> int:
            # Tests replace `self.clock` to date requests; the log keeps the machine's clock.
            return self.clock()

        self.ledger_store, self.switch, self.lateness_s = ledger_store, switch, setup.lateness_s
        self.report, self._observer, self._background = observer.report, observer, background
        self.states, self.coverage = EnforcementCache(clock), StreamCoverage()
        self.failing_tasks: dict[str, str] = {}
        self.started, self.differ = asyncio.Event(), 0
        self._tasks: list[asyncio.Task[None]] = []

        running = self.running = Running(settings, setup.make_engine, setup.responder, lost)
        self.counts, self.ask, self.query = running.counts, running.ask, running.query
        self.as_of, self.age_s, self.log_clock = running.as_of, running.age_s, running.log_clock
        self.deciding, self.model_abstains = running.deciding, running.model_abstains
        self.rules_off, self.rules_off_by_source = running.rules_off, running.rules_off_by_source
        self.wait_until_sealed = running.wait_until_sealed
        self.wait_for_decision = running.wait_for_decision

        intake = self.intake = Intake(running, settings, now_ms, setup.lateness_s)
        self.accept, self.accept_then = intake.accept, intake.accept_then
        self.check_capacity, self.receiving = intake.check_capacity, intake.receiving
        self.ahead_ms, self.skews = intake.ahead_ms, intake.skews
        requests = DecideRequests(running, intake, settings, pseudonymizer, self.states, now_ms)
        self.decide = requests.decide

        host = Host(
            settings,
            setup.make_engine,
            ledger_store,
            setup.lateness_s,
            self.states,
            Runtime(clock, lost=self.lost),
            Listener(running.on_stored, observer.report, observer.progress),
            switch.terms if switch else None,
        )
        self._launcher = Launcher(host, pseudonymizer, intake.should_pause_decoding)
        self._engine_switch = EngineSwitch(running, self._launcher, observer)

    @property
    def responder(self) -> DecideResponder:
        """The responder of `decide` now."""
        return self.running.responder

    @property
    def failed(self) -> BaseException | None:
        """The error that ended the service, or its start."""
        return self.running.failed

    @property
    def switches(self) -> int:
        """How often the engine was replaced since the start."""
        return self._engine_switch.count

    def lost(self) -> str:
        """Return why this process no longer owns the log; empty while it does."""
        return self.running.lost()

    def start(self, failed: Callable[[], None]) -> None:
        """Recover in a thread and start to serve; `failed` is called if that is not possible."""
        loop = self.running.start(failed)
        threading.Thread(target=self._start, args=(loop,), name="wavebreak-start").start()

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        running, launcher = self.running, self._launcher
        try:
            pipeline = launcher.start(running.make_engine, launcher.new_decoders())
            self._observer.recovered()
            self.ledger_store.seal_states()
            self.differ = count_differing_decisions()
            running.pipeline = pipeline
            loop.call_soon_threadsafe(self._on_started)
        except Error as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            fix = "check the database, or restore a backup"
            running.give_up(ServiceError(f"the log cannot be read: {reason}", fix=fix))
        except BaseException as error:
            running.give_up(error)
        finally:
            connection.close()

    def _on_started(self) -> None:
        self._observer.settled()
        self._tasks = [asyncio.ensure_future(run(self)) for run in self._background]
        for task in self._tasks:
            task.add_done_callback(self._on_background_ended)
        self.started.set()

    def _on_background_ended(self, task: asyncio.Task[None]) -> None:
        """Report a task beside the service that failed; nobody waits for it."""
        if not task.cancelled() and (error := task.exception()) is not None:
            where = error_location(error)
            self.report(f"a task beside the service has ended with an error: {where}")

    async def stop(self) -> None:
        """Accept no more, finish what was accepted, write a snapshot."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        running = self.running
        async with running.lifecycle:
            if running.pipeline is not None and not running.is_stopped:
                running.is_stopped = True
                await asyncio.to_thread(_stop_pipeline, running.pipeline)

    async def replace_engine(self, prepare: Callable[[], Replacement], why: str) -> float:
        """Replace what decides, while the service runs: see `EngineSwitch.replace`.

        Raises:
            BusyError: The service is not running, is being switched, or follows a job that is too
                far behind.
            ServiceError: The other engines could not start; the former ones go on.
        """
        running = self.running
        if running.lifecycle.locked() or not self.progress().ready:
            raise running.busy(running.switching or "the service is not ready")
        # Who waits for a job that is away would refuse bodies for nothing.
        self.as_of()
        # The switch goes on if the request that asked for it is cancelled.
        switching = asyncio.ensure_future(self._engine_switch.replace(prepare, why))
        return await asyncio.shield(switching)

    def progress(self) -> Progress:
        """Return how far the service is."""
        running, waiting = self.running, self.intake.waiting
        pipeline = running.pipeline
        if pipeline is None or running.is_stopped:
            why = "the service could not start" if running.failed else "the log is being recovered"
            detail = str(running.failed or "")
            return Progress(False, why, 0, 0, 0, 0, waiting.bodies, waiting.bytes, 0, detail)
        writer, decider = pipeline.log_writer, pipeline.decider
        reasons = (
            (self.lost(), "another server has taken over the log"),
            (running.switching, running.switching),
            (writer.failing, refusal_of(writer.failing)),
            (self._stalled(writer), "the database does not answer"),
            (decider.broken, "the engine has stopped"),
        )
        detail, why = next((reason for reason in reasons if reason[0]), ("", ""))
        return Progress(
            ready=not why,
            why=why,
            logged=writer.end,
            decided=decider.position,
            applied=writer.applied,
            decisions=writer.decisions,
            waiting_bodies=waiting.bodies,
            waiting_bytes=waiting.bytes,
            snapshot=pipeline.snapshots.position,
            detail=detail,
        )

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
        ceiling, pipeline = self.settings.ceiling, self.running.pipeline
        size = pipeline.new_names.held if pipeline is not None else 0
        return size, ceiling.bytes if ceiling is not None else 0


def _stop_pipeline(pipeline: Pipeline) -> None:
    pipeline.stop()
    # Nothing that was erased stays in the write-ahead log of a service that is not running.
    with suppress(Error):
        database.truncate_wal()
    connection.close()
