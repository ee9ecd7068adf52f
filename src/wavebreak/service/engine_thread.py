"""The engine's thread: batches, and questions between them.

Nobody else touches the engine but who holds its lock while that thread rests: a brief question is
then answered where it is asked, which saves two changes of threads.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

import msgspec

from wavebreak.engine import Engine
from wavebreak.engine.decision import Decision
from wavebreak.service.pending_requests import Decided, Logged, error_location, resolve_futures
from wavebreak.service.request_decoder import joined

SLICE, SHORT = 16_384, 512
"""Events that the engine takes between two looks at who asks, and while somebody asks: some thirty
milliseconds and one, where a million accounts do not fit a processor's cache."""
PACE_S = 0.03
"""From the beginning of one turn to the next at least, while nobody asks: what comes meanwhile is
taken together, which costs a fraction of taking each batch alone. Three times this gains no more;
a third of it, at 415,000 events/s on two cores, has who sends wait a third longer (p99)."""
ASKED_S = 1.0
"""How long after a question others are awaited."""

BUSY = object()
"""What `at_once` gives where the engine is at work."""

Row = tuple[Any, ...]


@dataclass(slots=True, eq=False)
class Question:
    """Something that is asked of the engine between two stretches of the log."""

    ask: Callable[[Engine], Any]
    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop


def row(number: int, made: Decision) -> Row:
    """Give a decision as a row of its table, but for the position that is reached with it."""
    body = msgspec.json.encode(made)
    return (
        number, made.id, made.account, made.ts, made.stage, made.outcome, made.until, body,
    )  # fmt: skip


class Decider:
    """Feeds the engine. `onward` is given what it made of each stretch of the log.

    `decisions` counts them; `between` is called when nothing waits, and after each batch.
    `broken` says why the engine has stopped, or is empty; `unsealed` has, by account, the number
    of the newest decision: beyond `sealed`, which the writer moves, nobody may be told yet.
    """

    def __init__(
        self, engine: Engine, decisions: int, onward: Callable[[Decided], None],
        between: Callable[[Engine, int], None],
    ) -> None:  # fmt: skip
        self.engine, self.decisions = engine, decisions
        self.position = self._due = engine.fanout.position
        self.broken = ""
        self.busy_s = 0.0
        self.unsealed: dict[str, int] = {}
        self.sealed = 0
        self._onward, self._between = onward, between
        self._queue: SimpleQueue[Logged | Question | None] = SimpleQueue()
        self._batches: deque[Logged] = deque()
        self._questions: deque[Question] = deque()
        self._stopping = False
        self._asked_s, self._began = -ASKED_S, 0.0
        self._engine = threading.Lock()
        self._thread = threading.Thread(target=self._work, name="wavebreak-engine", daemon=True)

    def start(self) -> None:
        """Begin to decide."""
        self._thread.start()

    def put(self, item: Logged | Question) -> None:
        """Queue a batch that is in the log, or a question."""
        if isinstance(item, Logged):
            self._due = item.first + item.events.num_rows
        else:
            self._asked_s = time.monotonic()
        self._queue.put(item)

    def at_once(self, ask: Callable[[Engine], Any]) -> Any:
        """Ask something brief on the caller's thread, once all that was put is taken; else BUSY."""
        if not self._engine.acquire(blocking=False):
            return BUSY
        try:
            return ask(self.engine) if self.position == self._due and not self.broken else BUSY
        finally:
            self._engine.release()

    def stop(self) -> None:
        """Take what waits, and end."""
        self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        while not self._stopping or self._batches:
            self._gather(wait_s=0.0 if self._batches else 1.0)
            while (left := self._left_s()) > 0:
                self._gather(wait_s=left)
            self._began = time.monotonic()
            with self._engine:
                self._turn()

    def _asked_lately(self) -> bool:
        return time.monotonic() < self._asked_s + ASKED_S

    def _left_s(self) -> float:
        """How long further batches are awaited before the next turn."""
        pressing = self._stopping or self._questions or self._asked_lately()
        enough = sum(logged.events.num_rows for logged in self._batches) >= SLICE
        waits = self._batches and not (pressing or enough or self._batches[-1].asked)
        return self._began + PACE_S - time.monotonic() if waits else 0.0

    def _turn(self) -> None:
        self._answer()
        if self._batches and not self.broken:
            try:
                self._take(self._next())
            except Exception as error:
                self.broken = f"{error_location(error)}, position {self.position}"
        if self.broken:
            self._batches.clear()
        elif not self._batches:
            self._between(self.engine, self.decisions)

    def _next(self) -> Logged:
        """What waits, as one batch, as far as it fits a slice and nobody waits for a part."""
        some = [self._batches.popleft()]
        size = some[0].events.num_rows
        while self._batches and not some[-1].asked:
            size += self._batches[0].events.num_rows
            if size > SLICE:
                break
            some.append(self._batches.popleft())
        return Logged(some[0].first, joined([one.events for one in some]), some[-1].asked)

    def _gather(self, *, wait_s: float = 0.0) -> None:
        """Take what is queued; where nothing is, wait for the first."""
        try:
            item = self._queue.get(timeout=wait_s) if wait_s else self._queue.get_nowait()
            while True:
                if item is None:
                    self._stopping = True
                elif isinstance(item, Logged):
                    self._batches.append(item)
                else:
                    self._questions.append(item)
                item = self._queue.get_nowait()
        except Empty:
            return

    def _answer(self) -> None:
        while self._questions:
            asked = self._questions.popleft()
            resolve_futures([(asked, self._asked(asked.ask))])

    def _asked(self, ask: Callable[[Engine], Any]) -> Any:
        try:
            return ask(self.engine)
        except Exception as error:
            return error

    def _take(self, logged: Logged) -> None:
        began = time.perf_counter()
        rows: list[Row] = []
        self.unsealed = {a: n for a, n in self.unsealed.items() if n > self.sealed}
        start, end = 0, logged.events.num_rows
        while start < end:
            size = SHORT if self._asked_lately() else SLICE
            for made in self.engine.take(logged.events.slice(start, size)):
                self.decisions += 1
                rows.append(row(self.decisions, made))
                self.unsealed[made.account] = self.decisions
            start += size
            if start < end:
                self._gather()
                self._answer()
        self.position = logged.first + logged.events.num_rows
        resolve_futures([(w, self._asked(w.ask)) for w in logged.asked if w.ask])
        self._onward(Decided(self.position, tuple(rows)))
        self.busy_s += time.perf_counter() - began
