"""Token bucket: the rate limit of an API key."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock


class TokenBucket:
    """`rate` tokens a second, at most `burst` at once; `clock` returns monotonic seconds.

    >>> now = [0.0]
    >>> bucket = TokenBucket(2, 2, lambda: now[0])
    >>> [bucket.take() for _ in range(3)]
    [0.0, 0.0, 0.5]
    >>> now[0] = 0.5
    >>> bucket.take()
    0.0
    """

    def __init__(self, rate: float, burst: float, clock: Callable[[], float]) -> None:
        self.rate, self.burst = rate, burst
        self._clock, self._lock = clock, Lock()
        self._tokens, self._at = burst, clock()

    def take(self, tokens: float = 1.0) -> float:
        """Take tokens and return 0, or take none and return the seconds to wait.

        More tokens than the burst are taken from a full bucket, which then goes negative.
        """
        with self._lock:
            now = self._clock()
            self._tokens = min(self.burst, self._tokens + max(0.0, now - self._at) * self.rate)
            self._at = now
            missing = min(tokens, self.burst) - self._tokens
            if missing > 0:
                return missing / self.rate
            self._tokens -= tokens
            return 0.0
