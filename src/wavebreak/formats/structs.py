"""Decoded events to columns: grouped by type, one column at a time."""

from __future__ import annotations

from datetime import datetime
from operator import attrgetter
from typing import Any

import numpy as np
import pyarrow as pa

from wavebreak.events import EVENTS, TYPES, WIRE_SCHEMA, Event
from wavebreak.formats.limits import milliseconds

_GET = {name: attrgetter(name) for name in WIRE_SCHEMA.names}
_CODE = {kind: code for code, kind in enumerate(EVENTS)}
_WORDS = pa.array(TYPES)
_SCHEMA = WIRE_SCHEMA.set(
    WIRE_SCHEMA.get_field_index("type"), pa.field("type", pa.dictionary(pa.uint8(), pa.string()))
)


def wire_of(events: list[Event]) -> pa.RecordBatch:
    """Make a wire batch (its `type` dictionary-encoded) of events in their order."""
    codes = np.fromiter(map(_CODE.__getitem__, map(type, events)), np.uint8, len(events))
    kinds = np.flatnonzero(np.bincount(codes, minlength=1))
    columns: dict[str, pa.Array]
    if len(kinds) == 1:
        columns = _columns(EVENTS[kinds[0]], events)
    else:
        columns = _mixed(events, codes, kinds.tolist())
    columns["type"] = pa.DictionaryArray.from_arrays(pa.array(codes), _WORDS)
    filled = [
        columns[f.name] if f.name in columns else pa.nulls(len(events), f.type) for f in _SCHEMA
    ]
    return pa.RecordBatch.from_arrays(filled, schema=_SCHEMA)


def _mixed(events: list[Event], codes: Any, kinds: list[int]) -> dict[str, pa.Array]:
    order = np.argsort(codes, kind="stable")
    place = np.empty(len(events), np.int64)
    place[order] = np.arange(len(events))
    parts, sizes = [], []
    for code in kinds:
        rows = [events[i] for i in np.flatnonzero(codes == code).tolist()]
        parts.append(_columns(EVENTS[code], rows))
        sizes.append(len(rows))
    back = pa.array(place)
    columns = {}
    for name in {name for part in parts for name in part}:
        kind = WIRE_SCHEMA.field(name).type
        pieces = [
            part[name] if name in part else pa.nulls(size, kind)
            for part, size in zip(parts, sizes, strict=True)
        ]
        columns[name] = pa.concat_arrays(pieces).take(back)
    return columns


def _columns(kind: type[Event], events: list[Event]) -> dict[str, pa.Array]:
    columns = {}
    for name in kind.__struct_fields__:
        values = list(map(_GET[name], events))
        if values.count(None) < len(values):
            columns[name] = _column(values, WIRE_SCHEMA.field(name).type)
    return columns


def _column(values: list[Any], kind: pa.DataType) -> pa.Array:
    try:
        return pa.array(values, kind)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        # Times that came as RFC 3339.
        return pa.array([milliseconds(v) if isinstance(v, datetime) else v for v in values], kind)
