"""The catalog of features: what a rule or a model may read about an account, and its limits.

A feature is one declaration, in `messaging.py` or `standing.py`; its value is a float64, NaN where
it is missing. `naive.py` holds the obvious formula of each and `reading.py` the fast one; a
contract test holds the two together.

Windows hop. A window of length W has sixteen buckets of W/15: the one that holds the account's
clock and the fifteen before it, so that at least W and at most 16/15 W is counted, exactly. An
account's clock is the newest event time among its own facts.
"""

from __future__ import annotations

import difflib
from functools import cache

from wavebreak.errors import PolicyError
from wavebreak.features.declared import Feature
from wavebreak.features.messaging import MESSAGING
from wavebreak.features.scores import SCORES
from wavebreak.features.standing import STANDING

FEATURES: tuple[Feature, ...] = MESSAGING + STANDING + SCORES
"""Every feature, in the order of the array that the kernel fills (shape `(len(FEATURES),)`)."""

NAMES: tuple[str, ...] = tuple(feature.name for feature in FEATURES)
INPUTS: tuple[str, ...] = NAMES[: -len(SCORES)]
"""What a model may read: every feature but its own scores, which stand last."""
INDEX: dict[str, int] = {name: index for index, name in enumerate(NAMES)}


@cache
def feature(name: str) -> Feature:
    """Return the declaration of one feature.

    Raises `PolicyError` with the nearest names when there is none.

    >>> feature("sends_15s").unit
    'messages'
    """
    if name not in INDEX:
        near = ", ".join(difflib.get_close_matches(name, NAMES, 3))
        raise PolicyError(
            f"there is no feature {name[:64]!r}",
            fix=f"did you mean {near}?" if near else "see `wavebreak features list`",
        )
    return FEATURES[INDEX[name]]
