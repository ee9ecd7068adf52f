"""Planned events as columns of numbers, and their encoding as Arrow batches.

Strings (accounts, addresses, clients) are numbers in a pool while events are planned and sorted;
they become text only when a batch is encoded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from wavebreak.schema.events import TYPES, WIRE_SCHEMA

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Column = Any  # a scalar or an array of numbers, one an event

NOT_PLAYED: Mapping[str, str] = {
    "account.deleted": "nobody leaves within the days that are simulated",
    "account.listed": "outside lists decide nothing",
    "account.unlisted": "outside lists decide nothing",
    "account.declared": "an administrator's word; `experiments.worlds.declared` adds it",
    "label.assigned": "the truth is in labels.csv, and decisions must not read it",
}
"""Event types that no persona and no tactic makes, and why."""

ABSENT = -1
"""A planned column holds this where the event has no such field."""

ID_DIGITS = 10
"""Hex digits of an event id: a trillion events, and text order equals planning order."""

_ACCOUNTS = ("account", "peer")
_IDS = ("id", "message")


@dataclass(frozen=True, slots=True)
class Columns:
    """A table with an array of one length in each field of the subclass."""

    def __len__(self) -> int:
        return len(getattr(self, fields(self)[0].name))

    def select(self, rows: Bools | Ints | slice) -> Self:
        """Return the rows of a mask, of positions or of a slice."""
        return self._with([getattr(self, field.name)[rows] for field in fields(self)])

    def append(self, *partners: Self) -> Self:
        """Return these rows, followed by the rows of other tables."""
        if not partners:
            return self
        tables = (self, *partners)
        return self._with(
            [np.concatenate([getattr(t, field.name) for t in tables]) for field in fields(self)]
        )

    def _with(self, columns: list[Any]) -> Self:
        make: Any = type(self)
        table: Self = make(*columns)
        return table


class StringPool:
    """Strings by number, in the order in which they came.

    >>> pool = StringPool()
    >>> pool.code("sms"), pool.code("voice"), pool.code("sms")
    (0, 1, 0)
    >>> pool.add(["x", "y"]).tolist()
    [2, 3]
    """

    def __init__(self) -> None:
        self._strings: list[str] = []
        self._codes: dict[str, int] = {}
        self._arrow: pa.StringArray | None = None

    def __len__(self) -> int:
        return len(self._strings)

    def add(self, strings: Iterable[str]) -> Ints:
        """Append strings that are known to be new; return their numbers."""
        first = len(self._strings)
        self._strings.extend(strings)
        return np.arange(first, len(self._strings), dtype=np.int64)

    def code(self, string: str) -> int:
        """Return the number of one string, the same one whenever it is asked for again."""
        if string not in self._codes:
            self._codes[string] = len(self._strings)
            self._strings.append(string)
        return self._codes[string]

    def codes(self, strings: Iterable[str]) -> Ints:
        """Return the numbers of several strings, each as `code` gives it."""
        return np.array([self.code(string) for string in strings], dtype=np.int64)

    def arrow(self) -> pa.StringArray:
        """Return all strings as one Arrow array, made again only after the pool grew."""
        if self._arrow is None or len(self._arrow) != len(self._strings):
            self._arrow = pa.array(self._strings, pa.string())
        return self._arrow


@dataclass(frozen=True, slots=True)
class EventBlock:
    """Events as columns of one length, mostly sorted by (ts, id); a missing one is all absent."""

    columns: dict[str, Ints]

    def __len__(self) -> int:
        return len(self.columns["ts"])

    @property
    def ts(self) -> Ints:
        """Event times, milliseconds."""
        return self.columns["ts"]

    def slice(self, low: int, high: int) -> EventBlock:
        """Return the events at positions low (inclusive) to high (exclusive), without a copy."""
        return EventBlock({name: values[low:high] for name, values in self.columns.items()})

    def split(self, ts: int) -> tuple[EventBlock, EventBlock]:
        """Return the events before a time and those at or after it."""
        row = int(np.searchsorted(self.ts, ts))
        return self.slice(0, row), self.slice(row, len(self))


def column_of(block: EventBlock, name: str) -> Ints:
    """Return a column of a block; all absent where it has none."""
    return block.columns.get(name, np.full(len(block), ABSENT, np.int64)).astype(np.int64)


def read_chats(
    blocks: Iterable[EventBlock], types: tuple[int, ...], names: tuple[str, ...]
) -> tuple[list[Ints], int]:
    """Read the events between two accounts in blocks of a log.

    Args:
        blocks: Sorted blocks.
        types: Codes of the event types.
        names: Columns to return.

    Returns:
        The columns, and the first free event id.
    """
    parts, next_id = [np.zeros((len(names), 0), np.int64)], 0
    for block in blocks:
        if len(block):
            next_id = max(next_id, int(block.columns["id"].max()) + 1)
            kind, account, peer = (column_of(block, n) for n in ("type", "account", "peer"))
            rows = np.isin(kind, types) & (peer >= 0) & (peer != account)
            parts.append(np.stack([column_of(block, name)[rows] for name in names]))
    return list(np.concatenate(parts, axis=1)), next_id


_WIDE = frozenset({"id", "ts", "message", "size"})  # numbers that 32 bits may not hold


def merge_blocks(blocks: list[EventBlock]) -> EventBlock:
    """Return the events of all blocks, sorted by (ts, id).

    Columns are 32 bits wide but for ids, times and sizes, so that millions of planned events fit.
    """
    names = dict.fromkeys(name for block in blocks for name in block.columns)
    ends = np.concatenate([[0], np.cumsum([len(block) for block in blocks])]).astype(np.int64)
    columns: dict[str, Any] = {}
    for name in names:
        column = np.full(int(ends[-1]), ABSENT, np.int64 if name in _WIDE else np.int32)
        for block, (low, high) in zip(blocks, pairwise(ends), strict=True):
            if name in block.columns:
                column[low:high] = block.columns[name]
        columns[name] = column
    if not columns:
        return EventBlock({"id": np.zeros(0, np.int64), "ts": np.zeros(0, np.int64)})
    order = np.lexsort((columns["id"], columns["ts"]))
    return EventBlock({name: column[order] for name, column in columns.items()})


def _broadcast(value: Column, count: int) -> Any:
    if isinstance(value, np.ndarray) and value.shape == (count,):
        return value
    return np.broadcast_to(value, count)


class EventLog:
    """Where planned events are put; hands them out sorted."""

    def __init__(self, next_id: int = 0) -> None:
        self.next_id = next_id
        self._drafts: dict[str, list[EventBlock]] = {}

    def add(self, kind: str, ts: Ints, account: Column, /, **columns: Column) -> Ints:
        """Plan events of one type; return their ids.

        `ts` decides how many (milliseconds, any order); every other column is one number for all
        or one for each, `ABSENT` where an event has no such field.
        """
        count = len(ts)
        ids = np.arange(self.next_id, self.next_id + count, dtype=np.int64)
        self.next_id += count
        columns |= {"id": ids, "ts": ts.copy(), "type": TYPES.index(kind), "account": account}
        if count:
            block = EventBlock({k: _broadcast(v, count) for k, v in columns.items()})
            self._drafts.setdefault(kind, []).append(block)
        return ids

    def flush(self) -> list[EventBlock]:
        """Hand out all events planned since the last flush: a sorted block a type.

        One block a type, since a type has few columns, and all types together nearly all.
        """
        drafts, self._drafts = self._drafts, {}
        return [merge_blocks(blocks) for blocks in drafts.values()]


class EventBuffer:
    """Sorted blocks that wait for their time: events planned ahead of the clock."""

    def __init__(self, blocks: list[EventBlock]) -> None:
        self._blocks = blocks

    def until(self, ts: int, fresh: list[EventBlock]) -> EventBlock:
        """Take every waiting event before `ts`; `fresh` ones join the pile first."""
        due, rest = [], []
        for block in [*self._blocks, *fresh]:
            before, after = block.split(ts)
            due.append(before)
            if len(after):
                rest.append(after)
        self._blocks = rest
        return merge_blocks(due)

    def among(
        self,
        blocks: Iterable[EventBlock],
        end: int,
        filter_block: Callable[[EventBlock], EventBlock] = lambda block: block,
    ) -> Iterator[EventBlock]:
        """Yield the blocks of a log with the events that wait among theirs, in order of time.

        Args:
            blocks: Sorted blocks.
            end: No event at or after it.
            filter_block: Returns the remaining part of a block.
        """
        last: EventBlock | None = None
        for block in blocks:
            if not len(block):
                continue
            if last is not None:
                yield self.until(int(block.ts[0]), [filter_block(last)])
            last = block
        if last is not None:
            yield self.until(end, [filter_block(last)])


def hexadecimal(values: npt.NDArray[np.uint64], digits: int, prefix: str = "") -> pa.StringArray:
    """Write numbers as text of one width: prefix and hex digits, as an Arrow array.

    >>> hexadecimal(np.array([255, 16], np.uint64), 4, "e").to_pylist()
    ['e00ff', 'e0010']
    """
    shifts = np.arange(4 * (digits - 1), -1, -4, dtype=np.uint64)
    nibbles = (values[:, None] >> shifts) & np.uint64(15)
    width = len(prefix) + digits
    text = np.empty((len(values), width), np.uint8)
    text[:, : len(prefix)] = np.frombuffer(prefix.encode(), np.uint8)
    text[:, len(prefix) :] = np.frombuffer(b"0123456789abcdef", np.uint8)[nibbles]
    offsets = np.arange(len(values) + 1, dtype=np.int32) * np.int32(width)
    return pa.StringArray.from_buffers(
        len(values), pa.py_buffer(offsets), pa.py_buffer(text.tobytes())
    )


def _text(name: str, values: Ints, accounts: pa.StringArray, strings: pa.StringArray) -> pa.Array:
    absent = values < 0
    if name in _IDS:
        text = hexadecimal(np.maximum(values, 0).astype(np.uint64), ID_DIGITS)
        return text if not absent.any() else text.take(pa.array(_rows(absent), mask=absent))
    codes = pa.array(values, mask=absent)
    return (accounts if name in _ACCOUNTS else strings).take(codes)


def _rows(absent: Bools) -> Ints:
    return np.arange(len(absent), dtype=np.int64)


def to_batches(
    block: EventBlock, accounts: pa.StringArray, strings: pa.StringArray, size: int
) -> Iterator[pa.RecordBatch]:
    """Turn a block into record batches of WIRE_SCHEMA, at most `size` events each."""
    types = pa.array(TYPES, pa.string())
    for low in range(0, len(block), size):
        part = block.slice(low, min(low + size, len(block)))
        arrays = []
        for field in WIRE_SCHEMA:
            values = part.columns.get(field.name)
            if values is None:
                arrays.append(pa.nulls(len(part), field.type))
            elif field.name == "type":
                arrays.append(types.take(pa.array(values)))
            elif pa.types.is_string(field.type):
                arrays.append(_text(field.name, values, accounts, strings))
            elif pa.types.is_boolean(field.type):
                arrays.append(pa.array(values > 0, mask=values < 0))
            else:
                arrays.append(pa.array(values, field.type, mask=values < 0))
        yield pa.RecordBatch.from_arrays(arrays, schema=WIRE_SCHEMA)
