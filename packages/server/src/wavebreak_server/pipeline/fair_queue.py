"""Fair queue: requests of several senders, each sender in turn."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque

from wavebreak_server.pipeline.pending_requests import PendingRequest

TURN_BYTES = 64 << 10
"""Bytes of bodies that a sender's turn gives; a larger body is a turn of its own."""


class FairQueue:
    """Requests in the order of each sender; the senders take turns. For several threads.

    A sender with many requests delays its own, and those of the others by one turn at most.
    """

    def __init__(self) -> None:
        self._ready = threading.Condition()
        self._senders: OrderedDict[str, deque[PendingRequest]] = OrderedDict()
        self._given, self._closed = 0, False

    def put(self, request: PendingRequest) -> None:
        """Queue a request behind those of its sender."""
        with self._ready:
            self._senders.setdefault(request.sender, deque()).append(request)
            self._ready.notify()

    def put_back(self, requests: list[PendingRequest]) -> None:
        """Queue requests that were taken before those of their senders, in their order."""
        with self._ready:
            for request in reversed(requests):
                self._senders.setdefault(request.sender, deque()).appendleft(request)
                self._ready.notify()

    def close(self) -> None:
        """Let `get` return None once the queue is empty."""
        with self._ready:
            self._closed = True
            self._ready.notify_all()

    def get(self, timeout_s: float | None = None) -> PendingRequest | None:
        """Wait for a request; None if the queue is closed and empty, or after the timeout."""
        with self._ready:
            self._ready.wait_for(lambda: self._senders or self._closed, timeout_s)
            return self._take()

    def get_nowait(self) -> PendingRequest | None:
        """Return a request, None if there is none."""
        with self._ready:
            return self._take()

    def get_next_of(self, sender: str) -> PendingRequest | None:
        """Return a sender's next request, None if there is none."""
        with self._ready:
            if sender not in self._senders:
                return None
            self._senders.move_to_end(sender, last=False)
            return self._take()

    @property
    def ended(self) -> bool:
        """Whether the queue is closed and empty."""
        return self._closed and not self._senders

    def _take(self) -> PendingRequest | None:
        if not self._senders:
            return None
        sender, requests = next(iter(self._senders.items()))
        request = requests.popleft()
        self._given += len(request.body.content)
        if not requests:
            del self._senders[sender]
            self._given = 0
        elif self._given >= TURN_BYTES:
            self._senders.move_to_end(sender)
            self._given = 0
        return request
