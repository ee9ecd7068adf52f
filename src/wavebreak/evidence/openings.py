"""Where openings are kept: what commitments hide, until somebody's are erased."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from wavebreak.evidence.entries import Openings
from wavebreak.evidence.verifier import canonical


class OpeningStore(Protocol):
    """Keeps openings by position; `keep` is called before the entries are appended."""

    def keep(self, first: int, openings: Iterable[Openings]) -> None:
        """Keep the openings of entries from position `first` on."""
        ...

    def of(self, position: int) -> Openings:
        """Openings of one entry; empty where none are, or they were erased."""
        ...


class OpeningFile:
    """Openings in an SQLite file that no other user can read; erased ones are overwritten.

    >>> store = OpeningFile(":memory:")
    >>> store.keep(7, [{"account": (bytes(32), "a1")}])
    >>> store.of(7)["account"][1], store.erase("account", "a1"), store.of(7)
    ('a1', 1, {})
    """

    def __init__(self, path: Path | str) -> None:
        if isinstance(path, Path):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(path, os.O_CREAT, 0o600))
        self._db = sqlite3.connect(path)
        self._db.execute("PRAGMA secure_delete = ON")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS kept (position INTEGER PRIMARY KEY, told BLOB)"
        )
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS named (field TEXT, value BLOB, position INTEGER, "
            "PRIMARY KEY (field, value, position)) WITHOUT ROWID"
        )

    def close(self) -> None:
        """Let the file go."""
        self._db.close()

    def keep(self, first: int, openings: Iterable[Openings]) -> None:
        """Keep the openings of entries from position `first` on; older ones there give way."""
        rows, names = [], []
        for position, told in enumerate(openings, first):
            if told:
                rows.append((position, msgspec.json.encode(told)))
            if "account" in told:
                names.append(("account", canonical(told["account"][1]).encode(), position))
        with self._db:
            self._db.execute("DELETE FROM named WHERE position >= ?", (first,))
            self._db.execute("DELETE FROM kept WHERE position >= ?", (first,))
            self._db.executemany("INSERT INTO kept VALUES (?, ?)", rows)
            self._db.executemany("INSERT INTO named VALUES (?, ?, ?)", names)

    def of(self, position: int) -> Openings:
        """Openings of one entry; empty where none are, or they were erased."""
        row = self._db.execute("SELECT told FROM kept WHERE position = ?", (position,)).fetchone()
        return msgspec.json.decode(row[0], type=dict[str, tuple[bytes, Any]]) if row else {}

    def positions(self, field: str, value: Any) -> Sequence[int]:
        """Entries that hide this value in this field."""
        told = (field, canonical(value).encode())
        found = self._db.execute("SELECT position FROM named WHERE field = ? AND value = ?", told)
        return [position for (position,) in found]

    def erase(self, field: str, value: Any) -> int:
        """Erase all openings of the entries that hide this value; how many entries they were.

        The log stays as it is and verifies; what the entries commit to can no longer be shown.
        """
        erased = [(position,) for position in self.positions(field, value)]
        with self._db:
            self._db.executemany("DELETE FROM kept WHERE position = ?", erased)
            told = (field, canonical(value).encode())
            self._db.execute("DELETE FROM named WHERE field = ? AND value = ?", told)
        return len(erased)
