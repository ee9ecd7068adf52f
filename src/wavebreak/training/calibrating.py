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


def steps(margins: Floats, bad: Bools, weight: Floats) -> Steps:
    """Monotone steps from margin to probability.

    No step says 0 or 1: each is held to what half the lightest account beyond it would leave.

    >>> m, y = np.array([-2.0, -1.0, 1.0, 2.0]), np.array([False, False, True, True])
    >>> steps(m, y, np.full(4, 0.25)).levels.tolist()
    [0.25, 0.75]
    """
    at, inverse = np.unique(margins, return_inverse=True)
    mass = np.bincount(inverse, weight)
    share = np.bincount(inverse, weight * bad) / mass
    level = isotonic_regression(share, sample_weight=mass, y_min=0.0, y_max=1.0)
    first = np.flatnonzero(np.diff(level, prepend=-1.0) > 1e-12)
    block = np.add.reduceat(mass, first)
    found = level[first]
    low = float(weight[bad].min(initial=np.inf)) / 2
    high = float(weight[~bad].min(initial=np.inf)) / 2
    least = min(0.5, low / max(low, float(block[0]))) if np.isfinite(low) else 0.0
    most = 1 - min(0.5, high / max(high, float(block[-1]))) if np.isfinite(high) else 1.0
    found = np.maximum.accumulate(np.clip(found, min(least, most), max(least, most)))
    keep = np.flatnonzero(np.diff(found, prepend=-1.0) > 0)
    return Steps.of(at[first][keep][1:].tolist(), found[keep].tolist())
