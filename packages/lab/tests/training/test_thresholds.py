"""Calibration, thresholds from a tolerance, and measures."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from wavebreak.model import ONE, to_fixed_point
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
        assert not found.is_short
        assert found.bound <= found.tolerance
        assert found.false == (to_fixed_point(margins) >= found.margin).sum()
        assert thresholds.upper_bound(found.false + 1, 50_000, 0.95) > found.tolerance
    assert made["observe"].false_accounts <= made["observe"].false


def test_too_few_points_give_the_extreme_threshold(
    rng: np.random.Generator,
) -> None:
    margins = rng.normal(size=1_000)
    ban = thresholds.find_thresholds(margins, np.arange(1_000), TOLERANCE)["ban"]
    assert ban.is_short
    assert ban.false == 0
    assert ban.margin == to_fixed_point(margins).max() + 1
    assert ban.needed == 299_572
    assert ban.bound == pytest.approx(0.003, rel=0.01)


def test_thresholds_rise_with_severity(rng: np.random.Generator) -> None:
    made = thresholds.find_thresholds(rng.normal(size=20_000), np.arange(20_000), TOLERANCE)
    at = [found.margin for found in made.values()]
    assert at == sorted(at)


def test_points_with_equal_margins_are_all_counted() -> None:
    margins = np.repeat([0.0, 1.0], [9_000, 1_000])
    made = thresholds.find_thresholds(margins, np.arange(10_000), TOLERANCE)
    assert {found.false for found in made.values()} == {0}
    assert made["ban"].margin == ONE + 1


def test_bound_matches_clopper_pearson() -> None:
    assert thresholds.upper_bound(0, 59, 0.95) == pytest.approx(1 - 0.05 ** (1 / 59))
    assert thresholds.upper_bound(1, 1_000, 0.95) == pytest.approx(0.004735, abs=1e-5)


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
    for low, high in itertools.pairwise([-2.0, -1.0, 0.0, 1.0, 2.0]):
        rows = (margins >= low) & (margins < high)
        share = float((weight * bad)[rows].sum() / weight[rows].sum())
        assert float(np.average(said[rows], weights=weight[rows])) == pytest.approx(share, rel=0.25)


def test_recall_keeps_to_the_false_positive_rate() -> None:
    score = np.concatenate([np.arange(1_000.0), np.full(10, 997.5)])
    bad = np.arange(1_010) >= 1_000
    none, few = evaluation.measure(score, bad, 0.001).recalls
    assert (none.caught, none.false) == (0, 1)
    assert (few.caught, few.false, few.benign) == (10, 10, 1_000)
    assert few.precision == pytest.approx(0.001 / (0.001 + 0.999 * 0.01))
