from __future__ import annotations

import json
from typing import Any

import pytest
from wavebreak_client import State

from synapse_support.fakes import Database, Setting, done
from wavebreak_synapse import tables
from wavebreak_synapse.mapping import Pdu

ROOM, REMOTE, ANN = "!r:other.test", "@rem:other.test", "@ann:hs.test"


def community(**settings: Any) -> Setting:
    setting = Setting(**settings)
    setting.database.room(ROOM, REMOTE, ANN, "@bob:other.test", "@cat:other.test", public=True)
    setting.user(ANN)
    return setting


def judged(setting: Setting, sender: str = REMOTE, kind: str = "m.room.message",
           state_key: str | None = None, **content: Any) -> Any:  # fmt: skip
    pdu = Pdu("$e", kind, sender, ROOM, 0, content or {"msgtype": "m.text", "body": "CANARY"},
              state_key)  # fmt: skip
    return done(setting.calls.refusal_by_policy(pdu))


def test_first_message_is_asked_about_and_later_ones_are_not() -> None:
    setting = community()
    assert [judged(setting), judged(setting)] == [None, None]
    (asked,) = setting.client.attempts
    assert (asked["id"], asked["origin"], asked["group"]) == ("$e", "other.test", ROOM)
    assert "CANARY" not in json.dumps(asked)


def test_message_of_a_limited_sender_is_asked_each_time() -> None:
    setting = community()
    judged(setting)
    setting.client.known[REMOTE] = State(REMOTE, "limit", number=1)
    setting.client.refusals[REMOTE] = {"outcome": "limit"}
    assert [judged(setting).outcome for _ in range(2)] == ["limit"] * 2
    assert len(setting.client.attempts) == 3


@pytest.mark.parametrize("outcome", ["suspend", "ban"])
def test_silenced_sender_is_refused_without_a_question(outcome: str) -> None:
    setting = community()
    setting.client.known[REMOTE] = State(REMOTE, outcome, number=1)
    assert judged(setting).outcome == outcome
    assert judged(setting, kind="m.room.topic", state_key="", topic="x").outcome == outcome
    leaving = {"kind": "m.room.member", "state_key": REMOTE, "membership": "leave"}
    assert judged(setting, **leaving) is None
    kick = {"kind": "m.room.member", "state_key": ANN, "membership": "leave"}
    assert judged(setting, **kick).outcome == outcome
    assert setting.client.attempts == []


def test_state_of_a_calm_sender_is_signed_without_a_question() -> None:
    setting = community()
    assert judged(setting, kind="m.room.power_levels", state_key="", users={}) is None
    assert judged(setting, sender=ANN) is None
    assert setting.client.attempts == []


def test_shadow_and_unreported_remote_accounts_are_never_asked_about() -> None:
    for settings in ({"mode": "shadow"}, {"remote": False}):
        setting = community(**settings)
        setting.client.refusals[REMOTE] = {"outcome": "restrict"}
        assert judged(setting) is None
        assert setting.client.attempts == []


def test_policy_of_a_room_is_read_from_its_state() -> None:
    database = Database()
    content = {"via": "hs.test", "public_keys": {"ed25519": "abc"}}
    database.put("rooms", room_id=ROOM, room_version="11")
    database.put("event_json", event_id="$p", json=json.dumps({"content": content}))
    assert tables.read_policy(database.cursor(), ROOM) is None
    database.put(
        "current_state_events", room_id=ROOM, type="m.room.policy", state_key="", event_id="$p"
    )
    assert tables.read_policy(database.cursor(), ROOM) == ("11", content)
    assert tables.read_policy(database.cursor(), "!other:hs.test") is None
