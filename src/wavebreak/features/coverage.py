"""Which features a stream can carry: what its sources do not show is missing, never zero."""

from __future__ import annotations

from typing import Any

import numpy as np

from wavebreak.features.catalog import FEATURES
from wavebreak.profile import Profile


def covered(profile: Profile) -> frozenset[str]:
    """Names of the features whose sources a stream carries, on a clock fine enough for them.

    A source "a|b" is covered by either.
    """
    return frozenset(
        feature.name
        for feature in FEATURES
        if feature.resolution_ms >= profile.resolution_ms
        and all(any(map(profile.covers, source.split("|"))) for source in feature.sources)
    )


def mask(names: frozenset[str]) -> Any:
    """0.0 for a covered feature and NaN for one that is not: float64, one a feature."""
    return np.array([0.0 if feature.name in names else np.nan for feature in FEATURES])
