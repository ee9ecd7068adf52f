"""Planted leaks are seen and refused; an honest log is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from support import scoring_points
from wavebreak.errors import TrainingError
from wavebreak.evaluation.label_votes import Key, LabelVote
from wavebreak.evaluation.scoring_points import Points, ReplayResult
from wavebreak_lab.training import leakage
from wavebreak_lab.training.trainer import fit_model

POINTS, LABELS, SMALL = scoring_points.points(), scoring_points.labels(), scoring_points.small()


def replays(points: Points) -> ReplayResult:
    return ReplayResult(points, (), int(points.ts.max()), len(points))


def known_at(stop: int) -> Points:
    """What an honest replay of the first events gives: here a point an event."""
    return POINTS.select(np.arange(stop))


def test_future_leak_check_accepts_causal_rows() -> None:
    assert len(leakage.check_future_leak(replays(POINTS), known_at, 5, 1)) == 5


def test_future_leak_check_names_the_leaking_feature() -> None:
    last = np.zeros(len(POINTS.accounts))
    last[POINTS.account] = POINTS.values[:, scoring_points.NAMES.index("sends_7d")]
    leaky = scoring_points.with_column(POINTS, "sends_1d", last[POINTS.account])
    with pytest.raises(TrainingError, match=r"leak of the future.*sends_1d"):
        leakage.check_future_leak(replays(leaky), known_at, 3, 1)


def test_future_leak_check_refuses_selected_points() -> None:
    chosen = POINTS.select(np.flatnonzero(POINTS.account % 2 == 0))
    with pytest.raises(TrainingError, match="other scoring points"):
        leakage.check_future_leak(replays(chosen), known_at, 3, 1)


def test_future_leak_check_tells_missing_from_zero() -> None:
    filled = scoring_points.with_column(POINTS, "sends_1d", 0.0)
    holed = scoring_points.with_column(POINTS, "sends_1d", np.nan)
    with pytest.raises(TrainingError, match="sends_1d"):
        leakage.check_future_leak(replays(filled), lambda n: holed.select(np.arange(n)), 1, 1)


def planted() -> Points:
    """Points in which a feature is the label, neither rising nor falling with it."""
    bad = np.array([LABELS.resolved[key].abusive for key in POINTS.accounts])[POINTS.account]
    rng = np.random.default_rng(1)
    far = np.where(rng.random(len(POINTS)) < 0.5, -3.0, 3.0)
    noise = rng.normal(0.0, 0.1, len(POINTS))
    return scoring_points.with_column(POINTS, "channel", np.where(bad, far, 0.0) + noise)


def test_label_feature_is_refused_unless_allowed() -> None:
    with pytest.raises(TrainingError, match=r"channel \(AUC") as refused:
        fit_model(planted(), LABELS, SMALL, name="m", seed=1)
    assert "--allow channel" in refused.value.fix
    assert fit_model(planted(), LABELS, SMALL, name="m", seed=1, allow=["channel"]).allowed == (
        "channel",
    )


def test_label_encoded_as_missing_values_is_refused() -> None:
    bad = np.array([LABELS.resolved[key].abusive for key in POINTS.accounts])[POINTS.account]
    holed = scoring_points.with_column(POINTS, "attempts", np.where(bad, np.nan, 1.0))
    with pytest.raises(TrainingError, match="attempts"):
        fit_model(holed, LABELS, SMALL, name="m", seed=1)


def test_single_feature_check_needs_enough_accounts() -> None:
    assert leakage.check_single_features({"channel": 1.0}, (5, 5), SMALL.leaks, ()) == []


def logged(ts: int, accounts: int) -> dict[tuple[Key, str], int]:
    return {(key, "file"): ts for key in POINTS.accounts[:accounts]}


def test_labels_logged_before_activity_are_refused() -> None:
    with pytest.raises(TrainingError, match="before they did anything"):
        fit_model(POINTS, LABELS, SMALL, name="m", seed=1, logged=logged(0, 100))


def test_points_after_the_label_are_excluded_and_counted() -> None:
    half = int(np.median(POINTS.ts))
    made = fit_model(POINTS, LABELS, SMALL, name="m", seed=1, logged=logged(half, 30))
    assert made.left_out["after the account's own label stood in the log"] == 90
    late = made.points.ts[made.points.account < 30]
    assert late.max() < half


def test_first_label_times_takes_the_earliest_vote() -> None:
    votes = tuple(LabelVote("", "a", "abusive", "", "", "analyst", ts) for ts in (30, 10, 20))
    found = leakage.first_label_times([replace(replays(POINTS), votes=votes)])
    assert found == {(("", "a"), "analyst"): 10}
