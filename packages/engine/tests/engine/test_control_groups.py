"""Memory limits of nested control groups, from a tree of files as the kernel shows them."""

from __future__ import annotations

from pathlib import Path

import pytest

from wavebreak.engine import state_ceiling
from wavebreak.engine.state_ceiling import available_memory, memory_limits

V1 = "32 31 0:29 {root} /sys/fs/cgroup/memory rw,nosuid - cgroup cgroup rw,memory"
V1_OTHER = "33 31 0:30 / /sys/fs/cgroup/cpu rw,nosuid - cgroup cgroup rw,cpu"
V2 = "30 23 0:26 {root} {place} rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate"
GROUPS, V1_GROUPS = "/sys/fs/cgroup", "/sys/fs/cgroup/memory"
UNLIMITED = 9_223_372_036_854_771_712
LIMIT, MAX, STAT = "memory.limit_in_bytes", "memory.max", "memory.stat"


def tree(root: Path, own: str, mounts: str, **files: str) -> Path:
    """Write what a process sees of its groups."""
    given = {"/proc/self/cgroup": own, "/proc/self/mountinfo": mounts}
    for name, text in (given | files).items():
        path = root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n", "utf-8")
    return root


def at(group: str, file: str, text: object, base: str = V1_GROUPS) -> dict[str, str]:
    return {f"{base}{group}/{file}": str(text)}


def test_nested_group_of_version_1_is_bound_by_all_above(tmp_path: Path) -> None:
    own = "9:name=systemd:/a\n6:cpu,cpuacct:/elsewhere\n4:memory:/a/b/c\n0::/a"
    files = at("", LIMIT, UNLIMITED) | at("/a", LIMIT, 4 << 30) | at("/a/b", LIMIT, 1 << 30)
    files |= at("/a/b/c", LIMIT, 2 << 30) | at("/elsewhere", LIMIT, 1)
    root = tree(tmp_path, own, f"{V1_OTHER}\n{V1.format(root='/')}", **files)
    assert sorted(memory_limits(root)) == [1 << 30, 2 << 30, 4 << 30, UNLIMITED]


def test_nested_group_of_version_2_is_bound_by_all_above(tmp_path: Path) -> None:
    files = at("/a.slice", MAX, 3 << 30, GROUPS) | at("/a.slice/b.service", MAX, "max", GROUPS)
    files |= at("/a.slice/b.service/c", MAX, 5 << 30, GROUPS) | at("/d", MAX, 1, GROUPS)
    mounts = V2.format(root="/", place=GROUPS)
    root = tree(tmp_path, "0::/a.slice/b.service/c", mounts, **files)
    assert sorted(memory_limits(root)) == [3 << 30, 5 << 30]


@pytest.mark.parametrize("own", ["/docker/1f", "/docker/1f/worker", "/"])
def test_container_of_version_1_reads_what_is_mounted(tmp_path: Path, own: str) -> None:
    """The machine's name of the group is no path there; with a namespace of groups it is /."""
    files = at("", LIMIT, 2 << 30) | at("/worker", LIMIT, 1 << 30)
    mounted = V1.format(root="/" if own == "/" else "/docker/1f")
    root = tree(tmp_path, f"4:memory:{own}", mounted, **files)
    assert min(memory_limits(root)) == (1 << 30 if own.endswith("worker") else 2 << 30)


def test_group_above_a_container_of_version_1_counts(tmp_path: Path) -> None:
    files = at("", LIMIT, UNLIMITED)
    files |= at("", STAT, f"cache 4096\nhierarchical_memory_limit {3 << 30}\nrss 5")
    root = tree(tmp_path, "4:memory:/docker/1f", V1.format(root="/docker/1f"), **files)
    assert min(memory_limits(root)) == 3 << 30


@pytest.mark.parametrize("own", ["0::/", "0::/../other", "0::/system.slice/not.seen", ""])
def test_container_of_version_2_reads_its_root(tmp_path: Path, own: str) -> None:
    mounts = V2.format(root="/", place=GROUPS)
    root = tree(tmp_path, own, mounts, **at("", MAX, 2 << 30, GROUPS))
    assert memory_limits(root) == [2 << 30]


def test_both_versions_bound_a_hybrid_machine(tmp_path: Path) -> None:
    unified = "/sys/fs/cgroup/unified"
    mounts = f"{V1.format(root='/')}\n{V2.format(root='/', place=unified)}"
    files = at("/a", LIMIT, 2 << 30) | at("/b", MAX, 1 << 30, unified)
    root = tree(tmp_path, "4:memory:/a\n0::/b", mounts, **files)
    assert sorted(memory_limits(root)) == [1 << 30, 2 << 30]


def test_usual_places_are_read_where_no_mount_is_listed(tmp_path: Path) -> None:
    files = at("/a", LIMIT, 2 << 30) | at("/b", MAX, 1 << 30, GROUPS)
    root = tree(tmp_path, "4:memory:/a\n0::/b", "", **files)
    assert sorted(memory_limits(root)) == [1 << 30, 2 << 30]
    assert memory_limits(tmp_path / "nothing") == []


def test_smallest_limit_is_the_memory_available(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = available_memory()
    root = tree(tmp_path, "0::/a", V2.format(root="/", place=GROUPS),
                **at("", MAX, whole // 2, GROUPS), **at("/a", MAX, whole // 4, GROUPS))  # fmt: skip
    monkeypatch.setattr(state_ceiling, "memory_limits", lambda: memory_limits(root))
    assert available_memory() == whole // 4
