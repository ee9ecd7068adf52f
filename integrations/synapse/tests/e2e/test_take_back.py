"""What is taken back of an account that is restricted, on a real Synapse: invitations, messages."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from synapse_support.homeserver import Account, Homeserver, running
from synapse_support.stub_service import StubService

PATIENCE_S = 30.0
PLENTY = 40


def protected(home: Path, stub: StubService, **module: Any) -> Any:
    settings = {"url": stub.url, "key": "wb_1", "mode": "enforce", "timeout_ms": 5000}
    uncached = {"caches": {"sync_response_cache_duration": "0s"}}
    return running(home / "hs", settings | module, extra=uncached)


def invited(account: Account) -> set[str]:
    """Return the rooms in which an account sees an invitation, but for the notices'."""
    rooms = account.call("GET", "/sync?timeout=0").json().get("rooms", {}).get("invite", {})
    return {
        room
        for room, shown in rooms.items()
        if all(e["sender"] != "@notices:hs.test" for e in shown["invite_state"]["events"])
    }


def until(condition: Any) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def leaves(server: Homeserver, room: str, account: str) -> int:
    """Return how often an account left a room, or was removed from it."""
    query = (
        f"SELECT COUNT(*) FROM room_memberships WHERE room_id = '{room}'"
        f" AND user_id = '{account}' AND membership = 'leave'"
    )
    return int(server.rows(query)[0][0])


def taken(server: Homeserver) -> list[tuple[Any, ...]]:
    return server.rows("SELECT account FROM wavebreak_taken_back")


def befriend(one: Account, other: Account) -> str:
    room = one.direct(other.id)
    assert other.join(room).status_code == 200
    direct = {one.id: [room]}
    path = f"/user/{quote(other.id)}/account_data/m.direct"
    assert other.call("PUT", path, direct).status_code == 200
    return room


@pytest.mark.parametrize("outcome", ["restrict", "suspend", "ban"])
def test_invitations_to_strangers_are_withdrawn(
    tmp_path: Path, stub: StubService, outcome: str
) -> None:
    with protected(tmp_path, stub) as server:
        zed, friend, busy, *strangers = (
            server.account(name) for name in ("zed", "friend", "busy", "p1", "p2", "p3", "p4")
        )
        befriend(zed, friend)
        first, second, third, fourth = strangers
        kept = zed.direct(busy.id)
        assert busy.join(kept).status_code == 200
        plain = zed.create(first.id, is_direct=True).json()["room_id"]
        equal = zed.direct(second.id)
        group = zed.create(third.id, friend.id, name="coins").json()["room_id"]
        left = zed.create(fourth.id, is_direct=True).json()["room_id"]
        assert zed.leave(left).status_code == 200
        rules = {"type": "m.room.join_rules", "content": {"join_rule": "knock"}}
        door = busy.create(initial_state=[rules]).json()["room_id"]
        assert zed.call("POST", f"/knock/{quote(door)}", {}).status_code == 200
        assert [len(invited(each)) for each in strangers] == [1, 1, 1, 1]

        stub.set_state(zed.id, outcome)
        until(lambda: not any(map(invited, strangers)))
        until(lambda: taken(server) == [(zed.id,)])
        assert invited(friend) == {group}
        assert busy.send(kept, "still here").status_code == 200
        assert leaves(server, kept, busy.id) == 0
        assert leaves(server, door, zed.id) == 1

        stub.set_state(zed.id, "allow")
        time.sleep(2)
        assert not any(map(invited, strangers))
        rooms = zip((plain, equal, group, left), strangers, strict=True)
        assert [leaves(server, room, each.id) for room, each in rooms] == [1, 1, 1, 1]
        stub.wait(lambda found: any(event["type"] == "message.sent" for event in found.events))
        told = {event["type"] for event in stub.events if event["account"] != zed.id}
        assert told.isdisjoint({"contact.refused", "group.left"})


def test_withdrawal_goes_on_after_a_kill_and_happens_once(
    tmp_path: Path, stub: StubService
) -> None:
    with protected(tmp_path, stub) as server:
        zed = server.account("zed")
        strangers = [server.account(f"p{number}") for number in range(PLENTY)]
        rooms = [zed.direct(each.id) for each in strangers]
        stub.set_state(zed.id, "restrict")
        gone = "SELECT COUNT(*) FROM room_memberships WHERE membership = 'leave'"
        until(lambda: server.rows(gone) >= [(3,)])
        server.kill()
        before = int(server.rows(gone)[0][0])
        assert before < PLENTY
        server.start()
        until(lambda: taken(server) == [(zed.id,)])
        assert not any(map(invited, strangers))
        found = [
            leaves(server, *pair) for pair in zip(rooms, (p.id for p in strangers), strict=True)
        ]
        print(f"{before} withdrawn before the kill, {sum(found) - before} after")
        assert found == [1] * PLENTY


def bodies(server: Homeserver, room: str) -> list[str]:
    """Return the texts of a room that people are shown."""
    query = (
        "SELECT j.json FROM events AS e JOIN event_json AS j ON j.event_id = e.event_id"
        " LEFT JOIN redactions AS r ON r.redacts = e.event_id WHERE e.type = 'm.room.message'"
        f" AND e.room_id = '{room}' AND r.event_id IS NULL ORDER BY e.stream_ordering"
    )
    return [json.loads(body)["content"]["body"] for (body,) in server.rows(query)]


@pytest.mark.parametrize("version", ["10", "11"])
def test_messages_that_nobody_answered_are_redacted_if_chosen(
    tmp_path: Path, stub: StubService, version: str
) -> None:
    with protected(tmp_path, stub, take_back="messages") as server:
        zed, silent, talks, friend, late = (
            server.account(name) for name in ("zed", "silent", "talks", "friend", "late")
        )
        rooms = {
            each.id: zed.create(each.id, is_direct=True, room_version=version).json()["room_id"]
            for each in (silent, talks, late)
        }
        rooms[friend.id] = befriend(zed, friend)
        for each in (silent, talks):
            assert each.join(rooms[each.id]).status_code == 200
        for room in rooms.values():
            assert zed.send(room, "buy coins").status_code == 200
        assert talks.send(rooms[talks.id], "who are you").status_code == 200
        stub.set_state(zed.id, "suspend")
        until(lambda: taken(server) == [(zed.id,)])
        assert bodies(server, rooms[silent.id]) == []
        assert bodies(server, rooms[late.id]) == []
        assert bodies(server, rooms[talks.id]) == ["buy coins", "who are you"]
        assert bodies(server, rooms[friend.id]) == ["buy coins"]
        assert not invited(late)


@pytest.mark.parametrize(("chosen", "outcome"), [("off", "ban"), ("invitations", "limit")])
def test_nothing_is_taken_back_where_off_or_limited(
    tmp_path: Path, stub: StubService, chosen: str, outcome: str
) -> None:
    with protected(tmp_path, stub, take_back=chosen) as server:
        zed, stranger = server.account("zed"), server.account("p1")
        room = zed.direct(stranger.id)
        stub.set_state(zed.id, outcome)
        time.sleep(3)
        assert invited(stranger) == {room}
