"""What is known of accounts while the engine does not answer, and what it refuses."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from wavebreak import rules
from wavebreak.features.layout import HELD
from wavebreak.io.jsonl import decode_event
from wavebreak.outcomes import OUTCOMES
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.schema.events import Event
from wavebreak_server.pipeline.decide import DecideResponder, load_decide_policy
from wavebreak_server.pipeline.enforcement_cache import ALLOWED, EnforcementCache, KnownState

HOUR_MS = 3_600_000
DECIDE_POLICY = load_decide_policy(None)
ANSWERING = DecideResponder(rules.load_policy(), DECIDE_POLICY, Pseudonymizer(bytes(32)))


def event(kind: str, **more: Any) -> Event:
    made = decode_event(msgspec.json.encode({"ts": 1, "type": kind, "account": "a", **more}))
    assert isinstance(made, Event)
    return made


STRANGER = event("message.sent", peer="b", in_contacts=False)
UNKNOWN = event("message.sent", peer="b")
FRIEND = event("message.sent", peer="b", in_contacts=True)
GROUP = event("message.sent", group="g")
ASKS = event("contact.requested", peer="b")
ADDS = event("group.member_added", group="g", peer="b")
CREATES = event("group.created", group="g")
LINKS = event("session.started", linked=True)
CONNECTS = event("session.started")
READS = event("message.read", peer="b")
REPORTS = event("user.reported", peer="b", reason="spam")
LEAVES = event("group.left", group="g")
ALL = (
    STRANGER,
    UNKNOWN,
    FRIEND,
    GROUP,
    ASKS,
    ADDS,
    CREATES,
    LINKS,
    CONNECTS,
    READS,
    REPORTS,
    LEAVES,
)


@pytest.mark.parametrize(
    ("outcome", "quota", "waits"),
    [
        ("ban", 0, (STRANGER, UNKNOWN, FRIEND, GROUP, ASKS, ADDS, CREATES, LINKS, CONNECTS)),
        ("suspend", 0, (STRANGER, UNKNOWN, FRIEND, GROUP, ASKS, ADDS, CREATES, LINKS, CONNECTS)),
        ("restrict", 0, (STRANGER, UNKNOWN, ASKS, ADDS, CREATES, LINKS)),
        ("challenge", 0, (STRANGER, UNKNOWN, ASKS, ADDS, CREATES, LINKS)),
        ("challenge", HELD, (STRANGER, UNKNOWN, FRIEND, GROUP, ASKS, ADDS, CREATES, LINKS)),
        ("limit", 5, (STRANGER, UNKNOWN, ASKS, ADDS)),
        ("observe", 0, ()),
        ("allow", 0, ()),
    ],
)
def test_known_outcome_refuses_as_the_kernel(
    outcome: str, quota: int, waits: tuple[Event, ...]
) -> None:
    known = KnownState(OUTCOMES.index(outcome), HOUR_MS, quota)
    told = [ANSWERING.fallback(each, known, 0) for each in ALL]
    assert [each for each, answer in zip(ALL, told, strict=True) if not answer.allowed] == [
        each for each in ALL if each in waits
    ]
    assert {answer.outcome for answer in told} == {outcome}
    assert all((answer.retry_after_ms is None) == answer.allowed for answer in told)


def test_act_that_depends_on_chats_is_asked_again_soon() -> None:
    restricted = KnownState(OUTCOMES.index("restrict"), HOUR_MS)
    waits = [ANSWERING.fallback(each, restricted, 0).retry_after_ms for each in (STRANGER, CREATES)]
    assert waits == [1_000, HOUR_MS]
    banned = ANSWERING.fallback(STRANGER, KnownState(OUTCOMES.index("ban")), 0)
    assert (banned.allowed, banned.retry_after_ms) == (False, None)


def test_known_challenge_is_offered() -> None:
    challenge = OUTCOMES.index("challenge")
    offered = [
        ANSWERING.fallback(STRANGER, KnownState(challenge, HOUR_MS, q), 0) for q in (0, HELD)
    ]
    assert [one.challenge for one in offered] == ["captcha", "push"]


def test_outcome_ends_by_the_clock() -> None:
    now = [0]
    cache = EnforcementCache(lambda: now[0])
    cache.update([("ann", "suspend", 10_000, 0), ("bob", "ban", None, 0)])
    assert cache.state("ann") == KnownState(OUTCOMES.index("suspend"), 10_000)
    now[0] = 10_000
    assert cache.state("ann") == ALLOWED
    assert cache.state("bob") == KnownState(OUTCOMES.index("ban"))


def test_cache_keeps_only_what_is_in_force() -> None:
    now = [0]
    cache = EnforcementCache(lambda: now[0])
    cache.update((f"a{n}", "limit", 10_000, 5) for n in range(5_000))
    cache.update((f"b{n}", "ban", None, 0) for n in range(100))
    cache.update((f"b{n}", "allow", None, 0) for n in range(50))
    assert len(cache) == 5_050
    now[0] = 10_000
    cache.update((f"c{n}", "observe", 20_000, 0) for n in range(6_000))
    assert len(cache) == 6_050
    cache.clear()
    assert (cache.loaded, len(cache)) == (True, 0)
