"""Schema validation of event batches: all rows at once, doubtful rows one by one.

A valid row may be marked as doubtful, an invalid one is never accepted; doubtful rows are decided
by `field_limits.validate_event`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from wavebreak.errors import FileError
from wavebreak.io.arrow_columns import DecodedColumns, Mask, gather_batches, wire_batch
from wavebreak.io.field_limits import LIMITS, validate_event
from wavebreak.io.line_splitter import wire_batch_of_columns
from wavebreak.schema.distinct_values import encode_distinct
from wavebreak.schema.events import WIRE_SCHEMA, Event, Refusal, null_column

_RFC3339 = r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)$"
_UNITS = {"s": (1000, 1), "ms": (1, 1), "us": (1, 1000), "ns": (1, 1_000_000)}

LONG_WORD = 1024
"""Longer words are not expanded from a dictionary; the schema refuses them anyway."""


class ValidatedBatch(NamedTuple):
    """Valid events with line numbers, and the refusals of the rest.

    In `wire`, empty columns may be missing, and enumerations may be dictionaries.
    """

    wire: pa.RecordBatch
    lines: NDArray[np.int64]
    refused: list[Refusal]


_PATTERNS = {name: x.pattern for f in LIMITS.values() for name, x in f.items() if x.pattern}


def validate_columns(batch: pa.RecordBatch, first: int) -> ValidatedBatch:
    """Validate a batch of columns; `first` is the number of the first row, from 1.

    Raises FileError for damaged columns or two columns of one name.
    """
    plain = validate_plain_batches([batch], first)
    return _validate([batch], *_normal(batch), first) if plain is None else plain


def validate_plain_batches(batches: Sequence[pa.RecordBatch], first: int) -> ValidatedBatch | None:
    """Validate batches together; None unless all columns are of the wire's types and undamaged."""
    decoded = gather_batches(batches)
    return None if decoded is None else _validate(batches, decoded, False, first)


def _validate(
    batches: Sequence[pa.RecordBatch], decoded: DecodedColumns, unconverted: Mask | bool, first: int
) -> ValidatedBatch:  # fmt: skip
    wire, doubt = check_columns(decoded)
    doubt |= unconverted
    lines = np.arange(first, first + decoded.rows)
    if not doubt.any():
        return ValidatedBatch(wire, lines, [])
    return validate_doubtful_rows(wire, lines, doubt, _items(batches, wire, np.flatnonzero(doubt)))


def check_columns(decoded: DecodedColumns) -> tuple[pa.RecordBatch, Mask]:
    """Return columns as a batch, and a mask of doubtful rows.

    Fields with a pattern are dictionary-encoded, so that each distinct value is matched once.
    """
    columns, doubt = decoded.columns, decoded.doubt
    for name in _PATTERNS.keys() & columns.keys():
        column = columns[name] = encode_distinct(columns[name])
        fits = [bool(re.fullmatch(_PATTERNS[name], w)) for w in column.dictionary.to_pylist()]
        if not all(fits):
            bad = pa.array([not fit for fit in fits]).take(column.indices)
            doubt |= bad.fill_null(False).to_numpy(zero_copy_only=False)
    return pa.RecordBatch.from_pydict(columns), doubt


def decode_wire_batch(wire: pa.RecordBatch) -> DecodedColumns:
    """Decode a batch of the wire's types; raises FileError for damaged buffers."""
    kinds = zip(wire.schema.names, wire.columns, strict=True)
    plain = pa.RecordBatch.from_pydict({n: c.cast(WIRE_SCHEMA.field(n).type) for n, c in kinds})
    decoded = gather_batches([plain])
    if decoded is None:
        # Numbers may lie where no processor likes to read them, letters under what is null.
        decoded = gather_batches([plain.take(pa.array(range(plain.num_rows)))])
    if decoded is None:
        raise _damaged()
    return decoded


def validate_doubtful_rows(
    wire: pa.RecordBatch, lines: NDArray[np.int64], doubt: Mask, items: list[Any]
) -> ValidatedBatch:
    """Validate the doubtful rows one by one; `items` contains each as a dict, in order."""
    refusals: list[Refusal] = []
    good: list[Event] = []
    good_lines: list[int] = []
    for line, item in zip(lines[doubt].tolist(), items, strict=True):
        verdict = validate_event(line, item)
        if isinstance(verdict, Refusal):
            refusals.append(verdict)
        else:
            good.append(verdict)
            good_lines.append(line)
    accepted = wire.filter(pa.array(~doubt))
    return merge_batches(
        [ValidatedBatch(accepted, lines[~doubt], refusals), batch_of_events(good, good_lines)]
    )


def batch_of_events(events: list[Event], lines: list[int]) -> ValidatedBatch:
    """Build a batch of valid events."""
    return ValidatedBatch(wire_batch(events), np.array(lines, np.int64), [])


def merge_batches(parts: list[ValidatedBatch]) -> ValidatedBatch:
    """Merge batches in the order of their lines."""
    refusals = sorted((r for p in parts for r in p.refused), key=lambda r: r.line)
    filled = [p for p in parts if p.wire.num_rows]
    if len(filled) <= 1:
        batch = filled[0] if filled else parts[0]
        return ValidatedBatch(batch.wire, batch.lines, refusals)
    lines = np.concatenate([p.lines for p in filled])
    wire = pa.Table.from_batches([with_all_columns(p.wire) for p in filled]).combine_chunks()
    order = np.argsort(lines, kind="stable")
    if not np.array_equal(order, np.arange(len(order))):
        wire, lines = wire.take(pa.array(order)), lines[order]
    return ValidatedBatch(wire.to_batches()[0], lines, refusals)


def with_all_columns(wire: pa.RecordBatch) -> pa.RecordBatch:
    """Return a batch with all columns and types of WIRE_SCHEMA."""
    columns = dict(zip(wire.schema.names, wire.columns, strict=True))
    cast = {name: column.cast(WIRE_SCHEMA.field(name).type) for name, column in columns.items()}
    return wire_batch_of_columns(cast, wire.num_rows)


def _normal(batch: pa.RecordBatch) -> tuple[DecodedColumns, Mask]:
    """Convert columns to the wire's types; rows that cannot be converted are doubtful."""
    columns = {"type": null_column(batch.num_rows, pa.string())}
    doubt = np.zeros(batch.num_rows, np.bool_)
    if len(set(batch.schema.names)) < len(batch.schema.names):
        raise FileError("two columns have the same name", fix="rename one of them")
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        in_utf8 = _is_utf8(column)
        if column.null_count == len(column):
            continue
        converted = _converted(name, column) if name in WIRE_SCHEMA.names and in_utf8 else None
        if converted is not None:
            columns[name] = converted
        if converted is None or converted.null_count > column.null_count:
            valid = column.is_valid()
            unconverted = valid if converted is None else pc.and_(valid, converted.is_null())
            doubt |= unconverted.to_numpy(zero_copy_only=False)
    return decode_wire_batch(pa.RecordBatch.from_pydict(columns)), doubt


def _converted(name: str, column: pa.Array) -> pa.Array | None:
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


def _is_utf8(column: pa.Array) -> bool:
    """Return whether a column's text is UTF-8; raises FileError for damaged buffers."""
    try:
        column.validate(full=True)
    except (pa.ArrowInvalid, pa.ArrowIndexError):
        _check_buffers_without_utf8(column)
        return False
    return True


def _check_buffers_without_utf8(column: pa.Array) -> None:
    kind = column.type
    if pa.types.is_dictionary(kind):
        check_buffers(column.indices)
        _check_buffers_without_utf8(column.dictionary)
        ends = pc.min_max(column.indices).as_py()
        if ends["min"] is None or (ends["min"] >= 0 and ends["max"] < len(column.dictionary)):
            return
    if not _is_text(kind):
        raise _damaged()
    if not pa.types.is_string_view(kind):
        check_buffers(
            column.view(pa.large_binary() if pa.types.is_large_string(kind) else pa.binary())
        )


def check_buffers(column: pa.Array | pa.RecordBatch) -> None:
    """Raise FileError where a column's buffers are inconsistent."""
    try:
        column.validate(full=True)
    except (pa.ArrowInvalid, pa.ArrowIndexError):
        raise _damaged() from None


def _damaged() -> FileError:
    return FileError("the columns of the file are damaged", fix="write the file again")


def _from_dictionary(name: str, column: pa.Array) -> pa.Array | None:
    words = _converted(name, column.dictionary)
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
    times, divisor = _UNITS[column.type.unit]
    ticks = column.cast(pa.int64())
    floor = ticks.fill_null(0).to_numpy(zero_copy_only=False) // divisor * times
    return pa.array(floor, mask=column.is_null().to_numpy(zero_copy_only=False))


def _items(batches: Sequence[pa.RecordBatch], wire: pa.RecordBatch, rows: Any) -> list[Any]:
    """Return doubtful rows for `validate_event`: converted values, else the original ones."""
    items, begin = [], 0
    for batch in batches:
        end = begin + batch.num_rows
        batch_rows = rows[(rows >= begin) & (rows < end)] - begin
        if len(batch_rows):
            items += _items_of(batch, wire[begin:end], batch_rows)
        begin = end
    return items


def _items_of(batch: pa.RecordBatch, wire: pa.RecordBatch, rows: Any) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = [{} for _ in rows]
    indices = pa.array(rows)
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        valid = column.is_valid().to_numpy(zero_copy_only=False)[rows]
        converted: list[Any] = [None if name in WIRE_SCHEMA.names else b""] * len(rows)
        if name in wire.schema.names:
            converted = wire.column(name).take(indices).to_pylist()
        cell = _cells(column)
        for i in np.flatnonzero(valid).tolist():
            items[i][name] = cell(int(rows[i])) if converted[i] is None else converted[i]
    return items


def _cells(column: pa.Array) -> Callable[[int], Any]:
    if not pa.types.is_dictionary(column.type):
        return lambda row: _value(column[row])
    # Each word is checked once, however often it occurs in the column.
    word = lru_cache(1024)(lambda index: _value(column.dictionary[index]))
    return lambda row: word(column.indices[row].as_py())


def _value(cell: pa.Scalar) -> Any:
    try:
        value = cell.as_py()
    except (ValueError, OverflowError, pa.ArrowException, ImportError):
        return b""
    return value if isinstance(value, str | int | float | bool) else b""
