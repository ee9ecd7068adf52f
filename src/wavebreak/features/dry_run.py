"""Dry run of one event: processed on the real state, which is then restored.

The actor's account event goes through the kernel as it would from the log. What it changes (the
actor's row and rare row, one pair, the worker's buffers) is then restored. No name gets a slot.
What others read of the actor, and what an epoch's close counts, is not part of a dry run.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import string_at
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from wavebreak.features import kernel
from wavebreak.features.facts import NO_FACT, Fanout, decode_events, locate_columns
from wavebreak.features.interner import Interner, NameSpans
from wavebreak.features.layout import NONE, ON_DOUBT, SHARD_BITS, SHARDS
from wavebreak.features.pair_table import FULL, find
from wavebreak.features.shards import ShardedKernel

_COUNTED = ("hits_n", "points_n", "deltas_n", "touched_n")


@dataclass(frozen=True)
class DryRunResult:
    """Result of a dry run: the outcome in force (code of OUTCOMES) and its end (s, 0: none).

    `refused`: that outcome refuses the event. `hits` (dtype HIT) are the rules that newly fired and
    the outcome that the score newly asks for. `late`: the log would not have counted the event.
    `quota`: new chats a day that a limit in force leaves. `on_doubt`: it rests on doubt, so that a
    passed challenge raises it.
    """

    outcome: int
    until: int
    refused: bool
    hits: Any
    late: bool = False
    quota: int = 0
    on_doubt: bool = False


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
        return NONE if size < 0 else self._new.setdefault(string_at(at, size), following)


def dry_run(core: ShardedKernel, fanout: Fanout, log: pa.RecordBatch) -> DryRunResult:
    """Process one event (a row of LOG_SCHEMA or some of its columns) without changing state.

    Not to be called while the kernel processes a segment. Shared state is read as of the last
    closed epoch, though the event might open a new one.
    """
    at = fanout.dated(int(log.column("ts")[0].as_py()))
    late = np.array([max(at, 0)])
    event = decode_events(
        locate_columns(log),
        late,
        np.zeros(1, np.uint8),
        _TemporarySlots(fanout.accounts),
        _TemporarySlots(fanout.entities),
    )
    slot = int(event["account"][0])
    # Room for two new accounts and four new entities; none of it is kept.
    core.fit(max(core.accounts, len(fanout.accounts)) + 2, len(fanout.entities) + 4)
    if at < 0 or core.kinds[event["type"][0], 0] == NO_FACT:
        row = core.row_of(slot)
        return DryRunResult(
            int(row["enforcement"]), int(row["until"]), False, core.no_hits(), at < 0,
            int(row["quota"]), bool(row["flags"] & ON_DOUBT),
        )  # fmt: skip
    with _restoring(core, event) as saved:
        hits = _advance(core, event)
        after, on_doubt = saved.enforcement(), saved.on_doubt()
        refused = saved.refused()
    if after[::2] != saved.before[::2] and not refused:
        # Would the outcome that the event leads to have refused it?
        with _restoring(core, event) as saved:
            saved.set_enforcement(*after)
            _advance(core, event)
            refused = saved.refused()
    return DryRunResult(after[0], after[1], refused, hits, quota=after[2], on_doubt=on_doubt)


def _advance(core: ShardedKernel, event: Any) -> Any:
    """Process the actor's account event; return the hits."""
    s = int(event["account"][0]) % SHARDS
    offsets = np.zeros(SHARDS + 1, np.int64)
    offsets[s + 1 :] = 1
    worker = core.workers[0]
    w = worker.begin()
    kept = int(w["hits_n"])
    turns, taken, codes = np.array([s]), np.zeros(1, np.int64), np.zeros(1, np.uint32)
    while not kernel.process_segment(
        core.shards, w, turns, taken, event, 0, core.kinds, codes, offsets
    ):  # fmt: skip
        core.grow(int(w["at_shard"]), worker)
    return worker.hits[kept : w["hits_n"]].copy()


class _SavedState:
    """Records that the actor's account event may change, with a copy of their contents."""

    def __init__(self, core: ShardedKernel, event: Any) -> None:
        slot, peer = int(event["account"][0]), int(event["peer"][0])
        self.core, self.s, self.local = core, slot % SHARDS, slot >> SHARD_BITS
        if core.rares[self.s].fit(int(core.shards[self.s]["rare_n"]) + 2):
            core.point_at(self.s)
        self.shard = core.shards[self.s : self.s + 1]
        self.was = self.shard.copy()
        self.row = core.rows[self.s].records[self.local : self.local + 1]
        self.rare_at = int(self.row["rare"][0] or self.was["rare_n"][0] + 1) - 1
        self.pair_at, kept = -1, [self.row, self._rare()]
        if peer != NONE:
            pairs = core.pairs[self.s]
            at = int(find(pairs, pairs.size, core.salts, self.local, peer))
            self.pair_at = at if at >= 0 else -1 - at
            kept.append(pairs[self.pair_at : self.pair_at + 1])
        # There is room for one more entry even in a table due to grow: a dry run grows none.
        full = self.was["pair_n"][0] + 1 >= self.was["pair_capacity"][0] * FULL
        self.shard["pair_n"] -= int(full)
        self.worker = {name: int(core.workers[0].record[name]) for name in _COUNTED}
        # As bytes, so that a record's padding is copied too.
        self.kept = [(records, records.tobytes()) for records in kept]
        self.before, self.refusals = self.enforcement(), int(self._rare()["refused"][0])

    def _rare(self) -> Any:
        return self.core.rares[self.s].records[self.rare_at : self.rare_at + 1]

    def enforcement(self) -> tuple[int, int, int]:
        """Return the actor's outcome in force, its end, and what a limit leaves."""
        row = self.row[0]
        return int(row["enforcement"]), int(row["until"]), int(row["quota"])

    def set_enforcement(self, outcome: int, until: int, quota: int) -> None:
        """Put the actor under another outcome."""
        self.row["enforcement"], self.row["until"], self.row["quota"] = outcome, until, quota

    def on_doubt(self) -> bool:
        """Whether the limit in force rests on doubt."""
        return bool(self.row["flags"][0] & ON_DOUBT)

    def refused(self) -> bool:
        """Whether the event was counted as refused."""
        return int(self._rare()["refused"][0]) > self.refusals

    def undo(self) -> None:
        """Restore everything."""
        core = self.core
        for records, content in self.kept:
            records.view(np.uint8)[:] = np.frombuffer(content, np.uint8)
        self.shard["rare_n"], self.shard["pair_n"] = self.was["rare_n"], self.was["pair_n"]
        for name, count in self.worker.items():
            core.workers[0].record[name] = count


@contextmanager
def _restoring(core: ShardedKernel, event: Any) -> Iterator[_SavedState]:
    kept = event.copy()
    saved = _SavedState(core, event)
    try:
        yield saved
    finally:
        saved.undo()
        event[:] = kept
