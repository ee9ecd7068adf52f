"""The difference between the service's clock and this machine's, from the Date of its answers."""

from __future__ import annotations

from collections import deque
from email.utils import parsedate_to_datetime
from typing import NamedTuple

USED_MS = 5_000
"""Beyond this the service's time is used for `ts`."""
REPORTED_MS = 30_000
"""Beyond this the health says so."""


_NOISE_MS = 2_000
"""A Date may be a second old where a server makes it once a second: less is no difference."""


class _Sample(NamedTuple):
    low: int
    high: int


class ServerClock:
    """Estimates the offset of the service's clock: positive where it is ahead.

    A Date has whole seconds, and the answer was made between sending and receiving: so each gives
    an interval. The offset is 0 where the interval holds 0, else its middle.

    >>> clock = ServerClock()
    >>> clock.observe("Thu, 01 Jan 1970 00:01:00 GMT", sent_ms=10_000, received_ms=10_010)
    >>> clock.offset_ms
    50494
    """

    def __init__(self) -> None:
        self._samples: deque[_Sample] = deque(maxlen=8)

    def observe(self, date: str | None, *, sent_ms: int, received_ms: int) -> None:
        """Take the Date of an answer, and when this machine sent and received."""
        if not date or received_ms < sent_ms:
            return
        try:
            at = int(parsedate_to_datetime(date).timestamp() * 1000)
        except ValueError:
            return
        self._samples.append(_Sample(at - received_ms, at + 999 - sent_ms))

    @property
    def offset_ms(self) -> int:
        """Milliseconds to add to this machine's time; 0 where nothing is known."""
        # A copy, since other threads observe.
        samples = tuple(self._samples)
        if not samples:
            return 0
        quick = [each for each in samples if each.high - each.low <= 2_000]
        low, high = quick[-1] if quick else min(samples, key=lambda s: s.high - s.low)
        return 0 if low <= 0 <= high else (low + high) // 2

    def event_ms(self, now_ms: int) -> int:
        """Return the time to write into an event."""
        offset = self.offset_ms
        return now_ms + offset if abs(offset) > USED_MS else now_ms

    def server_ms(self, now_ms: int) -> int:
        """Return what time it is for the service."""
        offset = self.offset_ms
        return now_ms + offset if abs(offset) > _NOISE_MS else now_ms
