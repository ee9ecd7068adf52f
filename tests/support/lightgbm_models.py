"""Boosters over made-up values, and rows that try them: shared by the tests of the model."""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np

from wavebreak import model
from wavebreak.features.catalog import NAMES
from wavebreak.model.trees import Forest

COLUMNS = 12
PLAIN: dict[str, Any] = {
    "objective": "binary", "num_leaves": 31, "verbose": -1, "num_threads": 1, "seed": 3,
    "deterministic": True, "force_row_wise": True, "min_data_in_leaf": 5,
}  # fmt: skip


def values(seed: int, n: int, columns: int = COLUMNS) -> Any:
    """Counts, shares and logs, with missing values and zeros."""
    rng = np.random.default_rng(seed)
    made = rng.normal(0, 3, (n, columns))
    made[:, ::3] = rng.poisson(2, (n, made[:, ::3].shape[1]))
    made[rng.random(made.shape) < 0.2] = np.nan
    made[rng.random(made.shape) < 0.1] = 0.0
    return made


def fit(seed: int, rounds: int = 30, columns: int = COLUMNS, **more: Any) -> Any:
    """A booster over random labels that depend on the values and on what is missing."""
    x = values(seed, 4_000, columns)
    noise = np.random.default_rng(seed + 1).normal(size=len(x))
    y = np.nan_to_num(x[:, 0] - x[:, 1], nan=2.0) + np.isnan(x[:, 2]) + noise > 1
    names = more.pop("names", [f"f{k}" for k in range(columns)])
    return lightgbm.train(PLAIN | more, lightgbm.Dataset(x, y, feature_name=names), rounds)


def on_the_cuts(forest: Forest, seed: int, n: int) -> Any:
    """Rows of values that are cuts, their neighbours, zeros of both signs, tiny, and infinite."""
    rng = np.random.default_rng(seed)
    cuts = np.concatenate([tree.cut for tree in forest.trees])
    near = [cuts, np.nextafter(cuts, -np.inf), np.nextafter(cuts, np.inf), -cuts]
    tiny = [0.0, -0.0, 1e-36, -1e-36, 1e-35, -1e-35, 1.0000000180025095e-35, 5e-324, 2e-35]
    odd = [np.nan, np.inf, -np.inf, 1e300, -1e300, 1.7e308, *tiny, *(-t for t in tiny)]
    # Each odd value as often as all cuts together.
    pool = np.concatenate([*near, *[np.full(4 * cuts.size // len(odd), v) for v in odd]])
    return rng.choice(pool, (n, len(forest.names)))


def of_catalog(seed: int, cascade: Any = None) -> model.Model:
    booster = fit(seed, columns=20, names=list(NAMES[10:30]))
    return model.from_booster(booster, name="test", cascade=cascade)


def rows(seed: int, n: int) -> Any:
    return values(seed, n, len(NAMES))
