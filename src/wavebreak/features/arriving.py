"""A batch of the log as numbers: read out of Arrow's own memory, a row at a time, by machine code.

Small batches come often while somebody asks; a call for each column costs them more than their
rows do.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from wavebreak.events import CHANNELS
from wavebreak.features.names import Laid
from wavebreak.features.state import (
    ATTEST_KNOWN,
    ATTEST_TRUE,
    BROADCAST,
    CONTACT_KNOWN,
    EVENT,
    IN_CONTACTS,
    LINKED,
    MISMATCH,
    MISMATCH_KNOWN,
    TO_GROUP,
    UNKNOWN,
)
from wavebreak.jit import address_as_void_pointer, carray, compiled, int64

_COLUMN = np.dtype([("valid", "i8"), ("values", "i8"), ("text", "i8"), ("offset", "i8")])
"""Where a column lies: addresses of its validity (0: all is given), of its values or offsets (0:
nothing is given) and of its text, and how many rows of others come before its own."""
_READ = (
    "account", "peer", "network", "block", "device", "client", "type", "size", "count", "hits",
    "attempts", "media", "verification", "channel", "label", "in_contacts", "broadcast", "linked",
    "attested", "group", "template", "number_country", "network_country",
)  # fmt: skip
_AROUND = ("network", "block", "device", "client")
(
    _ACCOUNT, _, _NETWORK, _, _, _, _TYPE, _SIZE, _COUNT, _HITS, _ATTEMPTS, _MEDIA, _VERIFICATION,
    _CHANNEL, _LABEL, _CONTACTS, _BROADCAST, _LINKED, _ATTESTED, _GROUP, _TEMPLATE, _NUMBERS,
    _NETWORKS,
) = range(len(_READ))  # fmt: skip
_BARE = np.zeros(2, np.uint8)
_PREFIXES = np.frombuffer(b"nbdc", np.uint8)
_PLATFORM = CHANNELS.index("business_platform")
_U1, _U2, _U4 = 255, 65535, 0xFFFFFFFF


class Slots(Protocol):
    """What gives the slots of names."""

    def slots_of(self, names: Laid, /) -> Any:
        """Slot of each name (uint32); one that is not given has slot NONE."""
        ...


@compiled(inline="always")
def _bit(address: int, at: int) -> int:
    byte = carray(address_as_void_pointer(address), ((at >> 3) + 1,), np.uint8)[at >> 3]
    return (int64(byte) >> (at & 7)) & 1


@compiled()
def _there(column: Any, row: int) -> bool:
    """Whether a column gives something in a row."""
    if column.values == 0:
        return False
    return bool(column.valid == 0 or _bit(column.valid, column.offset + row) == 1)


@compiled()
def _whole(column: Any, row: int, width: int, absent: int, top: int) -> int:
    """A number of `width` bytes, at most `top`."""
    if not _there(column, row):
        return absent
    at = column.offset + row
    if width == 8:
        value = int64(carray(address_as_void_pointer(column.values), (at + 1,), np.int64)[at])
    elif width == 4:
        value = int64(carray(address_as_void_pointer(column.values), (at + 1,), np.int32)[at])
    else:
        value = int64(carray(address_as_void_pointer(column.values), (at + 1,), np.uint8)[at])
    return min(value, top)


@compiled()
def _flag(column: Any, row: int, known: int, true: int) -> int:
    if not _there(column, row):
        return 0
    return known | (true if _bit(column.values, column.offset + row) == 1 else 0)


@compiled()
def _text_of(column: Any, row: int) -> Any:
    at = column.offset + row
    ends = carray(address_as_void_pointer(column.values), (at + 2,), np.int32)
    text = carray(address_as_void_pointer(column.text), (int64(ends[at + 1]),), np.uint8)
    return text[ends[at] :]


@compiled()
def _elsewhere(number: Any, network: Any, row: int) -> int:
    """Whether number and network are known to be of different countries."""
    if not (_there(number, row) and _there(network, row)):
        return 0
    one, other = _text_of(number, row), _text_of(network, row)
    if one.size != other.size:
        return MISMATCH_KNOWN | MISMATCH
    for j in range(one.size):
        if one[j] != other[j]:
            return MISMATCH_KNOWN | MISMATCH
    return MISMATCH_KNOWN


@compiled()
def _fill(columns: Any, ts: Any, drop: Any, events: Any) -> None:
    """Fill in all but names."""
    for i in range(events.size):
        ev = events[i]
        ev.ts, ev.drop = ts[i], drop[i]
        ev.type = _whole(columns[_TYPE], i, 1, 0, _U1)
        ev.size = _whole(columns[_SIZE], i, 8, 0, _U4)
        ev.count = _whole(columns[_COUNT], i, 4, 1, _U4)
        ev.hits = _whole(columns[_HITS], i, 4, 0, _U4)
        ev.attempts = _whole(columns[_ATTEMPTS], i, 4, 0, _U2)
        ev.media = _whole(columns[_MEDIA], i, 1, UNKNOWN, _U1)
        ev.verification = _whole(columns[_VERIFICATION], i, 1, UNKNOWN, _U1)
        ev.label = _whole(columns[_LABEL], i, 1, UNKNOWN, _U1)
        ev.channel = _whole(columns[_CHANNEL], i, 1, UNKNOWN, _U1)
        if _there(columns[_TEMPLATE], i):
            # Only the business platform sends templates: who does is there, whatever is left out.
            ev.channel = _PLATFORM
        flags = _flag(columns[_CONTACTS], i, CONTACT_KNOWN, IN_CONTACTS)
        flags |= _flag(columns[_BROADCAST], i, 0, BROADCAST)
        flags |= _flag(columns[_LINKED], i, 0, LINKED)
        flags |= _flag(columns[_ATTESTED], i, ATTEST_KNOWN, ATTEST_TRUE)
        flags |= TO_GROUP if _there(columns[_GROUP], i) else 0
        ev.flags = flags | _elsewhere(columns[_NUMBERS], columns[_NETWORKS], i)


@compiled()
def _laid(columns: Any, prefixes: Any, rows: int) -> Any:
    """Lay the names of columns one behind the other, row by row, each behind `prefix:` if any."""
    names = rows * columns.size
    offsets, valid = np.zeros(names + 1, np.int64), np.zeros(names, np.bool_)
    for at in range(names):
        row, k = at // columns.size, at % columns.size
        valid[at] = _there(columns[k], row)
        length = 0
        if valid[at]:
            length = _text_of(columns[k], row).size + (2 if prefixes[k] else 0)
        offsets[at + 1] = offsets[at] + length
    data = np.empty(offsets[names], np.uint8)
    for at in range(names):
        if valid[at]:
            row, k, begin = at // columns.size, at % columns.size, offsets[at]
            if prefixes[k]:
                data[begin], data[begin + 1] = prefixes[k], 58  # a colon
                begin += 2
            text = _text_of(columns[k], row)
            for j in range(text.size):
                data[begin + j] = text[j]
    return offsets, data, valid


def _columns(log: pa.RecordBatch) -> Any:
    """Where the columns of `_READ` lie (dtype _COLUMN); one that is absent lies nowhere."""
    columns, index = np.zeros(len(_READ), _COLUMN), log.schema.get_field_index
    for k, name in enumerate(_READ):
        at = index(name)
        column = log.column(at) if at >= 0 else None
        if column is None or column.null_count == len(column):
            continue
        valid, values, *text = column.buffers()
        columns[k] = (
            valid.address if valid and column.null_count else 0,
            values.address,
            text[0].address if text and text[0] else 0,
            column.offset,
        )
    return columns


def events_of(log: pa.RecordBatch, ts: Any, drop: Any, accounts: Slots, entities: Slots) -> Any:
    """A batch of the log as numbers (dtype EVENT), its names replaced by their slots.

    The batch may be narrow: a column that it lacks is one in which nothing is given. Slots are
    given in log order, whatever the batch size.
    """
    events, columns = np.zeros(ts.size, EVENT), _columns(log)
    _fill(columns, ts, drop, events)
    both = columns[_ACCOUNT : _ACCOUNT + 2]
    slots = accounts.slots_of(Laid(*_laid(both, _BARE, ts.size)))
    events["account"], events["peer"] = slots[0::2], slots[1::2]
    around = columns[_NETWORK : _NETWORK + len(_AROUND)]
    if around["values"].any():
        # Plus one: what is not given, the highest of all slots, comes round to 0.
        slots = entities.slots_of(Laid(*_laid(around, _PREFIXES, ts.size))) + np.uint32(1)
        for k, name in enumerate(_AROUND):
            events[name] = slots[k :: len(_AROUND)]
    return events
