"""Storage of a ledger in a directory, and of the openings of its commitments.

`entries.jsonl` (an entry a line), `nodes` (the tree, 32 bytes each), `ends` (where each entry's
line ends, 8 bytes big-endian), `checkpoints.jsonl` (signed notes as JSON strings). All files only
grow. `nodes` and `ends` follow from the entries; past the last checkpoint they are rebuilt at
opening, and a tail that a crash cut off is removed.

Openings are kept in SQLite until they are erased. Its column `told` and its tables `kept` and
`named` are the stored format of version 1 and keep their names.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, Protocol

import msgspec

from wavebreak.errors import FileError
from wavebreak.ledger import verifier
from wavebreak.ledger.entries import Openings
from wavebreak.ledger.errors import convert_verifier_errors, ledger_error
from wavebreak.ledger.key_changes import KeyChange, read_changes
from wavebreak.ledger.merkle_tree import leaf_index, peaks

NAMES = ("entries.jsonl", "nodes", "ends", "checkpoints.jsonl")
LEDGER = "ledger"
"""Directory of the ledger within a case, and within a bundle of one."""

KEY_HISTORY = "key-history.jsonl"
"""Name of the file of a log's key changes, in its directory and where it is published."""


class DirectoryStorage:
    """Storage of a ledger in a directory, for one writer at a time.

    With `write` it is made where absent, locked against other writers, and repaired: `repaired`
    lists what a crash had left incomplete and was cut off. What a checkpoint covers is never cut:
    raises EvidenceError `log_cut`, or FileError where it cannot be read or another one writes.
    """

    def __init__(self, path: Path, *, write: bool = False) -> None:
        self.path, self.repaired = path, list[str]()
        try:
            if write:
                path.mkdir(parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT if write else os.O_RDONLY
            self._files = {name: os.open(path / name, flags, 0o644) for name in NAMES}
            if write:
                fcntl.flock(self._files["entries.jsonl"], fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FileError(
                f"the ledger {path} is being written by another process",
                fix="stop that process, or run this command after it has ended",
            ) from None
        except OSError as e:
            raise FileError(
                f"the ledger {path} cannot be opened: {e.strerror}",
                fix="give the directory that `wavebreak run --ledger` wrote",
            ) from None
        self._last = self._latest(write)
        self._size = self._length("ends") // 8
        if write:
            self._repair()

    def close(self) -> None:
        """Close the files and release the lock."""
        for file in self._files.values():
            os.close(file)

    def size(self) -> int:
        """How many entries there are."""
        return self._size

    def append(self, lines: Sequence[bytes], nodes: bytes) -> None:
        """Keep entries and nodes; a failure (a full disk) leaves the ledger unchanged."""
        before = {name: self._length(name) for name in NAMES[:3]}
        lengths = (len(line) + 1 for line in lines)
        ends = list(accumulate(lengths, initial=self.end(self._size)))[1:]
        try:
            self._write("entries.jsonl", b"".join([line + b"\n" for line in lines]))
            self._write("nodes", nodes)
            self._write("ends", b"".join(end.to_bytes(8) for end in ends))
        except OSError as e:
            for name, length in before.items():
                os.ftruncate(self._files[name], length)
            raise FileError(
                f"the ledger {self.path} cannot be written: {e.strerror}",
                fix="free space or make the directory writable; the ledger is unchanged",
            ) from None
        self._size += len(lines)

    def line(self, position: int) -> bytes:
        """One entry."""
        begin, end = self.end(position), self.end(position + 1)
        return os.pread(self._files["entries.jsonl"], end - begin - 1, begin)

    def node(self, index: int) -> bytes:
        """One node of the tree."""
        return os.pread(self._files["nodes"], 32, 32 * index)

    def keep(self, note: bytes) -> None:
        """Keep a signed checkpoint."""
        self._write("checkpoints.jsonl", verifier.canonical(note.decode()).encode() + b"\n")
        self._last = note

    def latest(self) -> bytes | None:
        """The checkpoint kept last."""
        return self._last

    def _length(self, name: str) -> int:
        return os.fstat(self._files[name]).st_size

    def end(self, position: int) -> int:
        """Where the first `position` entries end."""
        return int.from_bytes(os.pread(self._files["ends"], 8, 8 * position - 8)) if position else 0

    def _write(self, name: str, content: bytes) -> None:
        file, offset, remaining = self._files[name], self._length(name), memoryview(content)
        while remaining:
            count = os.pwrite(file, remaining, offset)
            offset, remaining = offset + count, remaining[count:]
        os.fsync(file)

    def _latest(self, write: bool) -> bytes | None:
        file, length = self._files["checkpoints.jsonl"], self._length("checkpoints.jsonl")
        tail = os.pread(file, verifier.MAX_LINE, max(0, length - verifier.MAX_LINE))
        lines, newline, torn = tail.rpartition(b"\n")
        if torn and write:
            self._truncate("checkpoints.jsonl", length - len(torn), "a checkpoint")
        if not newline:
            return None
        try:
            note = json.loads(lines.rpartition(b"\n")[2])
        except ValueError:
            raise ledger_error(
                "checkpoint_not_json", f"the last line of {self.path}'s notes"
            ) from None
        return str(note).encode()

    def _truncate(self, name: str, length: int, content: str) -> None:
        os.ftruncate(self._files[name], length)
        self.repaired.append(f"{content} at the end of {name} was incomplete and was cut off")

    def _repair(self) -> None:
        """Rebuild the index and tree past the last checkpoint; cut off an incomplete line."""
        with convert_verifier_errors():
            sealed_size = verifier.read_checkpoint(self._last).size if self._last else 0
        nodes = self._length("nodes") // 32
        intact = min(
            sealed_size, self._size, bisect_right(range(nodes + 1), nodes, key=leaf_index) - 1
        )
        os.ftruncate(self._files["ends"], 8 * intact)
        os.ftruncate(self._files["nodes"], 32 * leaf_index(intact))
        self._size, begin = intact, self.end(intact)
        length = self._length("entries.jsonl")
        nodes_added, tops = list[bytes](), peaks(self.node, intact)
        lines: list[bytes] = []
        with os.fdopen(os.dup(self._files["entries.jsonl"]), "rb") as file:
            file.seek(begin)
            for line in iter(lambda: file.readline(verifier.MAX_LINE), b""):
                if not line.endswith(b"\n"):
                    break
                nodes_added += verifier.add_leaf(
                    tops, intact + len(lines), verifier.hash_node(verifier.LEAF, line[:-1])
                )
                lines.append(line)
        if intact + len(lines) < sealed_size or length < begin:
            raise ledger_error("log_cut", f"fewer entries are left than the {sealed_size} sealed")
        ends, end = [], begin
        for line in lines:
            end += len(line)
            ends.append(end.to_bytes(8))
        if end < length:
            self._truncate("entries.jsonl", end, "an entry")
        self._write("nodes", b"".join(nodes_added))
        self._write("ends", b"".join(ends))
        self._size = intact + len(lines)


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
        """Close the file."""
        self._db.close()

    def keep(self, first: int, openings: Iterable[Openings]) -> None:
        """Keep the openings of entries from position `first` on; older ones there give way."""
        rows, names = [], []
        for position, opening in enumerate(openings, first):
            if opening:
                rows.append((position, msgspec.json.encode(opening)))
            if "account" in opening:
                names.append(
                    ("account", verifier.canonical(opening["account"][1]).encode(), position)
                )
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
        key = (field, verifier.canonical(value).encode())
        rows = self._db.execute("SELECT position FROM named WHERE field = ? AND value = ?", key)
        return [position for (position,) in rows]

    def erase(self, field: str, value: Any) -> int:
        """Erase all openings of the entries that hide this value; how many entries they were.

        The log is unchanged and verifies; the hidden values can no longer be shown.
        """
        positions = [(position,) for position in self.positions(field, value)]
        with self._db:
            self._db.executemany("DELETE FROM kept WHERE position = ?", positions)
            key = (field, verifier.canonical(value).encode())
            self._db.execute("DELETE FROM named WHERE field = ? AND value = ?", key)
        return len(positions)


def read_key_history(path: Path) -> list[KeyChange]:
    """Read a file of statements, each a line of JSON; the order of lines does not matter.

    Raises:
        FileError: The file cannot be read.
        EvidenceError: A statement is malformed, or lacks a required signature.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise FileError(
            f"the key history {path} cannot be read: {error.strerror}", fix="name a file"
        ) from None
    with convert_verifier_errors("ask the log's owner for the key history as published"):
        return read_changes(content)


def add_key_change(path: Path, note: bytes) -> None:
    """Append a signed statement to a file, once; raises FileError if writing fails."""
    line = json.dumps(note.decode(), ensure_ascii=False).encode() + b"\n"
    try:
        if not path.exists() or line not in path.read_bytes().splitlines(keepends=True):
            with path.open("ab") as file:
                file.write(line)
    except OSError as error:
        raise FileError(
            f"the key history {path} cannot be written: {error.strerror}", fix="name a file"
        ) from None
