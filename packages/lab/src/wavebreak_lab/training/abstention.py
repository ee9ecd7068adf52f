"""Abstention: where a score says nothing, since training showed nothing like it.

Only features of an account's surroundings count: what happened on its network, number block and
device, and how many newcomers are among those it writes to. An account did not choose these, and a
population that arrives together moves them beyond anything that was simulated. What an account does
itself does not count: a sender must not escape by sending more than any other.
"""

from __future__ import annotations

import numpy as np

from wavebreak.evaluation.scoring_points import SIGNS, Bools, Ints, Points
from wavebreak.features.catalog import FEATURES, INDEX
from wavebreak.model.support import Support
from wavebreak_lab.training.config import Abstention

SURROUNDINGS = ("clusters", "reputation", "rings")
"""Families of features that an account did not choose."""


def fit_support(fit: Points, held: Points, settings: Abstention) -> Support:
    """Find the ranges of the fit's points, and how many features may lie outside.

    As few as leave the score on all but a share of the points `held` out of the fit. Features with
    a sign have no range: beyond what was seen they move the score no further, and in a direction
    that is beyond doubt.
    """
    ranges: dict[str, tuple[float, float]] = {}
    for column, name in enumerate(fit.names):
        if FEATURES[INDEX[name]].family not in SURROUNDINGS or name in SIGNS:
            continue
        seen = fit.values[:, column]
        seen = seen[~np.isnan(seen)]
        if len(seen):
            low = np.quantile(seen, settings.tail, method="lower")
            high = np.quantile(seen, 1.0 - settings.tail, method="higher")
            ranges[name] = (float(low), float(high))
    outside = count_outside(held, Support(ranges, 0))
    allowed = (k for k in range(len(ranges)) if (outside > k).mean() <= settings.share)
    most = next(allowed, len(ranges)) if len(held) else 0
    return Support(ranges, most, settings.newcomers)


def count_outside(points: Points, support: Support) -> Ints:
    """How many features of each point lie outside their range, int64 (n,)."""
    outside = np.zeros(len(points), np.int64)
    for column, name in enumerate(points.names):
        if name in support.ranges:
            low, high = support.ranges[name]
            values = points.values[:, column]
            outside += (values < low) | (values > high)
    return outside


def is_far(points: Points, support: Support) -> Bools:
    """Points on which a model with this support abstains, bool (n,)."""
    return np.asarray(count_outside(points, support) > support.most, np.bool_)
