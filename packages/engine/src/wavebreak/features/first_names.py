"""Which events of the log name an account, a network, a device or a client for the first time.

Slots are numbered in order of appearance, so that a new name raises the highest one.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from wavebreak.features.facts import AROUND, Fanout

_NAMED = ((("account", "peer"), 0xFFFFFFFF), (AROUND, 0))
"""Columns of slots, of accounts and of all else, and the slot that names nothing."""


class FirstNames:
    """Counts new names of events, in the order of the log.

    Args:
        fanout: What has numbered the names so far.
    """

    def __init__(self, fanout: Fanout) -> None:
        # Slots of what is no account begin with 1.
        self._tops = [len(fanout.accounts) - 1, len(fanout.entities)]

    def count(self, events: Any) -> tuple[Any, Any]:
        """Return the places of events (dtype EVENT) with new names, rising, and how many each."""
        new = np.zeros(events.size, np.int64)
        for which, (columns, none) in enumerate(_NAMED):
            slots = np.stack([events[name] for name in columns], axis=1)
            slots = np.where(slots == none, -1, slots.astype(np.int64))
            top = self._tops[which]
            if slots.size and int(slots.max()) > top:
                highest = np.maximum.accumulate(np.maximum(slots.max(axis=1), top))
                new += np.diff(highest, prepend=top)
                self._tops[which] = int(highest[-1])
        at = np.flatnonzero(new)
        return at, new[at]
