"""Token buckets: the rate limit of an API key, and its budgets of events and bytes."""

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

    def charge(self, tokens: float) -> None:
        """Take tokens that are spent already; the bucket may go negative."""
        with self._lock:
            now = self._clock()
            self._tokens = min(self.burst, self._tokens + max(0.0, now - self._at) * self.rate)
            self._at = now
            self._tokens -= tokens


BUDGET_S = 10.0
"""Seconds of its rates that a key may spend at once."""


class KeyBudgets:
    """Budgets of events and bytes by API key.

    What a body costs is known once it is decoded. It is charged then, and a key in debt waits.

    >>> now = [0.0]
    >>> budgets = KeyBudgets(10, 1000, lambda: now[0])
    >>> budgets.charge("key", 250, 5)
    >>> budgets.wait_s("key"), budgets.wait_s("other")
    (15.0, 0.0)
    """

    def __init__(self, events: float, size: float, clock: Callable[[], float]) -> None:
        self._rates, self._clock = (events, size), clock
        self._buckets: dict[str, tuple[TokenBucket, ...]] = {}

    def wait_s(self, key: str) -> float:
        """Return the seconds until a key is out of debt."""
        return max((bucket.take(0.0) for bucket in self._buckets.get(key, ())), default=0.0)

    def charge(self, key: str, events: int, size: int) -> None:
        """Charge a key for a body of so many events and decompressed bytes."""
        if key not in self._buckets:
            self._buckets[key] = tuple(
                TokenBucket(rate, rate * BUDGET_S, self._clock) for rate in self._rates
            )
        for bucket, cost in zip(self._buckets[key], (events, size), strict=True):
            bucket.charge(cost)
