"""A ledger as files in a directory: they only grow, and a tail cut off by a crash is mended.

`entries.jsonl` (an entry a line), `nodes` (the tree, 32 bytes each), `ends` (where each entry's
line ends, 8 bytes big-endian), `checkpoints.jsonl` (signed notes as JSON strings). `nodes` and
`ends` follow from the entries; what of them is past the last checkpoint is made anew at opening.
"""

from __future__ import annotations

import fcntl
import json
import os
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path

from wavebreak.errors import FileError
from wavebreak.evidence.doubts import error, named
from wavebreak.evidence.tree import leaf_index, peaks
from wavebreak.evidence.verifier import (
    LEAF,
    MAX_LINE,
    canonical,
    grow,
    hashed,
    read_checkpoint,
)

NAMES = ("entries.jsonl", "nodes", "ends", "checkpoints.jsonl")


class Directory:
    """Storage of a ledger in a directory, for one writer at a time.

    With `write` it is made where absent, locked against other writers, and mended: `mended` says
    what a crash had left half-written and was cut off. What a checkpoint covers is never cut:
    raises EvidenceError `log_cut`, or FileError where it cannot be read or another one writes.
    """

    def __init__(self, path: Path, *, write: bool = False) -> None:
        self.path, self.mended = path, list[str]()
        try:
            if write:
                path.mkdir(parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT if write else os.O_RDONLY
            self._files = {name: os.open(path / name, flags, 0o644) for name in NAMES}
            if write:
                fcntl.flock(self._files["entries.jsonl"], fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FileError(
                f"the ledger {path} is being written by another process", fix="wait for its end"
            ) from None
        except OSError as e:
            raise FileError(
                f"the ledger {path} cannot be opened: {e.strerror}", fix="name a ledger directory"
            ) from None
        self._last = self._latest(write)
        self._size = self._length("ends") // 8
        if write:
            self._mend()

    def close(self) -> None:
        """Let the files go, and the lock with them."""
        for file in self._files.values():
            os.close(file)

    def size(self) -> int:
        """How many entries there are."""
        return self._size

    def append(self, lines: Sequence[bytes], nodes: bytes) -> None:
        """Keep entries and nodes; a failure (a full disk) leaves the ledger as it was."""
        before = {name: self._length(name) for name in NAMES[:3]}
        try:
            self._add(lines, nodes)
        except OSError as e:
            for name, length in before.items():
                os.ftruncate(self._files[name], length)
            raise FileError(f"the ledger {self.path} cannot grow: {e.strerror}") from None

    def _add(self, lines: Sequence[bytes], nodes: bytes) -> None:
        end, ends = self.end(self._size), []
        for line in lines:
            end += len(line) + 1
            ends.append(end.to_bytes(8))
        self._write("entries.jsonl", b"".join([line + b"\n" for line in lines]))
        self._write("nodes", nodes)
        self._write("ends", b"".join(ends))
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
        self._write("checkpoints.jsonl", canonical(note.decode()).encode() + b"\n")
        self._last = note

    def latest(self) -> bytes | None:
        """The checkpoint kept last."""
        return self._last

    def _length(self, name: str) -> int:
        return os.fstat(self._files[name]).st_size

    def end(self, position: int) -> int:
        """Where the first `position` entries end."""
        return int.from_bytes(os.pread(self._files["ends"], 8, 8 * position - 8)) if position else 0

    def _write(self, name: str, told: bytes) -> None:
        file, at, left = self._files[name], self._length(name), memoryview(told)
        while left:
            written = os.pwrite(file, left, at)
            at, left = at + written, left[written:]
        os.fsync(file)

    def _latest(self, write: bool) -> bytes | None:
        file, length = self._files["checkpoints.jsonl"], self._length("checkpoints.jsonl")
        tail = os.pread(file, MAX_LINE, max(0, length - MAX_LINE))
        whole, newline, torn = tail.rpartition(b"\n")
        if torn and write:
            self._cut("checkpoints.jsonl", length - len(torn), "a checkpoint")
        if not newline:
            return None
        try:
            told = json.loads(whole.rpartition(b"\n")[2])
        except ValueError:
            raise error("checkpoint_not_json", f"the last line of {self.path}'s notes") from None
        return str(told).encode()

    def _cut(self, name: str, length: int, what: str) -> None:
        os.ftruncate(self._files[name], length)
        self.mended.append(f"{what} at the end of {name} was written half, and is cut off")

    def _mend(self) -> None:
        """Make what follows from entries past the last checkpoint anew; cut off half a line."""
        with named():
            sealed = read_checkpoint(self._last).size if self._last else 0
        nodes = self._length("nodes") // 32
        held = min(sealed, self._size, bisect_right(range(nodes + 1), nodes, key=leaf_index) - 1)
        os.ftruncate(self._files["ends"], 8 * held)
        os.ftruncate(self._files["nodes"], 32 * leaf_index(held))
        self._size, begin = held, self.end(held)
        length = self._length("entries.jsonl")
        made, tops = list[bytes](), peaks(self.node, held)
        lines: list[bytes] = []
        with os.fdopen(os.dup(self._files["entries.jsonl"]), "rb") as file:
            file.seek(begin)
            for line in iter(lambda: file.readline(MAX_LINE), b""):
                if not line.endswith(b"\n"):
                    break
                made += grow(tops, held + len(lines), hashed(LEAF, line[:-1]))
                lines.append(line)
        if held + len(lines) < sealed or length < begin:
            raise error("log_cut", f"fewer entries are left than the {sealed} sealed")
        ends, end = [], begin
        for line in lines:
            end += len(line)
            ends.append(end.to_bytes(8))
        if end < length:
            self._cut("entries.jsonl", end, "an entry")
        self._write("nodes", b"".join(made))
        self._write("ends", b"".join(ends))
        self._size = held + len(lines)
