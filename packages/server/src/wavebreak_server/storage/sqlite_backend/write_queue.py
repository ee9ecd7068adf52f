"""The turns of this process's connections to write into SQLite.

SQLite gives its lock to whichever writer asks at the right moment; the others ask again after up to
a tenth of a second. Beside a thread that commits all the time, a writer may miss every free moment
until its wait is over: "database is locked". Here the connections of a process write in the order
in which they asked, and meet only other processes at SQLite's lock.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any
from weakref import ReferenceType, ref

CHECK_S = 1.0
"""How often a waiting writer looks whether the one before it has gone without a word."""


class WriteQueue:
    """One turn after another.

    An owner whose object is gone has no turn any more.

    >>> queue, first, second = WriteQueue(), threading.Event(), threading.Event()
    >>> queue.enter(first, lambda: 1.0), queue.enter(second, lambda: 0.01)
    (True, False)
    >>> queue.leave(first)
    >>> queue.enter(second, lambda: 1.0)
    True
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holder: ReferenceType[Any] | None = None
        self._waiting: deque[tuple[threading.Event, ReferenceType[Any]]] = deque()

    def enter(self, owner: Any, wait_s: Callable[[], float]) -> bool:
        """Wait for the owner's turn; return False if it did not come in time.

        Args:
            owner: An object that can be referenced weakly; it calls `leave` afterwards.
            wait_s: Returns how long to wait; called where there is somebody to wait for.
        """
        turn, entry = threading.Event(), ref(owner)
        with self._lock:
            if self._is_free() and not self._waiting:
                self._holder = entry
                return True
            self._waiting.append((turn, entry))
        left_s = wait_s()
        while not turn.wait(min(CHECK_S, max(left_s, 0))):
            left_s -= CHECK_S
            with self._lock:
                if self._is_free():
                    self._pass_on()
                elif left_s <= 0 and not turn.is_set():
                    self._waiting.remove((turn, entry))
                    return False
        return True

    def leave(self, owner: Any) -> None:
        """Give the turn to the next one, if this is the owner's."""
        with self._lock:
            if self._holder is not None and self._holder() is owner:
                self._pass_on()

    def _is_free(self) -> bool:
        return self._holder is None or self._holder() is None

    def _pass_on(self) -> None:
        self._holder = None
        if self._waiting:
            turn, self._holder = self._waiting.popleft()
            turn.set()
