"""Conversion of a table's values to events: types, times, numbers, and refused rows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import getaddresses
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from wavebreak.errors import UsageError
from wavebreak.io.field_limits import EITHER, LIMITS, refusal
from wavebreak.io.mapping import (
    ISO,
    MAIL_DATE,
    UNITS,
    Mapping,
    known_type,
    mail_date,
    read_zone,
)
from wavebreak.io.validation import validate_columns
from wavebreak.privacy.phone_numbers import Spellings
from wavebreak.schema.distinct_values import encode_distinct
from wavebreak.schema.events import WIRE_SCHEMA, Refusal

MAX_SHOWN_REFUSALS = 1_000
"""Refused rows that are described; all are counted."""
_TRUE_WORDS, _FALSE_WORDS = ("true", "yes", "1", "t", "y"), ("false", "no", "0", "f", "n")
_MAX_NUMBER = 9e18
_NUMBER = r"^-?[0-9]{1,19}(\.[0-9]{1,9})?$"


@dataclass
class Conversion:
    """Result of the conversion of a table's rows.

    Attributes:
        rows: Rows that were read.
        causes: Refused rows by cause and field.
        refused: The first of these, with row, cause and fix; never a value.
        notes: Remarks for the reader, such as merged spellings of a number.
        extra_recipients: Recipients beyond the first of a row, of which each is an event.
    """

    rows: int = 0
    causes: Counter[str] = field(default_factory=Counter)
    refused: list[Refusal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    extra_recipients: int = 0

    def refuse(
        self, rows: Iterable[int], cause: str, name: str = "", problem: str = "", fix: str = ""
    ) -> None:
        """Count refused rows and describe the first."""
        numbers = list(rows)
        if not numbers:
            return
        self.causes[f"{cause}: {name}" if name else cause] += len(numbers)
        room = max(0, MAX_SHOWN_REFUSALS - len(self.refused))
        self.refused += [
            _as_row_refusal(refusal(row, cause, name, problem, fix)) for row in numbers[:room]
        ]


def _as_row_refusal(refused_line: Refusal, row: int | None = None) -> Refusal:
    number = refused_line.line if row is None else row
    message = refused_line.message.replace(f"line {refused_line.line}", f"row {number}", 1)
    return msgspec.structs.replace(refused_line, line=number, message=message)


def convert_rows(
    raw: dict[str, pa.Array], rows: NDArray[np.int64], mapping: Mapping, name: str,
    conversion: Conversion, spellings: Spellings,
) -> tuple[pa.RecordBatch, NDArray[np.int64]] | None:  # fmt: skip
    """Return the rows that are events, in the types of the event schema, and their numbers.

    Args:
        raw: Columns by heading, as they were read.
        rows: The number of each row, from 1.
        mapping: How they are read.
        name: Prefix of the ids of events, if no column gives ids.
        conversion: Receives refused rows.
        spellings: Makes several spellings of a phone number one.
    """
    if not len(rows):
        return None
    mapped = {f: raw[heading] for f, heading in mapping.columns.items()}
    mapped, rows, ordinals = _split_recipients(mapped, rows, mapping, conversion)
    words = _texts(mapped.pop("type")) if "type" in mapped else None
    columns, faults = dict[str, pa.Array](), list[_Fault]()
    columns["type"], untaken = _event_types(words, mapping, len(rows))
    columns["ts"], bad = _times(mapped.pop("ts"), mapping)
    faults.append(_Fault("ts", bad, "not a time in the declared form", _TIME_FIX))
    for event_field, column in mapped.items():
        columns[event_field], fault = _convert_field(event_field, column)
        faults += [fault] if fault is not None else []
    for event_field in {"account", "peer", "phone"} & columns.keys():
        columns[event_field] = spellings.normalize(columns[event_field], event_field)
    if "id" not in columns:
        # Numbered with leading zeros: ids sort as the rows do.
        numbers = pc.utf8_lpad(pa.array(rows).cast(pa.string()), 9, "0")
        columns["id"] = pc.binary_join_element_wise(name, numbers, "-")
    if ordinals is not None and ordinals.any():
        suffixes = pa.array([f"-{k + 1}" if k else "" for k in ordinals.tolist()])
        columns["id"] = pc.binary_join_element_wise(columns["id"], suffixes, "")
    _drop_misplaced(columns, mapping)
    problem, fix = (
        "the mapping has no event for this type",
        "name it under [types], or leave it out",
    )
    conversion.refuse(rows[untaken].tolist(), "type_not_taken", "", problem, fix)
    wrong = untaken
    for fault in faults:
        conversion.refuse(
            rows[fault.rows & ~wrong].tolist(), "wrong_type", fault.field, fault.what, fault.fix
        )
        wrong = wrong | fault.rows
    return _validate(columns, rows, ~wrong, conversion)


def _split_recipients(
    mapped: dict[str, pa.Array], rows: NDArray[np.int64], mapping: Mapping, conversion: Conversion
) -> tuple[dict[str, pa.Array], NDArray[np.int64], NDArray[np.int64] | None]:
    """Return a row for each recipient of a row, and the number of each recipient within the row.

    Recipients are a list, or mail addresses with commas or semicolons between. The numbers
    are None where no row has several.
    """
    mapped = mapped | {f: _bare_addresses(mapped[f]) for f in ("account", "peer") if f in mapped}
    peers = _recipient_lists(mapped["peer"], mapping.columns["peer"]) if "peer" in mapped else None
    if peers is None:
        return mapped, rows, None
    counts = np.array([len(recipients) for recipients in peers])
    indices = np.repeat(np.arange(len(rows)), counts)
    ordinals = np.arange(len(indices)) - np.repeat(np.cumsum(counts) - counts, counts)
    mapped = {f: column.take(pa.array(indices)) for f, column in mapped.items()}
    mapped["peer"] = pa.array([peer for recipients in peers for peer in recipients])
    recipient_counts = counts[indices]
    single = recipient_counts < 2
    mapped.setdefault("recipients", pa.array(recipient_counts, mask=single))
    mapped.setdefault("broadcast", pa.array(~single, mask=single))
    conversion.extra_recipients += len(indices) - len(rows)
    return mapped, rows[indices], ordinals


_ADDRESS_LIST = r"@[^@]*[,;][^@]*@"
_NAMED_ADDRESS = r"^.*<([^<>@\s]+@[^<>\s]+)>\s*$"


def _bare_addresses(column: pa.Array) -> pa.Array:
    """Return texts with `Name <address>` as the address."""
    if not pa.types.is_string(column.type):
        return column
    is_list = pc.match_substring_regex(column, _ADDRESS_LIST)
    return pc.if_else(is_list, column, pc.replace_substring_regex(column, _NAMED_ADDRESS, r"\1"))


def _recipient_lists(column: pa.Array, heading: str) -> list[list[Any]] | None:
    """Return the recipients of each row; None where no row has several."""
    kind = column.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        if pa.types.is_nested(kind.value_type):
            raise UsageError(
                f"column {heading} holds lists of objects, not of recipients",
                fix="write the recipients as a list of texts, or one row for each recipient",
            )
        return [recipients or [None] for recipients in column.to_pylist()]
    if not pa.types.is_string(kind):
        return None
    if not pc.any(pc.match_substring_regex(column, _ADDRESS_LIST)).as_py():
        return None
    encoded = encode_distinct(column)
    lists = [_addresses(text) for text in encoded.dictionary.to_pylist()]
    return [[None] if k is None else lists[k] for k in encoded.indices.to_pylist()]


def _addresses(text: str) -> list[str]:
    if not re.search(_ADDRESS_LIST, text):
        return [text]
    addresses = [address for _, address in getaddresses([text.replace(";", ",")])]
    return list(dict.fromkeys(filter(None, addresses))) or [text]


def _validate(
    columns: dict[str, pa.Array], rows: NDArray[np.int64], keep: NDArray[np.bool_],
    conversion: Conversion,
) -> tuple[pa.RecordBatch, NDArray[np.int64]] | None:  # fmt: skip
    ordered = [name for name in WIRE_SCHEMA.names if name in columns]
    batch = pa.RecordBatch.from_arrays([columns[name] for name in ordered], ordered)
    if not keep.all():
        batch, rows = batch.filter(pa.array(keep)), rows[keep]
    if not batch.num_rows:
        return None
    validated = validate_columns(batch, 1)
    for refused_line in validated.refused:
        conversion.causes[
            f"{refused_line.cause}: {refused_line.field}"
            if refused_line.field
            else refused_line.cause
        ] += 1
        if len(conversion.refused) < MAX_SHOWN_REFUSALS:
            conversion.refused.append(
                _as_row_refusal(refused_line, int(rows[refused_line.line - 1]))
            )
    return validated.wire, rows[validated.lines - 1]


class _Fault(NamedTuple):
    field: str
    rows: NDArray[np.bool_]
    what: str
    fix: str


_TIME_FIX = "declare the form with --time (s, ms, iso, %d/%m/%Y %H:%M) and the zone with --zone"


def _event_types(
    words: pa.Array | None, mapping: Mapping, rows: int
) -> tuple[pa.Array, NDArray[np.bool_]]:
    if words is None:
        return pa.array([mapping.type]).take(pa.array(np.zeros(rows, np.int8))), np.zeros(
            rows, bool
        )
    encoded = pc.dictionary_encode(words)
    names = encoded.dictionary.to_pylist()
    kinds = [
        mapping.types.get(word) or (None if mapping.types else known_type(word)) for word in names
    ]
    kinds = [
        kind or mapping.types.get((word or "").lower())
        for kind, word in zip(kinds, names, strict=True)
    ]
    ours = pa.array(kinds, pa.string()).take(encoded.indices)
    return ours, ours.is_null().to_numpy(zero_copy_only=False)


def _texts(column: pa.Array) -> pa.Array:
    """Return values as text: whole numbers without a point, blanks around a text removed."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _texts(column.dictionary_decode())
    if pa.types.is_floating(kind):
        is_integral = pc.and_(pc.equal(pc.floor(column), column), pc.less(pc.abs(column), 2.0**53))
        as_integer = pc.if_else(is_integral, column, None).cast(pa.int64()).cast(pa.string())
        return pc.coalesce(as_integer, column.cast(pa.string()))
    if not (pa.types.is_string(kind) or pa.types.is_null(kind)):
        try:
            column = column.cast(pa.string())
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            return pa.nulls(len(column), pa.string())
    trimmed = pc.utf8_trim_whitespace(column.cast(pa.string()))
    return pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, pa.string()), trimmed)


def _convert_field(name: str, column: pa.Array) -> tuple[pa.Array, _Fault | None]:
    """Convert a column to a field's type; also returns the rows that do not fit."""
    kind = WIRE_SCHEMA.field(name).type
    if kind == pa.bool_():
        values, bad = _flags(column)
        if name == "attempted":
            # What did not say so was not refused before it happened: the schema leaves it out.
            values = pc.if_else(values, True, pa.scalar(None, pa.bool_()))
        return values, _Fault(name, bad, "expected true or false", "write true or false")
    if pa.types.is_integer(kind):
        values, bad = _numbers(column, 1.0)
        return values, _Fault(name, bad, "expected a number", "write it as a whole number")
    texts = _texts(column)
    # Names of domains are alike in upper and lower case; the schema has the latter.
    return (pc.utf8_lower(texts) if name == "origin" else texts), None


def _numbers(column: pa.Array, scale: float) -> tuple[pa.Array, NDArray[np.bool_]]:
    """Return numbers as integers times `scale`; also which values are no numbers."""
    if pa.types.is_integer(column.type):
        return _scaled(column, scale)
    if pa.types.is_floating(column.type):
        return _scaled(pc.if_else(pc.is_finite(column), column, None), scale)
    texts = _texts(column)
    numeric = pc.fill_null(pc.match_substring_regex(texts, _NUMBER), False)
    bad = pc.and_(texts.is_valid(), pc.invert(numeric)).to_numpy(zero_copy_only=False)
    texts = pc.if_else(numeric, texts, pa.scalar(None, pa.string()))
    try:
        # Whole numbers keep all their digits; nanoseconds have more than a float holds.
        values, out_of_range = _scaled(texts.cast(pa.int64()), scale)
    except pa.ArrowInvalid:
        values, out_of_range = _scaled(texts.cast(pa.float64()), scale)
    return values, bad | out_of_range


def _scaled(column: pa.Array, scale: float) -> tuple[pa.Array, NDArray[np.bool_]]:
    """Return numbers times `scale` as int64; also which are beyond every limit of the schema."""
    fits = pc.less(pc.abs(column.cast(pa.float64(), safe=False)), _MAX_NUMBER / max(scale, 1.0))
    out_of_range = pc.fill_null(pc.invert(fits), False).to_numpy(zero_copy_only=False)
    column = pc.if_else(fits, column, pa.scalar(None, column.type))
    if not pa.types.is_integer(column.type):
        return pc.round(pc.multiply(column, scale)).cast(pa.int64()), out_of_range
    integers = column.cast(pa.int64())
    if scale >= 1:
        return pc.multiply(integers, int(scale)), out_of_range
    return pc.divide(integers, round(1 / scale)), out_of_range


def _flags(column: pa.Array) -> tuple[pa.Array, NDArray[np.bool_]]:
    """Return true and false, also as yes and no or 1 and 0; also which values are neither."""
    if pa.types.is_boolean(column.type):
        return column, np.zeros(len(column), np.bool_)
    words = pc.utf8_lower(_texts(column))
    is_true, is_false = (
        pc.is_in(words, value_set=pa.array(spellings)) for spellings in (_TRUE_WORDS, _FALSE_WORDS)
    )
    bad = pc.and_(words.is_valid(), pc.invert(pc.or_(is_true, is_false)))
    is_known = pc.or_(is_true, is_false)
    return pc.if_else(is_known, is_true, pa.scalar(None, pa.bool_())), bad.to_numpy(
        zero_copy_only=False
    )


def _times(column: pa.Array, mapping: Mapping) -> tuple[pa.Array, NDArray[np.bool_]]:
    """Return times in milliseconds since 1970; also which values are none."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_date(column.type):
        column = column.cast(pa.timestamp("us"))
    if pa.types.is_timestamp(column.type):
        return _of_timestamps(column, mapping), np.zeros(len(column), np.bool_)
    if mapping.time in UNITS:
        return _numbers(column, UNITS[mapping.time])
    texts = _texts(column)
    if mapping.time == ISO:
        parsed = _iso_times(texts, mapping)
    elif mapping.time == MAIL_DATE:
        encoded = encode_distinct(texts)
        words = [word and mail_date(word) for word in encoded.dictionary.to_pylist()]
        parsed = pa.array(words, pa.int64()).take(encoded.indices)
    else:
        try:
            naive = pc.strptime(texts, format=mapping.time, unit="us", error_is_null=True)
            parsed = _of_timestamps(naive, mapping)
        except pa.ArrowInvalid:
            parsed = pa.nulls(len(texts), pa.int64())
    return parsed, pc.and_(texts.is_valid(), parsed.is_null()).to_numpy(zero_copy_only=False)


def _of_timestamps(column: pa.Array, mapping: Mapping) -> pa.Array:
    """Return milliseconds of timestamps; those without a zone are of the mapping's."""
    if column.type.tz is None:
        zone = read_zone(mapping.zone)
        if zone is None:
            raise UsageError(
                "the times have no time zone",
                fix="say it: --zone Asia/Jerusalem, or zone= in Python",
            )
        if not isinstance(zone, float):
            column = pc.assume_timezone(
                column, mapping.zone, ambiguous="earliest", nonexistent="earliest"
            )
            zone = 0.0
        return pc.subtract(_ticks(column), int(zone))
    return _ticks(column)


def _ticks(column: pa.Array) -> pa.Array:
    times, divisor = {"s": (1000, 1), "ms": (1, 1), "us": (1, 1000), "ns": (1, 10**6)}[
        column.type.unit
    ]
    ticks = column.cast(pa.int64())
    floor = ticks.fill_null(0).to_numpy(zero_copy_only=False) // divisor * times
    return pa.array(floor, mask=column.is_null().to_numpy(zero_copy_only=False))


def _iso_times(texts: pa.Array, mapping: Mapping) -> pa.Array:
    """Parse ISO 8601: in bulk where all are alike, else one by one."""
    for kind in (pa.timestamp("us", "UTC"), pa.timestamp("us")):
        try:
            return _of_timestamps(texts.cast(kind), mapping)
        except pa.ArrowInvalid:
            continue
    zone = read_zone(mapping.zone)
    encoded = encode_distinct(texts)
    words = [_iso_time(word, zone) for word in encoded.dictionary.to_pylist()]
    return pa.array(words, pa.int64()).take(encoded.indices)


def _iso_time(text: str, zone: Any) -> int | None:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    if time.tzinfo is None:
        if zone is None:
            return None
        if isinstance(zone, float):
            return round(time.replace(tzinfo=UTC).timestamp() * 1000 - zone)
        time = time.replace(tzinfo=zone)
    return round(time.timestamp() * 1000)


def _drop_misplaced(columns: dict[str, pa.Array], mapping: Mapping) -> None:
    """Remove values where the event's type has no such field; a group goes before a peer."""
    kinds = encode_distinct(columns["type"])
    names = kinds.dictionary.to_pylist()
    needs_counterpart = _of_types(kinds, [kind in EITHER for kind in names])
    if mapping.default_group:
        group = columns.get("group", pa.nulls(len(kinds), pa.string()))
        has_no_recipient = group.is_null()
        if "peer" in columns:
            has_no_recipient = pc.and_(has_no_recipient, columns["peer"].is_null())
        columns["group"] = pc.if_else(
            pc.and_(has_no_recipient, needs_counterpart), mapping.default_group, group
        )
    if "peer" in columns and "group" in columns:
        to_group = pc.and_(needs_counterpart, columns["group"].is_valid())
        columns["peer"] = pc.if_else(to_group, pa.scalar(None, pa.string()), columns["peer"])
    for name, column in columns.items():
        if name in ("ts", "type", "account", "id"):
            continue
        have = [kind in LIMITS and name in LIMITS[kind] for kind in names]
        if not all(have):
            columns[name] = pc.if_else(_of_types(kinds, have), column, pa.scalar(None, column.type))


def _of_types(kinds: pa.DictionaryArray, values: list[bool]) -> pa.Array:
    return pc.fill_null(pa.array(values, pa.bool_()).take(kinds.indices), False)
