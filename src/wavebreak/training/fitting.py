"""The fit: gradient-boosted trees by LightGBM, the same bytes for the same input.

Ke et al., LightGBM: A Highly Efficient Gradient Boosting Decision Tree (NeurIPS 2017).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

_STEADY: dict[str, Any] = {
    "objective": "binary",
    "boost_from_average": True,
    "monotone_constraints_method": "intermediate",
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbosity": -1,
}
"""One thread and one order of rows: sums, and so trees, come out alike on every run."""


def fit(
    values: Values, labels: NDArray[np.uint8], weights: Values | None = None, *,
    names: Sequence[str], monotone: Mapping[str, int] | None = None, seed: int = 0,
    rounds: int = 200, leaves: int = 31, rate: float = 0.05, least: int = 20, ridge: float = 1.0,
    columns: float = 0.6, rows: float = 1.0, progress: Callable[[float], None] = lambda _: None,
) -> lightgbm.Booster:  # fmt: skip
    """Fit a binary classifier whose raw score is a log-odds.

    `values` are float64 (n, m), NaN where missing; `labels` uint8 (n,), 1 is abusive; `weights`
    (n,) are scaled to a mean of one. `monotone` gives by name the sign (-1, 1) in which a feature
    may move the score; `least` is the fewest rows of a leaf, `ridge` the L2 penalty, `columns` and
    `rows` the shares drawn for each tree. The same arguments give the same trees. Raises
    ValueError where shapes do not agree or a monotone name is not in `names`.

    >>> x = np.linspace(0.0, 1.0, 200)[:, None]
    >>> trees = fit(x, (x[:, 0] > 0.5).astype(np.uint8), names=["x"], rounds=5)
    >>> bool(trees.predict(np.array([[0.9]]))[0] > trees.predict(np.array([[0.1]]))[0])
    True
    """
    signs = dict(monotone or {})
    if values.shape != (len(labels), len(names)) or not set(signs) <= set(names):
        raise ValueError("values, labels, names and monotone do not go together")
    parameters = _STEADY | {
        "seed": seed, "num_leaves": leaves, "learning_rate": rate, "min_data_in_leaf": least,
        "lambda_l2": ridge, "feature_fraction": columns, "bagging_fraction": rows,
        "bagging_freq": int(rows < 1.0),
        "monotone_constraints": [signs.get(name, 0) for name in names],
    }  # fmt: skip
    scaled = None if weights is None else weights / weights.mean()
    table = lightgbm.Dataset(
        values, labels, weight=scaled, feature_name=list(names), params={"verbosity": -1}
    )
    return lightgbm.train(
        parameters, table, rounds, callbacks=[lambda now: progress((now.iteration + 1) / rounds)]
    )


def margins(booster: lightgbm.Booster, values: Values) -> Values:
    """Raw scores (log-odds) of rows, float64 (n,)."""
    return np.asarray(booster.predict(values, raw_score=True, num_threads=1), np.float64)
