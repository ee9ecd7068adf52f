"""A circuit breaker for threads: after failures in a row the service is not asked for a while."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Literal


class Breaker:
    """Opens after `threshold` failures in a row for `open_s`; then lets one probe through.

    >>> now = [0.0]
    >>> breaker = Breaker(lambda: now[0])
    >>> for _ in range(3):
    ...     assert breaker.allows()
    ...     breaker.failed()
    >>> breaker.allows(), breaker.state
    (False, 'open')
    >>> now[0] = 2.0
    >>> breaker.allows(), breaker.allows(), breaker.state
    (True, False, 'half_open')

    """

    def __init__(
        self, monotonic_s: Callable[[], float], *, threshold: int = 3, open_s: float = 2.0
    ) -> None:
        self._monotonic_s, self._threshold, self._open_s = monotonic_s, threshold, open_s
        self._failures = 0
        self._opened_at: float | None = None
        self._probing = False
        self._lock = threading.Lock()

    @property
    def state(self) -> Literal["closed", "open", "half_open"]:
        """Closed: every question is asked. Open: none. Half open: one, to see how it goes."""
        opened_at = self._opened_at
        if opened_at is None:
            return "closed"
        passed = self._monotonic_s() - opened_at >= self._open_s
        return "half_open" if passed or self._probing else "open"

    def allows(self) -> bool:
        """Return whether to ask; whoever asks then calls succeeded, failed or abandoned."""
        with self._lock:
            if self._opened_at is None:
                return True
            if self._probing or self._monotonic_s() - self._opened_at < self._open_s:
                return False
            self._probing = True
            return True

    def succeeded(self) -> None:
        """The service answered."""
        with self._lock:
            self._failures, self._opened_at, self._probing = 0, None, False

    def failed(self) -> None:
        """The service did not answer, or could not."""
        with self._lock:
            self._failures += 1
            reached = self._opened_at is None and self._failures >= self._threshold
            if self._probing or reached:
                self._opened_at = self._monotonic_s()
            self._probing = False

    def abandoned(self) -> None:
        """Whoever asked gave up before the answer."""
        self._probing = False
