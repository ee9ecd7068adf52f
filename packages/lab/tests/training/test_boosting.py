"""The fit: deterministic, monotone where told, at home with missing values."""

from __future__ import annotations

import numpy as np
import pytest

from wavebreak_lab.training.trainer import fit_booster, predict_margins

RNG = np.random.default_rng(7)
VALUES = RNG.normal(size=(3000, 4))
VALUES[RNG.random(VALUES.shape) < 0.2] = np.nan
LABELS = (np.nan_to_num(VALUES[:, 0]) + RNG.normal(size=3000) > 0.5).astype(np.uint8)
NAMES = ["a", "b", "c", "d"]


def test_same_input_gives_the_same_trees() -> None:
    made = [fit_booster(VALUES, LABELS, names=NAMES, seed=3, rounds=20, rows=0.7) for _ in range(2)]
    assert made[0].model_to_string() == made[1].model_to_string()


def test_other_seed_samples_other_columns() -> None:
    made = [
        fit_booster(VALUES, LABELS, names=NAMES, seed=s, rounds=20, columns=0.5) for s in (1, 2)
    ]
    assert made[0].model_to_string() != made[1].model_to_string()


def test_monotone_feature_never_moves_against_its_sign() -> None:
    trees = fit_booster(VALUES, LABELS, names=NAMES, monotone={"a": -1, "b": 1}, rounds=30)
    steps = np.linspace(-3.0, 3.0, 200)
    for column, sign in ((0, -1), (1, 1)):
        row = np.zeros((200, 4))
        row[:, column] = steps
        assert (sign * np.diff(predict_margins(trees, row)) >= 0).all()


def test_weights_are_relative() -> None:
    weights = RNG.random(3000) + 0.1
    made = [
        fit_booster(VALUES, LABELS, w, names=NAMES, rounds=10) for w in (weights, 1000 * weights)
    ]
    assert np.allclose(predict_margins(made[0], VALUES), predict_margins(made[1], VALUES))


def test_mismatched_shapes_and_names_are_refused() -> None:
    with pytest.raises(ValueError, match="go together"):
        fit_booster(VALUES, LABELS, names=NAMES[:3])
    with pytest.raises(ValueError, match="go together"):
        fit_booster(VALUES, LABELS, names=NAMES, monotone={"e": 1})
