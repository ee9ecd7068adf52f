"""A batch of the log as numbers: read out of Arrow's own memory, a row at a time, by machine code.

Small batches come often while somebody asks; a call for each column costs them more than their
rows do.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa

from wavebreak.arrows import (
    BUFFERS,
    LENGTH,
    NULLS,
    OFFSET,
    children,
    is_given,
    lent,
    members,
    numbers,
)
from wavebreak.events import CHANNELS, LOG_SCHEMA
from wavebreak.features.names import Placed, alike
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
from wavebreak.jit import compiled, int64

_COLUMN = np.dtype([("valid", "i8"), ("values", "i8"), ("text", "i8"), ("offset", "i8")])
"""Where a column lies: addresses of its validity (0: all is given), of its values or offsets (0:
nothing is given) and of its text, and how many rows of others come before its own."""
_READ = (
    "id", "account", "peer", "network", "block", "device", "client", "type", "size", "count",
    "hits", "attempts", "media", "verification", "channel", "label", "in_contacts", "broadcast",
    "linked", "attested", "group", "template", "number_country", "network_country",
)  # fmt: skip
_TEXTS = np.array([LOG_SCHEMA.field(name).type == pa.string() for name in _READ], np.int64)
_AROUND = ("network", "block", "device", "client")
(
    _ID, _ACCOUNT, _, _NETWORK, _, _, _CLIENT, _TYPE, _SIZE, _COUNT, _HITS, _ATTEMPTS, _MEDIA,
    _VERIFICATION, _CHANNEL, _LABEL, _CONTACTS, _BROADCAST, _LINKED, _ATTESTED, _GROUP, _TEMPLATE,
    _NUMBERS, _NETWORKS,
) = range(len(_READ))  # fmt: skip
_PREFIXES = np.frombuffer(b"nbdc", np.uint8)
_PLATFORM = CHANNELS.index("business_platform")
_U1, _U2, _U4 = 255, 65535, 0xFFFFFFFF


class Slots(Protocol):
    """What gives the slots of names."""

    def slots_of(self, names: Placed, /) -> Any:
        """Slot of each name (uint32); one that is not given has slot NONE."""
        ...


class Columns(NamedTuple):
    """Where the columns of a batch lie: `at` (dtype _COLUMN, in the order of `_READ`).

    They lie there as long as `kept` lives. `placed`: surroundings of an account are among them.
    """

    at: Any
    rows: int
    placed: bool
    kept: Any


@compiled()
def _found(batch: int, where: Any, texts: Any, columns: Any) -> bool:
    """Find the columns of `_READ`: column k is the batch's `where[k]`-th (-1: it has none).

    Returns whether one of the surroundings is given.
    """
    held, placed = children(members(batch)), False
    for k in range(columns.size):
        if where[k] < 0:
            continue
        column = members(held[where[k]])
        if column[NULLS] == column[LENGTH]:
            continue
        buffers, found = numbers(column[BUFFERS], 2 + texts[k], np.int64), columns[k]
        found.valid = buffers[0] if column[NULLS] != 0 else 0
        found.values, found.offset = buffers[1], column[OFFSET]
        found.text = buffers[2] if texts[k] else 0
        placed |= _NETWORK <= k <= _CLIENT
    return placed


def columns_of(log: pa.RecordBatch) -> Columns:
    """Find the columns of a batch; one that it lacks is one in which nothing is given."""
    columns = np.zeros(len(_READ), _COLUMN)
    index = log.schema.get_field_index
    (batch,), kept = lent([log])
    placed = _found(batch, np.array([index(name) for name in _READ]), _TEXTS, columns)
    return Columns(columns, log.num_rows, placed, kept)


@compiled()
def _there(column: Any, row: int) -> bool:
    """Whether a column gives something in a row."""
    return bool(column.values != 0 and is_given(column.valid, column.offset + row))


@compiled()
def _whole(column: Any, row: int, width: int, absent: int, top: int) -> int:
    """A number of `width` bytes, at most `top`."""
    if not _there(column, row):
        return absent
    at = column.offset + row
    if width == 8:
        value = int64(numbers(column.values, at + 1, np.int64)[at])
    elif width == 4:
        value = int64(numbers(column.values, at + 1, np.int32)[at])
    else:
        value = int64(numbers(column.values, at + 1, np.uint8)[at])
    return min(value, top)


@compiled()
def _flag(column: Any, row: int, known: int, true: int) -> int:
    if not _there(column, row):
        return 0
    return known | (true if is_given(column.values, column.offset + row) else 0)


@compiled(inline="always")
def _text_of(column: Any, row: int) -> tuple[int, int]:
    """Where the text of a row lies, and how many bytes it has."""
    at = column.offset + row
    ends = numbers(column.values, at + 2, np.int32)
    return column.text + int64(ends[at]), int64(ends[at + 1]) - int64(ends[at])


@compiled()
def _elsewhere(number: Any, network: Any, row: int) -> int:
    """Whether number and network are known to be of different countries."""
    if not (_there(number, row) and _there(network, row)):
        return 0
    (one, size), (other, others) = _text_of(number, row), _text_of(network, row)
    same = size == others and alike(one, other, size)
    return MISMATCH_KNOWN if same else MISMATCH_KNOWN | MISMATCH


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
def _names(columns: Any, at: Any, sizes: Any) -> None:
    """Where the names of columns lie, row by row."""
    for k in range(columns.size):
        column = columns[k]
        for row in range(sizes.shape[0]):
            sizes[row, k] = -1
            if _there(column, row):
                at[row, k], sizes[row, k] = _text_of(column, row)


@compiled()
def _laid(columns: Any, prefixes: Any, at: Any, sizes: Any) -> Any:
    """Lay names one behind the other, each behind its `prefix:`, and say so; gives their bytes."""
    room = 0
    for k in range(columns.size):
        for row in range(sizes.shape[0]):
            room += sizes[row, k] + 2 if sizes[row, k] >= 0 else 0
    data, end = np.empty(room, np.uint8), int64(0)
    for row in range(sizes.shape[0]):
        for k in range(columns.size):
            if sizes[row, k] < 0:
                continue
            data[end], data[end + 1] = prefixes[k], 58  # a colon
            text = numbers(at[row, k], sizes[row, k], np.uint8)
            for j in range(text.size):
                data[end + 2 + j] = text[j]
            at[row, k], sizes[row, k] = data.ctypes.data + end, text.size + 2
            end += sizes[row, k]
    return data


def names_of(columns: Columns, first: int = _ID, many: int = 1) -> Placed:
    """Names of so many columns one beside the other in `_READ`, by default the ids, row by row."""
    at, sizes = np.zeros((columns.rows, many), np.int64), np.zeros((columns.rows, many), np.int64)
    _names(columns.at[first : first + many], at, sizes)
    return Placed(at.reshape(-1), sizes.reshape(-1), columns)


def events_of(columns: Columns, ts: Any, drop: Any, accounts: Slots, entities: Slots) -> Any:
    """A batch of the log as numbers (dtype EVENT), its names replaced by their slots.

    Slots are given in log order, whatever the batch size.
    """
    events = np.zeros(columns.rows, EVENT)
    _fill(columns.at, ts, drop, events)
    slots = accounts.slots_of(names_of(columns, _ACCOUNT, 2))
    events["account"], events["peer"] = slots[0::2], slots[1::2]
    if columns.placed:
        around = columns.at[_NETWORK : _CLIENT + 1]
        named = names_of(columns, _NETWORK, len(_AROUND))
        shaped = columns.rows, len(_AROUND)
        data = _laid(around, _PREFIXES, named.at.reshape(shaped), named.sizes.reshape(shaped))
        # Plus one: what is not given, the highest of all slots, comes round to 0.
        slots = entities.slots_of(named._replace(kept=data)) + np.uint32(1)
        for k, name in enumerate(_AROUND):
            events[name] = slots[k :: len(_AROUND)]
    return events
