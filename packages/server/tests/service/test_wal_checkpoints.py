from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import Error, connection, transaction

from wavebreak_server.pipeline import log_writer
from wavebreak_server.pipeline.log_writer import WalCheckpointer
from wavebreak_server.storage import database, event_log

BLOB = bytes(200_000)


@pytest.fixture
def wal(tmp_path: Path) -> Iterator[Path]:
    database.connect("", tmp_path)
    database.migrate()
    yield tmp_path / f"{database.FILE}-wal"
    connection.close()


def _commits(many: int, first: int = 0) -> None:
    for n in range(first, first + many):
        with transaction.atomic(), connection.cursor() as cursor:
            event_log.append(cursor, n, 1, 0, BLOB)


def test_commits_do_not_checkpoint_the_wal(wal: Path) -> None:
    _commits(300)
    assert wal.stat().st_size > 300 * len(BLOB)


def test_wal_restarts_while_the_writer_writes(wal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_writer, "CHECKPOINT_INTERVAL_S", 0.05)
    made = WalCheckpointer()
    made.start()
    try:
        written = 0
        for _ in range(40):
            _commits(5, first=written)
            made.finish()
            written += 5
            time.sleep(0.02)
    finally:
        made.stop()
    assert event_log.log_end() == written == 200
    # Without, every blob would stand in it.
    assert wal.stat().st_size < 100 * len(BLOB)


def test_checkpointer_survives_an_unreachable_database(
    wal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_writer, "CHECKPOINT_INTERVAL_S", 0.01)
    made = WalCheckpointer()
    made.start()
    for each in wal.parent.iterdir():
        each.write_bytes(b"no database")
    time.sleep(0.1)
    made.finish()
    made.stop()
    with pytest.raises(Error), connection.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM log_batch")
