"""Sharded executor: logical shards, processed by threads, and the state that they share.

There are sixty-four shards. One core may hold all of them, or several in other processes hold some
each, and a replica of the shared state. A shard's state is its own, and moves with it; shared state
changes only where an epoch opens, by the contributions of all shards to the one that was closed.
Results are functions of the log: which core holds a shard, the number of workers, the size of
batches and a restart from a snapshot change nothing. Workers are threads; the kernel runs without
the GIL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np

from wavebreak.compiled.numba_runtime import callback
from wavebreak.features import epoch_close, kernel, layout
from wavebreak.features.allowance import DEFAULTS, pack_allowances
from wavebreak.features.catalog import FEATURES
from wavebreak.features.facts import Segment, fact_kinds
from wavebreak.features.keyed_hash import pair_salts, random_secret
from wavebreak.features.memory import GrowableArray
from wavebreak.features.pair_table import FULL, GROWTH, grow_table, load_table
from wavebreak.features.reputation import (
    NewcomerShare,
    merge_contributions,
    newcomers_beside,
    sort_by_shard,
)
from wavebreak.features.sequential_tests import pack_terms
from wavebreak.features.shared_state import credibility
from wavebreak.schema.event_kinds import EPOCH


@dataclass(frozen=True)
class KernelPolicy:
    """A policy as the kernel reads it: addresses of C functions and bit masks over rules.

    `keepalive` owns the memory at the addresses. `score` is the address of a C function `int64
    score(int64 model, int64 values)`, which returns a margin in 1/65,536, and `model` that of its
    packed numbers (0: no model). `weigh` is the address of `int64 weigh(int64 policy, int64 margin,
    int64 fired, int64 silent)`, which returns the outcome that a score asks for; `margins` (int64,
    rising) and `chances` (float64, one more) are the calibration. `spared` are the channels (bits)
    on which the score asks for nothing. `tests` are the increments of the sequential tests.
    `newcomers` is the share of newcomers among active accounts (in 1/65,536; 0: any) above which
    the score says nothing. `person` and `impossible` are the rules of that basis, `new_chats_1d`
    what a limit that a person sets leaves. `allowances` is the table of `features.allowance`.
    """

    guard: int
    rules: int
    decide: int
    refuse: int
    policy: Any
    wake: int
    keep: int
    registration: int
    messaging: int
    enabled: int
    enforced: int
    grace_s: int
    benign_grace_s: int
    tests: Any
    keepalive: Any = field(repr=False)
    score: int = 0
    model: int = 0
    weigh: int = 0
    margins: Any = field(repr=False, default_factory=lambda: np.zeros(0, np.int64))
    chances: Any = field(repr=False, default_factory=lambda: np.zeros(1))
    spared: int = 0
    newcomers: int = 0
    person: int = 0
    impossible: int = 0
    new_chats_1d: int = 0
    allowances: Any = None

    def into(self, w: Any) -> None:
        """Write the policy into a worker's record (dtype WORKER)."""
        w["guard"], w["rules"] = self.guard, self.rules
        w["decide"], w["refuse"] = self.decide, self.refuse
        w["policy"], w["tests"] = self.policy.ctypes.data, self.tests.ctypes.data
        w["wake"], w["keep"], w["enabled"] = self.wake, self.keep, self.enabled
        w["registration"], w["messaging"] = self.registration, self.messaging
        w["enforced"] = self.enforced
        w["grace_s"], w["benign_grace_s"] = self.grace_s, self.benign_grace_s
        w["score"], w["model"], w["weigh"] = self.score, self.model, self.weigh
        w["margins"], w["chances"] = self.margins.ctypes.data, self.chances.ctypes.data
        w["steps"], w["spared"] = self.margins.size, self.spared
        w["person"], w["impossible"] = self.person, self.impossible
        w["new_chats_1d"] = self.new_chats_1d
        w["allowances"] = 0 if self.allowances is None else self.allowances.ctypes.data


class SourceTerms(NamedTuple):
    """What the accounts of one source are judged by: a policy, and the features that are covered.

    Of the policy that counts which depends on coverage (dtype TERMS).
    """

    policy: KernelPolicy
    covered: Any


def policy_without_rules() -> KernelPolicy:
    """Return a policy whose rules never fire: for feature values alone."""
    never = callback(_never, 2)
    at = never.address
    numbers = np.zeros(1, np.int64)
    tests = pack_terms()
    return KernelPolicy(
        at, at, at, at, numbers, 0, 0, 0, 0, 0, 0, 0, 0, tests, never,
        allowances=pack_allowances(tuple(DEFAULTS.values())),
    )  # fmt: skip


def _never(_features: int, _kind: int) -> int:
    return 0


class Worker:
    """Record and buffers of one worker thread; buffers only grow."""

    def __init__(
        self, policy: KernelPolicy, covered: Any, *, enforce: bool, record: bool
    ) -> None:  # fmt: skip
        self.records = np.zeros(1, layout.WORKER)
        self.covered = covered
        self.values = np.zeros(len(FEATURES))
        self.hits = np.zeros(1024, layout.HIT)
        self.points = np.zeros(1024 if record else 2, layout.POINT)
        self.deltas = np.zeros(8192, layout.DELTA)
        self.touched = np.zeros(4096, layout.TOUCH)
        policy.into(self.record)
        self.record["enforce"], self.record["record"] = int(enforce), int(record)
        self.record["scoring"] = int(record or policy.score > 0)
        self.point()

    @property
    def record(self) -> Any:
        """The record that compiled code reads and writes (dtype WORKER)."""
        return self.records[0]

    def point(self) -> None:
        """Write the buffers' addresses into the record."""
        w = self.record
        w["covered"], w["values"] = self.covered.ctypes.data, self.values.ctypes.data
        w["judged_by"] = -1
        for name in ("hits", "points", "deltas", "touched"):
            buffer = getattr(self, name)
            w[name], w[f"{name}_size"] = buffer.ctypes.data, buffer.size

    def grow(self) -> None:
        """Grow the buffers of hits, scoring points and contributions that are full."""
        w = self.record
        if w["hits_n"] + 1 >= self.hits.size:
            self.hits = np.concatenate([self.hits, np.zeros(self.hits.size, layout.HIT)])
        if w["points_n"] + 1 >= self.points.size:
            self.points = np.concatenate([self.points, np.zeros(self.points.size, layout.POINT)])
        if w["deltas_n"] + kernel.DELTAS_A_FACT >= self.deltas.size:
            self.deltas = np.concatenate([self.deltas, np.zeros(self.deltas.size, layout.DELTA)])
        self.point()

    def make_room(self, facts: int) -> None:
        """Make room for so many more touched accounts."""
        need = int(self.record["touched_n"]) + facts
        if need > self.touched.size:
            more = np.zeros(max(need, 2 * self.touched.size) - self.touched.size, layout.TOUCH)
            self.touched = np.concatenate([self.touched, more])
            self.point()

    def take(self, name: str) -> Any:
        """Return and clear the hits, points or deltas so far."""
        n = int(self.record[f"{name}_n"])
        self.record[f"{name}_n"] = 0
        return getattr(self, name)[:n].copy()

    def touches(self) -> Any:
        """Return the slots of the accounts touched in the open epoch (dtype TOUCH)."""
        return self.touched[: self.record["touched_n"]]

    def begin(self) -> Any:
        """Start a pass of the kernel; returns the record."""
        self.record["at_shard"], self.record["at_fact"] = -1, 0
        return self.record


class Contributions(NamedTuple):
    """What some shards contribute to the shared state in one epoch.

    `deltas` (arrays of dtype DELTA) are in log order for each shard. `active` counts the accounts
    that acted, or on which somebody acted, and `newcomers` those of them that are young; 0 where
    nobody reads it.
    """

    deltas: Sequence[Any]
    active: int = 0
    newcomers: int = 0


def _joined(parts: Sequence[Any], dtype: np.dtype[Any]) -> Any:
    """Return records one after the other; NumPy looks at each field of records to do so."""
    return np.frombuffer(b"".join([part.tobytes() for part in parts]), dtype)


def _by_shard(records: Any, shards: Any) -> list[Any]:
    """Return the records of each shard, in their order."""
    shards = shards.astype(np.uint8)
    order = np.argsort(shards, kind="stable")
    return np.split(records[order], np.searchsorted(shards[order], np.arange(1, layout.SHARDS)))


ALL_SHARDS: Final = np.ones(layout.SHARDS, np.bool_)
_NOBODY = np.zeros(0, np.int64)
_IN_LOG = ("account", "role", "position")
"""Fields by which notes are in the order of the log, the last one first; see `merge_hits`."""


def _in_order(parts: Sequence[Any], order: Sequence[str]) -> Any:
    """Return notes in order of fields, the last one first."""
    notes = parts[0] if len(parts) == 1 else np.concatenate(parts)
    return notes[np.lexsort([notes[name] for name in order])] if notes.size > 1 else notes


def merge_hits(parts: Sequence[Any]) -> Any:
    """Return the hits of workers or groups of shards (dtype HIT) in one order.

    It is that of the log; an account has one hit for each event, and at an epoch's close one for
    each pass: whoever found them, there is no other order.
    """
    return _in_order(parts, ("step", *_IN_LOG))


RESERVED_ACCOUNTS = 1 << 24
"""Accounts for which address space is reserved at the start (memory is used as accounts appear)."""


class ShardedKernel:
    """State of the accounts of some shards, and the workers that process their account events.

    Args:
        covered: 0.0 for each covered feature, NaN for the others (float64, in catalog order).
        enforce: Whether refused events are dropped.
        workers: Threads that share the shards.
        accounts: Accounts for which address space is reserved; more is reserved in steps.
        record: Whether scoring points are recorded.
        secret: Secret of the hashes of pairs (None: a random one); no result depends on it.
        own: The shards whose accounts it holds (bool, SHARDS); of others it knows what is shared.
    """

    def __init__(
        self, policy: KernelPolicy, covered: Any, *, enforce: bool, workers: int = 1,
        accounts: int = RESERVED_ACCOUNTS, record: bool = False, secret: bytes | None = None,
        own: Any = ALL_SHARDS,
    ) -> None:  # fmt: skip
        self.policy, self.covered, self.own = policy, covered, own
        self.held: list[int] = np.flatnonzero(own).tolist()
        self.kinds = fact_kinds()
        self.shards = np.zeros(layout.SHARDS, layout.SHARD)
        self.salts = pair_salts(secret or random_secret())
        for name, salt in zip(("salt_a", "salt_b", "salt_c"), self.salts, strict=True):
            self.shards[name] = salt
        # Different sizes fill up at different times, so that no two shards grow at once.
        reserve = accounts // layout.SHARDS + 1
        self.rows = [
            GrowableArray(layout.ROW, int(reserve * (1 + s / layout.SHARDS / 2)))
            for s in range(layout.SHARDS)
        ]
        self.rares = [GrowableArray(layout.RARE, 64 + s) for s in range(layout.SHARDS)]
        self.pairs = [
            np.zeros(int(64 * GROWTH ** (s / layout.SHARDS)), layout.PAIR)
            for s in range(layout.SHARDS)
        ]
        self.people, self.entities = (
            GrowableArray(layout.PERSON, accounts),
            GrowableArray(layout.ENTITY, 1024),
        )
        self.newcomers = GrowableArray(layout.NEWCOMERS, 1024)
        self.sources = GrowableArray(layout.SOURCE, accounts)
        self._terms, self._table = list[SourceTerms](), np.zeros(0, layout.TERMS)
        self.epoch, self.first, self.last, self.accounts = -1, -1, -1, 0
        self.newcomer_share = NewcomerShare()
        self.workers = [
            Worker(policy, covered, enforce=enforce, record=record) for _ in range(workers)
        ]
        self._points: list[Any] = []
        self._partials: list[Any] = []
        self._pool = ThreadPoolExecutor(workers - 1) if workers > 1 else None
        self._point()

    def _point(self) -> None:
        for s in range(layout.SHARDS):
            self.point_at(s)
        self._room = min(len(self.rows[s]) for s in self.held)
        for worker in self.workers:
            w = worker.record
            w["people"], w["people_n"] = self.people.records.ctypes.data, len(self.people)
            w["entities"], w["entities_n"] = self.entities.records.ctypes.data, len(self.entities)
            w["sources"] = self.sources.records.ctypes.data

    def judge_by(self, terms: Sequence[SourceTerms]) -> None:
        """Judge accounts by the terms of the source that reports their acts, by its number.

        The first are those of accounts of several sources, or of a source beyond the last. To be
        called before the first event or `load`, then with as many terms or more.
        """
        self._terms, self._table = list(terms), np.zeros(len(terms), layout.TERMS)
        for entry, (policy, covered) in zip(self._table, self._terms, strict=True):
            entry["policy"], entry["covered"] = policy.policy.ctypes.data, covered.ctypes.data
            entry["wake"], entry["enabled"] = policy.wake, policy.enabled
            entry["enforced"] = policy.enforced
        for worker in self.workers:
            w = worker.record
            w["terms"], w["terms_n"] = self._table.ctypes.data, len(terms)
            w["judged_by"] = -1
        if self.sources.fit(len(self.people)):
            self._point()

    @property
    def judges_by_source(self) -> bool:
        """Whether accounts are judged by what the source of their acts carries."""
        return bool(self._terms)

    def source_of(self, slot: int) -> int:
        """Return the number of the source that reports an account's acts (0: none is known)."""
        return int(self.sources.records[slot]) if self._terms else 0

    @property
    def _wake(self) -> int:
        """Mask of the kinds on which a rule may be evaluated, for whomever."""
        wake = self.policy.wake
        for terms in self._terms:
            wake |= terms.policy.wake
        return wake

    def point_at(self, s: int) -> None:
        """Write the addresses of a shard's arrays into its record."""
        sh = self.shards[s]
        sh["rows"], sh["row_capacity"] = self.rows[s].records.ctypes.data, len(self.rows[s])
        sh["rares"], sh["rare_capacity"] = self.rares[s].records.ctypes.data, len(self.rares[s])
        sh["pairs"], sh["pair_capacity"] = self.pairs[s].ctypes.data, self.pairs[s].size

    def touch(self) -> None:
        """Allocate the first memory of each shard.

        The system allocates on first use, two megabytes per array: otherwise the first events wait
        a quarter of a second.
        """
        own = (self.rows[s] for s in self.held)
        for held in (*own, self.people, self.entities, self.newcomers):
            held.touch(1)

    def fit(self, accounts: int, entities: int) -> None:
        """Make room for every account and entity with a slot."""
        moved = self.people.fit(accounts) | self.entities.fit(entities)
        if self._terms:
            moved |= self.sources.fit(len(self.people))
        self.newcomers.fit(len(self.entities))
        need = accounts // layout.SHARDS + 1
        if need > self._room:
            moved |= sum(self.rows[s].fit(need) for s in self.held) > 0
        if moved:
            self._point()

    def grow(self, s: int, worker: Worker) -> None:
        """Make room in the shard where a worker stopped, and in the worker's buffers."""
        worker.grow()
        sh = self.shards[s]
        if sh["pair_n"] + 1 >= sh["pair_capacity"] * FULL:
            self.pairs[s], sh["pair_n"] = grow_table(self.pairs[s], self.salts, self.epoch * 60)
        self.rares[s].fit(int(sh["rare_n"]) + 2)
        self.point_at(s)

    def _each(self, work: Callable[[int], None]) -> None:
        others = self._pool.map(work, range(1, len(self.workers))) if self._pool else ()
        work(0)
        list(others)

    def _take(self, name: str) -> list[Any]:
        """Return and clear the workers' records."""
        return [worker.take(name) for worker in self.workers]

    def _take_hits(self) -> Any:
        points = _in_order(self._take("points"), _IN_LOG)
        if points.size:
            self._points.append(points)
        return merge_hits(self._take("hits"))

    def no_hits(self) -> Any:
        """Return an empty array of hits."""
        return np.zeros(0, layout.HIT)

    def points(self) -> Any:
        """Return the scoring points since the last call (dtype POINT), in log order.

        Those of an epoch's close come after those of the epoch's events.
        """
        points = [np.zeros(0, layout.POINT), *self._points]
        self._points.clear()
        return np.concatenate(points)

    def advance(self, segment: Segment) -> Any:
        """Process a segment of the open epoch; return hits (dtype HIT) in log order.

        It has the account events of these shards alone.
        """
        self.accounts = max(self.accounts, segment.accounts)
        self.fit(segment.accounts, segment.entities)
        if self.first < 0:
            self._begin(segment.base)
        # The largest shards first, so that all workers finish at about the same time.
        turns = np.argsort(np.diff(segment.offsets), kind="stable")[::-1].astype(np.int64)
        taken = np.zeros(1, np.int64)

        def work(number: int) -> None:
            worker = self.workers[number]
            worker.make_room(segment.facts.size)
            w = worker.begin()
            while not kernel.process_segment(
                self.shards, w, turns, taken, segment.events, segment.base, self.kinds,
                segment.facts, segment.offsets, segment.results,
            ):  # fmt: skip
                self.grow(int(w["at_shard"]), worker)

        self._each(work)
        self.last = segment.last
        self._partials += [worker.take("deltas") for worker in self.workers]
        return self._take_hits()

    def start(self, epoch: int) -> None:
        """Open the log's first epoch."""
        self._begin_epoch(epoch)
        self.newcomer_share.open(epoch)
        self._weigh_newcomers()

    def _begin_epoch(self, epoch: int) -> None:
        self.epoch = epoch
        for worker in self.workers:
            worker.record["epoch"] = epoch

    @property
    def abstains(self) -> bool:
        """Whether the model says nothing in the open epoch, since too many are newcomers."""
        return bool(self.workers[0].record["abstains"])

    def _weigh_newcomers(self) -> None:
        """Count who is active in the open epoch or not, and let the model speak in it or not."""
        share, most = self.newcomer_share, self.policy.newcomers
        counted = int(most > 0 and share.is_counted(self.epoch))
        abstains = int(counted and share.exceeds(most, self.epoch))
        for worker in self.workers:
            worker.record["census"], worker.record["abstains"] = counted, abstains

    def _begin(self, first: int) -> None:
        """Set the position of the open epoch's first event (-1: none yet)."""
        self.first = first
        for worker in self.workers:
            worker.record["first"] = first

    def partials(self) -> list[Any]:
        """Return what the shards have contributed in the open epoch so far (dtype DELTA).

        In log order for each account: a shard's come segment by segment, whichever worker did it.
        """
        return self._partials

    @property
    def _evaluates_at_close(self) -> bool:
        """Whether a rule or the model evaluates accounts at an epoch's close."""
        return bool((self._wake >> EPOCH) & 1 or self.workers[0].record["scoring"])

    def close(self) -> Contributions:
        """Close the open epoch; return what these shards contribute to the next one."""
        active = newcomers = 0
        if self._evaluates_at_close and self.workers[0].record["census"]:
            self._each(
                lambda number: epoch_close.count_active(self.shards, self.workers[number].begin())
            )
            active, newcomers = (
                sum(int(worker.record[name]) for worker in self.workers)
                for name in ("active_n", "newcomers_n")
            )
        # In the order of a dump: said again after a restart, it is the same.
        deltas = _joined(self.partials(), layout.DELTA)
        ordered = np.zeros(deltas.size, layout.DELTA)
        sort_by_shard(deltas, ordered)
        return Contributions((ordered,), active, newcomers)

    def open(
        self, epoch: int, contributed: Sequence[Contributions], linked: Any = _NOBODY
    ) -> Any:  # fmt: skip
        """Open an epoch after another is closed; return hits of accounts re-evaluated.

        What all shards contributed to the closed one is merged first, those of one account in their
        order. Then the accounts touched in the closed epoch are re-evaluated where the reputation
        of their network, block, device or client changed, and so are the newcomers on an entity of
        a restricted account, and `linked`, the accounts whose operator changed (slots, int64). An
        epoch without account events merges nothing, so it can be skipped.
        """
        closed, partials = self.epoch, [part for each in contributed for part in each.deltas]
        for partial in partials:
            merge_contributions(
                partial, partial.size, self.entities.records, self.newcomers.records,
                self.people.records, closed,
            )  # fmt: skip
        self._partials = []
        self._begin_epoch(epoch)
        if self._evaluates_at_close:
            self._each(lambda number: self._re_evaluate_touched(self.workers[number], closed))
            beside = self._own_of(newcomers_beside(partials, self.newcomers.records))
            self._re_evaluate_newcomers(beside, closed)
        linked = self._own_of(linked)
        if (self._wake >> EPOCH) & 1 and linked.size:
            self._re_evaluate_linked(linked, closed)
        if self.policy.newcomers:
            active = sum(each.active for each in contributed)
            self.newcomer_share.add(closed, active, sum(each.newcomers for each in contributed))
            self._weigh_newcomers()
        for worker in self.workers:
            worker.record["touched_n"] = 0
        self._begin(-1)
        self._partials = [worker.take("deltas") for worker in self.workers]
        return self._take_hits()

    def _own_of(self, slots: Any) -> Any:
        """Return the slots that are of these shards."""
        return slots[self.own[slots % layout.SHARDS]]

    def _re_evaluate_touched(self, worker: Worker, closed: int) -> None:
        w = worker.begin()
        while not epoch_close.re_evaluate_touched(self.shards, w, closed):
            self.grow(int(w["at_shard"]), worker)

    def _re_evaluate_newcomers(self, slots: Any, closed: int) -> None:
        w = self.workers[0].begin()
        while not epoch_close.re_evaluate_newcomers(self.shards, w, slots, closed, self.last):
            self.grow(int(w["at_shard"]), self.workers[0])

    def _re_evaluate_linked(self, slots: Any, closed: int) -> None:
        w = self.workers[0].begin()
        while not epoch_close.re_evaluate_linked(self.shards, w, slots, closed, self.last):
            self.grow(int(w["at_shard"]), self.workers[0])

    def used_rows(self) -> Iterator[Any]:
        """Return the rows of the accounts of each shard (dtype ROW); not to be written to."""
        return (self.rows[s].records[: self._used(s)] for s in self.held)

    def row_of(self, slot: int) -> Any:
        """Return the row of one account (dtype ROW); not to be written to."""
        return self.rows[slot % layout.SHARDS].records[slot // layout.SHARDS]

    def values_of(self, slot: int) -> Any:
        """Return the features of one account at its clock (float64, in catalog order)."""
        worker = self.workers[0]
        kernel.compute_values(worker.record, self.shards[slot % layout.SHARDS], slot)
        return worker.values.copy()

    def lane_of(self, slot: int) -> int:
        """Return the lane that an administrator declared for one account (code in LANES)."""
        return self._of_rare(slot, "lane")

    def credibility_of(self, slot: int) -> float:
        """Return what complaints of one account weigh by its record: 1 is one without any."""
        person = self.people.records[slot]
        own = credibility(int(person["confirmed"]), int(person["refuted"]))
        return float(own / credibility(0, 0))

    def refused_of(self, slot: int) -> int:
        """Return how many events of one account its enforcement refused, or would have."""
        return self._of_rare(slot, "refused")

    def _of_rare(self, slot: int, name: str) -> int:
        at = int(self.row_of(slot)["rare"])
        return int(self.rares[slot % layout.SHARDS].records[at - 1][name]) if at else 0

    def nbytes(self) -> dict[str, int]:
        """Return the bytes in use by rows, rare rows, pairs (whole tables) and shared state."""
        rares = int(self.shards["rare_n"].sum()) * layout.RARE.itemsize
        return {
            "rows": sum(map(self._used, self.held)) * layout.ROW.itemsize,
            "rares": rares,
            "pairs": sum(table.nbytes for table in self.pairs),
            "pairs_known": int(self.shards["pair_n"].sum()),
            "people": self.accounts * layout.PERSON.itemsize,
            "sources": self.accounts * layout.SOURCE.itemsize if self._terms else 0,
        }

    def _used(self, s: int) -> int:
        """Return how many accounts of a shard there are."""
        return len(range(s, self.accounts, layout.SHARDS))

    def dump(self) -> dict[str, Any]:
        """Return the state as named arrays, the open epoch included: what is shared, and shards."""
        arrays = self.dump_shared()
        deltas = _joined(self.partials(), layout.DELTA)
        touched = np.concatenate([worker.touches() for worker in self.workers])
        deltas_of = _by_shard(deltas, deltas["shard"])
        touched_of = _by_shard(touched, touched % layout.SHARDS)
        for s in self.held:
            arrays |= {
                f"rows{s}": self.rows[s].records[: self._used(s)],
                f"rares{s}": self.rares[s].records[: self.shards[s]["rare_n"]],
                f"pairs{s}": self.pairs[s],
                f"deltas{s}": deltas_of[s],
                f"touched{s}": touched_of[s],
            }
            if self._terms:
                arrays[f"sources{s}"] = self.sources.records[s : self.accounts : layout.SHARDS]
        return arrays

    def dump_shared(self) -> dict[str, Any]:
        """Return what every core holds alike: the position in the log, and the shared state."""
        return {
            "numbers": np.array([self.epoch, self.accounts, self.first, self.last]),
            "people": self.people.records[: self.accounts],
            "entities": self.entities.records,
            "newcomers": self.newcomers.records,
            "newcomer_share": self.newcomer_share.dump(),
        }

    def load(self, arrays: dict[str, Any]) -> None:
        """Restore the state from dumps that hold these shards, on any number of workers."""
        self.epoch, self.accounts, first, self.last = (int(n) for n in arrays["numbers"])
        self.fit(self.accounts, arrays["entities"].size)
        self.people.hold(arrays["people"])
        self.entities.hold(arrays["entities"])
        self.newcomers.hold(arrays["newcomers"])
        self.newcomer_share.load(arrays.get("newcomer_share"))
        for s in self.held:
            self._load_shard(s, arrays)
        self._point()
        self._partials = [np.concatenate([arrays[f"deltas{s}"] for s in self.held])]
        self._share_out(np.concatenate([arrays[f"touched{s}"] for s in self.held]))
        self.start(self.epoch)
        self._begin(first)

    def _load_shard(self, s: int, arrays: dict[str, Any]) -> None:
        rows, rares = arrays[f"rows{s}"], arrays[f"rares{s}"]
        self.rows[s].hold(rows)
        self.rares[s].hold(rares)
        self.pairs[s], self.shards[s]["pair_n"] = load_table(
            arrays[f"pairs{s}"], self.salts, rows.size, self.accounts
        )
        self.shards[s]["rare_n"] = rares.size
        if self._terms:
            # Before sources were declared, nobody noted whose accounts these are.
            unknown = np.full(rows.size, layout.SEVERAL, layout.SOURCE)
            own = arrays.get(f"sources{s}", unknown)
            self.sources.records[s : self.accounts : layout.SHARDS] = own

    def _share_out(self, touched: Any) -> None:
        """Distribute the open epoch's touched accounts over the workers."""
        n = len(self.workers)
        for number, worker in enumerate(self.workers):
            mine = touched[(touched % layout.SHARDS) % n == number]
            worker.make_room(mine.size)
            worker.touched[: mine.size] = mine
            worker.record["touched_n"] = mine.size
