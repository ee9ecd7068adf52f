"""Duplicate filter: 128-bit hashes of event ids in two generations, each of a span of log time.

Both generations lie in the same sixty-four hash tables, so that an id costs one search. Six bits of
a hash choose its table; an entry has the number of its generation there instead. What is forgotten
with a generation's end is taken out of one table after the other, so that no end is noticeable.
"""

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
from wavebreak.features.interner import BLOCK, FULL, GROWTH, SUBTABLES, NameSpans
from wavebreak.features.keyed_hash import HashKey, hash_bytes_128, random_secret, table_key

_SEEN = np.dtype([("low", "u8"), ("high", "u8")])
"""A hash. Its lowest bit is set; the next six choose its table, and in the table they are its
generation's number, modulo 64."""
_PLACE = np.uint64((SUBTABLES - 1) << 1)
_ONE, _NONE = np.uint64(1), np.uint64(0)


@compiled(inline="always")
def _cell(high: Any, size: int) -> int:
    return int64(((high >> np.uint64(33)) * np.uint64(size)) >> np.uint64(31))


@compiled(inline="always")
def _number(low: Any) -> int:
    """Number of a hash's table, or of an entry's generation."""
    return int64((low & _PLACE) >> _ONE)


@compiled(inline="always")
def _numbered(low: Any, number: int) -> Any:
    """Replace the number in a hash or an entry."""
    return (low & ~_PLACE) | (np.uint64(number & (SUBTABLES - 1)) << _ONE)


@compiled(inline="always")
def _sought(table: Any, low: Any, high: Any) -> int:
    """Return the place of a hash, of whichever generation, or the free one where it belongs."""
    at = _cell(high, table.size)
    while table[at].low != _NONE:
        if table[at].high == high and (table[at].low ^ low) & ~_PLACE == _NONE:
            return at
        at = at + 1 if at + 1 < table.size else 0
    return at


@compiled(inline="always")
def _is_known(low: Any, turn: int) -> bool:
    """Whether an entry (0: free) is of the generation `turn` or of the one before."""
    age = (turn - _number(low)) & (SUBTABLES - 1)
    return bool(low != _NONE and age <= 1)


@compiled()
def _repeated(
    tables: Any, sizes: Any, filled: Any, newer: Any, names: Any, lengths: Any, out: Any,
    begin: int, key: Any, counts: Any, stop: int, turn: int,
) -> int:  # fmt: skip
    """Mark duplicates from `begin`; return where a table is full or `stop` ids are reached."""
    lows, highs = np.zeros(BLOCK, np.uint64), np.zeros(BLOCK, np.uint64)
    for block in range(begin, out.size, BLOCK):
        end = min(block + BLOCK, out.size)
        for i in range(block, end):
            low, high = hash_bytes_128(names[i], max(lengths[i], 0), key[0], key[1])
            low |= _ONE
            lows[i - block], highs[i - block] = low, high
            s = _number(low)
            at = tables[s] + 16 * _cell(high, sizes[s])
            prefetch(at)
            prefetch(at + 64)
            prefetch(at + 128)
        for i in range(block, end):
            low, high = lows[i - block], highs[i - block]
            s = _number(low)
            if counts[0] >= stop or filled[s] + 1 > sizes[s] * FULL:
                return int64(i)
            table = carray(address_as_void_pointer(tables[s]), (sizes[s],), _SEEN)
            at = _sought(table, low, high)
            held = table[at].low
            out[i] = _is_known(held, turn)
            if not out[i]:
                # In the place of a forgotten entry of the same hash, if it is still there.
                filled[s] += held == _NONE
                newer[s] += 1
                counts[0] += 1
                table[at].low, table[at].high = _numbered(low, turn), high
    return int64(out.size)


@compiled()
def _known(
    tables: Any, sizes: Any, names: Any, lengths: Any, out: Any, key: Any, turn: int
) -> None:  # fmt: skip
    """Mark ids that either generation has; none is remembered."""
    for i in range(out.size):
        low, high = hash_bytes_128(names[i], max(lengths[i], 0), key[0], key[1])
        low |= _ONE
        s = _number(low)
        table = carray(address_as_void_pointer(tables[s]), (sizes[s],), _SEEN)
        out[i] = _is_known(table[_sought(table, low, high)].low, turn)


@compiled()
def _rebuild(old: Any, new: Any, turn: int) -> None:
    """Copy what is remembered into an empty table."""
    for i in range(old.size):
        low, high = old[i].low, old[i].high
        if _is_known(low, turn):
            at = _sought(new, low, high)
            new[at].low, new[at].high = low, high


@compiled()
def _split(table: Any, number: int, turn: int, newer: Any, older: Any) -> None:
    """Write a table's hashes by generation, each with the number of its table."""
    n, m = 0, 0
    for i in range(table.size):
        low, high = table[i].low, table[i].high
        if _is_known(low, turn):
            if _number(low) == turn & (SUBTABLES - 1):
                newer[n].low, newer[n].high = _numbered(low, number), high
                n += 1
            else:
                older[m].low, older[m].high = _numbered(low, number), high
                m += 1


@compiled()
def _distribute(hashes: Any, turn: int, tables: Any, sizes: Any) -> None:
    """Insert hashes as of a generation into their tables."""
    for i in range(hashes.size):
        low, high = hashes[i].low, hashes[i].high
        s = _number(low)
        table = carray(address_as_void_pointer(tables[s]), (sizes[s],), _SEEN)
        at = _sought(table, low, high)
        table[at].low, table[at].high = _numbered(low, turn), high


_LOOKS = 16
_REBUILDS = 256
"""After a generation's end a table is rebuilt each time that `least` divided by this has come."""
_LEAST_SIZE = 64
_RESERVE = 1.05


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
        self.generation, self._stop = 0, 0
        self._hold([np.zeros(_least_size(s), _SEEN) for s in range(SUBTABLES)])

    def _hold(self, tables: list[Any]) -> None:
        """Hold tables, all of which have been rebuilt in this generation."""
        self.tables, self.filled = tables, np.zeros(SUBTABLES, np.int64)
        # How many of a table's entries are of this generation, and of the one before.
        self._newer, self._older = np.zeros((2, SUBTABLES), np.int64)
        self._rebuilt = np.full(SUBTABLES, self.generation, np.int64)
        self._pool = np.zeros((SUBTABLES, 0), _SEEN)
        self._at = np.array([table.ctypes.data for table in tables], np.int64)
        self._sizes = np.array([table.size for table in tables], np.int64)

    def grow(self, now_ms: int) -> None:
        """Rebuild a table, or several full ones, or begin a new generation, at the log's time."""
        if self._counts[0] >= self._counts[1]:
            self._look_whether_over(now_ms)
        for s in np.flatnonzero(self.filled + 1 > self._sizes * FULL).tolist():
            self._rebuild(s)
        behind = np.flatnonzero(self._rebuilt < self.generation)
        if behind.size and self._counts[0] >= self._stop:
            self._rebuild(int(behind[0]))
        self._stop = int(self._counts[1])
        if behind.size > 1:
            self._stop = min(self._stop, int(self._counts[0]) + max(self.least // _REBUILDS, 1))

    def _look_whether_over(self, now_ms: int) -> None:
        held = int(self._counts[0])
        if self.born[0] < 0:
            self.born[0] = now_ms
        if held >= self.most or (held >= self.least and now_ms > self.born[0] + self.span_ms):
            # No entry is older than the generation that is forgotten now.
            for s in np.flatnonzero(self._rebuilt < self.generation).tolist():
                self._rebuild(s)
            self.generation += 1
            self._newer, self._older = np.zeros_like(self._newer), self._newer
            self.born[0] = now_ms
            held = 0
        self._counts[:] = held, held + max(self.least // _LOOKS, 1)

    def _rebuild(self, s: int) -> None:
        """Rebuild a table without forgotten ids, with room for two generations as the last one."""
        own, older = int(self._newer[s]), int(self._older[s])
        if self._rebuilt[s] < self.generation:
            size = int((older + max(own, older)) * _RESERVE / FULL) + _least_size(s)
            table, old = self._room(s, size), self.tables[s].copy()
            table.view(np.uint8)[:] = 0
        else:
            table = np.zeros(int((own + older) * GROWTH / FULL) + _least_size(s), _SEEN)
            old = self.tables[s]
        _rebuild(old, table, self.generation)
        self.tables[s], self.filled[s], self._rebuilt[s] = table, own + older, self.generation
        self._at[s], self._sizes[s] = table.ctypes.data, table.size

    def _room(self, s: int, size: int) -> Any:
        """Return the memory of a table of at least this size: that of all lies together.

        Of one large block NumPy asks the system for large pages, where a search waits for less.
        """
        if not size <= self._pool.shape[1] <= 2 * size:
            self._pool = np.zeros((SUBTABLES, int(size * _RESERVE)), _SEEN)
        return self._pool[s]

    def note(self, ids: NameSpans, out: Any, begin: int) -> int:
        """Mark duplicates among the ids from `begin` in `out` (bool), and remember all.

        Returns where it stopped, at `begin` for a filter that has not grown yet; before the end,
        call `grow` and then again from there.
        """
        return int(
            _repeated(
                self._at, self._sizes, self.filled, self._newer, ids.at, ids.sizes, out, begin,
                self._key, self._counts, self._stop, self.generation,
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
            self._at, self._sizes, ids.at, ids.sizes, out, self._key, self.generation
        )  # fmt: skip
        return out

    def nbytes(self) -> int:
        """Return the bytes of both generations."""
        return sum(table.nbytes for table in self.tables)

    def dump(self) -> dict[str, Any]:
        """Return the state as named arrays: each generation's hashes by table, and a free entry."""
        sizes = np.array([self._newer, self._older]) + 1
        newer, older = (np.zeros(own.sum(), _SEEN) for own in sizes)
        begins = np.cumsum(sizes, axis=1) - sizes
        for s, table in enumerate(self.tables):
            parts = newer[begins[0, s] :], older[begins[1, s] :]
            _split(table, s, self.generation, *parts)
        return {
            "key": self._key.copy(),
            "born": self.born.copy(),
            "counts": self._counts.copy(),
            "sizes": sizes[0].copy(),
            "tables": newer,
            "older_sizes": sizes[1].copy(),
            "older": older,
        }

    def load(self, dumped: dict[str, Any]) -> None:
        """Restore the state from a dump, and its key; raises ValueError where it is not one."""
        key, born, counts = (dumped[name] for name in ("key", "born", "counts"))
        if [a.dtype for a in (key, born, counts)] != [np.uint64, np.int64, np.int64]:
            raise ValueError("hashes of ids have another type")
        if (key.shape, born.shape, counts.shape) != ((2,), (1,), (2,)):
            raise ValueError("hashes of ids have another shape")
        newer, own = _hashes(dumped["tables"], dumped["sizes"])
        older, others = _hashes(dumped["older"], dumped["older_sizes"])
        if counts[0] != own.sum():
            raise ValueError("ids are not as many as their hashes")
        sizes = ((others + np.maximum(own, others)) * _RESERVE / FULL).astype(np.int64)
        self.generation, self._stop = 1, int(counts[1])
        self._hold([np.zeros(size + _least_size(s), _SEEN) for s, size in enumerate(sizes)])
        _distribute(older, 0, self._at, self._sizes)
        _distribute(newer, 1, self._at, self._sizes)
        self._newer[:], self._older[:], self.filled[:] = own, others, own + others
        self._key, self.born, self._counts = key.copy(), born.copy(), counts.copy()


def _least_size(number: int) -> int:
    """Entries of an empty table: of different sizes, so that no two fill up at once."""
    return _LEAST_SIZE + number


def _hashes(dumped: Any, sizes: Any) -> tuple[Any, Any]:
    """Return the hashes of a dump, and how many of them each table has."""
    if dumped.dtype != _SEEN or sizes.dtype != np.int64 or sizes.shape != (SUBTABLES,):
        raise ValueError("tables of ids have another type")
    if sizes.min() < 1 or sizes.sum() != dumped.size:
        raise ValueError("tables of ids have another size")
    hashes = dumped[dumped["low"] != 0]
    if (hashes["low"] & _ONE == 0).any():
        raise ValueError("a hash of an id is none")
    number = ((hashes["low"] & _PLACE) >> _ONE).astype(np.int64)
    return hashes, np.bincount(number, minlength=SUBTABLES)
