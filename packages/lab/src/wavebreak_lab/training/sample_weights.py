"""Weights of scoring points in the fit."""

from __future__ import annotations

import numpy as np

from wavebreak.evaluation.scoring_points import Bools, Floats, Ints, Points
from wavebreak_lab.training.config import Weights


def sampled_points(ordinals: Ints, settings: Weights) -> Bools:
    """Select the points of the fit by their ordinal in the account: all at first, then ever fewer.

    >>> settings = Weights(early=0.5, even_abusive=1, even_benign=0, dense=4, step=1.5)
    >>> np.flatnonzero(sampled_points(np.arange(20), settings)).tolist()
    [0, 1, 2, 3, 4, 6, 9, 13]
    """
    selected, ordinal = list(range(settings.dense)), float(settings.dense)
    while ordinal <= ordinals.max(initial=0):
        selected.append(int(ordinal))
        ordinal = max(ordinal + 1.0, ordinal * settings.step)
    return np.isin(ordinals, selected)


def point_weights(
    points: Points, abusive: Bools, family: Ints, label_weight: Floats, settings: Weights
) -> Floats:
    """Return the weight of each point, float64 (n,): abusive and benign sum to one half each.

    `abusive`, `family` (a number) and `label_weight` are by account. An account's points sum to
    one before its family is evened.
    """
    early = (1.0 + points.ordinals()) ** -settings.early
    n = len(points.accounts)
    total = np.bincount(points.account, early, n)
    is_present = total > 0
    size = np.bincount(family[is_present], minlength=int(family.max(initial=0)) + 1)[family]
    even = np.where(abusive, settings.even_abusive, settings.even_benign)
    of_account = label_weight * np.maximum(size, 1.0) ** -even
    weights = early / total[points.account] * of_account[points.account]
    is_abusive = abusive[points.account]
    for side in (is_abusive, ~is_abusive):
        if side.any():
            weights[side] *= 0.5 / weights[side].sum()
    return np.asarray(weights, np.float64)
