"""Two real Synapses: what the module of one sees of the other's accounts, and what it refuses."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from support.external_servers import free_port

from synapse_support.homeserver import Account, running
from synapse_support.stub_service import StubService

STATES_S = 2.0


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


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    stub = StubService()
    module = {"url": stub.url, "key": "wb_1", "mode": "enforce", "timeout_ms": 2000}
    ports = free_port(), free_port()
    names = [{"name": f"localhost:{port}", "tls_port": port} for port in ports]
    with (
        running(tmp_path / "with", module, **names[0]) as ours,
        running(tmp_path / "without", None, **names[1]) as theirs,
    ):
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
