"""Thresholds from a tolerance of false actions, and calibration.

Calibration is isotonic regression on accounts that the fit did not use (Zadrozny and Elkan,
Transforming Classifier Scores into Accurate Multiclass Probability Estimates, KDD 2002).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from sklearn.isotonic import isotonic_regression

from wavebreak.engine.decision import NEVER
from wavebreak.evaluation import exact_interval
from wavebreak.evaluation.scoring_points import Bools, Floats, Ints, Points
from wavebreak.model import Steps, to_fixed_point
from wavebreak.outcomes import ABOVE_ALLOW
from wavebreak_lab.training.config import Tolerance


@dataclass(frozen=True)
class Threshold:
    """The threshold of one outcome, and the benign scoring points that it rests on.

    Attributes:
        outcome: The outcome.
        margin: The margin in fixed point, at or above which the outcome follows.
        tolerance: Maximum share of false actions.
        bound: Upper confidence bound of that share.
        false: Benign points at or above the margin.
        points: Benign points.
        false_accounts: Benign accounts with such a point.
        accounts: Benign accounts.
        is_short: Whether there are too few points to show the tolerance.
        needed: Points, none of them false, that would show it.
    """

    outcome: str
    margin: int
    tolerance: float
    bound: float
    false: int
    points: int
    false_accounts: int
    accounts: int
    is_short: bool
    needed: int


def upper_bound(false: int, points: int, confidence: float) -> float:
    """Return the one-sided upper bound of a share (Clopper and Pearson, Biometrika 26, 1934).

    >>> round(upper_bound(0, 300_000, 0.95) * 1e5, 3)
    0.999
    """
    return exact_interval(false, points, 2 * confidence - 1)[1]


def points_needed(tolerance: float, confidence: float) -> int:
    """Return the fewest points, none of them false, at which the bound keeps to a tolerance.

    >>> points_needed(1e-5, 0.95)
    299572
    """
    return math.ceil(math.log1p(-confidence) / math.log1p(-tolerance))


def max_false_points(points: int, tolerance: float, confidence: float) -> int:
    """Return the most false points at which the bound keeps to the tolerance; -1 if none may be.

    >>> [max_false_points(n, 1e-5, 0.95) for n in (300_000, 100)]
    [0, -1]
    >>> max_false_points(10_000, 0.001, 0.95)
    4
    """
    low, high = -1, points
    while low < high:
        middle = (low + high + 1) // 2
        if upper_bound(middle, points, confidence) <= tolerance:
            low = middle
        else:
            high = middle - 1
    return low


def find_thresholds(margins: Floats, account: Ints, tolerance: Tolerance) -> dict[str, Threshold]:
    """Return a threshold for each outcome above allow, from margins of benign scoring points.

    `account` (n,) numbers the accounts of the points. Where there are too few points for a
    tolerance, the threshold lies just above all of them.
    """
    scores = to_fixed_point(margins)
    ordered, n = np.sort(scores)[::-1], len(scores)
    thresholds: dict[str, Threshold] = {}
    margin = -NEVER
    for outcome in ABOVE_ALLOW:
        share = tolerance.of(outcome)
        max_false = max_false_points(n, share, tolerance.confidence)
        margin = max(margin, int(ordered[min(max(max_false, 0), n - 1)]) + 1)
        is_above = scores >= margin
        false = int(is_above.sum())
        thresholds[outcome] = Threshold(
            outcome,
            margin,
            share,
            upper_bound(false, n, tolerance.confidence),
            false,
            n,
            len(np.unique(account[is_above])),
            len(np.unique(account)),
            max_false < 0,
            points_needed(share, tolerance.confidence),
        )
    return thresholds


def prevalence_weights(points: Points, abusive: Bools, prevalence: float) -> Floats:
    """Return weights of points at which abusive accounts are a stated share; they sum to one.

    An account counts once, whatever its points.
    """
    n = len(points.accounts)
    weight = 1.0 / np.bincount(points.account, minlength=n)[points.account]
    for side, share in ((abusive, prevalence), (~abusive, 1.0 - prevalence)):
        if side.any():
            weight[side] *= share / weight[side].sum()
    return weight


def calibration_steps(
    margins: Floats, abusive: Bools, weight: Floats, accounts: tuple[int, int]
) -> Steps:
    """Return monotone steps from margin to probability.

    `accounts` counts benign and abusive ones. No step is 0 or 1: half an account of the other
    label is expected beyond the outermost ones.

    >>> m, y = np.array([-2.0, -1.0, 1.0, 2.0]), np.array([False, False, True, True])
    >>> calibration_steps(m, y, np.full(4, 0.25), (2, 2)).levels.tolist()
    [0.2, 0.8]
    """
    edges, inverse = np.unique(margins, return_inverse=True)
    mass = np.bincount(inverse, weight)
    share = np.bincount(inverse, weight * abusive) / mass
    level = isotonic_regression(share, sample_weight=mass, y_min=0.0, y_max=1.0)
    first = np.flatnonzero(np.diff(level, prepend=-1.0) > 1e-12)
    block = np.add.reduceat(mass, first)
    sides = zip((~abusive, abusive), accounts, strict=True)
    unseen = [0.5 * float(weight[side].sum()) / n for side, n in sides]
    highest = 1.0 - unseen[0] / (unseen[0] + float(block[-1]))
    lowest = unseen[1] / (unseen[1] + float(block[0]))
    levels = np.clip(level[first], min(lowest, highest), max(lowest, highest))
    keep = np.flatnonzero(np.diff(levels, prepend=-1.0) > 0)
    return Steps.of(edges[first][keep][1:].tolist(), levels[keep].tolist())
