"""The time of a log, said in lists: its newest believed date, and what is dated far ahead of it."""

from __future__ import annotations

from collections import Counter

from wavebreak.features.facts import BELIEVED_AT, BELIEVED_AT_MOST, EPOCH_MS, LEAP_MS


class LogTime:
    """The newest date that the log has been believed to hold (-1: none yet).

    >>> time = LogTime()
    >>> [time.date(ts) for ts in (5, 10**12, 6)], [time.date(10**12) for _ in range(8)][6:]
    ([5, 5, 6], [6, 1000000000000])
    """

    def __init__(self) -> None:
        self.newest = -1
        self._in_epoch: Counter[int] = Counter()
        self._ahead: list[int] = []

    def date(self, ts: int) -> int:
        """Take an event that is not late; returns the date at which it is taken."""
        if self.newest < 0:
            self.newest = ts
        if ts > self.newest + LEAP_MS:
            self._ahead.append(ts)
            if len(self._ahead) >= self._needed():
                self.newest = min(self._ahead)
                self._ahead, self._in_epoch = [], Counter()
        if ts > self.newest + LEAP_MS:
            return self.newest
        self.newest = max(self.newest, ts)
        self._in_epoch[self.newest // EPOCH_MS] += 1
        self._ahead = []
        return ts

    def _needed(self) -> int:
        """How many in a row are believed: an eighth of the open epoch or the last that held any."""
        last_two = sorted(self._in_epoch)[-2:]
        busy = max((self._in_epoch[epoch] for epoch in last_two), default=0)
        return min(BELIEVED_AT + busy // 8, BELIEVED_AT_MOST)
