"""TreeSHAP: contributions equal LightGBM's up to rounding, and their wording."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from support.lightgbm_models import COLUMNS, fit, of_catalog, on_the_cuts, rows, values
from wavebreak.features.catalog import NAMES
from wavebreak.model.shap import contributions, paths_of
from wavebreak.model.trees import parse_trees


@pytest.mark.parametrize(
    "more",
    [{}, {"zero_as_missing": True}, {"use_missing": False}, {"num_leaves": 63},
     {"num_leaves": 2}, {"min_data_in_leaf": 100_000},
     {"bagging_fraction": 0.3, "bagging_freq": 1}],
    ids=str,
)  # fmt: skip
def test_contributions_equal_lightgbm(more: dict[str, Any]) -> None:
    booster = fit(21, rounds=40, **more)
    forest = parse_trees(booster.model_to_string())
    paths = paths_of(forest)
    x = np.concatenate([values(22, 150), on_the_cuts(forest, 23, 150)[:, :COLUMNS]]) if any(
        tree.cut.size for tree in forest.trees
    ) else values(22, 10)  # fmt: skip
    expected = booster.predict(x, pred_contrib=True)
    found = np.array([contributions(paths, row, COLUMNS) for row in x])
    np.testing.assert_allclose(found, expected[:, :-1], rtol=0, atol=1e-9)
    np.testing.assert_allclose(paths.base, expected[0, -1], rtol=0, atol=1e-9)


def test_contributions_and_base_sum_to_the_margin() -> None:
    trees = of_catalog(24)
    x = rows(25, 200)
    base = paths_of(trees.forest).base
    sums = [base + trees.contributions(row).sum() for row in x]
    np.testing.assert_allclose(sums, trees.margins(x), rtol=0, atol=1e-9)


def test_reasons_are_the_largest_contributions() -> None:
    trees, again = of_catalog(26), of_catalog(26)
    signs = set()
    for row in rows(27, 50):
        reasons = trees.reasons(row)
        assert reasons == again.reasons(row)
        every = np.round(trees.contributions(row), 4)
        least = min(abs(c) for c in reasons.values())
        named = np.isin(NAMES, list(reasons))
        assert len(reasons) == 5
        assert (np.abs(every[~named]) <= least).all()
        assert list(reasons.values()) == sorted(reasons.values(), key=abs, reverse=True)
        signs.update(np.sign(list(reasons.values())).tolist())
    assert signs == {-1.0, 1.0}
    assert len(trees.reasons(row, most=2)) == 2
