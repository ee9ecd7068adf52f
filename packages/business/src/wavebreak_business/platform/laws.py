"""The limits as the compiled rules read them."""

from __future__ import annotations

from typing import Any

import numpy as np

from wavebreak.durations import duration_ms
from wavebreak_business.platform.kernel import (
    BARS_ALL,
    BARS_NOTHING,
    BARS_OUTSIDE,
    BLOCK,
    LAWS,
    MILLION,
    MUTE,
    REPORT,
)
from wavebreak_business.settings import Limits

CATEGORIES = ("marketing", "utility", "authentication")
"""Categories by code."""
_BARS = {"nothing": BARS_NOTHING, "outside_windows": BARS_OUTSIDE, "all": BARS_ALL}
_POINTS = 100
"""Points of a reaction of weight 1, times the reporter's hundredths."""


def categories_mask(categories: tuple[str, ...]) -> int:
    """Return categories as bits.

    >>> categories_mask(("marketing", "authentication"))
    5
    """
    return sum(1 << CATEGORIES.index(category) for category in categories)


def laws_of(limits: Limits) -> Any:
    """Return limits as one record (dtype LAWS)."""
    laws = np.zeros(1, LAWS)[0]
    quality, pacing, ladder = limits.quality, limits.pacing, limits.ladder
    laws["window"] = duration_ms(limits.window)
    laws["entry_window"] = duration_ms(limits.entry_window)
    laws["span"] = duration_ms(limits.limit.span)
    laws["freed"] = limits.limit.count == "delivered"
    laws["pair_interval"], laws["pair_burst"] = duration_ms(limits.pair.interval), limits.pair.burst
    laws["required"] = categories_mask(limits.consent.required)
    laws["revoked"] = categories_mask(limits.revocation.categories)
    laws["paced"] = categories_mask(pacing.categories)
    laws["pace_first"], laws["pace_wait"] = pacing.first, duration_ms(pacing.wait)
    laws["pace_bad"], laws["pace_least"] = _millionths(pacing.bad_share), pacing.least
    laws["portfolio_first"] = pacing.portfolio_first
    laws["pace_growth"], laws["pace_until"] = pacing.portfolio_growth, pacing.portfolio_until
    laws["weights"] = quality.day_weights
    points = laws["points"]
    for kind, weight in ((MUTE, quality.mute), (BLOCK, quality.block), (REPORT, quality.report)):
        points[kind] = round(weight * _POINTS)
    laws["low"], laws["medium"] = _millionths(quality.low), _millionths(quality.medium)
    laws["least"], laws["few_reads"] = quality.least, _millionths(quality.few_reads)
    laws["pauses"] = len(limits.pauses.ladder)
    for k, pause in enumerate(limits.pauses.ladder):
        laws["pause"][k] = duration_ms(pause)
    laws["ladder"], laws["forget"] = len(ladder.steps), duration_ms(ladder.forget)
    for k, step in enumerate(ladder.steps):
        laws["bars"][k] = _BARS[step.bars]
        laws["lasts"][k] = duration_ms(step.lasts) if step.lasts else 0
        laws["notice"][k] = duration_ms(step.notice) if step.notice else 0
    laws["steps"] = len(limits.limit.steps)
    laws["step"][: len(limits.limit.steps)] = limits.limit.steps
    laws["raise_share"] = _millionths(limits.limit.raise_share)
    laws["raise_days"] = limits.limit.raise_days
    laws["raise_wait"] = duration_ms(limits.limit.raise_wait)
    return laws


def _millionths(share: float) -> int:
    return round(share * MILLION)
