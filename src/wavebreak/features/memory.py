"""Arrays at addresses: how compiled code reaches the memory of a shard and of a worker.

Records go by address, since an array passed from function to function costs seven words each time.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from wavebreak.features.state import DELTA, ENTITY, HIT, PAIR, PERSON, POINT, RARE, ROW, TOUCH
from wavebreak.jit import address_as_void_pointer, carray, compiled


@compiled(inline="always")
def rows_of(sh: Any) -> Any:
    """Rows of a shard (dtype ROW)."""
    return carray(address_as_void_pointer(sh.rows), (sh.row_capacity,), ROW)


@compiled(inline="always")
def rares_of(sh: Any) -> Any:
    """Rare rows of a shard (dtype RARE)."""
    return carray(address_as_void_pointer(sh.rares), (sh.rare_capacity,), RARE)


@compiled(inline="always")
def pairs_of(sh: Any) -> Any:
    """Table of pairs of a shard (dtype PAIR)."""
    return carray(address_as_void_pointer(sh.pairs), (sh.pair_capacity,), PAIR)


@compiled(inline="always")
def people_of(w: Any) -> Any:
    """What others read of accounts, by slot (dtype PERSON)."""
    return carray(address_as_void_pointer(w.people), (w.people_n,), PERSON)


@compiled(inline="always")
def entities_of(w: Any) -> Any:
    """Networks, blocks, devices and clients, by slot (dtype ENTITY)."""
    return carray(address_as_void_pointer(w.entities), (w.entities_n,), ENTITY)


@compiled(inline="always")
def values_of(w: Any, n: int) -> Any:
    """The worker's array of feature values (float64)."""
    return carray(address_as_void_pointer(w.values), (n,), np.float64)


@compiled(inline="always")
def covered_of(w: Any, n: int) -> Any:
    """0.0 for a covered feature, NaN for one that is not (float64)."""
    return carray(address_as_void_pointer(w.covered), (n,), np.float64)


@compiled(inline="always")
def hits_of(w: Any) -> Any:
    """Output buffer of hits (dtype HIT)."""
    return carray(address_as_void_pointer(w.hits), (w.hits_size,), HIT)


@compiled(inline="always")
def points_of(w: Any) -> Any:
    """Output buffer of scoring points (dtype POINT)."""
    return carray(address_as_void_pointer(w.points), (w.points_size,), POINT)


@compiled(inline="always")
def touched_of(w: Any) -> Any:
    """Slots of the accounts touched in the open epoch (dtype TOUCH)."""
    return carray(address_as_void_pointer(w.touched), (w.touched_size,), TOUCH)


@compiled()
def emit(w: Any, table: int, key: int, amount: int) -> None:
    """Note a contribution to what accounts share."""
    deltas = carray(address_as_void_pointer(w.deltas), (w.deltas_size,), DELTA)
    d = deltas[w.deltas_n]
    d.table = table
    d.key = key
    d.amount = amount
    w.deltas_n += 1
