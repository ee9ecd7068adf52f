"""Quantiles of honest accounts' rates, from counts of a few trials each."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from wavebreak.calibration.estimates import Ints, beta_quantile, estimate

BETA: Any = vars(stats)["beta"]


def counts(rates: np.ndarray, trials: int, seed: int = 3) -> tuple[Ints, Ints]:
    random = np.random.default_rng(seed)
    n = np.full(rates.size, trials, np.int64)
    return n, random.binomial(n, rates).astype(np.int64)


@pytest.mark.parametrize(("a", "b"), [(2.0, 3.0), (1.0, 1.0), (8.0, 2.0), (0.6, 20.0)])
@pytest.mark.parametrize("level", [0.05, 0.5, 0.95])
def test_beta_quantile_agrees_with_scipy(a: float, b: float, level: float) -> None:
    mean, variance = BETA.stats(a, b)
    expected = BETA.ppf(level, a, b)
    assert beta_quantile(float(mean), float(variance), level) == pytest.approx(expected, abs=0.003)


@pytest.mark.parametrize("trials", [8, 20, 100])
def test_quantile_is_found_from_few_trials_each(trials: int) -> None:
    rates = np.random.default_rng(1).beta(4, 6, 4_000)
    n, k = counts(rates, trials)
    found = estimate(n, k, contamination=0, beyond=0.05, floor=True, resamples=50)
    assert found.quantile == pytest.approx(BETA.ppf(0.05, 4, 6), abs=0.03)
    assert found.low <= found.quantile <= found.high


def test_contamination_is_removed_from_the_bad_side() -> None:
    random = np.random.default_rng(2)
    rates = np.concatenate([random.beta(8, 8, 1_900), np.full(100, 0.02)])
    n, k = counts(rates, 60)
    clean = estimate(n[:1_900], k[:1_900], contamination=0, beyond=0.05, floor=True, resamples=20)
    mixed = estimate(n, k, contamination=0, beyond=0.05, floor=True, resamples=20)
    cured = estimate(n, k, contamination=0.05, beyond=0.05, floor=True, resamples=20)
    assert mixed.quantile < clean.quantile - 0.05
    assert cured.quantile == pytest.approx(clean.quantile, abs=0.03)
    assert cured.removed == 100


def test_ceiling_lies_above_the_mean_and_floor_below() -> None:
    rates = np.random.default_rng(5).beta(2, 60, 3_000)
    n, k = counts(rates, 40)
    ceiling = estimate(n, k, contamination=0, beyond=0.05, floor=False, resamples=20)
    floor = estimate(n, k, contamination=0, beyond=0.05, floor=True, resamples=20)
    assert floor.quantile < floor.mean < ceiling.quantile


def test_interval_narrows_with_accounts() -> None:
    def width(accounts: int) -> float:
        rates = np.random.default_rng(1).beta(4, 6, accounts)
        n, k = counts(rates, 12)
        found = estimate(n, k, contamination=0.05, beyond=0.05, floor=True, resamples=60)
        return found.high - found.low

    assert width(4_000) < width(250)


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_accounts_that_are_all_alike_give_their_rate(rate: float) -> None:
    n = np.full(300, 10, np.int64)
    k = (n * rate).astype(np.int64)
    found = estimate(n, k, contamination=0.05, beyond=0.05, floor=True, resamples=20)
    assert found.quantile == pytest.approx(rate, abs=1e-6)
