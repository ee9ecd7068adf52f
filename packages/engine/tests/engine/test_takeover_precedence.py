"""Takeovers: the owner's challenge precedes a restriction, and holds what is sent."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec
import pytest

from support.parity_streams import DAY, log
from wavebreak import rules
from wavebreak.engine import Engine, decision
from wavebreak.engine.decision import UNCHANGED, Decision, Terms
from wavebreak.engine.enforcement import MEMBER_ADDED, SENT, SESSION, refuses
from wavebreak.features.catalog import INDEX
from wavebreak.features.layout import HELD, NO_RULE
from wavebreak.outcomes import ALLOW, BAN, CHALLENGE, LIMIT, RESTRICT, SUSPEND
from wavebreak.schema.events import TYPES

START = 20_000 * DAY
POLICY = rules.load_policy()
TAKEOVER, HARD, LAST, SLOW = 0b0001, 0b0010, 0b0100, 0b1000
NUMBERS = decision.pack_policy(
    [
        Terms(CHALLENGE, 3_600, recovers=True), Terms(RESTRICT, 7_200), Terms(BAN, 0),
        Terms(LIMIT, 7_200, new_chats_1d=5, doubts=True),
    ],
    suspend_after=3, double_at_most=4,
)  # fmt: skip


def decided(hits: int, fired: int, standing: int = ALLOW, until: int = 0) -> tuple[int, int] | None:
    taken = decision.takeover_rule(NUMBERS, hits, fired, standing)
    answer = decision.decide(NUMBERS, hits, 0, taken, standing, until, 0, 1_000, 0)
    return None if answer == UNCHANGED else (answer & 255, answer >> 8 & 255)


@pytest.mark.parametrize("also", [HARD, SLOW, HARD | SLOW])
def test_takeover_rule_below_ban_decides_its_challenge(also: int) -> None:
    assert decided(TAKEOVER | also, TAKEOVER | also) == (CHALLENGE, 0)


def test_takeover_rule_without_history_restricts() -> None:
    assert decided(TAKEOVER | HARD, 0) == (RESTRICT, 1)


def test_ban_precedes_takeover() -> None:
    assert decided(TAKEOVER | LAST, TAKEOVER | LAST) == (BAN, 2)


def test_pending_takeover_challenge_delays_restriction() -> None:
    assert decided(HARD, TAKEOVER | HARD, CHALLENGE, 4_000) is None
    assert decided(LAST, TAKEOVER | LAST, CHALLENGE, 4_000) == (BAN, 2)


def test_takeover_after_passed_challenge_is_restricted() -> None:
    assert decided(HARD, TAKEOVER | HARD, ALLOW) == (RESTRICT, 1)


def test_takeover_challenge_replaces_limit_not_restriction() -> None:
    assert decided(TAKEOVER, TAKEOVER, LIMIT, 9_000) == (CHALLENGE, 0)
    for standing in (RESTRICT, SUSPEND, BAN):
        assert decided(TAKEOVER, TAKEOVER, standing, 9_000) is None


def test_challenge_refuses_like_restriction() -> None:
    acts = [(SENT, 1, 0), (SENT, 0, 0), (MEMBER_ADDED, 0, 0), (SESSION, 0, 1), (SESSION, 0, 0)]
    for kind, opens, linked in acts:
        refused = [refuses(s, kind, opens, linked, 0, 0) for s in (CHALLENGE, RESTRICT)]
        assert refused[0] == refused[1]


def test_takeover_challenge_holds_messages_to_friends_too() -> None:
    assert refuses(CHALLENGE, SENT, 0, 0, 0, HELD) == 1
    assert refuses(CHALLENGE, SENT, 0, 0, 0, 0) == 0
    answer = decision.decide(NUMBERS, TAKEOVER, 0, 0, ALLOW, 0, 0, 1_000, 0)
    assert answer >> 48 & 255 == HELD


def test_narrower_limit_replaces_limit_and_wider_does_not() -> None:
    for quota, moved in ((4, False), (5, False), (6, True)):
        answer = decision.decide(NUMBERS, SLOW, 0, NO_RULE, LIMIT, 99_999, 0, 1_000, quota)
        assert (answer != UNCHANGED) == moved
    answer = decision.decide(NUMBERS, SLOW, 0, NO_RULE, ALLOW, 0, 0, 1_000, 0)
    assert (answer >> 48 & 255, answer >> 56) == (5, 1)


def _lived(*, born: int | None) -> tuple[list[Decision], Engine]:
    """What is decided on one, registered days ago, for whom both rules speak at its third send."""
    hard = next(rule for rule in POLICY.rules if rule.outcome == "restrict")
    hard = msgspec.structs.replace(
        hard, id="hard", abuse="bulk", stage="messaging", on=("sent",), when="sends_1d >= 3"
    )
    asks = next(rule for rule in POLICY.rules if rule.action == "recover")
    asks = msgspec.structs.replace(asks, id="asks", on=("sent",), when="sends_1d >= 3")
    which = dataclasses.replace(POLICY, rules=(hard, asks))
    events: list[dict[str, Any]] = [] if born is None else [
        {"id": f"r{ago}", "ts": START - ago * DAY, "type": TYPES.index("account.registered"),
         "account": "a" if ago == born else f"b{ago}"}
        for ago in range(born, -1, -1)
    ]  # fmt: skip
    events += [
        {"id": f"e{i}", "ts": START + i * 60_000, "type": TYPES.index("message.sent"),
         "account": "a", "peer": f"p{i}", "in_contacts": False}
        for i in range(9)
    ]  # fmt: skip
    engine = Engine(which, enforce=True, accounts=64)
    return engine.take(log(events)) + engine.finish(), engine


@pytest.mark.parametrize("born", [None, 30])
def test_takeover_challenge_holds_messages_of_the_hijacker(born: int | None) -> None:
    made, engine = _lived(born=born)
    assert [(d.outcome, d.action, d.rules) for d in made] == [
        ("challenge", "recover", ("asks", "hard"))
    ]
    assert engine.core.values_of(0)[INDEX["started_chats"]] == 3


def test_takeover_rule_on_new_account_restricts() -> None:
    made, _ = _lived(born=0)
    assert [(d.outcome, d.rules) for d in made] == [("restrict", ("hard", "asks"))]


def test_decide_hold_begins_now_and_ban_has_no_end() -> None:
    restricted = decision.decide(NUMBERS, HARD, 0, NO_RULE, ALLOW, 0, 0, 1_000, 0)
    assert restricted == RESTRICT | 1 << 8 | 8_200 << 16
    assert decision.decide(NUMBERS, LAST, 0, NO_RULE, ALLOW, 0, 0, 1_000, 0) >> 16 == 0
    assert decision.decide(NUMBERS, HARD, 0, NO_RULE, BAN, 0, 1, 1_000, 0) == UNCHANGED


class Phone:
    """An owner with two friends, who moves to another phone and writes to five people from it."""

    def __init__(self) -> None:
        self.engine = Engine(POLICY, enforce=True, accounts=64)
        self.now, self.number, self.made = START, 0, list[Decision]()
        for day in range(5):
            for friend in ("kim", "lee"):
                self.send("ann", friend)
                self.send(friend, "ann")
            if day == 0:
                self.take("session.started", account="ann", device="old")
            self.now += DAY // 2
        self.take("session.started", account="ann", device="new")
        for friend in ("kim", "lee", "moe", "nan", "oli"):
            self.send("ann", friend)

    def take(self, name: str, **fields: Any) -> None:
        self.now, self.number = self.now + 1_000, self.number + 1
        event = {"id": f"e{self.number}", "ts": self.now, "type": TYPES.index(name)} | fields
        self.made += self.engine.take(log([event]))

    def send(self, account: str, peer: str) -> bool:
        """Send a message; returns whether it goes out."""
        slot = 0
        before = self.engine.core.refused_of(slot)
        self.take("message.sent", account=account, peer=peer, in_contacts=False)
        return self.engine.core.refused_of(slot) == before


def test_a_takeover_holds_every_message_and_the_owners_answer_frees_at_once() -> None:
    phone = Phone()
    (held,) = phone.made
    assert (held.outcome, held.action, held.rules) == ("challenge", "recover", ("takeover",))
    assert not phone.send("ann", "kim")
    assert not phone.send("ann", "pat")
    phone.take("challenge.passed", account="ann", kind=0)
    assert [d.outcome for d in phone.made] == ["challenge", "allow"]
    assert phone.send("ann", "kim")
    assert all(phone.send("ann", f"new{k}") for k in range(20))


def test_a_takeover_holds_for_a_day_at_most() -> None:
    phone = Phone()
    assert phone.made[0].until == (phone.made[0].ts // 1000 + 86_400) * 1000
    phone.now += DAY // 2
    assert not phone.send("ann", "kim")
    phone.now += DAY // 2
    assert phone.send("ann", "kim")
