"""A simulated world: its labels, what it was made of, and its events as a stream.

A world on disk: events, their profile, labels, and what the world was made of.

What a platform's log does not carry: event types, fields, the fine part of times.

A plan of a world: everything that is decided before anything happens; and how it is lived.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wavebreak import io
from wavebreak.errors import FileError
from wavebreak.schema import coverage
from wavebreak.schema.events import TYPES, WIRE_SCHEMA
from wavebreak.simulation.attackers import Planned
from wavebreak.simulation.background_trace import (
    APART,
    FIRST_ID,
    Background,
    acting,
    in_batches,
    plant,
)
from wavebreak.simulation.behaviour import PITCH, TOLERATED, UNWANTED, Mood, Pitch, Style
from wavebreak.simulation.daily_life import Habits, Life
from wavebreak.simulation.geography import DAY, MINUTE
from wavebreak.simulation.groups import GroupHabits, Groups
from wavebreak.simulation.log import Block, Ints, Log, Pile, Pool, merge, to_batches
from wavebreak.simulation.newcomers import Arrival, arrive
from wavebreak.simulation.personas import Persona
from wavebreak.simulation.population import ALWAYS, Society, bystanders, populate
from wavebreak.simulation.scene import Label, Roll, Scene

BATCH = 65_536
"""Events a batch unless another size is asked for."""

LEAD = 5 * MINUTE
"""Nothing that starts in a window has an event further ahead of it than this."""

_EVENTS_A_PERSON_AND_DAY = 62  # measured with the shipped parameters; only sizes the windows
_EVENTS_A_WINDOW = 600_000  # so that memory stays flat: about 100 bytes an event
_WINDOWS = tuple(m * MINUTE for m in (10, 15, 30, 60, 120, 240, 480))


@dataclass(frozen=True, slots=True)
class World:
    """A simulated log.

    `labels`: (account, label, family, operator) of every account that acts; `about`: parameters
    and counts, ready for JSON; `events`: makes the events, a number of them at a time; `days`: the
    life behind them, where it was simulated and not planted; `turned`: when accounts that were
    honest people's became what their label says (milliseconds).
    """

    labels: list[Label]
    about: dict[str, Any]
    events: Callable[[int], Iterator[pa.RecordBatch]]
    days: Days | None = None
    turned: dict[str, int] = field(default_factory=dict)

    def batches(self, size: int = BATCH) -> Iterator[pa.RecordBatch]:
        """Yield the events as batches of WIRE_SCHEMA, sorted by (ts, id), at most `size` each.

        Every call yields the same events.
        """
        return self.events(size)


@dataclass(frozen=True, slots=True)
class Days:
    """Everyday life round what was planned ahead, made window by window: memory stays flat.

    `groups`: how many groups were planned, so that names go on from there each time.
    """

    scene: Scene
    life: Life
    planned: list[Block]
    seed: int
    groups: int
    progress: Callable[[float], None] | None = None

    def events(self, size: int) -> Iterator[pa.RecordBatch]:
        """Yield all events in order."""
        names = self.scene.roll.names()
        for block in self.blocks():
            yield from to_batches(block, names, self.scene.pool.arrow(), size)

    def blocks(self) -> Iterator[Block]:
        """Yield all events in order, as columns of numbers: a block a window of time."""
        scene = self.scene
        scene.log = Log(max((int(b.columns["id"].max()) + 1 for b in self.planned), default=0))
        scene.groups = self.groups
        pile = Pile(self.planned)
        step = _window(len(scene.people))
        for number, low in enumerate(range(scene.start, scene.end, step)):
            high = min(low + step, scene.end)
            scene.rng = np.random.default_rng([self.seed, number])
            self.life.window(scene, low, high)
            certain = high if high == scene.end else high - LEAD
            yield pile.until(certain, scene.log.flush()).split(scene.start)[1]
            if self.progress:
                self.progress((high - scene.start) / scene.span)


def _window(people: int) -> int:
    """Return the length of a window, so that about the same number of events falls into each."""
    wanted = _EVENTS_A_WINDOW / people / _EVENTS_A_PERSON_AND_DAY * DAY
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
        written = io.write(events, _learning(world.batches(), seen))
        coverage.save(seen[0], coverage.beside(events))
        with (out / "labels.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("account", "label", "family", "operator"))
            writer.writerows(world.labels)
        about = world.about | {"events": written}
        (out / "world.json").write_text(json.dumps(about, indent=1) + "\n", "utf-8")
    except OSError as error:
        raise FileError(
            f"{out} cannot be written: {error.strerror}", fix="check the directory and its space"
        ) from None
    return written


def _learning(
    batches: Iterator[pa.RecordBatch], seen: list[coverage.Profile]
) -> Iterator[pa.RecordBatch]:
    """Pass batches on; at their end, put the profile of all of them into `seen`."""
    parts = []
    for batch in batches:
        parts.append(coverage.learn([_presence(batch)]))
        yield batch
    seen.append(_total(parts))


def _presence(wire: pa.RecordBatch) -> pa.RecordBatch:
    """Return a batch as a profile looks at it: types as codes, personal fields by their log names.

    A profile counts presence only, so nothing needs to cross the privacy edge for it.
    """
    codes = pc.index_in(wire.column("type"), pa.array(TYPES)).cast(pa.uint8())
    columns = {name: wire.column(name) for name in wire.schema.names}
    columns |= {"type": codes, "number": columns["phone"], "address": columns["ip"]}
    return pa.RecordBatch.from_pydict(columns)


def _total(parts: list[coverage.Profile]) -> coverage.Profile:
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

    A field without a dot is left out of every type.
    """

    without_types: frozenset[str] = frozenset()
    without_fields: frozenset[str] = frozenset()
    step_ms: int = 1

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
        for path in sorted(self.without_fields):
            kind, _, name = path.rpartition(".")
            column = arrays[name]
            none = pa.scalar(None, column.type)
            if kind:
                arrays[name] = pc.if_else(pc.equal(batch.column("type"), kind), none, column)
            else:
                arrays[name] = pa.nulls(batch.num_rows, column.type)
        return pa.RecordBatch.from_pydict(arrays, schema=batch.schema)


EVERYTHING = Coverage()


@dataclass(frozen=True, slots=True)
class Operation:
    """One operator: its campaign, what it writes (`pitch`), and how that is met (`mood`).

    `list_share`: the share of people whose numbers it has; `list_number`: operators with the same
    one have the same list (None: anyone may be written to).
    """

    campaign: Planned
    mood: Mood = UNWANTED
    pitch: Pitch = PITCH
    list_share: float = 1.0
    list_number: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """A world before it is lived: `days` from `start_ms`, people, personas, operators, coverage."""

    people: int
    days: float
    start_ms: int
    personas: tuple[tuple[Persona, int], ...] = ()
    operations: tuple[Operation, ...] = ()
    society: Society = field(default_factory=Society)
    style: Style = field(default_factory=Style)
    habits: Habits = field(default_factory=Habits)
    group_habits: GroupHabits = field(default_factory=GroupHabits)
    arrival: Arrival = field(default_factory=Arrival)
    tolerated: Mood = TOLERATED
    coverage: Coverage = EVERYTHING


def live(
    plan: Plan,
    seed: int,
    about: dict[str, Any],
    progress: Callable[[float], None] | None = None,
) -> World:
    """Plan people, personas and campaigns; everyday life follows while batches are read."""
    living = sum(count for persona, count in plan.personas if persona.lives)
    scene = _scene(plan, plan.people + living, seed)
    groups = Groups(scene, plan.group_habits)
    newcomers = np.flatnonzero(scene.people.born != ALWAYS)
    parts = [persona.prepare(scene, count) for persona, count in plan.personas]
    for accounts, (persona, _) in zip(parts, plan.personas, strict=True):
        persona.play(scene, accounts)
    arrive(scene, newcomers, plan.style, plan.arrival)
    operate(scene, plan.operations)
    life = Life(scene, groups, plan.style, plan.habits)
    labels = scene.roll.labels()
    about |= {
        "innocents": [
            {"name": persona.name, "accounts": count} | numbers_of(persona)
            for persona, count in plan.personas
        ],
        "society": asdict(plan.society),
        "accounts": counts(labels),
    }
    days = Days(scene, life, scene.log.flush(), seed, scene.groups, progress)
    lacks, turned = plan.coverage, scene.roll.turned()
    if lacks == EVERYTHING:
        return World(labels, about, days.events, days, turned)
    return World(labels, about, lambda size: lacks.cover(days.events(size)), days, turned)


def _scene(plan: Plan, people: int, seed: int) -> Scene:
    start = plan.start_ms
    span = (start, start + int(plan.days * DAY))
    rng, pool, roll = np.random.default_rng(seed), Pool(), Roll(seed)
    roll.add(people, "benign", "person")
    folk = populate(rng, pool, people, plan.society, (*span, DAY), plan.style.mean_length())
    return Scene(rng, Log(), pool, roll, folk, *span, style=plan.style, tolerated=plan.tolerated)


def planted(
    trace: Background,
    operations: tuple[Operation, ...],
    days: float,
    seed: int,
    about: dict[str, Any],
) -> World:
    """Plant campaigns among the accounts of a trace, for `days` from a tenth of its span on."""
    rng, pool, roll = np.random.default_rng(seed), Pool(), Roll(seed + APART)
    roll.name(roll.add(len(trace.accounts), "benign", "background"), trace.accounts)
    folk = bystanders(len(trace.accounts))
    end = max(trace.start + 1, min(trace.start + int(days * DAY), trace.last))
    scene = Scene(rng, Log(FIRST_ID), pool, roll, folk, trace.start, end)
    operate(scene, operations)
    block = merge(scene.log.flush()).split(trace.start)[1].split(end)[0]
    made = to_batches(block, roll.names(), pool.arrow(), BATCH)
    whole = plant(trace, pa.Table.from_batches(made, schema=WIRE_SCHEMA))
    labels = acting(roll.labels(), whole, trace)
    about |= {"start_ms": trace.start, "people": len(trace.accounts), "accounts": counts(labels)}
    return World(labels, about, lambda size: in_batches(whole, size), None, roll.turned())


def operate(scene: Scene, operations: tuple[Operation, ...]) -> None:
    """Let every operator play its campaign, among those whom it has numbers of."""
    lists: dict[int, Ints] = {}
    mood, pitch = scene.mood, scene.pitch
    for place, operation in enumerate(operations):
        campaign, number = operation.campaign, operation.list_number
        scene.mood, scene.pitch = operation.mood, operation.pitch
        if number is not None:
            if number not in lists:
                everyone = scene.strangers(len(scene.people))
                wanted = max(LEAST_TARGETS, int(operation.list_share * len(everyone)))
                lists[number] = everyone[:wanted]
            scene.targets = lists[number]
        campaign.play(scene, f"{campaign.name}-{place + 1}")
        scene.mood, scene.pitch, scene.targets = mood, pitch, None


LEAST_TARGETS = 60
"""Fewest people on an operator's list."""


def numbers_of(recipe: Persona) -> dict[str, Any]:
    """Return a recipe's parameters."""
    return asdict(recipe)  # type: ignore[call-overload, no-any-return]


def summary_of(plan: Plan) -> dict[str, Any]:
    """Tell what a plan decides, ready for JSON."""
    lacks = plan.coverage
    return {
        "people": plan.people,
        "days": plan.days,
        "start_ms": plan.start_ms,
        "campaigns": [
            asdict(o.campaign)
            | {"mood": asdict(o.mood), "pitch": asdict(o.pitch), "list_share": o.list_share}
            for o in plan.operations
        ],
        "style": asdict(plan.style),
        "habits": asdict(plan.habits),
        "group_habits": asdict(plan.group_habits),
        "arrival": asdict(plan.arrival),
        "without": sorted(lacks.without_types | lacks.without_fields),
        "step_ms": lacks.step_ms,
    }


def counts(labels: list[Label]) -> dict[str, int]:
    """Count accounts by family."""
    found: dict[str, int] = {}
    for _, _, family, _ in labels:
        found[family] = found.get(family, 0) + 1
    return found
