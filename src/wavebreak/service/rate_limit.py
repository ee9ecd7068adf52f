"""A token bucket: how often a key may ask, told by a clock that is given."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock


class Bucket:
    """`rate` tokens a second, at most `burst` at once; `clock` gives seconds that only rise.

    >>> now = [0.0]
    >>> bucket = Bucket(2, 2, lambda: now[0])
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
        """Take tokens and return 0, or take none and return the seconds until they are there.

        What is more than the burst is taken when the bucket is full, and owed.
        """
        with self._lock:
            now = self._clock()
            self._tokens = min(self.burst, self._tokens + max(0.0, now - self._at) * self.rate)
            self._at = now
            short = min(tokens, self.burst) - self._tokens
            if short > 0:
                return short / self.rate
            self._tokens -= tokens
            return 0.0
