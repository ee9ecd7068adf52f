"""What an act would lead to, without its having happened: tried on the real state, and undone.

The actor's fact goes through the kernel as it would from the log; what it touched (the actor's row
and rare row, one pair, the worker's buffers) is then put back. No name is given a slot. What others
read of the actor, and what is counted at an epoch's close, an act moves only in the log.
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
from wavebreak.features.layout import NONE, SHARD_BITS, SHARDS
from wavebreak.features.pair_table import FULL, find
from wavebreak.features.shards import ShardedKernel

_COUNTED = ("hits_n", "points_n", "deltas_n", "touched_n")


@dataclass(frozen=True)
class DryRunResult:
    """What came of it: the standing in force after (a code of OUTCOMES) and its end (s, 0: none).

    `refused`: that standing refuses the act. `hits` (dtype HIT) are what rules and score newly
    asked for. `late`: the log would not have counted the act.
    """

    standing: int
    until: int
    refused: bool
    hits: Any
    late: bool = False


class _TemporarySlots:
    """Slots for names that are to be forgotten: a new one has the next, and nobody is told."""

    def __init__(self, names: Interner) -> None:
        self._names, self._new = names, dict[bytes, int]()

    def slots_of(self, names: NameSpans) -> Any:
        """Slot of each name (uint32)."""
        found = self._names.find_of(names).tolist()
        for k, slot in enumerate(found):
            if slot < 0:
                found[k] = self._passing(int(names.at[k]), int(names.sizes[k]))
        return np.array(found, np.uint32)

    def _passing(self, at: int, size: int) -> int:
        following = len(self._names) + len(self._new)
        return NONE if size < 0 else self._new.setdefault(string_at(at, size), following)


def dry_run(core: ShardedKernel, fanout: Fanout, log: pa.RecordBatch) -> DryRunResult:
    """Try one event (a row of LOG_SCHEMA, or narrow) that has not happened; the state is as before.

    Not to be called while the core advances. What accounts share is read as of the last closed
    epoch, though the act itself might be the first of a new one.
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
    # Two names more than are known, and four surroundings: none of it is kept.
    core.fit(max(core.accounts, len(fanout.accounts)) + 2, len(fanout.entities) + 4)
    if at < 0 or core.kinds[event["type"][0], 0] == NO_FACT:
        row = core.row_of(slot)
        return DryRunResult(int(row["standing"]), int(row["until"]), False, core.no_hits(), at < 0)
    with _restoring(core, event) as touched:
        hits = _advance(core, event)
        after = touched.standing()
        refused = touched.refused()
    if after[0] != touched.before[0] and not refused:
        # Would the standing that the act leads to have let it pass?
        with _restoring(core, event) as touched:
            touched.stand(*after)
            _advance(core, event)
            refused = touched.refused()
    return DryRunResult(after[0], after[1], refused, hits)


def _advance(core: ShardedKernel, event: Any) -> Any:
    """Take the actor's fact of one event; gives the hits."""
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
    """Where the actor's fact leaves its marks, and how they looked before."""

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
            at = int(find(pairs, pairs.size, self.local, peer))
            self.pair_at = at if at >= 0 else -1 - at
            kept.append(pairs[self.pair_at : self.pair_at + 1])
        # Room for one more entry is there even where a table is due to grow: growing is left to
        # what happens.
        full = self.was["pair_n"][0] + 1 >= self.was["pair_capacity"][0] * FULL
        self.shard["pair_n"] -= int(full)
        self.worker = {name: int(core.workers[0].record[name]) for name in _COUNTED}
        # As bytes: a record's padding is copied too.
        self.kept = [(records, records.tobytes()) for records in kept]
        self.before, self.refusals = self.standing(), int(self._rare()["refused"][0])

    def _rare(self) -> Any:
        return self.core.rares[self.s].records[self.rare_at : self.rare_at + 1]

    def standing(self) -> tuple[int, int]:
        """The actor's standing and its end, as they are now."""
        return int(self.row["standing"][0]), int(self.row["until"][0])

    def stand(self, standing: int, until: int) -> None:
        """Put the actor under another standing."""
        self.row["standing"], self.row["until"] = standing, until

    def refused(self) -> bool:
        """Whether the act was counted as refused."""
        return int(self._rare()["refused"][0]) > self.refusals

    def undo(self) -> None:
        """Put everything back."""
        core = self.core
        for records, content in self.kept:
            records.view(np.uint8)[:] = np.frombuffer(content, np.uint8)
        self.shard["rare_n"], self.shard["pair_n"] = self.was["rare_n"], self.was["pair_n"]
        for name, count in self.worker.items():
            core.workers[0].record[name] = count


@contextmanager
def _restoring(core: ShardedKernel, event: Any) -> Iterator[_SavedState]:
    kept = event.copy()
    touched = _SavedState(core, event)
    try:
        yield touched
    finally:
        touched.undo()
        event[:] = kept
