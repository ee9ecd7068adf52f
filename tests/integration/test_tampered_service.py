"""Every way to tamper with a service's database that is known here is found, in plain words.

One service runs once; each tampering is done to a copy of what it left, by somebody who can write
the database and holds neither the deployment's key nor the ledger's.
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from support import service_harness
from support.service_harness import SIGNER, Running, abuser
from wavebreak.errors import EvidenceError
from wavebreak.ledger.verifier import read_checkpoint
from wavebreak.service import database
from wavebreak.service.database_audit import audit_service

BECAUSE = "because a test asks for it"
START = 1_767_222_000_000
FILE, OLDER = database.FILE, "older-checkpoint"


async def _work(made: Running, home: Path) -> None:
    """Decisions on four accounts, a webhook, a label, an override, an erasure."""
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
    await made.wait_until_applied()
    gone = await made.ask("DELETE", f"/v1/accounts/dan/personal?reason={BECAUSE}")
    assert gone.json()["openings"] > 1


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
            "INSERT INTO decision SELECT number + 1, 'f' || substr(id, 2), account, ts, stage, "
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
    assert len(tables.checked) == 3


@pytest.mark.parametrize(
    ("name", "change"), [(n, c) for _, n, c in TAMPERINGS], ids=[what for what, *_ in TAMPERINGS]
)
def test_verify_finds_tampering(home: Path, name: str, change: Change) -> None:
    with closing(sqlite3.connect(home / FILE)) as held, held:
        change(held)
    found = verify()
    assert name in [each for each, _ in found], found
