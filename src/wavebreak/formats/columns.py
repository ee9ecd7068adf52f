"""Columns of events against the contract: whole batches at once, rows alone only in doubt.

`doubtful` may doubt a good row, never trust a bad one; doubted rows are decided by `limits.judge`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from wavebreak.edge import coded, codes_of
from wavebreak.errors import FileError
from wavebreak.events import CODES, COUNTERPARTS, REASONS, TYPES, WIRE_SCHEMA, Event, Refusal
from wavebreak.formats.limits import EITHER, LIMITS, Limit, judge
from wavebreak.formats.plain import wire_of_columns
from wavebreak.formats.scanning import Measures
from wavebreak.formats.structs import wire_of
from wavebreak.jit import compiled, int64

_RFC3339 = r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)$"
_UNITS = {"s": (1000, 1), "ms": (1, 1), "us": (1, 1000), "ns": (1, 1_000_000)}

LONG_WORD = 1024
"""Bytes of a word from which on a column is not spread out; the contract refuses it anyway."""

Mask = NDArray[np.bool_]


class Taken(NamedTuple):
    """Events that passed, with the line of each, and those that were refused."""

    wire: pa.RecordBatch
    lines: NDArray[np.int64]
    refused: list[Refusal]


_NO_TYPE = 255


def _per_type(test: Any, kind: type) -> NDArray[Any]:
    # An entry a code; the last is that of a type that is not known.
    return np.array([test(t) for t in TYPES] + [0] * (1 + _NO_TYPE - len(TYPES))).astype(kind)


_BIT = {name: 1 << k for k, name in enumerate(WIRE_SCHEMA.names)}
_MAY = _per_type(lambda t: _BIT["type"] + sum(_BIT[n] for n in LIMITS[t]), np.uint32)
_MUST = _per_type(lambda t: sum(_BIT[n] for n, x in LIMITS[t].items() if x.required), np.uint32)
_EITHER = _per_type(lambda t: t in EITHER, np.bool_)
_LIMIT: dict[str, Limit] = {name: limit for f in LIMITS.values() for name, limit in f.items()}
_WORDS = {WIRE_SCHEMA.get_field_index(n): words for n, words in {"type": TYPES, **CODES}.items()}
_PEER, _GROUP = (WIRE_SCHEMA.get_field_index(name) for name in COUNTERPARTS)


def _bounds(name: str) -> tuple[int, int]:
    """What a field's measure (see `Measures`) may be."""
    limit = _LIMIT.get(name)
    if limit is not None and limit.kind in ("integer", "time"):
        return limit.low, limit.high
    if limit is not None and limit.kind == "text":
        return 1, limit.max_bytes
    # Words of enumerations and flags are looked at elsewhere.
    return 0, LONG_WORD


_LOW, _HIGH = np.array([_bounds(name) for name in WIRE_SCHEMA.names]).T.copy()


def take_columns(batch: pa.RecordBatch, first: int) -> Taken:
    """Check a batch of a file's columns; `first` is the number of its first row, from 1."""
    columns, doubt = _normal(batch)
    wire, unknown = in_codes(wire_of_columns(columns, batch.num_rows))
    doubt |= unknown | doubtful(wire)
    lines = np.arange(first, first + batch.num_rows)
    if not doubt.any():
        return Taken(wire, lines, [])
    return settle(wire, lines, doubt, _items(batch, wire, np.flatnonzero(doubt)))


def settle(wire: pa.RecordBatch, lines: NDArray[np.int64], doubt: Mask, items: list[Any]) -> Taken:
    """Decide the doubted rows one by one; `items` holds each as a dict, in order."""
    refused: list[Refusal] = []
    good: list[Event] = []
    good_lines: list[int] = []
    for line, item in zip(lines[doubt].tolist(), items, strict=True):
        verdict = judge(line, item)
        if isinstance(verdict, Refusal):
            refused.append(verdict)
        else:
            good.append(verdict)
            good_lines.append(line)
    kept = wire.filter(pa.array(~doubt))
    return merged([Taken(kept, lines[~doubt], refused), taken_events(good, good_lines)])


def taken_events(events: list[Event], lines: list[int]) -> Taken:
    """Wrap events that are known to be good."""
    return Taken(wire_of(events), np.array(lines, np.int64), [])


def merged(parts: list[Taken]) -> Taken:
    """Put parts together in the order of their lines."""
    refused = sorted((r for p in parts for r in p.refused), key=lambda r: r.line)
    filled = [p for p in parts if p.wire.num_rows]
    if len(filled) <= 1:
        only = filled[0] if filled else parts[0]
        return Taken(only.wire, only.lines, refused)
    lines = np.concatenate([p.lines for p in filled])
    wire = pa.Table.from_batches([_undictionaried(p.wire) for p in filled]).combine_chunks()
    order = np.argsort(lines, kind="stable")
    if not np.array_equal(order, np.arange(len(order))):
        wire, lines = wire.take(pa.array(order)), lines[order]
    return Taken(wire.to_batches()[0], lines, refused)


def _undictionaried(wire: pa.RecordBatch) -> pa.RecordBatch:
    return wire.cast(WIRE_SCHEMA)


def in_codes(wire: pa.RecordBatch) -> tuple[pa.RecordBatch, Mask]:
    """Give a batch with its enumerations as codes, looked up once; mark rows with another word."""
    unknown = np.zeros(wire.num_rows, np.bool_)
    columns = wire.columns
    for at, words in _WORDS.items():
        given = columns[at]
        if given.null_count == len(given):
            continue
        columns[at] = coded(given, words)
        if columns[at].null_count > given.null_count:
            lost = pc.and_(given.is_valid(), columns[at].is_null())
            unknown |= lost.to_numpy(zero_copy_only=False)
    return pa.RecordBatch.from_arrays(columns, wire.schema.names), unknown


def doubtful(
    wire: pa.RecordBatch, *, typed: bool = False, measured: Measures | None = None
) -> Mask:
    """Mark the rows that may break the contract, but for words of enumerations.

    `typed` says that the rows were decoded into the contract's types: then only what those
    cannot express is looked at (bytes, NUL characters, one counterpart, the range of a time).
    `measured` is what a scan made of the rows: it takes no NUL characters.
    """
    codes = codes_of(wire.column("type"), TYPES)
    codes = codes.fill_null(_NO_TYPE).to_numpy().copy()
    given, values = measured or _measured(wire)
    doubt = np.empty(wire.num_rows, np.bool_)
    _broken(given, values, codes, _LOW, _HIGH, _MAY, _MUST, _EITHER, doubt)
    for name, column in zip(wire.schema.names, wire.columns, strict=True):
        if column.null_count < len(column) and name in _LIMIT:
            for wrong in _wrong(name, column, codes, typed, measured is not None):
                doubt |= wrong & column.is_valid().to_numpy(zero_copy_only=False)
    return doubt


@compiled()
def _broken(
    given: Any, values: Any, codes: Any, low: Any, high: Any, may: Any, must: Any, either: Any,
    doubt: Any,
) -> None:  # fmt: skip
    """Mark rows of no type, with a field too many or too few, or with a measure out of bounds."""
    for row in range(len(given)):
        fields, code = int64(given[row]), codes[row]
        wrong = code == _NO_TYPE
        wrong |= fields & ~int64(may[code]) != 0 or int64(must[code]) & ~fields != 0
        wrong |= either[code] and ((fields >> _PEER) & 1) == ((fields >> _GROUP) & 1)
        for field in range(len(low)):
            if (fields >> field) & 1:
                value = values[field, row]
                wrong |= value < low[field] or value > high[field]
        doubt[row] = wrong


def _measured(wire: pa.RecordBatch) -> Measures:
    """Measure columns; a text beyond 2 GB does not come here."""
    given = np.zeros(wire.num_rows, np.uint32)
    values = np.empty((len(WIRE_SCHEMA.names), wire.num_rows), np.int64)
    for field, column in enumerate(wire.columns):
        if column.null_count == len(column):
            continue
        valid = column.is_valid().to_numpy(zero_copy_only=False) if column.null_count else True
        given |= np.multiply(valid, 1 << field, dtype=np.uint32)
        values[field] = _measure(column)
    return Measures(given, values)


def _measure(column: pa.Array) -> Any:
    if pa.types.is_string(column.type):
        return np.diff(_offsets(column))
    if pa.types.is_integer(column.type):
        return column.fill_null(0).to_numpy()
    # Flags are measured by their type, codes by the words that they stand for.
    return 1


def _offsets(column: pa.Array) -> NDArray[np.int32]:
    return np.frombuffer(column.buffers()[1], np.int32, len(column) + 1, 4 * column.offset)


def _wrong(
    name: str, column: pa.Array, codes: NDArray[np.uint8], typed: bool, scanned: bool
) -> Iterator[Mask]:
    """Mark rows whose value no measure tells of; what is marked of an absent one means nothing."""
    limit = _LIMIT[name]
    if limit.kind == "text" and not scanned:
        offsets, text = _offsets(column), column.buffers()[2]
        if text and not np.frombuffer(text, np.uint8)[offsets[0] : offsets[-1]].all():
            yield _found(pc.match_substring(column, "\0"))
    if limit.pattern:  # also if typed: there the pattern's end lets a newline pass
        yield ~_found(pc.match_substring_regex(column, limit.pattern))
    if name == "reason" and not typed:
        known = np.zeros(len(column), np.bool_)
        for kind, values in REASONS.items():
            word = pc.is_in(column, value_set=pa.array(values)).to_numpy(zero_copy_only=False)
            known |= word & (codes == TYPES.index(kind))
        yield ~known


def _found(matches: pa.Array) -> Mask:
    found: Mask = pc.fill_null(matches, False).to_numpy(zero_copy_only=False)
    return found


def _normal(batch: pa.RecordBatch) -> tuple[dict[str, pa.Array], Mask]:
    """Bring columns to the wire's types; doubt the rows that cannot be brought."""
    columns: dict[str, pa.Array] = {}
    doubt = np.zeros(batch.num_rows, np.bool_)
    if len(set(batch.schema.names)) < len(batch.schema.names):
        raise FileError("two columns have one name", fix="give each column a name of its own")
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        in_utf8 = _is_sound(column)
        if column.null_count == len(column):
            continue
        made = _brought(name, column) if name in WIRE_SCHEMA.names and in_utf8 else None
        if made is not None:
            columns[name] = made
        if made is None or made.null_count > column.null_count:
            valid = column.is_valid()
            lost = valid if made is None else pc.and_(valid, made.is_null())
            doubt |= lost.to_numpy(zero_copy_only=False)
    return columns, doubt


def _brought(name: str, column: pa.Array) -> pa.Array | None:
    want, have = WIRE_SCHEMA.field(name).type, column.type
    try:
        if pa.types.is_dictionary(have):
            return _from_dictionary(name, column)
        if name == "ts":
            return _times(column)
        if pa.types.is_string(want) and _is_text(have):
            return column.cast(want)
        if pa.types.is_integer(want) and pa.types.is_integer(have):
            return column.cast(want)
    except pa.ArrowInvalid:
        return None
    return column if want.equals(have) else None


def _is_text(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def _is_sound(column: pa.Array) -> bool:
    """Tell whether a column's text is UTF-8; raises FileError where its buffers are damaged."""
    try:
        column.validate(full=True)
    except (pa.ArrowInvalid, pa.ArrowIndexError):
        _sound_but_for_utf8(column)
        return False
    return True


def _sound_but_for_utf8(column: pa.Array) -> None:
    kind = column.type
    if pa.types.is_dictionary(kind):
        sound(column.indices)
        _sound_but_for_utf8(column.dictionary)
        ends = pc.min_max(column.indices).as_py()
        if ends["min"] is None or (ends["min"] >= 0 and ends["max"] < len(column.dictionary)):
            return
    if not _is_text(kind):
        raise _damaged()
    if not pa.types.is_string_view(kind):
        sound(column.view(pa.large_binary() if pa.types.is_large_string(kind) else pa.binary()))


def sound(column: pa.Array | pa.RecordBatch) -> None:
    """Raise FileError where a column's buffers do not fit together."""
    try:
        column.validate(full=True)
    except (pa.ArrowInvalid, pa.ArrowIndexError):
        raise _damaged() from None


def _damaged() -> FileError:
    return FileError("the columns of the file are damaged", fix="write the file again")


def _from_dictionary(name: str, column: pa.Array) -> pa.Array | None:
    words = _brought(name, column.dictionary)
    if words is None or not pa.types.is_string(words.type):
        return None
    # A long word many times would grow past memory: it is refused, so it is not spread out; nor
    # does its length stay in the buffers, by which the room for what is spread out is guessed.
    fits = pc.less_equal(pc.binary_length(words), LONG_WORD)
    if pc.any(pc.invert(fits)).as_py():
        words = pa.array(pc.if_else(fits, words, None).to_pylist(), words.type)
    return words.take(column.indices)


def _times(column: pa.Array) -> pa.Array | None:
    if pa.types.is_integer(column.type):
        return column.cast(pa.int64())
    if _is_text(column.type):
        if not pc.all(pc.match_substring_regex(column, _RFC3339)).as_py():
            return None
        column = column.cast(pa.timestamp("us", "UTC"))
    if not pa.types.is_timestamp(column.type) or column.type.tz is None:
        return None
    times, per = _UNITS[column.type.unit]
    ticks = column.cast(pa.int64())
    floor = ticks.fill_null(0).to_numpy(zero_copy_only=False) // per * times
    return pa.array(floor, mask=column.is_null().to_numpy(zero_copy_only=False))


def _items(batch: pa.RecordBatch, wire: pa.RecordBatch, rows: Any) -> list[dict[str, Any]]:
    """Give doubted rows as `judge` wants them: contract values where brought, else as they are."""
    items: list[dict[str, Any]] = [{} for _ in rows]
    at = pa.array(rows)
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        valid = column.is_valid().to_numpy(zero_copy_only=False)[rows]
        known = name in WIRE_SCHEMA.names
        brought = wire.column(name).take(at).to_pylist() if known else [b""] * len(rows)
        cell = _cells(column)
        for i in np.flatnonzero(valid).tolist():
            items[i][name] = cell(int(rows[i])) if brought[i] is None else brought[i]
    return items


def _cells(column: pa.Array) -> Callable[[int], Any]:
    if not pa.types.is_dictionary(column.type):
        return lambda row: _value(column[row])
    # A word is looked at once, however often it stands in the column.
    word = lru_cache(1024)(lambda index: _value(column.dictionary[index]))
    return lambda row: word(column.indices[row].as_py())


def _value(cell: pa.Scalar) -> Any:
    try:
        value = cell.as_py()
    except (ValueError, OverflowError, pa.ArrowException, ImportError):
        return b""
    return value if isinstance(value, str | int | float | bool) else b""
