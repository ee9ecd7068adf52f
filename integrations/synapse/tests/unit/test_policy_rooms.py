from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from synapse_support.fakes import Setting, done
from wavebreak_synapse import tables
from wavebreak_synapse.config import PolicyRooms
from wavebreak_synapse.policy_rooms import Convicted, PolicyRoomWatch
from wavebreak_synapse.policy_rules import (
    Hit,
    RuleSet,
    listed_event,
    parse_rule,
    published_rule,
    sha256_of,
)
from wavebreak_synapse.publisher import Publisher
from wavebreak_synapse.release import resume_list

EVIL, ANN, ROOM = "@evil7:far.test", "@ann:hs.test", "!list:far.test"
USER, SERVER = "m.policy.rule.user", "m.policy.rule.server"
BAN = {"recommendation": "m.ban"}
DAY_MS = 86_400_000


def rules(*entries: tuple[str, dict[str, Any]], own: Sequence[str] = ()) -> RuleSet:
    found = [parse_rule(kind, content, 5) for kind, content in entries]
    return RuleSet("cme", filter(None, found), "hs.test", own)


def named(content: dict[str, Any], kind: str = USER, account: str = EVIL) -> list[str]:
    return [hit.name for hit in rules((kind, content)).hits(account)]


@pytest.mark.parametrize(
    "content",
    [
        {"entity": EVIL},
        {"entity": "@evil?:far.test"},
        {"entity": "@ev*:far.*"},
        {"hashes": {"sha256": base64.b64encode(bytes.fromhex(sha256_of(EVIL))).decode()}},
    ],
)
def test_account_is_named_by_id_glob_or_hash(content: dict[str, Any]) -> None:
    assert named(content | BAN) == [EVIL]
    assert named(content) == []
    assert named(content | BAN, account="@other:far.test") == []


@pytest.mark.parametrize("server", ["far.test", "FAR.test", "*.test:8448", "far.*"])
def test_server_is_named_by_name_or_glob(server: str) -> None:
    by_port = "@x:far.test:8448" if "8448" in server else "@x:Far.test"
    assert named({"entity": server} | BAN, SERVER, by_port) == ["far.test"]


@pytest.mark.parametrize(
    ("kind", "entity"),
    [
        (USER, "*"), (USER, "@*"), (USER, "@*:*"), (USER, "@evil*:*.test"), (USER, "*:hs.test"),
        (SERVER, "*"), (SERVER, "*.*"), (SERVER, "hs.test"), (SERVER, "hs.tes?"),
        (SERVER, "*a*a*a*a*a*a*a*a*a*"),
    ],
)  # fmt: skip
def test_broad_entry_is_not_taken(kind: str, entity: str) -> None:
    found = rules((kind, {"entity": entity} | BAN))
    assert found.refused == 1
    assert [*found.hits(EVIL), *found.hits(ANN)] == []


def test_own_entry_is_no_second_opinion() -> None:
    digest = sha256_of(EVIL)
    _, content = published_rule(digest)
    assert [hit.entry for hit in rules((USER, content)).hits(EVIL)] == [digest]
    assert [*rules((USER, content), (USER, {"entity": EVIL} | BAN), own=[digest]).hits(EVIL)] == []


def test_id_of_a_hit_is_as_the_contract_says() -> None:
    hit = Hit("cme", "ab", EVIL, "account", 5, "refuse")
    once = sha256_of(f"account.listed\ncme\nab\n{EVIL}\n5")[:40]
    again = sha256_of(f"account.listed\ncme\nab\n{EVIL}\n5:2026-11-30")[:40]
    assert listed_event(hit, 7) == {
        "id": f"list:{once}", "ts": 7, "type": "account.listed", "account": EVIL,
        "list": "cme", "entry": "ab", "advice": "refuse",
    }  # fmt: skip
    assert listed_event(hit, 7, "2026-11-30")["id"] == f"list:{again}"


class FakeLists:
    """The service's side of lists."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        self.answers = True
        self.problem = None
        self.answer: Convicted | None = None

    def tell(self, events: Sequence[dict[str, Any]], timeout_s: float = 1.0) -> bool:
        """Keep what is told, unless it is away."""
        if self.answers:
            self.told += events
        return self.answers

    def convicted(self, etag: str) -> Convicted | None:
        """Return what a test set."""
        return self.answer


class Watching(Setting):
    """A list in a room that somebody of this server is in."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 20 * DAY_MS
        object.__setattr__(self.settings, "lists", PolicyRooms("k", {"cme": ROOM}))
        self.lists = FakeLists()
        self.database.put("local_current_membership", room_id=ROOM, user_id=ANN, membership="join")
        self.restart()

    def restart(self) -> None:
        self.watch = PolicyRoomWatch(self.settings, self.host, self.lists)  # type: ignore[arg-type]

    def entry(self, order: int, content: dict[str, Any], *, beside: bool = False) -> None:
        name = f"$rule{order}"
        self.database.put(
            "events", event_id=name, stream_ordering=order, room_id=ROOM, origin_server_ts=5
        )
        body = json.dumps({"content": content})
        self.database.put("event_json", event_id=name, json=body)
        if not beside:
            self.database.connection.execute("DELETE FROM current_state_events")
        self.database.put("current_state_events", room_id=ROOM, type=USER, event_id=name)

    def run(self) -> list[tuple[str, str]]:
        """Return what is told of whom, two seconds later."""
        self.now += 2_000
        self.lists.told.clear()
        done(self.watch.report())
        return [(e["type"].partition(".")[2], e.get("account", "")) for e in self.lists.told]


def test_hit_is_told_once_a_day_and_after_a_failure() -> None:
    setting = Watching()
    setting.entry(1, {"entity": EVIL} | BAN)
    assert setting.run() == []
    tables.note_acted(setting.database.cursor(), EVIL, setting.now)
    setting.lists.answers = False
    assert setting.run() == []
    setting.lists.answers = True
    assert setting.run() == [("listed", EVIL)]
    assert setting.run() == []
    setting.restart()
    assert setting.run() == []
    setting.now += DAY_MS
    assert setting.run() == [("listed", EVIL)]
    setting.entry(2, {})
    setting.lists.answers = False
    assert setting.run() == []
    setting.lists.answers = True
    assert setting.run() == [("unlisted", EVIL)]
    assert setting.run() == []


def test_list_that_is_away_or_left_out_is_kept_or_taken_back() -> None:
    setting = Watching()
    setting.entry(1, {"entity": EVIL} | BAN)
    tables.note_acted(setting.database.cursor(), EVIL, setting.now)
    assert setting.run() == [("listed", EVIL)]
    setting.database.connection.execute("DELETE FROM local_current_membership")
    setting.restart()
    setting.now += DAY_MS
    assert setting.run() == []
    assert setting.watch.problems
    other = PolicyRooms("k", {"other": "!other:far.test"})
    object.__setattr__(setting.settings, "lists", other)
    setting.database.put(
        "local_current_membership", room_id="!other:far.test", user_id=ANN, membership="join"
    )
    setting.restart()
    assert setting.run() == [("unlisted", EVIL)]


def test_list_that_grows_much_in_a_day_is_paused_until_resumed() -> None:
    setting = Watching()
    cursor = setting.database.cursor()
    setting.entry(1, {"entity": EVIL} | BAN)
    tables.note_acted(cursor, EVIL, setting.now)
    tables.note_acted(cursor, "@new5:far.test", setting.now)
    assert setting.run() == [("listed", EVIL)]
    for order in range(2, 32):
        setting.entry(order, {"entity": f"@new{order}:far.test"} | BAN, beside=True)
    assert setting.run() == []
    done(setting.watch.tell_first("@new5:far.test"))
    assert setting.lists.told == []
    setting.now += DAY_MS
    assert setting.run() == [("listed", EVIL)]
    [problem] = setting.watch.problems
    assert problem.startswith("the list cme grew from 1 to 31 entries within a day")
    cursor.execute("DELETE FROM wavebreak_positions WHERE name = ?", (f"{tables.LIST_SIZE}cme",))
    setting.run()
    assert setting.run() == []
    assert setting.watch.problems == []
    assert tables.read_hits(cursor)[-1][2] == "@new5:far.test"


def test_only_known_accounts_are_published_and_failure_is_named() -> None:
    setting = Watching()
    sent: list[tuple[str, dict[str, Any]]] = []
    fails = [True]

    async def publish(state_key: str, content: dict[str, Any]) -> None:
        if fails:
            raise PermissionError
        sent.append((state_key, content))

    publisher = Publisher(setting.host, setting.lists, publish)  # type: ignore[arg-type]
    tables.note_acted(setting.database.cursor(), EVIL, 1)
    hashes = {each: sha256_of(each) for each in (ANN, EVIL, "@unseen:far.test")}
    setting.lists.answer = Convicted(hashes | {"acct_1": "00" * 32}, "e1")
    done(publisher.run())
    assert sent == []
    assert "fix: let lists.publish.account" in str(publisher.problem)
    fails.clear()
    done(publisher.run())
    assert sent == [published_rule(sha256_of(each)) for each in (ANN, EVIL)]
    assert publisher.problem is None
    setting.lists.answer = Convicted({ANN: hashes[ANN]}, "e2")
    sent.clear()
    done(publisher.run())
    assert sent == [(published_rule(sha256_of(EVIL))[0], {})]
    setting.lists.answer = None
    sent.clear()
    done(publisher.run())
    assert sent == []


def test_command_resumes_a_list_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "homeserver.db"
    connection = sqlite3.connect(path)
    tables.create_tables(connection.cursor())  # type: ignore[arg-type]
    tables.write_list_size(connection.cursor(), "cme", 5, "2026-11-30")  # type: ignore[arg-type]
    connection.commit()
    connection.close()
    config = {"database": {"name": "sqlite3", "args": {"database": str(path)}}}
    assert resume_list(config, "cme")
    assert not resume_list(config, "cme")
