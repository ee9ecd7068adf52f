from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from wavebreak.errors import FileError, UsageError
from wavebreak.io.table_readers import SERVERS, is_database, query_of, server_of
from wavebreak.io.tables import Table

SYNAPSE = """
CREATE TABLE events (event_id TEXT, type TEXT, room_id TEXT, content TEXT, sender TEXT,
  received_ts BIGINT);
CREATE TABLE room_memberships (event_id TEXT, user_id TEXT, sender TEXT, room_id TEXT,
  membership TEXT);
CREATE TABLE users (name TEXT, creation_ts BIGINT, is_guest SMALLINT DEFAULT 0);
CREATE TABLE event_reports (id BIGINT, received_ts BIGINT, room_id TEXT, event_id TEXT,
  user_id TEXT, reason TEXT);
"""
USER_REPORTS = (
    "CREATE TABLE user_reports (id BIGINT, received_ts BIGINT, target_user_id TEXT, user_id TEXT, "
    "reason TEXT);"
)
PROSODY = """
CREATE TABLE prosodyarchive (sort_id INTEGER PRIMARY KEY, "host" TEXT, "user" TEXT, "store" TEXT,
  "key" TEXT, "when" INTEGER, "with" TEXT, "type" TEXT, "value" TEXT);
"""
AT = 1_790_000_000_000


def database(path: Path, script: str, rows: dict[str, list[tuple[Any, ...]]]) -> Path:
    with closing(sqlite3.connect(path)) as made, made:
        made.executescript(script)
        for table, values in rows.items():
            marks = ", ".join("?" * len(values[0]))
            made.executemany(f"INSERT INTO {table} VALUES ({marks})", values)
    return path


def events(table: Table | Path) -> list[dict[str, Any]]:
    table = table if isinstance(table, Table) else Table(table)
    return [
        {name: value for name, value in row.items() if value is not None and name != "id"}
        for batch, _ in table.wire_batches()
        for row in batch.to_pylist()
    ]


def synapse(directory: Path, *, reports: bool = True) -> Path:
    rows: dict[str, list[tuple[Any, ...]]] = {
        "users": [("@ann:here", AT // 1000, 0), ("@bob:here", AT // 1000, 0)],
        "events": [
            ("$1", "m.room.member", "!dm", "", "@ann:here", AT + 1000),
            ("$2", "m.room.member", "!dm", "", "@bob:here", AT + 2000),
            ("$3", "m.room.encrypted", "!dm", "secret", "@ann:here", AT + 3000),
            ("$9", "m.room.encrypted", "!dm", "secret", "@bob:here", AT + 3500),
            ("$4", "m.room.member", "!group", "", "@ann:here", AT + 4000),
            ("$5", "m.room.member", "!group", "", "@ann:here", AT + 4001),
            ("$6", "m.room.member", "!group", "", "@eve:far", AT + 4002),
            ("$7", "m.room.message", "!group", "secret", "@eve:far", AT + 5000),
            ("$8", "m.reaction", "!group", "secret", "@ann:here", AT + 5500),
        ],
        "room_memberships": [
            ("$1", "@bob:here", "@ann:here", "!dm", "invite"),
            ("$2", "@bob:here", "@bob:here", "!dm", "join"),
            ("$0", "@ann:here", "@ann:here", "!dm", "join"),
            ("$4", "@bob:here", "@ann:here", "!group", "invite"),
            ("$5", "@ann:here", "@ann:here", "!group", "join"),
            ("$6", "@eve:far", "@eve:far", "!group", "join"),
        ],
        "event_reports": [(1, AT + 6000, "!group", "$7", "@bob:here", "secret")],
    }  # fmt: skip
    if reports:
        rows["user_reports"] = [(1, AT + 7000, "@eve:far", "@ann:here", "secret")]
    script = SYNAPSE + (USER_REPORTS if reports else "")
    return database(directory / "homeserver.db", script, rows)


def test_synapse_tells_chats_groups_invitations_and_reports(tmp_path: Path) -> None:
    path = synapse(tmp_path)
    assert is_database(path)
    assert server_of(path) == "synapse"
    found = [
        (e["type"], e["account"], e.get("peer"), e.get("group"), e.get("origin"))
        for e in events(path)
    ]
    ann, bob, eve = "@ann:here", "@bob:here", "@eve:far"
    assert found[:2] == [
        ("account.registered", ann, None, None, None),
        ("account.registered", bob, None, None, None),
    ]
    assert found[2:] == [
        ("contact.requested", ann, bob, None, None),
        ("contact.accepted", bob, ann, None, None),
        ("message.sent", ann, bob, None, None),
        ("message.sent", bob, ann, None, None),
        ("group.member_added", ann, bob, "!group", None),
        ("group.joined", ann, None, "!group", None),
        ("group.joined", eve, None, "!group", "far"),
        ("message.sent", eve, None, "!group", "far"),
        ("user.reported", bob, eve, None, None),
        ("user.reported", ann, eve, None, None),
    ]
    assert [e["ts"] - AT for e in events(path)][2:7] == [1000, 2000, 3000, 3500, 4000]


def test_synapse_before_user_reports_is_read_without_them(tmp_path: Path) -> None:
    kinds = [event["type"] for event in events(synapse(tmp_path, reports=False))]
    assert kinds.count("user.reported") == 1


def test_no_query_selects_content() -> None:
    for server in SERVERS:
        text = query_of(server).partition("\nWITH")[2]
        for word in ("content", "reason", "body", "display_name", "event_json"):
            assert word not in text


def stanza(sender: str, to: str, body: str) -> str:
    return f"<message from='{sender}' type='chat' to='{to}'><body>{body}</body></message>"


def test_prosody_tells_which_way_a_message_went_by_its_tag(tmp_path: Path) -> None:
    ann, bob, eve = "ann@here", "bob@here", "eve@far"

    def row(
        number: int, user: str, other: str, tag: str, store: str = "archive"
    ) -> tuple[Any, ...]:
        return number, "here", user, store, f"k{number}", AT // 1000 + number, other, "xml", tag

    # What a body says of a sender is escaped, and stands behind the tag.
    trick = " from=&apos;ann@here/x&apos;"
    path = database(
        tmp_path / "prosody.sqlite",
        PROSODY,
        {
            "prosodyarchive": [
                row(1, "ann", bob, stanza(f"{ann}/phone", bob, "secret")),
                row(2, "bob", ann, stanza(f"{ann}/phone", bob, "secret")),
                row(3, "ann", eve, stanza(f"{eve}/x", ann, trick)),
                row(4, "ann", bob, stanza(f"{ann}/phone", bob, "secret"), "offline"),
            ]
        },
    )
    found = [(e["account"], e["peer"], e.get("origin")) for e in events(path)]
    assert found == [(ann, bob, None), (eve, ann, "far")]


EJABBERD = """
CREATE TABLE archive (username TEXT, timestamp BIGINT, peer TEXT, bare_peer TEXT, xml TEXT,
  txt TEXT, id INTEGER PRIMARY KEY, kind TEXT, nick TEXT);
CREATE TABLE archive_prefs (username TEXT, def TEXT);
"""


def tag(sender: str, to: str, kind: str = "chat") -> str:
    """A stanza as ejabberd writes it: the receiver first."""
    body = "secret from=&apos;ann@here&apos;"
    return f"<message to='{to}' from='{sender}' type='{kind}'><body>{body}</body></message>"


@pytest.mark.parametrize("newer", [False, True])
def test_ejabberd_tells_which_way_a_message_went_and_whose_room(
    tmp_path: Path, newer: bool
) -> None:
    ann, bob, eve, room = "ann@here", "bob@here", "eve@far", "tea@rooms.here"
    copies = [
        ("ann", f"{bob}/phone", bob, tag(f"{ann}/desk", bob), "chat"),
        ("bob", f"{ann}/desk", ann, tag(f"{ann}/desk", bob), "chat"),
        # Whose name ends like another's is somebody else.
        ("nn", f"{eve}/x", eve, tag(f"{eve}/x", "nn@here/desk"), "chat"),
        (room, ann, ann, tag(f"{ann}/desk", room, "groupchat"), "groupchat"),
        (room, f"{eve}/x", eve, tag(f"{eve}/x", room, "groupchat"), "groupchat"),
        ("ann", "here", "here", "<message from='here'><body>secret</body></message>", "chat"),
    ]  # fmt: skip
    rows: list[tuple[Any, ...]] = [
        (user, (AT + 1000 * n) * 1000, peer, bare, xml, "secret", n, kind, None)
        for n, (user, peer, bare, xml, kind) in enumerate(copies)
    ]
    script = EJABBERD
    if newer:
        script = script.replace("(username TEXT, ", "(username TEXT, server_host TEXT, ")
        rows = [(row[0], "here", *row[1:]) for row in rows]
    path = database(tmp_path / "ejabberd.db", script, {"archive": rows})
    assert server_of(path) == "ejabberd"
    found = [(e["account"], e.get("peer"), e.get("group"), e.get("origin")) for e in events(path)]
    assert found == [
        (ann, bob, None, None),
        (eve, "nn@here", None, "far"),
        (ann, None, room, None),
        (eve, None, room, "far"),
    ]
    assert [e["ts"] - AT for e in events(path)] == [0, 2000, 3000, 4000]


def test_a_database_of_no_known_server_names_the_way_out(tmp_path: Path) -> None:
    path = database(tmp_path / "shop.db", "CREATE TABLE orders (id TEXT);", {})
    with pytest.raises(UsageError) as error:
        events(path)
    assert "ts,type,account,peer,group" in error.value.fix


def test_a_damaged_database_is_an_error_with_a_fix(tmp_path: Path) -> None:
    path = tmp_path / "homeserver.db"
    path.write_bytes(b"SQLite format 3\x00" + b"\xff" * 5000)
    with pytest.raises(FileError) as error:
        events(path)
    assert ".backup" in error.value.fix


def test_a_bad_row_is_counted_and_not_fatal(tmp_path: Path) -> None:
    path = synapse(tmp_path)
    with closing(sqlite3.connect(path)) as made, made:
        made.execute("INSERT INTO events VALUES ('$10', 'm.room.message', '!dm', '', '', ?)", (AT,))
    table = Table(path)
    assert len(events(table)) == 12
    assert table.load().causes.total() == 1
