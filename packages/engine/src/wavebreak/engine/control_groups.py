"""Memory limits of the control groups that hold this process: versions 1 and 2, nested or not.

The smallest limit on the way from the process's own group to the root holds. In a container the
root that is mounted is the container's group, and `/proc/self/cgroup` may name it as the machine
does: `/proc/self/mountinfo` says which part of that name the mount leaves out.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

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
