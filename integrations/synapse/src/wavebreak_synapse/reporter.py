"""Delivers what the feed reads: a batch at a time, and its positions once it is in the log."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from wavebreak_synapse.feed import Batch, Bounds, Feed
from wavebreak_synapse.metrics import Metrics
from wavebreak_synapse.service import ClosedError, Service

log = logging.getLogger("wavebreak_synapse")

FLUSH_S = 1.0
SLOW_MS = 1_000
"""How often the tables without a stream are read: outbox and reports."""


class Reporter:
    """Runs on the worker that runs background tasks.

    Args:
        feed: What is read.
        service: Where it is delivered.
        metrics: What is counted.
        now_ms: The homeserver's clock.
        bounds: Up to where the streams may be read.
        run_db: Runs a function in a transaction.
        run_in_thread: Runs a function in a thread.
    """

    def __init__(
        self,
        feed: Feed,
        service: Service,
        metrics: Metrics,
        *,
        now_ms: Callable[[], int],
        bounds: Callable[[], Bounds],
        run_db: Callable[..., Awaitable[object]],
        run_in_thread: Callable[..., Awaitable[object]],
    ) -> None:
        self._feed = feed
        self._service = service
        self._metrics = metrics
        self._now_ms = now_ms
        self._bounds = bounds
        self._run_db = run_db
        self._run_in_thread = run_in_thread
        self._started = False
        self._waiting: Batch | None = None
        self._read_at = 0

    async def run(self) -> None:
        """Deliver what there is; called again and again."""
        if not self._started:
            await self._run_db("wavebreak_start", self._feed.start, self._bounds(), self._now_ms())
            self._started = True
        more = True
        while more:
            more = await self._step()

    async def _step(self) -> bool:
        batch = self._waiting
        events = []
        if batch is None:
            batch = await self._read()
            if batch is None:
                return False
            events = batch.events
        if events or self._waiting is not None:
            self._metrics.held.set(len(batch.events))
            try:
                done = await self._run_in_thread(self._service.deliver, events, FLUSH_S)
            except ClosedError:
                return False
            self._waiting = None if done else batch
            if not done:
                return False
            self._metrics.held.set(0)
            self._metrics.delivered.inc(len(batch.events))
            if batch.newest_ts is not None:
                self._metrics.lag.set(max(0, self._now_ms() - batch.newest_ts) / 1000)
        if batch.positions or batch.outbox:
            await self._run_db("wavebreak_delivered", self._feed.delivered, batch)
            self._feed.advance(batch)
        return batch.more

    async def _read(self) -> Batch | None:
        bounds, now = self._bounds(), self._now_ms()
        if self._feed.is_current(bounds) and now - self._read_at < SLOW_MS:
            return None
        self._read_at = now
        found = await self._run_db("wavebreak_read", self._feed.read, bounds, now)
        return found if isinstance(found, Batch) else None
