"""Learning between weeks, and the counts of a family."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from support import home_stream
from wavebreak import rules
from wavebreak.evaluation import Family
from wavebreak.evaluation.home_learning import Terms, load_terms
from wavebreak.privacy.pseudonymizer import Pseudonymizer, with_all_columns
from wavebreak.schema.events import WIRE_SCHEMA
from wavebreak_lab.red_team.config import load_config
from wavebreak_lab.red_team.counts import bootstrap_interval, count_family, gain
from wavebreak_lab.red_team.learner import Learner
from wavebreak_lab.red_team.round import OperatorEntry, OperatorResult
from wavebreak_lab.simulation.attackers import REACTION_PRESETS, Sender

SETTINGS, TERMS = load_config(), load_terms()
SHIPPED = rules.load_policy()
PERSONS_ALONE = tuple(rule for rule in SHIPPED.rules if rule.basis == "person")
EDGE = Pseudonymizer(b"a key for tests only")


def log_of(rows: list[home_stream.Row]) -> list[pa.RecordBatch]:
    batch = pa.RecordBatch.from_pylist(rows, WIRE_SCHEMA)
    return [with_all_columns(EDGE.apply(batch))]


def learner(terms: Terms = TERMS) -> Learner:
    # Nothing is refused, so that the stream's reactions all count.
    one = Learner(replace(SHIPPED, rules=PERSONS_ALONE), None, terms, seed=0)
    one.learn(log_of(home_stream.events()))
    return one


def later(**kinds: int) -> list[pa.RecordBatch]:
    """The first days and a week after them, by other accounts."""
    start = home_stream.START + 8 * home_stream.DAY
    rows = home_stream.events(seed=4, first=100, start=start, **kinds)
    return log_of(home_stream.in_order([*home_stream.events(), *rows]))


def test_learned_score_acts_once_it_has_held_in_shadow() -> None:
    one = learner()
    assert [(s.state, s.reason) for s in one.scores] == [("shadow", "")]
    assert one.acting is None
    end = home_stream.START + 15 * home_stream.DAY
    assert not one.is_due(one.scores[0].lesson.end_ms + home_stream.DAY), "a day is too short"
    assert one.is_due(end)
    one.check(later())
    assert [s.state for s in one.scores] == ["on"], one.scores[0].reason
    assert one.acting is one.scores[0].model


def test_score_waits_for_a_person_where_the_terms_say_so() -> None:
    one = learner(msgspec.structs.replace(TERMS, promote="person"))
    one.check(later())
    assert one.scores[0].state == "ready"
    assert one.acting is None


def test_next_week_replaces_a_score_that_never_acted() -> None:
    one = learner()
    one.learn(log_of(home_stream.events()))
    assert [s.state for s in one.scores] == ["ended", "shadow"]


def test_platform_without_convictions_learns_no_line() -> None:
    one = Learner(SHIPPED, None, TERMS, seed=0)
    one.learn(log_of(home_stream.events(senders=3)))
    assert one.scores[0].state == "none"
    assert "Too few labels" in one.scores[0].reason
    assert one.acting is None


def result(sender: Sender, delivered: dict[str, int], **more: object) -> OperatorResult:
    entry = OperatorEntry("family", "op", sender, len(delivered))
    return OperatorResult(entry, {"numbers": 10.0}, delivered, delivered, set(), **more)  # type: ignore[arg-type]


def test_family_week_spreads_dollars_and_bounds_them() -> None:
    sender = REACTION_PRESETS["own-answers"].sender
    operators = [result(sender, {"a": 10, "b": 30}), result(sender, {"c": 0})]
    evaluation: Any = SimpleNamespace(
        families={"family": Family(3, 0, 1, 0, 0, 0, 0.0, 0.0, 0.0, None)}
    )
    found = count_family(operators, evaluation, {"b": True, "x": True}, SETTINGS.prices, seed=1)
    assert (found.accounts, found.actioned, found.within_a_week) == (3, 1, 1)
    assert (found.delivered, found.delivered_median) == (40, 10)
    whole = 1000 * found.cost / 40
    assert found.per_thousand == pytest.approx(whole)
    assert found.cheapest == pytest.approx(whole / 2)
    assert found.interval is not None
    assert found.interval[0] <= whole <= found.interval[1]
    nobody = count_family([result(sender, {"a": 0})], evaluation, {}, SETTINGS.prices, seed=1)
    assert (nobody.per_thousand, nobody.interval, nobody.cheapest) == (None, None, None)


def test_bootstrap_interval_is_the_same_by_seed() -> None:
    cost, delivered = np.arange(1.0, 30.0), np.arange(30.0, 1.0, -1)
    assert bootstrap_interval(cost, delivered, 3) == bootstrap_interval(cost, delivered, 3)
    assert bootstrap_interval(cost, np.zeros(29), 3) is None


def test_brigade_gains_by_honest_accounts_that_it_harmed() -> None:
    sender = REACTION_PRESETS["brigade"].sender
    one = result(sender, {"a": 0}, accused={"v1": 3, "v2": 1})
    none, both = (gain(one, harmed, SETTINGS.prices) for harmed in ({"x"}, {"v1", "v2", "x"}))
    assert none == 0
    assert both == pytest.approx(2 / 20)
    writer = replace(one.entry, sender=REACTION_PRESETS["own-answers"].sender)
    assert gain(replace(one, entry=writer, delivered={"a": 30}), set(), SETTINGS.prices) > 1
