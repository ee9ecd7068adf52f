"""Lines of flat JSON to columns: machine code over the bytes, a row a line.

It takes less than JSON allows: one object a line, names of the contract, each once and without
escapes, texts without escapes, whole numbers without a sign. A line that is otherwise is `odd`,
whether it is good or not; who calls has it read by a JSON library.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from wavebreak.events import WIRE_SCHEMA
from wavebreak.jit import compiled, int64

_NAMES = WIRE_SCHEMA.names
_TEXT, _NUMBER, _FLAG = 0, 1, 2
_KINDS = np.array(
    [_TEXT if pa.types.is_string(f.type) else _FLAG if pa.types.is_boolean(f.type) else _NUMBER
     for f in WIRE_SCHEMA], np.uint8,
)  # fmt: skip
_LONGEST = max(map(len, _NAMES))
_SPELT = np.array([list(n.encode().ljust(_LONGEST, b"\0")) for n in _NAMES], np.uint8)
_SIZES = np.array(list(map(len, _NAMES)), np.int64)
_PLACES = 256

_OPEN, _CLOSE, _QUOTE, _COLON, _COMMA, _ESCAPE = map(ord, '{}":,\\')
_TAB, _RETURN, _SPACE, _ZERO, _NINE = map(ord, "\t\r 09")
_T, _R, _U, _E, _F, _A, _L, _S = map(ord, "truefals")
_DIGITS = 18
"""Digits that always fit into 64 bits."""
MOST = (1 << 31) - 1
"""Bytes that are scanned at a time at most: places in a text are 32 bits wide."""


def _without_collisions() -> tuple[NDArray[np.int64], NDArray[np.int8]]:
    """Find factors by which no two names share a place, and the field at each place, or -1."""
    told = np.array([[len(n), n[0], n[len(n) // 2], n[-1]] for n in map(str.encode, _NAMES)])
    draw = np.random.default_rng(0)
    while True:
        factors = draw.integers(1, _PLACES, 4)
        places = (told @ factors) % _PLACES
        if len(np.unique(places)) == len(_NAMES):
            fields = np.full(_PLACES, -1, np.int8)
            fields[places] = np.arange(len(_NAMES))
            return factors, fields


_FACTORS, _FIELDS = _without_collisions()


class Measures(NamedTuple):
    """What rows give: a bit for each field of WIRE_SCHEMA, and the measures of fields x rows.

    The measure of a number is itself, of a flag 0 or 1, of a text its size in bytes; where a row
    does not give the field it is undefined.
    """

    given: NDArray[np.uint32]
    values: NDArray[np.int64]


class Scanned(NamedTuple):
    """Columns by name, of the wire's types, those alone in which something is given."""

    columns: dict[str, pa.Array]
    measures: Measures
    odd: NDArray[np.bool_]


@compiled(inline="always")
def _past_blanks(text: Any, at: Any) -> Any:
    while text[at] == _SPACE or text[at] == _TAB or text[at] == _RETURN:
        at += 1
    return at


@compiled(inline="always")
def _end_of_text(text: Any, at: Any) -> Any:
    """Where the text that begins at `at` ends; -1 where something else comes first."""
    while text[at] != _QUOTE:
        if text[at] < _SPACE or text[at] == _ESCAPE:
            return -1
        at += 1
    return at


@compiled(inline="always")
def _field_at(text: Any, at: Any, size: Any, names: Any) -> Any:
    """The field whose name stands at `at`, or -1."""
    factors, fields, spelt, sizes = names
    if size < 1 or size > _LONGEST:
        return -1
    told = factors[0] * size + factors[1] * text[at]
    told += factors[2] * text[at + size // 2] + factors[3] * text[at + size - 1]
    field = int64(fields[told % _PLACES])
    if field < 0 or sizes[field] != size:
        return -1
    for k in range(size):
        if spelt[field, k] != text[at + k]:
            return -1
    return field


@compiled(inline="always")
def _flag_at(text: Any, at: Any) -> Any:
    """The size of the word `true` or `false` that stands at `at`, or 0."""
    if text[at] == _T and text[at + 1] == _R and text[at + 2] == _U and text[at + 3] == _E:
        return 4
    if text[at] == _F and text[at + 1] == _A and text[at + 2] == _L and text[at + 3] == _S:
        return 5 if text[at + 4] == _E else 0
    return 0


@compiled(inline="always")
def _value_at(text: Any, at: Any, kind: Any) -> Any:
    """Where the value at `at` goes on behind its end (-1: it is none of the kind), and itself."""
    if kind == _TEXT:
        end = _end_of_text(text, at + 1) if text[at] == _QUOTE else int64(-1)
        return (end + 1, end - at - 1) if end >= 0 else (int64(-1), int64(0))
    if kind == _FLAG:
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
    text: Any, at: Any, row: Any, values: Any, begins: Any, kinds: Any, names: Any
) -> Any:
    """Read a line that begins at `at`; gives its fields as bits, and where it was left.

    Every step stops at a newline at the latest, which ends the line: nothing is read behind it.
    """
    given = int64(0)
    at = _past_blanks(text, at)
    separator = _OPEN
    while text[at] == separator:
        at = _past_blanks(text, at + 1)
        end = _end_of_text(text, at + 1) if text[at] == _QUOTE else int64(-1)
        field = _field_at(text, at + 1, end - at - 1, names) if end >= 0 else int64(-1)
        if field < 0 or (given >> field) & 1:
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
        given |= int64(1) << field
        at = _past_blanks(text, end)
        separator = _COMMA
    if text[at] != _CLOSE:
        return int64(0), at
    return given, _past_blanks(text, at + 1)


@compiled()
def _scan(
    text: Any, ends: Any, longest: Any, given: Any, values: Any, begins: Any, kinds: Any, names: Any
) -> None:
    start = int64(0)
    for row in range(len(ends)):
        found, at = int64(0), int64(0)
        if ends[row] - start <= longest:
            found, at = _scan_line(text, start, row, values, begins, kinds, names)
        given[row] = found if at == ends[row] else 0
        start = ends[row] + 1


@compiled()
def _laid_out(given: Any, field: Any, sizes: Any, offsets: Any) -> Any:
    """Write where each row's text begins in a column; gives how many rows have one."""
    to, count = int64(0), int64(0)
    for row in range(len(given)):
        offsets[row] = to
        if given[row] >> field & 1:
            to += sizes[row]
            count += 1
    offsets[len(given)] = to
    return count


@compiled()
def _copied(text: Any, begins: Any, offsets: Any, column: Any) -> None:
    for row in range(len(begins)):
        to, size = int64(offsets[row]), int64(offsets[row + 1] - offsets[row])
        at = int64(begins[row]) if size else int64(0)
        for k in range(size):
            column[to + k] = text[at + k]


def scan(text: memoryview, ends: NDArray[np.int64], longest: int) -> Scanned:
    r"""Read lines that end at `ends`, the last where `text` ends; one above `longest` bytes is odd.

    The text is taken to be UTF-8, and of `MOST` bytes at most.

    >>> line = b'{"type":"account.deleted","ts":7,"account":"ann"}'
    >>> found = scan(memoryview(line + b"\n{}\n"), np.array([len(line), len(line) + 3]), 99)
    >>> found.columns["account"].to_pylist(), found.odd.tolist()
    (['ann', None], [False, True])
    """
    letters, rows = np.frombuffer(text, np.uint8), len(ends)
    letters.flags.writeable = False
    given = np.empty(rows, np.uint32)
    values = np.empty((len(_NAMES), rows), np.int64)
    begins = np.empty((len(_NAMES), rows), np.int32)
    names = (_FACTORS, _FIELDS, _SPELT, _SIZES)
    _scan(letters, ends, longest, given, values, begins, _KINDS, names)
    somewhere = int(np.bitwise_or.reduce(given, initial=0))
    columns = {
        name: _column(letters, field, given, values[field], begins[field])
        for field, name in enumerate(_NAMES)
        if somewhere >> field & 1
    }
    return Scanned(columns, Measures(given, values), given == 0)


def _column(
    letters: NDArray[np.uint8], field: int, given: NDArray[np.uint32],
    values: NDArray[np.int64], begins: NDArray[np.int32],
) -> pa.Array:  # fmt: skip
    rows, kind = len(given), WIRE_SCHEMA.field(field).type
    if _KINDS[field] == _TEXT:
        offsets = np.empty(rows + 1, np.int32)
        count = _laid_out(given, field, values, offsets)
        texts = np.empty(offsets[-1], np.uint8)
        _copied(letters, begins, offsets, texts)
        parts = [offsets, texts]
    else:
        count = int(np.count_nonzero(given & np.uint32(1 << field)))
        flags = _KINDS[field] == _FLAG
        parts = [np.packbits(values == 1, bitorder="little") if flags else values.copy()]
        if kind == pa.int32():
            # Beyond 32 bits is beyond the contract: it is refused by its measure.
            parts = [values.astype(np.int32)]
    valid = None
    if count < rows:
        valid = pa.py_buffer(np.packbits(given >> np.uint32(field) & 1, bitorder="little"))
    return pa.Array.from_buffers(kind, rows, [valid, *map(pa.py_buffer, parts)], rows - count)
