"""Edges between accounts: what supports them, their weight in whole numbers, and their expiry."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Final

import numpy as np

from wavebreak.compiled.numba_runtime import compiled, int64
from wavebreak.features.keyed_hash import pair_salts, random_secret
from wavebreak.features.layout import PAIR
from wavebreak.features.pair_table import find, insert

LASTS: Final = 20_160
"""Epochs after which an edge expires that nothing supports anew: 14 days."""
LEAST_WEIGHT: Final = 3
"""Weight from which on an edge joins two accounts."""
MOST_EDGES: Final = 1 << 20
"""Edges that are kept; beyond, those whose support is oldest go."""


class Kind(IntEnum):
    """Kinds of support of an edge; the order is that of the counts in EDGE.

    Shared recipients are no tie: people of one trade write to the same strangers. Of 128 such ties
    in an unseen world 121 were false (ADR 20).
    """

    DEVICE = 0
    """Both used one device, that few others used."""
    BLOCK = 1
    """Both registered within an hour on one number block and one network."""
    NETWORK = 2
    """Both registered within an hour on one network that few others registered on."""
    CHAIN = 3
    """Both were hijacked: one wrote to the other, or both were moved to one device or network."""
    SENDERS = 4
    """Both were on a network that hardly anybody but senders used."""
    RING = 5
    """Both are senders who chat with each other, in a circle of senders."""
    ADDRESS = 6
    """Both used one exact address that hardly anybody but senders used."""


KINDS: Final = len(Kind)
# Plain numbers for compiled code.
_DEVICE, _BLOCK, _NETWORK = int(Kind.DEVICE), int(Kind.BLOCK), int(Kind.NETWORK)
EDGE = np.dtype([("key", "u8"), ("first", "u4"), ("last", "u4"), ("counts", "u2", (KINDS,))])
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


@compiled(inline="always")
def _find(index: Any, salts: Any, key: Any) -> int:
    low, high = int64(key >> np.uint64(32)), int64(key & np.uint64(0xFFFFFFFF))
    return find(index, index.size, salts, low, high)


@compiled()
def _enter(index: Any, at: int, key: Any, position: int) -> None:
    """Enter an edge's position where `_find` did not find its key."""
    low, high = int64(key >> np.uint64(32)), int64(key & np.uint64(0xFFFFFFFF))
    index[insert(index, -1 - at, low, high)].value = np.uint64(position)


@compiled()
def _index_edges(edges: Any, n: int, index: Any, salts: Any) -> None:
    """Fill an empty index."""
    for i in range(n):
        _enter(index, _find(index, salts, edges[i].key), edges[i].key, int64(i))


@compiled()
def _support(
    edges: Any, n: int, index: Any, salts: Any, keys: Any, kinds: Any, epoch: int
) -> int:  # fmt: skip
    """Add support to edges, and new ones after the first `n`; return how many there are."""
    for i in range(keys.size):
        at = _find(index, salts, keys[i])
        if at < 0:
            _enter(index, at, keys[i], n)
            edges[n].key, edges[n].last = keys[i], 0
            position = n
            n += 1
        else:
            position = int64(index[at].value)
        edge = edges[position]
        if int64(edge.last) <= epoch - LASTS:
            edge.first = epoch
            for kind in range(KINDS):
                edge.counts[kind] = 0
        edge.last = epoch
        edge.counts[kinds[i]] = min(int64(edge.counts[kinds[i]]) + 1, 65535)
    return n


@compiled()
def _joining(edges: Any, n: int, epoch: int, out: Any) -> int:
    """Positions of the live edges that could have the weight to join two accounts."""
    found = int64(0)
    for i in range(n):
        edge = edges[i]
        if int64(edge.last) <= epoch - LASTS:
            continue
        if edge.counts[_DEVICE] > 0 or edge.counts[_BLOCK] > 0 or edge.counts[_NETWORK] > 0:
            out[found] = i
            found += 1
    return found


class EdgeTable:
    """Edges by the two accounts, with their support.

    `salts` are those of the hash that finds them (`pair_salts`; None: random ones).

    >>> table = EdgeTable()
    >>> table.support(np.array([1, 2]), np.array([2, 1]), np.array([Kind.BLOCK, Kind.DEVICE]), 7)
    >>> table.live(7)["counts"].tolist(), table.live(7 + LASTS).size
    ([[1, 1, 0, 0, 0, 0, 0]], 0)
    """

    def __init__(self, salts: Any = None) -> None:
        self._salts = pair_salts(random_secret(), "edges") if salts is None else salts
        self._edges, self._n = np.zeros(1024, EDGE), 0
        self._index = np.zeros(4096, PAIR)

    def support(self, one: Any, other: Any, kinds: Any, epoch: int) -> None:
        """Support the edges between slots (int64), each by one kind; their order is kept."""
        need = self._n + one.size
        if need > self._edges.size:
            self._hold(self._edges[: self._n], 2 * need)
        keys = edge_keys(one, other)
        self._n = _support(
            self._edges, self._n, self._index, self._salts, keys, kinds, epoch
        )  # fmt: skip

    def live(self, epoch: int) -> Any:
        """Return the edges that have not expired (dtype EDGE), in the order they came in."""
        edges = self._edges[: self._n]
        return edges[edges["last"].astype(np.int64) > epoch - LASTS]

    def joining(self, epoch: int) -> Any:
        """Return the live edges that could have the weight to join two accounts (dtype EDGE)."""
        out = np.zeros(self._n, np.int64)
        return self._edges[out[: _joining(self._edges, self._n, epoch, out)]]

    def compact(self, epoch: int) -> None:
        """Forget the edges that have expired."""
        kept = self.live(epoch)
        if kept.size > MOST_EDGES:
            newest = np.argsort(kept["last"], kind="stable")[-MOST_EDGES:]
            kept = kept[np.sort(newest)]
        self._hold(kept, max(1024, 2 * kept.size))

    def _hold(self, edges: Any, room: int) -> None:
        """Hold these edges, with room for more."""
        held = np.zeros(room, EDGE)
        held[: edges.size] = edges
        self._edges, self._n = held, int(edges.size)
        self._index = np.zeros(2 * room, PAIR)
        _index_edges(self._edges, self._n, self._index, self._salts)

    def nbytes(self) -> int:
        """Return the bytes of edges and index, with their reserve."""
        return int(self._edges.nbytes + self._index.nbytes)

    def dump(self) -> Any:
        """Return all edges (dtype EDGE)."""
        return self._edges[: self._n].copy()

    def load(self, edges: Any) -> None:
        """Restore the edges of a dump; raises ValueError for two with the same ends."""
        if edges.dtype != EDGE or np.unique(edges["key"]).size != edges.size:
            raise ValueError("edges have another type, or two have the same ends")
        self._hold(edges, max(1024, 2 * edges.size))


def merge_edges(*parts: Any) -> Any:
    """Return edges (dtype EDGE) as one for each two ends, by key, with the support of all parts.

    >>> one, other = np.zeros(1, EDGE), np.zeros(1, EDGE)
    >>> one["first"], one["last"], other["first"], other["last"] = 3, 5, 4, 9
    >>> other["counts"][0, Kind.RING] = 1
    >>> merge_edges(one, other)[["first", "last"]].tolist()
    [(3, 9)]
    """
    edges = np.concatenate(parts)
    order = np.argsort(edges["key"], kind="stable")
    keys = edges["key"][order]
    first = np.concatenate([np.ones(min(keys.size, 1), np.bool_), keys[1:] != keys[:-1]])
    merged, more = edges[order[first]], edges[order[~first]]
    at = np.cumsum(first)[~first] - 1
    np.minimum.at(merged["first"], at, more["first"])
    np.maximum.at(merged["last"], at, more["last"])
    np.add.at(merged["counts"], at, more["counts"])
    return merged


MOST_MEMBERS: Final = 256
"""Accounts of one operator; a larger component is cut at its weaker edges."""
_STRONGEST: Final = 16


@compiled()
def _root(parents: Any, node: int) -> int:
    while parents[node] != node:
        parents[node] = parents[parents[node]]
        node = int64(parents[node])
    return node


@compiled()
def _unite(parents: Any, one: Any, other: Any) -> None:
    """Unite the sets of each pair; the least node is the root, whatever the order."""
    for i in range(one.size):
        a, b = _root(parents, int64(one[i])), _root(parents, int64(other[i]))
        if a != b:
            parents[max(a, b)] = min(a, b)
    for node in range(parents.size):
        parents[node] = _root(parents, int64(node))


def components(one: Any, other: Any, weight: Any) -> list[Any]:
    """Return the components with at least two members, each its slots rising (int64).

    `one` and `other` are the ends of the edges, `weight` their weights. A component of more than
    `MOST_MEMBERS` is divided by heavier edges alone, and left out where that does not help.

    >>> found = components(np.array([5, 7, 1]), np.array([7, 9, 2]), np.array([3, 3, 2]))
    >>> [members.tolist() for members in found]
    [[5, 7, 9]]
    """
    return _components(one, other, weight, LEAST_WEIGHT)


def _components(one: Any, other: Any, weight: Any, least: int) -> list[Any]:
    keep = weight >= least
    one, other, weight = one[keep], other[keep], weight[keep]
    if not one.size:
        return []
    slots, index = np.unique(np.concatenate([one, other]), return_inverse=True)
    parents = np.arange(slots.size)
    _unite(parents, index[: one.size], index[one.size :])
    found = []
    order = np.argsort(parents, kind="stable")
    for members in np.split(slots[order], np.flatnonzero(np.diff(parents[order])) + 1):
        if members.size <= MOST_MEMBERS:
            found.append(members.astype(np.int64))
        elif least < _STRONGEST:
            inside = np.isin(one, members)
            found += _components(one[inside], other[inside], weight[inside], least + 1)
    return found
