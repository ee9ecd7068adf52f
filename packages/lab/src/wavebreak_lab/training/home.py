"""The fit of a model at home: the trees of `trainer`, on a platform's own labels.

Nothing is calibrated here: the line is drawn on margins of trees that saw nothing of an account's
operator (`wavebreak.evaluation.home_learning`).

Some sixty answers of reviewers are too few for trees alone. So a regularised logistic regression on
normal scores of the features is averaged with small trees, to which all other accounts are weak
examples of honest ones; trees of one forest then learn that average, since the engine reads trees.
"""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import QuantileTransformer

from wavebreak.evaluation.home_learning import HomeDays, HomeLabels
from wavebreak.evaluation.scoring_points import Bools, Floats
from wavebreak.model import Model, from_booster
from wavebreak_lab.training import trainer
from wavebreak_lab.training.config import load_settings
from wavebreak_lab.training.splits import hash_to_unit

FOLDS = 5
"""Parts of the operators; each is held against trees of the others."""
RIDGE = 0.05
"""The inverse strength of the regression's penalty."""
TRUSTED = 0.2
"""Of the weight of honest examples, the share of accounts that are labelled so."""
_SMALL: dict[str, Any] = {
    "num_leaves": 12, "learning_rate": 0.07, "min_data_in_leaf": 10, "feature_fraction": 0.5,
    "bagging_fraction": 0.7, "bagging_freq": 1, "lambda_l2": 5.0,
}  # fmt: skip
_TEACHING, _LEARNING = 60, 150
"""Rounds of the small trees, and of those that learn the average."""


def fit_home(days: HomeDays, labels: HomeLabels, name: str, seed: int) -> tuple[Model, Floats]:
    """Fit trees on labelled accounts.

    Args:
        days: The platform's days.
        labels: Whom to learn from.
        name: The model's name.
        seed: Of the trees and the parts.

    Returns:
        The model of all labelled accounts, and the margin of every point by trees that saw nothing
        of its account's operator.
    """
    if labels.by_answers:
        return _fit_answers(days, labels, name, seed)
    settings = load_settings()
    points, is_labelled = days.points, labels.positive | labels.answered
    accounts = trainer.AccountLabels(
        labels.positive, labels.positive.astype(np.int64), labels.weight, is_labelled,
        ("benign/", "abusive/"),
    )  # fmt: skip
    fit = trainer.make_fit(points, accounts, settings, seed, FOLDS + 1, lambda *_: None)
    rows, fold = is_labelled[points.account], _folds(days, seed)[points.account]
    booster, margins = fit(rows, FOLDS), np.zeros(len(points))
    for part in range(FOLDS):
        out = fold == part
        margins[out] = trainer.predict_margins(fit(rows & ~out, part), points.values[out])
    return from_booster(booster, name=name, seed=seed), margins


def _folds(days: HomeDays, seed: int) -> Any:
    operators = days.operator.tolist()
    fold_of = {n: int(hash_to_unit(seed, "home", str(n)) * FOLDS) for n in set(operators)}
    return np.array([fold_of[n] for n in operators], np.int64)


def _fit_answers(days: HomeDays, labels: HomeLabels, name: str, seed: int) -> tuple[Model, Floats]:
    """Fit on answers of reviewers and convictions; accounts that were answered teach as all do."""
    points, account = days.points, days.points.account
    is_labelled = labels.positive | labels.reviewed
    scorer = _Average(days, labels, is_labelled, seed)
    target = scorer.fit(np.ones(len(points), bool))
    table = lightgbm.Dataset(
        points.values, target, feature_name=list(points.names), params={"verbosity": -1}
    )
    booster = lightgbm.train(
        trainer.DETERMINISTIC
        | {"objective": "regression", "seed": seed, "learning_rate": 0.1, "num_leaves": 31},
        table,
        _LEARNING,
    )
    margins = trainer.predict_margins(booster, points.values)
    fold = np.where(is_labelled, _folds(days, seed), -1)[account]
    shares, everybody = np.linspace(0, 1, 401), margins.copy()
    for part in range(FOLDS):
        out = fold == part
        if out.any():
            # On the scale of the model: of all accounts as many lie below.
            held = scorer.fit(~out)
            scale = np.quantile(held, shares), np.quantile(everybody, shares)
            margins[out] = np.interp(held[out], *scale)
    return from_booster(booster, name=name, seed=seed), margins


class _Average:
    """The average of a regression and small trees, on one scale."""

    def __init__(self, days: HomeDays, labels: HomeLabels, is_labelled: Bools, seed: int) -> None:
        account = days.points.account
        self._values, self._seed = days.points.values, seed
        varies = [len(np.unique(column[~np.isnan(column)])) > 1 for column in self._values.T]
        normal = QuantileTransformer(
            n_quantiles=min(200, len(account)), output_distribution="normal", subsample=None
        ).fit_transform(self._values[:, varies])
        self._normal = np.clip(np.nan_to_num(normal), -2.5, 2.5)
        self._bad = labels.positive[account]
        self._is_labelled = is_labelled[account]
        self._number = int(is_labelled.sum())
        weights = np.where(labels.weight > 0, labels.weight, 1.0)[account]
        self._weights = weights / np.bincount(account)[account] ** 0.8

    def fit(self, rows: Bools) -> Floats:
        """Fit on some points; return the scores of all."""
        scores = (self._regression(rows & self._is_labelled), self._trees(rows))
        middles = [np.quantile(score, (0.5, 0.9)) for score in scores]
        return np.asarray(
            sum(
                (s - low) / max(high - low, 1e-6)
                for s, (low, high) in zip(scores, middles, strict=True)
            )
            / len(scores)
        )

    def _regression(self, rows: Bools) -> Floats:
        if len(np.unique(self._bad[rows])) < 2:
            return np.zeros(len(rows))
        weights = self._balanced(rows, [(self._bad, 0.5), (~self._bad, 0.5)]) * self._number
        fitted = LogisticRegression(C=RIDGE, max_iter=300).fit(
            self._normal[rows], self._bad[rows], sample_weight=weights[rows]
        )
        return np.asarray(fitted.decision_function(self._normal), np.float64)

    def _trees(self, rows: Bools) -> Floats:
        honest = self._is_labelled & ~self._bad
        sides = [(self._bad, 1.0), (honest, TRUSTED), (~self._is_labelled, 1 - TRUSTED)]
        weights = 1000 * self._balanced(rows, sides)
        table = lightgbm.Dataset(
            self._values[rows], self._bad[rows], weight=weights[rows], params={"verbosity": -1}
        )
        booster = lightgbm.train(
            trainer.DETERMINISTIC | _SMALL | {"objective": "binary", "seed": self._seed},
            table,
            _TEACHING,
        )
        return trainer.predict_margins(booster, self._values)

    def _balanced(self, rows: Bools, sides: list[tuple[Bools, float]]) -> Floats:
        """Return weights of points of which each side has its share."""
        weights = np.zeros(len(rows))
        for side, share in sides:
            mine = rows & side
            weights[mine] = share * self._weights[mine] / max(self._weights[mine].sum(), 1e-9)
        return weights
