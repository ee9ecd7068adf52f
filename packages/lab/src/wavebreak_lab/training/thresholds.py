"""Thresholds from a tolerance of false actions, the early exit of scoring, and calibration.

Calibration is isotonic regression on accounts that the fit did not use (Zadrozny and Elkan,
Transforming Classifier Scores into Accurate Multiclass Probability Estimates, KDD 2002).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from sklearn.isotonic import isotonic_regression

from wavebreak.engine.decision import NEVER
from wavebreak.evaluation import exact_interval
from wavebreak.evaluation.scoring_points import Bools, Floats, Ints, Points
from wavebreak.model import Steps, to_fixed_point
from wavebreak.outcomes import ABOVE_ALLOW, NOT_REFUSING
from wavebreak_lab.training.config import Tolerance


@dataclass(frozen=True)
class Threshold:
    """Where one outcome begins, and what that rests on.

    `at` is the margin in fixed point, at or above which it follows. `false` of `points` benign
    scoring points lie there, of `false_accounts` of `accounts` accounts; `bound` is the upper
    confidence bound of the share of `counted`, "points" or "accounts". `masked` of them lie there
    where the same points are shown as masked streams show them. `short`: too few for the
    tolerance, `needed` would do (none false among them).
    """

    outcome: str
    at: int
    tolerance: float
    bound: float
    false: int
    points: int
    false_accounts: int
    accounts: int
    masked: int
    short: bool
    needed: int
    counted: str = "points"


def upper_bound(false: int, points: int, confidence: float) -> float:
    """One-sided upper bound of a share (Clopper and Pearson, Biometrika 26, 1934).

    >>> round(upper_bound(0, 300_000, 0.95) * 1e5, 3)
    0.999
    """
    return exact_interval(false, points, 2 * confidence - 1)[1]


def points_needed(tolerance: float, confidence: float) -> int:
    """Fewest points, none of them false, at which the bound keeps to a tolerance.

    >>> points_needed(1e-5, 0.95)
    299572
    """
    return math.ceil(math.log1p(-confidence) / math.log1p(-tolerance))


def max_false_points(points: int, tolerance: float, confidence: float) -> int:
    """Most false points at which the bound still keeps to the tolerance; -1 where none may be.

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


def find_thresholds(
    margins: Floats,
    account: Ints,
    tolerance: Tolerance,
    masked: Floats | None = None,
    *,
    silent: Bools | None = None,
) -> dict[str, Threshold]:
    """A threshold for each outcome above allow, from the margins of benign scoring points.

    `account` (n,) says whose each is; `masked` (n,) are the margins of the same points as masked
    streams show them: the tolerance is kept on either. Where there are too few points, the
    threshold lies just above all of them: the most extreme that they allow.

    `silent` (n,) is given where people are few: points at which the account has started no chat.
    Whatever refuses anything then counts accounts, each at its highest of the other points: points
    of one account are not independent, and those of few accounts less than they are many.
    """
    scores = to_fixed_point(margins)
    views = [scores] if masked is None else [scores, to_fixed_point(masked)]
    spoken = None if silent is None or silent.all() else ~silent
    found: dict[str, Threshold] = {}
    least = -NEVER
    for outcome in ABOVE_ALLOW:
        if spoken is None or outcome in NOT_REFUSING:
            made = _threshold(outcome, views, account, tolerance, least)
        else:
            tops = [_highest(view[spoken], account[spoken]) for view in views]
            made = _threshold(outcome, tops, np.arange(len(tops[0])), tolerance, least)
            made = replace(made, counted="accounts")
        found[outcome], least = made, made.at
    return found


def _highest(view: Ints, account: Ints) -> Ints:
    """The highest value of each account, in order of accounts."""
    known, inverse = np.unique(account, return_inverse=True)
    highest = np.full(len(known), -NEVER, np.int64)
    np.maximum.at(highest, inverse, view)
    return highest


def _threshold(
    outcome: str, views: list[Ints], account: Ints, tolerance: Tolerance, least: int
) -> Threshold:
    """One outcome's threshold, no lower than `least`, from margins of the views in fixed point."""
    n, wanted, level = len(views[0]), tolerance.of(outcome), tolerance.confidence
    most = max_false_points(n, wanted, level)
    ordered = [np.sort(view)[::-1] for view in views]
    at = max(least, *(int(view[min(max(most, 0), n - 1)]) + 1 for view in ordered))
    above = views[0] >= at
    false = int(above.sum())
    return Threshold(
        outcome,
        at,
        wanted,
        upper_bound(false, n, level),
        false,
        n,
        len(np.unique(account[above])),
        len(np.unique(account)),
        int((views[-1] >= at).sum()),
        most < 0,
        points_needed(wanted, level),
    )


def cascade_trace(partials: Floats, account: Ints, least: int, lost: float) -> NDArray[np.float64]:
    """Rejection trace of a soft cascade: the least partial sum after each block of trees.

    `partials` (n, blocks) are of abusive points, `account` (n,) whose they are. Of accounts whose
    best point reaches `least` (fixed point), at most the share `lost` have it let go. Direct
    backward pruning: Zhang and Viola, Multiple-Instance Pruning (NIPS 2007).
    """
    blocks = partials.shape[1]
    order = np.lexsort((partials[:, -1], account))
    best = order[np.append(np.diff(account[order]) != 0, True)] if len(order) else order
    best = best[to_fixed_point(partials[best, -1]) >= least]
    if not len(best) or not lost:
        return np.full(blocks, -np.inf)
    sums = partials[best]
    for _ in range(int(lost * len(best))):
        sums = _drop_lowest_row(sums)
    low = sums.min(axis=0)
    if lost * len(best) < 1:
        # Too few accounts to show so small a share: an exponential tail is drawn on from them.
        further = math.log(1 / (lost * len(best))) / math.log(max(3, len(best)) / 2)
        low = low - further * (np.median(sums, axis=0) - low)
    trace = np.nextafter(low, -np.inf)
    trace[-1] = -np.inf
    return np.asarray(trace, np.float64)


def _drop_lowest_row(sums: Floats) -> Floats:
    """Leave out the row whose sums lie furthest below all others', block by block."""
    low = np.sort(sums, axis=0)
    gain = np.zeros(len(sums))
    np.add.at(gain, sums.argmin(axis=0), low[1] - low[0])
    return np.delete(sums, int(gain.argmax()), axis=0)


def reaches(margins: Floats, at: int) -> Bools:
    """Which margins reach a threshold."""
    return np.asarray(to_fixed_point(margins) >= at)


def prevalence_weights(points: Points, bad: Bools, prevalence: float) -> Floats:
    """Weights of points at which abusive accounts are a stated share; they sum to one.

    An account counts once, whatever its points.
    """
    n = len(points.accounts)
    weight = 1.0 / np.bincount(points.account, minlength=n)[points.account]
    for side, share in ((bad, prevalence), (~bad, 1.0 - prevalence)):
        if side.any():
            weight[side] *= share / weight[side].sum()
    return weight


def calibration_steps(
    margins: Floats, bad: Bools, weight: Floats, accounts: tuple[int, int], beyond: float = 0.5
) -> Steps:
    """Monotone steps from margin to probability.

    `accounts` counts benign and abusive ones. No step says 0 or 1: each is held to what so many
    accounts of the other label `beyond` it would leave. Half an account is what is to be expected
    where none was seen; 3 are what none seen leaves possible, at 95 % (Hanley and Lippman-Hand, If
    Nothing Goes Wrong, Is Everything All Right?, JAMA 249, 1983).

    >>> m, y = np.array([-2.0, -1.0, 1.0, 2.0]), np.array([False, False, True, True])
    >>> calibration_steps(m, y, np.full(4, 0.25), (2, 2)).levels.tolist()
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
