"""Whatever a real Synapse shows to a stranger is in the log, and is refused where its sender is."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx
import pytest

from synapse_support.homeserver import Homeserver, running
from synapse_support.stub_service import StubService
from wavebreak_synapse.acts import RINGS, RTC_MEMBERS, UPKEEP

SEED = 20261130
GUESSES = 60
STATES_S = 2.0
WORDS = {"msgtype": "m.text", "body": "buy coins"}
HEART = "\u2764\ufe0f"
# Whose content Synapse checks, or which must not spoil the room.
CONTENTS: dict[str, Any] = {
    "m.room.join_rules": {"join_rule": "invite"},
    "m.room.history_visibility": {"history_visibility": "shared"},
    "m.room.guest_access": {"guest_access": "forbidden"},
    "m.room.server_acl": {"allow": ["*"], "deny": []},
    "m.room.pinned_events": {"pinned": []},
    "m.room.retention": {"max_lifetime": 86_400_000},
}
SETS_UP = frozenset(kind for kind in UPKEEP if kind.startswith("m.room.")) - {"m.room.redaction"}
SPOILS = frozenset({"m.room.encryption", "m.room.power_levels"})
OTHER_STATES = ("m.room.name", "m.room.topic", "im.vector.modular.widgets", "org.example.state")
OTHERS = (
    "m.room.message", "m.room.encrypted", "m.sticker", "m.poll.start", "m.poll.end", "m.message",
    "m.beacon", "m.file", "org.matrix.msc1767.message", "org.example.unheard_of", "m.rtc.notify",
)  # fmt: skip


class Case(NamedTuple):
    """Something that Ann puts into a room; `upkeep` carries nothing of hers."""

    kind: str
    content: dict[str, Any]
    state_key: str | None = None
    upkeep: bool = False


@dataclass
class Stage:
    """Ann and those who do not know her."""

    server: Homeserver
    stub: StubService
    rooms: list[str] = field(default_factory=list)
    own: dict[str, str] = field(default_factory=dict)
    others: dict[str, str] = field(default_factory=dict)

    def set(self) -> None:
        """Have Ann and Bob meet in a direct chat, a group of hers and a public room of his."""
        self.ann, self.bob, self.cat = (self.server.account(name) for name in ("ann", "bob", "cat"))
        ann, bob, cat = self.ann, self.bob, self.cat
        group = ann.create(bob.id, cat.id).json()["room_id"]
        public = bob.create(visibility="public", preset="public_chat").json()["room_id"]
        self.rooms = [ann.direct(bob.id), group, public]
        joins = [who.join(room) for who in (bob, cat) for room in self.rooms[1:]]
        joins += [bob.join(self.rooms[0]), ann.join(public)]
        assert {each.status_code for each in joins} <= {200}
        self.knocked = [self._door(f"door {n}") for n in range(3)]
        for room in self.rooms:
            self.own[room] = ann.send(room, "hello").json()["event_id"]
            self.others[room] = bob.send(room, "hello?").json()["event_id"]
        self.since = bob.call("GET", "/sync?timeout=0").json()["next_batch"]

    def _door(self, name: str) -> str:
        rules = {"type": "m.room.join_rules", "content": {"join_rule": "knock"}}
        answer = self.bob.create(name=name, preset="private_chat", initial_state=[rules])
        return str(answer.json()["room_id"])

    def do(self, room: str, case: Case) -> httpx.Response:
        """Have Ann put something into a room."""
        if case.kind == "m.room.redaction":
            path = f"/rooms/{quote(room)}/redact/{quote(self.own[room])}/{time.monotonic_ns()}"
            return self.ann.call("PUT", path, case.content)
        if case.state_key is not None:
            return self.ann.state(room, case.kind, case.content, case.state_key)
        return self.ann.send(room, case.content, quote(case.kind))

    def knock(self, room: str, reason: str = "buy coins") -> httpx.Response:
        """Have Ann knock with words."""
        return self.ann.call("POST", f"/knock/{quote(room)}", {"reason": reason})

    def shown(self) -> dict[str, dict[str, Any]]:
        """Return what Bob was shown of Ann's since, by its id."""
        wanted = json.dumps({"room": {"timeline": {"limit": 10_000}}})
        path = f"/sync?timeout=0&since={self.since}&filter={quote(wanted)}"
        answer = self.bob.call("GET", path).json()
        found: dict[str, dict[str, Any]] = {}
        for room in answer.get("rooms", {}).get("join", {}).values():
            assert not room["timeline"]["limited"]
            for part in ("timeline", "state"):
                events = [e for e in room[part]["events"] if e["sender"] == self.ann.id]
                found |= {event["event_id"]: event for event in events}
        return found


def relation(kind: str, event_id: str, **more: Any) -> dict[str, Any]:
    return {"m.relates_to": {"rel_type": kind, "event_id": event_id, **more}}


def known_cases(room: str, stage: Stage) -> Iterator[Case]:
    """Yield each type that the module knows: as it should be, and with words beside."""
    own, theirs = stage.own[room], stage.others[room]
    for kind in sorted(set(UPKEEP) - SPOILS - {"m.room.redaction"}):
        state_key = "" if kind in SETS_UP else None
        content = CONTENTS.get(kind, {})
        yield Case(kind, content, state_key, upkeep=True)
        yield Case(kind, content | WORDS, state_key)
    for kind in sorted(RTC_MEMBERS & {"m.call.member", "org.matrix.msc3401.call.member"}):
        yield Case(kind, {"memberships": []}, stage.ann.id, upkeep=True)
    for kind in sorted(RINGS):
        yield Case(kind, {"call_id": "c", "notify_type": "ring", "notification_type": "ring"})
    yield Case("m.reaction", relation("m.annotation", theirs, key=HEART), upkeep=True)
    yield Case("m.reaction", relation("m.annotation", theirs, key="buy coins"))
    yield Case("m.reaction", relation("m.annotation", theirs, key="mxc://hs.test/coins"))
    yield Case("m.reaction", WORDS)
    for kind in OTHERS:
        for how in ("m.reference", "m.thread", "m.replace", "m.annotation", "org.example.odd"):
            yield Case(kind, WORDS | relation(how, theirs, key=HEART))
        yield Case(kind, WORDS | relation("m.reference", own))
    edit = WORDS | relation("m.replace", own) | {"m.new_content": WORDS}
    yield Case("m.room.message", edit, upkeep=True)
    yield Case("m.sticker", edit)
    for kind in OTHER_STATES:
        yield Case(kind, {"name": "buy coins", "topic": "buy coins"}, "")
    yield Case("m.room.redaction", {}, upkeep=True)
    yield Case("m.room.redaction", {"reason": "buy coins"})


def guessed_cases(room: str, stage: Stage, chance: random.Random) -> Iterator[Case]:
    """Yield events with words in them, of any type and relation; so none of them is upkeep."""
    kinds = [*UPKEEP, *RINGS, *OTHERS, "m.reaction"]
    for number in range(GUESSES):
        kind = chance.choice([*kinds, f"org.example.{number}", f"m.{number}"])
        if kind in SETS_UP or kind == "m.room.redaction":
            continue
        content: dict[str, Any] = {chance.choice(("body", "m.text", "text", "x")): "buy coins"}
        how = chance.choice(("m.replace", "m.annotation", "m.reference", "m.thread", "x"))
        target = stage.others[room]
        content |= chance.choice(({}, relation(how, target), {"m.relates_to": how}))
        yield Case(kind, content)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    stub = StubService()
    module = {"url": stub.url, "key": "wb_1", "mode": "enforce", "timeout_ms": 5000}
    whole = {"filter_timeline_limit": 100_000}
    with running(tmp_path / "hs", module, extra=whole) as server:
        made = Stage(server, stub)
        made.set()
        yield made
    stub.close()


def cases(stage: Stage, room: str) -> list[Case]:
    """Return everything for Ann's own rooms; in Bob's she can set no state."""
    known = list(known_cases(room, stage)) if room != stage.rooms[2] else []
    return [*known, *guessed_cases(room, stage, random.Random(f"{SEED} {stage.rooms.index(room)}"))]


def test_what_reaches_a_stranger_is_in_the_log(stage: Stage) -> None:
    acts: dict[str, Case] = {}
    upkeep: dict[str, Case] = {}
    for room in stage.rooms:
        for case in cases(stage, room):
            answer = stage.do(room, case)
            if answer.status_code == 200:  # Else Synapse itself will not have it.
                (upkeep if case.upkeep else acts)[answer.json()["event_id"]] = case
    knocks = [stage.knock(room) for room in stage.knocked]
    knocks.append(stage.knock(stage.knocked[0], "buy more coins"))
    assert [each.status_code for each in knocks] == [200] * 4
    stage.ann.call("PUT", f"/profile/{quote(stage.ann.id)}/displayname", {"displayname": "Ann"})
    shown = stage.shown()
    assert len(acts) > 300
    assert len(upkeep) > 50
    stage.stub.wait(lambda found: set(acts) <= {e["id"] for e in found.events}, 60)
    time.sleep(1)
    logged = {event["id"] for event in stage.stub.events}
    assert {name: case for name, case in upkeep.items() if name in logged} == {}
    silent = {name: event for name, event in shown.items() if name not in logged | set(upkeep)}
    assert [e for e in silent.values() if e["content"].get("membership") != "join"] == []
    doors = [e for e in shown.values() if e["content"].get("membership") == "knock"]
    assert len(doors) == 4
    wire = b"".join(stage.stub.wire)
    assert b"buy coins" not in wire


def test_every_act_of_a_refused_sender_is_refused(stage: Stage) -> None:
    ann, stub = stage.ann, stage.stub
    stub.decide = lambda events: (
        {"allowed": False, "outcome": "restrict"} if events[0]["account"] == ann.id else {}
    )
    stub.set_state(ann.id, "restrict")
    time.sleep(STATES_S)
    before = len(stub.attempts)
    room = stage.rooms[0]
    for case in cases(stage, room):
        if not case.upkeep:
            assert stage.do(room, case).status_code != 200, case
    assert len(stub.attempts) - before > 100
    invitation = {"membership": "invite"}
    tried = [
        stage.knock(stage.knocked[0]),
        ann.create(stage.cat.id),
        ann.invite(room, stage.cat.id),
        ann.state(room, "m.room.member", invitation, stage.cat.id),
    ]
    assert [each.status_code for each in tried] == [403] * 4
    assert [e for e in stage.shown().values() if e["type"] != "m.room.member"] == []

    stub.set_state(ann.id, "suspend")
    time.sleep(STATES_S)
    for case in cases(stage, room):
        harmless = case.upkeep and case.kind == "m.room.redaction"
        assert harmless or stage.do(room, case).status_code == 403, case
    assert stage.knock(stage.knocked[1]).status_code == 403
    assert [e for e in stage.shown().values() if e["type"] != "m.room.member"] == []
