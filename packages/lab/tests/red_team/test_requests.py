"""Red-team rounds under the outcome request: who looks at it, and what they say."""

from __future__ import annotations

from typing import Any

import msgspec
import pyarrow as pa
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
    OperatorResult,
    Round,
    simulate_environment,
)
from wavebreak_lab.simulation.attackers import PRESETS

SHIPPED, EDGE = rules.load_policy(), Pseudonymizer(bytes(32))
RULE = Rule(
    id="quiet_start", abuse="bulk", about="What it is about.", source="Where it is from.",
    stage="messaging", mode="enforce", basis="doubt", on=("sent",), when=("started_chats >= 1",),
    outcome="request", hold="30d", fires_on=({"started_chats": 1.0},),
    stays_quiet_on=({"started_chats": 0.0},),
)  # fmt: skip
POLICY = Policy("tested", (RULE,), SHIPPED.actions, SHIPPED.enforcement, NAMES, KINDS)


@pytest.fixture(scope="module")
def environment() -> Environment:
    return simulate_environment(EDGE, people=80, days=0.2, seed=5)


def played(environment: Environment, **people: Any) -> tuple[OperatorResult, int]:
    """The result of an operator, and how many recipients decline its requests."""
    settings = msgspec.structs.replace(load_config(), requests=RequestBehaviour(**people))
    entry = OperatorEntry("blast", "b", PRESETS["blast"].sender, 3)
    played = Round(environment, Engine(POLICY, enforce=True), EDGE, settings, "never", (3,))
    span = environment.sim.start, environment.sim.end
    played.enter([entry], *span, (3,))
    played.play(*span)
    result = played.results()[0]
    events = played.replay.events(pa.Table.from_batches(environment.world.batches()))
    declined = pc.and_(
        pc.equal(events["reason"], "stranger"), pc.is_in(events["peer"], pa.array(result.delivered))
    )
    return result, pc.sum(declined).as_py() or 0


def test_a_request_that_nobody_looks_at_reaches_nobody(environment: Environment) -> None:
    result, declined = played(environment, looked_at=0.0)
    assert result.total_attempted > 100
    assert (result.total_delivered, declined) == (0, 0)


def test_people_who_look_say_that_they_do_not_know_the_sender(environment: Environment) -> None:
    result, declined = played(environment, looked_at=1.0, declines=0.9, reports=0.0, median_s=60)
    delivered, attempted = result.total_delivered, result.total_attempted
    assert 0.3 * delivered < declined <= delivered
    assert delivered < attempted, "who declined sees no more of that sender"
