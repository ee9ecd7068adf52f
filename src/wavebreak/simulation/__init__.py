"""The simulator: people, campaigns and innocents as a stream of events that never happened."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from wavebreak.errors import UsageError
from wavebreak.simulation.attackers import CAMPAIGNS, Planned
from wavebreak.simulation.background_trace import load
from wavebreak.simulation.personas import INNOCENTS
from wavebreak.simulation.random_worlds import draw, draw_planted
from wavebreak.simulation.world import Operation, Plan, World, live, planted, write

__all__ = ["CAMPAIGNS", "INNOCENTS", "World", "draw", "draw_planted", "simulate", "write"]

LEAST = 10
"""Fewest accounts of a persona, however few people there are."""

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
    for the default); `innocents` by name, "all" for every one. With a `background` (a file of
    events) campaigns are planted among its accounts instead, from a tenth of its span on.
    The same arguments give the same bytes. Raises UsageError for an unknown name or numbers that
    do not go together.

    >>> world = simulate(people=50, days=0.1, campaigns=[("blast", 1)], seed=7)
    >>> sorted({label for _, label, _, _ in world.labels})
    ['abusive', 'benign']
    """
    _check(people, days, innocents, background)
    chosen = [_campaign(name, accounts) for name, accounts in campaigns]
    about: dict[str, Any] = {
        "people": people,
        "days": days,
        "start_ms": start_ms,
        "seed": seed,
        "background": background and str(background),
        "campaigns": [asdict(c) for c in chosen],
    }
    if background is not None:
        return planted(load(background), tuple(map(Operation, chosen)), days, seed, about)
    personas = [INNOCENTS[name]() for name in _innocents(innocents)]
    each = tuple((p, max(LEAST, int(people * p.per_person))) for p in personas)
    plan = Plan(people, days, start_ms, each, tuple(map(Operation, chosen)))
    return live(plan, seed, about, progress)


def _check(people: int, days: float, innocents: Sequence[str], background: Path | None) -> None:
    if background is not None and innocents:
        raise UsageError(
            "innocents cannot be planted into a background", fix="leave --innocents out"
        )
    if people < 1 or not days > 0:
        raise UsageError("people and days must be above zero", fix="say --people 1000 --days 1")


def _campaign(name: str, accounts: int | None) -> Planned:
    if name not in CAMPAIGNS:
        raise UsageError("that campaign is not known", fix=f"choose from {', '.join(CAMPAIGNS)}")
    if accounts is None:
        return CAMPAIGNS[name]
    if accounts < 1:
        raise UsageError("a campaign has at least one account", fix=f"say {name}:20")
    return replace(CAMPAIGNS[name], accounts=accounts)


def _innocents(names: Sequence[str]) -> list[str]:
    if "all" in names:
        return list(INNOCENTS)
    if unknown := [name for name in names if name not in INNOCENTS]:
        raise UsageError(
            f"{len(unknown)} of the innocents are not known",
            fix=f"say all, or choose from {', '.join(INNOCENTS)}",
        )
    return list(dict.fromkeys(names))
