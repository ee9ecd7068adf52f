"""`wavebreak log trim`: old rows go, a start goes on from the snapshot, and the trim is sealed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from django.db import connection, transaction
from typer.testing import CliRunner

from support import service_harness
from support.service_harness import SECRET, SIGNER, Running, abuser, decided, now_ms, running
from wavebreak.cli.app import app
from wavebreak.errors import ServiceError, UsageError
from wavebreak_server.pipeline import log_repair
from wavebreak_server.pipeline.recovery import list_snapshots
from wavebreak_server.slices.backup import service as backup
from wavebreak_server.slices.log import trim as log_trim
from wavebreak_server.storage import database, event_log
from wavebreak_server.storage.database_audit import DatabaseAudit
from wavebreak_server.storage.ledger_store import LedgerStore
from wavebreak_server.storage.models import AuditEntry, LogBatch

DAY_MS = 86_400_000


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A stopped service's directory: two abusers found, a batch of rows, a snapshot at the end."""
    with service_harness.migrated("sqlite", tmp_path):

        async def test(made: Running) -> None:
            for k, name in enumerate(("ann", "bob")):
                await made.send(abuser(account=name, ts=1_767_222_000_000 + 60_000 * k))

        _run(tmp_path, test)
        yield tmp_path


def _run(
    home: Path, test: Callable[[Running], Awaitable[None]], *, accept_loss: bool = False
) -> None:
    async def whole() -> None:
        async with running(home, accept_loss=accept_loss) as made:
            await test(made)

    asyncio.run(whole())


def _trim(home: Path, planned: log_trim.TrimPlan) -> None:
    store = LedgerStore(SIGNER, now_ms)
    log_trim.trim(planned, store, now_ms=now_ms(), reason="a test asks for it", by="a test")
    connection.close()


async def _goes_on(made: Running) -> None:
    assert (await made.ask("GET", "/v1/accounts/ann")).json()["outcome"] == "ban"
    await made.send(abuser(account="eve", ts=1_767_222_000_000 + 180_000))
    assert (await made.ask("GET", "/v1/accounts/eve")).json()["outcome"] == "ban"


def test_start_after_a_trim_goes_on_from_the_snapshot(home: Path, tmp_path: Path) -> None:
    planned = log_trim.plan(home, now_ms() + DAY_MS)
    assert (planned.first, planned.rows) == (0, 2)
    _trim(home, planned)
    assert event_log.log_start().position == planned.end == 242
    before = len(decided())
    _run(home, _goes_on)
    assert len(decided()) > before
    # The tables are what the ledger sealed, and the audit log names the trim.
    with transaction.atomic():
        assert DatabaseAudit().run().findings == []
    entry = AuditEntry.objects.get(action="log.trim")
    assert (entry.object, entry.outcome) == ("0-241", "done")
    database.connect("", home)
    # A backup of what is left restores, and starts.
    file, second = tmp_path / "backup", tmp_path / "second"
    backup.save(home, file, SECRET)
    connection.close()
    second.mkdir()
    database.connect("", second)
    backup.restore(file, second, SECRET, now_ms())
    connection.close()

    async def restored(made: Running) -> None:
        assert (await made.ask("GET", "/v1/accounts/bob")).json()["outcome"] == "ban"

    _run(second, restored)
    database.connect("", home)


def test_rows_that_are_young_or_not_in_a_snapshot_stay(home: Path) -> None:
    assert log_trim.plan(home, now_ms() - DAY_MS).rows == 0
    for _, _, path in list_snapshots(home):
        path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ServiceError, match="no snapshot") as caught:
        log_trim.plan(home, now_ms() + DAY_MS)
    assert "trim again" in caught.value.fix


def test_trimmed_log_without_its_snapshot_is_an_error_with_a_fix(home: Path) -> None:
    _trim(home, log_trim.plan(home, now_ms() + DAY_MS))
    for _, _, path in list_snapshots(home):
        path.unlink()

    async def never(_made: Running) -> None:
        raise AssertionError

    # What the removed events led to would not be in force: that is no loss which can be accepted.
    for accept_loss in (False, True):
        with pytest.raises(AssertionError, match="the log was trimmed and begins at position 242"):
            _run(home, never, accept_loss=accept_loss)
    with pytest.raises(ServiceError, match="no snapshot in"):
        backup.save(home, home / "backup", SECRET)
    connection.close()


async def _poison(made: Running) -> None:
    """Take events of next year, by a clock that is there."""
    made.service.clock = lambda: now_ms() + 400 * DAY_MS
    await made.send(abuser(3, account="far", ts=now_ms() + 400 * DAY_MS))


def test_repair_that_needs_a_trimmed_part_changes_nothing(home: Path) -> None:
    _trim(home, log_trim.plan(home, now_ms() + DAY_MS))
    _run(home, _poison)
    # Only a snapshot that has read the events ahead of the clock is left.
    for position, _, path in list_snapshots(home):
        if position == 242:
            path.unlink()
    ((last, _, kept),) = list_snapshots(home)
    assert last > 242
    rows = _rows()
    with pytest.raises(ServiceError, match="needs a snapshot from before it") as caught:
        _repair(home)
    assert "restore a backup" in caught.value.fix
    assert kept.exists()
    assert _rows() == rows
    assert not AuditEntry.objects.filter(action="repair_log").exists()
    connection.close()


def test_repair_of_a_trimmed_log_goes_on_from_its_snapshot(home: Path) -> None:
    _trim(home, log_trim.plan(home, now_ms() + DAY_MS))
    _run(home, _poison)
    assert 242 in {position for position, _, _ in list_snapshots(home)}
    done = _repair(home)
    assert (done.position, done.events) == (242, 4)
    connection.close()
    _run(home, _goes_on)


def _rows() -> list[tuple[int, bytes]]:
    return [(row.first, bytes(row.blob)) for row in LogBatch.objects.order_by("first")]


def _repair(home: Path) -> log_repair.Repaired:
    store = LedgerStore(SIGNER, now_ms)
    return log_repair.repair(home, store, now_ms(), 60_000, "a test asks for it")


def test_eviction_forgets_idle_accounts_and_keeps_the_banned(home: Path) -> None:
    names = {f"ann-p{k}" for k in range(120)} | {f"bob-p{k}" for k in range(120)}
    planned = log_trim.plan_eviction(home, 0)
    assert planned.evicted == len(names)
    _trim(home, planned)

    async def test(made: Running) -> None:
        unknown = (await made.ask("GET", "/v1/accounts/ann-p5")).json()
        assert (unknown["outcome"], unknown["decisions"]) == ("allow", [])
        await _goes_on(made)

    _run(home, test)
    # A replay from the evicted snapshot decides the same.
    _run(home, _still_there)


async def _still_there(made: Running) -> None:
    assert (await made.ask("GET", "/v1/accounts/eve")).json()["outcome"] == "ban"
    assert made.service.differ == 0


def test_eviction_without_a_snapshot_at_the_end_is_refused(home: Path) -> None:
    for position, decisions, path in list_snapshots(home):
        path.rename(path.with_name(f"state-{position - 1}-{decisions}.snapshot"))
    with pytest.raises(ServiceError, match="no snapshot at the end of the log"):
        log_trim.plan_eviction(home, 0)


def test_command_says_what_it_would_remove(home: Path) -> None:
    key = home.parent / "key"
    key.write_text(SECRET.hex())
    key.chmod(0o600)
    words = ["log", "trim", str(home), "--keep", "0d", "--reason", "r", "--dry-run", "--json"]
    words += ["--key", str(key)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    told = json.loads(done.output)
    assert (told["rows"], told["removed"]) == (2, False)
    assert event_log.log_start().position == 0


@pytest.mark.parametrize("keep", ["", "90", "ninety days", "d"])
def test_command_refuses_what_is_no_duration(home: Path, keep: str) -> None:
    done = CliRunner().invoke(app, ["log", "trim", str(home), "--keep", keep, "--reason", "r"])
    assert isinstance(done.exception, UsageError)
    assert "no duration" in done.exception.what


def test_plan_without_rows_removes_nothing(home: Path) -> None:
    planned = replace(log_trim.plan(home, now_ms() + DAY_MS), rows=0, end=0)
    _trim(home, planned)
    assert event_log.log_start().position == 0
    assert not AuditEntry.objects.filter(action="log.trim").exists()
