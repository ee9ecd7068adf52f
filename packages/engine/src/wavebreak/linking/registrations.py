"""Synchronised registrations: accounts that register in one small block within an hour."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from wavebreak.linking.edges import Kind

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
