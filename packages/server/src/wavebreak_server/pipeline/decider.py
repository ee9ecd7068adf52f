"""The seam between the service and what decides over its log: an engine of this process, or a job.

The engine is `EngineThread`. Where a job on Flink decides (`JobView`), this process holds no state
of accounts: it answers from what the job has published, and says how old that is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Protocol, TypeVar

import msgspec
import pyarrow as pa

from wavebreak.engine import Engine
from wavebreak.engine.queries import Query
from wavebreak.engine.versions import Terms
from wavebreak_server.pipeline.enforcement_cache import EnforcementCache
from wavebreak_server.pipeline.log_clock import LogClock
from wavebreak_server.pipeline.pending_requests import BusyError, LoggedBatch
from wavebreak_server.pipeline.recovery import SnapshotScheduler

T = TypeVar("T")


class AsOf(msgspec.Struct, frozen=True):
    """How far the job on Flink has decided that an answer is taken from.

    `position`: events of the log that it has decided on. `time_ms`: the log's time there (null: no
    event yet). `age_s`: seconds since the first event came that it has not decided on (0: none).
    """

    position: int
    time_ms: int | None
    age_s: float


class StaleError(BusyError):
    """The job has published nothing, or nothing that may be answered from.

    `as_of` is how far it has decided.
    """

    def __init__(self, what: str, fix: str, as_of: AsOf) -> None:
        super().__init__(what, retry_after_s=1.0)
        self.fix, self.as_of = fix, as_of


class NoEngineError(BusyError):
    """What is asked needs an engine, and no job does it."""

    def __init__(self, job: str, *, retry_after_s: float = 60.0) -> None:
        super().__init__(
            f"this service holds no engine: the job {job} on Flink decides",
            retry_after_s=retry_after_s,
        )
        self.fix = "ask a service that has one of its own"


class NoAnswerError(BusyError):
    """A job did not answer a question in time, or did not come to what was logged."""

    def __init__(self, job: str, *, logged: bool = False) -> None:
        what = "has not decided on it yet" if logged else "does not answer"
        super().__init__(f"the job {job} on Flink {what}", retry_after_s=5.0)
        self.fix = (
            "do not repeat it: it is in the log, and takes effect when the job comes to it"
            if logged
            else "try again; if it stays so, see whether the job runs"
        )


class Decider(Protocol):
    """An engine of this process, or a job, as it decides over the log.

    Attributes:
        has_engine: Whether it is an engine of this process, which can be asked anything.
        position: How far it has decided.
        decisions: How many decisions were made up to there.
        broken: Why it has stopped; empty while it runs.
        unsealed: The number of the newest decision by account, where it may not be sealed yet.
        sealed: The newest decision that is sealed; no response shows a later one.
    """

    has_engine: ClassVar[bool]
    position: int
    decisions: int
    broken: str
    unsealed: dict[str, int]
    sealed: int

    @property
    def deciding(self) -> Terms:
        """Policy, model, mode and coverage in force."""

    @property
    def abstains(self) -> bool:
        """Whether the model says nothing now, on a platform that has just opened."""

    @property
    def clock(self) -> LogClock:
        """The log's time, and how many of its events were out of time."""

    @property
    def as_of(self) -> AsOf | None:
        """How far the job has decided that answers are taken from; None: the engine is here.

        Raises:
            StaleError: The job has published nothing, or nothing that may be answered from.
        """

    def start(self) -> None:
        """Start to decide."""

    def put(self, item: LoggedBatch, /) -> None:
        """Take a batch of the log."""

    def stop(self) -> None:
        """Decide what was put, and end."""

    def catch_up(self, end: int, /) -> None:
        """Wait until it has decided to the log's end, before it is stopped; not for ever."""

    def waiting(self, end: int, /) -> int:
        """Return how many events of the log wait in this process, with the log's end."""

    def fill(self, states: EnforcementCache, /) -> None:
        """Fill the enforcement states, at a start."""

    def keep(self, snapshots: SnapshotScheduler, /) -> None:
        """Write a snapshot at the end, where there is a state to keep."""

    def try_ask_now(self, ask: Callable[[Engine], Any], /) -> Any:
        """Run a brief query on the engine if nothing is queued; else ENGINE_BUSY."""

    async def ask(self, ask: Callable[[Engine], Any], /) -> Any:
        """Run a query on the engine between two batches of the log.

        Raises:
            NoEngineError: A job decides.
        """

    async def query(
        self,
        query: Query[T],
        accounts: Sequence[str],
        events: pa.RecordBatch | None,
        arguments: Mapping[str, Any],
        timeout_s: float | None = None,
    ) -> T:
        """Answer a question about the state of accounts.

        Args:
            query: The question.
            accounts: The accounts that it is about.
            events: Events to be judged, of one account.
            arguments: Its other arguments.
            timeout_s: How long a job may take to answer (None: no limit).

        Raises:
            BusyError: A job does not answer.
        """
