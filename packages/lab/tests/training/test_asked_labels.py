"""Labels that reviewers are asked for: the draw, the estimates, the line, and the answers' file."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from support import home_stream
from support.home_stream import DAY, START
from wavebreak.errors import FileError
from wavebreak.evaluation.asked_labels import (
    MIN_ABUSIVE,
    MIN_BENIGN,
    SECOND_LOOKS,
    Question,
    choose_questions,
    draw,
    estimate_share,
    most_contradicted,
    questions_csv,
    read_answers,
)
from wavebreak.evaluation.home_learning import (
    HomeDays,
    HomeLabels,
    Lesson,
    check_score,
    curve_of,
    label_days,
    learn,
    load_terms,
    model_margins,
)
from wavebreak.evaluation.labels import LabelVote
from wavebreak.evaluation.scoring_points import Floats
from wavebreak.model import Model
from wavebreak_lab.training.home import fit_home

TERMS = load_terms()


def names(questions: Iterable[Question]) -> list[str]:
    return [question.account for question in questions]


@cache
def quiet_days() -> HomeDays:
    """Days on which nobody complains: 40 senders whom few answer, 120 people."""
    rows = [row for row in home_stream.events(40, 120) if row["type"] != "user.blocked"]
    return home_stream.recorded(rows)


def answered_days(number: int = 60, wrong: Iterable[str] = ()) -> HomeDays:
    """The same, with answers of reviewers, who know the senders by their names."""
    days = quiet_days()
    questions = choose_questions(days, number, seed=1)
    wrong, chances = set(wrong), {question.account: question.chance for question in questions}
    votes = tuple(
        LabelVote("", a, ("abusive" if (a[0] == "b") != (a in wrong) else "benign"), "", "",
                  "analyst", days.end_ms)
        for a in chances
    )  # fmt: skip
    chance = np.array([chances.get(name, 0.0) for _, name in days.points.accounts])
    return replace(days, votes=votes, chance=chance)


@cache
def learned() -> tuple[Lesson, Model]:
    lesson, model, _ = learn(answered_days(), TERMS, fit_home, name="home-1")
    assert model is not None
    return lesson, model


def test_draw_has_the_stated_chances() -> None:
    size, rng = np.array([1.0, 2.0, 3.0, 4.0, 30.0]), np.random.default_rng(5)
    counts = Counter[int]()
    for _ in range(4000):
        places, chance = draw(size, 3, rng)
        counts.update(places.tolist())
    assert chance == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert [counts[n] / 4000 for n in range(5)] == pytest.approx(chance, abs=0.03)


def test_questions_have_the_stated_chances() -> None:
    days, drawn, chance = quiet_days(), Counter[str](), dict[str, list[float]]()
    for seed in range(300):
        questions = choose_questions(days, 30, seed)
        drawn.update(names(questions))
        for question in questions:
            chance.setdefault(question.account, []).append(1 / question.chance)
    # By Horvitz and Thompson, what was drawn stands for all active senders.
    assert sum(map(sum, chance.values())) / 300 == pytest.approx(160, rel=0.03)
    senders = sum(sum(c) for a, c in chance.items() if a[0] == "b") / 300
    assert senders == pytest.approx(40, rel=0.05)
    assert sum(drawn[a] for a in drawn if a[0] == "b") / sum(drawn.values()) > 0.4


def test_draw_is_reproducible_and_asks_nobody_twice() -> None:
    days = quiet_days()
    first = choose_questions(days, 30, seed=1)
    assert first == choose_questions(days, 30, seed=1)
    assert first != choose_questions(days, 30, seed=2)
    later = choose_questions(days, 30, seed=1, known=names(first))
    assert not {*names(first)} & {*names(later)}
    assert {question.stratum for question in first} == {"chosen", "control"}


def test_at_most_one_account_of_an_operator_is_asked_about() -> None:
    days = quiet_days()
    one = replace(days, operator=np.where(days.operator < 20, 0, days.operator))
    questions = choose_questions(one, 100)
    of = dict(zip((name for _, name in one.points.accounts), one.operator.tolist(), strict=True))
    assert max(Counter(of[name] for name in names(questions)).values()) == 1
    assert not {of[name] for name in names(choose_questions(one, 100, known=names(questions)))} & {
        of[name] for name in names(questions)
    }


def test_estimates_are_unbiased_and_their_intervals_cover() -> None:
    rng = np.random.default_rng(8)
    bad, size = rng.random(3000) < 0.1, rng.pareto(1.5, 3000) + 0.2
    size[bad] *= 3
    shares, covered = [], 0
    for _ in range(300):
        places, chance = draw(size, 80, rng)
        share = estimate_share(bad[places], 1 / chance[places])
        shares.append(share.share)
        covered += share.low <= bad.mean() <= share.high
    assert np.mean(shares) == pytest.approx(bad.mean(), abs=0.01)
    assert covered / 300 > 0.9


def test_no_answers_say_nothing() -> None:
    nothing = estimate_share(np.zeros(0, bool), np.zeros(0))
    assert (nothing.low, nothing.high, nothing.accounts) == (0.0, 1.0, 0)


def test_few_answers_give_no_line_and_say_so() -> None:
    lesson, model, _ = learn(answered_days(20), TERMS, fit_home, name="home-1")
    assert model is None
    assert lesson.answers is not None
    assert lesson.answers.abusive < MIN_ABUSIVE or lesson.answers.benign < MIN_BENIGN
    assert "Too few answers of reviewers" in lesson.no_line


def test_answers_teach_where_nobody_complains() -> None:
    lesson, model = learned()
    answers = lesson.answers
    assert answers is not None
    assert answers.senders.low <= 0.25 <= answers.senders.high
    assert answers.height == pytest.approx(40 * 30 / (40 * 30 + 120 * 12), abs=0.08)
    curve = curve_of(model)
    assert curve is not None
    assert curve.slope > 0
    assert set(model.thresholds) == {"limit"}
    assert lesson.line is not None
    days = quiet_days()
    above = model_margins(model, days) >= lesson.line
    met = {days.points.accounts[n][1] for n in days.points.account[above & (days.opened > 0)]}
    assert len([name for name in met if name[0] == "b"]) >= 20
    assert not [name for name in met if name[0] == "g"]


def test_same_answers_give_the_same_model() -> None:
    again = learn(answered_days(), TERMS, fit_home, name="home-1")[1]
    assert again is not None
    assert again.version == learned()[1].version


def test_check_needs_no_complaint_where_reviewers_answered() -> None:
    check = check_score(learned()[1], answered_days(), TERMS, START + 2 * DAY)
    assert check.accounts > 0
    assert check.too_few == ""


def test_wrong_answers_are_looked_at_again() -> None:
    asked = names(choose_questions(quiet_days(), 60, seed=1))
    wrong = random.Random(4).sample(sorted(asked), 4)
    days = answered_days(wrong=wrong)
    labels = label_days(days, TERMS)
    _, margins = fit_home(days, labels, "home-1", 0)
    again = most_contradicted(margins, days, labels.positive, labels.reviewed)
    assert len(again) == SECOND_LOOKS
    assert len({*wrong} & {*again}) >= 3


QUESTIONS = [Question(account=f"a{n}", chance=0.5, stratum="chosen") for n in range(1200)]


def test_questions_come_back_as_answers(tmp_path: Path) -> None:
    text = questions_csv(QUESTIONS[:2])
    assert text.splitlines()[:2] == ["account,label,by,chance,stratum", "a0,,,0.5,chosen"]
    path = tmp_path / "asked.csv"
    path.write_text(text.replace("a0,,", "a0,abusive,ada").replace("a1,,", "a1,benign,"))
    assert read_answers(path, QUESTIONS) == {"a0": ("abusive", "ada"), "a1": ("benign", "")}


@pytest.mark.parametrize("written", ["=1+1", "'=1+1"])
def test_id_that_a_spreadsheet_would_run_comes_back(written: str, tmp_path: Path) -> None:
    question = Question(account="=1+1", chance=0.5, stratum="chosen")
    assert questions_csv([question]).splitlines()[1].startswith("'=1+1,")
    path = tmp_path / "asked.csv"
    path.write_text(f"account,label\n{written},benign\n")
    assert read_answers(path, [question]) == {"=1+1": ("benign", "")}


@pytest.mark.parametrize(
    ("lines", "words", "fix"),
    [
        (["a1,benign", "stranger,benign"], "line 3: nobody was asked", "keep the accounts"),
        (["a1,benign", "a2,benign", "a1,abusive"], "line 4 contradicts line 2", "one line"),
        (["a1,benign", "a1,benign"], "line 3 repeats line 2", "one line"),
        (["a1,evil"], "line 2, field label must be", "lower case"),
        (["a1,"], "line 2, field label must be", "lower case"),
        ([], "no answer", "fill in"),
        ([f"a{n},benign" for n in range(1001)], "line 1002: more than 1,000", "several files"),
    ],
)
def test_answers_that_are_refused(lines: list[str], words: str, fix: str, tmp_path: Path) -> None:
    path = tmp_path / "answers.csv"
    path.write_text("\n".join(["account,label", *lines, ""]))
    with pytest.raises(FileError) as error:
        read_answers(path, QUESTIONS)
    assert words in error.value.what
    assert fix in (error.value.fix or "")


def test_scores_that_tell_nobody_apart_give_no_line() -> None:
    def guess(days: HomeDays, labels: HomeLabels, name: str, seed: int) -> tuple[Model, Floats]:
        return learned()[1], np.random.default_rng(seed).normal(size=len(days.points))

    lesson, model, _ = learn(answered_days(), TERMS, guess, name="home-1")
    assert model is None
    assert "tell too few apart" in lesson.no_line
