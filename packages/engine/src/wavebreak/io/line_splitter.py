"""Blocks of JSON lines: line boundaries, cheap checks, and splitting of request bodies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from wavebreak.compiled.numba_runtime import compiled, int64, leading_zeros, load_u64
from wavebreak.schema.events import WIRE_SCHEMA, null_columns

MAX_LINE = 1 << 16
"""Longest line (or array item) in bytes; a longer one is refused without being kept."""

_NEWLINE, _BRACE, _QUOTE, _COLON, _SPACE = map(ord, '\n{": ')
_COUNTED_BYTES = 1 << 18


class LineBlock(NamedTuple):
    """A block of whole lines: `text` ends in a newline, `first` is the first line's number."""

    first: int
    text: memoryview
    ends: NDArray[np.int64]

    @classmethod
    def of(cls, text: bytes | memoryview, first: int = 1) -> LineBlock:
        r"""Build a block of a text that ends in a newline; `first` is the first line's number.

        >>> LineBlock.of(b"{}\n{}\n").ends.tolist()
        [2, 5]
        """
        view = memoryview(text)
        return cls(first, view, np.flatnonzero(np.frombuffer(view, np.uint8) == _NEWLINE))

    def part(self, start: int, stop: int) -> LineBlock:
        """Return a block of some lines, counted from 0."""
        begin = int(self.ends[start - 1]) + 1 if start else 0
        text = self.text[begin : int(self.ends[stop - 1]) + 1]
        return LineBlock(self.first + start, text, self.ends[start:stop] - begin)

    def starts(self) -> NDArray[np.int64]:
        """Return the start of each line."""
        return np.concatenate(([0], self.ends[:-1] + 1))


def wire_batch_of_columns(columns: dict[str, pa.Array], rows: int) -> pa.RecordBatch:
    """Build a wire batch of columns; missing columns are null."""
    filled = null_columns(log=False, rows=rows) | columns
    return pa.RecordBatch.from_arrays([filled[n] for n in WIRE_SCHEMA.names], schema=WIRE_SCHEMA)


def has_one_event_per_line(piece: LineBlock) -> bool:
    """Return whether each line contains one event, given as many events as lines.

    Every line opens with a brace, and events hold no second one: as many events as lines means that
    none spans two lines and no line holds two.
    """
    starts = piece.starts()
    opens = np.frombuffer(piece.text, np.uint8)[starts]
    return bool((opens == _BRACE).all() and (piece.ends - starts).max(initial=0) <= MAX_LINE)


def count_members(text: memoryview) -> int:
    """Count the members of all objects; -1 where blanks or escapes prevent that.

    A repeated name, or a null value, makes the count exceed the number of values.
    """
    letters, members = np.frombuffer(text, np.uint8), 0
    for start in range(0, len(letters), _COUNTED_BYTES):
        quotes = letters[start : start + _COUNTED_BYTES] == _QUOTE
        following = letters[start + 1 : start + 1 + _COUNTED_BYTES]
        quotes = quotes[: len(following)]
        if (quotes & (following <= _SPACE)).any():
            return -1
        members += int(np.count_nonzero(quotes & (following == _COLON)))
    return members


def is_utf8(text: memoryview) -> bool:
    """Return whether a block is UTF-8."""
    if np.frombuffer(text, np.uint8).max(initial=0) < 128:
        return True
    try:
        str(text, "utf-8")
    except UnicodeDecodeError:
        return False
    return True


_OPEN, _CLOSE, _COMMA, _BLANK, _LINE_FEED = map(ord, "{}, \n")
_LOW_BITS, _HIGHS, _ZERO = map(np.uint64, (0x0101010101010101, 0x8080808080808080, 0))


@compiled(inline="always")
def equal_bytes(word: Any, letter: Any) -> Any:
    """In compiled code: set the high bit of each of eight bytes that equals `letter`.

    Only the lowest set bit is reliable.
    """
    differ = word ^ (_LOW_BITS * np.uint64(letter))
    return (differ - _LOW_BITS) & ~differ & _HIGHS


@compiled(inline="always")
def control_bytes(word: Any) -> Any:
    """In compiled code: as `equal_bytes`, for bytes below a space."""
    return (word - _LOW_BITS * np.uint64(_BLANK)) & ~word & _HIGHS


@compiled(inline="always")
def lowest(bits: Any) -> Any:
    """In compiled code: return the index of the byte with the lowest set bit."""
    return (63 - leading_zeros(int64(bits & (~bits + np.uint64(1))))) >> 3


@compiled(inline="always")
def _ends_here(text: Any, index: Any, stop: Any, array: Any) -> Any:
    """Return the end of the line at a closing brace or newline at `index`, or -1."""
    if not array:
        return index if text[index] == _LINE_FEED else int64(-1)
    if text[index] != _CLOSE or index + 3 >= stop:
        return int64(-1)
    # An array has no newline but those that an earlier attempt has put there.
    if text[index + 1] not in (_COMMA, _LINE_FEED):
        return int64(-1)
    follows = text[index + 2] if text[index + 2] != _BLANK else text[index + 3]
    return index + 1 if follows == _OPEN else int64(-1)


@compiled()
def _split_texts(text: Any, begins: Any, arrays: Any, ends: Any, counts: Any) -> Any:
    """Split texts into lines; returns their number, -1 where `ends` is too small."""
    base, count = text.ctypes.data, int64(0)
    for k in range(len(counts)):
        before, stop, array = count, begins[k + 1], arrays[k]
        sought = _CLOSE if array else _LINE_FEED
        for index in range(begins[k], stop, 8):
            bits = equal_bytes(load_u64(base + index), sought)
            while bits != _ZERO:
                place = index + lowest(bits)
                bits &= bits - np.uint64(1)
                end = _ends_here(text, place, stop, array) if place < stop else int64(-1)
                if end >= 0:
                    if count >= len(ends):
                        return int64(-1)
                    text[end] = _LINE_FEED
                    ends[count] = end
                    count += 1
        if array and count >= len(ends):
            return int64(-1)
        if array:
            text[begins[k]] = _BLANK
            text[stop - 1] = _LINE_FEED
            ends[count] = stop - 1
            count += 1
        counts[k] = count - before
    return count


def split_bodies(texts: Sequence[bytes], arrays: Sequence[bool]) -> tuple[LineBlock, list[int]]:
    r"""Concatenate request bodies into one block; also returns the lines of each body.

    A body consists of terminated lines or, where `arrays` is true, of one JSON array on a line,
    which is split where an item seems to end before another.

    >>> piece, counts = split_bodies([b"[{},{}, {}]", b"{}\n"], [True, False])
    >>> bytes(piece.text), counts
    (b' {}\n{}\n {}\n{}\n', [3, 1])
    """
    joined = np.frombuffer(bytearray(b"".join([*texts, bytes(8)])), np.uint8)
    begins = np.cumsum([0, *map(len, texts)])
    size, counts = int(begins[-1]), np.zeros(len(texts), np.int64)
    ends = _ends(joined, begins, np.array(arrays, np.bool_), counts, size // 32 + 2)
    return LineBlock(1, joined[:size].data.toreadonly(), ends), counts.tolist()


def _ends(
    joined: NDArray[np.uint8], begins: NDArray[np.int64], arrays: NDArray[np.bool_],
    counts: NDArray[np.int64], room: int,
) -> NDArray[np.int64]:  # fmt: skip
    ends = np.empty(room, np.int64)
    count = _split_texts(joined, begins, arrays, ends, counts)
    # Lines may be shorter than events are.
    return ends[:count] if count >= 0 else _ends(joined, begins, arrays, counts, len(joined) + 2)
