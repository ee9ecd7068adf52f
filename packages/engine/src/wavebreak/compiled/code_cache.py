"""Cache of machine code: directories created, locked while in use, and removed when old.

Each version of the sources, and each policy, has its own directory. A process holds a shared lock
on those that it uses for as long as it lives, so that no other process removes them.
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

from platformdirs import user_cache_path

from wavebreak.durations import DAY_S
from wavebreak.errors import UsageError

KEPT = 4
"""Directories of each kind that are kept, however old."""
UNUSED_S = DAY_S
"""Time since its last use after which a directory may go."""
_LOCK = ".in-use"
_OURS = re.compile(r"(numba-|rules-|)[0-9a-f]{12}")


def cache_root() -> Path:
    """Return the cache directory: `WAVEBREAK_CACHE`, else `wavebreak` in the user's cache."""
    override = os.environ.get("WAVEBREAK_CACHE")
    return Path(override) if override else user_cache_path("wavebreak")


@cache
def writable(directory: Path) -> bool:
    """Whether `directory` exists, or can be created, and is writable."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=directory).close()
    except OSError:
        return False
    return True


@cache
def hold_directory(directory: Path) -> Path:
    """Create a cache directory and lock it until this process ends; remove old ones beside it.

    Does nothing if the directory cannot be created or locked; see `writable`.

    Raises:
        UsageError: Somebody else can write it: what lies in it is run as code.
    """
    with suppress(OSError):
        directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in (directory.parent, directory):
            _check_ours(path)
        while not _lock_shared(directory):
            pass
        remove_old(directory.parent, now=time.time())
    return directory


def _check_ours(directory: Path) -> None:
    try:
        found = directory.stat()
    except FileNotFoundError:
        return
    if found.st_uid not in (0, os.geteuid()) or found.st_mode & 0o022:
        raise UsageError(
            f"others can write the cache of machine code, {directory}",
            fix=f"chmod 700 {directory} after a look at who wrote to it, or set WAVEBREAK_CACHE to "
            "a directory of your own",
        )


def _lock_shared(directory: Path) -> bool:
    """Take a shared lock on a directory; False if it was removed in between."""
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
    """Remove cache directories that have not been used for a day; the newest of each kind stay.

    `now` is in seconds since the epoch. Returns those that were removed.
    """
    sorts: dict[str, list[tuple[float, Path]]] = {}
    for path in root.iterdir():
        if found := _OURS.fullmatch(path.name):
            sorts.setdefault(found[1], []).append((_last_used(path), path))
    removed = []
    for directories in sorts.values():
        for used, path in sorted(directories, reverse=True)[KEPT:]:
            if now - used > UNUSED_S and _remove_unused(path):
                removed.append(path)
    return removed


def _last_used(directory: Path) -> float:
    """Time at which a directory was last used (an older version left no lock file)."""
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
        # The lock file goes first: a waiting process sees that it is gone, and starts over.
        (directory / _LOCK).unlink()
        shutil.rmtree(directory, ignore_errors=True)
    except OSError:
        return False
    finally:
        os.close(lock)
    return not directory.exists()
