"""JSON Lines in plain sight to columns: a whole piece in one go, or not at all.

Arrow's reader works beside Python (without its lock), and is less strict than the contract in a few
ways: each is closed here, and a piece that Arrow refuses or that is in any doubt is left to
`lines`, which decides event by event.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.json as pj
from numpy.typing import NDArray

from wavebreak.events import WIRE_SCHEMA, blanks

MAX_LINE = 1 << 16
"""Longest line (or array item) in bytes; a longer one is refused without being kept."""

_BRACE, _QUOTE, _COLON, _SPACE = map(ord, '{": ')
_COUNTED = 1 << 18
# What is read at a time stays in a processor's cache; it holds the longest line many times.
_READ = pj.ReadOptions(use_threads=False, block_size=1 << 20)


class Fields:
    """The fields that a stream has been seen to carry: looking for others costs a third more."""

    def __init__(self) -> None:
        self.names: frozenset[str] = frozenset()

    def table(self, text: memoryview) -> pa.Table:
        """Read lines by the fields seen so far, and by all where there are others among them."""
        try:
            return _table(text, self.names)
        except pa.ArrowInvalid as e:
            if "unexpected field" not in str(e):
                raise
        table = _table(text, frozenset(WIRE_SCHEMA.names))
        given = zip(table.schema.names, table.columns, strict=True)
        self.names |= {name for name, column in given if column.null_count < len(column)}
        return table


def _table(text: memoryview, names: frozenset[str]) -> pa.Table:
    schema = pa.schema([field for field in WIRE_SCHEMA if field.name in names])
    strict = pj.ParseOptions(
        explicit_schema=schema, newlines_in_values=False, unexpected_field_behavior="error"
    )
    return pj.read_json(pa.BufferReader(text), _READ, strict)


class Piece(NamedTuple):
    """Whole lines of a file: `text` ends in a newline, `first` is its first line's number."""

    first: int
    text: memoryview
    ends: NDArray[np.int64]

    def part(self, start: int, stop: int) -> Piece:
        """Cut out lines, counted from 0 within the piece."""
        begin = int(self.ends[start - 1]) + 1 if start else 0
        text = self.text[begin : int(self.ends[stop - 1]) + 1]
        return Piece(self.first + start, text, self.ends[start:stop] - begin)

    def starts(self) -> NDArray[np.int64]:
        """Give where each line begins."""
        return np.concatenate(([0], self.ends[:-1] + 1))


def wire_of_lines(piece: Piece, fields: Fields) -> pa.RecordBatch | None:
    """Read a piece whose every line is one object with fields of the contract's names and kinds.

    Gives a wire batch, a row a line; its values are still to be checked. None: read it otherwise.
    """
    if not one_event_a_line(piece) or not _is_text(piece.text):
        return None
    try:
        table = fields.table(piece.text)
    except (pa.ArrowException, UnicodeDecodeError):
        return None
    rows = table.num_rows
    if rows != len(piece.ends):
        return None
    if sum(rows - column.null_count for column in table.columns) != members(piece.text):
        return None
    (batch,) = table.combine_chunks().to_batches()
    return wire_of_columns(dict(zip(batch.schema.names, batch.columns, strict=True)), rows)


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


def _is_text(text: memoryview) -> bool:
    """Tell whether a piece is UTF-8 without NUL, at which Arrow's reader would end unasked."""
    letters = np.frombuffer(text, np.uint8)
    if not letters.all():
        return False
    if letters.max() < 128:
        return True
    try:
        str(text, "utf-8")
    except UnicodeDecodeError:
        return False
    return True
