"""Which features a stream can carry: what its sources do not show is missing, never zero."""

from __future__ import annotations

from typing import Any

import numpy as np

from wavebreak.features.catalog import FEATURES, INPUTS, NAMES
from wavebreak.profile import Profile


def covered(profile: Profile | None, *, scored: bool = True) -> frozenset[str]:
    """Names of the features whose sources a stream carries, on a clock fine enough for them.

    A source "a|b" is covered by either; a stream without a profile carries everything. Scores are
    covered only where there is a model (`scored`).
    """
    names = frozenset(NAMES if profile is None else _carried(profile))
    return names if scored else names & frozenset(INPUTS)


def _carried(profile: Profile) -> frozenset[str]:
    return frozenset(
        feature.name
        for feature in FEATURES
        if feature.resolution_ms >= profile.resolution_ms
        and all(any(map(profile.covers, source.split("|"))) for source in feature.sources)
    )


def mask(names: frozenset[str]) -> Any:
    """0.0 for a covered feature and NaN for one that is not: float64, one a feature."""
    return np.array([0.0 if feature.name in names else np.nan for feature in FEATURES])
