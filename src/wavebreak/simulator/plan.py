"""A plan of a world: everything that is decided before anything happens; and how it is lived."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from wavebreak.events import WIRE_SCHEMA
from wavebreak.simulator.background import (
    APART,
    FIRST_ID,
    Background,
    acting,
    in_batches,
    plant,
)
from wavebreak.simulator.campaigns import Planned
from wavebreak.simulator.coverage import EVERYTHING, Coverage
from wavebreak.simulator.groups import GroupHabits, Groups
from wavebreak.simulator.innocents import Persona
from wavebreak.simulator.life import Habits, Life
from wavebreak.simulator.log import Ints, Log, Pool, merge, to_batches
from wavebreak.simulator.manners import PITCH, TOLERATED, UNWANTED, Mood, Pitch, Style
from wavebreak.simulator.newcomers import Arrival, arrive
from wavebreak.simulator.people import ALWAYS, Society, bystanders, populate
from wavebreak.simulator.places import DAY
from wavebreak.simulator.scene import Label, Roll, Scene
from wavebreak.simulator.world import BATCH, Days, World


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
