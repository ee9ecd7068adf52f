"""Sightings: which accounts were at a place, and when last; bounded for each place and in all.

A place is a network, or an account with whom others chat. Of each place the newest sightings are
kept, one an account, in an order that the log alone determines.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from wavebreak.compiled.numba_runtime import compiled, int64

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
