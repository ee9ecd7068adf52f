"""The bounded queue between `tell` and the service: batches, one in flight, retried."""

from __future__ import annotations

import secrets
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from wavebreak_client.event_base import encode
from wavebreak_client.spool import Spool


@dataclass(frozen=True)
class Batch:
    """Events that go in one request; its key stays the same over retries."""

    key: str
    lines: tuple[bytes, ...]

    @property
    def body(self) -> bytes:
        """The request's body: a JSON array."""
        return b"[" + b",".join(self.lines) + b"]"


class EventQueue:
    """Keeps events in order until they are delivered or given up; safe for threads.

    Args:
        max_events: How many events it holds; one more is dropped and counted.
        max_bytes: How many bytes of JSON it holds.
        batch_events: Events of a batch, at most.
        batch_bytes: Bytes of a batch, at most.
        batch_ms: How long the first event of a batch waits for more.
        spool: The journal on disk, if there is one; what it holds goes first.
        monotonic_ms: The clock that batches wait by.
        ready: Called when the first event of a batch waits, and when a batch is full.

    """

    def __init__(
        self,
        *,
        max_events: int = 100_000,
        max_bytes: int = 64 << 20,
        batch_events: int = 500,
        batch_bytes: int = 1_000_000,
        batch_ms: float = 200,
        spool: Spool | None = None,
        monotonic_ms: Callable[[], float],
        ready: Callable[[], None] = lambda: None,
    ) -> None:
        self._limits = (max_events, max_bytes)
        self._batch = (batch_events, batch_bytes, batch_ms)
        self._spool, self._monotonic_ms, self._ready = spool, monotonic_ms, ready
        self._lock = threading.Lock()
        self._events: deque[tuple[bytes, float]] = deque()
        self._bytes = 0
        self._in_flight: deque[Batch] = deque()
        self.dropped = 0
        if spool is not None:
            for line in spool.left_over:
                self._events.append((line, 0.0))
                self._bytes += len(line)

    def __len__(self) -> int:
        return len(self._events) + sum(len(batch.lines) for batch in list(self._in_flight))

    @property
    def bytes(self) -> int:
        """Bytes of JSON that wait."""
        return self._bytes

    @property
    def spooled(self) -> bool:
        """Whether there is a journal on disk."""
        return self._spool is not None

    @property
    def spool_failures(self) -> int:
        """How often the disk refused."""
        return self._spool.failures if self._spool else 0

    def put(self, event: dict[str, Any]) -> bool:
        """Take an event; returns whether there was room."""
        line = encode(event)
        max_events, max_bytes = self._limits
        with self._lock:
            full = len(self) >= max_events or self._bytes + len(line) > max_bytes
            if full or len(line) + 2 > self._batch[1]:
                self.dropped += 1
                return False
            if self._spool:
                self._spool.append(event)
            was_full = self._full()
            self._events.append((line, self._monotonic_ms()))
            self._bytes += len(line)
            due = len(self._events) == 1 or (self._full() and not was_full)
        if due:
            self._ready()
        return True

    def _full(self) -> bool:
        return len(self._events) >= self._batch[0] or self._bytes >= self._batch[1]

    def due_ms(self, *, flush: bool = False) -> float | None:
        """Return in how many milliseconds a batch is due; None where there is nothing to send."""
        if self._in_flight:
            return 0.0
        with self._lock:
            if not self._events:
                return None
            if flush or self._full():
                return 0.0
            return max(0.0, self._events[0][1] + self._batch[2] - self._monotonic_ms())

    def take(self) -> Batch | None:
        """Return the batch to send: the one that was not delivered yet, else a new one."""
        if self._in_flight:
            return self._in_flight[0]
        with self._lock:
            batch_events, batch_bytes, _ = self._batch
            lines: list[bytes] = []
            size = 1
            while self._events and len(lines) < batch_events:
                size += len(self._events[0][0]) + 1
                if lines and size > batch_bytes:
                    break
                lines.append(self._events.popleft()[0])
            if not lines:
                return None
            batch = Batch(secrets.token_hex(16), tuple(lines))
            self._in_flight.append(batch)
            return batch

    def sync(self) -> None:
        """Have what the spool took survive a power cut; may block."""
        if self._spool:
            self._spool.sync()

    def settle(self, batch: Batch) -> None:
        """Forget a batch that is delivered, or given up."""
        with self._lock:
            self._in_flight.remove(batch)
            self._bytes -= sum(map(len, batch.lines))
            if self._spool:
                self._spool.delivered(len(batch.lines))

    def split(self, batch: Batch) -> bool:
        """Put two halves in place of a batch; returns False where it has one event only."""
        half = len(batch.lines) // 2
        if not half:
            return False
        with self._lock:
            self._in_flight.remove(batch)
            for lines in (batch.lines[half:], batch.lines[:half]):
                self._in_flight.appendleft(Batch(secrets.token_hex(16), lines))
        return True

    def close(self) -> int:
        """Close the spool, where what is not delivered stays.

        Returns:
            How many events are lost by that.

        """
        with self._lock:
            if self._spool is None:
                return len(self)
            lost = self._spool.in_memory_only
            self._spool.close()
            return lost
