"""Where few people calibrate: all of them do, by trees that never saw them; silence is no guilt."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support import scoring_points
from wavebreak import model, training
from wavebreak.engine.decision import CHALLENGE, SUSPEND, ScoreNumbers, numbers, weigh
from wavebreak.model import ONE, fixed
from wavebreak.training import config, model_card, splits, thresholds, trainer
from wavebreak.training.dataset import Bools, Floats, Points
from wavebreak.training.default_model import strict
from wavebreak.training.trainer import Held, Learned

TOLERANCE = config.load().tolerance


@cache
def learned() -> Learned:
    labels = scoring_points.labels()
    known = {k: t for k, t in labels.truths.items() if not k[1].startswith("good1")}
    points = scoring_points.points()
    taken = trainer.with_unlabelled(training.Labels(known), points)
    return training.learn(points, taken, scoring_points.small(), name="m", seed=3)


def test_every_account_but_the_tests_is_in_one_part_and_an_operator_in_no_two() -> None:
    points, truths = scoring_points.points(), scoring_points.labels().truths
    sides = splits.sides(points, truths, 3, config.load().split)
    part = splits.parts(points, truths, 3, sides, 5)
    assert ((part >= 0) == (sides.account < splits.TEST)).all()
    assert np.bincount(part[part >= 0]).min() > 40
    by_operator: dict[str, set[int]] = {}
    for key, number in zip(points.accounts, part.tolist(), strict=True):
        if truths[key].operator:
            by_operator.setdefault(truths[key].operator, set()).add(number)
    assert all(len(numbers) == 1 for numbers in by_operator.values())


def test_no_account_is_held_against_trees_that_saw_it(monkeypatch: pytest.MonkeyPatch) -> None:
    points = scoring_points.points()
    part = np.arange(len(points.accounts)) % 4 - 1
    late = points.ts > np.quantile(points.ts, 0.9)
    fits = []

    def fit(rows: Bools, number: int) -> set[int]:
        assert not (rows & late).any()
        fits.append(number)
        return set(points.account[rows].tolist())

    def held(seen: set[int], _points: Points, shown: Floats, rows: Bools, *_: Any) -> Held:
        assert not seen & set(points.account[rows].tolist())
        assert len(shown) == rows.sum()
        return Held(rows, np.ones(rows.sum()), np.zeros(rows.sum()), np.ones((0, 2)))

    monkeypatch.setattr(trainer, "assign_folds", held)
    rows = np.asarray(part[points.account] >= 0)
    made = trainer.cross_fit(
        fit, points, points.values[rows], part, late, np.zeros(len(points), bool), 2, trainer.wide
    )  # fmt: skip
    assert fits == [0, 1, 2]
    assert (made.rows == rows).all()
    assert len(made.margins) == rows.sum()
    assert not np.isnan(made.margins).any()


def test_people_are_few_until_so_many_silent_ones_show_the_share() -> None:
    given = config.load()
    assert given.few is not None
    assert thresholds.needed(given.few.silent, TOLERANCE.confidence) == 2_995
    assert learned().few
    assert learned().parts == 5
    assert learned().model.silent == "observe"
    generous = scoring_points.replace_struct(
        scoring_points.small(), few=scoring_points.replace_struct(given.few, silent=0.5)
    )
    enough = training.learn(
        scoring_points.points(), scoring_points.labels(), generous, name="m", seed=3
    )
    assert (enough.few, enough.parts, enough.model.silent) == (False, 0, None)


def test_no_probability_claims_more_than_few_people_show() -> None:
    made = learned()
    benign = int((made.subjects.known & ~made.subjects.abusive).sum())
    share = 3 / benign
    assert made.model.calibration.levels[-1] < 0.001 / (0.001 + 0.999 * share)


def test_the_default_models_settings_and_their_digest_know_nothing_of_few_people() -> None:
    default = strict(config.load())
    assert default.few is None
    assert b'"few"' not in default.digested()


def test_where_something_is_refused_accounts_count_and_their_silent_points_do_not() -> None:
    margins = np.array([0.0, 1.0, 5.0, 2.0, 2.5])
    account = np.array([0, 0, 1, 1, 2])
    silent = np.array([True, False, True, False, False])
    made = thresholds.thresholds(margins, account, TOLERANCE, silent=silent)
    assert made["observe"].at == 5 * ONE + 1
    assert made["observe"].counted == "points"
    # No harder outcome begins below a milder one.
    assert made["restrict"].at == 5 * ONE + 1
    assert (made["restrict"].counted, made["restrict"].points) == ("accounts", 3)
    many = np.concatenate([np.zeros(20_000), margins])
    whose = np.concatenate([np.arange(20_000) % 3, account])
    alone = np.concatenate([np.zeros(20_000, bool), silent])
    made = thresholds.thresholds(many, whose, TOLERANCE, silent=alone)
    assert made["observe"].at < made["challenge"].at == made["ban"].at == int(fixed(2.5)) + 1


def test_a_score_asks_of_a_silent_account_no_more_than_the_model_may() -> None:
    score = ScoreNumbers({CHALLENGE: 100, SUSPEND: 200}, {}, 1, SUSPEND, silent=CHALLENGE)
    policy = numbers([], suspend_after=3, double_at_most=4, quota=5, score=score)
    assert [int(weigh(policy, m, 0, 1)) for m in (99, 100, 200)] == [0, CHALLENGE, CHALLENGE]
    assert int(weigh(policy, 200, 0, 0)) == SUSPEND


def test_the_word_on_silent_accounts_is_kept_and_belongs_to_the_version(tmp_path: Path) -> None:
    made = learned().model
    model.save(made, tmp_path)
    assert model.load(tmp_path).silent == "observe"
    free = replace(made, silent=None)
    assert free.version != made.version
    assert '"silent"' not in free.told()


def test_who_is_doubted_without_a_word_is_named_worst_first(tmp_path: Path) -> None:
    made = learned()
    assert made.doubted
    assert all(key[1].startswith("good1") for key, _ in made.doubted)
    margins = [margin for _, margin in made.doubted]
    assert margins == sorted(margins, reverse=True)
    assert margins[-1] > 0
    training.write(made, training.tested(made), tmp_path)
    lines = (tmp_path / "doubted.csv").read_text().splitlines()
    assert lines[0] == "account,world,margin"
    assert len(lines) == 1 + len(margins)
    said = model_card.few_people(made)
    assert "5 parts" in said[0]
    assert "doubted.csv" in said[1]
    assert "accounts count" in model_card.tolerances(made).note
