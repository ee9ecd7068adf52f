"""Who was where: meetings at a device, sightings at other places, and registrations of an hour.

A place of a sighting is a network, or an account with whom others chat. Of each place the newest
sightings are kept, one an account, in an order that the log alone determines.

Of each device the last six accounts are kept (of those of one epoch the highest slots, so that an
order within it does not matter). A device with more than six accounts within the time is a hub (a
phone that a village shares) and ties nobody.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from wavebreak.compiled.numba_runtime import compiled, int64
from wavebreak.linking.edges import Kind

MOST_SIGHTINGS: Final = 1 << 22
"""Sightings that are kept (64 MiB); beyond, the oldest go."""
SIGHTING = np.dtype([("key", "u8"), ("epoch", "u4"), ("marks", "u4")])
"""A sighting: the place << 32 | the account's slot, the epoch of the last one, and bits that the
caller gives a meaning."""


@compiled()
def _merge(held: Any, new: Any, merged: Any) -> int:
    """Merge sightings, both by key; of one in both the new epoch and all marks. Return how many."""
    n, j = int64(0), int64(0)
    for i in range(new.size):
        while j < held.size and held[j].key < new[i].key:
            merged[n] = held[j]
            n, j = n + 1, j + 1
        merged[n] = new[i]
        if j < held.size and held[j].key == new[i].key:
            merged[n].marks |= held[j].marks
            j += 1
        n += 1
    while j < held.size:
        merged[n] = held[j]
        n, j = n + 1, j + 1
    return n


class Sightings:
    """Sightings by place and account.

    Args:
        each: Sightings that are kept of one place.
        lasts: Epochs after which `compact` forgets one.
        most: Sightings that are kept in all.

    >>> seen = Sightings(each=2, lasts=10)
    >>> seen.note(np.array([7, 7, 7]), np.array([3, 1, 2]), np.array([1, 0, 0]), 5)
    >>> (seen.records["key"] & np.uint64(0xFFFFFFFF)).tolist()
    [2, 3]
    """

    def __init__(self, each: int, lasts: int, most: int = MOST_SIGHTINGS) -> None:
        self.each, self.lasts, self.most = each, lasts, most
        self.records = np.zeros(0, SIGHTING)

    def note(self, places: Any, slots: Any, marks: Any, epoch: int) -> None:
        """Note who is where in an epoch (int64 each); marks add to those of earlier sightings."""
        if not places.size:
            return
        keys = places.astype(np.uint64) << np.uint64(32) | slots.astype(np.uint64)
        order = np.argsort(keys, kind="stable")
        keys, marks = keys[order], marks[order]
        begins = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
        new = np.zeros(begins.size, SIGHTING)
        new["key"], new["epoch"] = keys[begins], epoch
        new["marks"] = np.bitwise_or.reduceat(marks, begins)
        merged = np.zeros(self.records.size + new.size, SIGHTING)
        self.records = merged[: _merge(self.records, new, merged)]
        noted = new["key"] >> np.uint64(32)
        self._keep_newest(noted[np.concatenate([[True], noted[1:] != noted[:-1]])])

    def compact(self, epoch: int) -> None:
        """Forget the sightings that are too old."""
        self.records = self.records[self.records["epoch"].astype(np.int64) > epoch - self.lasts]

    def load(self, records: Any) -> None:
        """Restore the sightings of a dump (`records`)."""
        self.records = records.copy()

    def _keep_newest(self, places: Any) -> None:
        """Drop the oldest sightings of places with too many, and of all if they are too many."""
        keys, low = self.records["key"], places << np.uint64(32)
        begins = np.searchsorted(keys, low)
        many = np.searchsorted(keys, low | np.uint64(0xFFFFFFFF), side="right") - begins
        crowded = np.flatnonzero(many > self.each)
        if crowded.size:
            stay = np.ones(keys.size, np.bool_)
            for begin, size in zip(begins[crowded].tolist(), many[crowded].tolist(), strict=True):
                epochs = self.records["epoch"][begin : begin + size]
                oldest = np.argsort(epochs, kind="stable")[: size - self.each]
                stay[begin + oldest] = False
            self.records = self.records[stay]
        if self.records.size > self.most:
            newest = np.argsort(self.records["epoch"], kind="stable")[-self.most :]
            self.records = self.records[np.sort(newest)]


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


EPOCHS_AN_HOUR: Final = 60
MOST_ON_BLOCK: Final = 24
"""More registrations within the hour on one number block and network are a campaign of the
operator of the network, or a campus: they tie nobody."""
MOST_ON_NETWORK: Final = 8
REGISTRATION = np.dtype([("hour", "u4"), ("block", "u4"), ("network", "u4"), ("slot", "u4")])
"""A registration that waits for the end of its hour; entities plus one (0: none)."""


def close_hours(waiting: Any, epoch: int) -> tuple[Any, tuple[Any, Any, Any]]:
    """Return the registrations that still wait, and the edges of the hours that have ended.

    Edges are ends and kinds (int64). Each account is tied to the two that follow it, by slot.

    >>> rows = np.array([(0, 1, 1, 4), (0, 1, 1, 9), (1, 1, 1, 12)], REGISTRATION)
    >>> left, (one, other, kinds) = close_hours(rows, 60)
    >>> left["slot"].tolist(), one.tolist(), other.tolist(), [Kind(k).name for k in kinds]
    ([12], [4, 4], [9, 9], ['BLOCK', 'NETWORK'])
    """
    over = waiting["hour"].astype(np.int64) < epoch // EPOCHS_AN_HOUR
    ended = waiting[over]
    parts: list[tuple[Any, Any, Any]] = []
    if ended.size:
        by_block = np.unique(ended[(ended["block"] > 0) & (ended["network"] > 0)])
        parts += _ties(by_block, ("hour", "block", "network"), Kind.BLOCK, MOST_ON_BLOCK)
        by_network = ended[ended["network"] > 0]
        by_network["block"] = 0
        by_network = np.unique(by_network)
        parts += _ties(by_network, ("hour", "network"), Kind.NETWORK, MOST_ON_NETWORK)
    none = np.zeros(0, np.int64)
    one, other, kinds = (np.concatenate([none, *(part[k] for part in parts)]) for k in range(3))
    return waiting[~over], (one, other, kinds)


def _ties(
    rows: Any, keys: tuple[str, ...], kind: Kind, most: int
) -> list[tuple[Any, Any, Any]]:  # fmt: skip
    """Tie the accounts of each group of equal keys that is small enough."""
    if rows.size < 2:
        return []
    rows = rows[np.lexsort((rows["slot"], *(rows[key] for key in reversed(keys))))]
    same = np.ones(rows.size - 1, bool)
    for key in keys:
        same &= rows[key][1:] == rows[key][:-1]
    group = np.concatenate([[0], np.cumsum(~same)])
    small = np.bincount(group)[group] <= most
    slots, found = rows["slot"].astype(np.int64), []
    for step in (1, 2):
        if rows.size <= step:
            continue
        tied = (group[step:] == group[:-step]) & small[step:]
        one, other = slots[:-step][tied], slots[step:][tied]
        apart = one != other
        one, other = one[apart], other[apart]
        found.append((one, other, np.full(one.size, kind, np.int64)))
    return found
