"""Every way to tamper with a service's database that is known here is found, in plain words.

One service runs once; each tampering is done to a copy of what it left, by somebody who can write
the database and holds neither the deployment's key nor the ledger's.
"""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from django.db import connection

from support import service_harness
from support.banning_policy import load_banning_policy
from support.service_harness import SIGNER, Running, abuser
from wavebreak.engine import Engine, snapshot
from wavebreak.errors import EvidenceError, SnapshotError
from wavebreak.io import log_rows
from wavebreak.ledger.verifier import read_checkpoint
from wavebreak_server.http.app_context import closing_connection
from wavebreak_server.storage import database, row_macs, state_changes
from wavebreak_server.storage.database_audit import audit_service
from wavebreak_server.storage.models import AuditEntry, Decision

BECAUSE = "because a test asks for it"
START = 1_767_222_000_000
FILE, OLDER = database.FILE, "older-checkpoint"


async def _work(made: Running, home: Path) -> None:
    """Decisions, a webhook, a label, overrides, an erasure, challenges shown otherwise."""
    hook = {"url": "http://127.0.0.1:9/hook", "reason": BECAUSE}
    assert (await made.ask("POST", "/v1/webhooks", json=hook)).status_code == 201
    for n, account in enumerate(("ann", "ben", "cem", "dan")):
        await made.send(abuser(account=account, ts=START + n * 60_000))
        if account == "ben":
            note = await made.ask("GET", "/v1/ledger/checkpoint")
            (home / OLDER).write_bytes(note.content)
    verdict = {"verdict": "benign", "reason": BECAUSE, "by": "appeal"}
    answer = await made.ask("POST", "/v1/accounts/ann/override", json=verdict)
    assert answer.json()["outcome"] == "allow", answer.text
    labels = [{"account": "ben", "label": "abusive", "source": "partner"}]
    sent = await made.ask("POST", "/v1/labels", json={"labels": labels, "reason": BECAUSE})
    assert sent.status_code == 202, sent.text
    for account in ("hal", "ida", "jon"):
        asked = {"verdict": "undetermined", "outcome": "challenge", "reason": BECAUSE}
        answer = await made.ask("POST", f"/v1/accounts/{account}/override", json=asked)
        assert answer.json()["outcome"] == "challenge", answer.text
    await made.wait_until_applied()
    await asyncio.to_thread(closing_connection(state_changes.show_challenges_anew))
    await asyncio.to_thread(closing_connection(made.service.ledger_store.seal_states))
    await asyncio.to_thread(_keep_rows, home)
    gone = await made.ask("DELETE", f"/v1/accounts/dan/personal?reason={BECAUSE}")
    assert gone.json()["openings"] > 1
    prefix = made.keys["ingest"].split("_")[1]
    revoked = await made.ask("DELETE", f"/v1/keys/{prefix}?reason={BECAUSE}")
    assert revoked.status_code == 204


def _keep_rows(home: Path) -> None:
    """Keep, as an attacker may, rows that change later: a key, and dan's row of the log."""
    with closing(sqlite3.connect(home / FILE)) as held, held:
        held.execute("CREATE TABLE former AS SELECT * FROM api_key WHERE scopes = 'ingest'")
        held.execute(
            "CREATE TABLE erased AS SELECT * FROM log_batch ORDER BY first LIMIT 1 OFFSET 3"
        )


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a service that has stopped in order."""
    home = tmp_path_factory.mktemp("left")

    async def run() -> None:
        async with service_harness.running(home) as made:
            await _work(made, home)

    with service_harness.migrated("sqlite", home):
        asyncio.run(run())
    return home


@pytest.fixture
def home(left: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy of it, whose database is bound."""
    copy = tmp_path / "home"
    shutil.copytree(left, copy)
    database.connect("", copy, reading=True)
    yield copy
    connection.close()


def verify() -> list[tuple[str, str]]:
    """What `ledger verify` finds in the bound database, by name."""
    try:
        return [(one.name, one.what) for one in audit_service([SIGNER.key], [])[1].findings]
    except EvidenceError as error:
        return [(error.name, error.what)]
    finally:
        connection.close()


Change = Callable[[sqlite3.Connection], Any]


def sql(*statements: str) -> Change:
    """Run statements."""

    def change(held: sqlite3.Connection) -> None:
        for statement in statements:
            assert held.execute(statement).rowcount != 0, statement

    return change


def in_body(number: int, old: bytes, new: bytes) -> Change:
    """Change a decision's JSON."""

    def change(held: sqlite3.Connection) -> None:
        (body,) = held.execute("SELECT body FROM decision WHERE number = ?", (number,)).fetchone()
        assert old in body
        held.execute(
            "UPDATE decision SET body = ? WHERE number = ?", (body.replace(old, new), number)
        )

    return change


def both(*changes: Change) -> Change:
    """Make several changes."""

    def change(held: sqlite3.Connection) -> None:
        for each in changes:
            each(held)

    return change


def cut_ledger(held: sqlite3.Connection) -> None:
    """Cut the ledger to a checkpoint that was shown earlier, as if it had ended there."""
    (path,) = [row[2] for row in held.execute("PRAGMA database_list")]
    note = Path(path).with_name(OLDER).read_bytes()
    size = read_checkpoint(note).size
    held.execute("UPDATE ledger_head SET size = ?, note = ?, receipted = ?", (size, note, size))
    held.execute("DELETE FROM ledger_entry WHERE position >= ?", (size,))
    held.execute("DELETE FROM ledger_opening WHERE position >= ?", (size,))
    held.execute("UPDATE ledger_checkpoint SET size = ?, note = ?", (size, note))


def in_blob(row: int) -> Change:
    """Change an event in a row of the log, with its SHA-256 made afresh."""

    def change(held: sqlite3.Connection) -> None:
        first, blob = held.execute(
            "SELECT first, blob FROM log_batch ORDER BY first LIMIT 1 OFFSET ?", (row,)
        ).fetchone()
        events = log_rows.decode_row(blob)
        at = events.schema.get_field_index("account")
        other = pa.array(["eve"] * events.num_rows, events.schema.field(at).type)
        made = bytes(log_rows.encode_row(events.set_column(at, events.schema.field(at), other)))
        held.execute(
            "UPDATE log_batch SET blob = ?, sha256 = ? WHERE first = ?",
            (made, log_rows.row_digest(made), first),
        )

    return change


def forged_key(held: sqlite3.Connection) -> None:
    """Put an API key with every scope into the table."""
    digest = hashlib.sha256(FORGED.encode()).digest()
    held.execute(
        "INSERT INTO api_key "
        "(prefix, digest, name, scopes, rate, burst, created_ms, owner, source, identifiers) "
        "VALUES ('0badc0de', ?, 'mine', 'ingest decide read override admin', 1, 1, 1, '', '', 0)",
        (digest,),
    )


FORGED = "wb_0badc0de_" + "00" * 32
APPENDED = (
    "INSERT INTO log_batch SELECT first + count, count, received_ms, sha256, blob FROM log_batch "
    "ORDER BY first DESC LIMIT 1"
)
LAST = "(SELECT MAX(first) FROM log_batch)"
BAN = "(SELECT MIN(number) FROM decision WHERE outcome = 'ban')"
TAMPERINGS: list[tuple[str, str, Change]] = [
    (
        "a ban is an allow in the column",
        "decision_changed",
        sql(f"UPDATE decision SET outcome = 'allow' WHERE number = {BAN}"),
    ),
    (
        "a decision's JSON says another outcome",
        "decision_changed",
        in_body(1, b'"outcome":"', b'"outcome":"allow","x":"'),
    ),
    (
        "a decision is about another account",
        "decision_changed",
        both(
            in_body(2, b'"account":"ann"', b'"account":"eve"'),
            sql("UPDATE decision SET account = 'eve' WHERE number = 2"),
        ),
    ),
    (
        "a decision is gone",
        "decision_missing",
        sql("DELETE FROM decision WHERE number = 2"),
    ),
    (
        "a decision is added",
        "decision_unsealed",
        sql(
            "INSERT INTO decision (number, id, account, ts, stage, outcome, until, reached, body) "
            "SELECT number + 1, CASE WHEN id LIKE 'f%' THEN 'e' ELSE 'f' END || substr(id, 2), "
            "account, ts, stage, "
            "outcome, until, reached, body FROM decision ORDER BY number DESC LIMIT 1",
            "UPDATE log_applied SET decisions = decisions + 1",
        ),
    ),
    (
        "the last decision is gone, and the count of them is less by one",
        "decision_missing",
        sql(
            "DELETE FROM decision WHERE number = (SELECT MAX(number) FROM decision)",
            "UPDATE log_applied SET decisions = decisions - 1",
        ),
    ),
    (
        "a banned account's state is allow",
        "state_wrong",
        sql("UPDATE standing SET outcome = 'allow' WHERE account = 'cem'"),
    ),
    ("a state is gone", "state_wrong", sql("DELETE FROM standing WHERE account = 'cem'")),
    (
        "a state is added",
        "state_wrong",
        sql("INSERT INTO standing VALUES ('eve', 'ban', NULL, 1, 1)"),
    ),
    (
        "a state is that of an earlier decision",
        "state_wrong",
        sql(
            "UPDATE standing SET (decision, outcome, until, ts) = (SELECT number, outcome, until, "
            "ts FROM decision WHERE account = 'ann' ORDER BY number LIMIT 1) WHERE account = 'ann'"
        ),
    ),
    (
        "an opening says another account",
        "opening_wrong",
        sql("UPDATE ledger_opening SET account = 'eve' WHERE account = 'cem'"),
    ),
    (
        "openings are gone",
        "openings_missing",
        sql("DELETE FROM ledger_opening WHERE account = 'cem'"),
    ),
    ("the applied position is ahead", "log_cut", sql("UPDATE log_applied SET position = 9999")),
    (
        "the end of the log is cut off",
        "log_cut",
        sql("DELETE FROM log_batch WHERE first = (SELECT MAX(first) FROM log_batch)"),
    ),
    ("the ledger ends earlier than the decisions", "decision_unsealed", cut_ledger),
    ("a row of the log is changed, digest and all", "log_changed", in_blob(1)),
    ("the first row of the log is changed", "log_changed", in_blob(0)),
    ("a row is appended to the log", "log_changed", sql(APPENDED)),
    (
        "a row is appended with the proof of another",
        "log_changed",
        sql(
            APPENDED,
            f"INSERT INTO log_proof SELECT {LAST}, salt, leaf, chain, mac, 1 FROM log_proof "
            "ORDER BY first DESC LIMIT 1",
        ),
    ),
    (
        "a row of the log is gone",
        "log_missing",
        sql(
            "DELETE FROM log_batch WHERE first = (SELECT first FROM log_batch ORDER BY first "
            "LIMIT 1 OFFSET 1)"
        ),
    ),
    (
        "two rows of the log changed places",
        "log_changed",
        sql(
            "UPDATE log_batch SET (sha256, blob) = (SELECT sha256, blob FROM log_batch b WHERE "
            "b.first <> log_batch.first AND b.count = log_batch.count ORDER BY first LIMIT 1) "
            "WHERE count = 121 AND first < 300"
        ),
    ),
    (
        "the time of receipt of a row is changed",
        "log_changed",
        sql("UPDATE log_batch SET received_ms = received_ms - 1 WHERE first = 0"),
    ),
    (
        "the beginning of the log is cut off as if it had been trimmed",
        "log_start",
        sql(
            "INSERT INTO log_start SELECT 1, b.first + b.count, p.chain, p.mac FROM log_batch b "
            "JOIN log_proof p ON p.first = b.first WHERE b.first = 0",
            "DELETE FROM log_batch WHERE first = 0",
            "DELETE FROM log_proof WHERE first = 0",
        ),
    ),
    (
        "a change of a state lifts",
        "state_change_wrong",
        sql("UPDATE state_change SET lifted = 1 WHERE number = 2"),
    ),
    (
        "a change of a state names another account",
        "state_change_wrong",
        sql("UPDATE state_change SET account = 'ida' WHERE number = 1"),
    ),
    (
        "a change of a state is gone",
        "state_change_missing",
        sql("DELETE FROM state_change WHERE number = 2"),
    ),
    (
        "the newest change of a state is gone",
        "state_change_missing",
        sql("DELETE FROM state_change WHERE number = 3"),
    ),
    (
        "a lift is added",
        "state_change_added",
        sql(
            "INSERT INTO state_change (number, account, after, decision, lifted, sent, sealed) "
            "VALUES (4, 'cem', 9, 9, 1, 0, 0)"
        ),
    ),
    (
        "a change of a state is there again under another number",
        "state_change_added",
        sql(
            "INSERT INTO state_change (number, account, after, decision, lifted, sent, sealed, mac)"
            " SELECT 4, account, after, decision, lifted, 0, 1, mac FROM state_change "
            "WHERE number = 3"
        ),
    ),
    ("an audit entry is gone", "audit_missing", sql("DELETE FROM change WHERE number = 3")),
    ("the audit log is empty", "audit_missing", sql("DELETE FROM change")),
    (
        "an audit entry names another key",
        "audit_changed",
        sql("UPDATE change SET key = 'somebody' WHERE action = 'override'"),
    ),
    (
        "an audit entry is added",
        "audit_unsealed",
        sql(
            "INSERT INTO change (at_ms, key, action, object, reason, outcome, sealed) VALUES "
            "(1, 'k', 'override', 'ann', 'it was not me', 'done', 1)"
        ),
    ),
    ("an API key is added", "row_changed", forged_key),
    (
        "an API key gets another scope",
        "row_changed",
        sql("UPDATE api_key SET scopes = 'admin' WHERE scopes = 'read'"),
    ),
    (
        "an API key is gone",
        "row_missing",
        sql("DELETE FROM api_key WHERE scopes = 'read'"),
    ),
    (
        "a revoked API key is as it was before",
        "row_changed",
        sql(
            "UPDATE api_key SET ends_ms = NULL, mac = (SELECT mac FROM former) "
            "WHERE prefix = (SELECT prefix FROM former)"
        ),
    ),
    (
        "a webhook is added",
        "row_changed",
        sql(
            "INSERT INTO hook (id, url, least, created_ms, cursor, generation, former_ends_ms, "
            "mac, failing_since_ms, disabled_ms, own_key_from, kinds) SELECT 'hook_mine', "
            "'http://e.example/', least, created_ms, cursor, generation, former_ends_ms, mac, "
            "0, 0, 0, kinds FROM hook"
        ),
    ),
    (
        "a webhook goes to another address",
        "row_changed",
        sql("UPDATE hook SET url = 'http://e.example/'"),
    ),
    (
        "an erased row of the log is back, as it was",
        "log_changed",
        sql(
            "UPDATE log_batch SET (sha256, blob) = (SELECT sha256, blob FROM erased) "
            "WHERE first = (SELECT first FROM erased)"
        ),
    ),
    (
        "an entry of the ledger is gone",
        "entry_dropped",
        sql("DELETE FROM ledger_entry WHERE position = 3"),
    ),
]


def test_untouched_service_verifies(home: Path) -> None:
    audit, tables = audit_service([SIGNER.key], [])
    assert home.exists()
    assert tables.findings == []
    assert audit.last.size > 20
    assert tables.unchecked == []
    assert len(tables.checked) == 7


@pytest.mark.parametrize(
    ("name", "change"), [(n, c) for _, n, c in TAMPERINGS], ids=[what for what, *_ in TAMPERINGS]
)
def test_verify_finds_tampering(home: Path, name: str, change: Change) -> None:
    with closing(sqlite3.connect(home / FILE)) as held, held:
        change(held)
    found = verify()
    assert name in [each for each, _ in found], found


def start(home: Path, key: str = "") -> list[int]:
    """Start the service on what is there; statuses of three requests with a key."""

    async def run() -> list[int]:
        async with service_harness.running(home) as made:
            paths = ("/v1/decisions", "/v1/accounts/ann", "/v1/audit")
            return [(await made.ask("GET", path, key or None)).status_code for path in paths]

    database.connect("", home)
    try:
        return asyncio.run(run())
    finally:
        connection.close()


REFUSED = [
    "a banned account's state is allow",
    "a ban is an allow in the column",
    "a decision is gone",
    "a decision is added",
    "the end of the log is cut off",
    "the ledger ends earlier than the decisions",
    "a row is appended to the log",
    "an audit entry is gone",
    "an API key is added",
    "a webhook goes to another address",
]


@pytest.mark.parametrize("what", REFUSED)
def test_start_is_refused_after_tampering(home: Path, what: str) -> None:
    (change,) = [how for name, _, how in TAMPERINGS if name == what]
    with closing(sqlite3.connect(home / FILE)) as held, held:
        change(held)
    with pytest.raises(AssertionError, match=r"database was changed|positions .* are changed"):
        start(home)


def test_untouched_service_starts_again(home: Path) -> None:
    assert start(home) == [200, 200, 200]
    assert verify() == []


def test_decision_that_the_log_does_not_yield_is_named(tmp_path: Path) -> None:
    """Who holds the deployment's key can change a decision: a replay of the log shows it."""

    async def run() -> None:
        async with service_harness.running(tmp_path) as made:
            await made.send(abuser())

    with service_harness.migrated("sqlite", tmp_path):
        asyncio.run(run())
        for path in tmp_path.glob("state-*.snapshot"):
            path.unlink()
        row = Decision.objects.order_by("number")[0]
        row.body = bytes(row.body).replace(b'"ann"', b'"bob"')
        row.save()
        connection.close()
        with pytest.raises(AssertionError, match="differs from the one that the log yields"):
            start(tmp_path)


def test_first_start_under_another_key_than_the_commands_before_it_is_refused(
    tmp_path: Path,
) -> None:
    with service_harness.migrated("sqlite", tmp_path):
        row_macs.bind(bytes(range(1, 33)))
        entry = AuditEntry.objects.create(
            at_ms=1, key="command line", action="add_user", object="dana", reason="", outcome="done"
        )
        row_macs.bind(service_harness.SECRET)
        with pytest.raises(AssertionError, match="audit entry 1 was written under another"):
            start(tmp_path)
        entry.authenticate()
        entry.save()
        assert start(tmp_path) == [200, 200, 200]


@pytest.mark.parametrize(
    ("key", "name", "why"),
    [
        (lambda: None, "", "not authenticated"),
        (lambda: bytes(32), "", "another deployment's key"),
        (lambda: row_macs.bound_key("snapshot"), "other", "another name"),
    ],
)
def test_forged_snapshot_is_passed_over(
    home: Path, key: Callable[[], bytes | None], name: str, why: str
) -> None:
    path = max(home.glob("state-*.snapshot"))
    written = path.with_name(name or path.name)
    snapshot.save(make_engine(), written, key())
    written.replace(path)
    with pytest.raises(SnapshotError, match=why):
        snapshot.restore(make_engine(), path, row_macs.bound_key("snapshot"))
    assert start(home) == [200, 200, 200]


def make_engine() -> Engine:
    """An engine as the service of these tests has it."""
    return Engine(load_banning_policy(), accounts=1024)
