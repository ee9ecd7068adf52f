"""What a service has written, in the clear: its files, and the log, which is compressed in them."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pyarrow as pa


def written_files(home: Path) -> dict[str, bytes]:
    """Return the bytes of each file below a service's home, and of each row of its log."""
    found = {
        str(path.relative_to(home)): path.read_bytes() for path in home.rglob("*") if path.is_file()
    }
    with contextlib.closing(sqlite3.connect(home / "wavebreak.sqlite3")) as database:
        rows = database.execute("SELECT first, blob FROM log_batch ORDER BY first").fetchall()
    for first, blob in rows:
        found[f"log row {first}"] = pa.CompressedInputStream(pa.BufferReader(blob), "zstd").read()
    assert rows, "the log has nothing to look at"
    return found


def files_with(home: Path, *texts: str) -> list[tuple[str, str]]:
    """Return where texts that must be nowhere are."""
    return [
        (name, text)
        for name, written in written_files(home).items()
        for text in texts
        if text.encode() in written
    ]
