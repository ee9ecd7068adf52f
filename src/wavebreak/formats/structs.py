"""Decoded events to columns: grouped by type, one column at a time."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from operator import attrgetter
from typing import Any

import numpy as np
import pyarrow as pa

from wavebreak.events import EVENTS, TYPES, WIRE_SCHEMA, Event, absent, blanks
from wavebreak.formats.limits import milliseconds

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


def wire_of(events: list[Event], members: int = -1) -> pa.RecordBatch:
    """Make a wire batch (its `type` dictionary-encoded) of events in their order.

    `members` is how many fields are
    given in all, if that is known: once so many are found, the columns that are left are taken as
    empty without a look.
    """
    sought = _Sought(members - len(events))
    codes = np.fromiter(map(_CODE.__getitem__, map(type, events)), np.uint8, len(events))
    columns: dict[str, pa.Array]
    kinds = set(map(type, events))
    if len(kinds) == 1:
        columns = _columns(kinds.pop(), events, sought)
    else:
        columns = _mixed(events, codes, sorted(map(_CODE.__getitem__, kinds)), sought)
    columns["type"] = pa.DictionaryArray.from_arrays(pa.array(codes), _WORDS)
    filled = blanks(log=False, rows=len(events)) | columns
    return pa.RecordBatch.from_arrays(list(filled.values()), schema=_SCHEMA)


def wire_of_one(event: Event) -> pa.RecordBatch:
    """Make a wire batch of one event: what `wire_of` makes of it, without what is not given."""
    kind = type(event)
    given = {name: value for name in _FIELDS[kind] if (value := _GET[name](event)) is not None}
    if isinstance(event.ts, datetime):
        given["ts"] = milliseconds(event.ts)
    names = tuple(given)
    row = pa.array([given], _struct(names))
    return pa.RecordBatch.from_arrays([*row.flatten(), _TYPED[_CODE[kind]]], schema=_narrow(names))


@lru_cache(1024)
def _struct(names: tuple[str, ...]) -> pa.StructType:
    return pa.struct([WIRE_SCHEMA.field(name) for name in names])


@lru_cache(1024)
def _narrow(names: tuple[str, ...]) -> pa.Schema:
    return pa.schema([*_struct(names), _SCHEMA.field("type")])


class _Sought:
    """How many given fields are still to be found; negative if that is not known."""

    def __init__(self, left: int) -> None:
        self.left = left


def _mixed(
    events: list[Event], codes: Any, kinds: list[int], sought: _Sought
) -> dict[str, pa.Array]:
    order = np.argsort(codes, kind="stable")
    place = np.empty(len(events), np.int64)
    place[order] = np.arange(len(events))
    parts, sizes = [], []
    for code in kinds:
        rows = [events[i] for i in np.flatnonzero(codes == code).tolist()]
        parts.append(_columns(EVENTS[code], rows, sought))
        sizes.append(len(rows))
    back = pa.array(place)
    columns = {}
    for name in {name for part in parts for name in part}:
        kind = WIRE_SCHEMA.field(name).type
        pieces = [
            part[name] if name in part else absent(size, kind)
            for part, size in zip(parts, sizes, strict=True)
        ]
        columns[name] = pa.concat_arrays(pieces).take(back)
    return columns


def _columns(kind: type[Event], events: list[Event], sought: _Sought) -> dict[str, pa.Array]:
    columns = {}
    for name in _FIELDS[kind]:
        if sought.left == 0:
            break
        values = list(map(_GET[name], events))
        if values[0] is not None or values.count(None) < len(values):
            column = _column(values, WIRE_SCHEMA.field(name).type)
            sought.left -= len(column) - column.null_count
            columns[name] = column
    return columns


def _column(values: list[Any], kind: pa.DataType) -> pa.Array:
    try:
        return pa.array(values, kind)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        # Times that came as RFC 3339.
        return pa.array([milliseconds(v) if isinstance(v, datetime) else v for v in values], kind)
