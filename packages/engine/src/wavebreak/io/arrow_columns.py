"""Arrow columns built from events, and the buffers that compiled code fills.

`wire_batch` builds the columns of decoded events, grouped by type. `allocate_buffers` and
`finish_columns` hold one block of memory for all columns of some rows; each value is checked
against its limits as it is written, and a row with a value out of bounds is marked as doubtful, for
`field_limits.validate_event` to decide. `gather_batches` copies Arrow batches of the wire's own
types into such buffers, directly from their memory: Arrow checks that buffers are as large as the
rows need, and the compiled code checks that texts lie within them.

In its loops compiled code takes no array out of a tuple and gives none to a function that is copied
into it: each time the array's owners are counted, by an atomic instruction that costs ten times
what a value does. It gives addresses.
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
from wavebreak.compiled.numba_runtime import compiled, int64, load_u8
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

_PLACES = 2048


class EnumTable(NamedTuple):
    """Perfect-hash table: the slot of a word follows from its length and four letters.

    `spelt` has each word's letters, filled up with zeros to words of eight bytes.
    """

    factors: NDArray[np.int64]
    at: NDArray[np.int16]
    spelt: NDArray[np.uint64]
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
    places_taken = np.full(_PLACES, -1, np.int16)
    places_taken[places] = np.arange(len(words))
    width = -(-max(map(len, letters)) // 8) * 8
    spelt = np.array([list(w.ljust(width, b"\0")) for w in letters], np.uint8)
    sizes = np.array(list(map(len, letters)), np.int64)
    return EnumTable(factors, places_taken, spelt.view(np.uint64), sizes)


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
    remaining = _FieldsLeft(members - len(events))
    codes = np.fromiter(map(_CODE.__getitem__, map(type, events)), np.uint8, len(events))
    columns: dict[str, pa.Array]
    kinds = set(map(type, events))
    if len(kinds) == 1:
        columns = _columns(kinds.pop(), events, remaining)
    else:
        columns = _mixed(events, codes, sorted(map(_CODE.__getitem__, kinds)), remaining)
    columns["type"] = pa.DictionaryArray.from_arrays(pa.array(codes), _WORDS)
    filled = null_columns(log=False, rows=len(events)) | columns
    return pa.RecordBatch.from_arrays(list(filled.values()), schema=_SCHEMA)


def wire_batch_of_one(event: Event) -> pa.RecordBatch:
    """Build a wire batch of one event, with only the columns of its fields."""
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
    events: list[Event], codes: Any, kinds: list[int], remaining: _FieldsLeft
) -> dict[str, pa.Array]:
    order = np.argsort(codes, kind="stable")
    place = np.empty(len(events), np.int64)
    place[order] = np.arange(len(events))
    parts, sizes = [], []
    for code in kinds:
        rows = [events[i] for i in np.flatnonzero(codes == code).tolist()]
        parts.append(_columns(EVENTS[code], rows, remaining))
        sizes.append(len(rows))
    positions = pa.array(place)
    columns = {}
    for name in {name for part in parts for name in part}:
        kind = WIRE_SCHEMA.field(name).type
        pieces = [
            part[name] if name in part else null_column(size, kind)
            for part, size in zip(parts, sizes, strict=True)
        ]
        columns[name] = pa.concat_arrays(pieces).take(positions)
    return columns


def _columns(kind: type[Event], events: list[Event], remaining: _FieldsLeft) -> dict[str, pa.Array]:
    columns = {}
    for name in _FIELDS[kind]:
        if remaining.left == 0:
            break
        values = list(map(_GET[name], events))
        if values[0] is not None or values.count(None) < len(values):
            column = _column(values, WIRE_SCHEMA.field(name).type)
            remaining.left -= len(column) - column.null_count
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
_ALL = sorted({*NAMES, *(word for words in _OF_FIELD.values() for word in words)})
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


_FACTORS, _PLACE_OF, _SPELT, _SIZES = build_enum_table(_ALL)
_FIELDS_OF = np.array([NAMES.index(w) if w in NAMES else -1 for w in _ALL], np.int64)


@compiled(inline="always")
def _word_at(address: Any, size: Any) -> Any:
    """Return the index in _ALL of the word of `size` letters at an address, or -1."""
    if size < 1 or size > 8 * _SPELT.shape[1]:
        return int64(-1)
    hashed = (
        _FACTORS[0] * size
        + _FACTORS[1] * load_u8(address)
        + _FACTORS[2] * load_u8(address + size // 3)
    )
    hashed += _FACTORS[3] * load_u8(address + 2 * size // 3) + _FACTORS[4] * load_u8(
        address + size - 1
    )
    word = int64(_PLACE_OF[hashed & (_PLACES - 1)])
    if word < 0 or _SIZES[word] != size:
        return int64(-1)
    for k in range(size):
        if (_SPELT[word, k >> 3] >> np.uint64(8 * (k & 7))) & np.uint64(255) != load_u8(
            address + k
        ):
            return int64(-1)
    return word


@compiled(inline="always")
def field_named(address: Any, size: Any) -> Any:
    """In compiled code: the field with the `size` letters at an address as name, or -1."""
    word = _word_at(address, size)
    return _FIELDS_OF[word] if word >= 0 else int64(-1)


@compiled(inline="always")
def enum_code(address: Any, size: Any, field: Any) -> Any:
    """In compiled code: a field's code of the word of `size` letters at an address, or NO_CODE."""
    word = _word_at(address, size)
    return _CODES[field, word] if word >= 0 else np.uint8(NO_CODE)


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
_NEEDS_COUNTERPART = _per_type(lambda t: t in EITHER, np.bool_)
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
_RULES = (_MAY, _MUST, _NEEDS_COUNTERPART, _CHOICES, _ALLOWED)
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

    A value out of bounds counts as missing, and the row as doubtful.
    """

    columns: dict[str, pa.Array]
    rows: int
    doubt: Mask


def allocate_buffers(rows: int, room: list[int]) -> ColumnBuffers:
    """Allocate buffers; `room` gives the bytes of text of each field, -1 for an omitted field."""
    offsets, end = [], 0
    for kind, text in zip(_KIND_OF, room, strict=True):
        if text < 0:
            offsets.append((-1, -1, -1, -1))
            continue
        values = end + _rounded_size(rows + 7 >> 3)
        begin = values + _rounded_size(_SIZE_OF[kind] * rows + 8)
        offsets.append((end, values, begin, text))
        # Text is written and looked at eight bytes at a time.
        end = begin + _rounded_size(text + 8)
    memory = np.zeros(end, np.uint8)
    present, doubt = np.zeros(rows, np.int64), np.zeros(rows, np.bool_)
    return ColumnBuffers(np.array(offsets), memory, present, doubt, np.zeros(len(NAMES), np.int64))


def _rounded_size(size: int) -> int:
    return size + 63 & ~63


@compiled(inline="always")
def text_offsets(sheet: Any, field: Any) -> Any:
    """In compiled code: the text offsets of a field, one more than rows."""
    return sheet.memory[sheet.where[field, 1] :][: 4 * len(sheet.present) + 4].view(np.int32)


@compiled(inline="always")
def number_columns(sheet: Any, field: Any) -> Any:
    """In compiled code: a field's numbers as 64 bits and as 32, of which the kind selects one."""
    begin, rows = sheet.where[field, 1], len(sheet.present)
    longs = sheet.memory[begin:][: 8 * (rows if KINDS[field] == LONG else 0)].view(np.int64)
    return longs, sheet.memory[begin:][: 4 * rows].view(np.int32)


@compiled()
def _check_rows(sheet: Any, rules: Any) -> None:
    """Mark rows without a type or with wrong fields as doubtful; write the validity bits."""
    may, must, needs_counterpart, choices, allowed = rules
    where, memory, present, doubt, many = sheet
    rows = len(present)
    types = memory[where[_TYPE, 1] :][:rows]
    for row in range(rows):
        fields = int64(present[row])
        code = types[row] if fields >> _TYPE & 1 else NO_CODE
        wrong = fields & ~int64(may[code]) != 0 or int64(must[code]) & ~fields != 0
        wrong |= needs_counterpart[code] and (fields >> _PEER & 1) == (fields >> _GROUP & 1)
        wrong |= code == NO_CODE or fields & _ROW_BY_ROW != 0
        for k in range(len(choices)):
            if fields >> choices[k] & 1:
                word = memory[where[choices[k], 1] + row]
                wrong |= allowed[k, code] >> word & 1 == 0
        doubt[row] |= wrong
    for field in range(len(many)):
        if 0 < many[field] < rows:
            bits = memory[where[field, 0] :]
            for begin in range(0, rows, 8):
                byte = 0
                for row in range(begin, min(begin + 8, rows)):
                    byte |= (present[row] >> field & 1) << (row & 7)
                bits[begin >> 3] = byte


def finish_columns(sheet: ColumnBuffers) -> DecodedColumns:
    """Return the columns in the buffers, and check the fields of each row against the type."""
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


_MAX_INT32 = (1 << 31) - 1
_ZERO, _LOW_BITS, _HIGHS = map(np.uint64, (0, 0x0101010101010101, 0x8080808080808080))
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
    parts, _owners = export_addresses(batches)
    room = np.full(len(NAMES), -1, np.int64)
    room[_FIELD_INDEX["type"]] = 0
    rows = _measure(parts, forms, room)
    if rows < 0 or room.max() > _MAX_INT32:
        return None
    buffers = allocate_buffers(rows, room.tolist())
    if not _copy_batches(parts, forms, BOUNDS, buffers) or not _check_texts(buffers):
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
    for index, batch in enumerate(batches):
        if index and batch.schema.equals(batches[index - 1].schema):
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
    """Return the bytes of a column's texts; -1 for invalid buffers."""
    if column[N_BUFFERS] != 3:
        return int64(-1)
    if column[LENGTH] == 0:
        return int64(0)
    buffers = array_at(column[BUFFERS], 3, np.int64)
    address = buffers[1]
    if address == 0 or address & 3:
        return int64(-1)
    offsets = array_at(address + 4 * column[OFFSET], column[LENGTH] + 1, np.int32)
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
    address = array_at(column[BUFFERS], 2, np.int64)[1]
    mask = 7 if holds == LONG else 3 if holds == SHORT else 0
    return int64(-1) if address == 0 or address & mask else int64(0)


@compiled(inline="always")
def _span(column: Any) -> Any:
    """Return buffers and offsets of a text column, and the first and last offset."""
    rows = column[LENGTH]
    buffers = array_at(column[BUFFERS], 3, np.int64)
    starts = array_at(buffers[1] + 4 * column[OFFSET], rows + 1, np.int32)
    return buffers, starts, int64(starts[0]), int64(starts[rows])


@compiled()
def _texts(column: Any, row: Any, field: Any, to: Any, bounds: Any, sheet: Any) -> Any:
    """Append a column of texts after `to` bytes; returns the number of texts.

    -1 where an offset decreases or exceeds the last.
    """
    rows, begin, present, doubt = column[LENGTH], column[OFFSET], sheet.present, sheet.doubt
    buffers, starts, before, last = _span(column)
    to_text = sheet.memory[sheet.where[field, 2] + to :]
    text = array_at(buffers[2] + before, last - before, np.uint8)
    # The assignment of a slice would have Numba compile the texts of its errors, for a second.
    for k in range(text.size):
        to_text[k] = text[k]
    offsets = text_offsets(sheet, field)
    count, present_count, shift, bit = int64(0), int64(0), to - before, int64(1) << field
    low, high = bounds[field]
    for k in range(rows):
        after = int64(starts[k + 1])
        if after < before or after > last:
            return int64(-1)
        if is_given(buffers[0], begin + k):
            count += 1
            if low <= after - before <= high:
                present[row + k] |= bit
                present_count += 1
            else:
                doubt[row + k] = True
        offsets[row + k + 1] = after + shift
        before = after
    sheet.many[field] += present_count
    return count


@compiled(inline="always")
def _is_ascii(address: Any, end: Any) -> Any:
    high = np.uint8(0)
    for k in range(address, end):
        high |= load_u8(k)
    return high < 128


@compiled()
def _words(column: Any, row: Any, field: Any, sheet: Any) -> Any:
    """Write a column of words as codes; returns the number of words, -1 as `_texts` does.

    An unknown word must be ASCII, else the result is -1.
    """
    rows, begin, present, doubt = column[LENGTH], column[OFFSET], sheet.present, sheet.doubt
    buffers, starts, before, last = _span(column)
    codes, bit = sheet.memory[sheet.where[field, 1] :], int64(1) << field
    count, present_count, text = int64(0), int64(0), buffers[2]
    for k in range(rows):
        after = int64(starts[k + 1])
        if after < before or after > last:
            return int64(-1)
        if is_given(buffers[0], begin + k):
            count += 1
            code = enum_code(text + before, after - before, field)
            if code != NO_CODE:
                codes[row + k] = code
                present[row + k] |= bit
                present_count += 1
            elif _is_ascii(text + before, text + after):
                doubt[row + k] = True
            else:
                return int64(-1)
        before = after
    sheet.many[field] += present_count
    return count


@compiled()
def _integers(column: Any, holds: Any, row: Any, field: Any, bounds: Any, sheet: Any) -> Any:
    """Write a column of whole numbers, 32 or 64 bits; returns the number of values."""
    rows, begin, wide = column[LENGTH], column[OFFSET], holds == LONG
    buffers, present, doubt = array_at(column[BUFFERS], 2, np.int64), sheet.present, sheet.doubt
    to_longs, to_shorts = number_columns(sheet, field)
    longs = array_at(buffers[1] + 8 * begin, rows, np.int64)
    shorts = array_at(buffers[1] + 4 * begin, rows, np.int32)
    count, present_count, (low, high), bit = int64(0), int64(0), bounds[field], int64(1) << field
    for k in range(rows):
        if is_given(buffers[0], begin + k):
            count += 1
            value = longs[k] if wide else int64(shorts[k])
            if not low <= value <= high:
                doubt[row + k] = True
                continue
            present_count += 1
            present[row + k] |= bit
            if len(to_longs):
                to_longs[row + k] = value
            else:
                to_shorts[row + k] = value
    sheet.many[field] += present_count
    return count


@compiled()
def _flags(column: Any, row: Any, field: Any, sheet: Any) -> Any:
    """Write a column of flags; returns the number of values."""
    begin, present, bit = column[OFFSET], sheet.present, int64(1) << field
    buffers, bits = array_at(column[BUFFERS], 2, np.int64), sheet.memory[sheet.where[field, 1] :]
    count = int64(0)
    for k in range(column[LENGTH]):
        if is_given(buffers[0], begin + k):
            count += 1
            present[row + k] |= bit
            bits[row + k >> 3] |= int64(is_given(buffers[1], begin + k)) << (row + k & 7)
    sheet.many[field] += count
    return count


@compiled()
def _copy_batches(parts: Any, forms: Any, bounds: Any, sheet: Any) -> bool:
    """Copy the batches that `_measure` measured; False where a buffer is damaged."""
    row, to = int64(0), np.zeros(len(bounds), np.int64)
    for part in range(len(parts)):
        batch = struct_members(parts[part])
        rows, fields_present = batch[LENGTH], int64(0)
        columns = children(batch)
        for child in range(batch[N_CHILDREN] if rows else 0):
            column = struct_members(columns[child])
            field, holds = int64(forms[part, 0, child]), forms[part, 1, child]
            fields_present |= int64(1) << field
            if KINDS[field] == WORD:
                count = _words(column, row, field, sheet)
            elif holds == TEXT:
                count = _texts(column, row, field, to[field], bounds, sheet)
                to[field] += _text_size(column)
            elif holds == FLAG:
                count = _flags(column, row, field, sheet)
            else:
                count = _integers(column, holds, row, field, bounds, sheet)
            if count < 0 or (column[NULLS] >= 0 and column[NULLS] != rows - count):
                return False
        for field in range(len(bounds)):
            if (
                KINDS[field] == TEXT
                and sheet.where[field, 0] >= 0
                and not fields_present >> field & 1
            ):
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
        nuls |= (word - _LOW_BITS) & ~word
    high, nul = letters & _HIGHS != _ZERO, nuls & _HIGHS != _ZERO
    for index in range(size & ~7, size):
        high |= text[index] > 127
        nul |= text[index] == 0
    offsets = text_offsets(sheet, field)
    if nul:
        for row in range(rows):
            for index in range(offsets[row], offsets[row + 1]):
                sheet.doubt[row] |= text[index] == 0
    if high:
        for row in range(rows):
            if offsets[row] < size and text[offsets[row]] & 0xC0 == 0x80:
                return -1
    return 1 if high else 0
