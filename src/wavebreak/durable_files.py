"""Files that outlast a loss of power, and a sync that failed before it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_CHUNK = 1 << 20


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
        at = 0
        while chunk := os.pread(handle, _CHUNK, at):
            at += os.pwrite(handle, chunk, at)
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
