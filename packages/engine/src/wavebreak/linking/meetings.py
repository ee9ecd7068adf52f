"""Meetings: accounts that use the same device, a few days apart.

Of each device the last six accounts are kept (of those of one epoch the highest slots, so that an
order within it does not matter). A device with more than six accounts within the time is a hub (a
phone that a village shares) and ties nobody.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from wavebreak.compiled.numba_runtime import compiled, int64

ROOM: Final = 6
VISITORS = np.dtype([("slot", "u4", (ROOM,)), ("epoch", "u4", (ROOM,))])
"""The last accounts at one place: slots plus one (0: none), and when they came."""


@compiled()
def _visit(place: Any, account: int, epoch: int, lasts: int, others: Any) -> int:
    """Note a visit; fill in the other visitors (slots) and return how many, -1 for a known one."""
    alive, oldest = int64(0), int64(0)
    for j in range(ROOM):
        if int64(place.slot[j]) == account + 1:
            place.epoch[j] = epoch
            return int64(-1)
        if place.slot[j] > 0 and int64(place.epoch[j]) > epoch - lasts:
            others[alive] = int64(place.slot[j]) - 1
            alive += 1
        earlier = int64(place.epoch[j]) - int64(place.epoch[oldest])
        if earlier < 0 or (earlier == 0 and place.slot[j] < place.slot[oldest]):
            oldest = int64(j)
    place.slot[oldest] = account + 1
    place.epoch[oldest] = epoch
    return int64(0) if alive == ROOM else alive


@compiled()
def meet(places: Any, at: Any, accounts: Any, epoch: int, lasts: int, one: Any, other: Any) -> int:
    """Note visits, and write who met whom into `one` and `other` (int64); return how many did.

    Args:
        places: Records of dtype VISITORS.
        at: Index of the place of each visit (int64), in an order that the log alone determines.
        accounts: Slot of each visitor (int64).
        epoch: The epoch in which they came.
        lasts: Epochs for which a visit is remembered.
        one: Room for the visitors; `ROOM` for each visit.
        other: Room for those whom they met.

    """
    n, others = int64(0), np.zeros(ROOM, np.int64)
    for i in range(at.size):
        met = _visit(places[at[i]], int64(accounts[i]), epoch, lasts, others)
        for j in range(met):
            one[n], other[n] = accounts[i], others[j]
            n += 1
    return n
