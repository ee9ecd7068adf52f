"""The simulator: people, campaigns and innocents as a stream of events that never happened."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from wavebreak.errors import UsageError
from wavebreak.simulator.campaigns import CAMPAIGNS, Campaign
from wavebreak.simulator.chat import Style
from wavebreak.simulator.groups import GroupHabits, Groups
from wavebreak.simulator.innocents import INNOCENTS, Persona
from wavebreak.simulator.life import Habits, Life
from wavebreak.simulator.log import Log, Pool
from wavebreak.simulator.newcomers import Arrival, arrive
from wavebreak.simulator.people import ALWAYS, Society, populate
from wavebreak.simulator.places import DAY
from wavebreak.simulator.scene import Roll, Scene
from wavebreak.simulator.world import World

__all__ = ["CAMPAIGNS", "INNOCENTS", "World", "simulate"]

START_MS = 1_767_225_600_000
"""2026-01-01T00:00Z, where a simulation starts unless told otherwise."""


def simulate(
    *,
    people: int,
    days: float,
    campaigns: Sequence[tuple[str, int | None]] = (),
    innocents: Sequence[str] = (),
    background: Path | None = None,
    seed: int = 0,
    start_ms: int = START_MS,
    progress: Callable[[float], None] | None = None,
) -> World:
    """Plan a world and return it; its events are made while its batches are read.

    `people` ordinary people over `days` from `start_ms`; `campaigns` as (name, accounts or None
    for the default); `innocents` by name, "all" for every one. The same arguments give the same
    bytes. Raises UsageError for an unknown name or numbers that do not go together.

    >>> world = simulate(people=50, days=0.1, campaigns=[("blast", 1)], seed=7)
    >>> sorted({label for _, label, _, _ in world.labels})
    ['abusive', 'benign']
    """
    _check(people, days)
    chosen = [_campaign(name, accounts) for name, accounts in campaigns]
    personas = [INNOCENTS[name]() for name in _innocents(innocents)]
    each = max(10, people // 100)
    rng = np.random.default_rng(seed)
    start, end = start_ms, start_ms + int(days * DAY)
    style, pool, roll = Style(), Pool(), Roll(seed)
    everyone = people + sum(each for persona in personas if persona.lives)
    roll.add(everyone, "benign", "person")
    society = Society()
    span = (start, end, DAY)
    folk = populate(rng, pool, everyone, society, span, style.mean_length())
    scene = Scene(rng, Log(), pool, roll, folk, start, end)
    groups = Groups(scene, GroupHabits())
    newcomers = np.flatnonzero(folk.born != ALWAYS)
    for persona in personas:
        persona.play(scene, each)
    arrive(scene, newcomers, style, Arrival())
    for place, campaign in enumerate(chosen):
        campaign.play(scene, f"{campaign.name}-{place + 1}")
    life = Life(scene, groups, style, Habits())
    labels = roll.labels()
    about = {
        "people": people,
        "days": days,
        "start_ms": start_ms,
        "seed": seed,
        "background": None,
        "campaigns": [{"name": c.name, "tactic": c.tactic} | _numbers(c) for c in chosen],
        "innocents": [{"name": p.name, "accounts": each} | _numbers(p) for p in personas],
        "society": asdict(society),
        "accounts": _counts(labels),
    }
    return World(labels, about, scene, life, scene.log.flush(), seed, progress)


def _check(people: int, days: float) -> None:
    if people < 1 or not days > 0:
        raise UsageError("people and days must be above zero", fix="say --people 1000 --days 1")


def _campaign(name: str, accounts: int | None) -> Campaign:
    if name not in CAMPAIGNS:
        raise UsageError("that campaign is not known", fix=f"choose from {', '.join(CAMPAIGNS)}")
    campaign: Any = CAMPAIGNS[name]()
    if accounts is None:
        return campaign  # type: ignore[no-any-return]
    if accounts < 1:
        raise UsageError("a campaign has at least one account", fix=f"say {name}:20")
    return replace(campaign, accounts=accounts)  # type: ignore[no-any-return]


def _innocents(names: Sequence[str]) -> list[str]:
    if "all" in names:
        return list(INNOCENTS)
    if unknown := [name for name in names if name not in INNOCENTS]:
        raise UsageError(
            f"{len(unknown)} of the innocents are not known",
            fix=f"say all, or choose from {', '.join(INNOCENTS)}",
        )
    return list(dict.fromkeys(names))


def _numbers(recipe: Campaign | Persona) -> dict[str, Any]:
    """Return a recipe's parameters."""
    return asdict(recipe)  # type: ignore[call-overload, no-any-return]


def _counts(labels: list[tuple[str, str, str, str]]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for _, _, family, _ in labels:
        counts[family] = counts.get(family, 0) + 1
    return counts
