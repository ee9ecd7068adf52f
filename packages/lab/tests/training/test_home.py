"""Learning at home: whom a platform learns from, its line, and what hands can teach it."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import msgspec
import numpy as np
import pytest

from support import home_stream
from support.home_stream import DAY, HOUR, MINUTE, START
from wavebreak.evaluation import home_learning
from wavebreak.evaluation.home_learning import (
    AFTER_ENFORCEMENT,
    Check,
    HomeDays,
    Lesson,
    find_line,
    label_days,
    load_terms,
    measure_met,
)
from wavebreak.evaluation.scoring_points import Floats
from wavebreak.model import Model
from wavebreak_lab.training.home import fit_home

TERMS = load_terms()
END = START + 8 * DAY


def named(days: HomeDays, mask: object) -> set[str]:
    """Names of the accounts of a mask."""
    return {days.points.accounts[n][1] for n in np.flatnonzero(np.asarray(mask)).tolist()}


@cache
def learned() -> tuple[Lesson, Model, Floats]:
    lesson, model, margins = home_learning.learn(home_stream.days(), TERMS, fit_home, name="home-1")
    assert model is not None
    assert margins is not None
    return lesson, model, margins


def test_convicted_and_answered_accounts_are_labels() -> None:
    days = home_stream.days()
    labels = label_days(days, TERMS)
    assert named(days, labels.positive) == {f"bad{n}" for n in range(24)}
    assert named(days, labels.answered) == {f"good{n}" for n in range(70)}
    assert labels.operators == 24


def test_silent_account_is_no_label() -> None:
    quiet = [home_stream.message("quiet", f"q{k}", START + k * HOUR, 50) for k in range(40)]
    days = home_stream.recorded(home_stream.in_order([*home_stream.events(), *quiet]))
    labels = label_days(days, TERMS)
    assert "quiet" not in named(days, labels.positive | labels.answered)
    assert labels.left_out["neither convicted nor answered"] >= 1


def test_account_that_wrote_to_two_traps_is_convicted_unless_a_person_clears_it() -> None:
    reached = {"good1": 2, "good2": 1, "good3": 2, "quiet": 2}
    rows = [home_stream.message("quiet", f"quiet-p{k}", START + k * HOUR, 50) for k in range(9)]
    cleared = home_stream.label("good3", "benign", "analyst", END)
    days = home_stream.recorded(
        home_stream.in_order([*home_stream.events(), *rows, cleared]),
        traps=[f"{account}-p{k}" for account, count in reached.items() for k in range(count)],
    )
    labels = label_days(days, TERMS)
    assert {"good1", "quiet"} <= named(days, labels.positive)
    assert {"good2", "good3"} <= named(days, labels.answered)
    assert labels.sources["convicted by traps"] == 2
    assert labels.sources["convicted by the tests"] == 24


def test_person_upholds_and_an_appeal_clears() -> None:
    said = [
        home_stream.label("bad0", "benign", "appeal", END),
        home_stream.label("good0", "abusive", "analyst", END),
        home_stream.label("good1", "abusive", "partner", END),
    ]
    days = home_stream.recorded(home_stream.in_order([*home_stream.events(), *said]))
    labels = label_days(days, TERMS)
    assert {"bad0", "good1"} <= named(days, labels.answered)
    assert "good0" in named(days, labels.positive)
    assert labels.sources["upheld by a reviewer"] == 1
    assert "bad0" in named(days, label_days(days, TERMS, END - 1).positive)


def test_nothing_is_learned_from_evidence_or_enforcement() -> None:
    days = home_stream.days()
    used = set(days.points.names)
    assert not used & {*home_learning.RESULTS, *AFTER_ENFORCEMENT, "refused", "enforcement_level"}


def test_line_spares_answered_accounts() -> None:
    lesson, model, margins = learned()
    days = home_stream.days()
    labels = label_days(days, TERMS)
    found = measure_met(margins, home_learning.line_of(model), days, labels.answered, -1)
    assert found.first_messages == lesson.first_messages > 400
    assert found.share <= TERMS.drawn
    assert lesson.caught >= 20
    assert len(lesson.features) > 0
    assert sum(group.accounts for group in lesson.groups) >= 94


def test_score_is_one_half_at_the_line() -> None:
    _, model, _ = learned()
    line = int(model.training["line"])
    below, at = model.calibration.probability([line - 1, line]).tolist()
    assert below < home_learning.AT_LINE <= at
    assert model.at_home
    assert model.thresholds == {}


def test_same_days_give_the_same_model() -> None:
    _, model, _ = learned()
    again = home_learning.learn(home_stream.days(), TERMS, fit_home, name="home-1")[1]
    assert again is not None
    assert again.digest == model.digest


def test_score_alone_meets_nobody() -> None:
    days = home_stream.days()
    everybody = np.ones(len(days.points.accounts), bool)
    found = measure_met(np.full(len(days.points), 9.0), 0.0, days, everybody, -1)
    met = {days.points.accounts[n][1] for n in found.accounts.tolist()}
    assert met <= {f"bad{n}" for n in range(24)} | {f"good{n}" for n in range(0, 70, 9)}


def test_few_labels_give_no_line_and_say_so() -> None:
    days = home_stream.recorded(home_stream.events(senders=6))
    lesson, model, _ = home_learning.learn(days, TERMS, fit_home, name="home-1")
    assert model is None
    assert lesson.line is None
    assert lesson.no_line.startswith("Too few labels: 6 accounts of 6 operators")


def brigade(victims: int, networks: int) -> list[home_stream.Row]:
    """Newcomers of a few networks have people write first, and block them."""
    rows = []
    for k in range(networks * 6):
        rows.append(home_stream.registration(f"brig{k}", START, f"192.0.{k % networks}.9"))
    for v in range(victims):
        for k in range(networks * 6):
            at = START + 8 * DAY + v * HOUR + k * MINUTE
            rows.append(home_stream.message(f"victim{v}", f"brig{k}", at, 20 + k))
            rows.append(home_stream.complaint(f"brig{k}", f"victim{v}", at + MINUTE))
    return rows


@pytest.mark.parametrize(("networks", "most"), [(1, 0), (3, TERMS.most_of_a_reporter)])
def test_one_group_of_reporters_convicts_few(networks: int, most: int) -> None:
    rows = [*home_stream.events(), *brigade(15, networks)]
    days = home_stream.recorded(home_stream.in_order(rows))
    labels = label_days(days, TERMS)
    victims = [name for name in named(days, labels.positive) if name.startswith("victim")]
    assert len(victims) <= most
    assert labels.left_out["convicted by reports of too few operators"] >= 14 - most
    assert {f"bad{n}" for n in range(24)} <= named(days, labels.positive)


def test_all_accounts_of_an_operator_weigh_little() -> None:
    days = home_stream.days()
    bad = np.array([name.startswith("bad") for _, name in days.points.accounts])
    together = replace(days, operator=np.where(bad, -1, days.operator))
    labels = label_days(together, TERMS)
    assert labels.weight[bad].sum() == pytest.approx(TERMS.most_of_an_operator)
    assert "of 1 operators" in labels.too_few(TERMS)


def test_bought_answers_only_make_the_line_stricter() -> None:
    days = home_stream.days()
    labels = label_days(days, TERMS)
    margins = np.where(labels.positive[days.points.account], 2.0, -2.0)
    before = find_line(margins, days, labels, TERMS)
    liked = labels.answered | (np.cumsum(labels.positive) <= 3) & labels.positive
    bought = replace(labels, answered=liked)
    after = find_line(margins, days, bought, TERMS)
    assert before == 0.0
    assert after is None or after > before


def check(**changed: object) -> Check:
    plain = Check(
        end_ms=0, days=3, first_messages=1_000, met=4, accounts=40, granted=0, moved=0.0, too_few=""
    )
    return msgspec.structs.replace(plain, **changed)


@pytest.mark.parametrize(
    ("changed", "held"),
    [({}, True), ({"met": 6}, False), ({"days": 2}, None), ({"first_messages": 99}, None)],
)
def test_shadow_holds_for_days_before_a_score_acts(
    changed: dict[str, int], held: bool | None
) -> None:
    assert home_learning.verdict_in_shadow(check(**changed), TERMS)[0] is held


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, ""),
        ({"met": 11}, "It meets 1.10%"),
        ({"moved": 0.3}, "Its scores have moved"),
        ({"granted": 3}, "3 of the 40 accounts that it met won an appeal"),
        ({"granted": 2}, ""),
        ({"too_few": "Too few labels."}, "Too few labels."),
    ],
)
def test_acting_score_is_withdrawn(changed: dict[str, object], words: str) -> None:
    fault = home_learning.fault_of_acting(check(**changed), TERMS)
    assert fault.startswith(words)
    assert bool(fault) == bool(words)


def test_check_counts_days_after_the_lesson_alone() -> None:
    _, model, _ = learned()
    later = home_stream.events(first=200, start=START + 7 * DAY, seed=5)
    appeal = home_stream.label("bad201", "benign", "appeal", START + 14 * DAY)
    days = home_stream.recorded(home_stream.in_order([*home_stream.events(), *later, appeal]))
    found = home_learning.check_score(model, days, TERMS, START + 7 * DAY)
    assert found.first_messages > 400
    assert found.share <= 0.03
    assert found.accounts >= 12
    assert found.granted == 1


def test_outside_lists_teach_nothing() -> None:
    named_by = [
        {"ts": START + n * HOUR, "type": "account.listed", "account": who, "list": "cme",
         "entry": "ab" * 32, "advice": "refuse"}
        for n, who in enumerate(("good1", "bad1", "nobody"))
    ]  # fmt: skip
    days = home_stream.recorded(home_stream.in_order([*home_stream.events(), *named_by]))
    labels, plain = label_days(days, TERMS), label_days(home_stream.days(), TERMS)
    assert named(days, labels.positive) == named(home_stream.days(), plain.positive)
    assert named(days, labels.answered) == named(home_stream.days(), plain.answered)
    assert (labels.left_out, days.votes) == (plain.left_out, home_stream.days().votes)
