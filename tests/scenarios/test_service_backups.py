"""A backup taken while the service serves is one moment of it, whatever database it goes into."""

from __future__ import annotations

import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import pytest

import kills
from serving import Server, serving


def wavebreak(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = "from wavebreak.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False
    )


def send(server: Server, events: list[bytes], *, each: int = 250) -> None:
    for start in range(0, len(events), each):
        assert server.post(b"[" + b",".join(events[start : start + each]) + b"]").status == 202


def decisions(server: Server) -> list[tuple[int, bytes]]:
    return server.rows("SELECT number, body FROM decision ORDER BY number")


def test_what_is_restored_goes_on_where_the_backup_was(tmp_path: Path) -> None:
    events, file = kills.world(10)[:16_000], tmp_path / "monday.wavebreak"
    with serving(tmp_path / "first", "--snapshot-seconds", "0.5") as first:
        send(first, events[:8_000])
        first.settled(8_000)
        load = threading.Thread(target=send, args=(first, events[8_000:]))
        load.start()
        told = wavebreak("backup", str(first.home), "-o", str(file))
        load.join()
        assert told.returncode == 0, told.stderr
        first.settled(16_000)
        whole = decisions(first)
    told = wavebreak("restore", str(file), str(tmp_path / "second"))
    assert told.returncode == 0, told.stderr
    with serving(tmp_path / "second") as second:
        held = kills.events_in_log(second)
        assert 8_000 <= len(held) <= 16_000
        send(second, events[len(held) :])
        second.settled(16_000)
        assert decisions(second) == whole
        assert len(whole) > 10
    again = wavebreak("restore", str(file), str(tmp_path / "second"))
    assert again.returncode == 2
    assert "there is a log already" in again.stderr


@pytest.mark.parametrize("part", ["state-", "tables/log_batch", "tables/decision", "manifest"])
def test_a_damaged_backup_is_named_and_restores_nothing(tmp_path: Path, part: str) -> None:
    events, file = kills.world(10)[:500], tmp_path / "backup"
    with serving(tmp_path / "first") as first:
        send(first, events)
        first.settled(500)
        first.stop()
        assert wavebreak("backup", str(first.home), "-o", str(file)).returncode == 0
    content = bytearray(file.read_bytes())
    with zipfile.ZipFile(file) as archive:
        (found,) = [i for i in archive.infolist() if i.filename.startswith(part)]
    head = 30 + len(found.filename) + 20
    content[found.header_offset + head + (found.compress_size - 20) // 2] ^= 0x55
    file.write_bytes(content)
    told = wavebreak("restore", str(file), str(tmp_path / "second"))
    assert told.returncode == 2
    assert "backup" in told.stderr
    assert list((tmp_path / "second").glob("state-*")) == []
    with serving(tmp_path / "second") as second:
        assert kills.events_in_log(second) == []
