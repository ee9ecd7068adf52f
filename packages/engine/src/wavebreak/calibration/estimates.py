"""What honest accounts' rates are: a quantile over accounts, each seen for a few trials only.

Of an account that wrote to eight strangers, of whom none answered, the rate is not zero: it is
unknown. So the rates of all accounts together are modelled as a beta distribution, whose mean and
variance follow from the accounts' counts (the beta-binomial model; Kleinman 1973, "Proportions with
extraneous variance", for accounts of equal weight). The quantile is that distribution's, and its
interval the bootstrap's over accounts.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_GRID = (np.arange(20_000) + 0.5) / 20_000
OUTLYING = 3.0
"""An account may be abusive that is so many standard errors from the pooled rate."""
SEED = 7
"""Of the bootstrap: the same accounts give the same interval."""


class Estimate(NamedTuple):
    """A quantile of honest accounts' rates, its 95 % interval, their mean, and how many there are.

    `accounts` have trials enough; `removed` of them were left out as possibly abusive.
    """

    quantile: float
    low: float
    high: float
    mean: float
    accounts: int
    removed: int


def beta_quantile(mean: float, variance: float, level: float) -> float:
    """Return a quantile of the beta distribution with a mean and a variance.

    >>> round(beta_quantile(0.5, 1 / 12, 0.1), 3)
    0.1
    >>> beta_quantile(0.3, 0.0, 0.1)
    0.3
    """
    most = mean * (1 - mean)
    if not 0 < variance < most:
        return mean if variance <= 0 else float(level >= 1 - mean)
    size = most / variance - 1
    a, b = mean * size, (1 - mean) * size
    logs = (a - 1) * np.log(_GRID) + (b - 1) * np.log1p(-_GRID)
    mass = np.cumsum(np.exp(logs - logs.max()))
    return float(_GRID[min(np.searchsorted(mass, level * mass[-1]), _GRID.size - 1)])


def _distance(n: Ints, k: Ints) -> Floats:
    """Return how far each account is above the pooled rate, as a signed root of likelihood ratio.

    A standard error of a normal distribution, also where a rate is small and the counts are few.
    """
    pooled = min(max(float(k.sum() / n.sum()), 1e-9), 1 - 1e-9)
    with np.errstate(divide="ignore", invalid="ignore"):
        hits = np.where(k > 0, k * np.log(k / (n * pooled)), 0.0)
        rest = np.where(k < n, (n - k) * np.log((n - k) / (n * (1 - pooled))), 0.0)
    root = np.sqrt(np.maximum(2 * (hits + rest), 0.0))
    return np.asarray(np.where(k > n * pooled, root, -root), np.float64)


def _moments(n: Ints, k: Ints, weights: Ints) -> tuple[float, float]:
    """Return mean and between-account variance of rates, each account weighted."""
    total = weights.sum()
    rates = k / n
    mean = float(weights @ rates / total)
    spread = float(weights @ (rates - mean) ** 2 / total)
    noise = float(weights @ (1 / n) / total)
    return mean, max(0.0, (spread - mean * (1 - mean) * noise) / max(1 - noise, 1e-9))


def estimate(
    n: Ints, k: Ints, *, contamination: float, beyond: float, floor: bool, resamples: int
) -> Estimate:
    """Estimate the quantile of honest accounts' rates that a floor or ceiling is taken from.

    Args:
        n: Trials of each account, at least one.
        k: How many of them were answered, complained of, and so on.
        contamination: At most this share of the accounts is removed from the bad side, the worst
            first, and only accounts that chance does not explain (see `OUTLYING`): where hardly
            anybody complains, one complaint in twenty makes nobody abusive.
        beyond: Share of the accounts left that lies beyond the quantile.
        floor: Whether low rates are bad; otherwise high ones.
        resamples: Resamples of the accounts.

    >>> n, k = np.full(500, 20), np.full(500, 8)
    >>> found = estimate(n, k, contamination=0.05, beyond=0.05, floor=True, resamples=20)
    >>> round(found.quantile, 6), found.removed
    (0.4, 0)
    """
    distance = _distance(n, k) * (-1 if floor else 1)
    order = np.argsort(-distance, kind="stable")
    n, k, outlying = n[order], k[order], distance[order] >= OUTLYING
    level = beyond if floor else 1 - beyond
    most = int(contamination * n.size)
    removed = min(most, int(outlying.sum()))
    ones = np.ones(n.size - removed, np.int64)
    mean, variance = _moments(n[removed:], k[removed:], ones)
    generator = np.random.default_rng(SEED)
    drawn = []
    for _ in range(resamples):
        counts = np.bincount(generator.integers(0, n.size, n.size), minlength=n.size)
        # The worst are removed of every resample, as of the accounts themselves.
        gone = np.minimum(np.maximum(most - (np.cumsum(counts) - counts), 0), counts) * outlying
        drawn.append(beta_quantile(*_moments(n, k, counts - gone), level))
    low, high = np.quantile(drawn, (0.025, 0.975)).tolist()
    return Estimate(beta_quantile(mean, variance, level), low, high, mean, int(n.size), removed)
