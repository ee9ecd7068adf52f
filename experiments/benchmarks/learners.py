"""Learners of the benchmarks: the trainer averaged over seeds, alone or in a blend; out of fold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    QuantileTransformer,
    SplineTransformer,
    StandardScaler,
)
from sklearn.svm import SVC

from experiments.benchmarks.metrics import Floats, Labels, figures
from wavebreak_lab.training import trainer

Recipe = dict[str, Any]
"""Arguments of `training.fitting.fit`."""
Progress = Callable[[float, str], None]
Learner = Callable[[Floats, Labels, Floats, int], Floats]
"""Log-odds (or what orders like them) of others (k,) from values (n, m), labels (n,), a seed."""
BLENDED = "blend: trainer, extra trees, kernel machine"


class Blend(NamedTuple):
    """Settings of `blended`: the trainer's recipe and fits, extra trees, a kernel machine.

    `splines` is the inverse penalty (C) of a logistic fit on splines of each feature; None leaves
    it out.
    """

    recipe: Recipe
    fits: int = 3
    trees: Mapping[str, Any] = {
        "n_estimators": 300, "max_features": 0.3, "min_samples_leaf": 2, "n_jobs": 1,
    }  # fmt: skip
    machine: Mapping[str, Any] = {"C": 2.0, "gamma": 0.01}
    splines: float | None = None

    @property
    def words(self) -> str:
        """What it blends, in words.

        >>> Blend({}, splines=0.01).words
        'blend: trainer, extra trees, kernel machine, splines'
        """
        return f"{BLENDED}, splines" if self.splines is not None else BLENDED


_SURE = 0.003
"""The least share of trees: a forest is never sure, and its log-odds stay finite."""


def quiet(_share: float, _words: str = "") -> None:
    """Show no progress."""


def scores(
    values: Floats, labels: Labels, others: Floats, recipe: Recipe, *, fits: int = 3, seed: int = 0
) -> Floats:
    """Fit `fits` times with other seeds; the mean log-odds of `others` (n, m) as float64 (n,)."""
    names = [f"f{i}" for i in range(values.shape[1])]
    every = [
        trainer.predict_margins(
            trainer.fit_booster(values, labels, names=names, seed=seed * 1_000 + k, **recipe),
            others,
        )
        for k in range(fits)
    ]
    mean: Floats = np.mean(every, axis=0)
    return mean


def blended(
    values: Floats, labels: Labels, others: Floats, blend: Blend, *, seed: int = 0
) -> Floats:
    """Mean log-odds (k,) of learners that err apart: the trainer, extra trees, an RBF SVM, splines.

    The last two read ranks, as normal scores; a margin of the SVM is for half a log-odds, so
    that zero is even odds only about: see `even`. Missing is below everything for scikit-learn's.
    """
    boosted = scores(values, labels, others, blend.recipe, fits=blend.fits, seed=seed)
    known, asked = (np.nan_to_num(v, nan=-1e6) for v in (values, others))
    forest = ExtraTreesClassifier(random_state=seed, **blend.trees).fit(known, labels)
    share = np.clip(forest.predict_proba(asked)[:, 1], _SURE, 1 - _SURE)
    read = make_pipeline(
        QuantileTransformer(
            output_distribution="normal", n_quantiles=min(500, labels.size), random_state=seed
        ),
        FunctionTransformer(np.clip, kw_args={"a_min": -3.0, "a_max": 3.0}),
    )
    ranks, placed = read.fit_transform(known), read.transform(asked)
    margin = 2 * SVC(**blend.machine).fit(ranks, labels).decision_function(placed)
    made = [boosted, np.log(share / (1 - share)), margin]
    if blend.splines is not None:
        curves = make_pipeline(
            SplineTransformer(), StandardScaler(), LogisticRegression(C=blend.splines, max_iter=500)
        )
        made.append(curves.fit(ranks, labels).decision_function(placed))
    mean: Floats = np.mean(made, axis=0)
    return mean


def ratios(
    values: Floats, columns: Sequence[str], pairs: Sequence[tuple[str, str]], floor: float
) -> Floats:
    """Logarithms (n, len(pairs)) of one column over another, which trees cut only in steps.

    What is missing counts as nothing; `floor` is added to both.

    >>> ratios(np.array([[6.0, 1.0]]), ["calls", "days"], [("calls", "days")], 1.0).round(3).item()
    1.253
    """
    known = np.log(np.maximum(np.nan_to_num(values), 0.0) + floor)
    above, below = ([columns.index(pair[k]) for pair in pairs] for k in (0, 1))
    made: Floats = known[:, above] - known[:, below]
    return made


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
    values: Floats, labels: Labels, learner: Learner, *, count: int = 5, repeats: int = 1,
    seed: int = 0, progress: Progress = quiet,
) -> list[Floats]:  # fmt: skip
    """Log-odds of each row by fits that did not see it, float64 (n,): one array a repeat.

    Each repeat draws other folds. What tells the recipe's worth is the mean over repeats of a
    figure; a figure of the averaged log-odds profits from fits that a single model does not have.
    """
    repeated = []
    for again in range(repeats):
        progress(again / repeats, "cross-validation")
        found = np.zeros(labels.size)
        for train, held in folds(labels, count, seed * 1_000 + again):
            found[held] = learner(values[train], labels[train], values[held], again)
        repeated.append(found)
    return repeated


def even(made: Floats, labels: Labels) -> float:
    """Score that is for even odds, by a logistic fit (Platt) on scores (n,) out of fold."""
    fit = LogisticRegression(C=1e6).fit(made[:, None], labels)
    return float(-fit.intercept_[0] / fit.coef_[0, 0])


def best_single(values: Floats, labels: Labels) -> tuple[int, int]:
    """Give the one feature that ranks `labels` best, and the sign in which it does."""
    areas = np.array([
        figures(labels, column, resamples=0).auc.value if np.ptp(np.nan_to_num(column)) else 0.5
        for column in values.T
    ])  # fmt: skip
    at = int(np.argmax(np.abs(areas - 0.5)))
    return at, 1 if areas[at] >= 0.5 else -1
