"""A backup taken while the service serves is one moment of it, whatever database it goes into."""

from __future__ import annotations

import os
import subprocess
import threading
import zipfile
from pathlib import Path

import pytest
from django.db import connection

from support import crash_test, service_harness, warm_process
from support.service_process import KEY, Server
from wavebreak.errors import FileError
from wavebreak_server.slices.backup import service as backup
from wavebreak_server.storage import database

KINDS = service_harness.DATABASES


def wavebreak(*arguments: str) -> subprocess.CompletedProcess[str]:
    return warm_process.run(arguments, os.environ | {"WAVEBREAK_KEY": KEY})


def of(server: Server) -> list[str]:
    """Where a server's things are, for the command line."""
    return [str(server.home), *(["--database", server.database] if server.database else [])]


def send(server: Server, events: list[bytes], *, each: int = 250) -> None:
    for start in range(0, len(events), each):
        assert server.post(b"[" + b",".join(events[start : start + each]) + b"]").status == 202


def decisions(server: Server) -> list[tuple[int, bytes]]:
    return server.rows("SELECT number, body FROM decision ORDER BY number")


@pytest.mark.parametrize(("source", "target"), [KINDS, KINDS[::-1]])
def test_restored_service_continues_from_the_backup(
    tmp_path: Path, source: str, target: str
) -> None:
    events, file = crash_test.world(10)[:16_000], tmp_path / "monday.wavebreak"
    template = service_harness.migrated_template(source)
    with service_harness.fresh(source, template) as url, service_harness.fresh(target) as other:
        (tmp_path / "first").mkdir()
        first = Server(tmp_path / "first", ("--snapshot-seconds", "0.5"), database=url)
        with first.started():
            send(first, events[:8_000])
            first.settled(8_000)
            load = threading.Thread(target=send, args=(first, events[8_000:]))
            load.start()
            told = wavebreak("backup", *of(first), "-o", str(file))
            load.join()
            assert told.returncode == 0, told.stderr
            first.settled(16_000)
            whole = decisions(first)
        second = Server(tmp_path / "second", database=other)
        told = wavebreak("restore", str(file), *of(second))
        assert told.returncode == 0, told.stderr
        with second.started():
            held = crash_test.events_in_log(second)
            assert 8_000 <= len(held) <= 16_000
            send(second, events[len(held) :])
            second.settled(16_000)
            assert decisions(second) == whole
            assert len(whole) > 10
        assert crash_test.sealed(second) == len(whole)
        again = wavebreak("restore", str(file), *of(second))
        assert again.returncode == 2
        assert "the database already holds a log" in again.stderr


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A backup that is whole."""
    place = tmp_path_factory.mktemp("good")
    (place / "first").mkdir()
    first = Server(place / "first")
    with first.started():
        send(first, crash_test.world(10)[:500])
        first.settled(500)
    assert wavebreak("backup", *of(first), "-o", str(place / "backup")).returncode == 0
    return (place / "backup").read_bytes()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("part", ["state-", "tables/log_batch", "tables/decision", "manifest.json"])
def test_damaged_backup_names_the_part_and_restores_nothing(
    tmp_path: Path, part: str, kind: str, good: bytes
) -> None:
    content, file = bytearray(good), tmp_path / "backup"
    file.write_bytes(good)
    with zipfile.ZipFile(file) as archive:
        (found,) = [i for i in archive.infolist() if i.filename.startswith(part)]
    head = 30 + len(found.filename) + 20
    content[found.header_offset + head + (found.compress_size - 20) // 2] ^= 0x55
    file.write_bytes(content)
    second = Server(tmp_path / "second")
    second.home.mkdir()
    with service_harness.fresh(kind) as second.database:
        database.connect(second.database, second.home)
        with pytest.raises(FileError, match="backup"):
            backup.restore(file, second.home, bytes.fromhex(KEY), 0)
        connection.close()
        database.connect("", second.home)
        assert list(second.home.glob("state-*")) == []
        for table in ("log_batch", "decision", "standing", "ledger_entry"):
            assert second.rows(f"SELECT count(*) FROM {table}") == [(0,)], table
