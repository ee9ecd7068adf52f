"""After an error of the disk, the next connection writes the write-ahead log again first."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import OperationalError, connection

from support.service_harness import migrated
from wavebreak_server.storage import database
from wavebreak_server.storage.sqlite_backend import base


@pytest.fixture
def synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Names of the files that are synced, over a database with tables."""
    found: list[str] = []
    real = os.fsync

    def recorded(handle: int) -> None:
        found.append(Path(os.readlink(f"/proc/self/fd/{handle}")).name)
        real(handle)

    with migrated("sqlite", tmp_path):
        connection.close()
        monkeypatch.setattr(os, "fsync", recorded)
        yield found
    base.wal_in_doubt.clear()


def fill() -> None:
    """Have a statement find the disk full."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE filled (content BLOB)")
        cursor.execute("PRAGMA page_count")
        cursor.execute(f"PRAGMA max_page_count = {cursor.fetchone()[0]}")
        cursor.execute("INSERT INTO filled VALUES (zeroblob(1000000))")


def test_next_connection_after_a_full_disk_writes_the_log_again(synced: list[str]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    assert synced == []
    with pytest.raises(OperationalError, match="full"):
        fill()
    assert base.wal_in_doubt.is_set()
    # The process has another connection, so that closing this one moves nothing.
    held = connection.copy()
    held.inc_thread_sharing()
    held.ensure_connection()
    assert synced == ["wavebreak.sqlite3-wal"]
    assert not base.wal_in_doubt.is_set()
    connection.close()
    connection.ensure_connection()
    assert len(synced) == 1
    held.close()


def test_error_of_another_thread_counts(synced: list[str]) -> None:
    connection.ensure_connection()

    def other() -> None:
        with pytest.raises(OperationalError, match="full"):
            fill()
        connection.close()

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert base.wal_in_doubt.is_set()
    connection.close()
    connection.ensure_connection()
    assert not base.wal_in_doubt.is_set()


def test_error_that_is_not_of_the_disk_is_none(synced: list[str]) -> None:
    with pytest.raises(OperationalError, match="no such table"), connection.cursor() as cursor:
        cursor.execute("SELECT * FROM absent")
    assert not base.wal_in_doubt.is_set()


def test_connection_fails_where_the_log_cannot_be_written(
    synced: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(_path: Path) -> None:
        raise OSError("the disk has a fault")

    base.wal_in_doubt.set()
    with monkeypatch.context() as patched:
        patched.setattr(base, "rewrite", failing)
        with pytest.raises(OperationalError, match="the disk has a fault"):
            connection.ensure_connection()
    assert base.wal_in_doubt.is_set()
    connection.ensure_connection()
    assert not base.wal_in_doubt.is_set()


def test_log_in_doubt_is_written_again_before_it_is_moved(synced: list[str]) -> None:
    connection.ensure_connection()
    assert database.truncate_wal()
    assert synced == []
    base.wal_in_doubt.set()
    assert database.truncate_wal()
    assert synced == ["wavebreak.sqlite3-wal"]
    assert not base.wal_in_doubt.is_set()


def test_log_is_in_doubt_at_a_start(synced: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(_path: Path) -> None:
        raise OSError("the disk has a fault")

    with monkeypatch.context() as patched:
        patched.setattr(base, "rewrite", failing)
        assert not database.secure_wal()
    assert database.secure_wal()
    assert synced == ["wavebreak.sqlite3-wal"]
