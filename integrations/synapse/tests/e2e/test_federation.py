"""Two real Synapses: what the module of one sees of the other's accounts, and what it refuses."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from support.external_servers import free_port
from support.service_process import Server

from synapse_support.homeserver import Account, Homeserver, running
from synapse_support.spam_story import source_key, wait_for_declaration
from synapse_support.stub_service import StubService

STATES_S = 2.0
ENFORCING = {"mode": "enforce", "timeout_ms": 2000}
STRANGERS = 50
REPORTED, REFUSED = 5, 10
EPOCH_S = 65.0
"""So long until what is known of a server is read, of which an account was just seen first."""


@dataclass
class Pair:
    """Ann is on the server with the module, Rem on the other one."""

    stub: StubService
    ann: Account
    rem: Account

    def received(self, room: str, text: str, seconds: float = 20) -> bool:
        """Return whether a message reaches Ann's server within a time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = self.ann.call("GET", f"/rooms/{room}/messages?dir=b&limit=20")
            bodies = [e["content"].get("body") for e in found.json().get("chunk", ())]
            if text in bodies:
                return True
            time.sleep(0.2)
        return False


@contextmanager
def federated(home: Path, module: dict[str, Any]) -> Iterator[tuple[Homeserver, Homeserver]]:
    """A homeserver with the module, and one without."""
    ports = free_port(), free_port()
    names = [{"name": f"localhost:{port}", "tls_port": port} for port in ports]
    with (
        running(home / "with", module | ENFORCING, **names[0]) as ours,
        running(home / "without", None, **names[1]) as theirs,
    ):
        yield ours, theirs


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    stub = StubService()
    with federated(tmp_path, {"url": stub.url, "key": "wb_1"}) as (ours, theirs):
        yield Pair(stub, ours.account("ann"), theirs.account("rem"))
    stub.close()


def invited(pair: Pair) -> httpx.Response:
    return pair.rem.create(pair.ann.id, is_direct=True)


def test_remote_sender_is_reported_with_its_origin_and_refused_by_state(pair: Pair) -> None:
    stub, ann, rem = pair.stub, pair.ann, pair.rem
    answer = invited(pair)
    assert answer.status_code == 200, answer.text
    room = answer.json()["room_id"]
    assert ann.join(room).status_code == 200
    assert rem.send(room, "from afar").status_code == 200
    assert pair.received(room, "from afar")
    assert ann.send(room, "hello there").status_code == 200
    stub.wait(lambda found: len(found.events) >= 5)
    shown = [(e["type"], e["account"], e.get("peer"), e.get("origin")) for e in stub.events]
    assert shown == [
        ("account.registered", ann.id, None, None),
        ("contact.requested", rem.id, ann.id, "localhost"),
        ("contact.accepted", ann.id, rem.id, None),
        ("message.sent", rem.id, ann.id, "localhost"),
        ("message.sent", ann.id, rem.id, None),
    ]
    (asked,) = [each for each in stub.attempts if each[0]["account"] == rem.id]
    assert asked[0]["id"] == stub.events[1]["id"]

    stub.decide = lambda events: (
        {"allowed": False, "outcome": "restrict"} if events[0]["account"] == rem.id else {}
    )
    stub.set_state(rem.id, "restrict")
    time.sleep(STATES_S)
    assert invited(pair).status_code == 403
    assert rem.send(room, "restricted").status_code == 200
    assert pair.received(room, "restricted")

    stub.set_state(rem.id, "suspend")
    time.sleep(STATES_S)
    assert rem.send(room, "suspended").status_code == 200
    assert not pair.received(room, "suspended", 3)

    stub.decide = lambda events: {}
    stub.set_state(rem.id, "allow")
    time.sleep(STATES_S)
    assert rem.send(room, "lifted").status_code == 200
    assert pair.received(room, "lifted")
    assert invited(pair).status_code == 200


def test_invitation_of_a_remote_account_and_its_refusal_are_reported(pair: Pair) -> None:
    stub, ann, rem = pair.stub, pair.ann, pair.rem
    room = ann.direct(rem.id)
    assert rem.leave(room).status_code == 200
    stub.wait(lambda found: len(found.events) >= 3)
    assert [(e["type"], e["account"], e.get("origin")) for e in stub.events[1:]] == [
        ("contact.requested", ann.id, None),
        ("contact.refused", rem.id, "localhost"),
    ]


def reports(victim: Account, spammer: Account, room: str) -> None:
    """Have a stranger accept, read a message, and report it."""
    assert victim.join(room).status_code == 200
    sent = spammer.send(room, "cheap coins").json()["event_id"]
    path = f"/rooms/{quote(room)}/report/{quote(sent)}"
    end = time.monotonic() + 20
    while victim.call("POST", path, {"reason": "spam", "score": -100}).status_code != 200:
        assert time.monotonic() < end
        time.sleep(0.2)


@pytest.mark.timeout(1200)
def test_remote_spammer_is_limited_by_the_shipped_rules(tmp_path: Path) -> None:
    (tmp_path / "wavebreak").mkdir()
    service = Server(tmp_path / "wavebreak", ("--enforce",), keyed=True)
    with service.started():
        module = {"url": f"http://127.0.0.1:{service.port}", "key": source_key(service)}
        with federated(tmp_path, module) as (ours, theirs):
            wait_for_declaration(service)
            strangers = [ours.account(f"s{n}", address=f"198.51.{n}.7") for n in range(STRANGERS)]
            rem = theirs.account("rem")
            reached = 0
            for number, stranger in enumerate(strangers):
                answer = rem.create(stranger.id, is_direct=True)
                if answer.status_code != 200:
                    continue
                room, reached = str(answer.json()["room_id"]), reached + 1
                if number < REPORTED:
                    reports(stranger, rem, room)
                elif number < REPORTED + REFUSED:
                    assert stranger.leave(room).status_code == 200
                if number == REPORTED:
                    time.sleep(EPOCH_S)
            asked = json.dumps({"accounts": [rem.id]}).encode()
            key = f"Bearer {service.first_key()}"
            [state] = service.post(asked, "/v1/states/query", authorization=key).json()["states"]
            print(f"reached {reached} of {STRANGERS}, then {state}")
            assert state["outcome"] in ("limit", "restrict", "suspend", "ban"), state
            assert reached < STRANGERS // 2


def blocks_all(account: Account) -> None:
    path = f"/user/{quote(account.id)}/account_data/m.invite_permission_config"
    assert account.call("PUT", path, {"default_action": "block"}).status_code == 200


def attempts(stub: StubService) -> list[tuple[str, str]]:
    return [(e["account"], e["peer"]) for e in stub.events if e.get("attempted")]


def test_invitation_that_is_blocked_was_tried_and_complains_of_nobody(pair: Pair) -> None:
    stub, ann, rem = pair.stub, pair.ann, pair.rem
    bob = ann.server.account("bob")
    blocks_all(ann)
    assert bob.direct(rem.id)
    for inviter in (bob, rem):
        answer = inviter.create(ann.id, is_direct=True)
        assert answer.json()["errcode"] in ("M_INVITE_BLOCKED", "M_FORBIDDEN"), answer.text
    stub.wait(lambda found: len(attempts(found)) >= 2)
    assert attempts(stub) == [(bob.id, ann.id), (rem.id, ann.id)]
    told = {event["type"] for event in stub.events}
    assert told.isdisjoint({"contact.refused", "user.blocked", "user.reported"})


def rooms_invited_to(account: Account) -> set[str]:
    return set(account.call("GET", "/sync?timeout=0").json().get("rooms", {}).get("invite", {}))


def test_invitation_from_afar_is_dropped_if_chosen(tmp_path: Path) -> None:
    stub = StubService()
    module = {"url": stub.url, "key": "wb_1", "remote_invitations": "drop"}
    with federated(tmp_path, module) as (ours, theirs):
        ann, rem, pal = ours.account("ann"), theirs.account("rem"), theirs.account("pal")
        known = ann.create(pal.id, is_direct=True).json()["room_id"]
        path = f"/user/{quote(ann.id)}/account_data/m.direct"
        assert ann.call("PUT", path, {pal.id: [known]}).status_code == 200
        dropped = rem.create(ann.id, is_direct=True)
        assert dropped.status_code == 200, dropped.text
        members = rem.call("GET", f"/rooms/{dropped.json()['room_id']}/members").json()["chunk"]
        assert {e["content"]["membership"] for e in members if e["state_key"] == ann.id} == {
            "invite"
        }
        welcome = pal.create(ann.id, is_direct=True).json()["room_id"]
        end = time.monotonic() + 20
        while (found := rooms_invited_to(ann)) != {welcome}:
            assert time.monotonic() < end, found
            time.sleep(0.2)
        stub.wait(lambda found: len(attempts(found)) == 1)
        assert attempts(stub) == [(rem.id, ann.id)]
    stub.close()
