"""Weights of scoring points in the fit, and masking of fields that streams may lack."""

from __future__ import annotations

import numpy as np

from wavebreak.evaluation.scoring_points import Bools, Floats, Ints, Points
from wavebreak.features.catalog import FEATURES, INDEX, covered_features
from wavebreak.schema.coverage import Profile
from wavebreak_lab.training.config import Coverage, Weights

ALWAYS = "message.sent"
"""The one type that every stream has."""
SOURCES = tuple(sorted({s for f in FEATURES for source in f.sources for s in source.split("|")}))
"""Every event type and field that a feature needs."""
STEPS_MS = (1, 1_000, 60_000)
"""Clocks of real streams: milliseconds, seconds, minutes."""


def sampled_points(place: Ints, settings: Weights) -> Bools:
    """Which of an account's points the fit takes, by their place: all at first, then ever fewer.

    >>> settings = Weights(early=0.5, even_abusive=1, even_benign=0, dense=4, step=1.5)
    >>> np.flatnonzero(sampled_points(np.arange(20), settings)).tolist()
    [0, 1, 2, 3, 4, 6, 9, 13]
    """
    taken, at = list(range(settings.dense)), float(settings.dense)
    while at <= place.max(initial=0):
        taken.append(int(at))
        at = max(at + 1.0, at * settings.step)
    return np.isin(place, taken)


def point_weights(
    points: Points, abusive: Bools, family: Ints, word: Floats, settings: Weights
) -> Floats:
    """What each point counts: float64 (n,), abusive and benign together half each.

    `abusive`, `family` (a number) and `word` (its label's weight) are by account. An account's
    points sum to one before its family is evened.
    """
    early = (1.0 + points.ordinals()) ** -settings.early
    n = len(points.accounts)
    total = np.bincount(points.account, early, n)
    seen = total > 0
    size = np.bincount(family[seen], minlength=int(family.max(initial=0)) + 1)[family]
    even = np.where(abusive, settings.even_abusive, settings.even_benign)
    of_account = word * np.maximum(size, 1.0) ** -even
    counted = early / total[points.account] * of_account[points.account]
    bad = abusive[points.account]
    for side in (bad, ~bad):
        if side.any():
            counted[side] *= 0.5 / counted[side].sum()
    return np.asarray(counted, np.float64)


def draw_missing_patterns(names: tuple[str, ...], settings: Coverage, seed: int) -> Bools:
    """Streams that carry less: which features each lacks, bool (patterns, features)."""
    rng = np.random.default_rng([seed, 1])
    lost = np.zeros((settings.patterns, len(names)), bool)
    for pattern in range(settings.patterns):
        bare = rng.random() < settings.bare
        gone = rng.random(len(SOURCES)) < (1.0 if bare else settings.drop)
        step = int(rng.choice(STEPS_MS))
        carried = {s for s, g in zip(SOURCES, gone, strict=True) if not g} | {ALWAYS}
        lost[pattern] = missing_features(names, carried, step)
    return lost


def missing_features(names: tuple[str, ...], carried: set[str], step_ms: int = 1) -> Bools:
    """Which features a stream of only these types and fields lacks, bool (features,).

    >>> missing_features(("sends_1h", "age_s"), {"message.sent"}).tolist()
    [False, True]
    """
    types = {s: 1.0 for s in carried if s.count(".") == 1}
    fields = {s: 1.0 for s in carried if s.count(".") == 2}
    there = covered_features(Profile(types, fields, step_ms, 1))
    return np.array([FEATURES[INDEX[name]].name not in there for name in names])


def mask_values(points: Points, settings: Coverage, seed: int) -> Floats:
    """The values as the fit sees them: of a share of accounts, as a masked stream shows them."""
    lost = draw_missing_patterns(points.names, settings, seed)
    rng = np.random.default_rng([seed, 2])
    pattern = rng.integers(0, settings.patterns, len(points.accounts))
    poor = rng.random(len(points.accounts)) < settings.share
    values = points.values.copy()
    for number in range(settings.patterns):
        rows = np.flatnonzero((poor & (pattern == number))[points.account])
        values[np.ix_(rows, np.flatnonzero(lost[number]))] = np.nan
    return values
