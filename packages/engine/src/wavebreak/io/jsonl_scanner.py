"""JSON Lines scanner: compiled code that reads flat JSON objects into columns.

It accepts less than JSON allows: one object per line, the schema's field names, each once and
without escapes, texts without escapes, whole numbers without a sign. Any other line, valid or not,
is marked `odd`, and the caller has a JSON library read it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wavebreak.compiled.numba_runtime import compiled, int64, load_u64, store_u64
from wavebreak.io.arrow_columns import (
    BOUNDS,
    FIELD_TABLES,
    FLAG,
    KINDS,
    NAMES,
    NO_CODE,
    TEXT,
    WORD,
    DecodedColumns,
    Mask,
    allocate_buffers,
    build_enum_table,
    enum_code,
    find_word,
    finish_columns,
    mark_field,
    text_offsets,
    write_flag,
    write_number,
)
from wavebreak.io.line_splitter import control_bytes, equal_bytes, lowest

_OPEN, _CLOSE, _QUOTE, _COLON, _COMMA, _ESCAPE = map(ord, '{}":,\\')
_TAB, _RETURN, _SPACE, _ZERO, _NINE = map(ord, "\t\r 09")
_T, _R, _U, _E, _F, _A, _L, _S = map(ord, "truefals")
_DIGITS = 18
"""Digits that always fit into 64 bits."""
MOST = (1 << 31) - 1
"""Maximum bytes per scan: positions in a text have 32 bits."""


_NAMES = build_enum_table(NAMES)


class Scanned(NamedTuple):
    """Decoded columns, one row per line, and a mask of odd lines."""

    laid: DecodedColumns
    odd: Mask


@compiled(inline="always")
def _past_blanks(text: Any, at: Any) -> Any:
    while text[at] == _SPACE or text[at] == _TAB or text[at] == _RETURN:
        at += 1
    return at


@compiled(inline="always")
def _end_of_text(text: Any, at: Any) -> Any:
    """Return the end of the text at `at`; -1 where an escape or control character comes first."""
    base = text.ctypes.data
    while at + 8 <= len(text):
        word = load_u64(base + at)
        bits = equal_bytes(word, _QUOTE) | equal_bytes(word, _ESCAPE) | control_bytes(word)
        if bits != 0:
            at += lowest(bits)
            return at if text[at] == _QUOTE else int64(-1)
        at += 8
    while text[at] != _QUOTE:
        if text[at] < _SPACE or text[at] == _ESCAPE:
            return int64(-1)
        at += 1
    return at


@compiled(inline="always")
def _flag_at(text: Any, at: Any) -> Any:
    """Return the length of `true` or `false` at `at`, or 0."""
    if text[at] == _T and text[at + 1] == _R and text[at + 2] == _U and text[at + 3] == _E:
        return 4
    if text[at] == _F and text[at + 1] == _A and text[at + 2] == _L and text[at + 3] == _S:
        return 5 if text[at + 4] == _E else 0
    return 0


@compiled(inline="always")
def _value_at(text: Any, at: Any, kind: Any) -> Any:
    """Return the position after the value at `at` (-1: of another kind), and the value."""
    if kind in (TEXT, WORD):
        end = _end_of_text(text, at + 1) if text[at] == _QUOTE else int64(-1)
        return (end + 1, end - at - 1) if end >= 0 else (int64(-1), int64(0))
    if kind == FLAG:
        size = _flag_at(text, at)
        return (at + size, int64(size == 4)) if size else (int64(-1), int64(0))
    number, first = int64(0), at
    while _ZERO <= text[at] <= _NINE and at - first <= _DIGITS:
        number = number * 10 + (text[at] - _ZERO)
        at += 1
    long = at - first > _DIGITS or (at - first > 1 and text[first] == _ZERO)
    return (int64(-1), int64(0)) if at == first or long else (at, number)


@compiled(inline="always")
def _scan_line(
    text: Any, at: Any, row: Any, values: Any, begins: Any, kinds: Any, names: Any,
    room: Any,
) -> Any:  # fmt: skip
    """Scan the line at `at`; returns its fields as bits, and the position reached.

    Every step stops at a newline at the latest: nothing is read beyond the line.
    """
    present = int64(0)
    at = _past_blanks(text, at)
    separator = _OPEN
    while text[at] == separator:
        at = _past_blanks(text, at + 1)
        end = _end_of_text(text, at + 1) if text[at] == _QUOTE else int64(-1)
        field = find_word(text, at + 1, end - at - 1, names) if end >= 0 else int64(-1)
        if field < 0 or (present >> field) & 1:
            return int64(0), at
        at = _past_blanks(text, end + 1)
        if text[at] != _COLON:
            return int64(0), at
        at = _past_blanks(text, at + 1)
        begins[field, row] = at + 1
        end, value = _value_at(text, at, kinds[field])
        if end < 0:
            return int64(0), at
        values[field, row] = value
        room[field] += value if kinds[field] == TEXT else 0
        present |= int64(1) << field
        at = _past_blanks(text, end)
        separator = _COMMA
    if text[at] != _CLOSE:
        return int64(0), at
    return present, _past_blanks(text, at + 1)


@compiled()
def _scan(
    text: Any, ends: Any, longest: Any, present: Any, values: Any, begins: Any, kinds: Any,
    names: Any, room: Any,
) -> Any:  # fmt: skip
    """Find the fields of each line (0 for odd ones); returns the fields of any line.

    `room` receives the possible bytes of text by field.
    """
    start, somewhere = int64(0), int64(0)
    for row in range(len(ends)):
        fields, at = int64(0), int64(0)
        if ends[row] - start <= longest:
            fields, at = _scan_line(text, start, row, values, begins, kinds, names, room)
        present[row] = fields if at == ends[row] else 0
        somewhere |= int64(present[row])
        start = ends[row] + 1
    return somewhere


@compiled(inline="always")
def _copied(text: Any, at: Any, size: Any, column: Any, to: Any) -> None:
    """Copy letters eight at a time where the text is long enough; the column has spare room."""
    if at + size + 8 <= len(text):
        source, target = text.ctypes.data + at, column.ctypes.data + to
        for k in range(0, size, 8):
            store_u64(target + k, load_u64(source + k))
    else:
        for k in range(size):
            column[to + k] = text[at + k]


@compiled()
def _laid_out(
    text: Any,
    present: Any,
    values: Any,
    begins: Any,
    field: Any,
    bounds: Any,
    known: Any,
    sheet: Any,
) -> None:
    """Write the column of a field."""
    kind, to, (low, high) = known.kinds[field], int64(0), bounds[field]
    offsets, column = text_offsets(sheet, field), sheet.memory[max(sheet.where[field, 2], 0) :]
    codes = sheet.memory[sheet.where[field, 1] :]
    for row in range(len(present)):
        if present[row] >> field & 1:
            value, at = values[field, row], int64(begins[field, row])
            good = low <= value <= high
            if kind == TEXT:
                _copied(text, at, value, column, to)
                to += value
            elif kind == WORD:
                code = enum_code(text, at, value, field, known)
                good = code != NO_CODE
                codes[row] = code if good else 0
            elif kind == FLAG:
                good = True
                write_flag(value, row, field, sheet)
            elif good:
                write_number(value, row, field, sheet)
            mark_field(good, row, field, sheet)
        if kind == TEXT:
            offsets[row + 1] = to


@compiled()
def _laid(
    text: Any, present: Any, values: Any, begins: Any, bounds: Any, known: Any, sheet: Any
) -> None:
    for row in range(len(present)):
        sheet.doubt[row] = present[row] == 0
    for field in range(len(bounds)):
        if sheet.where[field, 0] >= 0:
            _laid_out(text, present, values, begins, field, bounds, known, sheet)


def scan(text: memoryview, ends: NDArray[np.int64], longest: int) -> Scanned:
    r"""Scan lines that end at `ends`; a line longer than `longest` bytes is odd.

    The text must be UTF-8 and at most `MOST` bytes long.

    >>> line = b'{"type":"account.deleted","ts":7,"account":"ann"}'
    >>> found = scan(memoryview(line + b"\n{}\n"), np.array([len(line), len(line) + 3]), 99)
    >>> found.laid.columns["account"].to_pylist(), found.odd.tolist()
    (['ann', None], [False, True])
    """
    letters, rows = np.frombuffer(text, np.uint8), len(ends)
    letters.flags.writeable = False
    present = np.empty(rows, np.int64)
    values = np.empty((len(NAMES), rows), np.int64)
    begins = np.empty((len(NAMES), rows), np.int32)
    room = np.zeros(len(NAMES), np.int64)
    fields = _scan(letters, ends, longest, present, values, begins, KINDS, _NAMES, room)
    fields |= 1 << NAMES.index("type")
    buffers = allocate_buffers(
        rows, [n if fields >> k & 1 else -1 for k, n in enumerate(room.tolist())]
    )
    _laid(letters, present, values, begins, BOUNDS, FIELD_TABLES, buffers)
    return Scanned(finish_columns(buffers), present == 0)
