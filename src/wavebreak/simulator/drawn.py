"""Worlds that nobody has set up: every number drawn from wide priors (`drawn_priors`).

A model that is trained on many such worlds has met a platform like the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from wavebreak.simulator.background import load
from wavebreak.simulator.campaigns import CAMPAIGNS
from wavebreak.simulator.coverage import EVERYTHING, Coverage
from wavebreak.simulator.drawn_laws import draw_of, number, priors_of, shaken
from wavebreak.simulator.drawn_priors import BARE, SCARCE, STEPS_MS, WHOLE
from wavebreak.simulator.drawn_senders import operations
from wavebreak.simulator.groups import GroupHabits
from wavebreak.simulator.innocents import INNOCENTS, Persona
from wavebreak.simulator.life import Habits
from wavebreak.simulator.manners import TOLERATED, Style
from wavebreak.simulator.newcomers import Arrival
from wavebreak.simulator.people import Society
from wavebreak.simulator.places import COUNTRIES, DAY
from wavebreak.simulator.plan import Operation, Plan, live, planted, summary_of
from wavebreak.simulator.world import World

FIRST_DAY_MS = 1_735_689_600_000
"""2025-01-01T00:00Z: worlds start on some day after it."""

ROOM = 0.6
"""Share of all people who may play a part, or be born during the simulation."""


def draw(
    seed: int,
    *,
    families: Sequence[str] = (),
    coverage: Coverage | None = None,
    progress: Callable[[float], None] | None = None,
) -> World:
    """Draw a world: people, habits, personas, operators and coverage. The seed decides all.

    `families`: campaigns to choose operators from (all of CAMPAIGNS unless given); `coverage`:
    instead of a drawn one.

    >>> world = draw(1_000)
    >>> sorted({label for _, label, _, _ in world.labels})
    ['abusive', 'benign']
    """
    plan = drawn_plan(seed, families or tuple(CAMPAIGNS))
    if coverage is not None:
        plan = replace(plan, coverage=coverage)
    return live(plan, seed, {"seed": seed} | summary_of(plan), progress)


def draw_planted(path: Path, seed: int, operators: int = 8) -> World:
    """Draw operators and plant them among the people of a trace (a file of events).

    What a trace of messages cannot show (groups filled, reports, companions) is left out. Raises
    UsageError where the trace is empty.
    """
    rng = np.random.default_rng([seed, len("planted")])
    trace = load(path)
    shown = [n for n, c in CAMPAIGNS.items() if c.sender.work == "write" and not c.sender.hijack]
    most = max(3, len(trace.accounts) // 12)
    chosen = operations(rng, _names(rng, shown, operators), most=most)
    days = number(rng, priors_of("World")["days"])
    about = {"seed": seed, "background": str(path), "days": days}
    return planted(trace, chosen, days, seed, about)


def drawn_plan(seed: int, families: Sequence[str]) -> Plan:
    """Draw the plan of a world."""
    rng = np.random.default_rng([seed, len("drawn")])
    world = priors_of("World")
    people = round(number(rng, world["people"]))
    days = round(number(rng, world["days"]), 2)
    society = replace(draw_of(rng, Society()), countries=_countries(rng))
    chosen = _names(rng, families, round(number(rng, world["operators"])))
    operators = operations(rng, chosen, max(3, people // 12), _numbers(society))
    personas = _personas(rng, people)
    society = _with_room(society, people, days, personas, operators)
    return Plan(
        people,
        days,
        FIRST_DAY_MS + int(number(rng, world["start"]) * DAY),
        personas,
        operators,
        society,
        draw_of(rng, Style()),
        draw_of(rng, Habits()),
        draw_of(rng, GroupHabits()),
        draw_of(rng, Arrival()),
        draw_of(rng, TOLERATED, "Tolerated"),
        _coverage(rng),
    )


def _numbers(society: Society) -> tuple[tuple[str, int], ...]:
    """Ranges of mobile numbers where people live."""
    shares = zip(COUNTRIES, society.countries, strict=True)
    return tuple(block for place, share in shares if share > 0 for block in place.mobile)


def _names(rng: np.random.Generator, families: Sequence[str], count: int) -> list[str]:
    """Draw campaigns, each family once before one comes twice."""
    rounds = -(-count // len(families))
    drawn = [families[k] for _ in range(rounds) for k in rng.permutation(len(families))]
    return drawn[:count]


def _countries(rng: np.random.Generator) -> tuple[float, ...]:
    """Draw where people live: in one country, or in several, in shares."""
    shares = rng.dirichlet(np.full(len(COUNTRIES), 10.0 ** rng.uniform(-1, 0.5)))
    shares[shares < 0.03] = 0.0
    return tuple((shares / shares.sum()).tolist())


def _personas(rng: np.random.Generator, people: int) -> tuple[tuple[Persona, int], ...]:
    """Draw every persona: how many accounts it has, and its numbers."""
    each = priors_of("World")["persona"]
    size = (people / 1000) ** 0.5
    drawn = []
    for kind in INNOCENTS.values():
        persona: Any = draw_of(rng, kind())
        if hasattr(persona, "arrival"):
            persona = replace(persona, arrival=shaken(rng, persona.arrival, frozenset()))
        drawn.append((persona, max(2, round(size * number(rng, each)))))
    return tuple(drawn)


def _with_room(
    society: Society,
    people: int,
    days: float,
    personas: tuple[tuple[Persona, int], ...],
    operators: tuple[Operation, ...],
) -> Society:
    """Keep enough settled people to play all parts: as few newcomers as that takes."""
    parts = sum(count for _, count in personas)
    parts += sum(o.campaign.accounts for o in operators)
    room = max(0.05, ROOM - parts / (people + parts))
    return replace(society, newcomers=min(society.newcomers, room / days))


def _coverage(rng: np.random.Generator) -> Coverage:
    """Draw what the platform's log lacks."""
    kind = rng.random()
    steps, shares = zip(*STEPS_MS, strict=True)
    step = int(rng.choice(steps, p=shares))
    if kind < WHOLE:
        return EVERYTHING
    bare = kind > 1 - BARE
    lacking = [
        what for whats, chance in SCARCE.values() for what in whats if rng.random() < chance or bare
    ]
    if bare and rng.random() < 0.5:  # the traces have groups, or sizes, or neither
        lacking = [what for what in lacking if what not in _SPARED[int(rng.integers(2))]]
    types = frozenset(what for what in lacking if what in _TYPES)
    return Coverage(types, frozenset(lacking) - types, step)


_TYPES = frozenset(what for whats, _ in SCARCE.values() for what in whats if what.count(".") == 1)
_SPARED: tuple[tuple[str, ...], ...] = (
    SCARCE["groups"][0],
    ("message.sent.size", "message.sent.media"),
)
