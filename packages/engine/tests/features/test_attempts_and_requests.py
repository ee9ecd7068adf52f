"""Attempts, requests for contact and origins: what kernel and oracle make of single cases."""

from __future__ import annotations

import pytest

from support.parity_streams import MINUTE, START, Both, Row, log
from wavebreak.engine import enforcement
from wavebreak.outcomes import BAN, CHALLENGE, LIMIT, OUTCOMES, RESTRICT, SUSPEND
from wavebreak.schema.event_kinds import ACCEPTED, REQUESTED, SENT
from wavebreak.schema.events import REASONS, TYPES, UNDETERMINED


def stream(*events: tuple[object, ...]) -> list[Row]:
    """Events (type, account, peer, more fields), a minute apart."""
    found: list[Row] = []
    for n, (kind, account, peer, *more) in enumerate(events):
        row: Row = {"id": f"e{n}", "ts": START + n * MINUTE, "type": TYPES.index(str(kind))}
        found.append(row | {"account": account, "peer": peer})
        for fields in more:
            assert isinstance(fields, dict)
            found[-1] |= fields
    return found


def values(events: list[Row], account: str = "a") -> dict[str, float]:
    """Features on which kernel and oracle agree."""
    both = Both(accounts=256)
    both.take(log(events))
    assert both.differences() == []
    return {name: value for _, name, value, _ in both.compared([account])}


REQUEST, SEND = ("contact.requested", "a", "b"), ("message.sent", "a", "b", {"size": 90})
ACCEPT, REFUSE = ("contact.accepted", "b", "a"), ("contact.refused", "b", "a")
TRIED = {"attempted": True}


def test_request_and_message_are_one_first_contact() -> None:
    found = values(stream(REQUEST, SEND, SEND))
    counts = {
        name: found[name] for name in ("started_chats", "unanswered_strangers_1d", "sends_1d")
    }
    assert counts == {"started_chats": 1, "unanswered_strangers_1d": 1, "sends_1d": 2}
    assert values(stream(REQUEST))["sends_1d"] == 0


@pytest.mark.parametrize(
    "answer", [ACCEPT, ("contact.requested", "b", "a"), ("message.sent", "b", "a")]
)
def test_acceptance_and_request_in_return_are_answers(answer: tuple[object, ...]) -> None:
    found = values(stream(REQUEST, answer, SEND))
    assert (found["unanswered_strangers_1d"], found["mutual_contacts"]) == (0, 1)
    assert (found["replied_7d"], found["inbound_chats"]) == (1, 0)


@pytest.mark.parametrize("reason", [None, "other", "opt_out"])
def test_refusal_is_half_a_complaint_among_first_reactions_alone(reason: str | None) -> None:
    why = {"reason": reason and REASONS["contact.refused"].index(reason)}
    for first in (REQUEST, SEND):
        silent, found = values(stream(first)), values(stream(first, (*REFUSE, why)))
        assert found["unanswered_strangers_1d"] == 1
        assert (found["stranger_complaints"], found["blocks_7d"]) == (0, 0)
        assert found["complaint_evidence"] == silent["complaint_evidence"]
        blocked = values(stream(first, ("user.blocked", "b", "a")))
        of = "reaction_evidence"
        assert silent[of] < found[of] < blocked[of]


@pytest.mark.parametrize("first", [REQUEST, SEND])
def test_who_does_not_know_the_sender_complains_as_by_a_block(first: tuple[object, ...]) -> None:
    unknown = (*REFUSE, {"reason": REASONS["contact.refused"].index("stranger")})
    found, blocked = (
        values(stream(first, unknown)),
        values(stream(first, ("user.blocked", "b", "a"))),
    )
    for name in ("complaint_evidence", "reaction_evidence", "stranger_complaints"):
        assert found[name] == blocked[name]
    assert found["blocks_7d"] == 0
    again = values(stream(first, unknown, unknown, ("user.blocked", "b", "a")))
    assert again["reaction_evidence"] == found["reaction_evidence"]


def test_who_was_not_written_to_declines_nothing() -> None:
    unknown = (*REFUSE, {"reason": REASONS["contact.refused"].index("stranger")})
    for events in (stream(unknown), stream(ACCEPT, unknown), stream(SEND, ACCEPT, unknown)):
        assert values(events)["stranger_complaints"] == 0


def test_acceptance_of_no_request_is_no_chat() -> None:
    found = values(stream(ACCEPT, SEND))
    assert (found["inbound_chats"], found["started_chats"]) == (0, 0)


def test_attempt_counts_for_the_sender_and_reaches_nobody() -> None:
    tried = ("message.sent", "a", "b", {"size": 90} | TRIED)
    events = stream(("session.started", "b", None), tried, SEND)
    found = values(events)
    assert (found["sends_1d"], found["started_chats"], found["peers_1d"]) == (2, 1, 1)
    assert values(events[:2], "b")["inbound_chats"] == 0
    assert values(events, "b")["inbound_chats"] == 1


def test_attempted_reply_makes_no_mutual_contact() -> None:
    tried = ("message.sent", "a", "b", TRIED)
    assert values(stream(("message.sent", "b", "a"), tried, tried))["mutual_contacts"] == 0
    assert values(stream(("message.sent", "b", "a"), tried, SEND))["mutual_contacts"] == 1


def test_attempted_pass_of_a_challenge_passes_none() -> None:
    asked = {"label": UNDETERMINED, "source": 0, "outcome": OUTCOMES.index("challenge")}
    begin = stream(("label.assigned", "a", None, asked), ("challenge.passed", "a", None, TRIED))
    assert values(begin)["enforcement_level"] == CHALLENGE
    passed = stream(("label.assigned", "a", None, asked), ("challenge.passed", "a", None))
    assert values(passed)["enforcement_level"] == 0


@pytest.mark.parametrize("outcome", [CHALLENGE, LIMIT, RESTRICT, SUSPEND, BAN])
def test_request_is_refused_as_a_first_message_is(outcome: int) -> None:
    sent, requested = SENT, REQUESTED
    cases = [(opens, taken, quota) for opens in (0, 1) for taken in (0, 5) for quota in (0, 5, 255)]
    for opens, taken, quota in cases:
        answers = [
            enforcement.refuses(outcome, k, opens, 0, taken, quota) for k in (sent, requested)
        ]
        assert answers[0] == answers[1]


@pytest.mark.parametrize(
    ("outcome", "refused"), [(LIMIT, 0), (RESTRICT, 0), (SUSPEND, 1), (BAN, 1)]
)
def test_acceptance_is_refused_by_suspension_and_ban_alone(outcome: int, refused: int) -> None:
    assert enforcement.refuses(outcome, ACCEPTED, 0, 0, 9, 0) == refused
