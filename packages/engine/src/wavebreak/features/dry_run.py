"""Dry run of events: processed on the real state, which is then restored.

The actor's account events go through the kernel as they would from the log. What they change (the
actor's row and rare row, a pair each, the worker's buffers) is then restored. No name gets a slot.
What others read of the actor, and what an epoch's close counts, is not part of a dry run.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import string_at
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from wavebreak.errors import UsageError
from wavebreak.features import kernel, layout
from wavebreak.features.facts import (
    AROUND,
    LABELLED,
    NO_FACT,
    Fanout,
    column_names,
    decode_events,
    locate_columns,
)
from wavebreak.features.interner import Interner, NameSpans
from wavebreak.features.pair_table import FLAGS, find, grow_table
from wavebreak.features.shards import ShardedKernel
from wavebreak.schema.event_kinds import CALLED, MEMBER_ADDED, REQUESTED, SENT

MOST_EVENTS: Final = 50
"""Events of one dry run."""
_COUNTED = ("hits_n", "points_n", "deltas_n", "touched_n")


@dataclass(frozen=True)
class DryRunResult:
    """Result of a dry run: the outcome in force (code of OUTCOMES) and its end (s, 0: none).

    `refused`: that outcome refuses the event. `hits` (dtype HIT) are the rules that newly fired and
    the outcome that the score newly asks for. `late`: the log would not have counted the event.
    `quota`: new chats a day that a limit in force leaves. `on_doubt`: it rests on doubt, so that a
    passed challenge raises it. `source`: number of the source that reports the account then.
    `stranger`: it goes to somebody who has never answered and has no tie. `taken`: strangers of the
    cycle who have not answered, this one included; with an add also those added.
    """

    outcome: int
    until: int
    refused: bool
    hits: Any
    late: bool = False
    quota: int = 0
    on_doubt: bool = False
    source: int = 0
    stranger: bool = False
    taken: int = 0


class Question(NamedTuple):
    """Events of one account, with the slots that their names have, or would have.

    Attributes:
        events: The events (dtype EVENT).
        times: Their dates by the log's time (ms; negative: late).
        logged: Whether the log has an event of this id.
        accounts: Accounts that have slots.
        entities: Entities that have slots.
    """

    events: Any
    times: Any
    logged: Any
    accounts: int
    entities: int

    @property
    def account(self) -> int:
        """The slot of the account (0: there are no events)."""
        return int(self.events["account"][0]) if self.events.size else 0


class _TemporarySlots:
    """Temporary slots for new names, which the interner does not keep."""

    def __init__(self, names: Interner) -> None:
        self._names, self._new = names, dict[bytes, int]()

    def slots_of(self, names: NameSpans) -> Any:
        """Return the slot of each name (uint32)."""
        found = self._names.find_of(names).tolist()
        for k, slot in enumerate(found):
            if slot < 0:
                found[k] = self._passing(int(names.at[k]), int(names.sizes[k]))
        return np.array(found, np.uint32)

    def _passing(self, at: int, size: int) -> int:
        following = len(self._names) + len(self._new)
        return layout.NONE if size < 0 else self._new.setdefault(string_at(at, size), following)


def dry_run(core: ShardedKernel, fanout: Fanout, log: pa.RecordBatch) -> list[DryRunResult]:
    """Judge events of one account, changing no state; see `question_of` and `judged`."""
    return judged(core, question_of(fanout, log))


def question_of(fanout: Fanout, log: pa.RecordBatch) -> Question:
    """Return events of one account (rows of LOG_SCHEMA or some of its columns) as a question.

    Raises:
        UsageError: More than MOST_EVENTS events, or of more than one account.
    """
    labels = log.column("type").to_numpy() == LABELLED
    times = fanout.dates_of(log.column("ts").to_numpy(), labels)
    columns = locate_columns(log)
    logged = fanout.seen.known(column_names(columns))
    logged[-1:] = False
    events = decode_events(
        columns,
        np.maximum(times, 0),
        np.zeros(times.size, np.uint8),
        _TemporarySlots(fanout.accounts),
        _TemporarySlots(fanout.entities),
    )
    events["source"] = fanout.source_numbers(log)
    if events.size > MOST_EVENTS or len(set(events["account"].tolist())) > 1:
        fix = "ask for each account, and for so many at a time"
        raise UsageError(f"a dry run is of one account and {MOST_EVENTS} events at most", fix=fix)
    return Question(events, times, logged, len(fanout.accounts), len(fanout.entities))


def judged(core: ShardedKernel, question: Question) -> list[DryRunResult]:
    """Process the events of a question in the shard that holds the account, changing no state.

    Each is judged as if those before it had been sent: one that is refused as an attempt, the
    others as having happened. Of those before the last, one whose id the log has is there already,
    and changes nothing. Not to be called while the kernel processes a segment. Shared state
    is read as of the last closed epoch, though an event might open a new one.
    """
    events, times, logged, accounts, entities = question
    # Room for new accounts and new entities; none of it is kept.
    more = 1 + events.size
    core.fit(
        max(core.accounts, accounts) + more,
        entities + len(AROUND) * events.size,
    )
    results = []
    with _Sandbox(core, events) as sandbox:
        for number in range(events.size):
            event = events[number : number + 1]
            if times[number] < 0 or logged[number] or core.kinds[event["type"][0], 0] == NO_FACT:
                results.append(sandbox.unchanged(late=bool(times[number] < 0)))
            else:
                results.append(sandbox.judge(event, last=number + 1 == events.size))
    return results


class _Sandbox:
    """The state of one account, in which events are judged in turn; restored at the end."""

    def __init__(self, core: ShardedKernel, events: Any) -> None:
        slot = int(events["account"][0]) if events.size else 0
        self.core, self.s, self.local = core, slot % layout.SHARDS, slot >> layout.SHARD_BITS
        if core.rares[self.s].fit(int(core.shards[self.s]["rare_n"]) + 3):
            core.point_at(self.s)
        self.shard = core.shards[self.s : self.s + 1]
        self.row = core.rows[self.s].records[self.local : self.local + 1]
        self.rare_at = int(self.row["rare"][0] or self.shard["rare_n"][0] + 1) - 1
        self.rare = core.rares[self.s].records[self.rare_at : self.rare_at + 1]
        self.pairs = core.pairs[self.s]
        self.was = self.shard.copy()
        self._make_room(int(np.count_nonzero(events["peer"] != layout.NONE)))
        self._undo = [_Copy([self.row, self.rare], self.shard)]
        self.source = core.sources.records[slot : slot + 1]
        self.reported = self.source.copy()
        if core.judges_by_source:
            # Who asks without a source says nothing of who reports the account.
            events["source"][events["source"] == 0] = self.reported[0]

    def __enter__(self) -> _Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        while self._undo:
            self._undo.pop().restore()
        self.shard[:] = self.was
        self.source[:] = self.reported

    def _make_room(self, entries: int) -> None:
        """Make the table take so many entries more without growing: a dry run grows no state."""
        if self.was["pair_n"][0] + entries + 2 > self.pairs.size:
            # Only a table of few hundred entries can be that full.
            wanted, held = self.pairs.size + 2 * entries + 2, 0
            while self.pairs.size < wanted:
                self.pairs, held = grow_table(self.pairs, self.core.salts, self.core.epoch * 60)
            self.shard["pairs"] = self.pairs.ctypes.data
            self.shard["pair_capacity"], self.shard["pair_n"] = self.pairs.size, held
        self.shard["pair_n"] -= entries + 1

    def unchanged(self, *, late: bool) -> DryRunResult:
        """Return the result of an event that changes nothing."""
        return self._result(refused=False, hits=self.core.no_hits(), late=late)

    def judge(self, event: Any, *, last: bool) -> DryRunResult:
        """Process an event; it stays processed for those after it, unless it is the last."""
        before, kept = self._enforcement(), event.copy()
        with self._trying(event) as tried:
            hits = self._advance(event)
            result = self._result(refused=tried.refused(), hits=hits)
            stranger, taken = self._meets_stranger(event), self._taken(event)
        refused, after = result.refused, (result.outcome, result.until, result.quota)
        if after[::2] != before[::2] and not refused:
            # Would the outcome that the event leads to have refused it?
            with self._trying(event) as tried:
                self.row["enforcement"], self.row["until"], self.row["quota"] = after
                self._advance(event)
                refused = tried.refused()
        if not last:
            self._undo.append(self._copy(event))
            event["flags"] |= layout.ATTEMPTED if refused else 0
            self._advance(event)
            event[:] = kept
        return replace(result, refused=refused, stranger=stranger, taken=taken)

    def _kind(self, event: Any) -> int:
        kind = int(self.core.kinds[event["type"][0], 0])
        return NO_FACT if kind == SENT and event["flags"][0] & layout.TO_GROUP else kind

    def _meets_stranger(self, event: Any) -> bool:
        """Whether a processed event goes to a stranger who has not answered."""
        kind, flags = self._kind(event), self._pair_flags(event)
        if (
            kind not in (SENT, REQUESTED, CALLED, MEMBER_ADDED)
            or event["flags"][0] & layout.IN_CONTACTS
        ):
            return False
        if kind == MEMBER_ADDED:
            return flags & (layout.WROTE | layout.REPLIED | layout.CONTACT) == 0
        return flags & (layout.STRANGER | layout.REPLIED | layout.CONTACT) == layout.STRANGER

    def _pair_flags(self, event: Any) -> int:
        """Return what is known of the actor and whom a processed event goes to."""
        peer = int(event["peer"][0])
        at = int(find(self.pairs, self.pairs.size, self.core.salts, self.local, peer))
        return int(self.pairs[at]["value"]) & FLAGS if at >= 0 else 0

    def _taken(self, event: Any) -> int:
        """Return the places of an allowance that are taken after a processed event."""
        taken = int(self.row["unanswered_strangers_1d"][0].sum())
        adds = self._kind(event) == MEMBER_ADDED and self.row["rare"][0]
        adds = adds and not self._pair_flags(event) & layout.STRANGER
        return taken + (int(self.rare["strangers_1d"][0].sum()) if adds else 0)

    def _result(self, *, refused: bool, hits: Any, late: bool = False) -> DryRunResult:
        outcome, until, quota = self._enforcement()
        doubt = bool(self.row["flags"][0] & layout.ON_DOUBT)
        source = int(self.source[0]) if self.core.judges_by_source else 0
        return DryRunResult(outcome, until, refused, hits, late, quota, doubt, source)

    def _enforcement(self) -> tuple[int, int, int]:
        """Return the actor's outcome in force, its end, and what a limit leaves."""
        row = self.row[0]
        return int(row["enforcement"]), int(row["until"]), int(row["quota"])

    def _copy(self, event: Any) -> _Copy:
        """Copy what an event may change."""
        records, peer = [self.row, self.rare], int(event["peer"][0])
        if peer != layout.NONE:
            at = int(find(self.pairs, self.pairs.size, self.core.salts, self.local, peer))
            at = at if at >= 0 else -1 - at
            records.append(self.pairs[at : at + 1])
        return _Copy(records, self.shard)

    @contextmanager
    def _trying(self, event: Any) -> Iterator[_Copy]:
        """Restore in the end what an event changes, and the event."""
        kept, copy = event.copy(), self._copy(event)
        try:
            yield copy
        finally:
            copy.restore()
            event[:] = kept

    def _advance(self, event: Any) -> Any:
        """Process the actor's account event; return the hits, which the worker does not keep."""
        core, worker = self.core, self.core.workers[0]
        offsets = np.zeros(layout.SHARDS + 1, np.int64)
        offsets[self.s + 1 :] = 1
        worker.make_room(1)
        w = worker.begin()
        counts = {name: int(w[name]) for name in _COUNTED}
        turns, taken, facts = np.array([self.s]), np.zeros(1, np.int64), np.zeros(1, layout.FACT)
        results = np.zeros(1, np.uint8)
        while not kernel.process_segment(
            core.shards, w, turns, taken, event, 0, core.kinds, facts, offsets, results
        ):  # fmt: skip
            # Of the worker alone: in the shard there is room.
            worker.grow()
        hits = worker.hits[counts["hits_n"] : w["hits_n"]].copy()
        for name, count in counts.items():
            worker.record[name] = count
        return hits


class _Copy:
    """Copy of the records that an event may change: the actor's row, its rare row, and a pair."""

    def __init__(self, records: list[Any], shard: Any) -> None:
        # As bytes, so that a record's padding is copied too.
        self._kept = [(record, record.tobytes()) for record in records]
        self._shard, self._numbers = shard, shard.copy()
        self._rare = records[1]
        self._refusals = int(self._rare["refused"][0])

    def refused(self) -> bool:
        """Whether an event was counted as refused since."""
        return int(self._rare["refused"][0]) > self._refusals

    def restore(self) -> None:
        """Restore everything."""
        for record, content in self._kept:
            record.view(np.uint8)[:] = np.frombuffer(content, np.uint8)
        self._shard[:] = self._numbers
