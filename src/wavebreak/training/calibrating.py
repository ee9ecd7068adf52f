"""From margins to probabilities: isotonic regression on accounts that the fit never saw.

Zadrozny and Elkan, Transforming Classifier Scores into Accurate Multiclass Probability Estimates
(KDD 2002).
"""

from __future__ import annotations

import numpy as np
from sklearn.isotonic import isotonic_regression

from wavebreak.model import Steps
from wavebreak.training.points import Bools, Floats, Points


def at_prevalence(points: Points, bad: Bools, prevalence: float) -> Floats:
    """Weights of points at which abusive accounts are a stated share; they sum to one.

    An account counts once, whatever its points.
    """
    n = len(points.accounts)
    weight = 1.0 / np.bincount(points.account, minlength=n)[points.account]
    for side, share in ((bad, prevalence), (~bad, 1.0 - prevalence)):
        if side.any():
            weight[side] *= share / weight[side].sum()
    return weight


def steps(
    margins: Floats, bad: Bools, weight: Floats, accounts: tuple[int, int], beyond: float = 0.5
) -> Steps:
    """Monotone steps from margin to probability.

    `accounts` counts benign and abusive ones. No step says 0 or 1: each is held to what so many
    accounts of the other label `beyond` it would leave. Half an account is what is to be expected
    where none was seen; 3 are what none seen leaves possible, at 95 % (Hanley and Lippman-Hand, If
    Nothing Goes Wrong, Is Everything All Right?, JAMA 249, 1983).

    >>> m, y = np.array([-2.0, -1.0, 1.0, 2.0]), np.array([False, False, True, True])
    >>> steps(m, y, np.full(4, 0.25), (2, 2)).levels.tolist()
    [0.2, 0.8]
    """
    at, inverse = np.unique(margins, return_inverse=True)
    mass = np.bincount(inverse, weight)
    share = np.bincount(inverse, weight * bad) / mass
    level = isotonic_regression(share, sample_weight=mass, y_min=0.0, y_max=1.0)
    first = np.flatnonzero(np.diff(level, prepend=-1.0) > 1e-12)
    block = np.add.reduceat(mass, first)
    left = [beyond * float(weight[s].sum()) / n for s, n in zip((~bad, bad), accounts, strict=True)]
    most = 1.0 - left[0] / (left[0] + float(block[-1]))
    least = left[1] / (left[1] + float(block[0]))
    found = np.clip(level[first], min(least, most), max(least, most))
    keep = np.flatnonzero(np.diff(found, prepend=-1.0) > 0)
    return Steps.of(at[first][keep][1:].tolist(), found[keep].tolist())
