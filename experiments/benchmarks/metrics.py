"""Figures of a ranking of labelled accounts, each with a seeded bootstrap over accounts.

Everything is counted from how many abusive and benign accounts share each score, so that ties are
worth half in the area under the curve and are taken or left together at a threshold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Labels = NDArray[np.uint8]

RESAMPLES = 300
PREVALENCE = 0.001
"""Share of abusive accounts to which precision is re-weighted."""
FEW, FEWER = 0.01, 0.001
"""Shares of benign accounts that may be taken wrongly."""


class Estimate(NamedTuple):
    """A figure and its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


class Recall(NamedTuple):
    """Found of all abusive accounts where at most `rate` of the benign are taken wrongly.

    `false` of `benign` were taken; `precision` is what it would be at PREVALENCE, with one more
    benign account taken wrongly than was seen, so that none seen is not none to come.
    """

    rate: float
    found: int
    abusive: int
    false: int
    benign: int
    share: Estimate
    precision: float


@dataclass(frozen=True)
class Figures:
    """What a ranking is worth; `macro_f1` and `weighted_f1` only where a threshold was given."""

    accounts: int
    abusive: int
    auc: Estimate
    average_precision: Estimate
    at_few: Recall
    at_fewer: Recall
    macro_f1: Estimate | None
    weighted_f1: Estimate | None


class _Counts(NamedTuple):
    """Abusive and benign accounts (or weights of them) by score, best score first."""

    abusive: Floats
    benign: Floats


def auc(counts: Any) -> float:
    """Area under the ROC curve.

    >>> auc(_Counts(np.array([1.0, 1.0]), np.array([0.0, 2.0])))
    0.75
    """
    total = counts.abusive.sum() * counts.benign.sum()
    below = counts.benign.sum() - np.cumsum(counts.benign)
    return float((counts.abusive * (below + counts.benign / 2)).sum() / total)


def average_precision(counts: Any) -> float:
    """Mean precision over the abusive accounts, threshold by threshold, without interpolation.

    >>> average_precision(_Counts(np.array([1.0, 0.0, 1.0]), np.array([0.0, 1.0, 0.0])))
    0.8333333333333333
    """
    found, false = np.cumsum(counts.abusive), np.cumsum(counts.benign)
    taken = np.maximum(found + false, 1e-12)
    return float((counts.abusive * found / taken).sum() / found[-1])


def _taken(counts: Any, rate: float) -> tuple[float, float]:
    """Abusive and benign accounts above the lowest threshold that takes `rate` of the benign."""
    false = np.cumsum(counts.benign)
    last = int(np.searchsorted(false, rate * false[-1] + 1e-9, side="right")) - 1
    if last < 0:
        return 0.0, 0.0
    return float(counts.abusive[: last + 1].sum()), float(false[last])


def recall(counts: Any, rate: float) -> float:
    """Share of the abusive found where at most `rate` of the benign are taken wrongly."""
    return _taken(counts, rate)[0] / float(counts.abusive.sum())


def _f1(found: float, false: float, missed: float) -> float:
    return 2 * found / max(2 * found + false + missed, 1e-12)


def _f1s(counts: Any, above: int, weighted: bool) -> float:
    """Mean F1 of both classes, the first `above` scores taken as abusive."""
    found, false = counts.abusive[:above].sum(), counts.benign[:above].sum()
    missed, left = counts.abusive[above:].sum(), counts.benign[above:].sum()
    both = _f1(found, false, missed), _f1(left, missed, false)
    share = (found + missed) / (found + missed + false + left) if weighted else 0.5
    return float(share * both[0] + (1 - share) * both[1])


def precision_at(share: float, false: int, benign: int, prevalence: float = PREVALENCE) -> float:
    """Precision at another prevalence, from recall and one false positive more than was seen.

    >>> round(precision_at(0.5, 0, 999), 3)
    0.334
    """
    wrong = (false + 1) / (benign + 1) * (1 - prevalence)
    return share * prevalence / (share * prevalence + wrong)


def figures(
    labels: Labels, scores: Floats, *, threshold: float | None = None, seed: int = 0,
    resamples: int = RESAMPLES,
) -> Figures:  # fmt: skip
    """Measure `scores` (n,) against `labels` (n,), 1 is abusive; higher is more abusive.

    A score that is NaN ranks last. Accounts are drawn anew, with return, `resamples` times, by
    `seed`. Raises ValueError where only one class is there.

    >>> f = figures(np.array([1, 1, 0, 0], np.uint8), np.array([0.9, 0.4, 0.6, 0.1]))
    >>> f.auc.value, f.at_few.found
    (0.75, 1)
    """
    if not 0 < int(labels.sum()) < labels.size:
        raise ValueError("figures need abusive and benign accounts")
    scores = np.nan_to_num(scores.astype(np.float64), nan=-np.inf, neginf=-np.inf)
    values, place = np.unique(-scores, return_inverse=True)
    above = 0 if threshold is None else int(np.searchsorted(values, -threshold, side="right"))
    measures: list[Callable[[Any], float]] = [
        auc, average_precision,
        lambda c: recall(c, FEW), lambda c: recall(c, FEWER),
        lambda c: _f1s(c, above, False), lambda c: _f1s(c, above, True),
    ]  # fmt: skip
    whole = _counts(labels, place, np.ones(labels.size))
    again = [[m(c) for m in measures] for c in _drawn(labels, place, seed, resamples)]
    made = [
        Estimate(m(whole), *_interval([row[i] for row in again] or [m(whole)]))
        for i, m in enumerate(measures)
    ]
    f1: list[Any] = made[4:] if threshold is not None else [None, None]
    few, fewer = _recall(whole, FEW, made[2]), _recall(whole, FEWER, made[3])
    return Figures(labels.size, int(labels.sum()), made[0], made[1], few, fewer, f1[0], f1[1])


def _counts(labels: Labels, place: Any, weights: Floats) -> _Counts:
    size = int(place.max()) + 1
    abusive = np.bincount(place, weights * labels, size).astype(np.float64)
    return _Counts(abusive, np.bincount(place, weights, size) - abusive)


def _drawn(labels: Labels, place: Any, seed: int, resamples: int) -> Iterator[_Counts]:
    """Draw the accounts anew; a draw without both classes is not used."""
    draw = np.random.default_rng(seed)
    for _ in range(resamples):
        picked = draw.integers(0, labels.size, labels.size)
        weights = np.bincount(picked, minlength=labels.size).astype(np.float64)
        counts = _counts(labels, place, weights)
        if counts.abusive.any() and counts.benign.any():
            yield counts


def _interval(values: list[float]) -> tuple[float, float]:
    low, high = np.percentile(values, [2.5, 97.5]).tolist()
    return low, high


def _recall(whole: _Counts, rate: float, share: Estimate) -> Recall:
    found, false = map(int, _taken(whole, rate))
    abusive, benign = int(whole.abusive.sum()), int(whole.benign.sum())
    precision = precision_at(found / abusive, false, benign)
    return Recall(rate, found, abusive, false, benign, share, precision)
