"""A real Synapse with the module as the policy server of rooms of another real Synapse."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.external_servers import free_port

from synapse_support.federation import federate, hashed
from synapse_support.homeserver import Account, Homeserver, run_command, running
from synapse_support.stub_service import StubService

SIGN = "/_matrix/policy/v1/sign"
STATES_S = 2.0
HUNG_S = 30.0
MOST_S = 2.0
"""Within so long a message must pass while Wavebreak hangs."""


@dataclass
class Community:
    """Ann is on the policy server; the rooms and their members are on the other server.

    Attributes:
        policy: The content of `m.room.policy`.
        used: Every text that a member wrote.
    """

    stub: StubService
    ours: Homeserver
    theirs: Homeserver
    policy: dict[str, Any]
    ann: Account
    owner: Account
    guest: Account
    used: list[str] = field(default_factory=list)

    def text(self) -> str:
        """Return a text that occurs nowhere else."""
        self.used.append(f"canary{len(self.used):03}policy")
        return self.used[-1]

    def room(self) -> str:
        """Make a room whose policy server is ours."""
        answer = self.owner.create(preset="public_chat", name=self.text(), topic=self.text())
        room = str(answer.json()["room_id"])
        joined = self.ann.call("POST", f"/join/{room}?server_name={self.theirs.name}", {})
        assert joined.status_code == 200, joined.text
        assert self.guest.join(room).status_code == 200
        answer = self.owner.state(room, "m.room.policy", self.policy)
        assert answer.status_code == 200, answer.text
        end = time.monotonic() + 20
        while not self._knows_policy(room):
            assert time.monotonic() < end, "the policy does not arrive"
            time.sleep(0.1)
        return room

    def _knows_policy(self, room: str) -> bool:
        path = f"/rooms/{room}/state/m.room.policy/"
        return self.ann.call("GET", path).status_code == 200

    def pdu(self, event_id: str) -> Any:
        """Return an event as its server has it."""
        query = f"SELECT json FROM event_json WHERE event_id = '{event_id}'"
        return json.loads(self.theirs.rows(query)[0][0])


@pytest.fixture(scope="module")
def community(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Community]:
    home: Path = tmp_path_factory.mktemp("policy")
    stub = StubService()
    ports = free_port(), free_port()
    names: list[dict[str, Any]] = [
        {"name": f"localhost:{port}", "tls_port": port} for port in ports
    ]
    made = run_command("policy-key", str(home / "key"), "--server-name", names[0]["name"])
    assert made.returncode == 0, made.stderr
    module = {"url": stub.url, "key": "wb_1", "mode": "enforce", "timeout_ms": 2000}
    module |= {"policy_server": {"key_file": str(home / "key")}}
    with (
        running(home / "ours", module, **names[0]) as ours,
        running(home / "theirs", None, **names[1]) as theirs,
    ):
        accounts = ours.account("ann"), theirs.account("owner"), theirs.account("guest")
        yield Community(stub, ours, theirs, json.loads(made.stdout), *accounts)
    stub.close()


def test_event_is_signed_and_arrives_with_one_question(community: Community) -> None:
    room = community.room()
    answer = community.owner.send(room, community.text())
    assert answer.status_code == 200, answer.text
    event_id = answer.json()["event_id"]
    signatures = community.pdu(event_id)["signatures"]
    assert list(signatures[community.ours.name]) == ["ed25519:policy_server"]
    asked = [each[0] for each in community.stub.attempts if each[0]["id"] == event_id]
    ((question),) = asked
    assert (question["type"], question["account"]) == ("message.sent", community.owner.id)
    assert (question["group"], question["origin"]) == (room, "localhost")
    community.stub.wait(lambda stub: event_id in {event["id"] for event in stub.events})


def test_nothing_written_goes_to_wavebreak(community: Community) -> None:
    room, owner = community.room(), community.owner
    picture = {"msgtype": "m.image", "body": community.text(), "filename": community.text()}
    picture |= {"url": f"mxc://hs.test/{community.text()}"}
    sent = owner.send(room, community.text()).json()["event_id"]
    answers = [
        owner.send(room, picture),
        owner.send(room, {"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": community.text(),
                          "session_id": community.text()}, "m.room.encrypted"),
        owner.send(room, {"m.relates_to": {"rel_type": "m.annotation", "event_id": sent,
                                           "key": community.text()}}, "m.reaction"),
        owner.state(room, "m.room.topic", {"topic": community.text()}),
        owner.call("PUT", f"/profile/{owner.id}/displayname", {"displayname": community.text()}),
        owner.invite(room, community.ann.id.replace("ann", "amy"), reason=community.text()),
    ]  # fmt: skip
    assert [answer.status_code for answer in answers[:5]] == [200] * 5
    community.stub.wait(lambda stub: sent in {event["id"] for event in stub.events})
    time.sleep(1)
    wire = b"\n".join(community.stub.wire).decode()
    assert len(community.used) > 8
    assert [text for text in community.used if text in wire] == []
    logged = community.ours.log.read_text()
    assert [text for text in community.used if text in logged] == []


def test_refused_message_is_answered_forbidden_and_arrives_nowhere(community: Community) -> None:
    room, stub = community.room(), community.stub
    spammer = community.theirs.account("spammer")
    assert spammer.join(room).status_code == 200
    shown = {"allowed": False, "outcome": "restrict", "until_ms": 9}
    stub.decide = lambda events: shown if events[0]["account"] == spammer.id else {}
    answers = [spammer.send(room, community.text()) for _ in range(2)]
    stub.decide = lambda events: {}
    assert [(each.status_code, each.json()["errcode"]) for each in answers] == [
        (400, "M_FORBIDDEN")
    ] * 2
    assert answers[0].json()["org.wavebreak.outcome"] == "restrict"
    assert community.owner.send(room, community.text()).status_code == 200
    bodies = str(community.ann.call("GET", f"/rooms/{room}/messages?dir=b&limit=30").json())
    assert [text for text in community.used[-3:-1] if text in bodies] == []


def test_suspended_account_is_refused_and_can_leave(community: Community) -> None:
    room = community.room()
    other = community.theirs.account("other")
    assert other.join(room).status_code == 200
    community.stub.set_state(other.id, "suspend")
    time.sleep(STATES_S)
    assert other.send(room, community.text()).json()["errcode"] == "M_FORBIDDEN"
    assert other.leave(room).status_code == 200
    community.stub.set_state(other.id, "allow")
    time.sleep(STATES_S)
    assert other.join(room).status_code == 200
    assert other.send(room, community.text()).status_code == 200


def test_messages_pass_while_wavebreak_hangs(community: Community) -> None:
    room = community.room()
    other = community.theirs.account("hasty")
    assert other.join(room).status_code == 200
    community.stub.delay_s = HUNG_S
    try:
        times = []
        for account in (community.owner, other, other):
            started = time.monotonic()
            answer = account.send(room, community.text())
            times.append(time.monotonic() - started)
            assert answer.status_code == 200, answer.text
    finally:
        community.stub.delay_s = 0
    assert max(times) < MOST_S


def test_busy_room_is_not_held_up(community: Community) -> None:
    room = community.room()
    pdu = community.pdu(community.owner.send(room, "hello").json()["event_id"])

    def ask(_: int) -> int:
        return federate(community.theirs, community.ours, SIGN, pdu).status_code

    with ThreadPoolExecutor(80) as threads:
        assert set(threads.map(ask, range(160))) == {200}


def test_request_that_no_server_signed_is_refused(community: Community) -> None:
    room = community.room()
    pdu = community.pdu(community.owner.send(room, "hello").json()["event_id"])
    url = community.ours.url + SIGN
    assert httpx.post(url, json=pdu, timeout=60).status_code == 401
    assert federate(community.theirs, community.ours, SIGN, pdu).status_code == 200
    signed = community.ours.name, community.theirs.name
    assert signed[1] in pdu["signatures"]
    assert httpx.post(community.theirs.url + SIGN, json=pdu, timeout=60).status_code == 404


def test_event_that_its_sender_did_not_sign_is_not_counted(community: Community) -> None:
    room, stub = community.room(), community.stub
    pdu = community.pdu(community.owner.send(room, "hello").json()["event_id"])
    before = len(stub.attempts)
    forged = hashed(pdu | {"sender": community.owner.id.replace("owner", "victim")})
    changed = pdu | {"content": pdu["content"] | {"body": "something else"}}
    elsewhere = pdu | {"room_id": "!other:localhost"}
    codes = []
    for body in (forged, changed, elsewhere, pdu | {"depth": "deep"}, {"type": "m.room.message"}):
        answer = federate(community.theirs, community.ours, SIGN, body)
        assert answer.status_code == 400
        codes.append(answer.json()["errcode"])
    assert codes == ["M_FORBIDDEN", "M_BAD_JSON", "M_NOT_FOUND", "M_BAD_JSON", "M_BAD_JSON"]
    assert len(stub.attempts) == before
