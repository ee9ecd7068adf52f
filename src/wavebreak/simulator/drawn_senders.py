"""Drawn operators: each has its own tactics, numbers, infrastructure, texts and welcome."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from wavebreak.simulator.campaigns import CAMPAIGNS, Planned
from wavebreak.simulator.drawn_laws import draw_of, number, priors_of, shaken
from wavebreak.simulator.manners import PITCH, UNWANTED
from wavebreak.simulator.operators import Enrolment
from wavebreak.simulator.people import OTHER_CLIENTS
from wavebreak.simulator.places import COUNTRIES, VIRTUAL
from wavebreak.simulator.plan import Operation
from wavebreak.simulator.senders import Sender
from wavebreak.simulator.senders.presets import TOOLS, TRAITS

KEPT = frozenset({"total", "burst_s", "register", "insist", "solve_s", "appeals", "words", "crowd"})
"""Numbers of senders that are the tactic itself, or what time costs in a simulation."""

SHAPING = (1, 3, 4, 5, 6, 7, 8, 9, 11, 13, 14, 15, 16, 19)
"""Tactics that any bulk sender may add to its own; their pacing is left to the sender's own."""

ADDS, TOOL_PACE, AS_IT_IS = 0.45, 0.3, 0.15
"""Chance that a sender takes on one more shaping tactic (again and again), that it is paced by a
preset of a public tool, and that it is played as the design has it, infrastructure included."""

SHARES = (0.35, 0.35, 0.3)
"""Operators who share a resource among all their accounts, among some, or not at all."""

VIRTUALS, OWN_CLIENT, OTHER_CLIENT, SAME_LIST = 0.15, 0.25, 0.15, 0.4
"""Operators with virtual numbers, with a client of their own, with an honest fork; and those who
have bought the same list as another."""

METHODS = (("sms",), ("sms",), ("sms", "voice"), ("voice", "flash"), ("email",), ("sms", "email"))
LOCAL = 0.65
"""Operators whose numbers are of the countries where people live."""

Ranges = tuple[tuple[str, int], ...]
MOBILES: Ranges = tuple(block for place in COUNTRIES for block in place.mobile)

_PACING = frozenset(
    {"gap", "quick", "law", "per_hour", "per_day", "per_minute", "first_day", "growth", "register",
     "enrolment", "pitch"}
)  # fmt: skip


def sharing(rng: np.random.Generator, accounts: int) -> int:
    """Draw how many networks or devices an operator has: one or few, some, or one an account.

    >>> 1 <= sharing(np.random.default_rng(2), 30) <= 30
    True
    """
    kind = rng.choice(3, p=SHARES)
    if kind == 0:
        return int(rng.integers(1, min(4, accounts + 1)))
    if kind == 1:
        return max(1, round(accounts * float(rng.uniform(0.15, 0.6))))
    return accounts


def enrolment(
    rng: np.random.Generator, default: Enrolment, accounts: int, local: Ranges
) -> Enrolment:
    """Draw how an operator registers and what its accounts have in common."""
    drawn = draw_of(rng, default)
    networks, devices = sharing(rng, accounts), sharing(rng, accounts)
    virtual = default.ranges == VIRTUAL or rng.random() < VIRTUALS
    plain = local if rng.random() < LOCAL else default.ranges
    client, kind = "", rng.random()
    if kind < OWN_CLIENT:
        client = f"gateway/{rng.integers(1, 9)}.{rng.integers(0, 40)}"
    elif kind < OWN_CLIENT + OTHER_CLIENT:
        client = str(rng.choice(OTHER_CLIENTS))
    return replace(
        drawn, ranges=VIRTUAL if virtual else plain, networks=networks,
        residential=bool(networks == accounts and rng.random() < 0.8),
        devices=devices if devices < accounts else 6 * accounts, client=client,
        verification=METHODS[int(rng.integers(0, len(METHODS)))],
        attested=min(drawn.attested, 0.2) if virtual and rng.random() < 0.7 else drawn.attested,
    )  # fmt: skip


def sender(
    rng: np.random.Generator, base: Sender, own: int, accounts: int, local: Ranges
) -> Sender:
    """Draw a sender round a tactic: more tactics at random, a tool's pace, every number shaken."""
    most = number(rng, priors_of("Operation")["total"])
    total = base.total if base.total[1] else (int(most / 2), int(most) + 2)
    if rng.random() < AS_IT_IS:
        return replace(base, total=total)
    changes: dict[str, Any] = {"total": total}
    if base.work == "write":
        if own not in (0, 1, 2, 12, 20) and rng.random() < TOOL_PACE:
            changes |= TOOLS[str(rng.choice(list(TOOLS)))]
        while rng.random() < ADDS:
            traits = TRAITS[int(rng.choice(SHAPING))]
            changes |= {k: v for k, v in traits.items() if k not in _PACING}
    mixed = shaken(rng, replace(base, **changes), KEPT)
    pace = float(np.exp(rng.normal(0.0, 0.5)))
    return replace(
        mixed,
        gap=(mixed.gap[0] * pace, mixed.gap[1] * pace),
        register=_register(rng, base),
        enrolment=enrolment(rng, base.enrolment, accounts, local),
        pitch=None,
    )


def _register(rng: np.random.Generator, base: Sender) -> tuple[float, float]:
    """Draw when accounts start: all within an hour or two, or one after another."""
    first, last = base.register
    begin = float(rng.uniform(first, 0.6 * last))
    return begin, begin + (last - begin) * float(rng.uniform(0.02, 1.0) ** 2)


def campaign(rng: np.random.Generator, name: str, most: int, local: Ranges) -> Planned:
    """Draw one campaign: its accounts (at most `most`), its enrolment, and all its numbers."""
    known = CAMPAIGNS[name]
    accounts = max(3, min(most, round(number(rng, priors_of("Operation")["accounts"]))))
    return replace(
        known, accounts=accounts, sender=sender(rng, known.sender, known.tactic, accounts, local)
    )


def operations(
    rng: np.random.Generator, names: list[str], most: int, local: Ranges = MOBILES
) -> tuple[Operation, ...]:
    """Draw the operators of a world, one a name; some of them have the same list of targets."""
    made = []
    for place, name in enumerate(names):
        same = rng.random() < SAME_LIST
        made.append(
            Operation(
                campaign(rng, name, most, local),
                mood=draw_of(rng, UNWANTED),
                pitch=draw_of(rng, PITCH),
                list_share=number(rng, priors_of("Operation")["list_share"]),
                list_number=0 if same else place + 1,
            )
        )
    return tuple(made)
