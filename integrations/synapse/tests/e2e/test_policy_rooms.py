"""Policy rooms on real Synapses: who is told of, and who is published."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.external_servers import free_port

from synapse_support.homeserver import Account, Homeserver, run_command, running
from synapse_support.stub_service import StubService

USER, SERVER = "m.policy.rule.user", "m.policy.rule.server"
LIST_KEY = "wb_lists"
GONE_S = 60.0
GROWTH = 35
CANARY = "canaryReasonOfAList"


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def ban(entity: str, **more: Any) -> dict[str, Any]:
    return {"entity": entity, "recommendation": "m.ban", "reason": CANARY, **more}


def hashed(account: str, name: str) -> dict[str, Any]:
    encoded = base64.b64encode(bytes.fromhex(digest(account))).decode()
    return {name: {"sha256": encoded}, "recommendation": "m.ban"}


def module(home: Path, stub: StubService, **lists: Any) -> dict[str, Any]:
    key = home / "lists.key"
    key.write_text(LIST_KEY)
    key.chmod(0o600)
    settings = {"url": stub.url, "key": "wb_1", "mode": "enforce", "timeout_ms": 5000}
    return settings | {"lists": {"key_file": str(key)} | lists}


@pytest.fixture
def server(tmp_path: Path, stub: StubService) -> Iterator[Homeserver]:
    """A homeserver whose module is not told yet of any room."""
    with running(tmp_path / "hs", None) as made:
        yield made


def restart(server: Homeserver, settings: dict[str, Any]) -> None:
    server.stop()
    server.module = settings
    server.start()


def act(*accounts: Account) -> None:
    """Have accounts do something that is seen: each asks somebody for a chat."""
    for number, account in enumerate(accounts):
        account.direct(accounts[number - 1].id)


def hits(stub: StubService, kind: str = "account.listed") -> list[tuple[str, str, str]]:
    found = [event for event in stub.events if event["type"] == kind]
    return sorted((e["list"], str(e.get("account", e.get("origin"))), e["entry"]) for e in found)


def test_hits_are_told_once_and_taken_back(
    tmp_path: Path, server: Homeserver, stub: StubService
) -> None:
    keeper, *people = (server.account(name) for name in ("keeper", "one", "two", "six", "ann"))
    one, two, six, ann = people
    rooms = [keeper.create(name="list").json()["room_id"] for _ in range(2)]
    root = server.admin()
    broad = ("*", "@*:hs.test", "@*", "@o*:*")
    entries = [
        (rooms[0], USER, "a", ban(one.id)),
        (rooms[0], "org.matrix.mjolnir.rule.user", "b", hashed(two.id, "hashes")),
        (rooms[1], USER, "c", hashed(six.id, "org.matrix.msc4205.hashes")),
        (rooms[1], USER, "d", ban(one.id, recommendation="org.example.watch")),
        (rooms[1], USER, "e", ban(ann.id, recommendation="org.matrix.mjolnir.allow")),
        (rooms[1], USER, "f", ban("@nobody:hs.test")),
        (rooms[1], USER, "g", ban(root.id)),
        (rooms[1], SERVER, "h", ban("hs.test")),
        (rooms[1], SERVER, "i", ban("*")),
        *[(rooms[1], USER, f"w{number}", ban(glob)) for number, glob in enumerate(broad)],
    ]
    for room, kind, name, content in entries:
        assert keeper.state(room, kind, content, name).status_code == 200
    settings = module(tmp_path, stub, rooms=dict(zip(("cme", "other"), rooms, strict=True)))
    restart(server, settings)
    act(one, two, six, ann)
    root.direct(ann.id)
    wanted = [
        ("cme", one.id, digest(one.id)), ("cme", two.id, digest(two.id)),
        ("other", one.id, digest(one.id)), ("other", six.id, digest(six.id)),
    ]  # fmt: skip
    stub.wait(lambda found: hits(found) == wanted)
    advices = {event["advice"] for event in stub.events if event.get("list") == "cme"}
    assert advices == {"refuse"}
    [watched] = [e for e in stub.events if e.get("list") == "other" and e["account"] == one.id]
    assert watched["advice"] == "observe"
    assert stub.keys[f"Bearer {LIST_KEY}"] == {"account.listed"}
    assert "account.listed" not in stub.keys["Bearer wb_1"]

    server.kill()
    server.start()
    time.sleep(4)
    assert hits(stub) == wanted

    keeper.state(rooms[0], USER, {}, "a")
    event = keeper.call("GET", f"/rooms/{rooms[1]}/state/{USER}/c?format=event").json()["event_id"]
    keeper.call("PUT", f"/rooms/{rooms[1]}/redact/{event}/t1", {})
    gone = [("cme", one.id, digest(one.id)), ("other", six.id, digest(six.id))]
    stub.wait(lambda found: hits(found, "account.unlisted") == gone, GONE_S)
    keeper.state(rooms[0], USER, ban(one.id), "a")
    stub.wait(lambda found: hits(found).count(gone[0]) == 2)
    assert CANARY.encode() not in b"".join(stub.wire)
    told = b"".join(stub.wire)
    assert b"@nobody:hs.test" not in told
    assert digest("@nobody:hs.test").encode() not in told


def test_first_act_of_a_listed_account_is_told_before_it_is_decided(
    tmp_path: Path, server: Homeserver, stub: StubService
) -> None:
    keeper, one, two = (server.account(name) for name in ("keeper", "one", "two"))
    room = keeper.create(name="list").json()["room_id"]
    keeper.state(room, USER, ban(one.id), "a")
    restart(server, module(tmp_path, stub, rooms={"cme": room}))
    one.create(two.id, is_direct=True)
    told = [b'"account.listed"' in each for each in stub.wire]
    asked = [each.startswith(b"POST /v1/decide") and b"@one:" in each for each in stub.wire]
    assert told.index(True) < asked.index(True)


def test_room_that_cannot_be_read_is_a_problem_and_takes_nothing_back(
    tmp_path: Path, server: Homeserver, stub: StubService
) -> None:
    keeper, one = server.account("keeper"), server.account("one")
    room = keeper.create(name="list").json()["room_id"]
    keeper.state(room, USER, ban(one.id), "a")
    root = server.admin()
    restart(server, module(tmp_path, stub, rooms={"cme": room}))
    act(one, keeper)
    stub.wait(lambda found: len(hits(found)) == 1)
    keeper.leave(room)
    assert problems(root) == [
        "nobody of this server is in the room of the list cme; fix: join it with an account"
    ]
    time.sleep(3)
    assert hits(stub, "account.unlisted") == []


def test_list_that_grows_whole_or_broad_tells_nothing_until_resumed(
    tmp_path: Path, server: Homeserver, stub: StubService
) -> None:
    keeper, one, two, six = (server.account(name) for name in ("keeper", "one", "two", "six"))
    room = keeper.create(name="list").json()["room_id"]
    keeper.state(room, USER, ban(one.id), "a")
    root = server.admin()
    restart(server, module(tmp_path, stub, rooms={"cme": room}))
    act(one, two, six)
    told = [("cme", one.id, digest(one.id))]
    stub.wait(lambda found: hits(found) == told)
    # Who keeps the list turns on everybody: by patterns first, then by names.
    for glob in ("*", "@*:*", "@*:hs.*", "@?*", "@t*:hs.test"):
        keeper.state(room, USER, ban(glob), glob)
    keeper.state(room, SERVER, ban("*s.test"), "server")
    for number in range(GROWTH):
        keeper.state(room, USER, ban(f"@somebody{number}:hs.test"), f"w{number}")
    keeper.state(room, USER, ban(two.id), "b")
    [problem] = problems(root)
    assert problem.startswith("the list cme grew from 1 to ")
    # A stop of Synapse, and who acts for the first time, change nothing.
    server.kill()
    server.start()
    new = server.account("somebody0")
    act(new, two, six)
    assert problems(root) == [problem]
    assert hits(stub) == told
    # What it told before is still taken back.
    keeper.state(room, USER, {}, "a")
    stub.wait(lambda found: hits(found, "account.unlisted") == told, GONE_S)
    # Its administrator looks at it, and takes it: those whom it names, and no pattern.
    config = str(server.home / "homeserver.yaml")
    assert run_command("resume-list", "cme", "--config", config).returncode == 0
    named = sorted(("cme", each.id, digest(each.id)) for each in (one, new, two))
    stub.wait(lambda found: hits(found) == named)
    time.sleep(3)
    assert hits(stub) == named


def problems(root: Account) -> list[str]:
    """Return what the module's health names, once it names something."""
    end = time.monotonic() + 20
    path = "/_synapse/client/wavebreak/health"
    while not (found := root.http.get(path).json()["problems"]):
        assert time.monotonic() < end
        time.sleep(0.2)
    return list(found)


def entries_of(reader: Account, room: str) -> dict[str, Any]:
    state = reader.call("GET", f"/rooms/{room}/state").json()
    return {e["state_key"]: e["content"] for e in state if e["type"] == USER}


def test_convictions_are_published_as_hashes_and_withdrawn(
    tmp_path: Path, server: Homeserver, stub: StubService
) -> None:
    bot, zed, reader = (server.account(name) for name in ("bot", "zed", "reader"))
    room = bot.create(reader.id, name="ours").json()["room_id"]
    reader.join(room)
    publish = {"room": room, "account": bot.id}
    restart(server, module(tmp_path, stub, rooms={"own": room}, publish=publish))
    stub.convicted = [
        {"account": each, "hash": digest(each), "since_ms": 1, "basis": "reactions"}
        for each in (zed.id, "@stranger:far.test")
    ]
    end = time.monotonic() + GONE_S
    while not (found := entries_of(reader, room)):
        assert time.monotonic() < end
        time.sleep(0.5)
    [content] = found.values()
    encoded = base64.b64encode(bytes.fromhex(digest(zed.id))).decode()
    assert content == {
        "hashes": {"sha256": encoded}, "org.matrix.msc4205.hashes": {"sha256": encoded},
        "recommendation": "m.ban", "reason": "",
    }  # fmt: skip
    assert "zed" not in json.dumps(found)
    # Our own word is no second opinion.
    act(zed, reader)
    time.sleep(3)
    assert hits(stub) == []

    stub.convicted = []
    end = time.monotonic() + GONE_S
    while entries_of(reader, room) != {key: {} for key in found}:
        assert time.monotonic() < end
        time.sleep(0.5)


def test_list_names_servers_and_globs_of_other_servers(tmp_path: Path, stub: StubService) -> None:
    ports = free_port(), free_port()
    names = [{"name": f"localhost:{port}", "tls_port": port} for port in ports]
    with (
        running(tmp_path / "with", None, **names[0]) as ours,
        running(tmp_path / "without", None, **names[1]) as theirs,
    ):
        keeper, ann = ours.account("keeper"), ours.account("ann")
        evil, good = theirs.account("evil1"), theirs.account("good")
        room = keeper.create(name="list").json()["room_id"]
        far = f"localhost:{ports[1]}"
        keeper.state(room, USER, ban(f"@evil*:{far}"), "a")
        keeper.state(room, SERVER, ban(far), "b")
        restart(ours, module(tmp_path, stub, rooms={"cme": room}))
        for each in (good, evil):
            assert each.create(ann.id, is_direct=True).status_code == 200
        wanted = [
            ("cme", evil.id, digest(f"@evil*:{far}")), ("cme", "localhost", digest(far)),
        ]  # fmt: skip
        stub.wait(lambda found: hits(found) == wanted)
