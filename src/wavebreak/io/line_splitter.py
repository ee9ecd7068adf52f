"""Lines of JSON in pieces, and what can be told of them without reading them.

Texts to lines in one pass: many bodies of JSON become one piece, an event a line.
"""

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
_COUNTED = 1 << 18


class LineBlock(NamedTuple):
    """Whole lines of a file: `text` ends in a newline, `first` is its first line's number."""

    first: int
    text: memoryview
    ends: NDArray[np.int64]

    @classmethod
    def of(cls, text: bytes | memoryview, first: int = 1) -> LineBlock:
        r"""Find the lines of a text that ends in a newline; `first` is the first one's number.

        >>> Piece.of(b"{}\n{}\n").ends.tolist()
        [2, 5]
        """
        whole = memoryview(text)
        return cls(first, whole, np.flatnonzero(np.frombuffer(whole, np.uint8) == _NEWLINE))

    def part(self, start: int, stop: int) -> LineBlock:
        """Cut out lines, counted from 0 within the piece."""
        begin = int(self.ends[start - 1]) + 1 if start else 0
        text = self.text[begin : int(self.ends[stop - 1]) + 1]
        return LineBlock(self.first + start, text, self.ends[start:stop] - begin)

    def starts(self) -> NDArray[np.int64]:
        """Give where each line begins."""
        return np.concatenate(([0], self.ends[:-1] + 1))


def wire_batch_of_columns(columns: dict[str, pa.Array], rows: int) -> pa.RecordBatch:
    """Give columns of the wire's types as a wire batch; what is absent is null."""
    filled = null_columns(log=False, rows=rows) | columns
    return pa.RecordBatch.from_arrays([filled[n] for n in WIRE_SCHEMA.names], schema=WIRE_SCHEMA)


def has_one_event_per_line(piece: LineBlock) -> bool:
    """Tell whether lines, if they hold as many events as they are, hold one each.

    Every line opens with a brace, and events hold no second one: as many events as lines means that
    none spans two lines and no line holds two.
    """
    starts = piece.starts()
    opens = np.frombuffer(piece.text, np.uint8)[starts]
    return bool((opens == _BRACE).all() and (piece.ends - starts).max(initial=0) <= MAX_LINE)


def count_members(text: memoryview) -> int:
    """Count the members of all objects; -1 where blanks or escapes hide them.

    A repeated name, or one that is given as null, shows as one member more than there are values.
    """
    letters, found = np.frombuffer(text, np.uint8), 0
    for at in range(0, len(letters), _COUNTED):
        quotes = letters[at : at + _COUNTED] == _QUOTE
        following = letters[at + 1 : at + 1 + _COUNTED]
        quotes = quotes[: len(following)]
        if (quotes & (following <= _SPACE)).any():
            return -1
        found += int(np.count_nonzero(quotes & (following == _COLON)))
    return found


def is_utf8(text: memoryview) -> bool:
    """Tell whether a piece is UTF-8."""
    if np.frombuffer(text, np.uint8).max(initial=0) < 128:
        return True
    try:
        str(text, "utf-8")
    except UnicodeDecodeError:
        return False
    return True


_OPEN, _CLOSE, _COMMA, _BLANK, _LINE_FEED = map(ord, "{}, \n")
_ONES, _HIGHS, _ZERO = map(np.uint64, (0x0101010101010101, 0x8080808080808080, 0))


@compiled(inline="always")
def equal_bytes(word: Any, letter: Any) -> Any:
    """In compiled code: a high bit for each of eight bytes that is `letter`.

    Above the lowest that is set others may be too, though their bytes are others.
    """
    differ = word ^ (_ONES * np.uint64(letter))
    return (differ - _ONES) & ~differ & _HIGHS


@compiled(inline="always")
def control_bytes(word: Any) -> Any:
    """In compiled code: as `equal_bytes`, for each that is below a space."""
    return (word - _ONES * np.uint64(_BLANK)) & ~word & _HIGHS


@compiled(inline="always")
def lowest(bits: Any) -> Any:
    """In compiled code: which of eight bytes has the lowest bit that is set."""
    return (63 - leading_zeros(int64(bits & (~bits + np.uint64(1))))) >> 3


@compiled(inline="always")
def _ends_here(text: Any, at: Any, stop: Any, array: Any) -> Any:
    """Where the line ends that a brace (of an array's item) or a newline at `at` may end, or -1."""
    if not array:
        return at if text[at] == _LINE_FEED else int64(-1)
    if text[at] != _CLOSE or at + 3 >= stop:
        return int64(-1)
    # An array has no newline but those that an earlier attempt has put there.
    if text[at + 1] not in (_COMMA, _LINE_FEED):
        return int64(-1)
    follows = text[at + 2] if text[at + 2] != _BLANK else text[at + 3]
    return at + 1 if follows == _OPEN else int64(-1)


@compiled()
def _cut(text: Any, begins: Any, arrays: Any, ends: Any, counts: Any) -> Any:
    """Cut texts into lines; gives how many there are, -1 where `ends` has no room for them."""
    base, many = text.ctypes.data, int64(0)
    for k in range(len(counts)):
        before, stop, array = many, begins[k + 1], arrays[k]
        sought = _CLOSE if array else _LINE_FEED
        for at in range(begins[k], stop, 8):
            bits = equal_bytes(load_u64(base + at), sought)
            while bits != _ZERO:
                place = at + lowest(bits)
                bits &= bits - np.uint64(1)
                end = _ends_here(text, place, stop, array) if place < stop else int64(-1)
                if end >= 0:
                    if many >= len(ends):
                        return int64(-1)
                    text[end] = _LINE_FEED
                    ends[many] = end
                    many += 1
        if array and many >= len(ends):
            return int64(-1)
        if array:
            text[begins[k]] = _BLANK
            text[stop - 1] = _LINE_FEED
            ends[many] = stop - 1
            many += 1
        counts[k] = many - before
    return many


def split_bodies(texts: Sequence[bytes], arrays: Sequence[bool]) -> tuple[LineBlock, list[int]]:
    r"""Put texts together, and tell how many lines each has.

    A text is lines, the last of which ends; or, where `arrays` says so, one array on one line from
    its first bracket to its last. It is cut at what looks like the end of an item before another.

    >>> piece, counts = cut([b"[{},{}, {}]", b"{}\n"], [True, False])
    >>> bytes(piece.text), counts
    (b' {}\n{}\n {}\n{}\n', [3, 1])
    """
    whole = np.frombuffer(bytearray(b"".join([*texts, bytes(8)])), np.uint8)
    begins = np.cumsum([0, *map(len, texts)])
    size, counts = int(begins[-1]), np.zeros(len(texts), np.int64)
    ends = _ends(whole, begins, np.array(arrays, np.bool_), counts, size // 32 + 2)
    return LineBlock(1, whole[:size].data.toreadonly(), ends), counts.tolist()


def _ends(
    whole: NDArray[np.uint8], begins: NDArray[np.int64], arrays: NDArray[np.bool_],
    counts: NDArray[np.int64], room: int,
) -> NDArray[np.int64]:  # fmt: skip
    ends = np.empty(room, np.int64)
    many = _cut(whole, begins, arrays, ends, counts)
    # Lines may be shorter than events are.
    return ends[:many] if many >= 0 else _ends(whole, begins, arrays, counts, len(whole) + 2)
