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
_AT_MOST = 1 << 46
_LONG_AGO = 1


class NewcomerShare:
    """Decayed account-minutes of newcomers and of everybody, as of the last closed epoch.

    Attributes:
        numbers: The log's first epoch plus one (0: none yet), the last one counted plus one,
            minutes of everybody and of newcomers, in 1/65,536: int64[4].

    >>> share = NewcomerShare()
    >>> share.open(0)
    >>> share.add(0, 10, 6)
    >>> share.exceeds(ONE // 2, 1), share.exceeds(ONE * 6 // 10, 1)
    (True, False)
    >>> share.exceeds(ONE // 2, OPENING_EPOCHS)
    False
    """

    def __init__(self) -> None:
        self.numbers = np.zeros(4, np.int64)

    def open(self, epoch: int) -> None:
        """Take over the log's first epoch, where none is known."""
        if self.numbers[0] == 0:
            self.numbers[0] = epoch + 1

    def is_counted(self, epoch: int) -> bool:
        """Whether the log is so young in an epoch that the share counts."""
        return bool(epoch + 1 - int(self.numbers[0]) < OPENING_EPOCHS)

    def add(self, epoch: int, active: int, newcomers: int) -> None:
        """Add the accounts that were active in a closed epoch, and the newcomers among them."""
        if not active:
            return
        _, as_of, everybody, new = (int(n) for n in self.numbers)
        age = epoch + 1 - as_of if as_of else 0
        everybody = int(decay(everybody, age, ARRIVALS_HALF_LIFE)) + active * ONE
        new = int(decay(new, age, ARRIVALS_HALF_LIFE)) + newcomers * ONE
        self.numbers[1:] = epoch + 1, min(everybody, _AT_MOST), min(new, _AT_MOST)

    def exceeds(self, most: int, epoch: int) -> bool:
        """Whether the share is above `most` (in 1/65,536) in an epoch of a log so young."""
        everybody, new = int(self.numbers[2]), int(self.numbers[3])
        return self.is_counted(epoch) and new * ONE > most * everybody

    def hold(self, numbers: Any | None) -> None:
        """Restore the numbers of a dump; without any, the log counts as long begun."""
        self.numbers[:] = (_LONG_AGO, 0, 0, 0) if numbers is None else numbers
