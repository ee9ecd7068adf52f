"""Backpressure: which requests are refused so that what waits for the log stays bounded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from wavebreak_server.pipeline.log_writer import refusal_of
from wavebreak_server.pipeline.pending_requests import IdempotencyConflictError, IdempotencyKey
from wavebreak_server.pipeline.pipeline import Pipeline
from wavebreak_server.settings import Limits

SLOWDOWN_SHARE = 4
"""Decoding pauses at this fraction of the lag at which requests are refused: about half a second of
the engine's work, so that senders wait before any of them is refused."""


SENDER_SHARE = 2
"""One API key may fill this fraction of the queue, so that it does not keep others out."""


def should_pause_decoding(pipeline: Pipeline, limits: Limits) -> bool:
    """Whether decoding should wait until the engine has caught up."""
    return not pipeline.decider.broken and (pipeline.lag > limits.behind_events // SLOWDOWN_SHARE)


class Backpressure:
    """Counts the requests that arrive or wait for the log, and their Idempotency-Keys."""

    def __init__(self, limits: Limits) -> None:
        self.bodies, self.bytes = 0, 0
        self._bodies_of: Counter[str] = Counter()
        self._bytes_of: Counter[str] = Counter()
        self._limits = limits
        self._keys: set[bytes] = set()

    def reason_to_refuse(self, pipeline: Pipeline | None, size: int, sender: str = "") -> str:
        """Return why a sender's body of `size` bytes cannot be held now; empty if it can."""
        limits = self._limits
        if pipeline is None:
            return "the log is being recovered"
        if pipeline.log_writer.failing:
            return refusal_of(pipeline.log_writer.failing)
        if pipeline.log_writer.stalled_s > limits.stall_s:
            return "the database does not answer"
        if pipeline.decider.broken:
            return "the engine has stopped"
        if self.bodies >= limits.bodies or self.bytes + size > limits.queue_bytes:
            return "the queue for the log is full"
        if sender and self._has_its_share(sender, size):
            return "this key fills its share of the queue for the log"
        if pipeline.lag > limits.behind_events:
            return "the engine lags behind the log"
        return ""

    def _has_its_share(self, sender: str, size: int) -> bool:
        limits = self._limits
        most = max(limits.queue_bytes // SENDER_SHARE, limits.body)
        return (
            self._bodies_of[sender] >= limits.bodies // SENDER_SHARE
            or self._bytes_of[sender] + size > most
        )

    @contextmanager
    def receiving(self, sender: str) -> Iterator[Callable[[int], None]]:
        """Give what counts the bytes of a body as they arrive, until the block ends."""
        own = 0

        def arrived(size: int) -> None:
            nonlocal own
            own += size
            self._add(sender, 0, size)

        try:
            yield arrived
        finally:
            self._add(sender, 0, -own)

    def _add(self, sender: str, bodies: int, size: int) -> None:
        self.bodies, self.bytes = self.bodies + bodies, self.bytes + size
        if not sender:
            return
        for counter, change in ((self._bodies_of, bodies), (self._bytes_of, size)):
            counter[sender] += change
            if not counter[sender]:
                del counter[sender]

    @contextmanager
    def hold(self, size: int, key: IdempotencyKey | None, sender: str = "") -> Iterator[None]:
        """Count a sender's request while the block runs.

        Raises:
            IdempotencyConflictError: A request with this key is in progress.
        """
        if key and key.key in self._keys:
            raise IdempotencyConflictError(
                "a request with this Idempotency-Key is in progress",
                409,
                fix="wait for its response",
            )
        self._add(sender, 1, size)
        if key:
            self._keys.add(key.key)
        try:
            yield
        finally:
            self._add(sender, -1, -size)
            if key:
                self._keys.discard(key.key)
