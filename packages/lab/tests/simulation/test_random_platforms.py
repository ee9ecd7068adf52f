"""Drawn worlds: the seed decides all, every prior is used, and what is lacking is lacking."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from support.message_envelope import envelope
from wavebreak_lab.simulation import EVERY_CAMPAIGN, EVERY_PERSONA, PERSONAS, random_platform
from wavebreak_lab.simulation.attackers import Campaign, Sender
from wavebreak_lab.simulation.attackers.infrastructure import Enrolment
from wavebreak_lab.simulation.behaviour import ConversationStyle, MessageContent, RecipientBehaviour
from wavebreak_lab.simulation.contact_requests import RequestHabits, RequestReception
from wavebreak_lab.simulation.daily_life import Habits
from wavebreak_lab.simulation.groups import GroupHabits
from wavebreak_lab.simulation.newcomers import NewcomerBehaviour
from wavebreak_lab.simulation.personas.cohorts import Cohort
from wavebreak_lab.simulation.population import Society
from wavebreak_lab.simulation.priors import PRIORS, Prior, draw_number
from wavebreak_lab.simulation.random_platforms import ABOUT_REACTIONS, draw_plan
from wavebreak_lab.simulation.world import Coverage

OWNERS = {
    "World": {"people", "days", "start", "operators", "persona", "cohort"},
    "Operation": {"accounts", "list_share", "total"},
    "Tolerated": {f.name for f in fields(RecipientBehaviour)},
    "HonestRequest": {f.name for f in fields(RequestReception)},
    "UnwantedRequest": {f.name for f in fields(RequestReception)},
} | {
    kind.__name__: {f.name for f in fields(kind)}
    for kind in (
        Society,
        ConversationStyle,
        Habits,
        GroupHabits,
        NewcomerBehaviour,
        RecipientBehaviour,
        MessageContent,
        Enrolment,
        RequestHabits,
        *PERSONAS.values(),
        Cohort,
    )
}


@pytest.mark.parametrize("prior", PRIORS, ids=lambda prior: prior.name)
def test_prior_names_a_parameter_and_keeps_its_bounds(prior: Prior) -> None:
    owner, _, field = prior[0].partition(".")
    assert field in OWNERS[owner]
    rng = np.random.default_rng(5)
    drawn = [draw_number(rng, prior) for _ in range(50)]
    low, high = prior[2], prior[3]
    bounds = (1 - high, 1 - low) if prior[1] == "all-but" else (low, high)
    assert bounds[0] <= min(drawn) < max(drawn) <= bounds[1]
    assert prior[4]


def test_no_parameter_has_two_priors() -> None:
    assert len({prior.name for prior in PRIORS}) == len(PRIORS) >= 120


def test_random_platform_is_determined_by_its_seed() -> None:
    one, same, other = (random_platform(seed) for seed in (101, 101, 102))
    first = pa.Table.from_batches(one.batches())
    assert first.equals(pa.Table.from_batches(same.batches()))
    assert first.equals(pa.Table.from_batches(one.batches()))
    assert one.labels == same.labels
    assert one.about["society"] != other.about["society"]


def test_random_platforms_have_all_personas_and_families() -> None:
    plans = [draw_plan(seed, tuple(EVERY_CAMPAIGN)) for seed in range(101, 141)]
    names = [[persona.name for persona, _ in plan.personas] for plan in plans]
    assert all(drawn[: len(PERSONAS)] == list(PERSONAS) for drawn in names)
    assert {name for drawn in names for name in drawn} == set(EVERY_PERSONA)
    assert {o.campaign.name for plan in plans for o in plan.operations} == set(EVERY_CAMPAIGN)
    assert {plan.coverage.verification for plan in plans} >= {"", "email", "none"}
    assert len({plan.coverage for plan in plans}) > 10


def test_no_random_platform_draws_what_a_red_team_does_about_reactions() -> None:
    plans = [draw_plan(seed, tuple(EVERY_CAMPAIGN)) for seed in range(101, 141)]
    plain = {name: getattr(Sender(), name) for name in ABOUT_REACTIONS}
    campaigns = [o.campaign for plan in plans for o in plan.operations]
    drawn = [each.sender for each in campaigns if isinstance(each, Campaign)]
    assert len(drawn) == len(campaigns)
    assert all({name: getattr(of, name) for name in plain} == plain for of in drawn)


def test_coverage_drops_fields_and_rounds_times() -> None:
    lacking = Coverage(frozenset({"typing.started"}), frozenset({"message.sent.size", "ip"}), 1000)
    table = pa.Table.from_batches(random_platform(101, coverage=lacking).batches())
    assert "typing.started" not in table["type"].unique().to_pylist()
    assert pc.count(table["size"]).as_py() == 0
    assert pc.count(table["ip"]).as_py() == 0
    assert pc.count(table["device"]).as_py() > 0
    assert int(np.gcd.reduce(table["ts"].to_numpy())) == 1000


def test_hijacked_account_is_benign_before_compromise() -> None:
    world = random_platform(101, families=["hijack"])
    hijacked = {account for account, _, family, _ in world.labels if family == "hijack"}
    assert hijacked == set(world.compromised_at)
    assert min(world.compromised_at.values()) > world.about["start_ms"]


def test_random_platforms_span_the_real_traces_figures() -> None:
    figures = []
    for seed in range(101, 107):
        world = random_platform(seed, families=["typing"], coverage=Coverage())
        people = {account for account, _, family, _ in world.labels if family == "person"}
        figures.append(envelope(world.batches(), people))
    lowest, highest = ({n: f(x[n] for x in figures) for n in figures[0]} for f in (min, max))
    assert lowest["day"] < 60
    assert highest["day"] > 37  # CollegeMsg, 99th percentile of an active day; Copenhagen 54
    assert lowest["hour"] < 17 < highest["hour"]
    assert lowest["new_peers"] <= 12 < highest["new_peers"]
    assert highest["burstiness"] > 0.33  # the traces: 0.33 to 0.50
    assert lowest["reciprocity"] < 0.92 < highest["reciprocity"]  # of 41 platforms none reaches .93
