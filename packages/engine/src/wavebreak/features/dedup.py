"""Duplicate filter: 128-bit hashes of event ids in two generations, each of a span of log time."""

from __future__ import annotations

from typing import Any

import numpy as np

from wavebreak.compiled.numba_runtime import (
    address_as_void_pointer,
    carray,
    compiled,
    int64,
    prefetch,
)
from wavebreak.features.interner import BLOCK, FULL, SUBTABLES, NameSpans
from wavebreak.features.keyed_hash import HashKey, hash_bytes_128, random_secret, table_key

_SEEN = np.dtype([("low", "u8"), ("high", "u8")])


@compiled(inline="always")
def _cell(high: Any, size: int) -> int:
    return int64(((high >> np.uint64(33)) * np.uint64(size)) >> np.uint64(31))


@compiled()
def _put(table: Any, low: Any, high: Any) -> int:
    """Insert a hash; return 1 if it is new, 0 if it was there."""
    at = _cell(high, table.size)
    while table[at].low != np.uint64(0):
        if table[at].low == low and table[at].high == high:
            return 0
        at = at + 1 if at + 1 < table.size else 0
    table[at].low = low
    table[at].high = high
    return 1


@compiled()
def _contains(table: Any, low: Any, high: Any) -> bool:
    at = _cell(high, table.size)
    while table[at].low != np.uint64(0):
        if table[at].low == low and table[at].high == high:
            return True
        at = at + 1 if at + 1 < table.size else 0
    return False


@compiled()
def _repeated(
    tables: Any, sizes: Any, filled: Any, older: Any, older_sizes: Any, names: Any, lengths: Any,
    out: Any, begin: int, key: Any, counts: Any,
) -> int:  # fmt: skip
    """Mark duplicates from `begin`; return where a table is full or a generation may be over."""
    lows, highs = np.zeros(BLOCK, np.uint64), np.zeros(BLOCK, np.uint64)
    for block in range(begin, out.size, BLOCK):
        end = min(block + BLOCK, out.size)
        for i in range(block, end):
            length = max(lengths[i], 0)
            low, high = hash_bytes_128(names[i], length, key[0], key[1])
            low |= np.uint64(1)
            lows[i - block], highs[i - block] = low, high
            s = np.int64((low >> np.uint64(1)) & np.uint64(SUBTABLES - 1))
            prefetch(tables[s] + 16 * _cell(high, sizes[s]))
            prefetch(older[s] + 16 * _cell(high, older_sizes[s]))
        for i in range(block, end):
            low, high = lows[i - block], highs[i - block]
            s = np.int64((low >> np.uint64(1)) & np.uint64(SUBTABLES - 1))
            if counts[0] >= counts[1] or filled[s] + 1 > sizes[s] * FULL:
                return int64(i)
            table = carray(address_as_void_pointer(tables[s]), (sizes[s],), _SEEN)
            old = carray(address_as_void_pointer(older[s]), (older_sizes[s],), _SEEN)
            if older_sizes[s] > 1 and _contains(old, low, high):
                out[i] = True
            else:
                new = _put(table, low, high)
                filled[s] += new
                counts[0] += new
                out[i] = new == 0
    return int64(out.size)


@compiled()
def _known(
    tables: Any, sizes: Any, older: Any, older_sizes: Any, names: Any, lengths: Any, out: Any,
    key: Any,
) -> None:  # fmt: skip
    """Mark ids that either generation has; none is remembered."""
    for i in range(out.size):
        low, high = hash_bytes_128(names[i], max(lengths[i], 0), key[0], key[1])
        low |= np.uint64(1)
        s = np.int64((low >> np.uint64(1)) & np.uint64(SUBTABLES - 1))
        table = carray(address_as_void_pointer(tables[s]), (sizes[s],), _SEEN)
        old = carray(address_as_void_pointer(older[s]), (older_sizes[s],), _SEEN)
        out[i] = _contains(table, low, high) or (older_sizes[s] > 1 and _contains(old, low, high))


@compiled()
def _rehash(old: Any, new: Any) -> None:
    for i in range(old.size):
        if old[i].low != np.uint64(0):
            _put(new, old[i].low, old[i].high)


@compiled()
def _distribute(hashes: Any, number: Any, tables: Any, sizes: Any) -> None:
    """Insert hashes into the tables of their numbers."""
    for i in range(hashes.size):
        s = number[i]
        table = carray(address_as_void_pointer(tables[s]), (sizes[s],), _SEEN)
        _put(table, hashes[i].low, hashes[i].high)


_LOOKS = 16


def _empty_tables() -> list[Any]:
    """Tables of different sizes, which fill up at different times, so that no two grow at once."""
    return [np.zeros(64 + s, _SEEN) for s in range(SUBTABLES)]


def _addresses(tables: list[Any]) -> Any:
    return np.array([table.ctypes.data for table in tables], np.int64)


def _lengths(tables: list[Any]) -> Any:
    return np.array([table.size for table in tables], np.int64)


class DuplicateFilter:
    """Recognizes event ids that occurred before, by a 128-bit hash, in two generations.

    A generation ends when it holds `least` ids and the log's time has moved by `span_ms` in it, or
    when it holds `most`; whether it ends is looked at each time it has taken a sixteenth of `least`
    more, whatever the key, so that every replay forgets the same ids. An id is remembered for one
    generation more: for `least` ids and, below `most` of them in `span_ms`, for as long as its
    event would not be late. Memory is bounded by the rate of the log, not by its length.

    Two ids of one hash would count as one event: with a key that a sender does not know, nobody can
    choose such ids. The key (None: a random one) is part of the state, since hashes are kept.

    >>> from wavebreak.features.interner import name_spans
    >>> import pyarrow as pa
    >>> seen, out = DuplicateFilter(), np.zeros(3, np.bool_)
    >>> seen.grow(now_ms=0)  # the log's time, from which a generation's span counts
    >>> seen.note(name_spans(pa.array(["a", "b", "a"])), out, 0), out.tolist()
    (3, [False, False, True])
    """

    def __init__(
        self, key: HashKey | None = None, *, span_ms: int = 60_000, least: int = 1 << 20,
        most: int = 1 << 25,
    ) -> None:  # fmt: skip
        self.span_ms, self.least, self.most = span_ms, least, most
        self._key = np.array(key or table_key(random_secret(), "ids"), np.uint64)
        # Ids in the generation, and how many there are when next looking whether it is over.
        self._counts = np.zeros(2, np.int64)
        self.born = np.full(1, -1, np.int64)
        self.filled = np.zeros(SUBTABLES, np.int64)
        self.tables = _empty_tables()
        self.older = [np.zeros(1, _SEEN) for _ in range(SUBTABLES)]
        self._point()

    def _point(self) -> None:
        self._at = [_addresses(self.tables), _addresses(self.older)]
        self._sizes = [_lengths(self.tables), _lengths(self.older)]

    def grow(self, now_ms: int) -> None:
        """Grow full tables, or begin a new generation, at the log's time."""
        if self._counts[0] >= self._counts[1]:
            self._look_whether_over(now_ms)
        for s in np.flatnonzero(self.filled + 1 > self._sizes[0] * FULL):
            table = np.zeros(self.tables[s].size * 2, _SEEN)
            _rehash(self.tables[s], table)
            self.tables[s] = table
            self._at[0][s], self._sizes[0][s] = table.ctypes.data, table.size

    def _look_whether_over(self, now_ms: int) -> None:
        held = int(self._counts[0])
        if self.born[0] < 0:
            self.born[0] = now_ms
        if held >= self.most or (held >= self.least and now_ms > self.born[0] + self.span_ms):
            self.older = self.tables
            self.tables = _empty_tables()
            self.filled[:] = 0
            self.born[0] = now_ms
            self._point()
            held = 0
        self._counts[:] = held, held + max(self.least // _LOOKS, 1)

    def note(self, ids: NameSpans, out: Any, begin: int) -> int:
        """Mark duplicates among the ids from `begin` in `out` (bool), and remember all.

        Returns where it stopped, at `begin` for a filter that has not grown yet; before the end,
        call `grow` and then again from there.
        """
        return int(
            _repeated(
                self._at[0], self._sizes[0], self.filled, self._at[1], self._sizes[1], ids.at,
                ids.sizes, out, begin, self._key, self._counts,
            )
        )  # fmt: skip

    def known(self, ids: NameSpans) -> Any:
        """Return which of the ids occurred before (bool); none of them is remembered.

        >>> from wavebreak.features.interner import name_spans
        >>> import pyarrow as pa
        >>> seen, out = DuplicateFilter(), np.zeros(1, np.bool_)
        >>> seen.grow(now_ms=0)
        >>> seen.note(name_spans(pa.array(["a"])), out, 0)
        1
        >>> seen.known(name_spans(pa.array(["b", "a"]))).tolist()
        [False, True]
        """
        out = np.zeros(len(ids.sizes), np.bool_)
        _known(
            self._at[0], self._sizes[0], self._at[1], self._sizes[1], ids.at, ids.sizes, out,
            self._key,
        )  # fmt: skip
        return out

    def nbytes(self) -> int:
        """Return the bytes of both generations."""
        return sum(table.nbytes for table in (*self.tables, *self.older))

    def dump(self) -> dict[str, Any]:
        """Return the state as named arrays."""
        return {
            "key": self._key.copy(),
            "born": self.born.copy(),
            "counts": self._counts.copy(),
            "sizes": self._sizes[0].copy(),
            "tables": np.concatenate(self.tables),
            "older_sizes": self._sizes[1].copy(),
            "older": np.concatenate(self.older),
        }

    def load(self, dumped: dict[str, Any]) -> None:
        """Restore the state from a dump, and its key; raises ValueError where it is not one."""
        key, born, counts = (dumped[name] for name in ("key", "born", "counts"))
        if [a.dtype for a in (key, born, counts)] != [np.uint64, np.int64, np.int64]:
            raise ValueError("hashes of ids have another type")
        if (key.shape, born.shape, counts.shape) != ((2,), (1,), (2,)):
            raise ValueError("hashes of ids have another shape")
        self.tables, self.filled = _rebuilt(dumped["tables"], dumped["sizes"])
        self.older, _ = _rebuilt(dumped["older"], dumped["older_sizes"])
        if counts[0] != self.filled.sum():
            raise ValueError("ids are not as many as their hashes")
        self._key, self.born, self._counts = key.copy(), born.copy(), counts.copy()
        self._point()


def _rebuilt(dumped: Any, sizes: Any) -> tuple[list[Any], Any]:
    """Return tables of some sizes with the hashes of a dump, and how many each holds."""
    if dumped.dtype != _SEEN or sizes.dtype != np.int64 or sizes.shape != (SUBTABLES,):
        raise ValueError("tables of ids have another type")
    if sizes.min() < 1 or sizes.sum() != dumped.size:
        raise ValueError("tables of ids have another size")
    hashes = dumped[dumped["low"] != 0]
    number = ((hashes["low"] >> np.uint64(1)) & np.uint64(SUBTABLES - 1)).astype(np.int64)
    filled = np.bincount(number, minlength=SUBTABLES)
    # A search ends at a free entry: each table needs one.
    if (filled >= sizes).any() and hashes.size:
        raise ValueError("a table of ids is too full")
    tables = [np.zeros(size, _SEEN) for size in sizes.tolist()]
    _distribute(hashes, number, _addresses(tables), sizes)
    return tables, filled
