"""Inference: margins equal LightGBM's to the last bit, for missing values, zeros and cuts."""

from __future__ import annotations

import ctypes
from typing import Any

import lightgbm
import numpy as np
import pytest

from support.lightgbm_models import COLUMNS, PLAIN, fit, of_catalog, on_the_cuts, rows, values
from wavebreak import model
from wavebreak.errors import ModelError
from wavebreak.model import inference
from wavebreak.model.trees import Forest, parse_trees


def same(booster: Any, forest: Forest, x: Any) -> None:
    expected = booster.predict(x, raw_score=True, num_threads=1)
    found = inference.margins(forest, x)
    assert np.array_equal(found.view(np.int64), expected.view(np.int64))


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"zero_as_missing": True},
        {"use_missing": False},
        {"num_leaves": 2},
        {"num_leaves": 127, "min_data_in_leaf": 1},
        {"max_bin": 7},
        {"boosting": "dart"},
        {"objective": "regression", "boost_from_average": False},
        {"linear_tree": False, "extra_trees": True},
    ],
    ids=str,
)
def test_margins_at_and_beside_cuts_equal_lightgbm(more: dict[str, Any]) -> None:
    booster = fit(1, rounds=19, **more)
    forest = parse_trees(booster.model_to_string())
    same(booster, forest, values(7, 3_001))
    same(booster, forest, on_the_cuts(forest, 8, 20_000))


def test_split_with_zero_as_missing_equals_lightgbm() -> None:
    x = np.concatenate([np.arange(-200.0, 200.0)] * 4)[:, None]
    y = (x[:, 0] <= -50) | ((x[:, 0] == 0) | (x[:, 0] > 70))
    more = {"zero_as_missing": True, "min_data_in_leaf": 1, "num_leaves": 8}
    told = lightgbm.Dataset(np.repeat(x, 3, axis=1), y, feature_name=["a", "b", "c"])
    booster = lightgbm.train(PLAIN | more, told, 20)
    forest = parse_trees(booster.model_to_string())
    splits = sum(tree.cut.size for tree in forest.trees)
    written = np.count_nonzero(forest.nodes["word"][: forest.leaf_bit])
    assert written > splits, "some split was written as three"
    same(booster, forest, on_the_cuts(forest, 9, 50_000))


def test_margins_of_a_million_rows_equal_lightgbm() -> None:
    booster = fit(2, rounds=24, num_leaves=15)
    forest = parse_trees(booster.model_to_string())
    x = values(11, 1_000_000)
    assert np.isnan(x).mean() > 0.1
    same(booster, forest, x)


def test_margin_of_one_row_equals_batch() -> None:
    booster = fit(3, rounds=21)
    forest = parse_trees(booster.model_to_string())
    x = values(12, 500)
    together = inference.margins(forest, x)
    assert [inference.margin(forest, row) for row in x] == together.tolist()
    assert np.array_equal(inference.partials(forest, x)[:, -1], together)


@pytest.mark.parametrize("n", [0, 1, 7, 8, 9, 15, 16, 17, 33])
def test_margins_of_any_number_of_rows(n: int) -> None:
    booster = fit(3, rounds=5)
    forest = parse_trees(booster.model_to_string())
    x = values(13, 40)[:n]
    expected = [inference.margin(forest, row) for row in x]
    assert inference.margins(forest, x).tolist() == expected


def test_tree_without_split_adds_its_leaf() -> None:
    with_one_leaf = fit(4, rounds=3, min_data_in_leaf=100_000)
    same(with_one_leaf, parse_trees(with_one_leaf.model_to_string()), values(14, 100))


def test_parse_trees_with_columns_in_other_order() -> None:
    booster = fit(5)
    x = values(15, 300)
    order = np.random.default_rng(5).permutation(COLUMNS)
    columns = {f"f{old}": new for new, old in enumerate(order.tolist())}
    forest = parse_trees(booster.model_to_string(), columns)
    expected = booster.predict(x, raw_score=True)
    assert inference.margins(forest, x[:, order]).tolist() == expected.tolist()
    assert forest.inputs == tuple(booster.feature_name())


def obvious_scores(trees: model.Model, rows: Any) -> list[int]:
    """The cascade in plain Python over LightGBM's own sums."""
    booster = lightgbm.Booster(model_str=trees.text)
    scores: list[int | None] = [None] * len(rows)
    for block, least in enumerate(trees.cascade.tolist()):
        totals = np.asarray(
            booster.predict(rows[:, 10:30], raw_score=True, num_iteration=8 * (block + 1))
        )
        for k, total in enumerate(totals.tolist()):
            if scores[k] is None and total < least:
                scores[k] = model.REJECTED
    ends = [int(np.clip(round(t * 65536), -(2**31) + 1, 2**31 - 1)) for t in totals.tolist()]
    return [end if score is None else score for score, end in zip(scores, ends, strict=True)]


def test_scores_and_c_function_equal_plain_cascade() -> None:
    never = of_catalog(6)
    x = rows(16, 400)
    middle = np.quantile(never.partials(x), 0.3, axis=0)
    trees = of_catalog(6, [*middle[:-1], -np.inf])
    expected = obvious_scores(trees, x)
    assert 20 < expected.count(model.REJECTED) < 380
    assert trees.scores(x).tolist() == expected
    score = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)(trees.address)
    assert [score(trees.numbers_address, row.ctypes.data) for row in x] == expected
    assert never.scores(x).tolist() == model.to_fixed_point(never.margins(x)).tolist()


def test_parse_trees_unsupported_model_is_refused() -> None:
    x, y = values(20, 500), np.arange(500) % 3
    several = lightgbm.train(
        PLAIN | {"objective": "multiclass", "num_class": 3}, lightgbm.Dataset(x, y), 2
    )
    forest = PLAIN | {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5}
    averaged = lightgbm.train(forest, lightgbm.Dataset(x, y > 0), 2)
    linear = lightgbm.train(
        PLAIN | {"linear_tree": True}, lightgbm.Dataset(x, y > 0, params={"linear_tree": True}), 2
    )
    category = np.column_stack([y, x])
    categorical = lightgbm.train(
        PLAIN | {"min_data_per_group": 1, "cat_smooth": 0},
        lightgbm.Dataset(category, y == 1, categorical_feature=[0]), 2,
    )  # fmt: skip
    for booster, why in (
        (several, "classes"), (averaged, "forest"), (linear, "linear"), (categorical, "categor"),
    ):  # fmt: skip
        with pytest.raises(ModelError, match=why):
            parse_trees(booster.model_to_string())


@pytest.mark.parametrize(
    ("old", "new"),
    [("left_child=", "left_child=99 "), ("num_leaves=", "num_leaves=1"), ("threshold=", "t=")],
)
def test_parse_trees_truncated_text_is_refused(old: str, new: str) -> None:
    text = fit(3, rounds=2).model_to_string()
    with pytest.raises(ModelError, match="cannot be parsed"):
        parse_trees(text.replace(old, new))
    with pytest.raises(ModelError, match="cannot be parsed"):
        parse_trees("nothing of the kind")


def test_margins_row_of_another_width_is_refused() -> None:
    trees = of_catalog(6)
    with pytest.raises(ModelError, match="20 values"):
        trees.margins(np.zeros((3, 20)))
