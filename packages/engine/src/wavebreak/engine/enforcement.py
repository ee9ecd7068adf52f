"""Enforcement: what each outcome refuses, when it ends, and when a sender is notified.

Live, the platform asks the service; in a replay or a simulation the same `refuses` decides which
later events would not have happened. One function, so that the two cannot differ.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from wavebreak.durations import duration_ms
from wavebreak.features.facts import Segment
from wavebreak.features.layout import HELD, OPENS, REFUSES, WITHHELD
from wavebreak.outcomes import CHALLENGE, Refusal
from wavebreak.rules import Feedback
from wavebreak.schema.event_kinds import (
    FACTS,
    Bar,
)
from wavebreak.schema.event_kinds import (
    GROUP_CREATED as GROUP_CREATED,
)
from wavebreak.schema.event_kinds import (
    MEMBER_ADDED as MEMBER_ADDED,
)
from wavebreak.schema.event_kinds import (
    SENT as SENT,
)
from wavebreak.schema.event_kinds import (
    SENT_GROUP as SENT_GROUP,
)
from wavebreak.schema.event_kinds import (
    SESSION as SESSION,
)

# Plain numbers: `refuses` is compiled.
NOTHING, _, NEW_CHATS, EVERY_ACT = (int(scope) for scope in Refusal)
CHAT, GROWTH, LINKING, ALLOWANCE, OF_TAKEOVER = map(
    int, (Bar.CHAT, Bar.GROWTH, Bar.LINKING, Bar.ALLOWANCE, Bar.HELD)
)
BARS = np.array([fact.bars for fact in FACTS], np.int64)
"""By what an outcome refuses each kind of account event (`Bar`)."""


def refuses(outcome: int, kind: int, opens: int, linked: int, taken: int, quota: int) -> int:
    """Return 1 if the outcome in force refuses an account event, else 0.

    `kind` is the kind of account event, `opens` 1 when it would open a chat with a stranger, add
    one to a group or mention many people in a group that it is new in, `linked` 1 when it would
    link a companion device, `taken` the strangers of 24 hours who have not answered (with an add
    also those added, with a mention those mentioned), `quota` how many a limit leaves. Receiving,
    reading, leaving, blocking and reporting are never refused, nor is writing to who has the
    account in contacts.

    A request for contact is a new chat. Its acceptance answers one: only ban and suspension refuse
    it. They refuse every event of the account. A restriction refuses new chats, groups,
    member adds and companions only; a challenge the same until it is passed, and where a takeover
    is suspected (`quota` HELD) every send. A limit refuses new chats and adds of strangers above
    the quota; of messages to groups only those that mention many in a new one.

    >>> from wavebreak.outcomes import LIMIT, RESTRICT
    >>> refuses(RESTRICT, SENT, 1, 0, 0, 0), refuses(RESTRICT, SENT, 0, 0, 0, 0)
    (1, 0)
    >>> refuses(LIMIT, SENT, 1, 0, 4, 5), refuses(LIMIT, SENT, 1, 0, 5, 5)
    (0, 1)
    """
    scope = REFUSES[outcome]
    bars = BARS[kind]
    if scope == NOTHING or bars == 0:
        return 0
    if scope == EVERY_ACT:
        return 1
    if outcome == CHALLENGE and quota == HELD and bars & OF_TAKEOVER:
        return 1
    if scope == NEW_CHATS:
        barred = (bars & GROWTH) | (bars & CHAT) * opens | (bars & LINKING) * linked
        return 1 if barred else 0
    return 1 if bars & ALLOWANCE and opens == 1 and taken >= quota else 0


def notification_time(
    feedback: Feedback, decision_id: str, ts: int, outcome: str, until: int | None = None
) -> int:
    """Return when a sender is notified of a decision: event time in milliseconds.

    Uniform between the policy's two delays, derived from the decision's id: the same live, in a
    replay and in red-team runs, and not predictable for the sender. Neither delay is longer than
    half of what lasts until `until` (ms; None: without end): a limit of an hour is told of while
    there is time to appeal against it.

    >>> from wavebreak.rules import Feedback
    >>> some = Feedback(delay={"restrict": ("20m", "4h")})
    >>> 1_200_000 <= notification_time(some, "abc", 0, "restrict") <= 14_400_000
    True
    >>> notification_time(some, "abc", 0, "restrict", until=600_000)
    300000
    >>> notification_time(some, "abc", 7, "challenge")
    7
    """
    if outcome not in feedback.delay:
        return ts
    least, most = (duration_ms(delay) for delay in feedback.delay[outcome])
    if until is not None:
        half = max(0, until - ts) // 2
        least, most = min(least, half), min(most, half)
    # The prefix is part of 0.1's output: changing it would move every notification.
    drawn = int.from_bytes(hashlib.sha256(f"told\0{decision_id}".encode()).digest()[:8])
    return ts + least + drawn % (most - least + 1)


class FirstMessages:
    """Pairs of accounts whose first message was refused, and those that never got through.

    A person whom an account writes to first, or asks for contact, counts once, however often the
    account tries; whether it got through later, or what was refused was a retry, changes nothing.
    In shadow mode what would have been refused counts. Kept by runs over a file, not by the
    service: it remembers each refused pair.
    """

    def __init__(self) -> None:
        self._refused = set[int]()
        self._waiting = set[int]()

    def note(self, segment: Segment) -> None:
        """Note the first messages of a segment that the kernel has processed."""
        at = np.flatnonzero(segment.results & (OPENS | WITHHELD if self._waiting else WITHHELD))
        found, results = segment.events[at], segment.results[at]
        pairs = found["account"].astype(np.int64) << 32 | found["peer"]
        for pair, result in zip(pairs.tolist(), results.tolist(), strict=True):
            if result & WITHHELD:
                self._refused.add(pair)
                self._waiting.add(pair)
            if result & OPENS:
                self._waiting.discard(pair)

    def refused(self, slots: Any) -> Any:
        """Return to how many people a first message of each account was refused (int64)."""
        return _by_account(self._refused, slots)

    def waiting(self, slots: Any) -> Any:
        """Return to how many of these none got through since."""
        return _by_account(self._waiting, slots)


def _by_account(pairs: set[int], slots: Any) -> Any:
    accounts = np.sort(np.fromiter(pairs, np.int64, len(pairs)) >> 32)
    return np.searchsorted(accounts, slots, "right") - np.searchsorted(accounts, slots, "left")
