"""Fan-out: from a batch of the log to account events with epochs, grouped by shard.

One ordered writer reads the log and assigns slots, positions and epochs. An event makes at most two
account events (internally: facts), the actor's and the counterpart's. A late event (more than
`lateness_s` behind the newest) and a duplicate make none. An event dated far ahead is taken at the
log's own time, and moves it only with others that follow (ADR 8).

Compiled code reads a batch's columns out of Arrow's own memory: in small batches, a Python call for
each column would cost more than its rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa

from wavebreak.compiled import arrow_cdata
from wavebreak.compiled.numba_runtime import compiled, int64
from wavebreak.durations import DAY_MS, MINUTE_MS
from wavebreak.features import layout
from wavebreak.features.dedup import DuplicateFilter
from wavebreak.features.interner import Interner, NameSpans, equal_bytes
from wavebreak.features.keyed_hash import hash_bytes, random_secret, table_key
from wavebreak.features.listings import Listing, read_listings
from wavebreak.schema.event_kinds import EVENT_KINDS, KINDS
from wavebreak.schema.events import (
    CHANNELS,
    LOG_SCHEMA,
    MASS_MENTION,
    NEW_IN_GROUP_S,
    PERSONS,
    REASONS,
    SOURCES,
    TYPES,
)

_COLUMN = np.dtype([("valid", "i8"), ("values", "i8"), ("text", "i8"), ("offset", "i8")])
"""A column's addresses: validity bits (0: all valid), values or offsets (0: all null), text; and
its offset in rows."""
_READ = (
    "id", "account", "peer", "network", "block", "device", "client", "origin", "group", "type",
    "size", "count", "hits", "attempts", "media", "verification", "channel", "label", "in_contacts",
    "broadcast", "linked", "attested", "business", "number_country", "network_country",
    "outcome", "hold_s", "attempted", "source", "reason", "seconds", "mentions", "joined_s",
    "lane", "address", "trap",
)  # fmt: skip
_TEXTS = np.array([LOG_SCHEMA.field(name).type == pa.string() for name in _READ], np.int64)
AROUND = ("network", "block", "device", "client", "origin", "group")
"""Columns with what surrounds an account: entities, of which all but groups have a reputation."""
(
    _ID, _ACCOUNT, _, _NETWORK, _, _, _, _, _GROUP, _TYPE, _SIZE, _COUNT, _HITS, _ATTEMPTS, _MEDIA,
    _VERIFICATION, _CHANNEL, _LABEL, _CONTACTS, _BROADCAST, _LINKED, _ATTESTED, _BUSINESS,
    _NUMBERS, _NETWORKS, _OUTCOME, _HOLD_S, _ATTEMPTED, _SOURCE, _REASON, _SECONDS, _MENTIONS,
    _JOINED_S, _LANE, _ADDRESS, _TRAP,
) = range(len(_READ))  # fmt: skip
_PREFIXES = np.frombuffer(b"nbdcog", np.uint8)
_NAMES_GROUP = np.isin(
    np.arange(256),
    [k for k, t in enumerate(TYPES) if t.startswith("group.") or t == "account.declared"],
)
"""By code of an event's type: whether its group is an entity. A message's is not looked at."""
_CALL_ENDED = TYPES.index("call.ended")
_PERSONAL, _PLATFORM = CHANNELS.index("personal"), CHANNELS.index("business_platform")
_DECLINED = TYPES.index("contact.refused")
_STRANGER = REASONS["contact.refused"].index("stranger")
_OF_OTHERS = np.isin(np.arange(256), [k for k, s in enumerate(SOURCES) if s not in PERSONS])
"""By code of a label's source: whether it is no person. A log of hand-made labels names none."""
_U1, _U2, _U4 = 255, 65535, 0xFFFFFFFF
_NO_KEY = np.uint64(0)


class SlotAssigner(Protocol):
    """Assigns slots to names."""

    def slots_of(self, names: NameSpans, /) -> Any:
        """Return the slot of each name (uint32); NONE for a null."""
        ...


class Columns(NamedTuple):
    """Addresses of a batch's columns: `at` (dtype _COLUMN, in the order of `_READ`).

    Valid as long as `kept` lives. `placed`: some column of AROUND is given.
    """

    at: Any
    rows: int
    placed: bool
    kept: Any


@compiled()
def _locate(batch: int, where: Any, texts: Any, columns: Any) -> bool:
    """Locate the columns of `_READ`: column k is the batch's `where[k]`-th (-1: absent).

    Returns whether some column of AROUND is given.
    """
    held, placed = arrow_cdata.children(arrow_cdata.struct_members(batch)), False
    for k in range(columns.size):
        if where[k] < 0:
            continue
        column = arrow_cdata.struct_members(held[where[k]])
        if column[arrow_cdata.NULLS] == column[arrow_cdata.LENGTH]:
            continue
        buffers, found = (
            arrow_cdata.array_at(column[arrow_cdata.BUFFERS], 2 + texts[k], np.int64),
            columns[k],
        )
        found.valid = buffers[0] if column[arrow_cdata.NULLS] != 0 else 0
        found.values, found.offset = buffers[1], column[arrow_cdata.OFFSET]
        found.text = buffers[2] if texts[k] else 0
        placed |= _NETWORK <= k <= _GROUP
    return placed


def locate_columns(log: pa.RecordBatch) -> Columns:
    """Locate the columns of a batch; an absent column reads as all null."""
    columns = np.zeros(len(_READ), _COLUMN)
    index = log.schema.get_field_index
    (batch,), kept = arrow_cdata.export_addresses([log])
    placed = _locate(batch, np.array([index(name) for name in _READ]), _TEXTS, columns)
    return Columns(columns, log.num_rows, placed, kept)


@compiled()
def _is_given(column: Any, row: int) -> bool:
    """Whether a column is not null in a row."""
    return bool(column.values != 0 and arrow_cdata.is_given(column.valid, column.offset + row))


@compiled()
def _integer(column: Any, row: int, width: int, absent: int, top: int) -> int:
    """Read an integer of `width` bytes, at most `top`; `absent` for a null."""
    if not _is_given(column, row):
        return absent
    at = column.offset + row
    if width == 8:
        value = int64(arrow_cdata.array_at(column.values, at + 1, np.int64)[at])
    elif width == 4:
        value = int64(arrow_cdata.array_at(column.values, at + 1, np.int32)[at])
    else:
        value = int64(arrow_cdata.array_at(column.values, at + 1, np.uint8)[at])
    return min(value, top)


@compiled()
def _flag(column: Any, row: int, known: int, true: int) -> int:
    if not _is_given(column, row):
        return 0
    return known | (true if arrow_cdata.is_given(column.values, column.offset + row) else 0)


@compiled(inline="always")
def _text_span(column: Any, row: int) -> tuple[int, int]:
    """Address and length in bytes of a row's text."""
    at = column.offset + row
    ends = arrow_cdata.array_at(column.values, at + 2, np.int32)
    return column.text + int64(ends[at]), int64(ends[at + 1]) - int64(ends[at])


@compiled()
def _country_mismatch(number: Any, network: Any, row: int) -> int:
    """Flags: whether the countries of number and network are known, and differ."""
    if not (_is_given(number, row) and _is_given(network, row)):
        return 0
    (one, size), (other, others) = _text_span(number, row), _text_span(network, row)
    same = size == others and equal_bytes(one, other, size)
    return layout.MISMATCH_KNOWN if same else layout.MISMATCH_KNOWN | layout.MISMATCH


@compiled()
def _address_hash(column: Any, row: int) -> int:
    """Return the hash of a row's address (31 bits), or 0 for a null.

    Its key is no secret: what is hashed is a pseudonym already, which no sender can choose.
    """
    if not _is_given(column, row):
        return int64(0)
    at, size = _text_span(column, row)
    return max(int64(hash_bytes(at, size, _NO_KEY, _NO_KEY) >> np.uint64(33)), int64(1))


@compiled()
def _fill_events(columns: Any, ts: Any, drop: Any, events: Any) -> None:
    """Fill in all fields but the slots of names."""
    for i in range(events.size):
        ev = events[i]
        ev.ts, ev.drop = ts[i], drop[i]
        ev.type = _integer(columns[_TYPE], i, 1, 0, _U1)
        ev.size = _integer(columns[_SIZE], i, 8, 0, _U4)
        of_calls = ev.type == _CALL_ENDED
        ev.count = _integer(columns[_SECONDS if of_calls else _COUNT], i, 4, 1 - of_calls, _U4)
        ev.hits = _integer(columns[_HITS], i, 4, 0, _U4)
        ev.attempts = _integer(columns[_ATTEMPTS], i, 4, 0, _U2)
        ev.media = _integer(columns[_MEDIA], i, 1, layout.UNKNOWN, _U1)
        ev.verification = _integer(columns[_VERIFICATION], i, 1, layout.UNKNOWN, _U1)
        ev.label = _integer(columns[_LABEL], i, 1, layout.UNKNOWN, _U1)
        ev.channel = _integer(columns[_CHANNEL], i, 1, layout.UNKNOWN, _U1)
        ev.outcome = _integer(columns[_OUTCOME], i, 1, layout.UNKNOWN, _U1)
        ev.lane = _integer(columns[_LANE], i, 1, 0, _U1)
        ev.address = _address_hash(columns[_ADDRESS], i)
        if ev.outcome != layout.UNKNOWN:
            ev.size = max(_integer(columns[_HOLD_S], i, 4, 0, _U4), 0)
        if ev.channel == _PLATFORM and not _is_given(columns[_BUSINESS], i):
            # Whom rules spare has to be a business that the platform knows by a name.
            ev.channel = _PERSONAL
        flags = _flag(columns[_CONTACTS], i, layout.CONTACT_KNOWN, layout.IN_CONTACTS)
        flags |= _flag(columns[_BROADCAST], i, 0, layout.BROADCAST)
        flags |= _flag(columns[_LINKED], i, 0, layout.LINKED)
        flags |= _flag(columns[_ATTESTED], i, layout.ATTEST_KNOWN, layout.ATTEST_TRUE)
        flags |= layout.TO_GROUP if _is_given(columns[_GROUP], i) else 0
        flags |= _flag(columns[_ATTEMPTED], i, 0, layout.ATTEMPTED)
        flags |= _flag(columns[_TRAP], i, 0, layout.TO_TRAP)
        flags |= layout.BY_OTHERS * int64(
            _OF_OTHERS[_integer(columns[_SOURCE], i, 1, layout.UNKNOWN, _U1)]
        )
        if (
            ev.type == _DECLINED
            and _integer(columns[_REASON], i, 1, layout.UNKNOWN, _U1) == _STRANGER
        ):
            flags |= layout.OF_STRANGER
        joined_s = _integer(columns[_JOINED_S], i, 4, NEW_IN_GROUP_S, _U4)
        if flags & layout.TO_GROUP and joined_s < NEW_IN_GROUP_S:
            mentions = _integer(columns[_MENTIONS], i, 4, 0, _U4)
            if mentions >= MASS_MENTION:
                ev.count = mentions
                flags |= layout.MENTIONS_MANY
        ev.flags = flags | _country_mismatch(columns[_NUMBERS], columns[_NETWORKS], i)


@compiled()
def _name_spans(columns: Any, at: Any, sizes: Any) -> None:
    """Addresses and lengths of the names in some columns, row by row."""
    for k in range(columns.size):
        column = columns[k]
        for row in range(sizes.shape[0]):
            sizes[row, k] = -1
            if _is_given(column, row):
                at[row, k], sizes[row, k] = _text_span(column, row)


@compiled()
def _prefix_names(kinds: Any, prefixes: Any, at: Any, sizes: Any) -> Any:
    """Copy names with the `prefix:` of each one's kind, update addresses and lengths; the bytes."""
    data, end = np.empty(sizes.sum() + 2 * sizes.size, np.uint8), int64(0)
    for i in range(sizes.size):
        data[end], data[end + 1] = prefixes[kinds[i]], 58  # a colon
        text = arrow_cdata.array_at(at[i], sizes[i], np.uint8)
        for j in range(text.size):
            data[end + 2 + j] = text[j]
        at[i], sizes[i] = data.ctypes.data + end, text.size + 2
        end += sizes[i]
    return data


def column_names(columns: Columns, first: int = _ID, many: int = 1) -> NameSpans:
    """Return the names of `many` adjacent columns of `_READ`, by default the ids, row by row."""
    at, sizes = np.zeros((columns.rows, many), np.int64), np.zeros((columns.rows, many), np.int64)
    _name_spans(columns.at[first : first + many], at, sizes)
    return NameSpans(at.reshape(-1), sizes.reshape(-1), columns)


def decode_events(
    columns: Columns, ts: Any, drop: Any, accounts: SlotAssigner, entities: SlotAssigner
) -> Any:
    """Decode a batch of the log into records (dtype EVENT), with names replaced by slots.

    Slots are assigned in log order, whatever the batch size.
    """
    events = np.zeros(columns.rows, layout.EVENT)
    _fill_events(columns.at, ts, drop, events)
    slots = accounts.slots_of(column_names(columns, _ACCOUNT, 2))
    events["account"], events["peer"] = slots[0::2], slots[1::2]
    if columns.placed:
        named = column_names(columns, _NETWORK, len(AROUND))
        named.sizes[AROUND.index("group") :: len(AROUND)][~_NAMES_GROUP[events["type"]]] = -1
        given = np.flatnonzero(named.sizes >= 0)
        at, sizes, kinds = named.at[given], named.sizes[given], given % len(AROUND)
        data = _prefix_names(kinds, _PREFIXES, at, sizes)
        # Plus one: 0 says that nothing is given.
        slots = np.zeros(named.sizes.size, np.uint32)
        slots[given] = entities.slots_of(NameSpans(at, sizes, data)) + np.uint32(1)
        for k in np.unique(kinds).tolist():
            events[AROUND[k]] = slots[k :: len(AROUND)]
    return events


EPOCH_MS = MINUTE_MS
LEAP_MS = DAY_MS
"""How far ahead of a quiet log's time an event may be dated and accepted."""
SPELL_MS = 600_000
BUSY = 300
"""Steps of a log's time in a spell from which on it is busy, and never silent for half of
`lateness_s`: nothing farther ahead is accepted, so that one false date makes no ordered event
late. (Events of one date are one step: a log's clock may have a resolution of minutes.)"""
FAR_AHEAD_ACCEPTED_AFTER = 8
"""Events in a row, all far ahead, that move the log's time; an eighth of a busy minute more."""
FAR_AHEAD_ACCEPTED_MAX = 1_000
"""So many move any log's time: more than one machine with a wrong clock sends in one batch."""
NO_FACT = 255
LABELLED = TYPES.index("label.assigned")
DATING = "labels by their own dates"
"""How events are dated; another way makes other decisions of the same log."""


def fact_kinds() -> Any:
    """Return the kind of account event by event type and role: uint8 (256, 2); 255 for none."""
    kinds = np.full((256, 2), NO_FACT, np.uint8)
    for code, row in enumerate(EVENT_KINDS):
        for role, kind in enumerate((row.actor, row.counterpart)):
            if kind:
                kinds[code, role] = KINDS.index(kind)
    return kinds


@dataclass(frozen=True)
class Segment:
    """Account events of one stretch of the log within one epoch.

    `facts` (dtype FACT) are grouped by shard at `offsets`, as indices of `events`; `base` is the
    position in the log from which their places count, and `last` that of the stretch's last event.
    `results` is filled in by the kernel: what became of each event, as bits. `accounts` and
    `entities` count those that have slots by then, and `sources` those that have numbers.
    `listings` are what outside lists say in it.
    """

    epoch: int
    base: int
    last: int
    events: Any
    facts: Any
    offsets: Any
    results: Any
    ids: pa.Array
    accounts: int
    entities: int
    sources: int = 0
    listings: tuple[Listing, ...] = ()

    def of_shards(self, own: Any) -> Segment:
        """Return the account events of some shards (bool, SHARDS), and their events alone.

        What becomes of an event is known where its actor is: `add_results` takes it over.
        """
        sizes = np.diff(self.offsets) * own
        facts = self.facts[np.repeat(own, np.diff(self.offsets))]
        places = facts["code"] >> 1
        held = np.zeros(self.events.size, np.bool_)
        held[places] = True
        events, rank = np.flatnonzero(held), np.cumsum(held, dtype=np.uint32) - np.uint32(1)
        facts["code"] = rank[places] * np.uint32(2) + (facts["code"] & 1)
        return replace(
            self,
            events=self.events[events],
            facts=facts,
            offsets=np.concatenate([[0], np.cumsum(sizes)]),
            results=np.zeros(events.size, np.uint8),
            ids=self.ids.slice(0, 0),
            listings=(),
        )

    def add_results(self, own: Any, results: Any) -> None:
        """Take over what became of the events of `of_shards(own)`."""
        at = np.unique(self.facts["code"][np.repeat(own, np.diff(self.offsets))] >> 1)
        self.results[at] |= results


CLOCK = np.dtype(
    [("newest", "i8"), ("spell", "i8"), ("steps", "i8"), ("former", "i8"), ("ahead", "i8"),
     ("earliest", "i8")]
)  # fmt: skip
"""The log's time: its newest accepted date (-1: none yet); the open spell, the steps of time in it
and in the last spell before it; consecutive events that are far ahead, and their earliest date."""


@compiled()
def _advance_clock(clock: Any, ts: int) -> None:
    """Advance the log's time to an event that is accepted."""
    if ts > clock.newest:
        clock.newest = ts
        if ts // SPELL_MS != clock.spell:
            clock.spell = ts // SPELL_MS
            clock.former, clock.steps = clock.steps, 0
        clock.steps += 1
    clock.ahead = 0


@compiled()
def _leap(clock: Any, lateness: int) -> int:
    """How far ahead of the log's time an event may be dated and accepted (ms)."""
    busy = max(clock.steps, clock.former) >= BUSY
    return int64(lateness // 2 if busy else max(lateness, LEAP_MS))


@compiled()
def _is_far_ahead(clock: Any, ts: int, lateness: int) -> bool:
    """Whether an event is dated far ahead; with enough of them in a row the log's time moves."""
    spell, leap = max(clock.steps, clock.former), _leap(clock, lateness)
    if ts <= clock.newest + leap:
        return False
    clock.earliest = ts if clock.ahead == 0 else min(clock.earliest, ts)
    clock.ahead += 1
    if clock.ahead >= min(FAR_AHEAD_ACCEPTED_AFTER + spell // 80, FAR_AHEAD_ACCEPTED_MAX):
        clock.newest, clock.ahead = clock.earliest, 0
    return bool(ts > clock.newest + leap)


@compiled()
def assign_epochs(
    clock: Any, ts: Any, repeated: Any, labels: Any, lateness: int, drop: Any, epochs: Any,
    begin: int, end: int,
) -> int:  # fmt: skip
    """Mark duplicates and late events, re-date those far ahead; count the latter.

    A label keeps its date: what a person says holds from then, however far the log is behind, and
    does not move the log's time.
    """
    time, moved = clock[0], 0
    for i in range(begin, end):
        if time.newest < 0:
            time.newest = ts[i]
        if repeated[i]:
            drop[i] = layout.REPEATED
        elif ts[i] < time.newest - lateness:
            drop[i] = layout.LATE
        elif labels[i] and ts[i] > time.newest + _leap(time, lateness):
            pass
        elif _is_far_ahead(time, ts[i], lateness):
            ts[i] = time.newest
            moved += 1
        else:
            _advance_clock(time, ts[i])
        epochs[i] = time.newest // EPOCH_MS
    return int64(moved)


@compiled()
def begin_groups(fill: Any, offsets: Any) -> None:
    """Turn counts by shard into where each shard's group begins, in both; the last is the end."""
    at = 0
    for s in range(fill.size - 1):
        offsets[s] = at
        at += fill[s]
        fill[s] = offsets[s]
    offsets[fill.size - 1] = at


@compiled()
def _group_by_shard(events: Any, kinds: Any, facts: Any, offsets: Any) -> None:
    """Group account events by shard, in log order within each (a counting sort).

    What was refused before it happened reached nobody: it has no account event of the counterpart.
    """
    fill = np.zeros(layout.SHARDS + 1, np.int64)
    for step in range(2):
        for i in range(events.size):
            ev = events[i]
            if ev.drop:
                continue
            if kinds[ev.type, 0] != NO_FACT:
                s = int64(ev.account) & (layout.SHARDS - 1)
                if step == 1:
                    facts[fill[s]].code, facts[fill[s]].place = 2 * i, i
                fill[s] += 1
            reaches = ev.peer != layout.NONE and not ev.flags & layout.ATTEMPTED
            if kinds[ev.type, 1] != NO_FACT and reaches:
                s = int64(ev.peer) & (layout.SHARDS - 1)
                if step == 1:
                    facts[fill[s]].code, facts[fill[s]].place = 2 * i + 1, i
                fill[s] += 1
        if step == 0:
            begin_groups(fill, offsets)


def _coded_sources(log: pa.RecordBatch) -> Any:
    """Return the sources of a batch's events, dictionary-encoded in log order (None: none)."""
    if log.schema.get_field_index("stream_source") < 0:
        return None
    column = log.column("stream_source")
    return None if column.null_count == len(column) else column.dictionary_encode()


class Fanout:
    """The one ordered reader of a log.

    `accounts` and `entities` hold the slots; `duplicates` and `late` count what made no facts,
    `ahead` what was dated so far ahead that it was taken at the log's own time. `secret` is that of
    the hashes (None: a random one); nothing that the fan-out returns depends on it. `sources` are
    the names of the sources that have numbers, from 1 on in this order.
    """

    def __init__(self, *, lateness_s: int = 60, secret: bytes | None = None) -> None:
        self.lateness_ms = lateness_s * 1000
        keys = [
            table_key(secret or random_secret(), name) for name in ("accounts", "entities", "ids")
        ]
        self.accounts, self.entities = Interner(keys[0]), Interner(keys[1])
        self.seen = DuplicateFilter(keys[2], span_ms=self.lateness_ms)
        self.kinds = fact_kinds()
        self.clock = np.zeros(1, CLOCK)
        self.clock["newest"] = -1
        self.position, self.duplicates, self.late, self.ahead = 0, 0, 0, 0
        self.sources: list[str] = []

    def number_sources(self, names: Iterable[str]) -> None:
        """Give numbers to the sources that have none, in order, while there are some left."""
        for name in names:
            if name not in self.sources and len(self.sources) < layout.SEVERAL - 1:
                self.sources.append(name)

    def source_numbers(self, log: pa.RecordBatch) -> Any:
        """Return the numbers of the sources that sent the events of a batch (0: not known)."""
        if (coded := _coded_sources(log)) is None:
            return 0
        numbers = {name: number for number, name in enumerate(self.sources, 1)}
        known = [numbers.get(name, 0) for name in coded.dictionary.to_pylist()]
        return np.array([*known, 0], layout.SOURCE)[coded.indices.fill_null(len(known)).to_numpy()]

    def segments(self, log: pa.RecordBatch) -> Iterator[Segment]:
        """Return the account events of a batch of the log, one segment per epoch."""
        if not log.num_rows:
            return
        columns, ids = locate_columns(log), log.column("id")
        ts = log.column("ts").to_numpy().copy()
        drop, epochs = np.zeros(ts.size, np.uint8), np.zeros(ts.size, np.int64)
        labels = log.column("type").to_numpy() == LABELLED
        self._dates(column_names(columns), ts, labels, drop, epochs)
        self.duplicates += int((drop == layout.REPEATED).sum())
        self.late += int((drop == layout.LATE).sum())
        events = decode_events(columns, ts, drop, self.accounts, self.entities)
        if (coded := _coded_sources(log)) is not None:
            self.number_sources(coded.dictionary.to_pylist())
            events["source"] = self.source_numbers(log)
        listings = read_listings(log, events)
        base, self.position = self.position, self.position + ts.size
        cuts = np.flatnonzero(np.diff(epochs)) + 1
        for begin, end in zip([0, *cuts], [*cuts, ts.size], strict=True):
            part = events[begin:end]
            facts, offsets = (
                np.zeros(2 * part.size, layout.FACT),
                np.zeros(layout.SHARDS + 1, np.int64),
            )
            _group_by_shard(part, self.kinds, facts, offsets)
            yield Segment(
                int(epochs[begin]), base + int(begin), base + int(end) - 1, part,
                facts[: offsets[-1]], offsets, np.zeros(part.size, np.uint8),
                ids.slice(begin, end - begin), len(self.accounts), len(self.entities),
                len(self.sources),
                tuple(each for row, each in listings if begin <= row < end),
            )  # fmt: skip

    def _dates(self, ids: NameSpans, ts: Any, labels: Any, drop: Any, epochs: Any) -> None:
        """Mark duplicates and late events, and date the rest (arrays with one value per row)."""
        repeated, done = np.zeros(ts.size, np.bool_), 0
        while done < ts.size:
            begin, done = done, self.seen.note(ids, repeated, done)
            self.ahead += assign_epochs(
                self.clock, ts, repeated, labels, self.lateness_ms, drop, epochs, begin, done
            )
            # At this event, whatever its batch: a replay forgets the same ids.
            if done < ts.size:
                self.seen.grow(int(self.clock["newest"][0]))

    def earliest_in_time(self) -> int:
        """Return the earliest date (ms) that is not late now."""
        return max(0, int(self.clock[0]["newest"]) - self.lateness_ms)

    def dated(self, ts: int) -> int:
        """Return the time (ms) at which an event would be taken now; -1: late."""
        return int(self.dates_of(np.array([ts]), np.zeros(1, np.bool_))[0])

    def dates_of(self, ts: Any, labels: Any) -> Any:
        """Return the times (ms) at which events would be taken now, in order; -1: late.

        `labels` says of each event whether it is a label, which keeps its date.
        """
        clock, times, n = self.clock.copy(), np.array(ts, np.int64), len(ts)
        new, drop, epochs = np.zeros(n, np.bool_), np.zeros(n, np.uint8), np.zeros(n, np.int64)
        assign_epochs(clock, times, new, labels, self.lateness_ms, drop, epochs, 0, n)
        return np.where(drop > 0, -1, times)

    def dump(self) -> dict[str, Any]:
        """Return the state as named arrays."""
        counts = [self.position, self.duplicates, self.late, self.ahead]
        arrays: dict[str, Any] = {"counts": np.array(counts, np.int64), "clock": self.clock.copy()}
        for name in ("accounts", "entities", "seen"):
            arrays |= {f"{name}.{k}": a for k, a in getattr(self, name).dump().items()}
        if self.sources:
            arrays["sources"] = np.frombuffer("\n".join(self.sources).encode(), np.uint8)
        return arrays

    def load(self, arrays: dict[str, Any]) -> None:
        """Restore the state from a dump."""
        self.position, self.duplicates, self.late, self.ahead = (int(n) for n in arrays["counts"])
        self.clock = arrays["clock"].copy()
        for name in ("accounts", "entities", "seen"):
            own = {k[len(name) + 1 :]: a for k, a in arrays.items() if k.startswith(f"{name}.")}
            getattr(self, name).load(own)
        names = arrays["sources"].tobytes().decode() if "sources" in arrays else ""
        self.sources = names.split("\n") if names else []
