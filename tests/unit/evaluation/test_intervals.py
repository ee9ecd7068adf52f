"""Tests of the intervals of a share, against SciPy's."""

from __future__ import annotations

import pytest
from scipy.stats import binomtest  # type: ignore[attr-defined]

from wavebreak.evaluation import exact_interval, wilson_interval

SHARES = pytest.mark.parametrize(("count", "of"), [(0, 7), (7, 7), (3, 10), (1, 400), (250, 900)])


@SHARES
def test_wilson_interval_equals_scipy(count: int, of: int) -> None:
    expected = binomtest(count, of).proportion_ci(0.95, "wilson")
    assert wilson_interval(count, of) == pytest.approx((expected.low, expected.high))


@SHARES
def test_exact_interval_equals_scipy(count: int, of: int) -> None:
    expected = binomtest(count, of).proportion_ci(0.95, "exact")
    assert exact_interval(count, of) == pytest.approx((expected.low, expected.high))
