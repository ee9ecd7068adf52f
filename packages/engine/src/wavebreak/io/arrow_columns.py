"""Arrow columns built from events, and the buffers that compiled code fills.

`wire_batch` builds the columns of decoded events, grouped by type. `allocate_buffers` and
`finish_columns` hold one block of memory for all columns of some rows; each value is checked
against its limits as it is written, and a row with a value out of bounds is marked as doubtful, for
`field_limits.validate_event` to decide. `gather_batches` copies Arrow batches of the wire's own
types into such buffers, directly from their memory: Arrow checks that buffers are as large as the
rows need, and the compiled code checks that texts lie within them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from wavebreak.compiled.arrow_cdata import (
    BUFFERS,
    DICTIONARY,
    LENGTH,
    N_BUFFERS,
    N_CHILDREN,
    NULLS,
    OFFSET,
    array_at,
    children,
    export_addresses,
    is_given,
    struct_members,
)
from wavebreak.compiled.numba_runtime import compiled, int64
from wavebreak.io.field_limits import BY_ROW, EITHER, LIMITS, Limit, milliseconds
from wavebreak.schema.events import (
    CODES,
    COUNTERPARTS,
    EVENTS,
    REASONS,
    TYPES,
    WIRE_SCHEMA,
    WORDS,
    Event,
    null_column,
    null_columns,
)

_PLACES = 1024


class EnumTable(NamedTuple):
    """Perfect-hash table: the slot of a word follows from its length and four letters."""

    factors: NDArray[np.int64]
    at: NDArray[np.int16]
    spelt: NDArray[np.uint8]
    sizes: NDArray[np.int64]


def build_enum_table(words: Sequence[str]) -> EnumTable:
    """Build the table of distinct ASCII words for `find_word`.

    Raises ValueError for words that the hashed letters do not distinguish.
    """
    letters = [word.encode() for word in words]
    hashed = np.array(
        [[len(w), w[0], w[len(w) // 3], w[2 * len(w) // 3], w[-1]] for w in letters], np.int64
    )
    alike: dict[tuple[int, ...], str] = {}
    for word, letters_of in zip(words, map(tuple, hashed.tolist()), strict=True):
        if letters_of in alike:
            pair = f"{alike[letters_of]} and {word}"
            raise ValueError(f"{pair} have equal length and hashed letters")
        alike[letters_of] = word
    draw = np.random.default_rng(0)
    while True:
        factors = draw.integers(1, _PLACES, hashed.shape[1:])
        places = (hashed @ factors) % _PLACES
        if len(np.unique(places)) == len(words):
            break
    at = np.full(_PLACES, -1, np.int16)
    at[places] = np.arange(len(words))
    longest = max(map(len, letters))
    spelt = np.array([list(w.ljust(longest, b"\0")) for w in letters], np.uint8)
    return EnumTable(factors, at, spelt, np.array(list(map(len, letters)), np.int64))


@compiled(inline="always")
def find_word(text: Any, at: Any, size: Any, words: Any) -> Any:
    """In compiled code: return the index of the word of `size` letters at `at`, or -1."""
    if size < 1 or size > words.spelt.shape[1]:
        return int64(-1)
    hashed = words.factors[0] * size + words.factors[1] * text[at]
    hashed += words.factors[2] * text[at + size // 3]
    hashed += words.factors[3] * text[at + 2 * size // 3] + words.factors[4] * text[at + size - 1]
    word = int64(words.at[hashed % _PLACES])
    if word < 0 or words.sizes[word] != size:
        return int64(-1)
    for k in range(size):
        if words.spelt[word, k] != text[at + k]:
            return int64(-1)
    return word


_GET = {name: attrgetter(name) for name in WIRE_SCHEMA.names}
# The fields that streams carry most often come first.
_USUAL = ("ts", "account", "id", "peer", "size", "in_contacts")
_FIELDS = {
    kind: sorted(kind.__struct_fields__, key=lambda n: _USUAL.index(n) if n in _USUAL else 99)
    for kind in EVENTS
}
_CODE = {kind: code for code, kind in enumerate(EVENTS)}
_WORDS = pa.array(TYPES)
_TYPED = [
    pa.DictionaryArray.from_arrays(pa.array([code], pa.uint8()), _WORDS)
    for code in range(len(TYPES))
]
_SCHEMA = WIRE_SCHEMA.set(
    WIRE_SCHEMA.get_field_index("type"), pa.field("type", pa.dictionary(pa.uint8(), pa.string()))
)


def wire_batch(events: list[Event], members: int = -1) -> pa.RecordBatch:
    """Build a wire batch of events in their order; `type` is dictionary-encoded.

    `members` is the total number of fields given, if known: once that many are found, all remaining
    columns are empty.
    """
    fields_left = _FieldsLeft(members - len(events))
    codes = np.fromiter(map(_CODE.__getitem__, map(type, events)), np.uint8, len(events))
    columns: dict[str, pa.Array]
    kinds = set(map(type, events))
    if len(kinds) == 1:
        columns = _columns(kinds.pop(), events, fields_left)
    else:
        columns = _mixed(events, codes, sorted(map(_CODE.__getitem__, kinds)), fields_left)
    columns["type"] = pa.DictionaryArray.from_arrays(pa.array(codes), _WORDS)
    filled = null_columns(log=False, rows=len(events)) | columns
    return pa.RecordBatch.from_arrays(list(filled.values()), schema=_SCHEMA)


def wire_batch_of_one(event: Event) -> pa.RecordBatch:
    """Build a wire batch of one event, with only the columns that it gives."""
    kind = type(event)
    present = {name: value for name in _FIELDS[kind] if (value := _GET[name](event)) is not None}
    if isinstance(event.ts, datetime):
        present["ts"] = milliseconds(event.ts)
    names = tuple(present)
    row = pa.array([present], _struct(names))
    return pa.RecordBatch.from_arrays([*row.flatten(), _TYPED[_CODE[kind]]], schema=_narrow(names))


@lru_cache(1024)
def _struct(names: tuple[str, ...]) -> pa.StructType:
    return pa.struct([WIRE_SCHEMA.field(name) for name in names])


@lru_cache(1024)
def _narrow(names: tuple[str, ...]) -> pa.Schema:
    return pa.schema([*_struct(names), _SCHEMA.field("type")])


class _FieldsLeft:
    """Number of given fields not found yet; negative if unknown."""

    def __init__(self, left: int) -> None:
        self.left = left


def _mixed(
    events: list[Event], codes: Any, kinds: list[int], fields_left: _FieldsLeft
) -> dict[str, pa.Array]:
    order = np.argsort(codes, kind="stable")
    place = np.empty(len(events), np.int64)
    place[order] = np.arange(len(events))
    parts, sizes = [], []
    for code in kinds:
        rows = [events[i] for i in np.flatnonzero(codes == code).tolist()]
        parts.append(_columns(EVENTS[code], rows, fields_left))
        sizes.append(len(rows))
    back = pa.array(place)
    columns = {}
    for name in {name for part in parts for name in part}:
        kind = WIRE_SCHEMA.field(name).type
        pieces = [
            part[name] if name in part else null_column(size, kind)
            for part, size in zip(parts, sizes, strict=True)
        ]
        columns[name] = pa.concat_arrays(pieces).take(back)
    return columns


def _columns(
    kind: type[Event], events: list[Event], fields_left: _FieldsLeft
) -> dict[str, pa.Array]:
    columns = {}
    for name in _FIELDS[kind]:
        if fields_left.left == 0:
            break
        values = list(map(_GET[name], events))
        if values[0] is not None or values.count(None) < len(values):
            column = _column(values, WIRE_SCHEMA.field(name).type)
            fields_left.left -= len(column) - column.null_count
            columns[name] = column
    return columns


def _column(values: list[Any], kind: pa.DataType) -> pa.Array:
    try:
        return pa.array(values, kind)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        # Times that came as RFC 3339.
        return pa.array([milliseconds(v) if isinstance(v, datetime) else v for v in values], kind)


Mask = NDArray[np.bool_]

NAMES: list[str] = WIRE_SCHEMA.names
if len(NAMES) > 62:
    raise TypeError("the fields that a row gives are bits of an int64, `ColumnBuffers.present`")
TEXT, WORD, LONG, SHORT, FLAG = range(5)
"""Kinds of fields: any text, a word of an enumeration, 64 or 32 bits, true or false."""

_REASONS = tuple(dict.fromkeys(word for words in REASONS.values() for word in words))
_OF_FIELD: dict[str, tuple[str, ...]] = {"type": TYPES, "reason": _REASONS, **CODES}
_ALL = sorted({word for words in _OF_FIELD.values() for word in words})
NO_CODE = 255
"""The code of a word that is not in the enumeration."""


def _kind(field: pa.Field) -> int:
    if field.name in _OF_FIELD:
        return WORD
    by_type = {pa.string(): TEXT, pa.int64(): LONG, pa.int32(): SHORT, pa.bool_(): FLAG}
    return by_type[field.type]


KINDS = np.array([_kind(field) for field in WIRE_SCHEMA], np.uint8)
_KIND_OF: list[int] = KINDS.tolist()
_SIZE_OF = (4, 1, 8, 4, 1)
_CODES = np.array(
    [
        [_OF_FIELD[n].index(w) if w in _OF_FIELD.get(n, ()) else NO_CODE for w in _ALL]
        for n in NAMES
    ],
    np.uint8,
)


class FieldTables(NamedTuple):
    """Field tables for compiled code: each field's kind, all words, each field's code of a word."""

    kinds: NDArray[np.uint8]
    words: EnumTable
    codes: NDArray[np.uint8]


FIELD_TABLES = FieldTables(KINDS, build_enum_table(_ALL), _CODES)


def _bounds(name: str) -> tuple[int, int]:
    """Inclusive bounds of a field, which are the same in every type."""
    bounds = {_bounds_of(fields[name]) for fields in LIMITS.values() if name in fields}
    if len(bounds) > 1:
        raise TypeError(f"the types of events have different bounds for the field {name}")
    return bounds.pop() if bounds else (0, 0)


def _bounds_of(limit: Limit) -> tuple[int, int]:
    if limit.kind in ("choice", "flag"):
        return 0, 0
    return (1, limit.max_bytes) if limit.kind == "text" else (limit.low, limit.high)


BOUNDS = np.array([_bounds(name) for name in NAMES], np.int64)
"""Inclusive bounds of each field: of a number's value, of a text's length in bytes."""


def _per_type(test: Any, kind: type) -> NDArray[Any]:
    # An entry a code; the last is that of a type that is not known.
    return np.array([test(t) for t in TYPES] + [0] * (1 + NO_CODE - len(TYPES))).astype(kind)


_BIT = {name: 1 << k for k, name in enumerate(NAMES)}
_PEER, _GROUP, _TYPE = map(NAMES.index, (*COUNTERPARTS, "type"))
_MAY = _per_type(lambda t: _BIT["type"] + sum(_BIT[n] for n in LIMITS[t]), np.int64)
_MUST = _per_type(lambda t: sum(_BIT[n] for n, x in LIMITS[t].items() if x.required), np.int64)
_EITHER = _per_type(lambda t: t in EITHER, np.bool_)
_VARYING = tuple(n for n, words in WORDS.items() if len(set(words.values())) > 1)
_CHOICES = np.array([NAMES.index(name) for name in _VARYING], np.int64)
"""Fields that have other words in each type."""
_ALLOWED = np.array(
    [
        _per_type(
            lambda t, n=name: sum(1 << _OF_FIELD[n].index(w) for w in WORDS[n].get(t, ())), np.int64
        )
        for name in _VARYING
    ]
)
"""By field of _CHOICES and type: its words, as bits."""
_RULES = (_MAY, _MUST, _EITHER, _CHOICES, _ALLOWED)
_ROW_BY_ROW = sum(_BIT[n] for n in BY_ROW)

_TYPES = {
    TEXT: pa.string(), WORD: pa.dictionary(pa.uint8(), pa.string()), LONG: pa.int64(),
    SHORT: pa.int32(), FLAG: pa.bool_(),
}  # fmt: skip
_DICTIONARIES = {n: pa.array(words, pa.string()) for n, words in _OF_FIELD.items()}


class ColumnBuffers(NamedTuple):
    """Buffers for the columns of some rows, which compiled code fills.

    `where` has for each field the positions in `memory` of its validity bits, its offsets or
    values, and its text, and the bytes of text; -1 for a field without a buffer. `present` has a
    bit for each field that a row gives, `many` the number of rows that give a field, `doubt` marks
    rows that may be invalid.
    """

    where: NDArray[np.int64]
    memory: NDArray[np.uint8]
    present: NDArray[np.int64]
    doubt: NDArray[np.bool_]
    many: NDArray[np.int64]


class DecodedColumns(NamedTuple):
    """Decoded columns of the wire's types, enumerations as codes; empty columns are omitted.

    A value out of bounds counts as missing, and its row as doubtful.
    """

    columns: dict[str, pa.Array]
    rows: int
    doubt: Mask


def allocate_buffers(rows: int, room: list[int]) -> ColumnBuffers:
    """Allocate buffers; `room` gives the bytes of text of each field, -1 for an omitted field."""
    where, end = [], 0
    for kind, text in zip(_KIND_OF, room, strict=True):
        if text < 0:
            where.append((-1, -1, -1, -1))
            continue
        values = end + _whole(rows + 7 >> 3)
        begin = values + _whole(_SIZE_OF[kind] * rows + 8)
        where.append((end, values, begin, text))
        # Text is written and looked at eight bytes at a time.
        end = begin + _whole(text + 8)
    memory = np.zeros(end, np.uint8)
    present, doubt = np.zeros(rows, np.int64), np.zeros(rows, np.bool_)
    return ColumnBuffers(np.array(where), memory, present, doubt, np.zeros(len(NAMES), np.int64))


def _whole(size: int) -> int:
    return size + 63 & ~63


@compiled(inline="always")
def text_offsets(sheet: Any, field: Any) -> Any:
    """In compiled code: the text offsets of a field, one more than rows."""
    return sheet.memory[sheet.where[field, 1] :][: 4 * len(sheet.present) + 4].view(np.int32)


@compiled(inline="always")
def enum_code(text: Any, at: Any, size: Any, field: Any, known: Any) -> Any:
    """In compiled code: a field's code of the word at `at`, or NO_CODE."""
    word = find_word(text, at, size, known.words)
    return known.codes[field, word] if word >= 0 else np.uint8(NO_CODE)


@compiled(inline="always")
def mark_field(good: Any, row: Any, field: Any, sheet: Any) -> None:
    """In compiled code: mark a field as given in a row, or the row as doubtful."""
    if good:
        sheet.present[row] |= int64(1) << field
        sheet.many[field] += 1
    else:
        sheet.doubt[row] = True


@compiled(inline="always")
def write_number(value: Any, row: Any, field: Any, sheet: Any) -> None:
    """In compiled code: write a whole number that is within a field's bounds."""
    begin, rows = sheet.where[field, 1], len(sheet.present)
    if KINDS[field] == LONG:
        sheet.memory[begin:][: 8 * rows].view(np.int64)[row] = value
    else:
        sheet.memory[begin:][: 4 * rows].view(np.int32)[row] = value


@compiled(inline="always")
def write_flag(value: Any, row: Any, field: Any, sheet: Any) -> None:
    """In compiled code: write true or false over an initial false."""
    sheet.memory[sheet.where[field, 1] + (row >> 3)] |= int64(value) << (row & 7)


@compiled()
def _check_rows(sheet: Any, rules: Any) -> None:
    """Mark rows without a type or with wrong fields as doubtful; write the validity bits."""
    may, must, either, choices, allowed = rules
    rows = len(sheet.present)
    types = sheet.memory[sheet.where[_TYPE, 1] :][:rows]
    for row in range(rows):
        fields = int64(sheet.present[row])
        code = types[row] if fields >> _TYPE & 1 else NO_CODE
        wrong = fields & ~int64(may[code]) != 0 or int64(must[code]) & ~fields != 0
        wrong |= either[code] and (fields >> _PEER & 1) == (fields >> _GROUP & 1)
        wrong |= code == NO_CODE or fields & _ROW_BY_ROW != 0
        for k in range(len(choices)):
            if fields >> choices[k] & 1:
                word = sheet.memory[sheet.where[choices[k], 1] + row]
                wrong |= allowed[k, code] >> word & 1 == 0
        sheet.doubt[row] |= wrong
    for field in range(len(sheet.many)):
        if 0 < sheet.many[field] < rows:
            bits = sheet.memory[sheet.where[field, 0] :]
            for row in range(rows):
                bits[row >> 3] |= (sheet.present[row] >> field & 1) << (row & 7)


def finish_columns(sheet: ColumnBuffers) -> DecodedColumns:
    """Return the columns in the buffers, and check the fields of each row against its type."""
    _check_rows(sheet, _RULES)
    memory, rows = pa.py_buffer(sheet.memory), len(sheet.present)
    columns, counts = {}, sheet.many.tolist()
    for field, (bits, values, text, room) in enumerate(sheet.where.tolist()):
        if not counts[field] and field != _TYPE:
            continue
        name, kind, nulls = NAMES[field], _KIND_OF[field], rows - counts[field]
        parts = [memory.slice(bits, rows + 7 >> 3) if nulls else None]
        parts.append(memory.slice(values, _SIZE_OF[kind] * rows + 8))
        if kind == WORD:
            columns[name] = pa.DictionaryArray.from_buffers(
                _TYPES[kind], rows, parts, _DICTIONARIES[name], nulls
            )
            continue
        if kind == TEXT:
            parts.append(memory.slice(text, room))
        columns[name] = pa.Array.from_buffers(_TYPES[kind], rows, parts, nulls)
    return DecodedColumns(columns, rows, sheet.doubt)


_MOST = (1 << 31) - 1
_ZERO, _ONES, _HIGHS = map(np.uint64, (0, 0x0101010101010101, 0x8080808080808080))
_FIELD_INDEX = {name: field for field, name in enumerate(NAMES)}
_HOLDS = {
    kind.id: holds
    for kind, holds in ((pa.string(), TEXT), (pa.int64(), LONG), (pa.int32(), SHORT),
                        (pa.bool_(), FLAG))
}  # fmt: skip


def gather_batches(batches: Sequence[pa.RecordBatch]) -> DecodedColumns | None:
    """Concatenate and check batches in compiled code; None where that is not possible.

    A field that a batch lacks is null in its rows. Columns of other names or types, texts that are
    not UTF-8, and damaged buffers give None.
    """
    forms = _forms(batches)
    if forms is None:
        return None
    try:
        for batch in batches:
            batch.validate()
    except pa.ArrowInvalid:
        return None
    parts, _kept = export_addresses(batches)
    room = np.full(len(NAMES), -1, np.int64)
    room[_FIELD_INDEX["type"]] = 0
    rows = _measure(parts, forms, room)
    if rows < 0 or room.max() > _MOST:
        return None
    buffers = allocate_buffers(rows, room.tolist())
    if not _copy_batches(parts, forms, BOUNDS, FIELD_TABLES, buffers) or not _check_texts(buffers):
        return None
    return finish_columns(buffers)


def _check_texts(buffers: ColumnBuffers) -> bool:
    """Mark texts with a NUL as doubtful; return whether all texts are UTF-8."""
    for field in np.flatnonzero(buffers.many).tolist():
        if KINDS[field] == TEXT and (letters := _scan_text(buffers, field)):
            begin, size = buffers.where[field, 2:].tolist()
            try:
                str(buffers.memory[begin : begin + size].data, "utf-8")
            except UnicodeDecodeError:
                return False
            if letters < 0:
                return False
    return True


def _forms(batches: Sequence[pa.RecordBatch]) -> NDArray[np.int8] | None:
    """Return field and kind of each column of each batch; None where one is not supported."""
    forms: list[NDArray[np.int8]] = []
    for at, batch in enumerate(batches):
        if at and batch.schema.equals(batches[at - 1].schema):
            forms.append(forms[-1])
            continue
        form = _form(batch.schema)
        if form is None:
            return None
        forms.append(form)
    return np.concatenate(forms)


def _form(schema: pa.Schema) -> NDArray[np.int8] | None:
    try:
        fields = [_FIELD_INDEX[name] for name in schema.names]
        holds = [_HOLDS[kind.id] for kind in schema.types]
    except (KeyError, UnicodeDecodeError):
        return None
    if len(set(fields)) < len(fields) or not all(map(_fits, fields, holds)):
        return None
    missing = [-1] * (len(NAMES) - len(fields))
    return np.array([[fields + missing, holds + missing]], np.int8)


def _fits(field: int, holds: int) -> bool:
    kind = int(KINDS[field])
    if kind in (LONG, SHORT):
        return holds in (LONG, SHORT)
    return holds == (TEXT if kind == WORD else kind)


@compiled()
def _measure(parts: Any, forms: Any, room: Any) -> Any:
    """Sum rows and, by field, bytes of text; returns the rows, or -1 for an unsupported batch.

    The batches passed Arrow's quick checks: first and last offset of a text are within it.
    """
    rows = int64(0)
    for part in range(len(parts)):
        batch = struct_members(parts[part])
        if batch[OFFSET] != 0 or batch[N_CHILDREN] > forms.shape[2]:
            return int64(-1)
        columns = children(batch)
        for child in range(batch[N_CHILDREN]):
            column = struct_members(columns[child])
            field, holds = forms[part, 0, child], forms[part, 1, child]
            size = _text_size(column) if holds == TEXT else _alignment(column, holds)
            plain = column[LENGTH] == batch[LENGTH] and column[DICTIONARY] == 0
            if size < 0 or not plain or column[N_CHILDREN] != 0:
                return int64(-1)
            room[field] = max(room[field], 0) + size
        rows += batch[LENGTH]
    return rows


@compiled()
def _text_size(column: Any) -> Any:
    """Return the bytes of a column's texts; -1 where its buffers are invalid."""
    if column[N_BUFFERS] != 3:
        return int64(-1)
    if column[LENGTH] == 0:
        return int64(0)
    buffers = array_at(column[BUFFERS], 3, np.int64)
    where = buffers[1]
    if where == 0 or where & 3:
        return int64(-1)
    offsets = array_at(where + 4 * column[OFFSET], column[LENGTH] + 1, np.int32)
    first, last = int64(offsets[0]), int64(offsets[column[LENGTH]])
    if not 0 <= first <= last or (buffers[2] == 0 and last > 0):
        return int64(-1)
    return last - first


@compiled()
def _alignment(column: Any, holds: Any) -> Any:
    """Return 0 where a column's values are aligned, else -1."""
    if column[N_BUFFERS] != 2:
        return int64(-1)
    if column[LENGTH] == 0:
        return int64(0)
    where = array_at(column[BUFFERS], 2, np.int64)[1]
    mask = 7 if holds == LONG else 3 if holds == SHORT else 0
    return int64(-1) if where == 0 or where & mask else int64(0)


@compiled(inline="always")
def _span(column: Any) -> Any:
    """Return buffers and offsets of a text column, and its first and last offset."""
    rows = column[LENGTH]
    buffers = array_at(column[BUFFERS], 3, np.int64)
    starts = array_at(buffers[1] + 4 * column[OFFSET], rows + 1, np.int32)
    return buffers, starts, int64(starts[0]), int64(starts[rows])


@compiled()
def _texts(column: Any, row: Any, field: Any, to: Any, bounds: Any, sheet: Any) -> Any:
    """Append a column of texts after `to` bytes; returns the number of texts.

    -1 where an offset decreases or exceeds the last.
    """
    rows, begin = column[LENGTH], column[OFFSET]
    buffers, starts, before, last = _span(column)
    at = sheet.where[field, 2] + to
    sheet.memory[at : at + last - before] = array_at(buffers[2] + before, last - before, np.uint8)
    offsets = text_offsets(sheet, field)
    many, shift = int64(0), to - before
    low, high = bounds[field]
    for k in range(rows):
        after = int64(starts[k + 1])
        if after < before or after > last:
            return int64(-1)
        if is_given(buffers[0], begin + k):
            many += 1
            mark_field(low <= after - before <= high, row + k, field, sheet)
        offsets[row + k + 1] = after + shift
        before = after
    return many


@compiled(inline="always")
def _is_ascii(text: Any, at: Any, end: Any) -> Any:
    high = np.uint8(0)
    for k in range(at, end):
        high |= text[k]
    return high < 128


@compiled()
def _words(column: Any, row: Any, field: Any, known: Any, sheet: Any) -> Any:
    """Write a column of words as codes; returns the number of words, -1 as `_texts` does.

    An unknown word must be ASCII, else the result is -1.
    """
    rows, begin = column[LENGTH], column[OFFSET]
    buffers, starts, before, last = _span(column)
    text, codes = array_at(buffers[2], last, np.uint8), sheet.memory[sheet.where[field, 1] :]
    many = int64(0)
    for k in range(rows):
        after = int64(starts[k + 1])
        if after < before or after > last:
            return int64(-1)
        if is_given(buffers[0], begin + k):
            many += 1
            code = enum_code(text, before, after - before, field, known)
            if code == NO_CODE and not _is_ascii(text, before, after):
                return int64(-1)
            mark_field(code != NO_CODE, row + k, field, sheet)
            codes[row + k] = code if code != NO_CODE else 0
        before = after
    return many


@compiled()
def _integers(column: Any, holds: Any, row: Any, field: Any, bounds: Any, sheet: Any) -> Any:
    """Write a column of whole numbers, 32 or 64 bits; returns the number of values."""
    rows, begin, wide = column[LENGTH], column[OFFSET], holds == LONG
    buffers = array_at(column[BUFFERS], 2, np.int64)
    longs = array_at(buffers[1] + 8 * begin, rows, np.int64)
    shorts = array_at(buffers[1] + 4 * begin, rows, np.int32)
    many, (low, high) = int64(0), bounds[field]
    for k in range(rows):
        if is_given(buffers[0], begin + k):
            many += 1
            value = longs[k] if wide else int64(shorts[k])
            good = low <= value <= high
            mark_field(good, row + k, field, sheet)
            write_number(value if good else 0, row + k, field, sheet)
    return many


@compiled()
def _flags(column: Any, row: Any, field: Any, sheet: Any) -> Any:
    """Write a column of flags; returns the number of values."""
    begin = column[OFFSET]
    buffers = array_at(column[BUFFERS], 2, np.int64)
    many = int64(0)
    for k in range(column[LENGTH]):
        if is_given(buffers[0], begin + k):
            many += 1
            mark_field(True, row + k, field, sheet)
            write_flag(is_given(buffers[1], begin + k), row + k, field, sheet)
    return many


@compiled()
def _copy_batches(parts: Any, forms: Any, bounds: Any, known: Any, sheet: Any) -> bool:
    """Copy the batches that `_measure` measured; False where a buffer is damaged."""
    row, to = int64(0), np.zeros(len(bounds), np.int64)
    for part in range(len(parts)):
        batch = struct_members(parts[part])
        rows, seen = batch[LENGTH], int64(0)
        columns = children(batch)
        for child in range(batch[N_CHILDREN] if rows else 0):
            column = struct_members(columns[child])
            field, holds = int64(forms[part, 0, child]), forms[part, 1, child]
            seen |= int64(1) << field
            if known.kinds[field] == WORD:
                many = _words(column, row, field, known, sheet)
            elif holds == TEXT:
                many = _texts(column, row, field, to[field], bounds, sheet)
                to[field] += _text_size(column)
            elif holds == FLAG:
                many = _flags(column, row, field, sheet)
            else:
                many = _integers(column, holds, row, field, bounds, sheet)
            if many < 0 or (column[NULLS] >= 0 and column[NULLS] != rows - many):
                return False
        for field in range(len(bounds)):
            if known.kinds[field] == TEXT and sheet.where[field, 0] >= 0 and not seen >> field & 1:
                text_offsets(sheet, field)[row + 1 : row + rows + 1] = to[field]
        row += rows
    return True


@compiled()
def _scan_text(sheet: Any, field: Any) -> Any:
    """Mark rows with a NUL; returns 0 for ASCII, 1 for other letters, -1 for split characters."""
    begin, size = sheet.where[field, 2], sheet.where[field, 3]
    text, rows = sheet.memory[begin : begin + size], len(sheet.present)
    letters, nuls = _ZERO, _ZERO
    for word in text[: size & ~7].view(np.uint64):
        letters |= word
        nuls |= (word - _ONES) & ~word
    high, nul = letters & _HIGHS != _ZERO, nuls & _HIGHS != _ZERO
    for at in range(size & ~7, size):
        high |= text[at] > 127
        nul |= text[at] == 0
    offsets = text_offsets(sheet, field)
    if nul:
        for row in range(rows):
            for at in range(offsets[row], offsets[row + 1]):
                sheet.doubt[row] |= text[at] == 0
    if high:
        for row in range(rows):
            if offsets[row] < size and text[offsets[row]] & 0xC0 == 0x80:
                return -1
    return 1 if high else 0
