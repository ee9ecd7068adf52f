"""The fit: deterministic, monotone where told, at home with missing values."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from wavebreak_lab.training.config import load_settings
from wavebreak_lab.training.trainer import fit_booster, predict_margins

RNG = np.random.default_rng(7)
VALUES = RNG.normal(size=(3000, 4))
VALUES[RNG.random(VALUES.shape) < 0.2] = np.nan
LABELS = (np.nan_to_num(VALUES[:, 0]) + RNG.normal(size=3000) > 0.5).astype(np.uint8)
NAMES = ["a", "b", "c", "d"]


def fit(
    weights: Any = None, names: list[str] = NAMES, monotone: dict[str, int] | None = None,
    seed: int = 0, **settings: Any,
) -> Any:  # fmt: skip
    given = msgspec.structs.replace(
        load_settings().fit, **{"rounds": 20, "columns": 0.6} | settings
    )
    ones = np.ones(len(LABELS)) if weights is None else weights
    return fit_booster(VALUES, LABELS, ones, given, names=names, monotone=monotone or {}, seed=seed)


def test_same_input_gives_the_same_trees() -> None:
    trees = [fit(seed=3, rows=0.7).model_to_string() for _ in range(2)]
    assert trees[0] == trees[1]


def test_other_seed_samples_other_columns() -> None:
    trees = [fit(seed=seed, columns=0.5).model_to_string() for seed in (1, 2)]
    assert trees[0] != trees[1]


def test_monotone_feature_never_moves_against_its_sign() -> None:
    trees = fit(monotone={"a": -1, "b": 1}, rounds=30)
    steps = np.linspace(-3.0, 3.0, 200)
    for column, sign in ((0, -1), (1, 1)):
        row = np.zeros((200, 4))
        row[:, column] = steps
        assert (sign * np.diff(predict_margins(trees, row)) >= 0).all()


def test_weights_are_relative() -> None:
    weights = RNG.random(3000) + 0.1
    first, second = (predict_margins(fit(w, rounds=10), VALUES) for w in (weights, 1000 * weights))
    assert np.allclose(first, second)


def test_mismatched_shapes_and_names_are_refused() -> None:
    with pytest.raises(ValueError, match="go together"):
        fit(names=NAMES[:3])
    with pytest.raises(ValueError, match="go together"):
        fit(monotone={"e": 1})
