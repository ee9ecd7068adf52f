"""What people read on a real Synapse: refusals, places left, requests; and what calls become."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from synapse_support.homeserver import Account, Homeserver, noticed, running
from synapse_support.stub_service import StubService

STATES_S = 2.0
NOTICE = {
    "en": "You cannot start another chat for now. An answer frees a place at once.",
    "he": "כרגע אי אפשר לפתוח שיחה נוספת. תשובה מפנה מקום מיד.",
}


@pytest.fixture
def server(tmp_path: Path, stub: StubService) -> Iterator[Homeserver]:
    module = {"url": stub.url, "key": "wb_1", "mode": "enforce", "timeout_ms": 5000}
    with running(tmp_path / "hs", module) as made:
        yield made


def speaks(account: Account, language: str) -> None:
    """Have an account ask for push notifications in a language."""
    pusher = {
        "kind": "http", "app_id": "test", "app_display_name": "t", "device_display_name": "t",
        "pushkey": account.id, "lang": language,
        "data": {"url": "https://push.example/_matrix/push/v1/notify"},
    }  # fmt: skip
    assert account.call("POST", "/pushers/set", pusher).status_code == 200


def error(answer: Any) -> tuple[int, str, str]:
    said = answer.json()
    return answer.status_code, said["errcode"], said["error"]


def test_limited_people_read_our_text_in_their_language(
    server: Homeserver, stub: StubService
) -> None:
    ann, dov, eve = (server.account(name) for name in ("ann", "dov", "eve"))
    speaks(dov, "he-IL")
    rules = {"type": "m.room.join_rules", "content": {"join_rule": "knock"}}
    door = eve.create(initial_state=[rules]).json()["room_id"]
    rooms = {each.id: each.create(name="mine").json()["room_id"] for each in (ann, dov)}
    later = int(time.time() * 1000) + 3_600_000
    stub.decide = lambda events: {
        "allowed": False, "outcome": "limit", "notice": NOTICE, "notify_at_ms": later,
    }  # fmt: skip
    for each, language in ((ann, "en"), (dov, "he")):
        tried = [
            each.create(eve.id, is_direct=True),
            each.create(eve.id, "@fay:hs.test"),
            each.invite(rooms[each.id], eve.id),
            each.call("POST", f"/knock/{quote(door)}", {"reason": "x"}),
            each.login(),
        ]
        assert [error(answer) for answer in tried] == [
            (403, "M_FORBIDDEN", NOTICE[language])
        ] * len(tried)
    assert stub.sources[0]["can"] == ["refuse", "suspend", "lift", "notify"]


def test_sender_near_a_limit_and_who_gets_a_request_are_told(
    server: Homeserver, stub: StubService
) -> None:
    ann, bob, dov = (server.account(name) for name in ("ann", "bob", "dov"))
    speaks(dov, "he")
    stub.decide = lambda events: {
        "outcome": "request", "deliver_as": "request",
        "requests": list(range(len(events))),
    }  # fmt: skip
    ann.direct(dov.id)
    ann.create(dov.id, bob.id)
    (asked,) = noticed(dov)
    assert asked.startswith("@ann:hs.test מבקש לכתוב לך")
    (asked,) = noticed(bob)
    assert asked.startswith("@ann:hs.test wants to write to you")
    stub.decide = lambda events: {
        "outcome": "limit", "near_limit": True, "remaining": 1, "notice": NOTICE,
    }  # fmt: skip
    bob.direct(ann.id)
    assert noticed(bob)[1:] in ([], [NOTICE["en"]])
    end = time.monotonic() + 30
    while NOTICE["en"] not in noticed(bob) and time.monotonic() < end:
        time.sleep(0.2)
    assert NOTICE["en"] in noticed(bob)


def test_maker_of_a_room_reads_who_was_not_invited(server: Homeserver, stub: StubService) -> None:
    ann, dov, *pupils = (
        server.account(name) for name in ("ann", "dov", *map("p{}".format, range(25)))
    )
    speaks(dov, "he")
    places = 10

    def decide(events: list[dict[str, Any]]) -> dict[str, Any]:
        peers = list(dict.fromkeys(event["peer"] for event in events if "peer" in event))
        refused = [n for n, event in enumerate(events) if event.get("peer") in peers[places:]]
        return {
            "allowed": not refused, "outcome": "limit", "refused": refused, "notice": NOTICE,
        }  # fmt: skip

    stub.decide = decide
    for each in (ann, dov):
        answer = each.create(*(pupil.id for pupil in pupils), name="class")
        assert answer.status_code == 200, answer.text
        room = answer.json()["room_id"]
        query = (
            "SELECT COUNT(*) FROM current_state_events WHERE membership = 'invite'"
            f" AND room_id = '{room}'"
        )
        assert server.rows(query) == [(places,)]
        assert error(each.invite(room, pupils[-1].id)) == (
            403, "M_FORBIDDEN", NOTICE["he" if each is dov else "en"],
        )  # fmt: skip
    assert noticed(ann) == [
        f"Your new room invited 10 of the 25 people whom you chose; the others were not invited."
        f" {NOTICE['en']}"
    ]
    assert noticed(dov)[0].startswith("לחדר החדש הוזמנו 10 מתוך 25")


def test_calls_are_reported_from_ring_to_hangup(server: Homeserver, stub: StubService) -> None:
    ann, bob = server.account("ann"), server.account("bob")
    room = ann.direct(bob.id)
    assert bob.join(room).status_code == 200
    call = {"call_id": "c1", "version": "1", "party_id": "p"}
    offer = {"offer": {"type": "offer", "sdp": "v=0\r\nm=audio 9\r\n"}, "lifetime": 60_000}
    ann.send(room, call | offer, "m.call.invite")
    ann.send(room, call | {"candidates": []}, "m.call.candidates")
    bob.send(room, call | {"answer": {"type": "answer", "sdp": "v=0\r\n"}}, "m.call.answer")
    time.sleep(2.2)
    ann.send(room, call | {"reason": "user_hangup"}, "m.call.hangup")
    ring = {"notification_type": "ring", "sender_ts": 1, "m.call.intent": "video"}
    ann.send(room, ring, "m.rtc.notification")
    bob.send(room, {}, "m.rtc.decline")
    stub.wait(lambda found: sum(e["type"].startswith("call.") for e in found.events) >= 4)
    calls = [e for e in stub.events if e["type"].startswith("call.")]
    shown = [(e["type"], e["account"], e["peer"], e.get("media")) for e in calls]
    assert shown == [
        ("call.started", ann.id, bob.id, "audio"), ("call.ended", ann.id, bob.id, None),
        ("call.started", ann.id, bob.id, "video"), ("call.ended", ann.id, bob.id, None),
    ]  # fmt: skip
    assert calls[1]["seconds"] >= 2
    assert calls[3]["seconds"] == 0
