"""An account's whole life in a few numbers: spread of gaps, hours of the day, sizes.

The kernel remembers the last 16 to 31 gaps and no sizes; over a life of a few dozen posts a summary
of all of them tells more. Nothing here reads a label or the content of a message.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from experiments.benchmarks.metrics import Floats

HOUR_S, DAY_S = 3_600, 86_400
_GAP_PARTS, _SIZE_PARTS = (10, 25, 50, 75, 90, 100), (0, 10, 25, 50, 75, 90, 100)


def summary(seconds: Floats, sizes: Floats) -> Floats:
    """Give 40 numbers (float64, NaN where too few posts) of one account's posts.

    `seconds` (n,) ascending, `sizes` (n,) in bytes, n ≥ 1.

    >>> summary(np.array([0.0, 60.0, 120.0]), np.array([10.0, 20.0, 30.0])).shape
    (40,)
    """
    gaps = np.diff(seconds)
    return np.concatenate([
        [float(seconds.size)], _sizes(sizes), _gaps(gaps), _day(seconds), _sessions(gaps),
    ])  # fmt: skip


def _if(enough: bool, make: Callable[[], float]) -> float:
    return float(make()) if enough else np.nan


def _sizes(sizes: Floats) -> list[float]:
    log = np.log2(np.maximum(sizes, 1))
    return [
        *np.percentile(sizes, _SIZE_PARTS), log.mean(),
        _if(sizes.size > 2, log.std),
        _if(sizes.mean() > 0, lambda: sizes.std() / sizes.mean()),
        np.unique(sizes).size / sizes.size,
    ]  # fmt: skip


def _gaps(gaps: Floats) -> list[float]:
    if gaps.size == 0:
        return [np.nan] * (len(_GAP_PARTS) + 9)
    log = np.log2(np.maximum(gaps, 1))
    parts = np.percentile(log, _GAP_PARTS)
    whole = max(gaps.sum(), 1.0)
    longest = np.sort(gaps)[::-1]
    many, both = gaps.size > 2, gaps.std() + gaps.mean()
    return [
        *parts, log.min(), parts[4] - parts[0],
        _if(many, log.std),
        float(np.median(np.abs(log - np.median(log)))),
        _if(many and both > 0, lambda: (gaps.std() - gaps.mean()) / both),
        _if(many, lambda: longest[0] / whole),
        _if(many, lambda: longest[:3].sum() / whole),
        float(np.mean(gaps < 120)), float(np.mean(gaps < 600)),
    ]  # fmt: skip


def _day(seconds: Floats) -> list[float]:
    """Hours used, and how far the day has a night: the quietest six and eight hours, a mean."""
    hours = np.bincount((seconds // HOUR_S % 24).astype(np.int64), minlength=24)
    used = int((hours > 0).sum())
    twice = np.r_[hours, hours]
    quiet = [min(twice[k : k + width].sum() for k in range(24)) / seconds.size for width in (6, 8)]
    turn = np.exp(2j * np.pi * (seconds % DAY_S) / DAY_S).mean()
    return [
        float(np.unique(seconds // HOUR_S).size), np.unique(seconds // HOUR_S).size / seconds.size,
        float(used), used / min(seconds.size, 24), *quiet, float(abs(turn)),
        float(np.unique(seconds // DAY_S).size), float(np.mean(seconds % 60 < 2)),
    ]  # fmt: skip


def _sessions(gaps: Floats) -> list[float]:
    """Sittings apart by half an hour, and posts a sitting; how a gap goes with the one before."""
    sittings = float((gaps > HOUR_S / 2).sum() + 1)
    log = np.log2(np.maximum(gaps, 1))
    steady = gaps.size > 4 and log[1:].std() > 0 and log[:-1].std() > 0
    return [
        sittings, (gaps.size + 1) / sittings,
        _if(steady, lambda: np.corrcoef(log[1:], log[:-1])[0, 1]),
        _if(gaps.size > 0, lambda: float(np.mean(gaps < HOUR_S))),
    ]  # fmt: skip
