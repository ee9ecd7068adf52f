"""Planted leaks are seen and refused; an honest log is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from support import scoring_points
from wavebreak.errors import TrainingError
from wavebreak.training import leakage
from wavebreak.training.dataset import Gathered, Points
from wavebreak.training.labels import Claim, Key
from wavebreak.training.trainer import learn

POINTS, LABELS, SMALL = scoring_points.points(), scoring_points.labels(), scoring_points.small()


def gathered(points: Points) -> Gathered:
    return Gathered(points, (), int(points.ts.max()), len(points))


def known_at(stop: int) -> Points:
    """What an honest replay of the first events gives: here a point an event."""
    return POINTS.where(np.arange(stop))


def test_rows_that_follow_from_the_log_so_far_pass() -> None:
    assert len(leakage.recomputed(gathered(POINTS), known_at, 5, 1)) == 5


def test_a_feature_that_knows_how_an_account_ends_is_refused_by_name() -> None:
    last = np.zeros(len(POINTS.accounts))
    last[POINTS.account] = POINTS.values[:, scoring_points.NAMES.index("sends_7d")]
    leaky = scoring_points.with_column(POINTS, "sends_1d", last[POINTS.account])
    with pytest.raises(TrainingError, match=r"leak of the future.*sends_1d"):
        leakage.recomputed(gathered(leaky), known_at, 3, 1)


def test_a_point_that_was_chosen_by_the_future_is_refused() -> None:
    chosen = POINTS.where(np.flatnonzero(POINTS.account % 2 == 0))
    with pytest.raises(TrainingError, match="other scoring points"):
        leakage.recomputed(gathered(chosen), known_at, 3, 1)


def test_a_missing_value_is_not_a_zero_to_the_check() -> None:
    filled = scoring_points.with_column(POINTS, "sends_1d", 0.0)
    holed = scoring_points.with_column(POINTS, "sends_1d", np.nan)
    with pytest.raises(TrainingError, match="sends_1d"):
        leakage.recomputed(gathered(filled), lambda n: holed.where(np.arange(n)), 1, 1)


def planted() -> Points:
    """Points in which a feature is the label, neither rising nor falling with it."""
    bad = np.array([LABELS.truths[key].abusive for key in POINTS.accounts])[POINTS.account]
    rng = np.random.default_rng(1)
    far = np.where(rng.random(len(POINTS)) < 0.5, -3.0, 3.0)
    noise = rng.normal(0.0, 0.1, len(POINTS))
    return scoring_points.with_column(POINTS, "channel", np.where(bad, far, 0.0) + noise)


def test_a_feature_that_is_the_label_is_refused_unless_allowed() -> None:
    with pytest.raises(TrainingError, match=r"channel \(AUC") as refused:
        learn(planted(), LABELS, SMALL, name="m", seed=1)
    assert "--allow channel" in refused.value.fix
    assert learn(planted(), LABELS, SMALL, name="m", seed=1, allow=["channel"]).allowed == (
        "channel",
    )


def test_a_label_that_shows_as_what_is_missing_is_refused_too() -> None:
    bad = np.array([LABELS.truths[key].abusive for key in POINTS.accounts])[POINTS.account]
    holed = scoring_points.with_column(POINTS, "attempts", np.where(bad, np.nan, 1.0))
    with pytest.raises(TrainingError, match="attempts"):
        learn(holed, LABELS, SMALL, name="m", seed=1)


def test_few_accounts_prove_no_leak() -> None:
    assert leakage.too_good({"channel": 1.0}, (5, 5), SMALL.leaks, ()) == []


def logged(ts: int, accounts: int) -> dict[tuple[Key, str], int]:
    return {(key, "file"): ts for key in POINTS.accounts[:accounts]}


def test_labels_that_stand_in_the_log_before_the_accounts_do_anything_are_refused() -> None:
    with pytest.raises(TrainingError, match="before they did anything"):
        learn(POINTS, LABELS, SMALL, name="m", seed=1, logged=logged(0, 100))


def test_points_after_the_accounts_own_label_are_left_out_and_counted() -> None:
    half = int(np.median(POINTS.ts))
    made = learn(POINTS, LABELS, SMALL, name="m", seed=1, logged=logged(half, 30))
    assert made.left_out["after the account's own label stood in the log"] == 90
    late = made.points.ts[made.points.account < 30]
    assert late.max() < half


def test_the_log_first_says_a_label_when_its_first_word_stands_there() -> None:
    claims = tuple(Claim("", "a", "abusive", "", "", "analyst", ts) for ts in (30, 10, 20))
    found = leakage.first_logged([replace(gathered(POINTS), claims=claims)])
    assert found == {(("", "a"), "analyst"): 10}
