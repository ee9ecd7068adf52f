"""The trainer as benchmarks use it: fits averaged, scores out of fold, a choice by these."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wavebreak.benchmarks.measuring import Floats, Labels, figures
from wavebreak.training import fitting

Recipe = dict[str, Any]
"""Arguments of `training.fitting.fit`."""
Progress = Callable[[float, str], None]


def quiet(_share: float, _words: str = "") -> None:
    """Show no progress."""


def scores(
    values: Floats, labels: Labels, others: Floats, recipe: Recipe, *, fits: int = 3, seed: int = 0
) -> Floats:
    """Fit `fits` times with other seeds; the mean log-odds of `others` (n, m) as float64 (n,)."""
    names = [f"f{i}" for i in range(values.shape[1])]
    every = [
        fitting.margins(
            fitting.fit(values, labels, names=names, seed=seed * 1_000 + k, **recipe), others
        )
        for k in range(fits)
    ]
    mean: Floats = np.mean(every, axis=0)
    return mean


def folds(labels: Labels, count: int, seed: int) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    """Split rows into training and held-out, `count` times, classes in equal shares.

    >>> train, held = folds(np.array([0, 0, 1, 1], np.uint8), 2, 0)[0]
    >>> sorted([*train.tolist(), *held.tolist()]), held.size
    ([0, 1, 2, 3], 2)
    """
    draw = np.random.default_rng(seed)
    fold = np.zeros(labels.size, np.int64)
    for label in (0, 1):
        rows = draw.permutation(np.flatnonzero(labels == label))
        fold[rows] = np.arange(rows.size) % count
    return [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(count)]


def out_of_fold(
    values: Floats, labels: Labels, recipe: Recipe, *, count: int = 5, repeats: int = 1,
    seed: int = 0,
) -> Floats:  # fmt: skip
    """Log-odds of each row by fits that did not see it, float64 (n,): a mean over `repeats`."""
    found = np.zeros(labels.size)
    for again in range(seed, seed + repeats):
        for train, held in folds(labels, count, again):
            found[held] += scores(
                values[train], labels[train], values[held], recipe, fits=1, seed=again
            )
    return found / repeats


def chosen(
    values: Floats, labels: Labels, recipes: Sequence[Recipe], *, seed: int = 0,
    progress: Progress = quiet,
) -> tuple[Recipe, list[float]]:  # fmt: skip
    """Choose the recipe of the best out-of-fold area under the curve; give the areas of all."""
    areas = []
    for i, recipe in enumerate(recipes):
        progress(i / len(recipes), "cross-validation")
        made = out_of_fold(values, labels, recipe, seed=seed)
        areas.append(figures(labels, made, resamples=0).auc.value)
    return recipes[int(np.argmax(areas))], areas


def best_single(values: Floats, labels: Labels) -> tuple[int, int]:
    """Give the one feature that ranks `labels` best, and the sign in which it does."""
    areas = np.array([
        figures(labels, column, resamples=0).auc.value if np.ptp(np.nan_to_num(column)) else 0.5
        for column in values.T
    ])  # fmt: skip
    at = int(np.argmax(np.abs(areas - 0.5)))
    return at, 1 if areas[at] >= 0.5 else -1
