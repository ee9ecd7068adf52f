"""The running pipeline of a service: questions to it, and the reason for refusals without it."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import pyarrow as pa

from wavebreak.engine import Engine
from wavebreak.engine.queries import Query
from wavebreak.engine.versions import Terms
from wavebreak_server.pipeline.decide import DecideResponder
from wavebreak_server.pipeline.decider import AsOf, Decider
from wavebreak_server.pipeline.engine_thread import ENGINE_BUSY
from wavebreak_server.pipeline.log_clock import LogClock
from wavebreak_server.pipeline.pending_requests import BusyError
from wavebreak_server.pipeline.pipeline import Pipeline
from wavebreak_server.settings import Settings

T = TypeVar("T")
POLL_S = 0.005
"""How often a query tries a former engine that is being copied, or that decides its last batch."""


class Running:
    """The pipeline that runs, and why requests are refused while none does.

    Args:
        settings: The service's settings.
        make_engine: Returns an engine without state.
        responder: Answers `decide`.
        lost: Returns why this process no longer owns the log; empty while it does.

    Attributes:
        pipeline: None during recovery, and after a failure that ends the service.
        switching: Why requests are refused during a switch; empty otherwise.
        is_stopped: Whether the service was stopped.
        failed: The error that ended the service, or its start.
        counts: Bodies, events, rejections by cause, and refused requests.
        lifecycle: Held by a switch, and by the stop.
    """

    def __init__(
        self,
        settings: Settings,
        make_engine: Callable[[], Engine],
        responder: DecideResponder,
        lost: Callable[[], str],
    ) -> None:
        self.make_engine, self.responder, self.lost = make_engine, responder, lost
        self.pipeline: Pipeline | None = None
        self.switching, self.is_stopped = "", False
        self.failed: BaseException | None = None
        self.counts: Counter[str] = Counter()
        self.lifecycle = asyncio.Lock()
        self._limits, self._has_engine = settings.limits, not settings.flink_job
        self._loop: asyncio.AbstractEventLoop | None = None
        self._on_failure: Callable[[], None] = lambda: None
        self._stored = asyncio.Event()

    # Refusals

    def busy(self, why: str) -> BusyError:
        """Return the error of a request that is refused now."""
        return BusyError(why, retry_after_s=self._limits.retry_after_s)

    def refuse(self, why: str) -> None:
        """Count and raise BusyError if `why` is not empty."""
        if why:
            self.counts["busy"] += 1
            raise self.busy(why)

    def check_owned(self) -> None:
        """Raise BusyError if another server has taken over the log."""
        self.refuse(self.lost())

    @property
    def decider(self) -> Decider | None:
        """The decider of the pipeline; None during recovery."""
        return self.pipeline.decider if self.pipeline is not None else None

    def _working_decider(self) -> Decider:
        decider = self.decider
        if decider is None or decider.broken or self.switching:
            raise self.busy(self.switching or "the engine is not running")
        return decider

    # Questions

    async def ask(self, ask: Callable[[Engine], Any], *, brief: bool = False) -> Any:
        """Run a query on the engine between two batches of the log.

        A `brief` query runs on this thread if the engine is idle; while the engine is replaced, it
        is the former one that answers.

        Raises:
            BusyError: The engine is not running, or another server has taken over the log.
            NoEngineError: A job on Flink decides: `query` asks it, too.
        """
        self.check_owned()
        while brief and self.switching and (former := self.decider) and not former.broken:
            if (answer := former.try_ask_now(ask)) is not ENGINE_BUSY:
                return answer
            await asyncio.sleep(POLL_S)
        decider = self._working_decider()
        if brief and (answer := decider.try_ask_now(ask)) is not ENGINE_BUSY:
            return answer
        return await decider.ask(ask)

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
            accounts: The accounts that it is about.
            events: Events to be judged, of one account.
            timeout_s: How long a job may take to answer (0: as long as a person waits).
            arguments: Its other arguments.

        Raises:
            BusyError: What decides does not run, or does not answer in time.
        """
        self.check_owned()
        return await self._working_decider().query(
            query, accounts, events, arguments, timeout_s or self._limits.job_s
        )

    def as_of(self) -> AsOf | None:
        """Return how far the job has decided that answers are taken from; None: the engine is here.

        Raises:
            StaleError: The job has published nothing, or nothing that may be answered from.
            BusyError: The service is not running.
        """
        if self._has_engine:
            return None
        if (decider := self.decider) is None:
            raise self.busy("the log is being recovered")
        return decider.as_of

    def age_s(self) -> float:
        """Return how old answers are (s): 0 with an engine, NaN where none may be given."""
        try:
            as_of = self.as_of()
        except BusyError:
            return math.nan
        return as_of.age_s if as_of else 0.0

    def deciding(self) -> Terms:
        """Return policy, model, mode and coverage in force.

        Raises:
            BusyError: The service is not running.
        """
        if (decider := self.decider) is None:
            raise self.busy(self.switching or "the log is being recovered")
        return decider.deciding

    def rules_off(self) -> tuple[str, ...]:
        """Return the rules that cannot hold for any account, by what the stream is to carry."""
        return self.decider.deciding.rules_off if self.decider else ()

    def rules_off_by_source(self) -> Mapping[str, tuple[str, ...]]:
        """Return the rules that cannot hold for the accounts of each source, and do for others'."""
        return self.decider.deciding.rules_off_by_source if self.decider else {}

    def model_abstains(self) -> bool:
        """Whether the model says nothing now, on a platform that has just opened."""
        return self.decider is not None and self.decider.abstains

    def log_clock(self) -> LogClock:
        """Return the log's time, and how many of its events were out of time."""
        return self.decider.clock if self.decider else LogClock(None, 0, 0)

    # Waiting

    def start(self, on_failure: Callable[[], None]) -> asyncio.AbstractEventLoop:
        """Wake waiting requests on this event loop from now on; return it.

        Args:
            on_failure: Called after a failure that ends the service.
        """
        self._loop, self._on_failure = asyncio.get_running_loop(), on_failure
        return self._loop

    def give_up(self, error: BaseException) -> None:
        """Note a failure that ends the service."""
        self.pipeline, self.failed = None, error
        self._on_failure()

    async def wait_until_sealed(self, account: str) -> None:
        """Wait until the newest decision on an account is sealed; no response shows it before."""
        decider = self.decider
        if decider and (number := decider.unsealed.get(account, 0)):
            await self.wait_for_decision(number - 1)

    async def wait_for_decision(self, number: int) -> int:
        """Wait until a decision beyond `number` is stored; return the newest one's number."""
        while self.pipeline is None or self.pipeline.log_writer.decisions <= number:
            await self._stored.wait()
        return self.pipeline.log_writer.decisions

    def on_stored(self, number: int) -> None:
        """Wake requests that wait for a decision; called by the writer thread."""
        if (decider := self.decider) is not None:
            decider.sealed = number
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.wake)

    def wake(self) -> None:
        """Wake requests that wait for a decision."""
        self._stored.set()
        self._stored = asyncio.Event()
