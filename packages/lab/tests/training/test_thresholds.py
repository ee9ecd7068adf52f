"""Calibration, thresholds from a tolerance, the cascade, measures and the drift baseline."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from wavebreak.errors import FileError
from wavebreak.model import ONE, baseline, to_fixed_point
from wavebreak_lab.training import config, evaluation, thresholds


@pytest.fixture
def rng() -> np.random.Generator:
    """One for each test: what it draws does not hang on which tests ran before."""
    return np.random.default_rng(5)


TOLERANCE = config.load_settings().tolerance


def test_threshold_bounds_keep_to_the_tolerance(rng: np.random.Generator) -> None:
    margins = rng.normal(size=50_000)
    made = thresholds.find_thresholds(margins, np.arange(50_000) // 10, TOLERANCE)
    for outcome in ("observe", "challenge", "limit", "restrict"):
        found = made[outcome]
        assert not found.short
        assert found.bound <= found.tolerance
        assert found.false == (to_fixed_point(margins) >= found.at).sum()
        assert thresholds.upper_bound(found.false + 1, 50_000, 0.95) > found.tolerance
    assert made["observe"].false_accounts <= made["observe"].false


def test_too_few_points_give_the_extreme_threshold(
    rng: np.random.Generator,
) -> None:
    margins = rng.normal(size=1_000)
    ban = thresholds.find_thresholds(margins, np.arange(1_000), TOLERANCE)["ban"]
    assert ban.short
    assert ban.false == 0
    assert ban.at == to_fixed_point(margins).max() + 1
    assert ban.needed == 299_572
    assert ban.bound == pytest.approx(0.003, rel=0.01)


def test_thresholds_rise_with_severity(rng: np.random.Generator) -> None:
    made = thresholds.find_thresholds(rng.normal(size=20_000), np.arange(20_000), TOLERANCE)
    at = [found.at for found in made.values()]
    assert at == sorted(at)


def test_points_with_equal_margins_are_all_counted() -> None:
    margins = np.repeat([0.0, 1.0], [9_000, 1_000])
    made = thresholds.find_thresholds(margins, np.arange(10_000), TOLERANCE)
    assert {found.false for found in made.values()} == {0}
    assert made["ban"].at == ONE + 1


def test_bound_matches_clopper_pearson() -> None:
    assert thresholds.upper_bound(0, 59, 0.95) == pytest.approx(1 - 0.05 ** (1 / 59))
    assert thresholds.upper_bound(1, 1_000, 0.95) == pytest.approx(0.004735, abs=1e-5)


def test_cascade_loses_no_more_accounts_than_allowed(rng: np.random.Generator) -> None:
    partials = np.cumsum(rng.normal(0.3, 1.0, (2_000, 10)), axis=1)
    account = np.arange(2_000) // 2
    for lost in (0.0, 0.01):
        trace = thresholds.cascade_trace(partials, account, 0, lost)
        order = np.lexsort((partials[:, -1], account))
        best = order[1::2]
        best = best[to_fixed_point(partials[best, -1]) >= 0]
        let_go = (partials[best] < trace).any(axis=1)
        assert let_go.mean() <= lost
    assert (trace[:-1] > -np.inf).all()


def test_cascade_from_few_accounts_generalizes(rng: np.random.Generator) -> None:
    partials = np.cumsum(rng.normal(0.3, 1.0, (4_000, 10)), axis=1)
    partials = partials[to_fixed_point(partials[:, -1]) >= 0]
    trace = thresholds.cascade_trace(partials[:60], np.arange(60), 0, 0.001)
    assert (partials[60:] < trace).any(axis=1).mean() < 0.01


def test_cascade_without_abusive_points_rejects_nothing() -> None:
    trace = thresholds.cascade_trace(np.zeros((0, 4)), np.zeros(0, np.int64), 0, 0.1)
    assert np.isneginf(trace).all()


def test_calibration_is_monotone_and_matches_prevalence(
    rng: np.random.Generator,
) -> None:
    margins = rng.normal(size=20_000)
    bad = rng.random(20_000) < 1 / (1 + np.exp(-2 * margins))
    weight = np.where(bad, 0.001 / bad.sum(), 0.999 / (~bad).sum())
    steps = thresholds.calibration_steps(margins, bad, weight, (int((~bad).sum()), int(bad.sum())))
    assert (np.diff(steps.levels) > 0).all()
    assert steps.levels[0] > 0
    assert steps.levels[-1] < 1
    said = steps.probability(to_fixed_point(margins))
    assert float((weight * said).sum()) == pytest.approx(0.001, rel=0.02)
    for low, was, _ in evaluation.reliability(said, bad, weight):
        assert low == pytest.approx(was, rel=0.25, abs=1e-7)


def test_recall_keeps_to_the_false_positive_rate() -> None:
    score = np.concatenate([np.arange(1_000.0), np.full(10, 997.5)])
    bad = np.arange(1_010) >= 1_000
    none, few = evaluation.measure(score, bad, 0.001).recalls
    assert (none.caught, none.false) == (0, 1)
    assert (few.caught, few.false, few.benign) == (10, 10, 1_000)
    assert few.precision == pytest.approx(0.001 / (0.001 + 0.999 * 0.01))


def test_drift_index_names_the_feature_that_moved(tmp_path: Path, rng: np.random.Generator) -> None:
    values = rng.normal(size=(5_000, 2))
    values[:1_000, 1] = np.nan
    made = baseline.feature_baseline(("a", "b"), values, values[:, 0], 10)
    baseline.save(made, tmp_path)
    back = baseline.load(tmp_path)
    assert back == made
    assert baseline.population_stability_index(back["a"], values[:, 0]) < 1e-6
    assert baseline.population_stability_index(back["a"], values[:, 0] + 1.0) > 0.25
    assert baseline.population_stability_index(back["b"], np.full(100, np.nan)) > 0.25
    with pytest.raises(FileError, match=r"baseline\.json"):
        baseline.load(tmp_path / "elsewhere")
