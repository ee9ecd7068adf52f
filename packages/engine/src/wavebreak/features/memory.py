"""Memory of the kernel: arrays at addresses, arrays that grow in place, and prefetching.

Compiled code reaches the memory of a shard and of a worker by address, since an array passed from
function to function costs seven words each time. `GrowableArray` reserves address space ahead and
uses memory as it is first written: growing moves page tables, not contents, and costs microseconds
to a few milliseconds whatever the size. Prefetching asks for the rows, pairs and entities that the
kernel is going to wait for; it changes no result.
"""

from __future__ import annotations

import mmap
from typing import Any, Final

import numpy as np

from wavebreak.compiled.numba_runtime import address_as_void_pointer, carray, compiled, prefetch
from wavebreak.features import layout
from wavebreak.features.pair_table import salts_of, start_index


@compiled(inline="always")
def rows_of(sh: Any) -> Any:
    """Rows of a shard (dtype ROW)."""
    return carray(address_as_void_pointer(sh.rows), (sh.row_capacity,), layout.ROW)


@compiled(inline="always")
def account_row(shards: Any, account: int) -> Any:
    """The row of an account by its slot (dtype ROW), over all shards."""
    return rows_of(shards[account & (shards.size - 1)])[account >> layout.SHARD_BITS]


@compiled(inline="always")
def rares_of(sh: Any) -> Any:
    """Rare rows of a shard (dtype RARE)."""
    return carray(address_as_void_pointer(sh.rares), (sh.rare_capacity,), layout.RARE)


@compiled(inline="always")
def pairs_of(sh: Any) -> Any:
    """Table of pairs of a shard (dtype PAIR)."""
    return carray(address_as_void_pointer(sh.pairs), (sh.pair_capacity,), layout.PAIR)


@compiled(inline="always")
def people_of(w: Any) -> Any:
    """Shared records of accounts, by slot (dtype PERSON)."""
    return carray(address_as_void_pointer(w.people), (w.people_n,), layout.PERSON)


@compiled(inline="always")
def entities_of(w: Any) -> Any:
    """Networks, blocks, devices and clients, by slot (dtype ENTITY)."""
    return carray(address_as_void_pointer(w.entities), (w.entities_n,), layout.ENTITY)


@compiled(inline="always")
def values_of(w: Any, n: int) -> Any:
    """The worker's array of feature values (float64)."""
    return carray(address_as_void_pointer(w.values), (n,), np.float64)


@compiled(inline="always")
def covered_of(w: Any, n: int) -> Any:
    """0.0 for a covered feature, NaN for one that is not (float64)."""
    return carray(address_as_void_pointer(w.covered), (n,), np.float64)


@compiled(inline="always")
def sources_of(w: Any) -> Any:
    """The source that reports each account, by slot (dtype SOURCE)."""
    return carray(address_as_void_pointer(w.sources), (w.people_n,), layout.SOURCE)


@compiled(inline="always")
def terms_of_sources(w: Any) -> Any:
    """What the accounts of each source are judged by, by its number (dtype TERMS)."""
    return carray(address_as_void_pointer(w.terms), (w.terms_n,), layout.TERMS)


@compiled(inline="always")
def hits_of(w: Any) -> Any:
    """Output buffer of hits (dtype HIT)."""
    return carray(address_as_void_pointer(w.hits), (w.hits_size,), layout.HIT)


@compiled(inline="always")
def points_of(w: Any) -> Any:
    """Output buffer of scoring points (dtype POINT)."""
    return carray(address_as_void_pointer(w.points), (w.points_size,), layout.POINT)


@compiled(inline="always")
def touched_accounts_of(w: Any) -> Any:
    """Slots of the accounts touched in the open epoch (dtype TOUCH)."""
    return carray(address_as_void_pointer(w.touched), (w.touched_size,), layout.TOUCH)


@compiled()
def contribute(w: Any, table: int, key: int, amount: int) -> None:
    """Record a contribution to the shared state."""
    deltas = carray(address_as_void_pointer(w.deltas), (w.deltas_size,), layout.DELTA)
    d = deltas[w.deltas_n]
    d.table = table
    d.key = key
    d.amount = amount
    d.shard = w.at_shard
    w.deltas_n += 1


GROWTH = 1.5
_LEAST = 4096
_PRIVATE = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0x4000)
_HUGE = getattr(mmap, "MADV_HUGEPAGE", None)


class GrowableArray:
    """Records of one dtype, zero until written. `records` is valid until the next growth.

    Raises OSError where there is no address space for `size` records, nor for a 4,096th of it.

    >>> extent = GrowableArray(np.dtype("u4"), 10)
    >>> extent.records[9] = 7
    >>> extent.fit(5_000)
    True
    >>> len(extent) >= 5_000, int(extent.records[9]), int(extent.records[4_999])
    (True, 7, 0)
    """

    def __init__(self, dtype: np.dtype[Any], size: int) -> None:
        self.dtype = dtype
        least = max(size // _LEAST, 1)
        while True:
            try:
                self._map = self._mapped(max(size, 1))
                break
            except OSError:
                if size <= least:
                    raise
                size //= 2
        self.records = self._seen()

    def __len__(self) -> int:
        return int(self.records.size)

    def _mapped(self, size: int) -> mmap.mmap:
        made = mmap.mmap(-1, size * self.dtype.itemsize, flags=_PRIVATE)
        if _HUGE is not None:
            made.madvise(_HUGE)
        return made

    def _seen(self) -> Any:
        return np.frombuffer(self._map, self.dtype, len(self._map) // self.dtype.itemsize)

    def fit(self, size: int) -> bool:
        """Grow to at least `size` records; True if `records` is another array now."""
        held = self.records
        if size <= held.size:
            return False
        wanted = max(size, int(held.size * GROWTH))
        del held, self.records
        try:
            self._map.resize(wanted * self.dtype.itemsize)
        except (BufferError, OSError, SystemError, ValueError):
            old = self._seen()
            self._map = self._mapped(wanted)
            self._seen()[: old.size] = old
        else:
            if _HUGE is not None:
                self._map.madvise(_HUGE)
        self.records = self._seen()
        return True

    def hold(self, records: Any) -> None:
        """Overwrite the first records, growing as needed."""
        self.fit(records.size)
        self.records[: records.size] = records

    def touch(self, records: int) -> None:
        """Allocate the memory of the first `records` now; their contents stay."""
        self.records[:records].view(np.uint8)[:: mmap.PAGESIZE] |= 0


PREFETCH_DISTANCE: Final = 6
"""How many account events (or accounts, at an epoch's close) ahead to prefetch."""
PREFETCH_NEAR: Final = 2
"""The same for a rare row, whose address is in the row that was prefetched before."""
ROW_BYTES, RARE_BYTES, PAIR_BYTES = layout.ROW.itemsize, layout.RARE.itemsize, layout.PAIR.itemsize
PERSON_BYTES: Final = layout.PERSON.itemsize
EVENT_BYTES, ENTITY_BYTES = layout.EVENT.itemsize, layout.ENTITY.itemsize
_FIELDS: Any = layout.ROW.fields
_SURROUNDINGS = _FIELDS["network"][1]


@compiled()
def _prefetch_row_and_pair(shards: Any, w: Any, ev: Any, role: int) -> None:
    account, other = np.int64(ev.account), np.int64(ev.peer)
    if role == 1:
        account, other = other, account
    sh = shards[account & (shards.size - 1)]
    local = account >> layout.SHARD_BITS
    address = sh.rows + local * ROW_BYTES
    # The counterpart's account event needs the head of the row, the actor's all of it.
    for line in range(0, 64 if role == 1 else ROW_BYTES, 64):
        prefetch(address + line)
    if other != layout.NONE:
        at = start_index(sh.pair_capacity, salts_of(sh), local, other)
        prefetch(sh.pairs + at * PAIR_BYTES)
        prefetch(w.people + other * PERSON_BYTES)


@compiled()
def _prefetch_rare(shards: Any, ev: Any) -> None:
    sh = shards[np.int64(ev.account) & (shards.size - 1)]
    rare = np.int64(rows_of(sh)[np.int64(ev.account) >> layout.SHARD_BITS].rare)
    if rare > 0:
        prefetch(sh.rares + (rare - 1) * RARE_BYTES)


@compiled()
def prefetch_facts(shards: Any, w: Any, events: Any, facts: Any, i: int) -> None:
    """Prefetch for the account events after the `i`-th; at least 2 · PREFETCH_DISTANCE follow.

    They may be of the next shard: a small batch has few in each.
    """
    code = np.int64(facts[i + 2 * PREFETCH_DISTANCE].code)
    prefetch(events.ctypes.data + (code >> 1) * EVENT_BYTES)
    code = np.int64(facts[i + PREFETCH_DISTANCE].code)
    _prefetch_row_and_pair(shards, w, events[code >> 1], code & 1)
    code = np.int64(facts[i + PREFETCH_NEAR].code)
    if code & 1 == 0:
        _prefetch_rare(shards, events[code >> 1])


@compiled()
def prefetch_touched(shards: Any, w: Any) -> None:
    """Prefetch rows and entities of the accounts that an epoch's close evaluates next."""
    touched = touched_accounts_of(w)
    if w.at_fact + 2 * PREFETCH_DISTANCE >= w.touched_n:
        return
    account = np.int64(touched[w.at_fact + 2 * PREFETCH_DISTANCE])
    rows = shards[account & (shards.size - 1)].rows
    address = rows + (account >> layout.SHARD_BITS) * ROW_BYTES
    prefetch(address)
    prefetch(address + _SURROUNDINGS)
    account = np.int64(touched[w.at_fact + PREFETCH_DISTANCE])
    row = account_row(shards, account)
    for entity in (row.network, row.block, row.device, row.client, row.origin):
        if entity > 0:
            prefetch(w.entities + (np.int64(entity) - 1) * ENTITY_BYTES)
