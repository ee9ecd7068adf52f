"""Edges between accounts: what supports them, their weight in whole numbers, and their expiry."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Final

import numpy as np

LASTS: Final = 20_160
"""Epochs after which an edge expires that nothing supports anew: 14 days."""
LEAST_WEIGHT: Final = 3
"""Weight from which on an edge joins two accounts."""
MOST_EDGES: Final = 1 << 20
"""Edges that are kept; beyond, those whose support is oldest go."""
_LEAST_TARGETS, _TARGET_SHARE, _MOST_TARGETS = 3, 4, 8


class Kind(IntEnum):
    """What supports an edge; the order is that of the counts in EDGE."""

    TARGETS = 0
    """Both wrote first to the same stranger, of whom few others did."""
    SUCCESSION = 1
    """The same, one after the other had been found abusive by outside evidence."""
    DEVICE = 2
    """Both used one device, that few others used."""
    BLOCK = 3
    """Both registered within an hour on one number block and one network."""
    NETWORK = 4
    """Both registered within an hour on one network that few others registered on."""
    CHAIN = 5
    """Both were hijacked: one wrote to the other, or both were moved to one device or network."""


EDGE = np.dtype([("key", "u8"), ("first", "u4"), ("last", "u4"), ("counts", "u2", (len(Kind),))])
"""An edge: the lower slot << 32 | the higher one, epochs of its first and last support, and how
often each kind (index: Kind) supported it."""


def edge_keys(one: Any, other: Any) -> Any:
    """Return the keys of edges between slots, whichever way round (uint64).

    >>> edge_keys(np.array([3, 1]), np.array([1, 3])).tolist() == [(1 << 32) + 3] * 2
    True
    """
    low, high = np.minimum(one, other), np.maximum(one, other)
    return low.astype(np.uint64) << np.uint64(32) | high.astype(np.uint64)


def ends(edges: Any) -> tuple[Any, Any]:
    """Return the lower and the higher slot of each edge (int64)."""
    key = edges["key"]
    return (key >> np.uint64(32)).astype(np.int64), (key & np.uint64(0xFFFFFFFF)).astype(np.int64)


def add_support(edges: Any, keys: Any, kinds: Any, epoch: int) -> Any:
    """Return the edges, rising by key, with more support: one of `kinds` for each of `keys`.

    The order of the support does not matter.

    >>> edges = add_support(np.zeros(0, EDGE), edge_keys(np.array([1, 1]), np.array([2, 2])),
    ...                     np.array([Kind.TARGETS, Kind.DEVICE]), 7)
    >>> edges["counts"].tolist(), edges["last"].tolist()
    ([[1, 0, 1, 0, 0, 0]], [7])
    """
    if not keys.size:
        return edges
    new = np.setdiff1d(keys, edges["key"], assume_unique=False)
    if new.size:
        fresh = np.zeros(new.size, EDGE)
        fresh["key"], fresh["first"] = new, epoch
        edges = np.concatenate([edges, fresh])
        edges = edges[np.argsort(edges["key"], kind="stable")]
    at = np.searchsorted(edges["key"], keys)
    counts = edges["counts"].astype(np.int64)
    np.add.at(counts, (at, kinds.astype(np.int64)), 1)
    edges["counts"] = np.minimum(counts, 65_535)
    edges["last"][at] = epoch
    return edges


def drop_expired(edges: Any, epoch: int) -> Any:
    """Return the edges without those that nothing has supported for `LASTS` epochs."""
    kept = edges[edges["last"].astype(np.int64) > epoch - LASTS]
    if kept.size > MOST_EDGES:
        newest = np.argsort(kept["last"], kind="stable")[-MOST_EDGES:]
        kept = kept[np.sort(newest)]
    return kept


def weights(edges: Any, contacted: Any, reversals: Any) -> Any:
    """Return the weight of each edge as a tie of one operator (int64); a chain has none.

    Shared targets count from three on, if they are a quarter of the strangers of the one who wrote
    to fewer, or beside another tie; a successor's count double. A person's decision that one end is
    benign halves the weight, each time.

    Args:
        edges: Edges (dtype EDGE).
        contacted: For each edge the lesser number of strangers that its ends wrote to (int64).
        reversals: For each edge how often a person found one of its ends benign (int64).

    """
    count = edges["counts"].astype(np.int64)
    place = (
        4 * (count[:, Kind.DEVICE] > 0)
        + np.maximum(3 * (count[:, Kind.BLOCK] > 0), 2 * (count[:, Kind.NETWORK] > 0))
    )  # fmt: skip
    shared = count[:, Kind.TARGETS] + count[:, Kind.SUCCESSION]
    enough = (shared >= _LEAST_TARGETS) & (shared * _TARGET_SHARE >= contacted)
    met = np.minimum(shared + count[:, Kind.SUCCESSION], _MOST_TARGETS)
    return (place + np.where(enough | (place > 0), met, 0)) >> np.minimum(reversals, 16)
