"""Columns of the wire as machine code lays them out, and what of the contract it looks at.

Whatever events came in, their columns are written into one piece of memory, and each value is held
against its limits as it is written. What is in doubt is marked and decided elsewhere, alone.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from wavebreak.events import CODES, COUNTERPARTS, REASONS, TYPES, WIRE_SCHEMA
from wavebreak.formats.limits import EITHER, LIMITS, Limit
from wavebreak.formats.words import Words, word_at, words_of
from wavebreak.jit import compiled, int64

Mask = NDArray[np.bool_]

NAMES: list[str] = WIRE_SCHEMA.names
TEXT, WORD, LONG, SHORT, FLAG = range(5)
"""What a field holds: any text, a word of an enumeration, 64 or 32 bits, true or false."""

_REASONS = tuple(dict.fromkeys(word for words in REASONS.values() for word in words))
_OF_FIELD = {"type": TYPES, "reason": _REASONS, **CODES}
_ALL = sorted({word for words in _OF_FIELD.values() for word in words})
NONE = 255
"""The code of a word that an enumeration does not have."""


def _kind(field: pa.Field) -> int:
    if field.name in _OF_FIELD:
        return WORD
    by_type = {pa.string(): TEXT, pa.int64(): LONG, pa.int32(): SHORT, pa.bool_(): FLAG}
    return by_type[field.type]


KINDS = np.array([_kind(field) for field in WIRE_SCHEMA], np.uint8)
_KIND_OF: list[int] = KINDS.tolist()
_SIZE_OF = (4, 1, 8, 4, 1)
_CODES = np.array(
    [[_OF_FIELD[n].index(w) if w in _OF_FIELD.get(n, ()) else NONE for w in _ALL] for n in NAMES],
    np.uint8,
)


class Known(NamedTuple):
    """What machine code knows of fields: what each holds, all words, each field's code of each."""

    kinds: NDArray[np.uint8]
    words: Words
    codes: NDArray[np.uint8]


KNOWN = Known(KINDS, words_of(_ALL), _CODES)
_LIMIT: dict[str, Limit] = {name: limit for f in LIMITS.values() for name, limit in f.items()}


def _bounds(name: str) -> tuple[int, int]:
    limit = _LIMIT.get(name)
    if limit is None or limit.kind in ("choice", "flag"):
        return 0, 0
    return (1, limit.max_bytes) if limit.kind == "text" else (limit.low, limit.high)


BOUNDS = np.array([_bounds(name) for name in NAMES], np.int64)
"""Of each field the least and the most: of a number itself, of a text its bytes."""


def _per_type(test: Any, kind: type) -> NDArray[Any]:
    # An entry a code; the last is that of a type that is not known.
    return np.array([test(t) for t in TYPES] + [0] * (1 + NONE - len(TYPES))).astype(kind)


_BIT = {name: 1 << k for k, name in enumerate(NAMES)}
_PEER, _GROUP, _TYPE, _REASON = map(NAMES.index, (*COUNTERPARTS, "type", "reason"))
_MAY = _per_type(lambda t: _BIT["type"] + sum(_BIT[n] for n in LIMITS[t]), np.uint32)
_MUST = _per_type(lambda t: sum(_BIT[n] for n, x in LIMITS[t].items() if x.required), np.uint32)
_EITHER = _per_type(lambda t: t in EITHER, np.bool_)
_WHY = _per_type(lambda t: sum(1 << _REASONS.index(r) for r in REASONS.get(t, ())), np.int64)
_RULES = (_MAY, _MUST, _EITHER, _WHY)

_TYPES = {
    TEXT: pa.string(), WORD: pa.dictionary(pa.uint8(), pa.string()), LONG: pa.int64(),
    SHORT: pa.int32(), FLAG: pa.bool_(),
}  # fmt: skip
_DICTIONARIES = {n: pa.array(words, pa.string()) for n, words in _OF_FIELD.items()}


class Sheet(NamedTuple):
    """Room for the columns of some rows, which machine code fills.

    `where` tells of each field where in `memory` its bits of validity, its offsets or values, and
    its text begin, and how many bytes of text there are; -1 for a field without room. `given` has
    a bit for each field that a row gives, `many` how many rows give a field, `doubt` the rows that
    may break the contract.
    """

    where: NDArray[np.int64]
    memory: NDArray[np.uint8]
    given: NDArray[np.uint32]
    doubt: NDArray[np.bool_]
    many: NDArray[np.int64]


class Laid(NamedTuple):
    """Columns of the wire's types, enumerations as codes: the type, and what else is given.

    A value beyond its bounds is not given, and its row in doubt.
    """

    columns: dict[str, pa.Array]
    rows: int
    doubt: Mask


def sheet(rows: int, room: list[int]) -> Sheet:
    """Make a sheet; `room` gives the bytes of text of each field, -1 for those not to be laid."""
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
    given, doubt = np.zeros(rows, np.uint32), np.zeros(rows, np.bool_)
    return Sheet(np.array(where), memory, given, doubt, np.zeros(len(NAMES), np.int64))


def _whole(size: int) -> int:
    return size + 63 & ~63


@compiled(inline="always")
def offsets_of(sheet: Any, field: Any) -> Any:
    """In compiled code: where the texts of a field begin and end, one more than rows."""
    return sheet.memory[sheet.where[field, 1] :][: 4 * len(sheet.given) + 4].view(np.int32)


@compiled(inline="always")
def code_at(text: Any, at: Any, size: Any, field: Any, known: Any) -> Any:
    """In compiled code: a field's code of the word at `at`, or NONE."""
    word = word_at(text, at, size, known.words)
    return known.codes[field, word] if word >= 0 else np.uint8(NONE)


@compiled(inline="always")
def keep(good: Any, row: Any, field: Any, sheet: Any) -> None:
    """In compiled code: a row gives a field, or is in doubt."""
    if good:
        sheet.given[row] |= int64(1) << field
        sheet.many[field] += 1
    else:
        sheet.doubt[row] = True


@compiled(inline="always")
def write_number(value: Any, row: Any, field: Any, sheet: Any) -> None:
    """In compiled code: write a whole number that is within a field's bounds."""
    begin, rows = sheet.where[field, 1], len(sheet.given)
    if KINDS[field] == LONG:
        sheet.memory[begin:][: 8 * rows].view(np.int64)[row] = value
    else:
        sheet.memory[begin:][: 4 * rows].view(np.int32)[row] = value


@compiled(inline="always")
def write_flag(value: Any, row: Any, field: Any, sheet: Any) -> None:
    """In compiled code: write true or false, where false stands already."""
    sheet.memory[sheet.where[field, 1] + (row >> 3)] |= int64(value) << (row & 7)


@compiled()
def _settled(sheet: Any, rules: Any) -> None:
    """Mark rows of no type, or with a field too many or too few; write the bits of validity."""
    may, must, either, why = rules
    rows = len(sheet.given)
    types = sheet.memory[sheet.where[_TYPE, 1] :][:rows]
    reasons = sheet.memory[max(sheet.where[_REASON, 1], 0) :][:rows]
    for row in range(rows):
        fields = int64(sheet.given[row])
        code = types[row] if fields >> _TYPE & 1 else NONE
        wrong = fields & ~int64(may[code]) != 0 or int64(must[code]) & ~fields != 0
        wrong |= either[code] and (fields >> _PEER & 1) == (fields >> _GROUP & 1)
        wrong |= code == NONE
        if fields >> _REASON & 1:
            wrong |= why[code] >> reasons[row] & 1 == 0
        sheet.doubt[row] |= wrong
    for field in range(len(sheet.many)):
        if 0 < sheet.many[field] < rows:
            bits = sheet.memory[sheet.where[field, 0] :]
            for row in range(rows):
                bits[row >> 3] |= (sheet.given[row] >> field & 1) << (row & 7)


def laid(sheet: Sheet) -> Laid:
    """Give the columns that were laid out; rows are held against what their type may give."""
    _settled(sheet, _RULES)
    memory, rows = pa.py_buffer(sheet.memory), len(sheet.given)
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
    return Laid(columns, rows, sheet.doubt)
