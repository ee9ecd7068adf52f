"""Lines of JSON in pieces, and what can be told of them without reading them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from wavebreak.events import WIRE_SCHEMA, blanks

MAX_LINE = 1 << 16
"""Longest line (or array item) in bytes; a longer one is refused without being kept."""

_NEWLINE, _BRACE, _QUOTE, _COLON, _SPACE = map(ord, '\n{": ')
_COUNTED = 1 << 18


class Piece(NamedTuple):
    """Whole lines of a file: `text` ends in a newline, `first` is its first line's number."""

    first: int
    text: memoryview
    ends: NDArray[np.int64]

    @classmethod
    def of(cls, text: bytes | memoryview, first: int = 1) -> Piece:
        r"""Find the lines of a text that ends in a newline; `first` is the first one's number.

        >>> Piece.of(b"{}\n{}\n").ends.tolist()
        [2, 5]
        """
        whole = memoryview(text)
        return cls(first, whole, np.flatnonzero(np.frombuffer(whole, np.uint8) == _NEWLINE))

    def part(self, start: int, stop: int) -> Piece:
        """Cut out lines, counted from 0 within the piece."""
        begin = int(self.ends[start - 1]) + 1 if start else 0
        text = self.text[begin : int(self.ends[stop - 1]) + 1]
        return Piece(self.first + start, text, self.ends[start:stop] - begin)

    def starts(self) -> NDArray[np.int64]:
        """Give where each line begins."""
        return np.concatenate(([0], self.ends[:-1] + 1))


def wire_of_columns(columns: dict[str, pa.Array], rows: int) -> pa.RecordBatch:
    """Give columns of the wire's types as a wire batch; what is absent is null."""
    filled = blanks(log=False, rows=rows) | columns
    return pa.RecordBatch.from_arrays([filled[n] for n in WIRE_SCHEMA.names], schema=WIRE_SCHEMA)


def one_event_a_line(piece: Piece) -> bool:
    """Tell whether lines, if they hold as many events as they are, hold one each.

    Every line opens with a brace, and events hold no second one: as many events as lines means that
    none spans two lines and no line holds two.
    """
    starts = piece.starts()
    opens = np.frombuffer(piece.text, np.uint8)[starts]
    return bool((opens == _BRACE).all() and (piece.ends - starts).max(initial=0) <= MAX_LINE)


def members(text: memoryview) -> int:
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
