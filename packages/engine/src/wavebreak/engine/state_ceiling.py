"""How much memory a process may use, and how much of it the state of accounts may have."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

from wavebreak.errors import StateSizeError, UsageError

COPY: Final = 1.2
"""Room for a snapshot's copy, as a multiple of the state."""
FIXED_BYTES: Final = 640 << 20
"""Libraries, compiled code, and what arrays reserve: large pages are touched whole."""
LEAST_BYTES: Final = 64 << 20
"""The smallest state that is of use: about fifty thousand accounts."""
DEFAULT_SHARE: Final = 0.75
"""The part of the machine's memory that a process may use unless another limit is given."""
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([KMGT]?)(?:i?B)?", re.IGNORECASE)
_UNITS: Final = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}


@dataclass(frozen=True)
class StateCeiling:
    """How many bytes the state of accounts may have.

    Attributes:
        bytes: Beyond, a service refuses all events but those that end an epoch.
    """

    bytes: int

    @property
    def accounts(self) -> int:
        """Bytes from which on a service takes no events of new accounts."""
        return self.bytes * 17 // 20

    @property
    def entities(self) -> int:
        """Bytes from which on it takes no events with new networks, devices or clients either."""
        return self.bytes * 37 // 40

    @property
    def overshoot(self) -> int:
        """Bytes beyond which an engine stops with an error."""
        return self.bytes * 21 // 20

    @classmethod
    def of_process(cls, memory: int | None, *, copies: bool, besides: int = 0) -> StateCeiling:
        """Return the ceiling for a process that may use so many bytes.

        Args:
            memory: Bytes that the process may use (None: three quarters of the machine's).
            copies: Whether it copies its state while it goes on, for snapshots.
            besides: Bytes of queues and other processes.

        Raises:
            StateSizeError: So little memory leaves no room for a state.
        """
        whole = int(available_memory() * DEFAULT_SHARE) if memory is None else memory
        times = 1 + COPY if copies else 1
        left = int((whole - FIXED_BYTES - besides) / times)
        if left < LEAST_BYTES and memory is not None:
            least = FIXED_BYTES + besides + int(LEAST_BYTES * times)
            raise StateSizeError(
                f"--max-memory {memory >> 20:,} MiB leaves no room for the state of accounts",
                fix=f"give at least {(least >> 20) + 1:,}MiB",
            )
        return cls(max(left, LEAST_BYTES))


def available_memory() -> int:
    """Return the bytes that this process may use: the machine's, or its control groups' limit."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([physical, *memory_limits()])


def parse_ceiling(max_memory: str, *, copies: bool, besides: int = 0) -> StateCeiling:
    """Return the ceiling for a process that may use so much memory.

    Args:
        max_memory: A size, as 4GiB ("": what `of_process` takes by itself).
        copies: As of `of_process`.
        besides: As of `of_process`.

    Raises:
        UsageError: It is no size.
        StateSizeError: So little memory leaves no room for a state.
    """
    memory = parse_size(max_memory) if max_memory else None
    return StateCeiling.of_process(memory, copies=copies, besides=besides)


def parse_size(text: str) -> int:
    """Return a size in bytes.

    Raises UsageError for what is no size.

    >>> parse_size("4GiB"), parse_size("512M"), parse_size("1.5 G"), parse_size("65536")
    (4294967296, 536870912, 1610612736, 65536)
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{text!r} is no size of memory", fix="write 4GiB, 1500MiB or a number")
    return int(float(match[1]) * (1 << _UNITS[match[2].upper()]))


# Limits of control groups

ROOT: Final = Path("/")
_LIMITS: Final = {"cgroup2": "memory.max", "cgroup": "memory.limit_in_bytes"}
"""File of a group's own limit, by the type of the file system: version 2 and 1."""
_STATISTICS: Final = "memory.stat"
_OF_ALL: Final = "hierarchical_memory_limit"
"""In the statistics of a group of version 1: the smallest limit up to the machine's root, also of
groups that a container does not see."""


class _Mount(NamedTuple):
    """Where the groups that limit memory are: the directory, and which group is mounted there."""

    kind: str
    place: Path
    group: PurePosixPath


def memory_limits(root: Path = ROOT) -> list[int]:
    """Return the memory limits (bytes) of this process's control group and of those above it.

    Args:
        root: The root of the file system; another one in tests.
    """
    own = _own_groups(root)
    found = list[int]()
    for mount in _mounts(root):
        at = _directory(mount, own.get(mount.kind, PurePosixPath("/")))
        for group in (at, *at.parents):
            if group.is_relative_to(mount.place):
                found += _limits_of(group, mount.kind)
    return found


def _mounts(root: Path) -> Iterator[_Mount]:
    """Yield the mounts of the groups that limit memory; the usual ones where none is listed."""
    listed = False
    for line in _lines(root / "proc/self/mountinfo"):
        before, _, after = line.partition(" - ")
        fields, described = before.split(" "), after.split(" ")
        kind = described[0]
        if len(fields) < 5 or kind not in _LIMITS:
            continue
        if kind == "cgroup" and "memory" not in described[-1].split(","):
            continue
        listed = True
        yield _Mount(kind, root / fields[4].lstrip("/"), PurePosixPath(fields[3]))
    if not listed:
        groups = root / "sys/fs/cgroup"
        yield _Mount("cgroup2", groups, PurePosixPath("/"))
        yield _Mount("cgroup", groups / "memory", PurePosixPath("/"))


def _own_groups(root: Path) -> dict[str, PurePosixPath]:
    """Return the group that this process is in, by the type of the file system."""
    found = dict[str, PurePosixPath]()
    for line in _lines(root / "proc/self/cgroup"):
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            found["cgroup2"] = PurePosixPath(path)
        elif "memory" in controllers.split(","):
            found["cgroup"] = PurePosixPath(path)
    return found


def _directory(mount: _Mount, own: PurePosixPath) -> Path:
    """Return the directory of a group below a mount; the mount where it cannot be seen there."""
    if ".." in own.parts or ".." in mount.group.parts:
        return mount.place
    below = (
        own.relative_to(mount.group) if own.is_relative_to(mount.group) else own.relative_to("/")
    )
    return mount.place / below


def _limits_of(group: Path, kind: str) -> Iterator[int]:
    for line in _lines(group / _LIMITS[kind]):
        if line.isdigit():
            yield int(line)
    if kind == "cgroup":
        for line in _lines(group / _STATISTICS):
            name, _, value = line.partition(" ")
            if name == _OF_ALL and value.isdigit():
                yield int(value)


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
