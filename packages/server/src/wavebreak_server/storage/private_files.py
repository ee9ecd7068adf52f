"""Files of a service that nobody else may read, and writing them without following a link."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, NoReturn

from wavebreak.errors import FileError, ServiceError

DIRECTORY_MODE, FILE_MODE, OTHERS = 0o700, 0o600, 0o077


def use_private_umask() -> None:
    """Make what this process creates from now on unreadable for everybody else."""
    os.umask(OTHERS)


def make_private(home: Path) -> int:
    """Create a directory, or take everybody else's permissions from it and what it holds.

    Links are left alone, and what they lead to.

    Returns:
        How many files and directories others could read or write before.

    Raises:
        ServiceError: The directory belongs to somebody else, or cannot be made.
    """
    try:
        home.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        if os.geteuid() not in (0, home.stat().st_uid):
            _not_owned(home)
        changed = int(_tighten(home))
        for directory, names, files in os.walk(home):
            changed += sum(_tighten(Path(directory, name)) for name in (*names, *files))
    except PermissionError:
        _not_owned(home)
    except OSError as error:
        raise ServiceError(
            f"{home} cannot be used: {error.strerror}", fix="give a directory that can be written"
        ) from None
    return changed


def _not_owned(home: Path) -> NoReturn:
    raise ServiceError(
        f"{home}, or something in it, belongs to another user",
        fix=f"run as the user that owns it, or change it: chown -R USER {home}",
    ) from None


def _tighten(path: Path) -> bool:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return False
    ours = stat.S_ISDIR(mode) or stat.S_ISREG(mode)
    if not ours or not mode & OTHERS:
        return False
    path.chmod(stat.S_IMODE(mode) & ~OTHERS)
    return True


def open_regular(path: Path) -> IO[bytes] | None:
    """Open a regular file for reading; None for a link, or anything else."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        return None
    return os.fdopen(handle, "rb")


@contextmanager
def created(home: Path, name: str) -> Iterator[IO[bytes]]:
    """Create the file `name` (with `/`) below a directory, for the block.

    Raises:
        FileError: Something has its name, or a link lies in the place of one of its directories.
    """
    *parents, leaf = name.split("/")
    handles = [os.open(home, os.O_RDONLY | os.O_DIRECTORY)]
    try:
        for parent in parents:
            handles.append(_entered(handles[-1], parent))
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        handle = os.open(leaf, flags, FILE_MODE, dir_fd=handles[-1])
    except OSError as error:
        raise FileError(
            f"{home / name} cannot be created: {error.strerror}",
            fix="restore into an empty directory",
        ) from None
    finally:
        for opened in handles:
            os.close(opened)
    with os.fdopen(handle, "w+b") as file:
        yield file


def _entered(parent: int, name: str) -> int:
    """Return a handle of a directory in another one, which is made where it is missing."""
    with suppress(FileExistsError):
        os.mkdir(name, DIRECTORY_MODE, dir_fd=parent)
    return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
