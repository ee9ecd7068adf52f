"""Calls: what kernel and oracle make of single cases, and what an outcome refuses of them."""

from __future__ import annotations

import pytest

from support.parity_streams import HOUR, MINUTE, START, Both, Row, log
from support.rule_factories import rule
from wavebreak import rules
from wavebreak.engine import Engine, enforcement
from wavebreak.features.catalog import NAMES
from wavebreak.outcomes import ALLOW, BAN, CHALLENGE, LIMIT, RESTRICT, SUSPEND
from wavebreak.rules import Policy
from wavebreak.schema.event_kinds import CALL_ENDED, CALLED, KINDS, SENT
from wavebreak.schema.events import SHORT_CALL_S, TYPES


def at(kind: str, ts: int, account: str, peer: str, **fields: object) -> Row:
    row: Row = {"id": f"{kind}{account}{peer}{ts}", "ts": START + ts, "type": TYPES.index(kind)}
    return row | {"account": account, "peer": peer} | fields


def call(ts: int, peer: str = "b", **fields: object) -> Row:
    return at("call.started", ts, "a", peer, **fields)


def end(ts: int, seconds: int, peer: str = "b", **fields: object) -> Row:
    return at("call.ended", ts, "a", peer, seconds=seconds, **fields)


def values(*events: Row, account: str = "a") -> dict[str, float]:
    """Features on which kernel and oracle agree."""
    both = Both(accounts=256)
    both.take(log(events))
    assert both.differences() == []
    return {name: value for _, name, value, _ in both.compared([account])}


def test_a_call_to_a_stranger_is_a_first_contact_and_no_send() -> None:
    found = values(call(0))
    counted = ("started_chats", "first_contacts_1h", "unanswered_strangers_1d", "stranger_contacts")
    assert [found[name] for name in counted] == [1, 1, 1, 1]
    assert found["sends_1d"] == 0


def test_a_message_after_a_call_takes_no_second_place() -> None:
    found = values(call(0), at("message.sent", MINUTE, "a", "b"), call(2 * MINUTE))
    assert (found["unanswered_strangers_1d"], found["started_chats"]) == (1, 1)


@pytest.mark.parametrize(
    ("seconds", "answers"), [(0, 0), (SHORT_CALL_S, 0), (SHORT_CALL_S + 1, 1), (3_600, 1)]
)
def test_a_call_is_an_answer_if_it_was_longer_than_short(seconds: int, answers: int) -> None:
    found = values(call(0), end(MINUTE, seconds))
    assert (found["stranger_answers"], found["mutual_contacts"]) == (answers, answers)
    assert found["unanswered_strangers_1d"] == 1 - answers
    assert found["stranger_complaints"] == 0


def test_a_call_back_is_an_answer() -> None:
    found = values(call(0), at("call.started", MINUTE, "b", "a"))
    assert (found["stranger_answers"], found["inbound_chats"]) == (1, 0)


def test_being_called_opens_a_chat_that_is_the_callers() -> None:
    events = (call(0), at("message.sent", MINUTE, "b", "a"), at("call.started", HOUR, "b", "a"))
    found = values(*events, account="b")
    assert (found["inbound_chats"], found["started_chats"]) == (1, 0)


@pytest.mark.parametrize("tie", ["in_contacts", "contact.added", "message.sent"])
def test_a_call_to_a_contact_or_in_a_chat_is_no_strangers(tie: str) -> None:
    known = tie == "in_contacts"
    before = [] if known else [at(tie, 0, "b", "a")]
    found = values(*before, call(HOUR, in_contacts=True if known else None), end(2 * HOUR, 0))
    assert found["unanswered_strangers_1d"] == 0


def test_an_end_without_a_call_says_nothing() -> None:
    found = values(at("message.sent", 0, "a", "c"), end(MINUTE, 500))
    assert found["mutual_contacts"] == 0
    attempted = values(call(0), end(MINUTE, 500, attempted=True))
    assert attempted["mutual_contacts"] == 0


def test_a_stranger_who_blocks_after_a_call_has_something_to_complain_of() -> None:
    found = values(call(0), end(MINUTE, 3), at("user.blocked", 2 * MINUTE, "b", "a"))
    assert (found["stranger_complaints"], found["blocks_7d"]) == (1, 1)
    assert found["block_weight_7d"] > 0.5


@pytest.mark.parametrize("outcome", [CHALLENGE, LIMIT, RESTRICT, SUSPEND, BAN])
def test_a_call_is_refused_as_a_first_message_is_and_its_end_never(outcome: int) -> None:
    cases = [(opens, taken, quota) for opens in (0, 1) for taken in (0, 5) for quota in (0, 5, 255)]
    for opens, taken, quota in cases:
        sent, called, ended = (
            enforcement.refuses(outcome, kind, opens, 0, taken, quota)
            for kind in (SENT, CALLED, CALL_ENDED)
        )
        assert (sent, ended) == (called, 0)


@pytest.mark.parametrize("outcome", [ALLOW, LIMIT, RESTRICT])
def test_a_call_in_a_chat_or_to_a_contact_is_never_refused(outcome: int) -> None:
    assert enforcement.refuses(outcome, CALLED, 0, 0, 99, 0) == 0


@pytest.mark.parametrize("outcome", ["limit", "restrict"])
def test_calls_to_strangers_alone_are_refused_in_force(outcome: str) -> None:
    shipped = rules.load_policy()
    more = {"new_chats_1d": 0} if outcome == "limit" else {}
    one = rule(("started_chats >= 2",), outcome=outcome, hold="2d", mode="enforce", **more)
    policy = Policy("tested", (one,), shipped.actions, shipped.enforcement, NAMES, KINDS)
    of = Engine(policy, accounts=64, enforce=True)
    chats = [at("message.sent", n, "a", peer) for n, peer in enumerate(("written", "spoken"))]
    chats.append(at("message.sent", MINUTE, "spoken", "a"))
    chats += [at("call.started", 2 * MINUTE, "caller", "a"), at("contact.added", HOUR, "tied", "a")]
    of.take(log(chats))
    peers = ("stranger", "written", "spoken", "caller", "tied", "friend")
    calls = [call(2 * HOUR, peer, in_contacts=peer == "friend" or None) for peer in peers]
    refused = {row["peer"] for row in calls if of.trial(log([row])).refused}
    assert refused == {"stranger"}
