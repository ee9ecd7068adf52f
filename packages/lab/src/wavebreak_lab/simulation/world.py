"""A simulated world: its plan, its labels, and its events as a stream of batches.

A plan holds everything that is decided before anything happens: people, personas, operators, and
which event types and fields the platform's log carries. `write` stores a world as a directory.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wavebreak import io
from wavebreak.csv_files import CsvWriter
from wavebreak.durations import DAY_MS, MINUTE_MS
from wavebreak.errors import FileError
from wavebreak.schema import coverage
from wavebreak.schema.events import TYPES, WIRE_SCHEMA
from wavebreak_lab.simulation import log
from wavebreak_lab.simulation.attackers import Campaign, RoomCampaign
from wavebreak_lab.simulation.background_trace import (
    FIRST_ID,
    NAME_SEED_OFFSET,
    Background,
    labels_with_events,
    merge_campaigns,
    to_record_batches,
)
from wavebreak_lab.simulation.behaviour import (
    DEFAULT_CONTENT,
    TOLERATED,
    UNWANTED,
    ConversationStyle,
    MessageContent,
    RecipientBehaviour,
)
from wavebreak_lab.simulation.calls import CallHabits, Calls
from wavebreak_lab.simulation.contact_requests import ContactRequests, RequestHabits
from wavebreak_lab.simulation.context import AccountRegistry, Label, SimulationContext
from wavebreak_lab.simulation.daily_life import DailyLife, Habits
from wavebreak_lab.simulation.groups import GroupHabits, Groups
from wavebreak_lab.simulation.newcomers import NewcomerBehaviour, add_newcomers
from wavebreak_lab.simulation.personas import Persona
from wavebreak_lab.simulation.population import (
    BEFORE_START,
    Society,
    draw_population,
    placeholder_people,
)

BATCH = 65_536
"""Events a batch unless another size is asked for."""

LEAD = 5 * MINUTE_MS
"""Nothing that starts in a window has an event further ahead of it than this."""

_EVENTS_A_PERSON_AND_DAY = 62  # measured with the shipped parameters; only sizes the windows
_EVENTS_A_WINDOW = 600_000  # so that memory stays flat: about 100 bytes an event
_WINDOWS = tuple(m * MINUTE_MS for m in (10, 15, 30, 60, 120, 240, 480))


@dataclass(frozen=True, slots=True)
class World:
    """A simulated log.

    `labels`: (account, label, family, operator) of every account that acts; `about`: parameters
    and counts, ready for JSON; `events`: makes the events, a number of them at a time; `timeline`:
    the simulation behind them (None on a background trace); `compromised_at`: when
    accounts of honest people were hijacked (milliseconds).
    """

    labels: list[Label]
    about: dict[str, Any]
    events: Callable[[int], Iterator[pa.RecordBatch]]
    timeline: Timeline | None = None
    compromised_at: dict[str, int] = field(default_factory=dict)

    def batches(self, size: int = BATCH) -> Iterator[pa.RecordBatch]:
        """Yield the events as batches of WIRE_SCHEMA, sorted by (ts, id), at most `size` each.

        Every call yields the same events.
        """
        return self.events(size)


@dataclass(frozen=True, slots=True)
class Timeline:
    """Everyday activity and planned events, generated window by window: memory stays flat.

    `groups`: how many groups were planned, so that names go on from there each time; `requests`:
    how chats open, where that takes a request; `calls`: how people call, where they can.
    """

    sim: SimulationContext
    life: DailyLife
    planned: list[log.EventBlock]
    seed: int
    groups: int
    progress: Callable[[float], None] | None = None
    requests: RequestHabits | None = None
    calls: CallHabits | None = None

    def events(self, size: int) -> Iterator[pa.RecordBatch]:
        """Yield all events in order."""
        names, sim, blocks = self.sim.registry.names(), self.sim, self.blocks
        if self.requests is not None:
            blocks = partial(ContactRequests(sim, self.requests, self.seed).apply, blocks)
        if self.calls is not None:
            blocks = partial(Calls(sim, self.calls, self.seed).apply, blocks)
        for block in blocks():
            yield from log.to_batches(block, names, self.sim.pool.arrow(), size)

    def blocks(self) -> Iterator[log.EventBlock]:
        """Yield the events in order, as columns of numbers: a block a window of time.

        Requests for contact and calls of people are not among them yet.
        """
        sim = self.sim
        sim.log = log.EventLog(
            max((int(b.columns["id"].max()) + 1 for b in self.planned), default=0)
        )
        sim.groups = self.groups
        pile = log.EventBuffer(self.planned)
        step = _window_length(len(sim.people))
        for number, low in enumerate(range(sim.start, sim.end, step)):
            high = min(low + step, sim.end)
            sim.rng = np.random.default_rng([self.seed, number])
            self.life.window(sim, low, high)
            certain = high if high == sim.end else high - LEAD
            yield pile.until(certain, sim.log.flush()).split(sim.start)[1]
            if self.progress:
                self.progress((high - sim.start) / sim.span)


def _window_length(people: int) -> int:
    """Return the length of a window, so that about the same number of events falls into each."""
    wanted = _EVENTS_A_WINDOW / people / _EVENTS_A_PERSON_AND_DAY * DAY_MS
    return max((w for w in _WINDOWS if w <= wanted), default=_WINDOWS[0])


def write(world: World, out: Path, *, form: str = "parquet") -> int:
    """Write a world into a directory; return how many events it has.

    Files: `events.FORM` (parquet, jsonl, or another format by its suffix, as jsonl.zst),
    `events.profile.json`, `labels.csv` and `world.json`. Raises FileError where it cannot.
    """
    events = out / f"events.{form}"
    try:
        out.mkdir(parents=True, exist_ok=True)
        seen: list[coverage.Profile] = []
        written = io.write(events, _collect_profiles(world.batches(), seen))
        coverage.save(seen[0], coverage.sidecar_path(events))
        with (out / "labels.csv").open("w", encoding="utf-8", newline="") as file:
            writer = CsvWriter(file, exact=True, line_end="\n")
            writer.write(("account", "label", "family", "operator"))
            writer.write_all(world.labels)
        about = world.about | {"events": written}
        (out / "world.json").write_text(json.dumps(about, indent=1) + "\n", "utf-8")
    except OSError as error:
        raise FileError(
            f"{out} cannot be written: {error.strerror}", fix="check the directory and its space"
        ) from None
    return written


def _collect_profiles(
    batches: Iterator[pa.RecordBatch], seen: list[coverage.Profile]
) -> Iterator[pa.RecordBatch]:
    """Pass batches on; at their end, put the profile of all of them into `seen`."""
    parts = []
    for batch in batches:
        parts.append(coverage.measure([_profile_columns(batch)]))
        yield batch
    seen.append(_sum_profiles(parts))


def _profile_columns(wire: pa.RecordBatch) -> pa.RecordBatch:
    """Return the columns that a profile counts: types as codes, personal fields by log names.

    A profile counts presence only, so nothing needs to cross the privacy edge for it.
    """
    codes = pc.index_in(wire.column("type"), pa.array(TYPES)).cast(pa.uint8())
    columns = {name: wire.column(name) for name in wire.schema.names}
    columns |= {"type": codes, "number": columns["phone"], "address": columns["ip"]}
    return pa.RecordBatch.from_pydict(columns)


def _sum_profiles(parts: list[coverage.Profile]) -> coverage.Profile:
    """Add profiles up, each counting as many events as it was learned from."""
    types: dict[str, int] = {}
    fields: dict[str, int] = {}
    for part in parts:
        here = {kind: round(share * part.events) for kind, share in part.types.items()}
        for kind, count in here.items():
            types[kind] = types.get(kind, 0) + count
        for name, share in part.fields.items():
            count = round(share * here[name.rpartition(".")[0]])
            fields[name] = fields.get(name, 0) + count
    events = sum(part.events for part in parts)
    step = int(np.gcd.reduce([part.resolution_ms for part in parts] or [1]))
    return coverage.Profile(
        {kind: count / events for kind, count in types.items()},
        {name: count / types[name.rpartition(".")[0]] for name, count in fields.items()},
        step,
        events,
    )


@dataclass(frozen=True, slots=True)
class Coverage:
    """Which event types and fields ("message.sent.size") are left out; times in steps of `step_ms`.

    A field without a dot is left out of every type. `verification`: the one way in which the
    platform verifies all accounts ("": as simulated, by several).
    """

    without_types: frozenset[str] = frozenset()
    without_fields: frozenset[str] = frozenset()
    step_ms: int = 1
    verification: str = ""

    def cover(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Pass events on as far as such a log carries them, in the order in which they came."""
        for batch in batches:
            left = self._fields(self._types(batch))
            if left.num_rows:
                yield left

    def _types(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        if not self.without_types:
            return batch
        gone = pc.is_in(batch.column("type"), pa.array(sorted(self.without_types)))
        return batch.filter(pc.invert(gone))

    def _fields(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        arrays = {name: batch.column(name) for name in batch.schema.names}
        if self.step_ms > 1:
            arrays["ts"] = pc.multiply(pc.divide(arrays["ts"], self.step_ms), self.step_ms)
        if self.verification:
            verified = arrays["verification"]
            only = pa.scalar(self.verification, verified.type)
            arrays["verification"] = pc.if_else(verified.is_valid(), only, verified)
        for path in sorted(self.without_fields):
            kind, _, name = path.rpartition(".")
            column = arrays[name]
            none = pa.scalar(None, column.type)
            if kind:
                arrays[name] = pc.if_else(pc.equal(batch.column("type"), kind), none, column)
            else:
                arrays[name] = pa.nulls(batch.num_rows, column.type)
        return pa.RecordBatch.from_pydict(arrays, schema=batch.schema)


FULL_COVERAGE = Coverage()


@dataclass(frozen=True, slots=True)
class Operation:
    """One operator: its campaign, what it writes (`content`), and how that is met (`behaviour`).

    `list_share`: the share of people whose numbers it has; `list_number`: operators with the same
    one have the same list (None: anyone may be written to).
    """

    campaign: Campaign | RoomCampaign
    behaviour: RecipientBehaviour = UNWANTED
    content: MessageContent = DEFAULT_CONTENT
    list_share: float = 1.0
    list_number: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan of a world: time span, people, personas, operators, coverage of the log.

    `requests`: how chats open on a platform where that takes a request (None: by a message);
    `calls`: how people call (None: the platform has no calls).
    """

    people: int
    days: float
    start_ms: int
    personas: tuple[tuple[Persona, int], ...] = ()
    operations: tuple[Operation, ...] = ()
    society: Society = field(default_factory=Society)
    style: ConversationStyle = field(default_factory=ConversationStyle)
    habits: Habits = field(default_factory=Habits)
    group_habits: GroupHabits = field(default_factory=GroupHabits)
    arrival: NewcomerBehaviour = field(default_factory=NewcomerBehaviour)
    tolerated: RecipientBehaviour = TOLERATED
    coverage: Coverage = FULL_COVERAGE
    requests: RequestHabits | None = None
    calls: CallHabits | None = None


def simulate_plan(
    plan: Plan,
    seed: int,
    about: dict[str, Any],
    progress: Callable[[float], None] | None = None,
) -> World:
    """Simulate a plan: campaigns and personas now, everyday activity while batches are read."""
    living = sum(count for persona, count in plan.personas if persona.in_population)
    sim = _sim(plan, plan.people + living, seed)
    groups = Groups(sim, plan.group_habits)
    newcomers = np.flatnonzero(sim.people.registered_at != BEFORE_START)
    parts = [persona.prepare(sim, count) for persona, count in plan.personas]
    for accounts, (persona, _) in zip(parts, plan.personas, strict=True):
        persona.play(sim, accounts)
    add_newcomers(sim, newcomers, plan.style, plan.arrival)
    run_operations(sim, plan.operations)
    life = DailyLife(sim, groups, plan.style, plan.habits)
    labels = sim.registry.labels()
    about |= {
        "personas": [
            {"name": persona.name, "accounts": count} | recipe_parameters(persona)
            for persona, count in plan.personas
        ],
        "society": asdict(plan.society),
        "accounts": count_families(labels),
    }
    timeline = Timeline(
        sim, life, sim.log.flush(), seed, sim.groups, progress, plan.requests, plan.calls
    )
    lacks, compromised_at = plan.coverage, sim.registry.compromised_at()
    if lacks == FULL_COVERAGE:
        return World(labels, about, timeline.events, timeline, compromised_at)
    return World(
        labels, about, lambda size: lacks.cover(timeline.events(size)), timeline, compromised_at
    )


def _sim(plan: Plan, people: int, seed: int) -> SimulationContext:
    start = plan.start_ms
    span = (start, start + int(plan.days * DAY_MS))
    rng, pool, registry = np.random.default_rng(seed), log.StringPool(), AccountRegistry(seed)
    registry.add(people, "benign", "person")
    folk = draw_population(
        rng, pool, people, plan.society, (*span, DAY_MS), plan.style.mean_length()
    )
    return SimulationContext(
        rng, log.EventLog(), pool, registry, folk, *span, style=plan.style, tolerated=plan.tolerated
    )


def simulate_on_trace(
    trace: Background,
    operations: tuple[Operation, ...],
    days: float,
    seed: int,
    about: dict[str, Any],
) -> World:
    """Plant campaigns among the accounts of a trace, for `days` from a tenth of its span on."""
    rng, pool, registry = (
        np.random.default_rng(seed),
        log.StringPool(),
        AccountRegistry(seed + NAME_SEED_OFFSET),
    )
    registry.name(registry.add(len(trace.accounts), "benign", "background"), trace.accounts)
    folk = placeholder_people(len(trace.accounts))
    end = max(trace.start + 1, min(trace.start + int(days * DAY_MS), trace.last))
    sim = SimulationContext(rng, log.EventLog(FIRST_ID), pool, registry, folk, trace.start, end)
    run_operations(sim, operations)
    block = log.merge_blocks(sim.log.flush()).split(trace.start)[1].split(end)[0]
    made = log.to_batches(block, registry.names(), pool.arrow(), BATCH)
    whole = merge_campaigns(trace, pa.Table.from_batches(made, schema=WIRE_SCHEMA))
    labels = labels_with_events(registry.labels(), whole, trace)
    about |= {
        "start_ms": trace.start,
        "people": len(trace.accounts),
        "accounts": count_families(labels),
    }
    return World(
        labels, about, lambda size: to_record_batches(whole, size), None, registry.compromised_at()
    )


def run_operations(sim: SimulationContext, operations: tuple[Operation, ...]) -> None:
    """Play every operator's campaign, among the people on its list."""
    lists: dict[int, log.Ints] = {}
    behaviour, content = sim.behaviour, sim.content
    for place, operation in enumerate(operations):
        campaign, number = operation.campaign, operation.list_number
        sim.behaviour, sim.content = operation.behaviour, operation.content
        if number is not None:
            if number not in lists:
                everyone = sim.draw_strangers(len(sim.people))
                wanted = max(MIN_TARGETS, int(operation.list_share * len(everyone)))
                lists[number] = everyone[:wanted]
            sim.targets = lists[number]
        campaign.play(sim, f"{campaign.name}-{place + 1}")
        sim.behaviour, sim.content, sim.targets = behaviour, content, None


MIN_TARGETS = 60
"""Fewest people on an operator's list."""


def recipe_parameters(recipe: Persona) -> dict[str, Any]:
    """Return a recipe's parameters."""
    return asdict(recipe)  # type: ignore[call-overload, no-any-return]


def plan_summary(plan: Plan) -> dict[str, Any]:
    """Return the decisions of a plan as plain JSON values."""
    lacks = plan.coverage
    summary = {
        "people": plan.people,
        "days": plan.days,
        "start_ms": plan.start_ms,
        "campaigns": [
            asdict(o.campaign)
            | {
                "behaviour": asdict(o.behaviour),
                "content": asdict(o.content),
                "list_share": o.list_share,
            }
            for o in plan.operations
        ],
        "style": asdict(plan.style),
        "habits": asdict(plan.habits),
        "group_habits": asdict(plan.group_habits),
        "arrival": asdict(plan.arrival),
        "without": sorted(lacks.without_types | lacks.without_fields),
        "step_ms": lacks.step_ms,
    }
    if lacks.verification:
        summary["verification"] = lacks.verification
    if plan.requests is not None:
        summary["requests"] = asdict(plan.requests)
    return summary


def count_families(labels: list[Label]) -> dict[str, int]:
    """Count accounts by family."""
    found: dict[str, int] = {}
    for _, _, family, _ in labels:
        found[family] = found.get(family, 0) + 1
    return found
