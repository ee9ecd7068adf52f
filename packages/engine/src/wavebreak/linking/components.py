"""Connected components of accounts, none larger than an operator can be."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from wavebreak.compiled.numba_runtime import compiled, int64
from wavebreak.linking.edges import LEAST_WEIGHT

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
