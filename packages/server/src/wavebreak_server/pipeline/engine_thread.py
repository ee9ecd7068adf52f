"""The engine thread: decides batches of the log, and answers queries between them.

Only this thread uses the engine, except for brief queries: while it is idle, a caller that holds
the engine's lock answers on its own thread, which saves two thread switches.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, ClassVar, TypeVar

import pyarrow as pa

from wavebreak.engine import Engine
from wavebreak.engine.queries import Held, Query
from wavebreak.engine.versions import Terms, terms_of
from wavebreak_server.pipeline import pending_requests
from wavebreak_server.pipeline.enforcement_cache import EnforcementCache
from wavebreak_server.pipeline.log_clock import LogClock
from wavebreak_server.pipeline.recovery import SnapshotScheduler
from wavebreak_server.pipeline.request_decoder import concat_batches

T = TypeVar("T")
BATCH_EVENTS, SHORT_BATCH_EVENTS = 16_384, 512
"""Events between two checks for queries, normally and while queries arrive: about 30 ms and 1 ms of
work with a million accounts, which exceed a processor's cache."""
PACE_S = 0.03
"""Minimum time between two turns while no queries arrive: batches that arrive meanwhile are decided
together, at a fraction of the cost. Three times this value gains nothing; a third of it makes the
p99 of senders a third longer (415,000 events/s, two cores)."""
QUERY_RECENT_S = 1.0
"""How long after a query further queries are expected."""

VISIT_S = 0.0005
"""How long a turn waits for a thread that asks between two turns to begin."""

ENGINE_BUSY = object()
"""Returned by `try_ask_now` if the engine is busy."""


@dataclass(slots=True, eq=False)
class EngineQuery:
    """A query that the engine answers between two batches of the log."""

    ask: Callable[[Engine], Any]
    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop


class EngineThread:
    """Runs the engine; see `decider.Decider`.

    Args:
        engine: An engine at the end of the log.
        decisions: How many decisions it has made.
        on_decided: Called with the decisions of each batch.
        between_batches: Called when nothing is queued, and after each batch.
        monotonic: Returns seconds; the size of batches depends on it, their decisions do not.

    Attributes:
        broken: Why the engine has stopped; empty while it runs.
        unsealed: The number of the newest decision by account.
        sealed: The newest decision that is sealed; no response shows a later one.
    """

    has_engine: ClassVar[bool] = True
    as_of = None
    """Answers are of the log's end."""

    def __init__(
        self,
        engine: Engine,
        decisions: int,
        on_decided: Callable[[pending_requests.DecidedBatch], None],
        between_batches: Callable[[Engine, int], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.engine, self.decisions = engine, decisions
        self.position = self._due = engine.fanout.position
        self.broken = ""
        self.busy_s = 0.0
        self.unsealed: dict[str, int] = {}
        self.sealed = 0
        self._on_decided, self._between_batches = on_decided, between_batches
        self._monotonic = monotonic
        self._queue: SimpleQueue[pending_requests.LoggedBatch | EngineQuery | None] = SimpleQueue()
        self._batches: deque[pending_requests.LoggedBatch] = deque()
        self._queries: deque[EngineQuery] = deque()
        self._stopping = False
        self._last_query_s, self._began = -QUERY_RECENT_S, 0.0
        self._engine, self._visitors = threading.Lock(), 0
        self._thread = threading.Thread(target=self._work, name="wavebreak-engine", daemon=True)

    def start(self) -> None:
        """Start to decide."""
        self._thread.start()

    def put(self, item: pending_requests.LoggedBatch | EngineQuery) -> None:
        """Queue a batch of the log, or a query."""
        if isinstance(item, pending_requests.LoggedBatch):
            self._due = item.first + item.events.num_rows
        else:
            self._last_query_s = self._monotonic()
        self._queue.put(item)

    def try_ask_now(self, ask: Callable[[Engine], Any]) -> Any:
        """Run a brief query on the caller's thread if nothing is queued; else ENGINE_BUSY."""
        if not self._engine.acquire(blocking=False):
            return ENGINE_BUSY
        try:
            return (
                ask(self.engine) if self.position == self._due and not self.broken else ENGINE_BUSY
            )
        finally:
            self._engine.release()

    def ask_between_turns(self, ask: Callable[[Engine], Any]) -> Any:
        """Run a brief query on the caller's thread as soon as the current turn is over."""
        self._visitors += 1
        try:
            with self._engine:
                return ask(self.engine)
        finally:
            self._visitors -= 1

    async def ask(self, ask: Callable[[Engine], Any]) -> Any:
        """Run a query between two batches of the log."""
        loop = asyncio.get_running_loop()
        query = EngineQuery(ask, loop.create_future(), loop)
        self.put(query)
        return await query.future

    async def query(
        self,
        query: Query[T],
        accounts: Sequence[str],
        events: pa.RecordBatch | None,
        arguments: Mapping[str, Any],
        timeout_s: float | None = None,
    ) -> T:
        """Answer a question; a long one reads in a thread of its own."""
        if query.lent:
            lent = Held.by(await self.ask(lambda engine: engine), accounts)
            return await asyncio.to_thread(lambda: query.read(lent, **arguments))
        answer: T = await self.ask(
            lambda engine: query.read(Held.by(engine, accounts, events), **arguments)
        )
        return answer

    @property
    def deciding(self) -> Terms:
        """What decides, beside the state of accounts."""
        return terms_of(self.engine)

    @property
    def abstains(self) -> bool:
        """Whether the model says nothing now, on a platform that has just opened."""
        return self.engine.core.abstains

    @property
    def clock(self) -> LogClock:
        """The log's time, and how many of its events were out of time."""
        return LogClock.of(self.engine.fanout)

    def catch_up(self, end: int) -> None:
        """Do nothing: what was put is decided before it stops."""

    def waiting(self, end: int) -> int:
        """Return how many events wait here for the engine, with the log's end."""
        return end - self.position

    def fill(self, states: EnforcementCache) -> None:
        """Fill the enforcement states with those of the engine, which does not run yet."""
        states.read_engine(self.engine)

    def keep(self, snapshots: SnapshotScheduler) -> None:
        """Write a snapshot of the engine, unless it has failed."""
        if not self.broken:
            snapshots.take(self.engine, self.decisions)

    def stop(self) -> None:
        """Decide what is queued, and stop."""
        self._queue.put(None)
        self._thread.join()

    def turn(self, *, wait: bool = True) -> None:
        """Answer queries and decide a batch: one turn of the thread.

        Args:
            wait: Wait for the first item, and for more batches to decide with it.
        """
        self._collect(wait_s=1.0 if wait and not self._batches else 0.0)
        while wait and (left := self._wait_s()) > 0:
            self._collect(wait_s=left)
        self._began = self._monotonic()
        if self._visitors:
            # The lock is not fair: who waits for it would wait for many turns.
            time.sleep(VISIT_S)
        with self._engine:
            self._take_turn()

    def _work(self) -> None:
        while not self._stopping or self._batches:
            self.turn()

    def _recently_queried(self) -> bool:
        return self._monotonic() < self._last_query_s + QUERY_RECENT_S

    def _wait_s(self) -> float:
        """Seconds to wait for more batches before the next turn."""
        urgent = self._stopping or self._queries or self._recently_queried()
        enough = sum(logged.events.num_rows for logged in self._batches) >= BATCH_EVENTS
        waits = self._batches and not (urgent or enough or self._batches[-1].asked)
        return self._began + PACE_S - self._monotonic() if waits else 0.0

    def _take_turn(self) -> None:
        self._answer_queries()
        if self._batches and not self.broken:
            try:
                self._decide(self._next_batch())
            except Exception as error:
                self.broken = f"{pending_requests.error_location(error)}, position {self.position}"
        if self.broken:
            self._batches.clear()
        elif not self._batches:
            self._between_batches(self.engine, self.decisions)

    def _next_batch(self) -> pending_requests.LoggedBatch:
        """Join queued batches, up to BATCH_EVENTS or the first that a request waits for."""
        some = [self._batches.popleft()]
        size = some[0].events.num_rows
        while self._batches and not some[-1].asked:
            size += self._batches[0].events.num_rows
            if size > BATCH_EVENTS:
                break
            some.append(self._batches.popleft())
        return pending_requests.LoggedBatch(
            some[0].first, concat_batches([one.events for one in some]), some[-1].asked
        )

    def _collect(self, *, wait_s: float = 0.0) -> None:
        """Collect what is queued; if nothing is, wait for the first item."""
        try:
            item = self._queue.get(timeout=wait_s) if wait_s else self._queue.get_nowait()
            while True:
                if item is None:
                    self._stopping = True
                elif isinstance(item, pending_requests.LoggedBatch):
                    self._batches.append(item)
                else:
                    self._queries.append(item)
                item = self._queue.get_nowait()
        except Empty:
            return

    def _answer_queries(self) -> None:
        while self._queries:
            asked = self._queries.popleft()
            pending_requests.resolve_futures([(asked, self._run_query(asked.ask))])

    def _run_query(self, ask: Callable[[Engine], Any]) -> Any:
        try:
            return ask(self.engine)
        except Exception as error:
            return error

    def _decide(self, logged: pending_requests.LoggedBatch) -> None:
        began = time.perf_counter()
        rows: list[pending_requests.Row] = []
        self.unsealed = {a: n for a, n in self.unsealed.items() if n > self.sealed}
        start, end = 0, logged.events.num_rows
        while start < end:
            size = SHORT_BATCH_EVENTS if self._recently_queried() else BATCH_EVENTS
            for decision in self.engine.take(logged.events.slice(start, size)):
                self.decisions += 1
                rows.append(pending_requests.decision_row(self.decisions, decision))
                self.unsealed[decision.account] = self.decisions
            start += size
            if start < end:
                self._collect()
                self._answer_queries()
        self.position = logged.first + logged.events.num_rows
        pending_requests.resolve_futures(
            [(w, self._run_query(w.ask)) for w in logged.asked if w.ask]
        )
        self._on_decided(pending_requests.DecidedBatch(self.position, tuple(rows)))
        self.busy_s += time.perf_counter() - began
