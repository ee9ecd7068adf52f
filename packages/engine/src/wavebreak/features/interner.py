"""String interner: exact, slots in order of first appearance, about forty bytes per name.

A Python dict from id to slot costs 127 bytes per id. Here names lie in arenas, each in one record
with its slot and its length, and sixty-four small hash tables hold (tag, place of the record); a
tag that matches is compared with the bytes. Finding a name waits for two lines of memory, its entry
and its record. Small tables grow one at a time, so that no growth is noticeable. The hash is keyed
(`keyed_hash`): senders choose names.
"""

from __future__ import annotations

from threading import Lock
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from wavebreak.compiled.numba_runtime import (
    address_as_void_pointer,
    carray,
    compiled,
    int64,
    load_u64,
    prefetch,
    store_u64,
)
from wavebreak.features.keyed_hash import (
    HashKey,
    hash_bytes,
    random_secret,
    rest_of,
    table_key,
)
from wavebreak.features.memory import GrowableArray

SUBTABLES = 64
NONE = 0xFFFFFFFF
_TABLE = np.dtype(
    [("table", "i8"), ("capacity", "i8"), ("n", "i8"), ("arena", "i8"), ("arena_size", "i8"),
     ("arena_n", "i8")]
)  # fmt: skip
FULL = 0.8
GROWTH = 1.5
_LONGEST = 255
_HEAD = 5
"""Bytes of a record before the name: its slot and its length, little-endian."""
_SPACE = _HEAD + _LONGEST
_ARENA_MAX = 1 << 32
"""Maximum bytes of an arena: an entry holds a record's place in 32 bits."""
BLOCK = 64


@compiled(inline="always")
def equal_bytes(one: int, other: int, size: int) -> bool:
    """Whether `size` bytes at two addresses are equal."""
    for k in range(0, size & ~7, 8):
        if load_u64(one + k) != load_u64(other + k):
            return False
    return bool(size & 7 == 0 or rest_of(one, size) == rest_of(other, size))


@compiled(inline="always")
def _home(h: Any, capacity: int) -> int:
    """Index at which the search for a hash begins: by its top 30 bits, as its tag."""
    return (int64(h >> np.uint64(34)) * capacity) >> 30


@compiled()
def _sought(subs: Any, name: int, size: int, h: Any, at: int) -> tuple[int, int]:
    """Return a name's slot (-1: none), searched from an index on, and where the search ended."""
    sub = subs[np.int64(h & np.uint64(SUBTABLES - 1))]
    tag = np.int64(h >> np.uint64(34)) + 1
    table = carray(address_as_void_pointer(sub.table), (sub.capacity,), np.int64)
    while table[at] != 0:
        if table[at] >> 32 == tag:
            record = sub.arena + (table[at] & 0xFFFFFFFF)
            head = int64(load_u64(record))
            if (head >> 32) & 255 == size and equal_bytes(name, record + _HEAD, size):
                return head & 0xFFFFFFFF, at
        at = at + 1 if at + 1 < sub.capacity else 0
    return int64(-1), at


@compiled()
def _insert(
    subs: Any, where: Any, name: int, size: int, counts: Any, h: Any, at: int
) -> int:  # fmt: skip
    """Return the slot of a name that has none, whose search ended `at`; -1 if there is no room."""
    number = np.int64(h & np.uint64(SUBTABLES - 1))
    sub = subs[number]
    if (
        sub.n + 1 > sub.capacity * FULL
        or sub.arena_n + _SPACE > sub.arena_size
        or counts[0] >= where.size
    ):
        return -1
    slot = int64(counts[0])
    counts[0] += 1
    store_u64(sub.arena + sub.arena_n, np.uint64(size << 32 | slot))
    arena = carray(address_as_void_pointer(sub.arena), (sub.arena_size,), np.uint8)
    text = carray(address_as_void_pointer(name), (size,), np.uint8)
    begin = sub.arena_n + _HEAD
    for k in range(size):
        arena[begin + k] = text[k]
    where[slot] = (number << 56) | (size << 48) | begin
    table = carray(address_as_void_pointer(sub.table), (sub.capacity,), np.int64)
    table[at] = ((np.int64(h >> np.uint64(34)) + 1) << 32) | sub.arena_n
    sub.arena_n = begin + size
    sub.n += 1
    return slot


@compiled()
def _fetch(
    subs: Any, names: Any, sizes: Any, begin: int, end: int, low: Any, high: Any, hashes: Any,
    places: Any,
) -> None:  # fmt: skip
    """Hash a block of names and ask for all the memory that finding them will touch.

    Two waits (the entry, the record) are shared by the block, not paid by each name. `places` are
    where the search begins: at the first entry of a name's tag, or where it would be inserted.
    """
    for i in range(begin, end):
        if sizes[i] >= 0:
            h = hash_bytes(names[i], sizes[i], low, high)
            hashes[i - begin] = h
            sub = subs[np.int64(h & np.uint64(SUBTABLES - 1))]
            prefetch(sub.table + 8 * _home(h, sub.capacity))
    for i in range(begin, end):
        if sizes[i] >= 0:
            h = hashes[i - begin]
            sub = subs[np.int64(h & np.uint64(SUBTABLES - 1))]
            tag = np.int64(h >> np.uint64(34)) + 1
            table = carray(address_as_void_pointer(sub.table), (sub.capacity,), np.int64)
            at = _home(h, sub.capacity)
            while table[at] != 0 and table[at] >> 32 != tag:
                at = at + 1 if at + 1 < sub.capacity else 0
            places[i - begin] = at
            record = sub.arena + (table[at] & 0xFFFFFFFF)
            prefetch(record)
            prefetch(record + _HEAD + sizes[i])


@compiled()
def _intern(
    subs: Any, where: Any, names: Any, sizes: Any, out: Any, counts: Any, low: Any, high: Any,
    begin: int,
) -> int:  # fmt: skip
    """Assign slots to names from index `begin`; return where it stopped (the length: all done)."""
    hashes, places = np.zeros(BLOCK, np.uint64), np.zeros(BLOCK, np.int64)
    for block in range(begin, out.size, BLOCK):
        end = min(block + BLOCK, out.size)
        _fetch(subs, names, sizes, block, end, low, high, hashes, places)
        for i in range(block, end):
            out[i] = 0xFFFFFFFF
            if sizes[i] >= 0:
                h = hashes[i - block]
                slot, at = _sought(subs, names[i], sizes[i], h, places[i - block])
                if slot < 0:
                    slot = _insert(subs, where, names[i], sizes[i], counts, h, at)
                if slot < 0:
                    return int64(i)
                out[i] = slot
    return int64(out.size)


@compiled()
def _find(subs: Any, names: Any, sizes: Any, out: Any, low: Any, high: Any) -> None:
    """Look up slots of names, -1 for a name without; assigns none."""
    for i in range(out.size):
        out[i] = -1
        if sizes[i] >= 0:
            h = hash_bytes(names[i], sizes[i], low, high)
            home = _home(h, subs[np.int64(h & np.uint64(SUBTABLES - 1))].capacity)
            out[i], _ = _sought(subs, names[i], sizes[i], h, home)


@compiled()
def _pack(subs: Any, where: Any, begins: Any, places: Any, texts: Any) -> None:
    """Copy names next to one another, those of an arena from where it `begins`, by their slots."""
    ends = np.zeros(SUBTABLES, np.int64)
    for slot in range(places.size):
        number, size = where[slot] >> 56, (where[slot] >> 48) & 255
        at = subs[number].arena + (where[slot] & 0xFFFFFFFFFFFF)
        text = carray(address_as_void_pointer(at), (size,), np.uint8)
        to = begins[number] + ends[number]
        for k in range(size):
            texts[to + k] = text[k]
        places[slot] = (number << 56) | (size << 48) | ends[number]
        ends[number] += size


@compiled()
def _gather(subs: Any, places: Any, offsets: Any, texts: Any) -> None:
    """Copy names one after the other, by their packed addresses."""
    for i in range(places.size):
        size, at = (places[i] >> 48) & 255, places[i] & 0xFFFFFFFFFFFF
        name = carray(address_as_void_pointer(subs[places[i] >> 56].arena + at), (size,), np.uint8)
        to = offsets[i]
        for k in range(size):
            texts[to + k] = name[k]


@compiled()
def _move(old: Any, new: Any) -> None:
    for i in range(old.size):
        entry = old[i]
        if entry != 0:
            at = (((entry >> 32) - 1) * new.size) >> 30
            while new[at] != 0:
                at = at + 1 if at + 1 < new.size else 0
            new[at] = entry


class NameSpans(NamedTuple):
    """Names by address: name i is `sizes[i]` bytes (-1: null) at the address `at[i]`.

    Both int64 (n,). Valid as long as `kept` lives.
    """

    at: Any
    sizes: Any
    kept: Any


def name_spans(column: pa.Array) -> NameSpans:
    """Return addresses and lengths of a string column's names, without copying."""
    wide = pa.types.is_large_string(column.type)
    width = np.int64 if wide else np.int32
    _, where, text = column.buffers()
    offsets = np.frombuffer(where, width)[column.offset : column.offset + len(column) + 1]
    offsets = offsets.astype(np.int64)
    sizes = np.diff(offsets)
    if column.null_count:
        sizes[~column.is_valid().to_numpy(zero_copy_only=False)] = -1
    return NameSpans(offsets[:-1] + (text.address if text is not None else 0), sizes, column)


class _Memory:
    """Memory of tables or arenas: those that grow one after the other lie together.

    Of one large block NumPy asks the system for large pages, where a search waits for less.
    """

    def __init__(self, kind: Any) -> None:
        self._block, self._taken = np.zeros(0, kind), 0

    def room(self, size: int) -> Any:
        """Return the memory of a table or an arena, all zero."""
        begin, self._taken = self._taken, self._taken + size
        if self._taken > self._block.size:
            # The first that grows is the smallest.
            size_of_all = int(size * SUBTABLES * (1 + GROWTH) / 2)
            self._block = np.zeros(size_of_all, self._block.dtype)
            begin, self._taken = 0, size
        return self._block[begin : self._taken]


class Interner:
    """Names with slots, numbered in order of first appearance.

    `key` is that of the hash (None: a random one). Slots do not depend on it.

    >>> names = Interner()
    >>> names.slots(pa.array(["ann", "ben", "ann", None])).tolist()
    [0, 1, 0, 4294967295]
    >>> names.texts([1]).to_pylist()
    ['ben']
    """

    def __init__(self, key: HashKey | None = None) -> None:
        self._key = key or table_key(random_secret(), "names")
        # One thread assigns slots while another looks names up.
        self._moving = Lock()
        self._clear()

    def _clear(self) -> None:
        self.counts = np.zeros(1, np.int64)
        self._where = GrowableArray(np.dtype(np.int64), 4096)
        # Tables of different sizes fill up at different times, so that no two grow at once.
        self.tables = [
            np.zeros(int(64 * GROWTH ** (s / SUBTABLES)), np.int64) for s in range(SUBTABLES)
        ]
        self.arenas = [
            np.zeros(int(1024 * GROWTH ** (s / SUBTABLES)), np.uint8) for s in range(SUBTABLES)
        ]
        self.subs = np.zeros(SUBTABLES, _TABLE)
        self._tables_memory, self._arenas_memory = _Memory(np.int64), _Memory(np.uint8)
        self._point()

    def __len__(self) -> int:
        return int(self.counts[0])

    def _point(self, some: Any = None) -> None:
        for s in range(SUBTABLES) if some is None else some:
            self.subs[s]["table"] = self.tables[s].ctypes.data
            self.subs[s]["capacity"] = self.tables[s].size
            self.subs[s]["arena"] = self.arenas[s].ctypes.data
            self.subs[s]["arena_size"] = self.arenas[s].size

    @property
    def where(self) -> Any:
        """Packed address of each slot's name, as `_insert` packs it."""
        return self._where.records

    def _grow(self) -> None:
        """Grow what is near its limit; each step moves one small table."""
        if self.counts[0] >= self.where.size:
            with self._moving:
                self._where.fit(len(self._where) + 1)
        subs = self.subs
        full = subs["n"] + 1 > subs["capacity"] * FULL
        for s in np.flatnonzero(full):
            table = self._tables_memory.room(int(subs["capacity"][s] * GROWTH) + 1)
            _move(self.tables[s], table)
            self.tables[s] = table
        long = subs["arena_n"] + _SPACE > subs["arena_size"]
        for s in np.flatnonzero(long):
            size = int(subs["arena_size"][s] * GROWTH) + 4 * _SPACE
            if subs["arena_n"][s] + _SPACE > _ARENA_MAX:
                raise MemoryError("names need more than 256 GiB")
            arena = self._arenas_memory.room(min(size, _ARENA_MAX))
            arena[: subs["arena_n"][s]] = self.arenas[s][: subs["arena_n"][s]]
            with self._moving:
                self.arenas[s] = arena
                self._point([s])
        self._point(np.flatnonzero(full))

    def slots(self, column: pa.Array) -> Any:
        """Return the slot of each name (uint32), assigned if new; 0xFFFFFFFF for a null."""
        return self.slots_of(name_spans(column))

    def slots_of(self, names: NameSpans) -> Any:
        """Return the slot of each name, as `slots`, by address."""
        out = np.zeros(names.sizes.size, np.uint32)
        done = 0
        while done < out.size:
            done = _intern(
                self.subs, self.where, names.at, names.sizes, out, self.counts, *self._key,
                done,
            )  # fmt: skip
            if done < out.size:
                self._grow()
        return out

    def find(self, column: pa.Array) -> Any:
        """Return the slot of each name (int64), -1 for a null or a name without; assigns none."""
        return self.find_of(name_spans(column))

    def find_of(self, names: NameSpans) -> Any:
        """Return the slot of each name, as `find`, by address."""
        out = np.zeros(names.sizes.size, np.int64)
        _find(self.subs, names.at, names.sizes, out, *self._key)
        return out

    def texts(self, slots: Any) -> pa.Array:
        """Return the names of slots; another thread may assign more meanwhile."""
        with self._moving:
            places = self.where[np.asarray(slots, np.int64)]
            offsets = np.zeros(places.size + 1, np.int64)
            np.cumsum((places >> 48) & 255, out=offsets[1:])
            texts = np.empty(offsets[-1], np.uint8)
            _gather(self.subs, places, offsets, texts)
        kind = pa.string() if offsets[-1] < 1 << 31 else pa.large_string()
        ends = offsets.astype(np.int32) if kind == pa.string() else offsets
        return pa.Array.from_buffers(
            kind, places.size, [None, pa.py_buffer(ends), pa.py_buffer(texts)]
        )

    def nbytes(self) -> int:
        """Return the bytes in use (without reserve)."""
        tables = sum(table.nbytes for table in self.tables)
        return int(tables + self.subs["arena_n"].sum() + 8 * len(self))

    def longest_search(self) -> int:
        """Return how many entries the longest search of a table passes: about 30 for random names.

        Reads every table: for tests and measurements.
        """
        longest = 0
        for table in self.tables:
            # Twice around: a run of entries may go on at the table's begin.
            free = np.flatnonzero(np.concatenate([table, table]) == 0)
            longest = max(longest, int(np.diff(free, prepend=-1).max()))
        return longest

    def dump(self) -> dict[str, Any]:
        """Return the state as named arrays: the names, without the tables that find them.

        They lie in it without slots and lengths, which `where` tells.
        """
        lengths = self.subs["arena_n"] - _HEAD * self.subs["n"]
        where, arenas = np.empty(len(self), np.int64), np.empty(int(lengths.sum()), np.uint8)
        _pack(self.subs, self.where, np.cumsum(lengths) - lengths, where, arenas)
        return {"where": where, "arenas": arenas, "lengths": lengths}

    def load(self, dumped: dict[str, Any]) -> None:
        """Restore the names of a dump, into tables of this interner's own key.

        Raises ValueError where the dump is not one of an interner; then this one holds nothing of
        use.
        """
        names = _dumped_spans(dumped)
        self._clear()
        if not np.array_equal(self.slots_of(names), np.arange(names.sizes.size)):
            raise ValueError("a name occurs twice")


def _dumped_spans(dumped: dict[str, Any]) -> NameSpans:
    """Return the names of a dump by address, in order of their slots; checks every bound."""
    where, lengths = dumped["where"], dumped["lengths"]
    arenas = np.ascontiguousarray(dumped["arenas"])
    if not (where.dtype == lengths.dtype == np.int64 and arenas.dtype == np.uint8):
        raise ValueError("names have another type")
    if where.ndim != 1 or lengths.shape != (SUBTABLES,) or (lengths < 0).any():
        raise ValueError("names have another shape")
    if where.size >= NONE or lengths.sum() != arenas.size:
        raise ValueError("names have another length than their text")
    number, sizes, at = where >> 56, (where >> 48) & 255, where & 0xFFFFFFFFFFFF
    if where.size and (where.min() < 0 or number.max() >= SUBTABLES):
        raise ValueError("a name lies in no arena")
    # In each arena the names follow one another, without gaps.
    order = np.argsort(number, kind="stable")
    ends = np.cumsum(sizes[order])
    begins = (np.cumsum(lengths) - lengths)[number] + at
    if not np.array_equal(begins[order], ends - sizes[order]):
        raise ValueError("a name lies outside its arena")
    if (np.bincount(number, sizes, SUBTABLES) != lengths).any():
        raise ValueError("an arena holds more than its names")
    arenas.tobytes().decode()
    if (arenas[begins[sizes > 0]] & 0xC0 == 0x80).any():
        raise ValueError("a name begins within a character")
    return NameSpans(arenas.ctypes.data + begins, sizes, arenas)
