"""Clock of a log, in lists: its newest accepted date, and events dated far ahead of it."""

from __future__ import annotations

from collections import Counter

from wavebreak.features.facts import (
    BUSY,
    FAR_AHEAD_ACCEPTED_AFTER,
    FAR_AHEAD_ACCEPTED_MAX,
    LEAP_MS,
    SPELL_MS,
)


class LogTime:
    """The newest date accepted in the log (-1: none yet).

    >>> time = LogTime(60_000)
    >>> [time.date(ts) for ts in (5, 10**12, 6)], [time.date(10**12) for _ in range(8)][6:]
    ([5, 5, 6], [6, 1000000000000])
    """

    def __init__(self, lateness_ms: int) -> None:
        self.newest = -1
        self._lateness_ms = lateness_ms
        self._in_spell: Counter[int] = Counter()
        self._ahead: list[int] = []

    def date(self, ts: int, *, label: bool = False) -> int:
        """Take an event that is not late; returns the date at which it is taken.

        A label that is dated far ahead keeps its date, and moves nothing.
        """
        if self.newest < 0:
            self.newest = ts
        last_two = sorted(self._in_spell)[-2:]
        spell = max((self._in_spell[number] for number in last_two), default=0)
        leap = self._lateness_ms // 2 if spell >= BUSY else max(self._lateness_ms, LEAP_MS)
        if label and ts > self.newest + leap:
            return ts
        if ts > self.newest + leap:
            self._ahead.append(ts)
            if len(self._ahead) >= min(
                FAR_AHEAD_ACCEPTED_AFTER + spell // 80, FAR_AHEAD_ACCEPTED_MAX
            ):
                self.newest = min(self._ahead)
                self._ahead = []
        if ts > self.newest + leap:
            return self.newest
        if ts > self.newest:
            self.newest = ts
            self._in_spell[ts // SPELL_MS] += 1
        self._ahead = []
        return ts
