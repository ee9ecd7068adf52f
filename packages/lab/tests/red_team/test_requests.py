"""Red-team rounds under the outcome request: who looks at it, and what they say."""

from __future__ import annotations

from typing import Any

import msgspec
import pyarrow.compute as pc
import pytest

from wavebreak import rules
from wavebreak.engine import Engine
from wavebreak.features.catalog import NAMES
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.rules import Policy, Rule
from wavebreak.schema.event_kinds import KINDS
from wavebreak_lab.red_team.config import RequestBehaviour, load_config
from wavebreak_lab.red_team.round import (
    Environment,
    OperatorEntry,
    RoundResult,
    play_round,
    simulate_environment,
)
from wavebreak_lab.simulation.attackers import PRESETS

SHIPPED = rules.load_policy()
RULE = Rule(
    id="quiet_start", abuse="bulk", about="What it is about.", source="Where it is from.",
    stage="messaging", mode="enforce", basis="doubt", on=("sent",), when=("started_chats >= 1",),
    outcome="request", hold="30d", fires_on=({"started_chats": 1.0},),
    stays_quiet_on=({"started_chats": 0.0},),
)  # fmt: skip
POLICY = Policy("tested", (RULE,), SHIPPED.actions, SHIPPED.enforcement, NAMES, KINDS)


@pytest.fixture(scope="module")
def environment() -> Environment:
    return simulate_environment(people=80, days=0.2, seed=5)


def played(environment: Environment, **people: Any) -> tuple[RoundResult, int]:
    """A round, and how many of its events say that a sender is not known."""
    settings = msgspec.structs.replace(load_config(), requests=RequestBehaviour(**people))
    preset = PRESETS["blast"]
    done = play_round(
        environment, [OperatorEntry("blast", "b", preset.sender, 3)], Engine(POLICY, enforce=True),
        Pseudonymizer(bytes(32)), settings, feedback="never", seed=(3,), keep_events=True,
    )  # fmt: skip
    declined = sum(
        pc.sum(pc.equal(batch.column("reason").cast("string"), "stranger")).as_py() or 0
        for batch in done.batches
    )
    return done, declined


def test_a_request_that_nobody_looks_at_reaches_nobody(environment: Environment) -> None:
    done, declined = played(environment, looked_at=0.0)
    attempted = sum(done.operators[0].attempted.values())
    delivered = sum(done.operators[0].delivered.values())
    assert attempted > 100
    assert (delivered, declined) == (0, 0)


def test_people_who_look_say_that_they_do_not_know_the_sender(environment: Environment) -> None:
    done, declined = played(environment, looked_at=1.0, declines=0.9, reports=0.0, median_s=60)
    delivered = sum(done.operators[0].delivered.values())
    attempted = sum(done.operators[0].attempted.values())
    assert 0.3 * delivered < declined <= delivered
    assert delivered < attempted, "who declined sees no more of that sender"
