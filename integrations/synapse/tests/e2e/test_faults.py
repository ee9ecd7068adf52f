"""What happens on a real Synapse while Wavebreak hangs, is away or refuses the key."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from synapse_support.homeserver import Account, Homeserver, running
from synapse_support.stub_service import StubService

SLOW_S = 2.0
BREAK_S = 2.0
"""So long nothing is asked after three acts without an answer."""
STATES_S = 2.0
"""Within so long a change of state must take effect."""


@pytest.fixture
def server(tmp_path: Path, stub: StubService) -> Iterator[Homeserver]:
    with running(
        tmp_path / "hs", {"url": stub.url, "key": "wb_1", "mode": "enforce", "timeout_ms": 2000}
    ) as made:
        yield made


def chat(server: Homeserver) -> tuple[Account, Account, str]:
    ann, bob = server.account("ann"), server.account("bob")
    room = ann.direct(bob.id)
    bob.join(room)
    assert ann.send(room, "hello").status_code == 200
    return ann, bob, room


def sent_ids(stub: StubService) -> list[str]:
    return [event["id"] for event in stub.events if event["type"] == "message.sent"]


def test_refused_key_closes_nothing_and_loses_nothing(
    server: Homeserver, stub: StubService
) -> None:
    ann, _, room = chat(server)
    stub.status = 401
    assert server.register("cat").status_code == 200
    dan = server.account("dan")
    sends = [ann.send(ann.direct(dan.id), "hi"), ann.send(room, "hi"), dan.send(room, "hi")]
    assert [answer.status_code for answer in sends] == [200, 200, 403]  # dan is not in the room.
    assert "refuses the key" in server.log.read_text()
    stub.status = None
    stub.wait(lambda found: {"@cat:hs.test", dan.id} <= {e["account"] for e in found.events})
    ids = {sends[0].json()["event_id"], sends[1].json()["event_id"]}
    stub.wait(lambda found: ids <= set(sent_ids(found)))


def test_failing_service_lets_messages_pass_and_closes_registration(
    server: Homeserver, stub: StubService
) -> None:
    ann, bob, room = chat(server)
    stub.status = 503
    answers = [ann.send(room, f"message {number}") for number in range(20)]
    assert [answer.status_code for answer in answers] == [200] * 20
    assert bob.create("@cat:hs.test").status_code == 200
    refused = server.register("cat")
    assert (refused.status_code, refused.json()["error"]) == (429, "Rate limited")
    stub.status = None
    ids = {answer.json()["event_id"] for answer in answers}
    stub.wait(lambda found: ids <= set(sent_ids(found)), 60)
    time.sleep(1)
    assert len(sent_ids(stub)) == len(set(sent_ids(stub))) == 21


def test_slow_service_loses_nothing_and_is_rarely_waited_for(
    tmp_path: Path, stub: StubService
) -> None:
    module = {"url": stub.url, "key": "wb_1", "mode": "enforce", "timeout_ms": 250}
    module |= {"on_failure": {"registration": "open"}, "ask": "always"}
    with running(tmp_path / "hs", module) as server:
        ann, _, room = chat(server)
        dan = server.account("dan")
        stub.wait(lambda found: len(found.events) >= 3)
        unanswered = server.figure("wavebreak_client_no_answer_total")
        stub.delay_s = SLOW_S
        started = time.monotonic()
        answers = [ann.send(room, f"message {number}") for number in range(60)]
        answers.append(ann.create(dan.id, is_direct=True))
        assert [answer.status_code for answer in answers] == [200] * 61
        seconds = time.monotonic() - started
        waited_for = server.figure("wavebreak_client_no_answer_total") - unanswered
        assert 1 <= waited_for <= 3 * (seconds / BREAK_S + 1)
        stub.delay_s = 0
        ids = {answer.json()["event_id"] for answer in answers[:60]}
        stub.wait(lambda found: ids <= set(sent_ids(found)), 60)
        time.sleep(1)
        assert len(sent_ids(stub)) == len(set(sent_ids(stub))) == 61


def test_full_outbox_stops_nobody(server: Homeserver, stub: StubService) -> None:
    ann, bob, room = chat(server)
    stub.wait(lambda found: len(sent_ids(found)) == 1)
    server.write(
        "CREATE TRIGGER full BEFORE INSERT ON wavebreak_outbox"
        " BEGIN SELECT RAISE(FAIL, 'database or disk is full'); END"
    )
    assert bob.login().status_code == 200
    assert server.register("cat").status_code == 200
    assert ann.send(room, "hi").status_code == 200
    stub.wait(lambda found: len(sent_ids(found)) == 2)
    assert server.figure("wavebreak_unkept_total") >= 2
    server.write("DROP TRIGGER full")
    assert bob.login().status_code == 200
    stub.wait(lambda found: any(event["type"] == "session.started" for event in found.events))


def test_events_survive_a_killed_homeserver_while_the_service_is_away(
    server: Homeserver, stub: StubService
) -> None:
    ann, bob, room = chat(server)
    stub.wait(lambda found: len(sent_ids(found)) == 1)
    stub.status = 503
    ids = {ann.send(room, f"message {number}").json()["event_id"] for number in range(5)}
    assert bob.login().status_code == 200
    server.kill()
    stub.status = None
    server.start()
    stub.wait(lambda found: ids <= set(sent_ids(found)))
    stub.wait(lambda found: any(event["type"] == "session.started" for event in found.events))
    assert len(sent_ids(stub)) == 6


def test_suspension_ban_and_lift_follow_the_states(server: Homeserver, stub: StubService) -> None:
    ann, bob, room = chat(server)
    expected = [
        ("suspend", 403, "M_USER_SUSPENDED"),
        ("allow", 200, None),
        ("ban", 403, "ORG_MATRIX_EXPIRED_ACCOUNT"),
        ("restrict", 200, None),
        ("allow", 200, None),
    ]
    for outcome, status, code in expected:
        stub.set_state(ann.id, outcome)
        time.sleep(STATES_S)
        answer = ann.send(room, f"under {outcome}")
        assert (answer.status_code, answer.json().get("errcode")) == (status, code)
        assert bob.send(room, "as ever").status_code == 200


def test_suspension_by_an_administrator_outlasts_a_lift(
    server: Homeserver, stub: StubService
) -> None:
    ann, _, room = chat(server)
    root = server.admin()
    path = f"/_synapse/admin/v1/suspend/{ann.id}"
    assert root.http.put(path, json={"suspend": True}).status_code == 200
    for outcome in ("ban", "allow"):
        stub.set_state(ann.id, outcome)
        time.sleep(STATES_S)
    assert ann.send(room, "hi").json()["errcode"] == "M_USER_SUSPENDED"


def test_suspension_is_undone_that_ended_while_synapse_was_off(
    server: Homeserver, stub: StubService
) -> None:
    ann, _, room = chat(server)
    stub.set_state(ann.id, "suspend")
    time.sleep(STATES_S)
    server.stop()
    stub.set_state(ann.id, "allow")
    server.start()
    time.sleep(STATES_S)
    assert ann.send(room, "hi").status_code == 200


def notices_of(account: Account) -> list[str]:
    """Return what the notices' account wrote in a room that an account has joined."""
    found = account.server.rows(
        "SELECT j.json FROM events AS e JOIN event_json AS j ON j.event_id = e.event_id"
        " JOIN local_current_membership AS m ON m.room_id = e.room_id"
        " WHERE e.sender = '@notices:hs.test' AND e.type = 'm.room.message'"
        f" AND m.user_id = '{account.id}' AND m.membership = 'join' ORDER BY e.stream_ordering"
    )
    return [json.loads(body)["content"]["body"] for (body,) in found]


def waited_for(account: Account, count: int) -> list[str]:
    end = time.monotonic() + 20
    while len(notices_of(account)) < count and time.monotonic() < end:
        time.sleep(0.1)
    return notices_of(account)


def test_holder_is_sent_a_notice_once_it_is_due(server: Homeserver, stub: StubService) -> None:
    ann, _, _ = chat(server)
    due = int(time.time() * 1000) + 4000
    stub.set_state(ann.id, "restrict", notify_at_ms=due, until_ms=due + 60_000)
    time.sleep(2)
    assert notices_of(ann) == []
    (text,) = waited_for(ann, 1)
    assert time.time() * 1000 >= due
    assert text.startswith("Your account cannot start new chats or groups until 20")
    stub.set_state(ann.id, "allow")
    assert waited_for(ann, 2)[1:] == ["The restriction of your account has ended."]


def test_wrong_setting_stops_synapse_with_its_fix(tmp_path: Path, stub: StubService) -> None:
    server = Homeserver(tmp_path / "hs", {"url": stub.url, "key": "wb_1", "mode": "loud"})
    with pytest.raises(AssertionError):
        server.start()
    assert "mode: is none of shadow, enforce. Fix: set one of them" in server.said()
