"""Ceilings of complaints: quantiles of rates from few trials, limits, and few accounts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace
from scipy import stats

from wavebreak.engine import Engine
from wavebreak.errors import PolicyError
from wavebreak.evaluation.complaint_ceilings import (
    FEATURES,
    Ceiling,
    CeilingTerms,
    Ints,
    beta_quantile,
    ceilings_of,
    estimate_ceiling,
    evidence_values,
    propose_ceilings,
)
from wavebreak.evaluation.home_learning import load_terms
from wavebreak.features.catalog import NAMES
from wavebreak.features.layout import ROW
from wavebreak.rules import load_policy

BETA: Any = vars(stats)["beta"]
POLICY = load_policy()
TERMS = load_terms().ceilings
PLAIN = replace(TERMS, contamination=0.0, resamples=20)


def counts(rates: np.ndarray, trials: int, seed: int = 3) -> tuple[Ints, Ints]:
    random = np.random.default_rng(seed)
    n = np.full(rates.size, trials, np.int64)
    return n, random.binomial(n, rates).astype(np.int64)


def accounts(
    complaints: float = 0.001, *, size: int = 1_000, trials: int = 40, answers: int = 30
) -> Any:
    """Rows of accounts with so many strangers, of whom a share complains."""
    rows = np.zeros(size, ROW)
    rows["trials"], rows["contacted"], rows["trials_answered"] = trials, trials, answers
    rows["complaints"] = np.random.default_rng(1).binomial(trials, complaints, size)
    return rows


def proposed(
    rows: Any, terms: CeilingTerms = TERMS, covered: frozenset[str] = frozenset(NAMES)
) -> dict[str, Ceiling]:
    return {ceiling.name: ceiling for ceiling in ceilings_of(rows, POLICY, covered, terms)}


@pytest.mark.parametrize(("a", "b"), [(2.0, 3.0), (1.0, 1.0), (8.0, 2.0), (0.6, 20.0)])
@pytest.mark.parametrize("level", [0.05, 0.5, 0.95])
def test_beta_quantile_agrees_with_scipy(a: float, b: float, level: float) -> None:
    mean, variance = BETA.stats(a, b)
    expected = BETA.ppf(level, a, b)
    assert beta_quantile(float(mean), float(variance), level) == pytest.approx(expected, abs=0.003)


@pytest.mark.parametrize("trials", [8, 20, 100])
def test_quantile_follows_from_few_trials_each(trials: int) -> None:
    rates = np.random.default_rng(1).beta(4, 60, 4_000)
    estimate = estimate_ceiling(*counts(rates, trials), replace(PLAIN, resamples=50))
    assert estimate.quantile == pytest.approx(BETA.ppf(0.95, 4, 60), abs=0.03)
    assert estimate.low <= estimate.quantile <= estimate.high
    assert estimate.mean < estimate.quantile


def test_outlying_accounts_are_removed_and_no_more_than_are_assumed() -> None:
    random = np.random.default_rng(2)
    rates = np.concatenate([random.beta(4, 60, 1_900), np.full(100, 0.9)])
    n, k = counts(rates, 60)
    clean = estimate_ceiling(n[:1_900], k[:1_900], PLAIN)
    mixed = estimate_ceiling(n, k, PLAIN)
    cured = estimate_ceiling(n, k, replace(PLAIN, contamination=0.05))
    assert mixed.quantile > clean.quantile + 0.05
    assert cured.quantile == pytest.approx(clean.quantile, abs=0.03)
    assert cured.removed == 100


def test_interval_narrows_with_accounts() -> None:
    def width(size: int) -> float:
        rates = np.random.default_rng(1).beta(4, 60, size)
        estimate = estimate_ceiling(*counts(rates, 12), replace(PLAIN, resamples=60))
        return estimate.high - estimate.low

    assert width(4_000) < width(250)


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_accounts_that_are_all_alike_give_their_rate(rate: float) -> None:
    n = np.full(300, 10, np.int64)
    estimate = estimate_ceiling(n, (n * rate).astype(np.int64), TERMS)
    assert estimate.quantile == pytest.approx(rate, abs=1e-6)


def test_ceiling_follows_complaints_within_its_limits() -> None:
    quiet, loud = proposed(accounts(0.001))["complaint"], proposed(accounts(0.3))["complaint"]
    assert TERMS.complaint[0] <= quiet.proposed < POLICY.evidence.complaint
    assert loud.proposed == TERMS.complaint[1]
    assert quiet.interval is not None
    assert quiet.interval[1] <= quiet.proposed
    # A lower ceiling meets no fewer accounts.
    assert quiet.limited[0] <= quiet.limited[1]


def test_each_ceiling_moves_by_its_own_counts() -> None:
    ceilings = proposed(accounts(0.3))
    assert ceilings["complaint"].changed
    assert not ceilings["complaint_of_reactions"].changed
    assert ceilings["complaint_of_reactions"].accounts == 0


def test_small_difference_keeps_the_number_in_force() -> None:
    now = POLICY.evidence.complaint
    near = replace(TERMS, complaint=(now * 1.05, now * 1.05))
    assert not proposed(accounts(0.001), near)["complaint"].changed
    assert proposed(accounts(0.001), replace(near, change=0.01))["complaint"].changed


@pytest.mark.parametrize(
    "rows",
    [accounts(0.3, size=TERMS.accounts - 1), accounts(0.3, trials=TERMS.trials - 1, answers=5),
     accounts(0.3, answers=1), accounts(0.3, answers=12)],
    ids=["few accounts", "few trials", "one answer", "fewer than a third answered"],
)  # fmt: skip
def test_accounts_that_say_too_little_keep_every_number(rows: Any) -> None:
    assert not any(ceiling.changed for ceiling in proposed(rows).values())


def test_uncovered_complaints_keep_every_number() -> None:
    covered = frozenset(NAMES) - set(FEATURES.values())
    ceilings = proposed(accounts(0.3), covered=covered)
    assert {(c.accounts, c.changed) for c in ceilings.values()} == {(0, False)}


def test_evidence_values_are_those_of_the_test() -> None:
    rows = accounts(0.0)
    rows["complaints"][:10] = 30
    rows["complaint_bits"][:10] = np.iinfo(rows["complaint_bits"].dtype).max
    values = evidence_values("complaint_evidence", rows, POLICY.evidence)
    assert (values[:10] > 20).all()
    assert np.median(values[10:]) < 1


def test_engine_without_accounts_keeps_every_number() -> None:
    ceilings = propose_ceilings(Engine(POLICY), TERMS)
    assert [(ceiling.accounts, ceiling.changed) for ceiling in ceilings] == [(0, False)] * 3


def test_terms_out_of_range_are_refused(tmp_path: Path) -> None:
    (tmp_path / "learning.toml").write_text("[learning.ceilings]\nbeyond = 2\n", "utf-8")
    with pytest.raises(PolicyError, match=r"learning\.toml.*fix:"):
        load_terms(tmp_path)
