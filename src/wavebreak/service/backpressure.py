"""Backpressure: which requests are refused so that what waits for the log stays bounded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from wavebreak.service.pending_requests import IdempotencyConflictError, IdempotencyKey
from wavebreak.service.pipeline import Pipeline
from wavebreak.service.settings import Limits

SLOWDOWN_SHARE = 4
"""Decoding pauses at this fraction of the lag at which requests are refused: about half a second of
the engine's work, so that senders wait before any of them is refused."""


def should_pause_decoding(pipeline: Pipeline, limits: Limits) -> bool:
    """Whether decoding should wait until the engine has caught up."""
    return not pipeline.engine_thread.broken and (
        pipeline.lag > limits.behind_events // SLOWDOWN_SHARE
    )


class Backpressure:
    """Counts the requests that wait for the log, and their Idempotency-Keys."""

    def __init__(self, limits: Limits) -> None:
        self.bodies, self.bytes = 0, 0
        self._limits = limits
        self._keys: set[bytes] = set()

    def reason_to_refuse(self, pipeline: Pipeline | None, size: int) -> str:
        """Return why a body of `size` bytes cannot be held now; empty if it can."""
        limits = self._limits
        if pipeline is None:
            return "the log is being recovered"
        if pipeline.log_writer.failing:
            return "the log cannot be written"
        if pipeline.engine_thread.broken:
            return "the engine has stopped"
        if self.bodies >= limits.bodies or self.bytes + size > limits.queue_bytes:
            return "the queue for the log is full"
        if pipeline.lag > limits.behind_events:
            return "the engine lags behind the log"
        return ""

    @contextmanager
    def hold(self, size: int, key: IdempotencyKey | None) -> Iterator[None]:
        """Count a request while the block runs.

        Raises:
            IdempotencyConflictError: A request with this key is in progress.
        """
        if key and key.key in self._keys:
            raise IdempotencyConflictError(
                "a request with this Idempotency-Key is in progress",
                409,
                fix="wait for its response",
            )
        self.bodies, self.bytes = self.bodies + 1, self.bytes + size
        if key:
            self._keys.add(key.key)
        try:
            yield
        finally:
            self.bodies, self.bytes = self.bodies - 1, self.bytes - size
            if key:
                self._keys.discard(key.key)
