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

KINDS: tuple[str, ...] = (
    "registered", "session", "typing", "sent", "sent_group", "received", "delivered", "read_by",
    "undeliverable", "looked_up", "contact_added", "added_as_contact", "group_created",
    "member_added", "added_to_group", "group_joined", "group_left", "member_left", "reported",
    "reported_by", "blocked", "blocked_by", "challenge_passed", "challenge_failed", "deleted",
    "labelled", "read", "epoch", "contact_removed", "removed_as_contact", "unblocked_by", "refused",
)  # fmt: skip
"""Kinds of fact, in code order. `epoch` is the touch at an epoch's close, `refused` an own act
that a standing refused."""

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
