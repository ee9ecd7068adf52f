"""The fan-out: from a batch of the log to facts, each keyed by one account, with their epochs.

One ordered writer reads the log: it gives slots, positions and epoch numbers. An event makes at
most two facts, the actor's and the counterpart's. A late event (more than `lateness_s` behind the
newest) and one seen before make none. An event dated far ahead is taken at the log's own time, and
moves it only with others that follow (docs/adr/0008-far-dates.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from wavebreak.events import TYPES
from wavebreak.features.arriving import columns_of, events_of, names_of
from wavebreak.features.catalog import KINDS
from wavebreak.features.names import Names, Placed
from wavebreak.features.seen import Seen
from wavebreak.features.state import (
    NONE,
    SHARDS,
)
from wavebreak.jit import compiled, int64

EPOCH_MS = 60_000
LEAP_MS = 86_400_000
"""How far ahead of a quiet log's time an event may be dated and believed: what it may make late."""
SPELL_MS = 600_000
BUSY = 300
"""Steps of a log's time in a spell from which on it is busy, and never silent for half of
`lateness_s`: nothing farther ahead is believed, so that one false date makes nothing in fair
order late. (Events of one date are one step: a log may tell time in minutes.)"""
BELIEVED_AT = 8
"""Events in a row, all too far ahead, that move the log's time; an eighth of a busy minute more."""
BELIEVED_AT_MOST = 1_000
"""So many are believed in any log: more than one machine with a wrong clock sends in one batch."""
NO_FACT = 255
_ROLES: dict[str, tuple[str, str]] = {
    "account.registered": ("registered", ""),
    "session.started": ("session", ""),
    "typing.started": ("typing", ""),
    "message.sent": ("sent", "received"),
    "message.delivered": ("", "delivered"),
    "message.read": ("read", "read_by"),
    "message.undeliverable": ("undeliverable", ""),
    "contact.looked_up": ("looked_up", ""),
    "contact.added": ("contact_added", "added_as_contact"),
    "contact.removed": ("contact_removed", "removed_as_contact"),
    "group.created": ("group_created", ""),
    "group.member_added": ("member_added", "added_to_group"),
    "group.joined": ("group_joined", ""),
    "group.left": ("group_left", "member_left"),
    "user.reported": ("reported", "reported_by"),
    "user.blocked": ("blocked", "blocked_by"),
    "user.unblocked": ("", "unblocked_by"),
    "consent.granted": ("", ""),
    "consent.revoked": ("", ""),
    "challenge.passed": ("challenge_passed", ""),
    "challenge.failed": ("challenge_failed", ""),
    "account.deleted": ("deleted", ""),
    "label.assigned": ("labelled", ""),
}
"""For each event type the kinds of its actor's and its counterpart's fact ("": no fact)."""


def fact_kinds() -> Any:
    """Kind of fact by event type and role: uint8, shape (256, 2); 255 where there is none."""
    kinds = np.full((256, 2), NO_FACT, np.uint8)
    for code, name in enumerate(TYPES):
        for role, kind in enumerate(_ROLES[name]):
            if kind:
                kinds[code, role] = KINDS.index(kind)
    return kinds


@dataclass(frozen=True)
class Segment:
    """Facts of one stretch of the log within one epoch.

    `codes` are event index · 2 + role, grouped by shard at `offsets`; `base` is the position of
    `events[0]` in the log; `accounts` and `entities` are how many have been named by then.
    """

    epoch: int
    base: int
    events: Any
    codes: Any
    offsets: Any
    ids: pa.Array
    accounts: int
    entities: int


CLOCK = np.dtype(
    [("newest", "i8"), ("spell", "i8"), ("steps", "i8"), ("former", "i8"), ("ahead", "i8"),
     ("earliest", "i8")]
)  # fmt: skip
"""The log's time: its newest believed date (-1: none yet); the open spell, the steps of time in it
and in the last before it that held any; events in a row that are too far ahead, their earliest."""


@compiled()
def _believed(clock: Any, ts: int) -> None:
    """Move the log's time to an event that is believed."""
    if ts > clock.newest:
        clock.newest = ts
        if ts // SPELL_MS != clock.spell:
            clock.spell = ts // SPELL_MS
            clock.former, clock.steps = clock.steps, 0
        clock.steps += 1
    clock.ahead = 0


@compiled()
def _too_far(clock: Any, ts: int, lateness: int) -> bool:
    """Whether an event is too far ahead; with enough of them in a row the log's time moves."""
    spell = max(clock.steps, clock.former)
    leap = lateness // 2 if spell >= BUSY else max(lateness, LEAP_MS)
    if ts <= clock.newest + leap:
        return False
    clock.earliest = ts if clock.ahead == 0 else min(clock.earliest, ts)
    clock.ahead += 1
    if clock.ahead >= min(BELIEVED_AT + spell // 80, BELIEVED_AT_MOST):
        clock.newest, clock.ahead = clock.earliest, 0
    return bool(ts > clock.newest + leap)


@compiled()
def _stamp(
    clock: Any, ts: Any, repeated: Any, lateness: int, drop: Any, epochs: Any, begin: int, end: int
) -> int:
    """Mark what makes no facts (1 repeated, 2 late), date what is far ahead; returns how many."""
    time, moved = clock[0], 0
    for i in range(begin, end):
        if time.newest < 0:
            time.newest = ts[i]
        if repeated[i]:
            drop[i] = 1
        elif ts[i] < time.newest - lateness:
            drop[i] = 2
        elif _too_far(time, ts[i], lateness):
            ts[i] = time.newest
            moved += 1
        else:
            _believed(time, ts[i])
        epochs[i] = time.newest // EPOCH_MS
    return int64(moved)


@compiled()
def _scatter(events: Any, kinds: Any, codes: Any, offsets: Any) -> None:
    """Group facts by shard, in log order within each (a counting sort)."""
    fill = np.zeros(SHARDS + 1, np.int64)
    for step in range(2):
        for i in range(events.size):
            ev = events[i]
            if ev.drop:
                continue
            if kinds[ev.type, 0] != NO_FACT:
                s = int64(ev.account) & (SHARDS - 1)
                if step == 1:
                    codes[fill[s]] = 2 * i
                fill[s] += 1
            if kinds[ev.type, 1] != NO_FACT and ev.peer != NONE:
                s = int64(ev.peer) & (SHARDS - 1)
                if step == 1:
                    codes[fill[s]] = 2 * i + 1
                fill[s] += 1
        if step == 0:
            at = 0
            for s in range(SHARDS):
                offsets[s] = at
                at += fill[s]
                fill[s] = offsets[s]
            offsets[SHARDS] = at


class Fanout:
    """The one ordered reader of a log.

    `accounts` and `entities` hold the slots; `duplicates` and `late` count what made no facts,
    `ahead` what was dated so far ahead that it was taken at the log's own time.
    """

    def __init__(self, *, lateness_s: int = 60) -> None:
        self.lateness_ms = lateness_s * 1000
        self.accounts, self.entities = Names(seed=1), Names(seed=2)
        self.seen = Seen(span_ms=self.lateness_ms)
        self.kinds = fact_kinds()
        self.clock = np.zeros(1, CLOCK)
        self.clock["newest"] = -1
        self.position, self.duplicates, self.late, self.ahead = 0, 0, 0, 0

    def segments(self, log: pa.RecordBatch) -> Iterator[Segment]:
        """Facts of a batch of the log, a segment for each epoch that it reaches into."""
        if not log.num_rows:
            return
        columns, ids = columns_of(log), log.column("id")
        ts = log.column("ts").to_numpy().copy()
        drop, epochs = np.zeros(ts.size, np.uint8), np.zeros(ts.size, np.int64)
        self._dates(names_of(columns), ts, drop, epochs)
        self.duplicates += int((drop == 1).sum())
        self.late += int((drop == 2).sum())
        events = events_of(columns, ts, drop, self.accounts, self.entities)
        base, self.position = self.position, self.position + ts.size
        cuts = np.flatnonzero(np.diff(epochs)) + 1
        for begin, end in zip([0, *cuts], [*cuts, ts.size], strict=True):
            part = events[begin:end]
            codes, offsets = np.zeros(2 * part.size, np.uint32), np.zeros(SHARDS + 1, np.int64)
            _scatter(part, self.kinds, codes, offsets)
            yield Segment(
                int(epochs[begin]), base + int(begin), part, codes[: offsets[-1]], offsets,
                ids.slice(begin, end - begin), len(self.accounts), len(self.entities),
            )  # fmt: skip

    def _dates(self, ids: Placed, ts: Any, drop: Any, epochs: Any) -> None:
        """Find what was seen and what is late, and date the rest (arrays of a row each)."""
        repeated, done = np.zeros(ts.size, np.bool_), 0
        while done < ts.size:
            begin, done = done, self.seen.note(ids, repeated, done)
            self.ahead += _stamp(
                self.clock, ts, repeated, self.lateness_ms, drop, epochs, begin, done
            )
            # At this very event, whatever batch it came in: replays forget the same ids.
            if done < ts.size:
                self.seen.grow(int(self.clock["newest"][0]))

    def dated(self, ts: int) -> int:
        """At what time an event would be taken if it came now (ms); -1: too late, or too far."""
        clock, times, drop = self.clock.copy(), np.array([ts]), np.zeros(1, np.uint8)
        new = np.zeros(1, np.bool_)
        _stamp(clock, times, new, self.lateness_ms, drop, np.zeros(1, np.int64), 0, 1)
        return -1 if drop[0] else int(times[0])

    def dump(self) -> dict[str, Any]:
        """Everything, as named arrays."""
        counts = [self.position, self.duplicates, self.late, self.ahead]
        arrays: dict[str, Any] = {"counts": np.array(counts, np.int64), "clock": self.clock.copy()}
        for name in ("accounts", "entities", "seen"):
            arrays |= {f"{name}.{k}": a for k, a in getattr(self, name).dump().items()}
        return arrays

    def load(self, arrays: dict[str, Any]) -> None:
        """Take the place of a dump."""
        self.position, self.duplicates, self.late, self.ahead = (int(n) for n in arrays["counts"])
        self.clock = arrays["clock"].copy()
        for name in ("accounts", "entities", "seen"):
            own = {k[len(name) + 1 :]: a for k, a in arrays.items() if k.startswith(f"{name}.")}
            getattr(self, name).load(own)
