"""Files that outlast a loss of power, and a sync that failed before it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

_CHUNK = 1 << 20


def sync_file(file: IO[bytes]) -> None:
    """Write what a file has buffered, and sync its content."""
    file.flush()
    os.fsync(file.fileno())


def create_file(path: Path, content: bytes, *, mode: int = 0o666) -> None:
    """Write a new file and sync it, its name too; raises FileExistsError where there is one."""
    with _created(path, mode) as file:
        file.write(content)
        sync_file(file)
    sync_directory(path.parent)


def append_line(path: Path, line: bytes) -> None:
    """Append a line to a file, and sync it."""
    with path.open("ab") as file:
        file.write(line)
        sync_file(file)


@contextmanager
def replacing(path: Path, *, mode: int = 0o666, synced: bool = True) -> Iterator[IO[bytes]]:
    """Yield a new file, which takes the name `path` once the block has ended.

    A reader sees the former file or all of the new one, and what a failing block wrote is removed.
    A link in the place of `path` is replaced and not followed. The new file is called
    `path.RANDOM.new` meanwhile.

    Args:
        path: The file that is replaced, or created.
        mode: Permissions of the new file, less the umask.
        synced: Whether it must outlast a loss of power: False for what can be written again.
    """
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}.new")
    try:
        with _created(fresh, mode) as file:
            yield file
            if synced:
                sync_file(file)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
    if synced:
        sync_directory(path.parent)


def replace_file(path: Path, content: bytes, *, mode: int = 0o666, synced: bool = True) -> None:
    """Replace a file's content at once; see `replacing`."""
    with replacing(path, mode=mode, synced=synced) as file:
        file.write(content)


def _created(path: Path, mode: int) -> IO[bytes]:
    return open(path, "x+b", opener=lambda name, flags: os.open(name, flags, mode))


def rewrite(path: Path) -> None:
    """Write a file's bytes again where they are, and sync them; nobody else may write to it.

    On Linux, pages of a sync that failed are still read, and a later sync passes without writing
    them; written again, they are written by the next sync. Raises OSError; a file that is not there
    is left so.
    """
    try:
        handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        return
    try:
        offset = 0
        while chunk := os.pread(handle, _CHUNK, offset):
            offset += os.pwrite(handle, chunk, offset)
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_directory(directory: Path) -> None:
    """Sync a directory, so that the names of files made in it are on the disk.

    File systems that cannot sync a directory are left to themselves.
    """
    with suppress(OSError):
        handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
