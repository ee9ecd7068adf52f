"""A takeover comes before a restriction: the owner is asked, and nothing new goes out meanwhile."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec
import pytest

from support.parity_streams import DAY, log
from wavebreak import rules
from wavebreak.engine import Engine, decision
from wavebreak.engine.decision import (
    ALLOW,
    BAN,
    CHALLENGE,
    LIMIT,
    RESTRICT,
    SUSPEND,
    UNCHANGED,
    Decision,
)
from wavebreak.engine.enforcement import MEMBER_ADDED, SENT, SESSION, refuses
from wavebreak.features.catalog import INDEX
from wavebreak.features.layout import NO_RULE
from wavebreak.schema.events import TYPES

START = 20_000 * DAY
POLICY = rules.load_policy()
TAKEOVER, HARD, LAST, SLOW = 0b0001, 0b0010, 0b0100, 0b1000
NUMBERS = decision.numbers(
    [(CHALLENGE, 3_600), (RESTRICT, 7_200), (BAN, 0), (LIMIT, 7_200)],
    suspend_after=3, double_at_most=4, quota=5, recovers=[True, False, False, False],
)  # fmt: skip


def decided(hits: int, fired: int, standing: int = ALLOW, until: int = 0) -> tuple[int, int] | None:
    taken = decision.takeover(NUMBERS, hits, fired, standing)
    answer = decision.step(NUMBERS, hits, 0, taken, standing, until, 0, 1_000)
    return None if answer == UNCHANGED else (answer & 255, answer >> 8 & 255)


@pytest.mark.parametrize("also", [HARD, SLOW, HARD | SLOW])
def test_where_a_rule_speaks_of_a_takeover_less_than_a_ban_is_its_challenge(also: int) -> None:
    assert decided(TAKEOVER | also, TAKEOVER | also) == (CHALLENGE, 0)


def test_who_has_no_past_is_restricted_as_others_are() -> None:
    assert decided(TAKEOVER | HARD, 0) == (RESTRICT, 1)


def test_a_ban_stands_beside_a_takeover() -> None:
    assert decided(TAKEOVER | LAST, TAKEOVER | LAST) == (BAN, 2)


def test_while_the_owner_is_asked_a_restriction_waits() -> None:
    assert decided(HARD, TAKEOVER | HARD, CHALLENGE, 4_000) is None
    assert decided(LAST, TAKEOVER | LAST, CHALLENGE, 4_000) == (BAN, 2)


def test_who_goes_on_after_the_owner_has_answered_is_restricted() -> None:
    assert decided(HARD, TAKEOVER | HARD, ALLOW) == (RESTRICT, 1)


def test_recovery_takes_the_place_of_a_limit_and_never_of_a_restriction() -> None:
    assert decided(TAKEOVER, TAKEOVER, LIMIT, 9_000) == (CHALLENGE, 0)
    for standing in (RESTRICT, SUSPEND, BAN):
        assert decided(TAKEOVER, TAKEOVER, standing, 9_000) is None


def test_a_challenge_for_recovery_refuses_what_a_restriction_refuses() -> None:
    acts = [(SENT, 1, 0), (SENT, 0, 0), (MEMBER_ADDED, 0, 0), (SESSION, 0, 1), (SESSION, 0, 0)]
    for kind, opens, linked in acts:
        refused = [refuses(NUMBERS, s, kind, opens, linked, 0) for s in (CHALLENGE, RESTRICT)]
        assert refused[0] == refused[1]


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
def test_the_owner_is_asked_and_what_the_hijacker_sends_is_held(born: int | None) -> None:
    made, engine = _lived(born=born)
    assert [(d.outcome, d.action, d.rules) for d in made] == [
        ("challenge", "recover", ("asks", "hard"))
    ]
    assert engine.core.values_of(0)[INDEX["started_chats"]] == 3


def test_an_account_hours_old_is_restricted_whatever_it_links() -> None:
    made, _ = _lived(born=0)
    assert [(d.outcome, d.rules) for d in made] == [("restrict", ("hard", "asks"))]


def test_an_outcome_holds_from_now_and_a_ban_does_not_end() -> None:
    restricted = decision.step(NUMBERS, HARD, 0, NO_RULE, ALLOW, 0, 0, 1_000)
    assert restricted == RESTRICT | 1 << 8 | 8_200 << 16
    assert decision.step(NUMBERS, LAST, 0, NO_RULE, ALLOW, 0, 0, 1_000) >> 16 == 0
    assert decision.step(NUMBERS, HARD, 0, NO_RULE, BAN, 0, 1, 1_000) == UNCHANGED
