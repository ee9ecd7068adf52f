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
from wavebreak.features.interner import BLOCK, FULL, SUBTABLES, NameSpans, hash_bytes

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
    out: Any, begin: int,
) -> int:  # fmt: skip
    lows, highs = np.zeros(BLOCK, np.uint64), np.zeros(BLOCK, np.uint64)
    for block in range(begin, out.size, BLOCK):
        end = min(block + BLOCK, out.size)
        for i in range(block, end):
            length = max(lengths[i], 0)
            low = hash_bytes(names[i], length, 11) | np.uint64(1)
            high = hash_bytes(names[i], length, 0x5851F42D4C957F2D)
            lows[i - block], highs[i - block] = low, high
            s = np.int64((low >> np.uint64(1)) & np.uint64(SUBTABLES - 1))
            prefetch(tables[s] + 16 * _cell(high, sizes[s]))
            prefetch(older[s] + 16 * _cell(high, older_sizes[s]))
        for i in range(block, end):
            low, high = lows[i - block], highs[i - block]
            s = np.int64((low >> np.uint64(1)) & np.uint64(SUBTABLES - 1))
            if filled[s] + 1 > sizes[s] * FULL:
                return int64(i)
            table = carray(address_as_void_pointer(tables[s]), (sizes[s],), _SEEN)
            old = carray(address_as_void_pointer(older[s]), (older_sizes[s],), _SEEN)
            if older_sizes[s] > 1 and _contains(old, low, high):
                out[i] = True
            else:
                new = _put(table, low, high)
                filled[s] += new
                out[i] = new == 0
    return int64(out.size)


@compiled()
def _rehash(old: Any, new: Any) -> None:
    for i in range(old.size):
        if old[i].low != np.uint64(0):
            _put(new, old[i].low, old[i].high)


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
    when it holds `most`. An id is remembered for one generation more: for `least` ids and, below
    `most` of them in `span_ms`, for as long as its event would not be late. Memory is bounded by
    the rate of the log, not by its length.

    >>> from wavebreak.features.interner import name_spans
    >>> import pyarrow as pa
    >>> seen, out = DuplicateFilter(), np.zeros(3, np.bool_)
    >>> seen.note(name_spans(pa.array(["a", "b", "a"])), out, 0), out.tolist()
    (3, [False, False, True])
    """

    def __init__(
        self, *, span_ms: int = 60_000, least: int = 1 << 20, most: int = 1 << 25
    ) -> None:  # fmt: skip
        self.span_ms, self.least, self.most = span_ms, least, most
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
        held = int(self.filled.sum())
        if self.born[0] < 0:
            self.born[0] = now_ms
        if held >= self.most or (held >= self.least and now_ms > self.born[0] + self.span_ms):
            self.older = self.tables
            self.tables = _empty_tables()
            self.filled[:] = 0
            self.born[0] = now_ms
            self._point()
        for s in np.flatnonzero(self.filled + 1 > self._sizes[0] * FULL):
            table = np.zeros(self.tables[s].size * 2, _SEEN)
            _rehash(self.tables[s], table)
            self.tables[s] = table
            self._at[0][s], self._sizes[0][s] = table.ctypes.data, table.size

    def note(self, ids: NameSpans, out: Any, begin: int) -> int:
        """Mark duplicates among the ids from `begin` in `out` (bool), and remember all.

        Returns where it stopped; before the end, call `grow` and then again from there.
        """
        return int(
            _repeated(
                self._at[0], self._sizes[0], self.filled, self._at[1], self._sizes[1], ids.at,
                ids.sizes, out, begin,
            )
        )  # fmt: skip

    def nbytes(self) -> int:
        """Return the bytes of both generations."""
        return sum(table.nbytes for table in (*self.tables, *self.older))

    def dump(self) -> dict[str, Any]:
        """Return the state as named arrays."""
        return {
            "born": self.born.copy(),
            "filled": self.filled.copy(),
            "sizes": np.array([t.size for t in self.tables], np.int64),
            "tables": np.concatenate(self.tables),
            "older_sizes": np.array([t.size for t in self.older], np.int64),
            "older": np.concatenate(self.older),
        }

    def load(self, dumped: dict[str, Any]) -> None:
        """Restore the state from a dump."""
        self.born, self.filled = dumped["born"].copy(), dumped["filled"].copy()
        for name, sizes in (("tables", "sizes"), ("older", "older_sizes")):
            ends = np.cumsum(dumped[sizes])
            parts = [
                dumped[name][end - size : end].copy()
                for end, size in zip(ends, dumped[sizes], strict=True)
            ]
            setattr(self, name, parts)
        self._point()
