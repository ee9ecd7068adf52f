from __future__ import annotations

import asyncio
import inspect
import json
from typing import Any

import pytest
from prometheus_client import generate_latest
from wavebreak_client import EventError, State, Verdict

from synapse_support.fakes import FakeEvent, Setting, done
from wavebreak_synapse import tables
from wavebreak_synapse.callbacks import guarded

ANN, BOB, CAT, REMOTE = "@ann:hs.test", "@bob:hs.test", "@cat:hs.test", "@rem:other.test"
ROOM = "!r:hs.test"
TEXT = {"msgtype": "m.text", "body": "CANARY text"}
NO_NEW_CHATS = "Your account cannot start new chats or groups. Chats that you have already go on."
REFUSED = ("M_FORBIDDEN", {"error": NO_NEW_CHATS, "org.wavebreak.outcome": "restrict"})


def direct(**settings: Any) -> Setting:
    setting = Setting(**settings)
    setting.database.room(ROOM, ANN, BOB)
    for account in (ANN, BOB, CAT):
        setting.user(account)
    return setting


def restricted(**settings: Any) -> Setting:
    setting = direct(**settings)
    setting.client.known[ANN] = State(ANN, "restrict", number=1)
    setting.client.refusals[ANN] = {"outcome": "restrict"}
    return setting


def sent(setting: Setting, sender: str = ANN, **more: Any) -> Any:
    return done(setting.calls.check_event_for_spam(FakeEvent(sender, ROOM, TEXT | more)))


def test_first_message_of_a_chat_is_asked_about_once() -> None:
    setting = direct()
    assert [sent(setting), sent(setting), sent(setting, BOB)] == ["NOT_SPAM"] * 3
    asked = [(event["account"], event["peer"]) for event in setting.client.attempts]
    assert asked == [(ANN, BOB), (BOB, ANN)]
    assert setting.database.queries == ["wavebreak_read_room"] * 2


def test_call_is_asked_about_as_a_first_message_is() -> None:
    setting = direct()
    invite = FakeEvent(ANN, ROOM, {"call_id": "c", "offer": {"sdp": "m=audio 9"}}, "m.call.invite")
    ring = setting.calls.check_event_for_spam
    setting.client.refusals[ANN] = {"outcome": "restrict"}
    assert done(ring(invite)) == REFUSED
    asked = [(event["type"], event["peer"]) for event in setting.client.attempts]
    assert asked == [("call.started", BOB)]
    del setting.client.refusals[ANN]
    assert [sent(setting), done(ring(invite))] == ["NOT_SPAM"] * 2
    assert len(setting.client.attempts) == 2


def test_message_of_a_restricted_sender_is_asked_each_time() -> None:
    setting = direct()
    sent(setting)
    setting.client.known[ANN] = State(ANN, "restrict", number=1)
    sent(setting)
    sent(setting)
    assert len(setting.client.attempts) == 3
    assert len(setting.database.queries) == 1


def test_refused_message_shows_outcome_end_and_retry() -> None:
    setting = direct()
    setting.client.refusals[ANN] = {
        "outcome": "limit", "until_ms": 9, "retry_after_ms": 5, "notice": {"en": "Slow down."},
    }  # fmt: skip
    fields = {
        "error": "Slow down.",
        "org.wavebreak.outcome": "limit",
        "org.wavebreak.until": 9,
        "org.wavebreak.retry_after_ms": 5,
        "org.wavebreak.notice": {"en": "Slow down."},
    }
    assert sent(setting) == ("M_FORBIDDEN", fields)
    sent(setting)
    assert len(setting.client.attempts) == 2


def test_refusal_tells_before_the_notice_is_due() -> None:
    setting = direct()
    setting.client.refusals[ANN] = {"outcome": "restrict", "notify_at_ms": setting.now + 1}
    assert sent(setting) == REFUSED


TOLD = {"en": "No place is left. An answer frees one.", "he": "אין מקום פנוי. תשובה מפנה מקום."}


@pytest.mark.parametrize(
    ("language", "default", "shown"),
    [("he", "en", "he"), ("en-GB", "he", "en"), ("fr", "he", "he"), (None, "en", "en")],
)
def test_refusal_is_told_in_its_readers_language(
    language: str | None, default: str, shown: str
) -> None:
    setting = direct(language=default, notices={"objection": "Write to us."})
    if language:
        setting.database.put("pushers", user_name=ANN, ts=1, lang=language)
    setting.client.refusals[ANN] = {"outcome": "limit", "notice": TOLD}
    setting.database.room("!new:hs.test", ANN)
    calls = setting.calls
    for work in (
        calls.check_event_for_spam(FakeEvent(ANN, ROOM, TEXT)),
        calls.user_may_create_room(ANN, {"invite": [CAT]}),
        calls.user_may_invite(ANN, CAT, "!new:hs.test"),
        calls.user_may_knock(ANN, ROOM),
        calls.check_login_for_spam(ANN, None, None, [("", "192.0.2.1")]),
    ):
        assert done(work)[1]["error"] == f"{TOLD[shown]} Write to us."


def test_own_text_of_the_configuration_comes_before_the_services() -> None:
    own = {"en": {"limit": "Ask Ann{until}."}}
    setting = direct(notices={"texts": own})
    setting.client.refusals[ANN] = {"outcome": "limit", "notice": TOLD, "until_ms": 0}
    assert sent(setting)[1]["error"] == "Ask Ann until 1970-01-01 00:00 UTC."
    setting.database.put("pushers", user_name=ANN, ts=1, lang="he")
    assert sent(setting)[1]["error"] == TOLD["he"]


def test_refusal_without_a_text_says_to_try_later() -> None:
    setting = direct(language="he")
    setting.client.refusals[ANN] = {"outcome": "challenge"}
    assert sent(setting)[1]["error"] == "לא ניתן לבצע זאת כרגע. אפשר לנסות שוב מאוחר יותר."


def test_asked_message_holds_no_text() -> None:
    setting = direct()
    sent(setting, formatted_body="CANARY", url="mxc://CANARY")
    assert "CANARY" not in json.dumps(setting.client.attempts)
    assert setting.client.attempts[0]["size"] == len(TEXT["body"])


def test_shadow_mode_asks_and_refuses_nothing() -> None:
    setting = restricted(mode="shadow")
    calls = setting.calls
    assert sent(setting) == "NOT_SPAM"
    assert done(calls.user_may_create_room(ANN, {"invite": [BOB]})) == "NOT_SPAM"
    assert done(calls.user_may_invite(ANN, BOB, ROOM)) == "NOT_SPAM"
    assert done(calls.is_user_expired(ANN)) is None
    assert setting.client.attempts == []


@pytest.mark.parametrize(
    ("people", "former", "noted"),
    [
        ((ANN, BOB, CAT), ROOM, 1),
        ((ANN, BOB), ROOM, 0),
        ((BOB, CAT, REMOTE), ROOM, 0),
        ((ANN, BOB, CAT), 7, 0),
    ],
)
def test_upgrade_of_a_group_makes_a_group(people: tuple[str, ...], former: Any, noted: int) -> None:
    setting = Setting()
    setting.database.room(ROOM, *people)
    for place, account in enumerate(people):
        setting.database.put(
            "events", stream_ordering=place, event_id=f"{ROOM}/{account}", type="m.room.member"
        )
    setting.user(ANN)
    config = {"creation_content": {"predecessor": {"room_id": former}}}
    assert done(setting.calls.user_may_create_room(ANN, config)) == "NOT_SPAM"
    counted = setting.database.connection.execute("SELECT COUNT(*) FROM wavebreak_creations")
    assert counted.fetchall() == [(noted,)]


@pytest.mark.parametrize(
    "facts",
    [{"is_admin": True}, {"is_guest": True}, {"appservice_id": "irc"}, {"user_type": "bot"}],
)
def test_exempt_accounts_are_never_asked_about(facts: dict[str, Any]) -> None:
    setting = restricted()
    setting.user(ANN, **facts)
    assert sent(setting) == "NOT_SPAM"
    assert done(setting.calls.user_may_create_room(ANN, {"invite": [BOB, CAT]})) == "NOT_SPAM"
    assert setting.client.attempts == []


def test_listed_account_is_exempt_by_its_id() -> None:
    setting = restricted(exempt={"users": [ANN]})
    assert sent(setting) == "NOT_SPAM"
    assert setting.client.attempts == []


def put_message(setting: Setting, event_id: str, sender: str, order: int = 1, **more: Any) -> None:
    setting.database.put(
        "events", stream_ordering=order, event_id=event_id, sender=sender,
        **{"type": "m.room.message", "room_id": ROOM} | more,
    )  # fmt: skip


EMOJI = {"m.relates_to": {"rel_type": "m.annotation", "event_id": "$0", "key": "👍"}}


def test_own_edits_emoji_and_upkeep_are_not_asked_about() -> None:
    setting = restricted()
    put_message(setting, "$own", ANN)
    assert sent(setting, **replacing("$own")) == "NOT_SPAM"
    states = {"m.room.power_levels": {"users": {ANN: 100}}, "m.room.pinned_events": {"pinned": []}}
    for kind, content in {"m.reaction": EMOJI, **states}.items():
        event = FakeEvent(ANN, ROOM, content, kind)
        event.state_key = "" if kind in states else None
        assert done(setting.calls.check_event_for_spam(event)) == "NOT_SPAM"
    assert setting.client.attempts == []


def replacing(event_id: Any) -> dict[str, Any]:
    return {"m.relates_to": {"rel_type": "m.replace", "event_id": event_id}}


@pytest.mark.parametrize(
    "edited",
    [
        {"sender": BOB},
        {"sender": ANN, "room_id": "!other:hs.test"},
        {"sender": ANN, "type": "m.reaction"},
        {"sender": ANN, "state_key": ""},
        {"sender": ANN, "rejection_reason": "auth"},
    ],
)
def test_edit_of_what_is_not_its_senders_own_is_asked_about(edited: dict[str, Any]) -> None:
    setting = restricted()
    put_message(setting, "$edited", **edited)
    assert sent(setting, **replacing("$edited")) != "NOT_SPAM"
    assert sent(setting, **replacing("$unheard-of")) != "NOT_SPAM"
    assert sent(setting, **replacing(7)) != "NOT_SPAM"
    assert len(setting.client.attempts) == 3


def test_edit_that_somebody_new_would_read_is_asked_about() -> None:
    setting = restricted()
    put_message(setting, "$own", ANN)
    for order, person, event_id in ((2, ANN, "$again"), (3, CAT, "$joined")):
        assert sent(setting, **replacing("$own")) == "NOT_SPAM"
        setting.database.put(
            "events", stream_ordering=order, event_id=event_id, type="m.room.member", room_id=ROOM
        )
        setting.database.put(
            "room_memberships", event_id=event_id, user_id=person, room_id=ROOM,
            membership="join", event_stream_ordering=order,
        )  # fmt: skip
    assert sent(setting, **replacing("$own")) != "NOT_SPAM"


ACTS: dict[str, tuple[Any, str | None]] = {
    "m.message": ({"m.text": [{"body": "x"}]}, None),
    "org.matrix.msc1767.message": ({"org.matrix.msc1767.text": "x"}, None),
    "m.poll.end": ({"m.text": "x"}, None),
    "org.example.unheard_of": ({}, None),
    "m.room.topic": ({"topic": "x"}, ""),
    "org.example.state": ({"body": "x"}, "x"),
    "m.rtc.notification": ({"notification_type": "ring"}, None),
    "m.call.notify": ({"notify_type": "ring"}, None),
    "m.room.redaction": ({"redacts": "$0", "reason": "x"}, None),
    "m.reaction": ({"m.relates_to": EMOJI["m.relates_to"] | {"key": "buy coins"}}, None),
}


@pytest.mark.parametrize("kind", ACTS)
def test_everything_else_is_asked_about_and_refused(kind: str) -> None:
    setting = restricted()
    event = FakeEvent(ANN, ROOM, ACTS[kind][0], kind)
    event.state_key = ACTS[kind][1]
    assert done(setting.calls.check_event_for_spam(event)) != "NOT_SPAM"
    (asked,) = setting.client.attempts
    assert asked["type"] in ("message.sent", "call.started")
    assert asked["peer"] == BOB


def test_act_that_reaches_nobody_leaves_the_chat_unknown() -> None:
    setting = Setting()
    setting.database.room(ROOM, ANN)
    setting.user(ANN)
    assert sent(setting) == "NOT_SPAM"
    assert setting.client.attempts == []
    setting.database.put(
        "current_state_events", room_id=ROOM, type="m.room.member", state_key=BOB, membership="join"
    )
    assert sent(setting) == "NOT_SPAM"
    assert [each["peer"] for each in setting.client.attempts] == [BOB]


def test_knock_is_asked_about_as_a_request() -> None:
    setting = restricted()
    setting.database.room("!c:hs.test", CAT)
    assert done(setting.calls.user_may_knock(ANN, "!c:hs.test")) != "NOT_SPAM"
    (asked,) = setting.client.attempts
    assert (asked["type"], asked["account"], asked["peer"]) == ("contact.requested", ANN, CAT)
    assert done(setting.calls.user_may_knock(BOB, "!c:hs.test")) == "NOT_SPAM"


def test_remote_knock_is_asked_about_with_its_origin() -> None:
    setting = direct()
    setting.client.refusals[REMOTE] = {"outcome": "restrict"}
    event = FakeEvent(REMOTE, ROOM, {"membership": "knock"}, "m.room.member")
    event.state_key = REMOTE
    assert done(setting.calls.check_event_for_spam(event)) != "NOT_SPAM"
    (asked,) = setting.client.attempts
    assert (asked["type"], asked["origin"], asked["id"]) == (
        "contact.requested", "other.test", event.event_id,
    )  # fmt: skip
    event.content = {"membership": "join"}
    assert done(setting.calls.check_event_for_spam(event)) == "NOT_SPAM"


def test_act_that_cannot_be_described_is_allowed() -> None:
    setting = direct()

    def refuse(event: Any) -> Any:
        raise EventError("is too long", field="peer")

    setting.client.attempt = refuse  # type: ignore[method-assign]
    assert sent(setting) == "NOT_SPAM"
    assert setting.service.undeliverable == 1


def test_direct_room_asks_for_a_contact_request_once() -> None:
    setting = direct()
    config = {"invite": [CAT], "is_direct": True, "name": "CANARY", "topic": "CANARY"}
    assert done(setting.calls.user_may_create_room(ANN, config)) == "NOT_SPAM"
    assert done(setting.calls.user_may_invite(ANN, CAT, "!new:hs.test")) == "NOT_SPAM"
    (asked,) = setting.client.attempts
    assert (asked["type"], asked["peer"]) == ("contact.requested", CAT)
    assert "CANARY" not in json.dumps(asked)


def test_room_for_several_asks_for_a_group_and_members() -> None:
    setting = direct()
    assert done(setting.calls.user_may_create_room(ANN, {"invite": [BOB, CAT]})) == "NOT_SPAM"
    (asked,) = setting.client.attempts
    types = [event["type"] for event in asked]
    assert types == ["group.created", *["contact.requested", "group.member_added"] * 2]
    assert len({event["group"] for event in asked if "group" in event}) == 1
    assert setting.database.queries == [
        "wavebreak_note_creation", "wavebreak_contacts", "wavebreak_waiting",
    ]  # fmt: skip


def test_newcomer_is_asked_about_with_its_registration() -> None:
    setting = Setting()
    calls = setting.calls
    done(calls.check_registration_for_spam(None, "ann", [("", "192.0.2.1")]))
    done(calls.on_user_registration(ANN))
    (registered,) = setting.database.outbox()
    done(calls.user_may_create_room(ANN, {"invite": [BOB, CAT]}))
    question = setting.client.attempts[-1]
    assert [event["type"] for event in question[:2]] == ["account.registered", "group.created"]
    assert question[0]["ip"] == "192.0.2.1"
    assert question[0]["id"] != registered["id"]
    tables.delete_events(setting.database.cursor(), [registered["id"]])
    setting.now += 6_000
    done(calls.user_may_create_room(ANN, {"invite": [BOB, CAT]}))
    assert setting.client.attempts[-1][0]["type"] == "group.created"


def test_invitation_of_a_contact_into_a_group_is_no_request() -> None:
    setting = direct()
    content = json.dumps({ANN: [ROOM]})
    setting.database.put("account_data", user_id=BOB, account_data_type="m.direct", content=content)
    done(setting.calls.user_may_create_room(ANN, {"invite": [BOB, CAT]}))
    (asked,) = setting.client.attempts
    found = [(event["type"], event["peer"]) for event in asked[1:]]
    assert found == [
        ("group.member_added", BOB), ("contact.requested", CAT), ("group.member_added", CAT),
    ]  # fmt: skip


MANY = [f"@u{number}:hs.test" for number in range(80)]


def test_room_for_many_asks_about_each_of_them() -> None:
    setting = direct()
    assert done(setting.calls.user_may_create_room(ANN, {"invite": MANY})) == "NOT_SPAM"
    setting.database.room("!new:hs.test", ANN, BOB, CAT)
    for each in MANY:
        assert done(setting.calls.user_may_invite(ANN, each, "!new:hs.test")) == "NOT_SPAM"
    asked = {event.get("peer") for question in setting.client.attempts for event in question}
    assert asked == {None, *MANY}
    assert max(map(len, setting.client.attempts)) <= 50


def refusing_after(setting: Setting, places: int, **more: Any) -> None:
    """Have the service refuse an account's strangers after the first few, as it counts them."""
    ask = setting.client.attempt

    def attempt(events: Any) -> Any:
        strangers: list[str] = []
        refused = []
        for n, event in enumerate(events if isinstance(events, list) else [events]):
            peer = event.get("peer")
            strangers += [peer] * (peer is not None and peer not in strangers)
            if peer in strangers[places:]:
                refused.append(n)
        answer = {"outcome": "limit", "refused": tuple(refused)} | more
        setting.client.refusals = {ANN: answer} if refused else {}
        return ask(events)

    setting.client.attempt = attempt  # type: ignore[assignment,method-assign]


NO_MORE = {"notice": {"en": "Three are left.", "he": "נותרו שלושה."}}


@pytest.mark.parametrize("places", [15, 30, 45])
def test_new_room_invites_as_many_as_the_allowance_holds(places: int) -> None:
    setting = direct()
    refusing_after(setting, places, **NO_MORE)
    state = {"type": "m.room.member", "content": {"membership": "invite"}}
    config = {
        "invite": MANY[:58], "name": "n", "org.wavebreak.judged": "x",
        "initial_state": [state | {"state_key": each} for each in MANY[58:60]],
        "invite_3pid": [{"medium": "email", "address": "a@b.c"}],
    }  # fmt: skip
    assert done(setting.calls.on_create_room(ANN, config)) == "NOT_SPAM"
    assert config["invite"] == MANY[:places]
    assert config["initial_state"] == config["invite_3pid"] == []
    assert max(map(len, setting.client.attempts)) <= 50
    asked = len(setting.client.attempts)
    assert done(setting.calls.user_may_create_room(ANN, config)) == "NOT_SPAM"
    setting.database.room("!new:hs.test", ANN)
    for each in config["invite"]:
        assert done(setting.calls.user_may_invite(ANN, each, "!new:hs.test")) == "NOT_SPAM"
    assert len(setting.client.attempts) == asked
    assert done(setting.calls.user_may_invite(ANN, MANY[79], "!new:hs.test")) != "NOT_SPAM"
    [(_, to, texts)] = tables.read_messages(setting.database.cursor(), 0)
    assert (to, sorted(texts)) == (ANN, ["en", "he"])
    assert texts["en"] == (
        f"Your new room invited {places} of the 61 people whom you chose; the others were not"
        " invited. Three are left."
    )


@pytest.mark.parametrize(("places", "enabled"), [(15, False), (30, False), (0, True)])
def test_new_room_is_refused_whole_where_its_maker_is_not_told(places: int, enabled: bool) -> None:
    setting = direct(notices={"enabled": enabled})
    refusing_after(setting, places, **NO_MORE)
    config: dict[str, Any] = {"invite": MANY[:60]}
    code, shown = done(setting.calls.on_create_room(ANN, config))
    assert (code, shown["error"]) == ("M_FORBIDDEN", "Three are left.")
    assert config == {"invite": MANY[:60]}
    assert tables.read_messages(setting.database.cursor(), 0) == []
    # What was not made takes no place.
    setting.client.attempts.clear()
    done(setting.calls.on_create_room(ANN, {"invite": [CAT]}))
    [question] = setting.client.attempts
    assert isinstance(question, dict)


def test_mark_of_a_judged_room_cannot_be_given_by_a_client() -> None:
    setting = restricted()
    config = {"invite": [CAT], "org.wavebreak.judged": "x"}
    assert done(setting.calls.user_may_create_room(ANN, config)) == REFUSED
    assert done(setting.calls.on_create_room(ANN, config)) == REFUSED


def test_invitations_in_the_first_state_of_a_room_are_asked_about() -> None:
    setting = restricted()
    states = [
        {"type": "m.room.member", "state_key": each, "content": {"membership": "invite"}}
        for each in (BOB, CAT)
    ]
    odd: list[Any] = [7, {"type": "m.room.member"}, {"content": {"membership": "invite"}}]
    for state in ([*states, *odd], states[:1]):
        answer = done(setting.calls.user_may_create_room(ANN, {"initial_state": state}))
        assert answer == REFUSED
    assert done(setting.calls.user_may_create_room(ANN, {"initial_state": odd})) == "NOT_SPAM"
    assert len(setting.client.attempts) == 2


def test_question_tells_of_what_was_allowed_a_moment_ago() -> None:
    setting = direct()
    for each in (BOB, CAT):
        done(setting.calls.user_may_create_room(ANN, {"invite": [each]}))
    first, second = setting.client.attempts
    assert [event["peer"] for event in second] == [BOB, CAT]
    assert second[0]["id"] == first["id"]
    setting.now += 6_000
    done(setting.calls.user_may_create_room(ANN, {"invite": ["@new:hs.test"]}))
    assert setting.client.attempts[2]["peer"] == "@new:hs.test"


def test_question_tells_of_what_is_asked_about_meanwhile() -> None:
    setting = direct()
    calls = setting.calls

    async def both() -> list[Any]:
        rooms = ({"invite": [each]} for each in (BOB, CAT))
        return await asyncio.gather(*(calls.user_may_create_room(ANN, room) for room in rooms))

    waiting: list[asyncio.Event] = []

    async def later(function: Any, *arguments: Any) -> Any:
        waiting.append(asyncio.Event())
        if len(waiting) == 2:
            for each in waiting:
                each.set()
        await waiting[-1].wait() if len(waiting) == 1 else None
        return function(*arguments)

    object.__setattr__(setting.host, "run_in_thread", later)
    assert done(both()) == ["NOT_SPAM"] * 2
    asked = sorted(len(each) if isinstance(each, list) else 1 for each in setting.client.attempts)
    assert asked == [1, 2]


def test_what_was_refused_is_not_told_of_again() -> None:
    setting = restricted()
    assert done(setting.calls.user_may_create_room(ANN, {"invite": [BOB]})) == REFUSED
    assert done(setting.calls.user_may_create_room(ANN, {"invite": [CAT]})) == REFUSED
    assert [each["peer"] for each in setting.client.attempts] == [BOB, CAT]


def test_refusal_of_what_has_happened_refuses_nothing_more() -> None:
    setting = direct()
    done(setting.calls.user_may_create_room(ANN, {"invite": [BOB]}))
    setting.client.refusals[ANN] = {"outcome": "limit", "refused": (0,)}
    assert done(setting.calls.user_may_create_room(ANN, {"invite": [CAT]})) == "NOT_SPAM"
    setting.client.refusals[ANN] = {"outcome": "limit", "refused": (0, 2)}
    assert done(setting.calls.user_may_create_room(ANN, {"invite": [CAT]})) != "NOT_SPAM"


def test_empty_private_room_is_not_asked_about() -> None:
    setting = restricted()
    assert done(setting.calls.user_may_create_room(ANN, {})) == "NOT_SPAM"
    assert setting.client.attempts == []


def test_refused_room_and_invitation_give_forbidden() -> None:
    setting = restricted()
    assert done(setting.calls.user_may_create_room(ANN, {"invite": [CAT]})) == REFUSED
    assert done(setting.calls.user_may_invite(ANN, CAT, ROOM)) == REFUSED
    types = [event["type"] for event in setting.client.attempts[1]]
    assert types == ["contact.requested", "group.member_added"]


def test_invited_address_is_sent_as_a_keyed_hash() -> None:
    setting = direct()
    setting.database.room("!one:hs.test", ANN)
    calls = setting.calls
    for address in ("Canary@mail.example", "canary@mail.example ", "other@mail.example"):
        done(calls.user_may_send_3pid_invite(ANN, "email", address, "!one:hs.test"))
        setting.now += 6_000
    peers = [event["peer"] for event in setting.client.attempts]
    assert peers[0] == peers[1] != peers[2]
    assert peers[0].startswith("address:")
    assert "canary" not in json.dumps(setting.client.attempts).lower()


def test_remote_invitation_is_asked_with_its_origin() -> None:
    setting = direct()
    event = FakeEvent(REMOTE, "!x:other.test", {"membership": "invite"}, "m.room.member")
    event.state_key = BOB
    assert done(setting.calls.federated_user_may_invite(event)) == "NOT_SPAM"
    # Synapse goes on to ask this about the same invitation.
    assert done(setting.calls.user_may_invite(REMOTE, BOB, "!x:other.test")) == "NOT_SPAM"
    (asked,) = setting.client.attempts
    assert (asked["type"], asked["origin"], asked["id"]) == (
        "contact.requested", "other.test", event.event_id,
    )  # fmt: skip
    setting.client.refusals[REMOTE] = {"outcome": "restrict"}
    assert done(setting.calls.federated_user_may_invite(event)) == REFUSED


@pytest.mark.parametrize(
    ("outcome", "soft_fail", "drop"),
    [
        ("limit", False, False),
        ("restrict", False, False),
        ("suspend", True, False),
        ("ban", True, True),
    ],
)
def test_remote_message_is_judged_by_state_alone(outcome: str, soft_fail: bool, drop: bool) -> None:
    setting = direct(federation={"drop": True})
    setting.client.known[REMOTE] = State(REMOTE, outcome, number=1)
    event = FakeEvent(REMOTE, ROOM, TEXT)
    found = done(setting.calls.check_event_for_spam(event))
    assert (found != "NOT_SPAM") == soft_fail
    assert done(setting.calls.should_drop_federated_event(event)) == drop
    assert setting.client.attempts == []


def test_asking_never_refuses_by_states_alone() -> None:
    setting = direct(ask="never")
    setting.client.known[ANN] = State(ANN, "restrict", number=1)
    assert sent(setting) == REFUSED
    setting.client.known[ANN] = State(ANN, "limit", number=2)
    assert sent(setting) == "NOT_SPAM"
    assert setting.client.attempts == []


def test_registration_is_asked_and_reported_once_made() -> None:
    setting = Setting()
    calls = setting.calls
    info = [("Element/1.0 (x)", "192.0.2.1")]
    email = {"medium": "email", "address": "canary@mail.example"}
    assert done(calls.check_registration_for_spam(email, "ann", info, None)) == "ALLOW"
    assert setting.database.outbox() == []
    done(calls.on_user_registration(ANN))
    (event,) = setting.database.outbox()
    assert event["ip"] == "192.0.2.1"
    assert event["client"] == "Element/1.0"
    assert setting.client.attempts[0]["account"] == ANN
    assert "canary" not in json.dumps([event, setting.client.attempts])


def test_refused_registration_is_denied() -> None:
    setting = Setting()
    setting.client.refusals[ANN] = {"outcome": "limit"}
    info = [("", "192.0.2.1")]
    assert done(setting.calls.check_registration_for_spam(None, "ann", info)) == "DENY"


def test_registration_by_an_administrator_is_not_asked() -> None:
    setting = Setting()
    assert done(setting.calls.check_registration_for_spam(None, "ann", [])) == "ALLOW"
    done(setting.calls.on_user_registration(ANN))
    assert setting.client.attempts == []
    assert [event["type"] for event in setting.database.outbox()] == ["account.registered"]


def test_login_that_adds_a_device_is_asked_about() -> None:
    setting = direct()
    setting.database.put("devices", user_id=ANN, device_id="OLD")
    login = setting.calls.check_login_for_spam
    info = [("Fluffy/2", "192.0.2.9")]
    assert done(login(ANN, "OLD", "CANARY", info, None)) == "NOT_SPAM"
    assert done(login(ANN, None, "CANARY", info, None)) == "NOT_SPAM"
    assert sorted(event["linked"] for event in setting.database.outbox()) == [False, True]
    assert len(setting.client.attempts) == 1
    setting.client.refusals[ANN] = {"outcome": "restrict"}
    assert done(login(ANN, None, None, info, None)) == REFUSED
    assert len(setting.database.outbox()) == 2
    assert "CANARY" not in json.dumps([setting.database.outbox(), setting.client.attempts])


def test_only_a_ban_expires_an_account() -> None:
    setting = direct()
    for outcome, expired in (("suspend", None), ("ban", True), ("allow", None)):
        setting.client.known[ANN] = State(ANN, outcome, number=1)
        assert done(setting.calls.is_user_expired(ANN)) is expired
    setting.client.known[ANN] = State(ANN, "ban", number=1)
    setting = direct(exempt={"users": [ANN]})
    assert done(setting.calls.is_user_expired(ANN)) is None


def test_search_with_many_results_counts_once() -> None:
    setting = direct()
    for name in (ANN, BOB, CAT):
        profile = {"user_id": name, "display_name": "CANARY", "avatar_url": None}
        assert not done(setting.calls.check_username_for_spam(profile, ANN))
    (event,) = setting.database.outbox()
    assert (event["type"], event["count"]) == ("contact.looked_up", 1)


def test_ignore_list_reports_its_difference() -> None:
    setting = direct()
    update = setting.calls.on_account_data_updated
    kind = "m.ignored_user_list"
    done(update(ANN, None, kind, {"ignored_users": {BOB: {}, CAT: {}}}))
    done(update(ANN, None, kind, {"ignored_users": {CAT: {}}}))
    done(update(ANN, None, "m.direct", {BOB: [ROOM]}))
    found = sorted((event["type"], event["peer"]) for event in setting.database.outbox())
    assert found == [("user.blocked", BOB), ("user.blocked", CAT), ("user.unblocked", BOB)]


def test_deactivation_reports_a_deleted_account() -> None:
    setting = direct()
    done(setting.calls.on_user_deactivation_status_changed(ANN, True, False))
    done(setting.calls.on_user_deactivation_status_changed(BOB, False, True))
    assert [event["account"] for event in setting.database.outbox()] == [ANN]


def test_failing_callback_lets_the_act_pass_and_names_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    setting = direct()
    setting.database.connection.close()
    create = guarded(setting.calls.user_may_create_room, "NOT_SPAM")
    assert done(create(ANN, {"invite": [BOB, CAT]})) == "NOT_SPAM"
    assert [record.getMessage() for record in caplog.records] == [
        "user_may_create_room failed: ProgrammingError"
    ]
    assert list(inspect.signature(create).parameters) == ["user_id", "room_config"]


def test_second_try_for_a_name_keeps_what_is_ready() -> None:
    setting = Setting()
    check = setting.calls.check_registration_for_spam
    done(check(None, "ann", [("", "192.0.2.1")]))
    done(setting.calls.on_user_registration(ANN))
    done(check(None, "ann", [("", "192.0.2.2")]))
    assert [event["ip"] for event in setting.database.outbox()] == ["192.0.2.1"]


@pytest.mark.parametrize("outcome", ["allow", "observe", "limit", "restrict"])
def test_unanswered_invitation_is_refused_by_a_known_state(outcome: str) -> None:
    setting = direct()
    setting.client.known[ANN] = State(ANN, outcome, number=1)
    failed = Verdict(ANN, "allow", True, mode="on_failure")
    setting.client.attempt = lambda event: failed  # type: ignore[method-assign]
    passes = outcome in ("allow", "observe")
    for work in (
        setting.calls.user_may_create_room(ANN, {"invite": [CAT]}),
        setting.calls.user_may_invite(ANN, "@new:hs.test", ROOM),
    ):
        assert (done(work) == "NOT_SPAM") == passes
    assert sent(setting) == "NOT_SPAM"


def test_full_outbox_stops_nobody_and_excuses_nobody() -> None:
    setting = direct()
    setting.database.connection.execute("DROP TABLE wavebreak_outbox")
    login = done(setting.calls.check_login_for_spam(ANN, None, None, [("", "192.0.2.1")]))
    assert login == "NOT_SPAM"
    setting.client.refusals["@new:hs.test"] = {"outcome": "limit"}
    asked = setting.calls.check_registration_for_spam(None, "new", [("", "192.0.2.1")])
    assert done(asked) == "DENY"
    assert "wavebreak_unkept_total 2.0" in generate_latest(setting.registry).decode()


EVERYONE: dict[str, Any] = {"m.mentions": {"room": True}}


def in_public_room(joined_ms: int) -> Setting:
    """A public room of twenty, into which Ann has come so long ago."""
    setting = Setting()
    setting.user(ANN)
    setting.now = 10 * 86_400_000
    setting.database.room(ROOM, ANN, *(f"@m{n}:hs.test" for n in range(19)), public=True)
    setting.database.put("room_stats_current", room_id=ROOM, joined_members=20, invited_members=0)
    execute = setting.database.connection.execute
    execute("UPDATE rooms SET creator = '@m0:hs.test'")
    setting.database.put(
        "events", stream_ordering=0, event_id=f"{ROOM}/{ANN}", type="m.room.member", room_id=ROOM,
        received_ts=setting.now - joined_ms,
    )  # fmt: skip
    return setting


def test_each_mass_mention_in_a_room_newly_joined_is_asked_about() -> None:
    setting = in_public_room(60_000)
    assert [sent(setting, **EVERYONE) for _ in range(3)] == ["NOT_SPAM"] * 3
    asked = setting.client.attempts
    assert (asked[0]["mentions"], asked[0]["joined_s"], asked[0]["recipients"]) == (19, 60, 20)
    # What was allowed a moment ago may not be in the log: the question tells of it.
    assert [len(each) for each in asked[1:]] == [2, 3]
    assert asked[2][0]["id"] == asked[0]["id"]
    assert sent(setting) == "NOT_SPAM"
    assert len(asked) == 3


def test_mass_mention_beyond_a_limit_is_refused_and_plain_text_is_not() -> None:
    setting = in_public_room(60_000)
    assert sent(setting, **EVERYONE) == "NOT_SPAM"
    setting.client.refusals[ANN] = {"outcome": "limit", "notice": {"en": "No new chats."}}
    answer = sent(setting, **EVERYONE)
    assert answer[0] == "M_FORBIDDEN"
    assert answer[1]["org.wavebreak.outcome"] == "limit"
    assert answer[1]["error"].startswith("In rooms that you have just joined")
    assert sent(setting) == "NOT_SPAM"


def test_moderators_of_this_server_are_told_once() -> None:
    setting = in_public_room(60_000)
    # Those of other servers, however many and mighty, take nobody's place.
    levels = {f"@far{n}:far.test": 100 for n in range(30)}
    setting.database.connection.executemany(
        "INSERT INTO current_state_events (room_id, type, state_key, membership)"
        " VALUES (?, 'm.room.member', ?, 'join')",
        [(ROOM, who) for who in levels],
    )
    levels |= {"@m1:hs.test": 50, "@m2:hs.test": 10, "@gone:hs.test": 100}
    content = {"content": {"users": levels}}
    setting.database.put("event_json", event_id="$levels", json=json.dumps(content))
    setting.database.put(
        "current_state_events", room_id=ROOM, type="m.room.power_levels", state_key="",
        event_id="$levels",
    )  # fmt: skip
    setting.client.refusals[ANN] = {"outcome": "limit"}
    for _ in range(3):
        assert sent(setting, **EVERYONE) != "NOT_SPAM"
    told = tables.read_messages(setting.database.cursor(), setting.now)
    assert sorted(person for _, person, _ in told) == ["@m0:hs.test", "@m1:hs.test"]
    assert all(ANN in texts["he"] and ROOM in texts["en"] for _, _, texts in told)


def test_nobody_is_told_of_a_mention_that_a_restriction_refuses() -> None:
    setting = in_public_room(60_000)
    setting.client.refusals[ANN] = {"outcome": "restrict"}
    assert sent(setting, **EVERYONE) != "NOT_SPAM"
    assert tables.read_messages(setting.database.cursor(), setting.now) == []


def test_mass_mention_of_who_has_long_been_there_is_asked_about_once() -> None:
    setting = in_public_room(86_400_000)
    assert [sent(setting, **EVERYONE) for _ in range(3)] == ["NOT_SPAM"] * 3
    assert len(setting.client.attempts) == 1


def test_edit_that_mentions_many_is_asked_about() -> None:
    setting = in_public_room(60_000)
    put_message(setting, "$own", ANN, order=1)
    assert sent(setting, **replacing("$own")) == "NOT_SPAM"
    assert setting.client.attempts == []
    assert sent(setting, **replacing("$own"), **EVERYONE) == "NOT_SPAM"
    assert len(setting.client.attempts) == 1
