"""`wavebreak traps`: from a file to decisions after a restart, and no trap in any other file."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from typer.testing import CliRunner, Result

from support import service_harness
from support.service_harness import SECRET
from support.service_process import KEY, Server
from wavebreak.cli.app import app
from wavebreak.durations import DAY_MS
from wavebreak.errors import FileError, UsageError
from wavebreak.io import log_rows
from wavebreak.privacy import traps
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.schema.events import WIRE_SCHEMA
from wavebreak_server.slices.backup import service as backup
from wavebreak_server.slices.erasure import service as erasure
from wavebreak_server.slices.traps import service as trap_service
from wavebreak_server.storage import event_log

NAMES = ["trap-one", "trap-two", "trap-three", "trap-four"]
EDGE = Pseudonymizer(SECRET)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A directory whose database is bound and has its tables."""
    directory = tmp_path / "home"
    directory.mkdir()
    with service_harness.migrated("sqlite", directory):
        yield directory


def command(home: Path, *words: str, key: str = SECRET.hex()) -> Result:
    return CliRunner().invoke(app, ["traps", *words, "--json"], env={"WAVEBREAK_KEY": key})


def add(home: Path, entries: Iterable[str], *more: str, key: str = SECRET.hex()) -> Result:
    file = home.parent / "entries.txt"
    file.write_text("\n".join(entries) + "\n", "utf-8")
    return command(home, "add", str(home), str(file), "--reason", "a test", *more, key=key)


def value(done: Result) -> Any:
    assert done.exit_code == 0, (done.output, done.exception)
    return json.loads(done.stdout)


def written(account: str, *peers: str) -> list[dict[str, Any]]:
    now = service_harness.now_ms()
    sends = [
        {"id": f"{account}-{peer}", "ts": now, "type": "message.sent", "account": account}
        | {"peer": peer}
        for peer in peers
    ]
    registered = {"id": f"{account}-r", "ts": now, "type": "account.registered"}
    return [registered | {"account": account, "phone": "+972541234567"}, *sends]


def append(events: list[dict[str, Any]], edge: Pseudonymizer) -> None:
    """Append events to the log, as a service would."""
    batch = edge.apply(service_harness.wire(events, WIRE_SCHEMA))
    with connection.cursor() as cursor:
        blob = log_rows.encode_row(batch)
        event_log.append(cursor, event_log.log_end(), batch.num_rows, 1, blob)


def marking(home: Path) -> Pseudonymizer:
    """What a service marks events by that starts now."""
    return Pseudonymizer(SECRET, traps=traps.all_pseudonyms(traps.load(home / traps.FILE, SECRET)))


def decisions(server: Server) -> list[tuple[str, list[str]]]:
    rows = server.rows("SELECT body FROM decision ORDER BY number")
    bodies = [json.loads(bytes(body)) for (body,) in rows]
    return [(body["account"], body["rules"]) for body in bodies]


def test_traps_decide_after_a_restart_and_until_they_are_retired(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    server, sent = Server(home), 0

    def send(*events: dict[str, Any]) -> None:
        nonlocal sent
        assert server.post(json.dumps(events).encode()).status == 202
        sent += len(events)
        server.settled(sent)

    with server.started():
        send(*written("early", "ben"))
    added = value(add(home, [*NAMES, "# a comment", "trap-one  # again"], key=KEY))
    assert added == {"added": 4, "duplicates": 0, "total": 4}
    with server.started():
        assert "traps: 4" in server.said()
        send(*written("ann", "trap-one", "ben"))
        assert decisions(server) == []
        send(*written("ann", "trap-two")[1:])
        assert decisions(server) == [("ann", ["recipients_gone"])]
        # Somebody has got the third.
        send(*written("trap-three", "ann"))
    listed = value(command(home, "list", str(home), key=KEY))
    assert [(row["traps"], row["hit_traps"], row["senders"]) for row in listed] == [(4, 2, 1)]
    rotated = value(command(home, "rotate", str(home), "--reason", "monthly", key=KEY))
    assert rotated == {"in_use": 1, "burnt": 0, "old": 0, "total": 3, "wanted": 1}
    with server.started():
        send(*written("cat", "trap-one", "trap-three"))
        assert [account for account, _ in decisions(server)] == ["ann"]
    sealed = (home / traps.FILE).read_bytes()
    (home / traps.FILE).write_bytes(sealed[:-1] + bytes([sealed[-1] ^ 1]))
    server.start(wait=False)
    assert server.ended() == 2
    assert "was changed" in server.said()
    # Who was written to stands in the log, as everybody does; nothing names the fourth.
    (tmp_path / "entries.txt").unlink()
    pseudonym = Pseudonymizer(bytes.fromhex(KEY)).trap_pseudonym("trap-four")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {traps.FILE, "wavebreak.sqlite3", "home.out"}
    for path in files:
        content = path.read_bytes()
        assert b"trap-four" not in content, path
        assert path.name == traps.FILE or pseudonym.encode() not in content, path


def test_no_file_but_the_sealed_one_says_who_is_a_trap(home: Path) -> None:
    value(add(home, NAMES))
    append(written("ann", "ben"), marking(home))
    value(command(home, "list", str(home)))
    value(command(home, "rotate", str(home), "--reason", "monthly"))
    audit = [(row["action"], row["object"], row["reason"]) for row in service_harness.audited()]
    assert audit == [
        ("add_traps", "traps", "4 added, 4 now: a test"),
        ("rotate_traps", "traps", "no traps retired, 4 left: monthly"),
    ]
    (home.parent / "entries.txt").unlink()
    for path in home.parent.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        assert not any(name.encode() in content for name in NAMES), path


def test_forged_file_is_refused_by_every_command(home: Path) -> None:
    value(add(home, NAMES))
    path = home / traps.FILE
    traps.save(path, bytes(32), traps.load(path, SECRET))
    for done in (
        add(home, ["another"]),
        command(home, "list", str(home)),
        command(home, "rotate", str(home), "--reason", "monthly"),
    ):
        assert isinstance(done.exception, FileError), done.output
        assert "another key, or was changed" in done.exception.what


@pytest.mark.parametrize(
    ("entries", "more", "what"),
    [
        (["firm-7", "+972541234567"], (), "line 2 looks like a phone number"),
        (["97254123456x"], (), "line 1 looks like a phone number"),
        (["a b"], (), "line 1 holds blanks"),
        (["x" * 256], (), "longer than 255"),
        (["4913-4912"], (), "line 1: a range has"),
        (["# nothing"], (), "no entries"),
        (["9725412xxxxx", "97254200000"], ("--allow-identifiers",), "at most 100,000 traps"),
        (["ann", "trap-one"], (), "1 entry of 2 did something within 180 days"),
    ],
)
def test_entries_that_are_no_traps_are_refused_unnamed(
    home: Path, entries: list[str], more: tuple[str, ...], what: str
) -> None:
    append(written("ann", "ben"), EDGE)
    done = add(home, entries, *more)
    assert isinstance(done.exception, UsageError), done.output
    assert what in done.exception.what
    assert done.exception.fix
    assert not any(entry in str(done.exception) for entry in entries)
    assert not (home / traps.FILE).exists()
    assert service_harness.audited() == []


def test_total_is_bounded_over_several_additions(home: Path) -> None:
    whole = value(add(home, ["9725412xxxxx"], "--allow-identifiers"))
    assert whole == {"added": 100_000, "duplicates": 0, "total": 100_000}
    assert isinstance(add(home, ["one-more"]).exception, UsageError)
    again = value(add(home, ["+972541212345"], "--allow-identifiers"))
    assert again == {"added": 0, "duplicates": 1, "total": 100_000}


def test_burnt_and_old_traps_are_retired(home: Path) -> None:
    now = time.time_ns() // 1_000_000
    sets = [
        traps.TrapSet(now - 366 * DAY_MS, (EDGE.trap_pseudonym("trap-old"),)),
        traps.TrapSet(now, tuple(EDGE.trap_pseudonym(name) for name in NAMES)),
    ]
    traps.save(home / traps.FILE, SECRET, sets)
    edge = marking(home)
    for n in range(trap_service.MAX_SENDERS):
        peers = ["trap-one", "trap-two"] if n else ["trap-one"]
        append(written(f"sender{n}", *peers), edge)
    rotated = value(command(home, "rotate", str(home), "--reason", "monthly"))
    assert rotated == {"in_use": 0, "burnt": 1, "old": 1, "total": 3, "wanted": 2}
    left = traps.all_pseudonyms(traps.load(home / traps.FILE, SECRET))
    assert left == {EDGE.trap_pseudonym(name) for name in NAMES[1:]}


def test_erasure_of_a_sender_leaves_its_number_in_no_file(home: Path) -> None:
    value(add(home, NAMES))
    append(written("ann", *NAMES), marking(home))
    number = Pseudonymizer(SECRET).apply(service_harness.wire(written("ann"), WIRE_SCHEMA))
    (pseudonym,) = number.column("number").to_pylist()
    sealed = (home / traps.FILE).read_bytes()
    erasure.erase(erasure.begin(home, "ann", service_harness.now_ms()), service_harness.now_ms())
    erasure.finish()
    assert all(event["number"] is None for event in service_harness.logged())
    # The file of traps holds nothing of who writes to them.
    assert (home / traps.FILE).read_bytes() == sealed
    assert pseudonym.encode() not in sealed
    use = trap_service.read_use(
        EDGE, traps.all_pseudonyms(traps.load(home / traps.FILE, SECRET)), service_harness.now_ms()
    )
    assert sorted(map(sorted, use.senders.values())) == [["ann"]] * 4


def test_backup_restores_the_traps(home: Path, tmp_path: Path) -> None:
    value(add(home, NAMES))
    saved = backup.save(home, tmp_path / "saved.wavebreak", SECRET)
    assert saved.left_out == []
    other = tmp_path / "other"
    other.mkdir()
    with service_harness.migrated("sqlite", other):
        backup.restore(tmp_path / "saved.wavebreak", other, SECRET, service_harness.now_ms())
    assert (other / traps.FILE).read_bytes() == (home / traps.FILE).read_bytes()
    assert (other / traps.FILE).stat().st_mode & 0o777 == 0o600
    shutil.rmtree(other)
