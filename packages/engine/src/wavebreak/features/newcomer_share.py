"""Share of newcomers among the accounts that are active: whether a platform has just opened.

A model that was trained on settled platforms takes an account's youth, and that of its peers, for a
sign of abuse. Where everybody is new it is none. The share is taken over minutes: each account of
this platform (not of a remote server) counts in each epoch in which it acts, or in which somebody
acts on it whose network or registration is known; minutes halve in a day. It counts for the first
thirty days of a log only, so that a flood of newcomers cannot silence a model later.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from wavebreak.features.values import ARRIVALS_HALF_LIFE, ONE
from wavebreak.features.windows import decay

OPENING_EPOCHS = 30 * 1_440
"""Epochs (minutes) from a log's first one in which the share counts."""
MOST_MINUTES = 1 << 46
"""Most minutes that are held, in 1/65,536."""
_LONG_AGO = 1


class NewcomerShare:
    """Decayed account-minutes of everybody and of newcomers, as of the last closed epoch.

    >>> share = NewcomerShare()
    >>> share.open(0)
    >>> share.add(0, 10, 6)
    >>> share.exceeds(ONE // 2, 1), share.exceeds(ONE * 7 // 10, 1)
    (True, False)
    >>> share.exceeds(ONE // 2, OPENING_EPOCHS)
    False
    """

    def __init__(self) -> None:
        # Epochs are plus one (0: none yet), minutes in 1/65,536.
        self._first = self._counted = self._everybody = self._new = 0

    def open(self, epoch: int) -> None:
        """Take over the log's first epoch, where none is known."""
        self._first = self._first or epoch + 1

    def is_counted(self, epoch: int) -> bool:
        """Whether the log is so young in an epoch that the share counts."""
        return epoch + 1 - self._first < OPENING_EPOCHS

    def add(self, epoch: int, active: int, newcomers: int) -> None:
        """Add the accounts that were active in a closed epoch, and the newcomers among them."""
        if not active:
            return
        since = self._counted - 1
        everybody = int(decay(self._everybody, since, epoch, ARRIVALS_HALF_LIFE)) + active * ONE
        new = int(decay(self._new, since, epoch, ARRIVALS_HALF_LIFE)) + newcomers * ONE
        self._counted = epoch + 1
        self._everybody, self._new = min(everybody, MOST_MINUTES), min(new, MOST_MINUTES)

    def exceeds(self, most: int, epoch: int) -> bool:
        """Whether the share is above `most` (in 1/65,536) in an epoch of a log so young."""
        return self.is_counted(epoch) and self._new * ONE > most * self._everybody

    def dump(self) -> Any:
        """Return the log's first epoch, the last one counted, and minutes of both: int64[4]."""
        return np.array([self._first, self._counted, self._everybody, self._new], np.int64)

    def load(self, numbers: Any | None) -> None:
        """Restore a dump; without any, the log counts as long begun."""
        held = (_LONG_AGO, 0, 0, 0) if numbers is None else (int(n) for n in numbers)
        self._first, self._counted, self._everybody, self._new = held
