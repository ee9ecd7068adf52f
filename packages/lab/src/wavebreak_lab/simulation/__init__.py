"""Simulated messaging platforms: people, campaigns and benign personas as a stream of events."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from wavebreak.errors import UsageError
from wavebreak_lab.simulation.attackers import (
    APP_CAMPAIGNS,
    CALL_CAMPAIGNS,
    CAMPAIGNS,
    EVERY_CAMPAIGN,
    ROOM_CAMPAIGNS,
    Campaign,
    RoomCampaign,
)
from wavebreak_lab.simulation.background_trace import load_trace
from wavebreak_lab.simulation.calls import CallHabits
from wavebreak_lab.simulation.contact_requests import RequestHabits
from wavebreak_lab.simulation.personas import (
    APP_FIRMS,
    EVERY_PERSONA,
    PERSONAS,
    ROOM_PERSONAS,
    Persona,
)
from wavebreak_lab.simulation.random_platforms import random_platform, random_platform_on_trace
from wavebreak_lab.simulation.world import (
    Operation,
    Plan,
    World,
    simulate_on_trace,
    simulate_plan,
    write,
)

__all__ = [
    "APP_CAMPAIGNS",
    "APP_FIRMS",
    "CAMPAIGNS",
    "EVERY_CAMPAIGN",
    "EVERY_PERSONA",
    "PERSONAS",
    "ROOM_CAMPAIGNS",
    "ROOM_PERSONAS",
    "World",
    "random_platform",
    "random_platform_on_trace",
    "simulate",
    "write",
]

MIN_PERSONA_ACCOUNTS = 10
"""Fewest accounts of a persona, however few people there are."""

_KNOWN_PERSONAS: dict[str, type[Persona]] = {**EVERY_PERSONA, **APP_FIRMS, **ROOM_PERSONAS}

START_MS = 1_767_225_600_000
"""Default start of a simulation: 2026-01-01T00:00Z."""


def simulate(
    *,
    people: int,
    days: float,
    campaigns: Sequence[tuple[str, int | None]] = (),
    personas: Sequence[str] = (),
    background: Path | None = None,
    seed: int = 0,
    start_ms: int = START_MS,
    requests: bool = False,
    calls: bool = False,
    progress: Callable[[float], None] | None = None,
) -> World:
    """Simulate a platform; its events are generated while its batches are read.

    The same arguments give the same bytes.

    Args:
        people: Number of ordinary people.
        days: Length of the simulation in days.
        campaigns: Campaigns as (name, accounts); None for the campaign's default size.
        personas: Benign personas by name; "all" for every one but the cohorts, the firms on the
            business app and the people of public rooms.
        background: A file of events. The campaigns then run among its accounts, from a tenth of
            its time span on, and no people are simulated.
        seed: Seed of every random draw.
        start_ms: Start of the simulation, milliseconds since 1970.
        requests: Chats open by a request for contact, as on platforms without phone numbers.
        calls: People call those they talk with; a log without it has calls of campaigns alone.
        progress: Called with the share of the events that is done.

    Returns:
        The world: labels, parameters, and batches of events.

    Raises:
        UsageError: An unknown name, or arguments that contradict each other.

    >>> world = simulate(people=50, days=0.1, campaigns=[("blast", 1)], seed=7)
    >>> sorted({label for _, label, _, _ in world.labels})
    ['abusive', 'benign']
    """
    _check_arguments(people, days, personas, background, requests=requests, calls=calls)
    chosen = [_resolve_campaign(name, accounts) for name, accounts in campaigns]
    about: dict[str, Any] = {
        "people": people,
        "days": days,
        "start_ms": start_ms,
        "seed": seed,
        "background": background and str(background),
        "campaigns": [asdict(c) for c in chosen],
    }
    if background is not None:
        return simulate_on_trace(
            load_trace(background), tuple(map(Operation, chosen)), days, seed, about
        )
    chosen_personas = [_KNOWN_PERSONAS[name]() for name in _resolve_personas(personas)]
    each = tuple(
        (p, max(MIN_PERSONA_ACCOUNTS, int(people * p.per_person))) for p in chosen_personas
    )
    plan = Plan(
        people,
        days,
        start_ms,
        each,
        tuple(map(Operation, chosen)),
        requests=RequestHabits() if requests else None,
        calls=CallHabits() if calls else None,
    )
    if requests:
        about["requests"] = asdict(RequestHabits())
    if calls:
        about["calls"] = asdict(CallHabits())
    return simulate_plan(plan, seed, about, progress)


def _check_arguments(
    people: int,
    days: float,
    personas: Sequence[str],
    background: Path | None,
    *,
    requests: bool,
    calls: bool,
) -> None:
    if background is not None and requests:
        raise UsageError("requests need simulated people, not a background", fix="omit --requests")
    if background is not None and calls:
        raise UsageError("calls need simulated people, not a background", fix="omit --calls")
    if background is not None and personas:
        raise UsageError("personas need simulated people, not a background", fix="omit --personas")
    if people < 1 or not days > 0:
        raise UsageError(
            "people and days must be above zero", fix="give for example --people 1000 --days 1"
        )


def _resolve_campaign(name: str, accounts: int | None) -> Campaign | RoomCampaign:
    known: dict[str, Campaign | RoomCampaign] = {
        **EVERY_CAMPAIGN, **CALL_CAMPAIGNS, **APP_CAMPAIGNS, **ROOM_CAMPAIGNS
    }  # fmt: skip
    if name not in known:
        raise UsageError("unknown campaign", fix=f"choose from {', '.join(known)}")
    if accounts is None:
        return known[name]
    if accounts < 1:
        raise UsageError("a campaign needs at least one account", fix=f"give {name}:20")
    return replace(known[name], accounts=accounts)


def _resolve_personas(names: Sequence[str]) -> list[str]:
    if "all" in names:
        return list(PERSONAS)
    if unknown := [name for name in names if name not in _KNOWN_PERSONAS]:
        raise UsageError(
            f"{len(unknown)} unknown personas",
            fix=f"give all, or choose from {', '.join(_KNOWN_PERSONAS)}",
        )
    return list(dict.fromkeys(names))
