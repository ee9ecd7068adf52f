"""Where few people calibrate: all of them do, by trees that never saw them; silence is no guilt."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support import scoring_points
from wavebreak import model
from wavebreak.engine.decision import STRONG, ScoreNumbers, pack_policy, score_outcome
from wavebreak.evaluation.label_votes import Labels
from wavebreak.evaluation.scoring_points import Bools, Floats, Points, to_catalog_columns
from wavebreak.model import ONE, to_fixed_point
from wavebreak.outcomes import CHALLENGE, LIMIT
from wavebreak_lab import training
from wavebreak_lab.training import config, model_card, thresholds, trainer
from wavebreak_lab.training.default_model import default_settings
from wavebreak_lab.training.splits import TEST, assign_folds, assign_splits
from wavebreak_lab.training.trainer import HoldoutScores, TrainingResult

TOLERANCE = config.load_settings().tolerance


@cache
def learned() -> TrainingResult:
    labels = scoring_points.labels()
    known = {k: t for k, t in labels.resolved.items() if not k[1].startswith("good1")}
    points = scoring_points.points()
    taken = trainer.with_unlabelled(Labels(known), points)
    return training.fit_model(points, taken, scoring_points.small(), name="m", seed=3)


def test_folds_keep_operators_together_and_exclude_test() -> None:
    points, resolved = scoring_points.points(), scoring_points.labels().resolved
    splits = assign_splits(points, resolved, 3, config.load_settings().split)
    part = assign_folds(points, resolved, 3, splits, 5)
    assert ((part >= 0) == (splits.account < TEST)).all()
    assert np.bincount(part[part >= 0]).min() > 40
    by_operator: dict[str, set[int]] = {}
    for key, number in zip(points.accounts, part.tolist(), strict=True):
        if resolved[key].operator:
            by_operator.setdefault(resolved[key].operator, set()).add(number)
    assert all(len(pack_policy) == 1 for pack_policy in by_operator.values())


def test_cross_fit_scores_only_unseen_accounts(monkeypatch: pytest.MonkeyPatch) -> None:
    points = scoring_points.points()
    part = np.arange(len(points.accounts)) % 4 - 1
    late = points.ts > np.quantile(points.ts, 0.9)
    fits = []

    def fit(rows: Bools, number: int) -> set[int]:
        assert not (rows & late).any()
        fits.append(number)
        return set(points.account[rows].tolist())

    def held_out(
        seen: set[int], _points: Points, shown: Floats, rows: Bools, *_: Any
    ) -> HoldoutScores:
        assert not seen & set(points.account[rows].tolist())
        assert len(shown) == rows.sum()
        return HoldoutScores(rows, np.ones(rows.sum()), np.zeros(rows.sum()), np.ones((0, 2)))

    monkeypatch.setattr(trainer, "score_holdout", held_out)
    rows = np.asarray(part[points.account] >= 0)
    made = trainer.cross_fit(
        fit,
        points,
        points.values[rows],
        part,
        late,
        np.zeros(len(points), bool),
        2,
        to_catalog_columns,
    )
    assert fits == [0, 1, 2]
    assert (made.rows == rows).all()
    assert len(made.margins) == rows.sum()
    assert not np.isnan(made.margins).any()


def test_small_population_depends_on_silent_accounts() -> None:
    given = config.load_settings()
    assert given.few is not None
    assert thresholds.points_needed(given.few.silent, TOLERANCE.confidence) == 2_995
    assert learned().small_population
    assert learned().folds == 5
    assert learned().model.silent == "observe"
    generous = scoring_points.replace_struct(
        scoring_points.small(),
        few=scoring_points.replace_struct(given.few, silent=0.5),
    )
    enough = training.fit_model(
        scoring_points.points(), scoring_points.labels(), generous, name="m", seed=3
    )
    assert (enough.small_population, enough.folds, enough.model.silent) == (False, 0, None)


def test_small_population_bounds_probabilities() -> None:
    made = learned()
    benign = int((made.subjects.known & ~made.subjects.abusive).sum())
    share = 3 / benign
    assert made.model.calibration.levels[-1] < 0.001 / (0.001 + 0.999 * share)


def test_default_settings_have_no_small_population() -> None:
    default = default_settings(config.load_settings())
    assert default.few is None
    assert b'"few"' not in default.digested()


def test_small_population_thresholds_count_accounts() -> None:
    margins = np.array([0.0, 1.0, 5.0, 2.0, 2.5])
    account = np.array([0, 0, 1, 1, 2])
    silent = np.array([True, False, True, False, False])
    made = thresholds.find_thresholds(margins, account, TOLERANCE, silent=silent)
    assert made["observe"].at == 5 * ONE + 1
    assert made["observe"].counted == "points"
    # No harder outcome begins below a milder one.
    assert made["restrict"].at == 5 * ONE + 1
    assert (made["restrict"].counted, made["restrict"].points) == ("accounts", 3)
    many = np.concatenate([np.zeros(20_000), margins])
    whose = np.concatenate([np.arange(20_000) % 3, account])
    alone = np.concatenate([np.zeros(20_000, bool), silent])
    made = thresholds.find_thresholds(many, whose, TOLERANCE, silent=alone)
    assert (
        made["observe"].at < made["challenge"].at == made["ban"].at == int(to_fixed_point(2.5)) + 1
    )


def test_silent_account_outcome_is_capped_by_the_model() -> None:
    score = ScoreNumbers({LIMIT: 100, STRONG: 200}, {}, silent=CHALLENGE)
    policy = pack_policy([], suspend_after=3, double_at_most=4, score=score)
    assert [int(score_outcome(policy, m, 0, 1)) for m in (99, 100, 200)] == [
        0,
        CHALLENGE,
        CHALLENGE,
    ]
    assert int(score_outcome(policy, 200, 0, 0)) == STRONG


def test_silent_cap_is_saved_and_part_of_the_version(tmp_path: Path) -> None:
    made = learned().model
    model.save(made, tmp_path)
    assert model.load(tmp_path).silent == "observe"
    free = replace(made, silent=None)
    assert free.version != made.version
    assert '"silent"' not in free.metadata()


def test_suspected_unlabelled_accounts_are_listed_by_score(tmp_path: Path) -> None:
    made = learned()
    assert made.suspected
    assert all(key[1].startswith("good1") for key, _ in made.suspected)
    margins = [margin for _, margin in made.suspected]
    assert margins == sorted(margins, reverse=True)
    assert margins[-1] > 0
    training.write_model_directory(made, training.evaluate_model(made), tmp_path)
    lines = (tmp_path / "suspected.csv").read_text().splitlines()
    assert lines[0] == "account,world,margin"
    assert len(lines) == 1 + len(margins)
    said = model_card.small_population_notes(made)
    assert "5 parts" in said[0]
    assert "suspected.csv" in said[1]
    assert "accounts count" in model_card.thresholds_table(made).note
