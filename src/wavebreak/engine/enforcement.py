"""What each outcome refuses, how it ends, and its twin in a file.

Live, the platform asks and is told; in a replay or a simulation the same `refuses` says which later
events would not have happened. One function, so that a twin cannot drift from the real thing.
"""

from __future__ import annotations

import hashlib
from typing import Any

from wavebreak.engine.decision import BAN, CHALLENGE, LIMIT, OBSERVE, QUOTA, RESTRICT, SUSPEND
from wavebreak.features.fact_kinds import KINDS
from wavebreak.rules import Feedback, duration_seconds

SENT, SENT_GROUP, SESSION, TYPING, LOOKED_UP = (
    KINDS.index(kind) for kind in ("sent", "sent_group", "session", "typing", "looked_up")
)
GROUP_CREATED, MEMBER_ADDED, RECEIVED, ADDED_TO_GROUP = (
    KINDS.index(kind) for kind in ("group_created", "member_added", "received", "added_to_group")
)


def refuses(policy: Any, standing: int, kind: int, opens: int, linked: int, opened: int) -> int:
    """Whether a standing refuses an act: 1 or 0.

    `kind` is the kind of fact, `opens` 1 when it would open a chat, `linked` 1 when it would link
    a companion device, `opened` the chats opened in 24 hours. Receiving, reading, leaving, blocking
    and reporting are never refused.

    Ban and suspension refuse every act. A restriction refuses new chats, groups, member adds and
    companions only; a challenge holds the same until it is passed. A limit refuses new chats above
    the quota.

    >>> from wavebreak.engine.decision import numbers
    >>> policy = numbers([], suspend_after=3, double_at_most=4, quota=5)
    >>> refuses(policy, RESTRICT, SENT, 1, 0, 0), refuses(policy, RESTRICT, SENT, 0, 0, 0)
    (1, 0)
    >>> refuses(policy, LIMIT, SENT, 1, 0, 4), refuses(policy, LIMIT, SENT, 1, 0, 5)
    (0, 1)
    """
    if standing <= OBSERVE:
        return 0
    reaches = kind in (SENT, RECEIVED)
    grows = kind in (GROUP_CREATED, MEMBER_ADDED, ADDED_TO_GROUP)
    if standing in (SUSPEND, BAN):
        acts = kind in (SENT_GROUP, SESSION, TYPING, LOOKED_UP)
        return 1 if reaches or grows or acts else 0
    if standing in (CHALLENGE, RESTRICT):
        return 1 if (reaches and opens == 1) or grows or (kind == SESSION and linked == 1) else 0
    return 1 if standing == LIMIT and kind == SENT and opens == 1 and opened >= policy[QUOTA] else 0


def told_at(feedback: Feedback, decision_id: str, ts: int, outcome: str) -> int:
    """When a sender may be told of a decision: event time in milliseconds.

    Uniform between the policy's two delays, drawn from the decision's id: the same decision is
    told at the same time live, in a replay and in the arena, and a sender cannot foresee it.

    >>> from wavebreak.rules import Feedback
    >>> some = Feedback(delay={"restrict": ("20m", "4h")})
    >>> 1_200_000 <= told_at(some, "abc", 0, "restrict") <= 14_400_000
    True
    >>> told_at(some, "abc", 7, "challenge")
    7
    """
    if outcome not in feedback.delay:
        return ts
    least, most = (duration_seconds(delay) * 1000 for delay in feedback.delay[outcome])
    drawn = int.from_bytes(hashlib.sha256(f"told\0{decision_id}".encode()).digest()[:8])
    return ts + least + drawn % (most - least + 1)


MEANING: dict[str, tuple[str, str]] = {
    "allow": ("nothing is refused", "none needed"),
    "observe": ("nothing is refused; the account is watched", "ends by itself"),
    "challenge": (
        "new chats, new groups, adding members and linking companion devices wait until a "
        "challenge is passed",
        "ends when the challenge is passed, or by itself",
    ),
    "limit": ("new chats above a daily quota are refused", "ends by itself, or on appeal"),
    "restrict": (
        "new chats, new groups, adding members and linking companion devices are refused; "
        "existing chats go on",
        "ends by itself, or on appeal",
    ),
    "suspend": (
        "every act is refused; receiving and reading go on",
        "ends by itself, or on appeal",
    ),
    "ban": ("every act is refused", "does not end by itself; ends on appeal or override"),
}
"""Each outcome in words: what it refuses, how it ends (its revert)."""
