"""Directories of machine code: made, marked as in use, and removed when they have grown old.

Each version of the sources, and each policy, has a directory of its own. A process holds a shared
lock in those that it uses for as long as it lives, so that no other removes them meanwhile.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

KEPT = 4
"""Directories of each sort that stay, however old."""
DAY_S = 86_400.0
"""Time since its last use after which a directory may go."""
_LOCK = ".in-use"
_OURS = re.compile(r"(numba-|rules-|)[0-9a-f]{12}")


def cache_root() -> Path:
    """Directory of everything that may be made again: `WAVEBREAK_CACHE`, else the user's cache."""
    own = os.environ.get("WAVEBREAK_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(own) if own else Path(base) / "wavebreak"


@cache
def writable(directory: Path) -> bool:
    """Whether `directory` exists, or can be made, and takes a file."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=directory).close()
    except OSError:
        return False
    return True


@cache
def hold_directory(directory: Path) -> Path:
    """Make a cache directory and hold it until this process ends; older ones beside it may go.

    Where it cannot be made or locked nothing is done: `writable` tells.
    """
    with suppress(OSError):
        directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        while not _lock_shared(directory):
            pass
        remove_old(directory.parent, now=time.time())
    return directory


def _lock_shared(directory: Path) -> bool:
    """Lock a directory, shared; False when it was removed before the lock was there."""
    directory.mkdir(mode=0o700, exist_ok=True)
    path = directory / _LOCK
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except FileNotFoundError:
        return False
    fcntl.flock(lock, fcntl.LOCK_SH)
    if os.fstat(lock).st_nlink == 0:
        os.close(lock)
        return False
    os.utime(path)
    return True


def remove_old(root: Path, *, now: float) -> list[Path]:
    """Remove cache directories that nobody uses, nor has for a day; the newest of each sort stay.

    `now` is in seconds since the epoch. Gives those that were removed.
    """
    sorts: dict[str, list[tuple[float, Path]]] = {}
    for path in root.iterdir():
        if found := _OURS.fullmatch(path.name):
            sorts.setdefault(found[1], []).append((_last_used(path), path))
    removed = []
    for directories in sorts.values():
        for used, path in sorted(directories, reverse=True)[KEPT:]:
            if now - used > DAY_S and _remove_unused(path):
                removed.append(path)
    return removed


def _last_used(directory: Path) -> float:
    """When a directory was last taken into use (an older version left no mark)."""
    with suppress(OSError):
        return (directory / _LOCK).stat().st_mtime
    with suppress(OSError):
        return directory.stat().st_mtime
    return 0.0


def _remove_unused(directory: Path) -> bool:
    try:
        lock = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # The mark goes first: who waits for the lock sees that it is gone, and begins anew.
        (directory / _LOCK).unlink()
        shutil.rmtree(directory, ignore_errors=True)
    except OSError:
        return False
    finally:
        os.close(lock)
    return not directory.exists()
