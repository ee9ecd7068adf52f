"""Formulas of the features that `features/message_features.py` declares."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import chain

from oracle.account_history import (
    NAN,
    SMALL,
    YOUNG_S,
    AccountHistory,
    Fact,
    is_cold,
    recent_blocks,
    share,
    size_of,
)
from oracle.shared_state import log2
from wavebreak.features.windows import COUNT_LOG2

Formula = Callable[[AccountHistory], float]


def last_share(truths: Sequence[bool], least: int = 1) -> float:
    """Return the share of true values among the last 32, missing below `least`.

    >>> last_share([False, True]), last_share([])
    (0.5, nan)
    """
    last = truths[-32:]
    return sum(last) / len(last) if len(last) >= least else NAN


def _mean_and_variance(values: list[int]) -> tuple[float, float]:
    mean = sum(values) / len(values)
    return mean, max(sum(v * v for v in values) / len(values) - mean * mean, 0.0)


def _moments(values: list[int]) -> tuple[float, float]:
    """Mean and standard deviation of the recent blocks, in log2; missing below eight values."""
    recent = [*chain(*recent_blocks(values))]
    if len(recent) < 8:
        return NAN, NAN
    mean, variance = _mean_and_variance(recent)
    return mean / 256, math.sqrt(variance) / 256


def _one_way_run(s: AccountHistory) -> float:
    run = 0
    for i, fact in enumerate(s.facts):
        if fact.kind == "received":
            run = 0
        elif fact.kind == "sent" and i in s.counted:
            run = min(run + 1, 65_535)
    return run


def _peers_1d(s: AccountHistory) -> float:
    last: dict[str | None, Fact] = {}
    for fact in s.of("sent"):
        if fact.peer not in last or fact.now >= last[fact.peer].now:
            last[fact.peer] = fact
    return s.count(last.values(), "1d")


def _size_repeat_share_32(s: AccountHistory) -> float:
    sizes = [min(size_of(fact), 65_535) for fact in s.sends if size_of(fact) > 0]
    return last_share([size in sizes[max(i - 4, 0) : i] for i, size in enumerate(sizes)])


def _hour_entropy(s: AccountHistory) -> float:
    n = sum(s.hours)
    return (log2(n) - sum(int(COUNT_LOG2[c]) for c in s.hours) / n) / 256 if n >= 32 else NAN


def _growth_7d(s: AccountHistory) -> float:
    if s.clock - s.facts[0].now < 3 * 86_400:
        return NAN
    buckets = s.buckets(((fact.now, 1) for fact in s.sends), "7d", 65_535)
    return (sum(buckets[8:]) + 1) / (sum(buckets[:8]) + 1)


def new_chats(s: AccountHistory) -> set[int]:
    """Return the identities of the facts that opened a chat, either way."""
    return {*map(id, s.first_sends()), *map(id, s.inbound)}


def _young_peer_share_32(s: AccountHistory) -> float:
    young = []
    chats = new_chats(s)
    for fact, _ in s.met:
        if id(fact) in chats:
            born = s.shared.born(fact.peer or "", fact.epoch)
            young.append(born is not None and fact.now - born <= YOUNG_S)
    return last_share(young)


def _kin_share_32(s: AccountHistory) -> float:
    kin = []
    chats = new_chats(s)
    for i, (fact, _) in enumerate(s.met):
        if id(fact) in chats:
            peer, here = fact.peer or "", s.places[i]
            born = s.shared.born(peer, fact.epoch)
            near = any(
                entity in here and s.shared.place(peer, entity, fact.epoch) == here[entity]
                for entity in ("network", "block", "device")
            )
            kin.append(near and born is not None and fact.now - born <= YOUNG_S)
    return last_share(kin)


def _first_contacts(s: AccountHistory, window: str) -> int:
    return s.count(s.first_sends(), window, SMALL if window == "1h" else 65_535)


def _replied(s: AccountHistory) -> int:
    return s.count(s.answered(), "7d")


def _received(s: AccountHistory) -> int:
    return len(s.of("received"))


FORMULAS: dict[str, Formula] = {
    "sends_15s": lambda s: s.count(s.sends, "15s", SMALL),
    "sends_5m": lambda s: s.count(s.sends, "5m", SMALL),
    "sends_1h": lambda s: s.count(s.sends, "1h"),
    "sends_1d": lambda s: s.count(s.sends, "1d"),
    "sends_7d": lambda s: s.count(s.sends, "7d"),
    "first_contacts_1h": lambda s: _first_contacts(s, "1h"),
    "first_contacts_1d": lambda s: _first_contacts(s, "1d"),
    "first_contacts_7d": lambda s: _first_contacts(s, "7d"),
    "peers_1d": _peers_1d,
    "group_sends_1d": lambda s: s.count(s.group_sends, "1d"),
    "first_contact_share_1d": lambda s: share(_first_contacts(s, "1d"), s.count(s.sends, "1d")),
    "cold_share_32": lambda s: last_share(
        [is_cold(fact, known) for fact, known in s.first_contacts if "in_contacts" in fact.fields]
    ),
    "started_chats": lambda s: len(s.first_contacts),
    "strangers_written_15s": lambda s: s.count(
        [f for f, known in s.first_contacts if "in_contacts" in f.fields and is_cold(f, known)],
        "15s",
        SMALL,
    ),
    "started_share": lambda s: share(len(s.first_contacts), len(s.first_contacts) + len(s.inbound)),
    "replied_7d": _replied,
    "reply_share_7d": lambda s: share(_replied(s), _first_contacts(s, "7d")),
    "unanswered_7d": lambda s: _first_contacts(s, "7d") - _replied(s),
    "one_way_run": _one_way_run,
    "mutual_contacts": lambda s: len(s.mutual()),
    "inbound_chats": lambda s: len(s.inbound),
    "reciprocity": lambda s: share(_received(s), len(s.direct)),
    "gap_mean": lambda s: _moments(s.gaps)[0],
    "gap_sd": lambda s: _moments(s.gaps)[1],
    "typed_share_32": lambda s: last_share([text.typed for text in s.texts]),
    "size_repeat_share_32": _size_repeat_share_32,
    "hour_entropy": _hour_entropy,
    "growth_7d": _growth_7d,
    "read_share": lambda s: min(share(len(s.of("read_by")), len(s.direct)), 1.0),
    "delivered_share": lambda s: min(share(len(s.of("delivered")), len(s.direct)), 1.0),
    "read_back_share": lambda s: min(share(len(s.of("read")), _received(s)), 1.0),
    "abuse_target_share_32": lambda s: last_share(
        [s.shared.hunted(fact.peer or "", fact.epoch) for fact in s.first_sends()]
    ),
    "young_peer_share_32": _young_peer_share_32,
    "colocated_young_peer_share_32": _kin_share_32,
}
