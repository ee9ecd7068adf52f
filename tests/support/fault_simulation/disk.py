"""A simulated disk under SQLite: a virtual file system in memory whose faults one seed draws.

Bytes that were written reach the disk when they are synced. At a crash, each sector of what was
not synced has reached it or not. After a failed sync, what it should have written is lost at the
next crash even if a later sync succeeds, as on Linux: see `SimulatedDisk.crash`.

SQLite calls the file system by function pointers, which `ctypes` makes of Python functions. It is
the library that Python's `sqlite3` is linked with, so that the service's own code runs on it.
"""

from __future__ import annotations

import _sqlite3 as sqlite3_module
import ctypes
import re
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

SECTOR, PAGE = 512, 4096

OK, FULL, CANTOPEN, NOTFOUND = 0, 13, 14, 12
IOERR_READ, IOERR_SHORT_READ, IOERR_WRITE, IOERR_FSYNC = 266, 522, 778, 1034

_DELETE_ON_CLOSE = 0x00000008


@dataclass
class File:
    """A file: what a crash leaves for sure, what readers see, and pages in between.

    Attributes:
        durable: What was synced.
        current: What readers see.
        dirty: Pages that were written since the last sync.
        lost: Pages that a failed sync should have written, as they were then. Readers see them,
            and no later sync writes them unless they are written to again, as on Linux.
        cut: Whether the file was cut since the last sync.
    """

    durable: bytearray = field(default_factory=bytearray)
    current: bytearray = field(default_factory=bytearray)
    dirty: set[int] = field(default_factory=set)
    lost: dict[int, bytes] = field(default_factory=dict)
    cut: bool = False

    def write(self, offset: int, content: bytes) -> None:
        """Write what readers see."""
        _put(self.current, offset, content)
        self.dirty.update(range(offset // PAGE, (offset + len(content) - 1) // PAGE + 1))

    def truncate(self, size: int) -> None:
        """Cut what readers see."""
        del self.current[size:]
        self.cut = True

    def sync(self) -> None:
        """Make durable what was written since the last sync."""
        for page in sorted(self.dirty):
            _put(self.durable, page * PAGE, self._page(page))
            self.lost.pop(page, None)
        if self.cut:
            del self.durable[len(self.current) :]
        self.dirty, self.cut = set(), False

    def fail_sync(self) -> None:
        """Lose what was written since the last sync, once there is a crash."""
        self.lost |= {page: self._page(page) for page in self.dirty}
        self.dirty = set()

    def crash(self, random: Random) -> None:
        """Leave what was durable, and some sectors of what was not."""
        unsure = self.lost | {page: self._page(page) for page in self.dirty}
        for page, content in sorted(unsure.items()):
            for start in range(0, len(content), SECTOR):
                if random.random() < 0.5:
                    _put(self.durable, page * PAGE + start, content[start : start + SECTOR])
        if self.cut and random.random() < 0.5:
            del self.durable[len(self.current) :]
        self.dirty, self.lost, self.cut = set(), {}, False
        self.current = bytearray(self.durable)

    def _page(self, page: int) -> bytes:
        return bytes(self.current[page * PAGE : (page + 1) * PAGE])


def _put(content: bytearray, offset: int, part: bytes) -> None:
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(part)] = part


class SimulatedDisk:
    """The files of a machine, and what goes wrong with them.

    Attributes:
        files: By name.
        operations: How many writes, syncs, cuts and removals there were.
        dead: Whether the process died: every further operation fails until `restart`.
        fault_rate: The share of writes and syncs that fail.
        die_at: The operation at which the process dies (None: at none).
        faults: How many failed, by kind.
    """

    def __init__(self, random: Random, files: dict[str, bytes] | None = None) -> None:
        self.random = random
        self.files: dict[str, File] = {
            name: File(bytearray(content), bytearray(content))
            for name, content in (files or {}).items()
        }
        self.operations, self.dead, self.fault_rate = 0, False, 0.0
        self.die_at: int | None = None
        self.faults: dict[str, int] = {}

    def image(self) -> dict[str, bytes]:
        """Return what readers see, by file."""
        return {name: bytes(file.current) for name, file in self.files.items()}

    def crash(self) -> None:
        """Lose what was not synced, sector by sector, as the seed has it."""
        for file in self.files.values():
            file.crash(self.random)
        self.dead, self.die_at = False, None

    def stop_process(self) -> None:
        """Let the process die but not the machine: what was written stays."""
        self.dead, self.die_at = False, None

    def check(self, kind: str, codes: tuple[int, ...]) -> int:
        """Count an operation, and return its fault (OK: none)."""
        self.operations += 1
        if self.die_at is not None and self.operations >= self.die_at:
            self.dead = True
        if self.dead:
            return codes[0]
        if self.fault_rate and self.random.random() < self.fault_rate:
            self.faults[kind] = self.faults.get(kind, 0) + 1
            return self.random.choice(codes)
        return OK

    def write(self, name: str, offset: int, content: bytes) -> int:
        """Write; a write that fails may have written a part."""
        file, fault = self.files[name], self.check("write", (IOERR_WRITE, FULL))
        if fault and not self.dead:
            part = self.random.randrange(len(content) // SECTOR + 1) * SECTOR
            if part:
                file.write(offset, content[:part])
        elif not fault:
            file.write(offset, content)
        return fault

    def cut(self, name: str, size: int) -> int:
        """Cut a file to a size."""
        if fault := self.check("cut", (IOERR_WRITE,)):
            return fault
        self.files[name].truncate(size)
        return OK

    def sync(self, name: str) -> int:
        """Sync a file."""
        fault = self.check("sync", (IOERR_FSYNC,))
        if fault and not self.dead:
            self.files[name].fail_sync()
        elif not fault:
            self.files[name].sync()
        return fault

    def rewrite(self, path: Path) -> None:
        """Write a file's bytes again and sync them, as `durable_files.rewrite` does; OSError."""
        name = str(path)
        if name not in self.files:
            return
        content = bytes(self.files[name].current)
        for start in range(0, len(content), PAGE):
            if self.write(name, start, content[start : start + PAGE]):
                raise OSError("the disk has a fault")
        if self.sync(name):
            raise OSError("the disk has a fault")

    def remove(self, name: str) -> int:
        """Remove a file; a removal is durable at once."""
        if fault := self.check("remove", (IOERR_WRITE,)):
            return fault
        self.files.pop(name, None)
        return OK


def _sqlite_library() -> Any:
    """Return the SQLite library that Python's `sqlite3` has loaded."""
    maps = Path("/proc/self/maps").read_text("utf-8")
    found = re.search(r"\S+/libsqlite3\.so\S*", maps)
    library = ctypes.CDLL(found[0] if found else sqlite3_module.__file__)
    library.sqlite3_libversion.restype = ctypes.c_char_p
    loaded = library.sqlite3_libversion().decode()
    if loaded != sqlite3.sqlite_version:
        raise RuntimeError(f"SQLite {loaded} is not the one that Python uses")
    return library


class _Vfs(ctypes.Structure):
    """SQLite's `sqlite3_vfs`, version 1."""


class _Methods(ctypes.Structure):
    """SQLite's `sqlite3_io_methods`, version 1."""


class _Handle(ctypes.Structure):
    """SQLite's `sqlite3_file`, followed by the number of our open file."""

    _fields_ = [("methods", ctypes.POINTER(_Methods)), ("number", ctypes.c_int64)]


_int, _int64, _void = ctypes.c_int, ctypes.c_int64, ctypes.c_void_p
_handle, _vfs = ctypes.POINTER(_Handle), ctypes.POINTER(_Vfs)
_ints, _int64s = ctypes.POINTER(_int), ctypes.POINTER(_int64)
_METHODS: list[tuple[str, Any]] = [
    ("close", ctypes.CFUNCTYPE(_int, _handle)),
    ("read", ctypes.CFUNCTYPE(_int, _handle, _void, _int, _int64)),
    ("write", ctypes.CFUNCTYPE(_int, _handle, _void, _int, _int64)),
    ("truncate", ctypes.CFUNCTYPE(_int, _handle, _int64)),
    ("sync", ctypes.CFUNCTYPE(_int, _handle, _int)),
    ("size", ctypes.CFUNCTYPE(_int, _handle, _int64s)),
    ("lock", ctypes.CFUNCTYPE(_int, _handle, _int)),
    ("unlock", ctypes.CFUNCTYPE(_int, _handle, _int)),
    ("check_lock", ctypes.CFUNCTYPE(_int, _handle, _ints)),
    ("control", ctypes.CFUNCTYPE(_int, _handle, _int, _void)),
    ("sector_size", ctypes.CFUNCTYPE(_int, _handle)),
    ("characteristics", ctypes.CFUNCTYPE(_int, _handle)),
]
_Methods._fields_ = [("version", _int), *_METHODS]
_CALLS: list[tuple[str, Any]] = [
    ("open", ctypes.CFUNCTYPE(_int, _vfs, ctypes.c_char_p, _handle, _int, _ints)),
    ("delete", ctypes.CFUNCTYPE(_int, _vfs, ctypes.c_char_p, _int)),
    ("access", ctypes.CFUNCTYPE(_int, _vfs, ctypes.c_char_p, _int, _ints)),
    ("full_path", ctypes.CFUNCTYPE(_int, _vfs, ctypes.c_char_p, _int, _void)),
]
_LAST_CALLS: list[tuple[str, Any]] = [
    ("randomness", ctypes.CFUNCTYPE(_int, _vfs, _int, _void)),
    ("sleep", ctypes.CFUNCTYPE(_int, _vfs, _int)),
    ("current_time", ctypes.CFUNCTYPE(_int, _vfs, ctypes.POINTER(ctypes.c_double))),
    ("last_error", ctypes.CFUNCTYPE(_int, _vfs, _int, _void)),
]
_Vfs._fields_ = [
    ("version", _int),
    ("handle_size", _int),
    ("longest_path", _int),
    ("next", _void),
    ("name", ctypes.c_char_p),
    ("data", _void),
    *_CALLS,
    *[(name, _void) for name in ("dl_open", "dl_error", "dl_sym", "dl_close")],
    *_LAST_CALLS,
]


class SimulatedVfs:
    """The file system that SQLite knows as `simulated`; its disk can be exchanged.

    Created once in a process; SQLite keeps pointers into it.
    """

    NAME = "simulated"

    def __init__(self) -> None:
        self.disk = SimulatedDisk(Random(0))
        self.errors: list[BaseException] = []
        self._opened: dict[int, tuple[str, bool]] = {}
        self._count = 0
        self._methods = _Methods(1, *self._pointers(_METHODS))
        self._vfs = _Vfs(
            1,
            ctypes.sizeof(_Handle),
            512,
            None,
            self.NAME.encode(),
            None,
            *self._pointers(_CALLS),
            *[None] * 4,
            *self._pointers(_LAST_CALLS),
        )
        _sqlite_library().sqlite3_vfs_register(ctypes.byref(self._vfs), 0)

    def _pointers(self, kinds: list[tuple[str, Any]]) -> list[Any]:
        return [kind(self._guarded(getattr(self, f"_{name}"))) for name, kind in kinds]

    def _guarded(self, function: Callable[..., int]) -> Callable[..., int]:
        def guarded(*arguments: Any) -> int:
            # An exception cannot pass through SQLite.
            try:
                return function(*arguments)
            except BaseException as error:
                self.errors.append(error)
                return IOERR_READ

        return guarded

    # Files

    def _close(self, handle: Any) -> int:
        name, temporary = self._opened.pop(handle[0].number)
        if temporary:
            self.disk.files.pop(name, None)
        return OK

    def _name(self, handle: Any) -> str:
        return self._opened[handle[0].number][0]

    def _read(self, handle: Any, target: int, size: int, offset: int) -> int:
        file = self.disk.files.get(self._name(handle))
        if file is None or self.disk.dead:
            return IOERR_READ
        content = bytes(file.current[offset : offset + size])
        ctypes.memmove(target, content, len(content))
        if len(content) < size:
            ctypes.memset(target + len(content), 0, size - len(content))
            return IOERR_SHORT_READ
        return OK

    def _write(self, handle: Any, source: int, size: int, offset: int) -> int:
        name = self._name(handle)
        if name not in self.disk.files:
            return IOERR_WRITE
        return self.disk.write(name, offset, ctypes.string_at(source, size))

    def _truncate(self, handle: Any, size: int) -> int:
        return self.disk.cut(self._name(handle), size)

    def _sync(self, handle: Any, _flags: int) -> int:
        return self.disk.sync(self._name(handle))

    def _size(self, handle: Any, result: Any) -> int:
        file = self.disk.files.get(self._name(handle))
        if file is None or self.disk.dead:
            return IOERR_READ
        result[0] = len(file.current)
        return OK

    def _lock(self, _handle: Any, _level: int) -> int:
        return OK

    def _unlock(self, _handle: Any, _level: int) -> int:
        return OK

    def _check_lock(self, _handle: Any, result: Any) -> int:
        result[0] = 0
        return OK

    def _control(self, _handle: Any, _operation: int, _argument: int) -> int:
        return NOTFOUND

    def _sector_size(self, _handle: Any) -> int:
        return SECTOR

    def _characteristics(self, _handle: Any) -> int:
        return 0

    # File system

    def _open(self, _vfs: Any, name: bytes | None, handle: Any, flags: int, out: Any) -> int:
        self._count += 1
        text = name.decode() if name else f"temporary-{self._count}"
        self.disk.files.setdefault(text, File())
        self._opened[self._count] = text, bool(flags & _DELETE_ON_CLOSE)
        handle[0].methods, handle[0].number = ctypes.pointer(self._methods), self._count
        if out:
            out[0] = flags
        return OK

    def _delete(self, _vfs: Any, name: bytes, _sync: int) -> int:
        return self.disk.remove(name.decode())

    def _access(self, _vfs: Any, name: bytes, _flags: int, result: Any) -> int:
        result[0] = int(name.decode() in self.disk.files)
        return OK

    def _full_path(self, _vfs: Any, name: bytes, size: int, target: int) -> int:
        ctypes.memmove(target, name + b"\0", min(size, len(name) + 1))
        return OK

    def _randomness(self, _vfs: Any, size: int, target: int) -> int:
        ctypes.memmove(target, self.disk.random.randbytes(size), size)
        return size

    def _sleep(self, _vfs: Any, microseconds: int) -> int:
        return microseconds

    def _current_time(self, _vfs: Any, result: Any) -> int:
        result[0] = 2461041.5
        return OK

    def _last_error(self, _vfs: Any, _size: int, _target: int) -> int:
        return OK
