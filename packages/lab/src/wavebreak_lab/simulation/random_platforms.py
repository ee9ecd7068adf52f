"""Random platforms: every parameter drawn from wide priors (`priors`), operators included.

A model that is trained on many such platforms generalizes to a platform that it has not seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from wavebreak.durations import DAY_MS
from wavebreak.schema.events import TYPES
from wavebreak_lab.simulation import priors
from wavebreak_lab.simulation.attackers import (
    APP_CAMPAIGNS,
    EVERY_CAMPAIGN,
    Campaign,
    Sender,
)
from wavebreak_lab.simulation.attackers.infrastructure import Enrolment
from wavebreak_lab.simulation.attackers.presets import TOOLS, TRAITS
from wavebreak_lab.simulation.background_trace import load_trace
from wavebreak_lab.simulation.behaviour import (
    DEFAULT_CONTENT,
    TOLERATED,
    UNWANTED,
    ConversationStyle,
)
from wavebreak_lab.simulation.contact_requests import VIAS, RequestHabits
from wavebreak_lab.simulation.daily_life import Habits
from wavebreak_lab.simulation.geography import COUNTRIES, VIRTUAL
from wavebreak_lab.simulation.groups import GroupHabits
from wavebreak_lab.simulation.newcomers import NewcomerBehaviour
from wavebreak_lab.simulation.personas import APP_FIRMS, COHORTS, PERSONAS, Persona
from wavebreak_lab.simulation.population import OTHER_CLIENTS, Society
from wavebreak_lab.simulation.world import (
    FULL_COVERAGE,
    Coverage,
    Operation,
    Plan,
    World,
    plan_summary,
    simulate_on_trace,
    simulate_plan,
)

ABOUT_REACTIONS = frozenset({
    "own_answers", "helpers", "bought_answers", "waits", "hand", "accuses", "rivals", "lured",
})  # fmt: skip
"""What only a red team's senders do: no random platform draws it."""

UNPERTURBED = ABOUT_REACTIONS | {
    "total", "burst_s", "register", "insist", "solve_s", "appeals", "words", "crowd",
}  # fmt: skip
"""Numbers of senders that are the tactic itself, or what time costs in a simulation."""

SHAPING = (1, 3, 4, 5, 6, 7, 8, 9, 11, 13, 14, 15, 16, 19)
"""Tactics that any bulk sender may add to its own; their pacing is left to the sender's own."""

ADDS, TOOL_PACE, AS_IT_IS = 0.45, 0.3, 0.15
"""Chance that a sender takes on one more shaping tactic (again and again), that it is paced by a
preset of a public tool, and that it is played as the design has it, infrastructure included."""

SHARES = (0.25, 0.3, 0.45)
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
    {
        "gap",
        "quick",
        "law",
        "per_hour",
        "per_day",
        "per_minute",
        "first_day",
        "growth",
        "register",
        "enrolment",
        "content",
    }
)


def draw_sharing(rng: np.random.Generator, accounts: int) -> int:
    """Draw how many networks or devices an operator has: one or few, some, or one an account.

    >>> 1 <= draw_sharing(np.random.default_rng(2), 30) <= 30
    True
    """
    kind = rng.choice(3, p=SHARES)
    if kind == 0:
        return int(rng.integers(1, min(4, accounts + 1)))
    if kind == 1:
        return max(1, round(accounts * float(rng.uniform(0.15, 0.6))))
    return accounts


def draw_enrolment(
    rng: np.random.Generator, default: Enrolment, accounts: int, local: Ranges
) -> Enrolment:
    """Draw how an operator registers and what its accounts have in common."""
    drawn = priors.draw_recipe(rng, default)
    networks, devices = draw_sharing(rng, accounts), draw_sharing(rng, accounts)
    virtual = default.ranges == VIRTUAL or rng.random() < VIRTUALS
    plain = local if rng.random() < LOCAL else default.ranges
    client, kind = "", rng.random()
    if kind < OWN_CLIENT:
        client = f"gateway/{rng.integers(1, 9)}.{rng.integers(0, 40)}"
    elif kind < OWN_CLIENT + OTHER_CLIENT:
        client = str(rng.choice(OTHER_CLIENTS))
    return replace(
        drawn,
        ranges=VIRTUAL if virtual else plain,
        networks=networks,
        residential=bool(networks == accounts and rng.random() < 0.8),
        devices=devices if devices < accounts else 6 * accounts,
        client=client,
        verification=METHODS[int(rng.integers(0, len(METHODS)))],
        attested=min(drawn.attested, 0.2) if virtual and rng.random() < 0.7 else drawn.attested,
    )


def draw_sender(
    rng: np.random.Generator, base: Sender, own: int, accounts: int, local: Ranges
) -> Sender:
    """Draw a sender round a tactic: more tactics at random, a tool's pace, every number shaken."""
    most = priors.draw_number(rng, priors.priors_of("Operation")["total"])
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
    mixed = priors.perturb(rng, replace(base, **changes), UNPERTURBED)
    pace = float(np.exp(rng.normal(0.0, 0.5)))
    return replace(
        mixed,
        gap=(mixed.gap[0] * pace, mixed.gap[1] * pace),
        register=_draw_registration_window(rng, base),
        enrolment=draw_enrolment(rng, base.enrolment, accounts, local),
        content=None,
    )


def _draw_registration_window(rng: np.random.Generator, base: Sender) -> tuple[float, float]:
    """Draw when accounts start: all within an hour or two, or one after another."""
    first, last = base.register
    begin = float(rng.uniform(first, 0.6 * last))
    return begin, begin + (last - begin) * float(rng.uniform(0.02, 1.0) ** 2)


def draw_campaign(rng: np.random.Generator, name: str, most: int, local: Ranges) -> Campaign:
    """Draw one campaign: its accounts (at most `most`), its enrolment, and all its numbers."""
    known = (EVERY_CAMPAIGN | APP_CAMPAIGNS)[name]
    accounts = max(
        3, min(most, round(priors.draw_number(rng, priors.priors_of("Operation")["accounts"])))
    )
    return replace(
        known,
        accounts=accounts,
        sender=draw_sender(rng, known.sender, known.tactic, accounts, local),
    )


def draw_operations(
    rng: np.random.Generator, names: list[str], most: int, local: Ranges = MOBILES
) -> tuple[Operation, ...]:
    """Draw the operators of a world, one a name; some of them have the same list of targets."""
    made = []
    for place, name in enumerate(names):
        same = rng.random() < SAME_LIST
        made.append(
            Operation(
                draw_campaign(rng, name, most, local),
                behaviour=priors.draw_recipe(rng, UNWANTED),
                content=priors.draw_recipe(rng, DEFAULT_CONTENT),
                list_share=priors.draw_number(rng, priors.priors_of("Operation")["list_share"]),
                list_number=0 if same else place + 1,
            )
        )
    return tuple(made)


FIRST_DAY_MS = 1_735_689_600_000
"""2025-01-01T00:00Z: worlds start on some day after it."""

ASSIGNABLE_SHARE = 0.6
"""Share of all people who may play a part, or be registered_at during the simulation."""


def random_platform(
    seed: int,
    *,
    families: Sequence[str] = (),
    coverage: Coverage | None = None,
    requests: bool = False,
    business_app: bool = False,
    progress: Callable[[float], None] | None = None,
) -> World:
    """Draw a world: people, habits, personas, operators and coverage. The seed decides all.

    `families`: campaigns to choose operators from (EVERY_CAMPAIGN unless given); `coverage`:
    instead of a drawn one; `requests`: chats open by a request, and most such platforms know no
    phone numbers; `business_app`: firms use the small-business app, and senders pass for firms.
    All else is as without.

    >>> world = random_platform(1_000)
    >>> sorted({label for _, label, _, _ in world.labels})
    ['abusive', 'benign']
    """
    plan = draw_plan(seed, families or tuple(EVERY_CAMPAIGN))
    if requests:
        plan = with_requests(plan, seed)
    if business_app:
        plan = with_business_app(plan, seed)
    if coverage is not None:
        plan = replace(plan, coverage=coverage)
    return simulate_plan(plan, seed, {"seed": seed} | plan_summary(plan), progress)


def random_platform_on_trace(path: Path, seed: int, operators: int = 8) -> World:
    """Draw operators and plant them among the people of a trace (a file of events).

    Each seed takes another stretch of the trace, and other operators. What a trace of messages
    cannot show (groups filled, reports, companions) is left out. Raises UsageError where the trace
    is empty.
    """
    rng = np.random.default_rng([seed, len("planted")])
    trace = load_trace(path, lead_in=float(rng.uniform(0.05, 0.75)))
    shown = [
        name
        for name, campaign in EVERY_CAMPAIGN.items()
        if campaign.sender.work == "write" and not campaign.sender.hijack
    ]
    most = max(3, len(trace.accounts) // 12)
    chosen = draw_operations(rng, _draw_campaign_names(rng, shown, operators), most=most)
    days = priors.draw_number(rng, priors.priors_of("World")["days"])
    about = {"seed": seed, "background": str(path), "days": days}
    return simulate_on_trace(trace, chosen, days, seed, about)


def draw_plan(seed: int, families: Sequence[str]) -> Plan:
    """Draw the plan of a world."""
    rng = np.random.default_rng([seed, len("drawn")])
    world = priors.priors_of("World")
    people = round(priors.draw_number(rng, world["people"]))
    days = round(priors.draw_number(rng, world["days"]), 2)
    society = replace(priors.draw_recipe(rng, Society()), countries=_draw_countries(rng))
    chosen = _draw_campaign_names(rng, families, round(priors.draw_number(rng, world["operators"])))
    operators = draw_operations(rng, chosen, max(3, people // 12), _local_number_ranges(society))
    personas = _draw_personas(rng, people)
    society = _limit_newcomers(society, people, days, personas, operators)
    return Plan(
        people,
        days,
        FIRST_DAY_MS + int(priors.draw_number(rng, world["start"]) * DAY_MS),
        personas,
        operators,
        society,
        priors.draw_recipe(rng, ConversationStyle()),
        priors.draw_recipe(rng, Habits()),
        priors.draw_recipe(rng, GroupHabits()),
        priors.draw_recipe(rng, NewcomerBehaviour()),
        priors.draw_recipe(rng, TOLERATED, "Tolerated"),
        _draw_coverage(rng),
    )


def with_requests(plan: Plan, seed: int) -> Plan:
    """Draw how chats open by a request on a platform, which mostly knows no phone numbers."""
    rng = np.random.default_rng([seed, len("requests")])
    habits = priors.draw_recipe(rng, RequestHabits())
    habits = replace(
        habits,
        via=str(rng.choice(VIAS)),
        held=bool(rng.random() < _HELD),
        honest=priors.draw_recipe(rng, habits.honest, "HonestRequest"),
        unwanted=priors.draw_recipe(rng, habits.unwanted, "UnwantedRequest"),
    )
    lacks = plan.coverage
    if rng.random() < _NUMBERLESS:
        way = lacks.verification if lacks.verification in ("email", "none") else "email"
        lacks = replace(lacks, without_fields=lacks.without_fields | {"phone"}, verification=way)
    return replace(plan, requests=habits, coverage=lacks)


def with_business_app(plan: Plan, seed: int) -> Plan:
    """Draw firms on the business app, and senders that register as firms, for a platform.

    Such a platform says who registers with the app. Where it does not know who has saved a number,
    the app has no broadcast lists.
    """
    rng = np.random.default_rng([seed, len("business_app")])
    lacks = plan.coverage
    lists = "message.sent.in_contacts" not in lacks.without_fields
    size, firms = (plan.people / 1000) ** 0.5, []
    for kind in APP_FIRMS.values():
        firm = priors.perturb(rng, kind(), frozenset({"hours"}))
        count = max(2, round(size * priors.draw_number(rng, priors.priors_of("World")["persona"])))
        firms.append((firm if lists else replace(firm, broadcasts=0.0), count))
    return replace(
        plan,
        personas=(*plan.personas, *firms),
        operations=(
            *plan.operations,
            *draw_operations(
                rng, list(APP_CAMPAIGNS), max(3, plan.people // 12),
                _local_number_ranges(plan.society),
            ),
        ),
        coverage=replace(
            lacks,
            without_types=lacks.without_types - {"account.registered"},
            without_fields=lacks.without_fields - {"account.registered.channel"},
        ),
    )  # fmt: skip


def _local_number_ranges(society: Society) -> tuple[tuple[str, int], ...]:
    """Ranges of mobile numbers where people live."""
    shares = zip(COUNTRIES, society.countries, strict=True)
    return tuple(block for place, share in shares if share > 0 for block in place.mobile)


def _draw_campaign_names(
    rng: np.random.Generator, families: Sequence[str], count: int
) -> list[str]:
    """Draw campaigns, each family once before one comes twice."""
    rounds = -(-count // len(families))
    drawn = [families[k] for _ in range(rounds) for k in rng.permutation(len(families))]
    return drawn[:count]


def _draw_countries(rng: np.random.Generator) -> tuple[float, ...]:
    """Draw where people live: in one country, or in several, in shares."""
    shares = rng.dirichlet(np.full(len(COUNTRIES), 10.0 ** rng.uniform(-1, 0.5)))
    shares[shares < 0.03] = 0.0
    return tuple((shares / shares.sum()).tolist())


def _draw_personas(rng: np.random.Generator, people: int) -> tuple[tuple[Persona, int], ...]:
    """Draw every persona, and some cohorts: how many accounts each has, and its numbers."""
    size = (people / 1000) ** 0.5
    by_other_means = priors.draw_number(
        rng, priors.priors_of("NewcomerBehaviour")["by_other_means"]
    )
    drawn = []
    for name, kind in (PERSONAS | COHORTS).items():
        if name in COHORTS and rng.random() > priors.COHORT_SHARE:
            continue
        persona: Any = priors.draw_recipe(rng, kind(), "Cohort" if name in COHORTS else "")
        if hasattr(persona, "arrival"):
            arrival = replace(persona.arrival, by_other_means=by_other_means)
            persona = replace(persona, arrival=priors.perturb(rng, arrival, frozenset()))
        each = priors.priors_of("World")["cohort" if name in COHORTS else "persona"]
        drawn.append((persona, max(2, round(size * priors.draw_number(rng, each)))))
    return tuple(drawn)


def _limit_newcomers(
    society: Society,
    people: int,
    days: float,
    personas: tuple[tuple[Persona, int], ...],
    operators: tuple[Operation, ...],
) -> Society:
    """Keep enough settled people to play all parts: as few newcomers as that takes."""
    parts = sum(count for _, count in personas)
    parts += sum(o.campaign.accounts for o in operators)
    room = max(0.05, ASSIGNABLE_SHARE - parts / (people + parts))
    return replace(society, newcomers=min(society.newcomers, room / days))


def _draw_coverage(rng: np.random.Generator) -> Coverage:
    """Draw what the platform's log lacks."""
    kind = rng.random()
    steps, shares = zip(*priors.STEPS_MS, strict=True)
    step = int(rng.choice(steps, p=shares))
    ways, chances = [w for w, _ in priors.ONE_VERIFICATION], [c for _, c in priors.ONE_VERIFICATION]
    way = str(rng.choice(ways, p=chances))
    if kind < priors.COMPLETE_SHARE:
        return replace(FULL_COVERAGE, verification=way)
    if kind < priors.COMPLETE_SHARE + priors.FEDERATED_SHARE:
        way = str(rng.choice(("email", "none")))
        return _coverage(
            rng, [what for what in priors.FEDERATED if rng.random() < _TYPICAL], step, way
        )
    if kind < priors.COMPLETE_SHARE + priors.FEDERATED_SHARE + priors.GATEWAY_SHARE:
        return _coverage(
            rng, [what for what in priors.GATEWAY if rng.random() < _TYPICAL], step, way
        )
    bare = kind > 1 - priors.MESSAGES_ONLY_SHARE
    lacking = [
        what
        for whats, chance in priors.MISSING_FIELDS.values()
        for what in whats
        if rng.random() < chance or bare
    ]
    if bare and rng.random() < 0.5:  # the traces have groups, or sizes, or neither
        lacking = [what for what in lacking if what not in _SOMETIMES_CARRIED[int(rng.integers(2))]]
    return _coverage(rng, lacking, step, way)


def _coverage(rng: np.random.Generator, lacking: list[str], step: int, way: str) -> Coverage:
    """Return a coverage without some types and fields; who verifies by mail has few numbers."""
    if way in ("email", "none") and rng.random() < _NUMBERLESS:
        lacking = [*lacking, "phone"]
    types = frozenset(what for what in lacking if what in TYPES)
    return Coverage(types, frozenset(lacking) - types, step, way)


_TYPICAL = 0.93
"""Chance that a platform lacks what its kind lacks."""
_NUMBERLESS = 0.8
"""Share of platforms with requests, or not verified by telephone, that know no phone numbers."""
_HELD = 0.4
"""Share of platforms with requests where nobody can write before the request is accepted."""
_SOMETIMES_CARRIED: tuple[tuple[str, ...], ...] = (
    priors.MISSING_FIELDS["groups"][0],
    ("message.sent.size", "message.sent.media"),
)
