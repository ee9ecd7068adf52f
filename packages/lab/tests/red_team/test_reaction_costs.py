"""What moves about reactions cost, what counts as delivered, and what brigades can do."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from wavebreak import rules
from wavebreak.engine.decision import Decision
from wavebreak.outcomes import SILENCING
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.rules import Feedback
from wavebreak_lab.red_team.config import load_config
from wavebreak_lab.red_team.counts import operator_cost, worst_outcomes
from wavebreak_lab.red_team.round import (
    Environment,
    FeedbackQueue,
    OperatorEntry,
    OperatorResult,
    Round,
    new_engine,
    simulate_environment,
)
from wavebreak_lab.red_team.search import search_parameters
from wavebreak_lab.simulation.attackers import PRESETS, REACTION_PRESETS, Sender

SETTINGS, EDGE = load_config(), Pseudonymizer(bytes(32))


@pytest.fixture(scope="module")
def environment() -> Environment:
    return simulate_environment(EDGE, people=120, days=1.0, seed=5)


def played(
    environment: Environment, sender: Sender, accounts: int
) -> tuple[OperatorResult, dict[str, str]]:
    """A round of one operator against the shipped rules, and the worst outcome of accounts."""
    engine = new_engine(rules.load_policy(), None)
    entry = OperatorEntry("family", "op", sender, accounts)
    played = Round(environment, engine, EDGE, SETTINGS, "delayed", (3,))
    span = environment.sim.start, environment.sim.end
    played.enter([entry], *span, (3,))
    played.play(*span)
    return played.results()[0], worst_outcomes(engine)


def spent(sender: Sender, **things: float) -> float:
    entry = OperatorEntry("family", "op", sender, 1)
    return operator_cost(OperatorResult(entry, things, {}, {}, set()), SETTINGS.prices)


def test_each_move_has_its_price() -> None:
    sender = REACTION_PRESETS["own-answers"].sender
    prices = SETTINGS.prices
    assert spent(sender, helpers=3.0) == pytest.approx(3 * prices.aged)
    assert spent(sender, answers=20.0) == pytest.approx(20 * prices.answer)
    assert spent(sender, lures=4.0) == pytest.approx(4 * prices.lure)
    made = prices.number + prices.attested * sender.enrolment.attested
    assert spent(sender, numbers=1.0) == pytest.approx(made)
    assert spent(replace(sender, aged=True), numbers=1.0) == pytest.approx(prices.aged)


def test_file_without_the_new_prices_still_loads() -> None:
    table = msgspec.to_builtins(SETTINGS)
    for name in ("aged", "answer", "lure"):
        del table["prices"][name]
    del table["parameters"]["accuse"]
    assert msgspec.convert(table, type(SETTINGS)).prices == SETTINGS.prices


@pytest.mark.parametrize(
    ("family", "moves"),
    [
        ("own-answers", {"own_answers", "helpers"}),
        ("bought-answers", {"bought_answers"}),
        ("waiting-out", {"waits"}),
        ("rotating-hands", {"hand"}),
        ("brigade", {"accuses", "rivals", "lured"}),
        ("label-poisoning", {"own_answers", "helpers", "accuses", "rivals", "lured"}),
    ],
)
def test_family_searches_over_its_own_moves(family: str, moves: set[str]) -> None:
    every = {*SETTINGS.parameters.accuse, "own_answers", "helpers", "bought_answers", "waits"}
    searched = search_parameters(REACTION_PRESETS[family].sender, SETTINGS)
    known = search_parameters(PRESETS["jitter"].sender, SETTINGS)
    assert (searched.keys() - known.keys()) & (every | {"hand"}) == moves


def test_paid_and_own_people_are_no_delivered_messages(environment: Environment) -> None:
    bare = REACTION_PRESETS["bought-answers"].sender
    sender = replace(bare, own_answers=0.5, helpers=8, register=(0.0, 0.01), quiet=(1.0, 2.0))
    result, _ = played(environment, sender, 3)
    answers = result.spent["answers"]
    assert answers > 20, "they were paid"
    # Of 55 strangers a day an account could have written to no more than these.
    assert 20 < result.total_delivered <= result.total_attempted <= 3 * 56


def test_feedback_says_until_when_a_limit_holds() -> None:
    queue = FeedbackQueue("instant", Feedback(), SETTINGS.missing_receipts)
    limit = Decision(
        "d1", 60_000, "a", "messaging", "limit", "", 90_000, None, (), (), "e1", "features", None,
        "policy",
    )  # fmt: skip
    queue.add_decision(7, limit)
    queue.add_decision(8, msgspec.structs.replace(limit, outcome="ban", until=None))
    assert [(one.account, one.until) for one in queue.pop_due(60_000)] == [(7, 90_000), (8, 0)]


def test_brigade_of_blind_complaints_convicts_nobody(environment: Environment) -> None:
    sender = replace(
        REACTION_PRESETS["brigade"].sender, rivals=2, accuses=10.0, lured=0.0, register=(0.0, 0.1)
    )
    result, worst = played(environment, sender, 20)
    accused = result.accused
    assert sum(accused.values()) > 25
    assert not [name for name in accused if worst.get(name) in SILENCING]


def test_two_lured_complaints_convict_nobody(environment: Environment) -> None:
    sender = replace(
        REACTION_PRESETS["brigade"].sender, rivals=20, accuses=30.0, lured=1.0,
        register=(0.0, 0.05), quiet=(1.0, 2.0),
    )  # fmt: skip
    result, worst = played(environment, sender, 2)
    accused = result.accused
    assert len(accused) > 15
    assert max(accused.values()) == 2
    assert not [name for name in accused if worst.get(name) in SILENCING]
