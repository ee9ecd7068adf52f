"""A real Synapse of a main process and three workers, over PostgreSQL and Redis."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from synapse_support.homeserver import Account
from synapse_support.stub_service import StubService
from synapse_support.workers import BACKGROUND, NAMES, WorkerSet, until_ok, worker_set

STATES_S = 15.0
"""Four processes of Synapse start at once; how fast a change is, `test_faults.py` tests."""


@pytest.fixture(scope="module")
def stub() -> Iterator[StubService]:
    made = StubService()
    yield made
    made.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, stub: StubService) -> Iterator[WorkerSet]:
    home: Path = tmp_path_factory.mktemp("workers")
    module = {"url": stub.url, "key": "wb_1", "mode": "enforce", "timeout_ms": 2000}
    with worker_set(home, module) as made:
        yield made


def accounts(server: WorkerSet, *names: str) -> list[Account]:
    """Register accounts, each of which then uses a worker of its own."""
    made = [server.account(name) for name in names]
    placed = [server.at(each, worker) for each, worker in zip(made, NAMES, strict=False)]
    for account in placed:
        until_ok(lambda account=account: account.call("GET", "/account/whoami"))
    return placed


def of(stub: StubService, *names: Any) -> Counter[str]:
    known = {each.id for each in names}
    return Counter(event["type"] for event in stub.events if event["account"] in known)


def wait_for(server: WorkerSet, query: str, least: int) -> None:
    """Wait until a query gives so much."""
    end = time.monotonic() + 60
    while (server.rows(query) or [(0,)])[0][0] < least:
        assert time.monotonic() < end, server.said()
        time.sleep(0.1)


def talk(people: list[Account], messages: int) -> list[str]:
    """Let three accounts on three workers write; returns the ids of what they wrote."""
    ann, bob, cat = people
    direct = until_ok(lambda: ann.create(bob.id, is_direct=True)).json()["room_id"]
    until_ok(lambda: bob.join(direct))
    group = until_ok(lambda: cat.create(ann.id, bob.id)).json()["room_id"]
    for each in (ann, bob):
        until_ok(lambda each=each: each.join(group))
    written = []
    for number in range(messages):
        for who, room in ((ann, direct), (bob, direct), (ann, group), (bob, group), (cat, group)):
            call = until_ok(lambda who=who, room=room: who.send(room, f"text {number}"))  # noqa: B023
            written.append(call.json()["event_id"])
    path = f"/rooms/{quote(direct)}/receipt/m.read/{quote(written[0])}"
    until_ok(lambda: bob.call("POST", path, {}))
    return written


def test_events_of_three_workers_are_reported_once(server: WorkerSet, stub: StubService) -> None:
    # Until then nothing that happens comes into the directory of people.
    wait_for(server, "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM background_updates)", 1)
    ann, bob, cat = people = accounts(server, "ann", "bob", "cat")
    written = talk(people, messages=4)
    assert [each.login().status_code for each in people] == [200] * 3
    # The directory of people is filled in the background: two in a chat, three in a group.
    wait_for(server, "SELECT COUNT(*) FROM users_who_share_private_rooms", 2 + 6)
    for each, term in zip(people, ("bob", "ann", "ann"), strict=True):
        found = each.call("POST", "/user_directory/search", {"search_term": term})
        assert len(found.json()["results"]) == 1
    path = f"/user/{quote(bob.id)}/account_data/m.ignored_user_list"
    until_ok(lambda: bob.call("PUT", path, {"ignored_users": {ann.id: {}}}))
    expected = {
        "account.registered": 3, "contact.requested": 3, "contact.accepted": 3,
        "group.created": 1, "group.member_added": 2, "group.joined": 2, "message.sent": 20,
        "message.read": 1, "session.started": 3, "contact.looked_up": 3, "user.blocked": 1,
    }  # fmt: skip
    stub.wait(lambda found: sum(of(found, *people).values()) >= sum(expected.values()), 60)
    time.sleep(2)
    assert dict(of(stub, *people)) == expected
    assert stub.doubles == 0
    sent = [event["id"] for event in stub.events if event["type"] == "message.sent"]
    assert sorted(sent) == sorted(written)
    assert cat.http.get("/_synapse/client/wavebreak/health").status_code == 403


def test_notice_is_sent_where_a_worker_runs_background_tasks(
    server: WorkerSet, stub: StubService
) -> None:
    (jon,) = accounts(server, "jon")
    stub.set_state(jon.id, "restrict")
    query = (
        "SELECT COUNT(*) FROM events AS e JOIN local_current_membership AS m USING (room_id)"
        " WHERE e.sender = '@notices:hs.test' AND e.type = 'm.room.message'"
        f" AND m.user_id = '{jon.id}'"
    )
    end = time.monotonic() + STATES_S
    while server.rows(query) != [(1,)]:
        assert time.monotonic() < end, server.said()
        time.sleep(0.1)


def test_killed_background_worker_loses_and_doubles_nothing(
    server: WorkerSet, stub: StubService
) -> None:
    people = accounts(server, "dan", "eve", "fay")
    people[2] = Account(server, people[2].id, people[2].token)  # Its worker will be gone.
    stub.wait(lambda found: of(found, *people)["account.registered"] == 3, 60)
    server.kill_worker(BACKGROUND)
    written = talk(people, messages=2)
    server.start_worker(BACKGROUND)
    stub.wait(lambda found: set(written) <= {event["id"] for event in found.events}, 60)
    time.sleep(2)
    counts = Counter(event["id"] for event in stub.events)
    assert max(counts.values()) == 1
    assert of(stub, *people)["message.sent"] == len(written) == 10
    assert of(stub, *people)["account.registered"] == 3


def test_each_worker_refuses_what_the_states_say(server: WorkerSet, stub: StubService) -> None:
    gus, hal, ivy = accounts(server, "gus", "hal", "ivy")
    room = until_ok(lambda: gus.create(hal.id, is_direct=True)).json()["room_id"]
    until_ok(lambda: hal.join(room))
    refused = {"allowed": False, "outcome": "restrict"}
    stub.decide = lambda events: refused if events[0]["account"] == gus.id else {}
    places = [gus, *(server.at(gus, worker) for worker in ("two", "three"))]
    answers = [place.create(ivy.id, is_direct=True) for place in places]
    stub.decide = lambda events: {}
    assert [answer.status_code for answer in answers] == [403] * 3
    for outcome, code in (("ban", "ORG_MATRIX_EXPIRED_ACCOUNT"), ("suspend", "M_USER_SUSPENDED")):
        for state, expected in ((outcome, code), ("allow", None)):
            stub.set_state(gus.id, state)
            end = time.monotonic() + STATES_S
            while codes_of(places, room) != {expected}:
                assert time.monotonic() < end, f"{state} is not in force at each worker"
                time.sleep(0.1)


def codes_of(places: list[Account], room: str) -> set[str | None]:
    return {place.send(room, "hi").json().get("errcode") for place in places}
