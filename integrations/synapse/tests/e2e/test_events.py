"""What a real Synapse makes of each act: the listed events, once, and nothing that was written."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from synapse_support.homeserver import Account, Homeserver, new_database, running
from synapse_support.stub_service import StubService

GOLDEN = Path(__file__).parent / "golden_events.jsonl"
OURS = re.compile(r" (wavebreak\S*|httpx|httpcore\S*) ")


def canaries() -> Iterator[str]:
    number = 0
    while True:
        number += 1
        yield f"canary{number:03}x"


class Story:
    """Everything that accounts do, with a canary in every text."""

    def __init__(self, server: Homeserver) -> None:
        self.server = server
        self.canary = canaries()
        self.used: list[str] = []

    def text(self) -> str:
        self.used.append(next(self.canary))
        return self.used[-1]

    def run(self) -> None:
        self.ann, self.bob, self.cat, self.dan = (
            self.server.account(name) for name in ("ann", "bob", "cat", "dan")
        )
        self._profile(self.ann)
        answer = self.ann.login(initial_device_display_name=self.text())
        assert answer.status_code == 200, answer.text
        self._direct_chats()
        self._group()
        self._public_room()
        self._reports_and_blocks()
        answer = self.server.deactivate(self.dan)
        assert answer.status_code == 200, answer.text

    def _profile(self, account: Account) -> None:
        path = f"/profile/{quote(account.id)}"
        account.call("PUT", f"{path}/displayname", {"displayname": self.text()})
        account.call("PUT", f"{path}/avatar_url", {"avatar_url": f"mxc://hs.test/{self.text()}"})

    def _direct_chats(self) -> None:
        ann, bob = self.ann, self.bob
        room = ann.direct(bob.id)
        bob.join(room)
        sent = ann.send(room, self.text()).json()["event_id"]
        picture = {"msgtype": "m.image", "body": self.text(), "filename": self.text()}
        ann.send(room, picture | {"url": f"mxc://hs.test/{self.text()}"})
        cipher = {"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": self.text() * 8}
        ann.send(room, cipher | {"session_id": self.text()}, "m.room.encrypted")
        edit = {"rel_type": "m.replace", "event_id": sent}
        ann.send(room, {"msgtype": "m.text", "body": self.text(), "m.relates_to": edit})
        key = {"rel_type": "m.annotation", "event_id": sent, "key": self.text()}
        bob.send(room, {"m.relates_to": key}, "m.reaction")
        bob.call("POST", f"/rooms/{quote(room)}/receipt/m.read/{quote(sent)}", {})
        bob.send(room, self.text())
        self.reported = sent
        self.cat.leave(ann.direct(self.cat.id))
        self._profile(ann)  # Rewrites the membership of ann in each room.

    def _group(self) -> None:
        texts = {"name": self.text(), "topic": self.text()}
        answer = self.ann.create(self.bob.id, self.cat.id, **texts)
        room = answer.json()["room_id"]
        self.bob.join(room)
        self.cat.leave(room)
        self.ann.send(room, self.text())
        self.ann.invite(room, self.dan.id, reason=self.text())
        self.dan.join(room)
        self.dan.send(room, self.text())
        self.dan.leave(room)

    def _public_room(self) -> None:
        texts = {"name": self.text(), "topic": self.text(), "room_alias_name": self.text()}
        answer = self.bob.create(visibility="public", preset="public_chat", **texts)
        room = answer.json()["room_id"]
        self.cat.join(room)
        self.cat.send(room, self.text())

    def _reports_and_blocks(self) -> None:
        bob, room = self.bob, self.server.rows("SELECT room_id FROM events WHERE type ="
                                               " 'm.room.message' LIMIT 1")[0][0]  # fmt: skip
        found = bob.call("POST", "/user_directory/search", {"search_term": "ann"})
        assert found.status_code == 200
        path = f"/rooms/{quote(room)}/report/{quote(self.reported)}"
        answer = bob.call("POST", path, {"reason": self.text(), "score": -100})
        assert answer.status_code == 200, answer.text
        answer = bob.call("POST", f"/users/{quote(self.ann.id)}/report", {"reason": self.text()})
        assert answer.status_code == 200, answer.text
        answer = bob.call("POST", f"/rooms/{quote(room)}/report", {"reason": self.text()})
        assert answer.status_code == 200, answer.text
        path = f"/user/{quote(bob.id)}/account_data/m.ignored_user_list"
        bob.call("PUT", path, {"ignored_users": {self.ann.id: {}}})
        bob.call("PUT", path, {"ignored_users": {}})


def normalized(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give ids that a server makes up the numbers of their first occurrence."""
    names: dict[str, str] = {}

    def name(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        made_up = re.match(r"[!$]|(\w+):[0-9a-f]{32}", value)
        if made_up is None:
            # Rows are numbered from 1 or from 2, as the database has it.
            return re.sub(r"^(receipts:hs\.test|\w+_reports):\d+", r"\1:N", value)
        return names.setdefault(value, f"{made_up[1] or made_up[0]}{len(names) + 1}")

    return [{key: name(each) for key, each in event.items() if key != "ts"} for event in events]


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_each_act_gives_the_listed_events_once(
    tmp_path: Path, stub: StubService, database: str
) -> None:
    golden = [json.loads(line) for line in GOLDEN.read_text("utf-8").splitlines()]
    module = {"url": stub.url, "key": "wb_1", "mode": "enforce", "timeout_ms": 2000}
    url = new_database() if database == "postgresql" else ""
    with running(tmp_path / "hs", module, postgres=url) as server:
        story = Story(server)
        story.run()
        stub.wait(lambda found: len(found.events) >= len(golden))
        time.sleep(3)
        server.stop()
        server.start()
        time.sleep(2)
        ordered = sorted(stub.events, key=lambda event: event["ts"])
        assert normalized(ordered) == golden
        assert stub.doubles == 0
        assert stub.sources[0]["can"] == ["refuse", "suspend", "lift", "notify"]
        wire = b"\n".join(stub.wire).decode()
        assert len(story.used) > 20
        assert [text for text in story.used if text in wire] == []
        lines = [line for line in server.log.read_text().splitlines() if OURS.search(line)]
        assert [line for line in lines if "@" in line.partition(" INFO ")[2]] == []


class Leaving:
    """Ann writes to somebody who is gone before the module reads it, in each way there is."""

    def __init__(self, server: Homeserver) -> None:
        self.server = server
        self.ann = server.account("ann")
        self.peers = {
            name: server.account(name)
            for name in ("left", "kicked", "banned", "forgot", "deactivated", "upgraded")
        }
        # In a trusted one, which `direct` makes, nobody can remove the other.
        self.rooms = {
            name: self.ann.create(peer.id, is_direct=True).json()["room_id"]
            for name, peer in self.peers.items()
        }
        for name, peer in self.peers.items():
            assert peer.join(self.rooms[name]).status_code == 200

    def run(self) -> dict[str, str]:
        """Have each happen at once after a message; return the messages' peers by their ids."""
        found = {}
        for name, peer in self.peers.items():
            room = quote(self.rooms[name])
            sent = self.ann.send(self.rooms[name], "before you go")
            found[sent.json()["event_id"]] = peer.id
            answers = getattr(self, f"_{name}")(peer, room)
            assert [each.status_code for each in answers] == [200] * len(answers), name
        return found

    def _left(self, peer: Account, room: str) -> list[httpx.Response]:
        return [peer.call("POST", f"/rooms/{room}/leave", {})]

    def _kicked(self, peer: Account, room: str) -> list[httpx.Response]:
        return [self.ann.call("POST", f"/rooms/{room}/kick", {"user_id": peer.id})]

    def _banned(self, peer: Account, room: str) -> list[httpx.Response]:
        return [self.ann.call("POST", f"/rooms/{room}/ban", {"user_id": peer.id})]

    def _forgot(self, peer: Account, room: str) -> list[httpx.Response]:
        calls = [(who, act) for act in ("leave", "forget") for who in (peer, self.ann)]
        return [who.call("POST", f"/rooms/{room}/{act}", {}) for who, act in calls]

    def _deactivated(self, peer: Account, room: str) -> list[httpx.Response]:
        return [self.server.deactivate(peer)]

    def _upgraded(self, peer: Account, room: str) -> list[httpx.Response]:
        answer = self.ann.call("POST", f"/rooms/{room}/upgrade", {"new_version": "11"})
        return [answer, peer.call("POST", f"/rooms/{room}/leave", {})]


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_message_keeps_its_peer_who_left_at_once(
    tmp_path: Path, stub: StubService, database: str
) -> None:
    url = new_database() if database == "postgresql" else ""
    with running(tmp_path / "hs", {"url": stub.url, "key": "wb_1"}, postgres=url) as server:
        story = Leaving(server)
        stub.wait(lambda found: len(found.events) >= 7 + 12)
        stub.status = 503  # The module reads no further.
        story.ann.direct(story.peers["left"].id)
        time.sleep(1)
        expected = story.run()
        time.sleep(2)
        stub.status = None
        stub.wait(lambda found: any(e["type"] == "account.deleted" for e in found.events), 60)
        shown = [e for e in stub.events if e["type"] == "message.sent"]
        # What an upgrade leaves behind has a text, which its sender may write.
        tombs = server.rows("SELECT event_id FROM events WHERE type = 'm.room.tombstone'")
        expected |= {event_id: story.peers["upgraded"].id for (event_id,) in tombs}
        assert {e["id"]: e.get("peer") for e in shown} == expected


def test_upgrade_of_a_group_asks_nobody_else_for_contact(tmp_path: Path, stub: StubService) -> None:
    with running(tmp_path / "hs", {"url": stub.url, "key": "wb_1"}) as server:
        ann, bob, cat = (server.account(name) for name in ("ann", "bob", "cat"))
        room = ann.create(bob.id, cat.id).json()["room_id"]
        assert [bob.join(room).status_code, cat.join(room).status_code] == [200, 200]
        answer = ann.call("POST", f"/rooms/{quote(room)}/upgrade", {"new_version": "11"})
        new = answer.json()["replacement_room"]
        stub.wait(lambda found: any(e.get("group") == new for e in found.events))
        assert ann.invite(new, bob.id).status_code == 200
        assert ann.invite(new, cat.id).status_code == 200
        stub.wait(lambda found: sum(e.get("group") == new for e in found.events) >= 3)
        shown = [e["type"] for e in stub.events if e.get("group") == new]
        assert shown == ["group.created", "group.member_added", "group.member_added"]
        asked = {e["peer"] for e in stub.events if e["type"] == "contact.requested"}
        assert asked == {bob.id, cat.id}  # As when she invited them into the first one.


def test_health_is_served_and_figures_need_an_administrator(
    tmp_path: Path, stub: StubService
) -> None:
    module = {"url": stub.url, "key": "wb_1", "mode": "enforce", "timeout_ms": 2000}
    with running(tmp_path / "hs", module) as server:
        ann, root = server.account("ann"), server.admin()
        path = "/_synapse/client/wavebreak/health"
        stub.wait(lambda found: any(b"/v1/states/stream" in each for each in found.wire))
        time.sleep(0.5)
        assert httpx.get(server.url + path).json() == {"status": "ok"}
        assert ann.http.get(path).status_code == 403
        assert root.http.get(path).json()["counts"]["asked"] == 1
        metrics = httpx.get(f"{server.url}/_synapse/metrics").text
        assert "wavebreak_asked_total 1.0" in metrics
        stub.status = 401
        ann.create("@somebody:hs.test")
        assert httpx.get(server.url + path).json() == {"status": "degraded"}
        assert root.http.get(path).json()["unauthorized"]
