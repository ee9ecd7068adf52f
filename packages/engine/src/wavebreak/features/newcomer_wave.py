"""Waves of newcomers: how many came and whom they wrote to in the last hour, and as a rule.

Many accounts that register together and write to a few strangers each stay below every bound of
one account. What they share is when they came. So the platform counts, over all accounts, those
that registered, the strangers whom young accounts wrote to first, and those of the strangers who
answered. Sums halve in an hour; beside them stands what an hour has had as a rule, from sums that
halve in a week, over at least twelve hours, so that a new log begins low. Strangers who are
newcomers themselves do not count: a ring that talks to itself is no reaction.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from wavebreak.features.layout import NEW_ACCOUNT
from wavebreak.features.values import ONE, WEEK_HALF_LIFE
from wavebreak.features.windows import decay

HOUR_HALF_LIFE: Final = 60
COUNTED: Final = 3
"""What is counted: accounts that came, strangers contacted, answers of strangers."""
MOST: Final = 1 << 46
"""The largest sum that is held, in 1/65,536."""
LEAST_MINUTES: Final = 720
"""The rule of a log that is younger is as if nobody had come before."""
# Minutes of a steady stream that a sum with a half-life holds: the half-life over ln 2.
_HOUR_HOLDS = 87
_WEEK_HOLDS = 14_543


class NewcomerWave:
    """Decayed counts over all accounts, as of the last closed epoch.

    >>> wave = NewcomerWave()
    >>> wave.open(0)
    >>> wave.add(0, (15, 30, 2))
    >>> [round(value / ONE, 1) for value in wave.values(1)]
    [14.8, 1.8, 29.7, 3.6, 2.0, 0.2]
    """

    def __init__(self) -> None:
        # The first epoch and the newest counted one, plus one (0: none yet); sums in 1/65,536.
        self._first = self._counted = 0
        self._hour, self._week = [0] * COUNTED, [0] * COUNTED

    def open(self, epoch: int) -> None:
        """Take over the log's first epoch, where none is known."""
        self._first = self._first or epoch + 1

    def add(self, epoch: int, counts: Any) -> None:
        """Add the counts of a closed epoch: accounts, strangers contacted, answers."""
        if not any(counts):
            return
        for sums, half_life in ((self._hour, HOUR_HALF_LIFE), (self._week, WEEK_HALF_LIFE)):
            for i, held in enumerate(self._faded(sums, epoch, half_life)):
                sums[i] = min(held + int(counts[i]) * ONE, MOST)
        self._counted = epoch + 1

    def values(self, epoch: int) -> tuple[int, ...]:
        """Return what is read in an epoch, in 1/65,536.

        Accounts that came in the last hour and as a rule, strangers contacted, and answers, each in
        the hour and as a rule.
        """
        hour = self._faded(self._hour, epoch, HOUR_HALF_LIFE)
        before = int(decay(_WEEK_HOLDS * ONE, self._first - 1, epoch, WEEK_HALF_LIFE)) // ONE
        lasted = _WEEK_HOLDS - before if self._first else 0
        over = max(lasted, LEAST_MINUTES)
        week = self._faded(self._week, epoch, WEEK_HALF_LIFE)
        rule = [held * _HOUR_HOLDS // over for held in week]
        return tuple(value for pair in zip(hour, rule, strict=True) for value in pair)

    def _faded(self, sums: list[int], epoch: int, half_life: int) -> list[int]:
        since = self._counted - 1
        return [int(decay(held, since, epoch, half_life)) for held in sums]

    def dump(self) -> Any:
        """Return the log's first epoch, the last one counted, and the sums: int64[8]."""
        return np.array([self._first, self._counted, *self._hour, *self._week], np.int64)

    def load(self, numbers: Any | None) -> None:
        """Restore a dump; without any, counting begins with the next epoch."""
        held = [0] * (2 + 2 * COUNTED) if numbers is None else [int(n) for n in numbers]
        self._first, self._counted = held[:2]
        self._hour, self._week = held[2 : 2 + COUNTED], held[2 + COUNTED :]


def counts_of(partials: Any) -> Any:
    """Return what an epoch's contributions (dtype DELTA) count: int64[3]."""
    total = np.zeros(COUNTED, np.int64)
    for partial in partials:
        found = partial["table"][partial["table"] >= NEW_ACCOUNT] - NEW_ACCOUNT
        total += np.bincount(found, minlength=COUNTED)
    return total
