"""Catalog of features: what rules and models may read about an account, and its limits.

A feature is one declaration, in `message_features` or `account_features`; its value is a float64,
NaN where it is missing. `values` computes it in compiled code; `tests/oracle` holds the obvious
formula, and tests compare the two.

Windows hop. A window of length W has sixteen buckets of W/15: the one at the account's clock and
the fifteen before it, so that at least W and at most 16/15 W is counted, exactly. An account's
clock is the newest event time among its own account events.

A stream that lacks a feature's sources does not cover it: the feature is then missing, never zero.
"""

from __future__ import annotations

import difflib
import re
from functools import cache
from typing import Any

import numpy as np

from wavebreak.errors import PolicyError
from wavebreak.features.account_features import ACCOUNT_FEATURES, EVIDENCE_FEATURES
from wavebreak.features.descriptions import Feature, WindowedCount, describe_feature
from wavebreak.features.descriptions import Feature as F  # noqa: N817 - a table reads better so
from wavebreak.features.message_features import MESSAGE_FEATURES
from wavebreak.languages import ENGLISH, Language
from wavebreak.schema.coverage import Profile

SCORES: tuple[F, ...] = (
    F("score", "probability", "scores", "last scoring point",
      "Probability that the account is abusive, as the model said at its last scoring point, "
      "calibrated; missing without a model and before the first point.", ("message.sent",),
      "see the model card", "senders unlike any that the model was trained on"),
    F("registration_score", "probability", "scores", "at registration",
      "The same at the last registration, to 1/1,024 of log-odds: the prior carried into "
      "messaging.",
      ("account.registered",), "see the model card", "clean registrations"),
)  # fmt: skip
"""Last in the catalog, after the evidence, so that a model's inputs are a prefix of it."""

_DECLARED: tuple[Feature | WindowedCount, ...] = (
    MESSAGE_FEATURES + ACCOUNT_FEATURES + EVIDENCE_FEATURES + SCORES
)
FEATURES: tuple[Feature, ...] = tuple(
    declared.feature if isinstance(declared, WindowedCount) else declared for declared in _DECLARED
)
"""Every feature, in the order of the array that the kernel fills (shape `(len(FEATURES),)`)."""
WINDOWED: tuple[WindowedCount, ...] = tuple(
    declared for declared in _DECLARED if isinstance(declared, WindowedCount)
)
"""Features that count one event over a window: `window_counters` makes code of them."""

NAMES: tuple[str, ...] = tuple(feature.name for feature in FEATURES)
MODEL_INPUTS: tuple[str, ...] = NAMES[: -len(SCORES) - len(EVIDENCE_FEATURES)]
"""Features that a model may read: all but the evidence, which must stay independent of doubt, and
the scores."""
FORMER_NAMES: dict[str, str] = {
    "hunted_share_32": "abuse_target_share_32",
    "kin_share_32": "colocated_young_peer_share_32",
    "standing": "enforcement_level",
}
"""Names of features in version 0.1, with today's: policies and models may still use them. A renamed
feature has one version more and the same meaning."""
_FORMER = re.compile(rf"\b(?:{'|'.join(FORMER_NAMES)})\b")
INDEX: dict[str, int] = {name: index for index, name in enumerate(NAMES)}


def current_name(name: str) -> str:
    """Return today's name of a feature: its own, or that of a former name.

    >>> current_name("standing"), current_name("sends_1h")
    ('enforcement_level', 'sends_1h')
    """
    return FORMER_NAMES.get(name, name)


def with_current_names(text: str) -> str:
    """Replace former names of features in an expression by today's.

    >>> with_current_names("standing >= 2 and hunted_share_32 > 1")
    'enforcement_level >= 2 and abuse_target_share_32 > 1'
    """
    return _FORMER.sub(lambda found: FORMER_NAMES[found[0]], text)


@cache
def get_feature(name: str) -> Feature:
    """Return the declaration of one feature, by its name or a former one.

    Raises:
        PolicyError: There is none; its fix names the nearest ones.

    >>> get_feature("sends_15s").unit
    'messages'
    """
    name = current_name(name)
    if name not in INDEX:
        near = ", ".join(difflib.get_close_matches(name, NAMES, 3))
        raise PolicyError(
            f"there is no feature {name[:64]!r}",
            fix=f"did you mean {near}?" if near else "see `wavebreak features list`",
        )
    return FEATURES[INDEX[name]]


def describe(name: str, language: Language = ENGLISH) -> str:
    """Return what a feature says, by its name or a former one; "" for a name that is none's.

    >>> describe("standing"), describe("not_a_feature")
    ('What is in force now, from 0 (allow) to 6 (ban).', '')
    """
    index = INDEX.get(current_name(name))
    return "" if index is None else describe_feature(NAMES[index], language)


def covered_features(profile: Profile | None, *, scored: bool = True) -> frozenset[str]:
    """Return the names of the features that a stream covers.

    Args:
        profile: Event types, fields and clock resolution of the stream (None: everything). A
            source "a|b" is covered by either.
        scored: Whether there is a model; without, scores are not covered.
    """
    names = frozenset(NAMES if profile is None else _covered_names(profile))
    return names if scored else names - {score.name for score in SCORES}


def _covered_names(profile: Profile) -> frozenset[str]:
    return frozenset(
        feature.name
        for feature in FEATURES
        if feature.resolution_ms >= profile.resolution_ms
        and all(any(map(profile.covers, source.split("|"))) for source in feature.sources)
    )


def coverage_mask(names: frozenset[str]) -> Any:
    """Return 0.0 for each covered feature and NaN for the others (float64, in catalog order)."""
    return np.array([0.0 if feature.name in names else np.nan for feature in FEATURES])
