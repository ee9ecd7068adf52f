"""The fit of a model at home: the trees of `trainer`, on a platform's own labels.

Nothing is calibrated here: the line is drawn on margins of trees that saw nothing of an account's
operator (`wavebreak.evaluation.home_learning`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from wavebreak.evaluation.home_learning import HomeDays, HomeLabels
from wavebreak.evaluation.scoring_points import Floats
from wavebreak.model import Model, from_booster
from wavebreak_lab.training.config import load_settings
from wavebreak_lab.training.splits import hash_to_unit
from wavebreak_lab.training.trainer import AccountLabels, make_fit, predict_margins

FOLDS = 5
"""Parts of the operators; each is held against trees of the others."""


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
    settings = load_settings()
    points, known = days.points, labels.positive | labels.answered
    accounts = AccountLabels(
        labels.positive, labels.positive.astype(np.int64), labels.weight, known,
        ("benign/", "abusive/"),
    )  # fmt: skip
    fit = make_fit(points, accounts, settings, seed, FOLDS + 1, lambda *_: None)
    rows, fold = known[points.account], _folds(days, seed)[points.account]
    booster, margins = fit(rows, FOLDS), np.zeros(len(points))
    for part in range(FOLDS):
        out = fold == part
        margins[out] = predict_margins(fit(rows & ~out, part), points.values[out])
    return from_booster(booster, name=name, seed=seed), margins


def _folds(days: HomeDays, seed: int) -> Any:
    of = {n: int(hash_to_unit(seed, "home", str(n)) * FOLDS) for n in set(days.operator.tolist())}
    return np.array([of[n] for n in days.operator.tolist()], np.int64)
