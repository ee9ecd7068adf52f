"""A journal on disk of events that are not delivered yet: JSON Lines, bounded, one writer.

Each line is an event, or `{"delivered": n}`: the n oldest events are delivered, or given up. A
line is written when its event is handed over, which a killed process survives; `sync` makes it
survive a power cut too. A last line that is torn is left out.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections import deque
from importlib import import_module
from pathlib import Path
from typing import Any

from wavebreak_client.errors import SpoolError
from wavebreak_client.event_base import encode

fcntl: Any = import_module("fcntl") if os.name == "posix" else None
"""Windows has no such lock."""

PERSONAL = ("phone", "ip", "device")
"""Fields that are not written to disk unless the operator says so."""

_COMPACT_BYTES = 1 << 20


class Spool:
    """The journal of one client; not safe to use from two threads at once.

    Args:
        path: The file; its directory must exist. It is readable by its owner only.
        max_bytes: What the file may grow to. An event beyond that is kept in memory only.
        identifiers: Also write `phone`, `ip` and `device`. Left out, an event that is sent again
            after a restart lacks them.

    Raises:
        SpoolError: Where the file cannot be opened, or another process has it.

    """

    def __init__(self, path: Path, *, max_bytes: int, identifiers: bool = False) -> None:
        self._path, self._max_bytes, self._identifiers = path, max_bytes, identifiers
        self._file = -1
        self._size = 0
        self._dirty = False
        self._waiting: deque[bytes] = deque()
        """One entry for each event that is not delivered; empty where it is not on disk."""
        self.failures = 0
        self.left_over: list[bytes] = []
        self._open()

    def _open(self) -> None:
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0)
            self._file = os.open(self._path, flags, 0o600)
            if fcntl is not None:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with self._path.open("rb") as journal:
                content = journal.read()
        except BlockingIOError:
            os.close(self._file)
            raise SpoolError(
                "another process uses the spool file", fix="give each process a file of its own"
            ) from None
        except OSError as error:
            raise SpoolError(
                f"the spool file cannot be opened: {error.strerror}",
                fix="create its directory, and let this user write to it",
            ) from None
        self.left_over = read_journal(content)
        self._waiting.extend(self.left_over)
        self._compact()

    @property
    def in_memory_only(self) -> int:
        """How many events that are not delivered are not on disk."""
        return sum(not line for line in self._waiting)

    def append(self, event: dict[str, object]) -> bool:
        """Write an event; returns whether it is on disk."""
        if not self._identifiers:
            event = {name: value for name, value in event.items() if name not in PERSONAL}
        line = encode(event)
        written = self._size + len(line) < self._max_bytes and self._write(line + b"\n")
        self._waiting.append(line if written else b"")
        return written

    def delivered(self, count: int) -> None:
        """Write that the `count` oldest events are delivered, or given up."""
        on_disk = sum(bool(self._waiting.popleft()) for _ in range(count))
        if on_disk and not self._waiting:
            self._truncate()
        elif on_disk:
            self._write(encode({"delivered": on_disk}) + b"\n")
            if self._size > _COMPACT_BYTES + 2 * sum(len(line) + 1 for line in self._waiting):
                self._compact()

    def sync(self) -> None:
        """Have what was written survive a power cut."""
        if self._dirty:
            self._dirty = False
            try:
                os.fsync(self._file)
            except OSError:
                self.failures += 1

    def close(self) -> None:
        """Close the file; what is not delivered stays in it."""
        if self._file >= 0:
            self.sync()
            os.close(self._file)
            self._file = -1

    def _write(self, line: bytes) -> bool:
        if self._file < 0:
            return False
        try:
            if os.write(self._file, line) < len(line):
                raise OSError("torn")
        except OSError:
            # A full disk: the torn line goes, the events go on from memory.
            self.failures += 1
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self._size)
            return False
        self._size += len(line)
        self._dirty = True
        return True

    def _truncate(self) -> None:
        try:
            os.ftruncate(self._file, 0)
            self._size, self._dirty = 0, True
        except OSError:
            self.failures += 1

    def _compact(self) -> None:
        """Write the file anew with what is not delivered, in place of the old one."""
        lines = b"".join(line + b"\n" for line in self._waiting if line)
        temporary = self._path.with_name(self._path.name + ".new")
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | getattr(os, "O_CLOEXEC", 0)
            made = os.open(temporary, flags, 0o600)
            if fcntl is not None:
                fcntl.flock(made, fcntl.LOCK_EX | fcntl.LOCK_NB)
            view = memoryview(lines)
            while view:
                view = view[os.write(made, view) :]
            os.fsync(made)
            temporary.replace(self._path)
        except OSError:
            self.failures += 1
            return
        os.close(self._file)
        self._file, self._size = made, len(lines)


def read_journal(content: bytes) -> list[bytes]:
    r"""Return the lines of the events that a journal's content says are not delivered.

    >>> read_journal(b'{"type":"a"}\n{"type":"b"}\n{"delivered":1}\n{"type":"c"}\n{"ty')
    [b'{"type":"b"}', b'{"type":"c"}']
    """
    waiting: deque[bytes] = deque()
    whole, _, _ = content.rpartition(b"\n")
    for line in whole.split(b"\n"):
        try:
            read = json.loads(line)
        except ValueError:
            continue
        if not isinstance(read, dict):
            continue
        if "type" in read:
            waiting.append(line)
        elif isinstance(done := read.get("delivered"), int):
            for _ in range(min(done, len(waiting))):
                waiting.popleft()
    return list(waiting)
