"""Answers of `decide` under the outcome request, and to a sender near a limit."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from wavebreak import rules
from wavebreak.engine import Engine
from wavebreak.engine.account_queries import CYCLE_S
from wavebreak.features.catalog import NAMES
from wavebreak.io.jsonl import decode_event
from wavebreak.notices import near_limit_notices
from wavebreak.outcomes import Outcome, code_of
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.rules import Policy, Rule
from wavebreak.schema.event_kinds import KINDS
from wavebreak.schema.events import Event
from wavebreak_server.pipeline.decide import (
    DecideResponder,
    DecideResponse,
    load_decide_policy,
    pseudonymize_event,
    strictest,
)
from wavebreak_server.pipeline.enforcement_cache import KnownState
from wavebreak_server.pipeline.holder_notices import HolderNotices, add_notice

START = 20_000 * 86_400_000
EDGE = Pseudonymizer(bytes(32))
SHIPPED = rules.load_policy()


def policy(outcome: Outcome, **fields: Any) -> Policy:
    """One rule: from the third chat on, an outcome for a day."""
    given: dict[str, Any] = {
        "abuse": "bulk", "about": "What it is about.", "source": "Where it is from.",
        "stage": "messaging", "mode": "enforce", "basis": "doubt", "hold": "24h",
        "fires_on": ({"started_chats": 3.0},), "stays_quiet_on": ({"started_chats": 2.0},),
    } | fields  # fmt: skip
    rule = Rule(id="r", on=("sent", "member_added"), when=("started_chats >= 3",),
                outcome=outcome, **given)  # fmt: skip
    return Policy("tested", (rule,), SHIPPED.actions, SHIPPED.enforcement, NAMES, KINDS)


class Asked:
    """An engine of a policy, which is told events and asked about others."""

    def __init__(self, of: Policy) -> None:
        self.engine = Engine(of, enforce=True, accounts=64)
        self.responder = DecideResponder(of, load_decide_policy(None), EDGE)
        self.minute = 0

    def event(self, kind: str, peer: str, account: str = "ann", **more: Any) -> Event:
        self.minute += 1
        named = {"id": f"e{self.minute}", "ts": START + self.minute * 60_000, "type": kind}
        made = decode_event(msgspec.json.encode(named | {"account": account, "peer": peer} | more))
        assert isinstance(made, Event), made
        return made

    def tell(self, kind: str, peer: str, account: str = "ann", **more: Any) -> None:
        self.engine.take(pseudonymize_event(self.event(kind, peer, account, **more), EDGE))

    def ask(self, *acts: tuple[str, str], **more: Any) -> list[DecideResponse]:
        events = [self.event(kind, peer, **more) for kind, peer in acts]
        logs = [pseudonymize_event(event, EDGE) for event in events]
        return self.responder.respond_to_all(self.engine, events, logs, "ask")

    def about(self, kind: str, peer: str, **more: Any) -> DecideResponse:
        return self.ask((kind, peer), **more)[0]


def under(outcome: Outcome, **fields: Any) -> Asked:
    asked = Asked(policy(outcome, **fields))
    for peer in ("p1", "p2", "p3"):
        asked.tell("message.sent", peer)
    return asked


def test_first_message_to_a_stranger_is_delivered_as_a_request() -> None:
    asked = under("request")
    answer = asked.about("message.sent", "new")
    assert (answer.outcome, answer.allowed, answer.deliver_as) == ("request", True, "request")
    assert asked.about("contact.requested", "new").deliver_as == "request"
    assert asked.about("group.member_added", "new", group="g").deliver_as == "request"
    assert asked.about("call.started", "new").deliver_as == "request"


def test_the_act_that_leads_to_the_outcome_is_a_request_too() -> None:
    asked = Asked(policy("request"))
    asked.tell("message.sent", "p1")
    assert asked.about("message.sent", "p2").deliver_as == "message"
    asked.tell("message.sent", "p2")
    assert asked.about("message.sent", "p3").deliver_as == "request"


def test_who_answered_accepted_or_knows_the_sender_gets_messages() -> None:
    asked = under("request")
    asked.tell("message.sent", "ann", "p1")
    asked.tell("contact.accepted", "ann", "p2")
    asked.tell("contact.added", "ann", "friend")
    for peer in ("p1", "p2", "friend"):
        assert asked.about("message.sent", peer).deliver_as == "message", peer
    assert asked.about("message.sent", "book", in_contacts=True).deliver_as == "message"
    assert asked.about("message.sent", "p3").deliver_as == "request", "it has not answered"


def test_other_acts_and_other_outcomes_deliver_messages() -> None:
    asked = under("request")
    assert asked.about("user.blocked", "new").deliver_as == "message"
    assert asked.about("typing.started", "new").deliver_as == "message"
    harder: tuple[Outcome, ...] = ("challenge", "limit", "restrict")
    for outcome in harder:
        of = under(outcome)
        assert of.about("message.sent", "new").deliver_as == "message"


def test_an_array_names_which_arrive_as_requests() -> None:
    asked = under("request")
    asked.tell("contact.added", "ann", "friend")
    acts = [("message.sent", peer) for peer in ("friend", "x", "y")]
    answer = strictest(asked.ask(*acts), array=True)
    assert (answer.deliver_as, answer.requests, answer.refused) == ("request", (1, 2), ())


def test_without_the_engine_messages_are_delivered() -> None:
    asked = under("request")
    known = KnownState(7, START + 86_400_000)
    answer = asked.responder.fallback(asked.event("message.sent", "new"), known, START)
    assert (answer.outcome, answer.allowed, answer.deliver_as) == ("request", True, "message")


def test_a_sender_under_a_limit_is_told_the_places_that_are_left() -> None:
    asked = under("limit", new_chats_1d=6, hold="48h")
    first = asked.about("message.sent", "p4")
    assert (first.allowed, first.remaining) == (True, 2)
    assert first.frees_at == START // 5_760_000 * 5_760_000 + CYCLE_S * 1000
    several = asked.ask(*(("message.sent", f"p{n}") for n in range(4, 8)))
    assert [one.remaining for one in several] == [2, 1, 0, 0]
    assert [one.allowed for one in several] == [True, True, True, False]
    brief = under("limit", new_chats_1d=6, hold="1h").about("message.sent", "p4")
    assert brief.frees_at == brief.until, "the limit ends before"
    assert asked.about("message.sent", "p1").remaining == 3, "a second message takes no place"
    asked.tell("message.sent", "ann", "p1")
    assert asked.about("message.sent", "p4").remaining == 3, "an answer frees one"


@pytest.mark.parametrize("outcome", ["request", "restrict"])
def test_no_other_outcome_has_places(outcome: Outcome) -> None:
    answer = under(outcome).about("message.sent", "new")
    assert (answer.remaining, answer.frees_at) == (None, None)
    limited = under("limit", new_chats_1d=6)
    assert limited.about("user.blocked", "new").remaining is None


@pytest.mark.parametrize(("remaining", "near"), [(4, False), (3, True), (0, True), (None, False)])
def test_notice_names_the_last_places_and_no_threshold(remaining: int | None, near: bool) -> None:
    response = DecideResponse(
        "ann", "limit", True, START, remaining=remaining, frees_at=START + 86_400_000
    )
    told = add_notice(response, HolderNotices())
    assert told.notice is not None
    assert (told.near_limit, "An answer frees a place" in told.notice["en"]) == (near, near)
    if near and remaining is not None:
        assert told.notice["he"].endswith(near_limit_notices(remaining, START + 86_400_000)["he"])
        assert set(told.notice) == set(near_limit_notices(remaining, None))


def test_limit_refuses_mass_mentions_in_new_groups_beyond_its_places() -> None:
    asked = under("limit", new_chats_1d=20)

    def told(**more: Any) -> Event:
        asked.minute += 1
        return _to_group(asked.minute, **more)

    many = {"mentions": 67, "joined_s": 60}
    for fields, allowed in (
        (many, True),
        ({**many, "joined_s": 86_400}, True),
        ({**many, "mentions": 9}, True),
        ({"mentions": 67}, True),
    ):
        event = told(**fields)
        log = pseudonymize_event(event, EDGE)
        answer = asked.responder.respond(asked.engine, event, log, "ask")
        assert (answer.allowed, answer.remaining) == (allowed, None)
    asked.engine.take(pseudonymize_event(told(**many), EDGE))
    event = told(**many)
    answer = asked.responder.respond(asked.engine, event, pseudonymize_event(event, EDGE), "ask")
    assert not answer.allowed
    plain = told(mentions=2, joined_s=60)
    log = pseudonymize_event(plain, EDGE)
    assert asked.responder.respond(asked.engine, plain, log, "ask").allowed


def test_without_the_engine_only_mass_mentions_of_the_limited_wait() -> None:
    asked = under("limit", new_chats_1d=20)
    known = KnownState(code_of("limit"), None, 20)
    answers = [
        asked.responder.fallback(_to_group(n, **fields), known)
        for n, fields in enumerate(
            ({"mentions": 67, "joined_s": 60}, {"mentions": 67}, {"mentions": 2, "joined_s": 60})
        )
    ]
    assert [answer.allowed for answer in answers] == [False, True, True]


def _to_group(number: int, **more: Any) -> Event:
    named = {"id": f"g{number}", "ts": START + number * 60_000, "type": "message.sent"}
    made = decode_event(msgspec.json.encode(named | {"account": "ann", "group": "club"} | more))
    assert isinstance(made, Event), made
    return made
