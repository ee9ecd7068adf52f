"""Code cache: old directories are removed, never the newest or one in use."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from wavebreak.compiled.code_cache import KEPT, hold_directory, remove_old
from wavebreak.durations import DAY_S
from wavebreak.errors import UsageError

NOW = 1_800_000_000.0


def _made(root: Path, name: str, days_ago: float) -> Path:
    directory = root / name
    directory.mkdir(parents=True)
    (directory / "code.nbc").write_bytes(b"code")
    (directory / ".in-use").touch()
    os.utime(directory / ".in-use", (NOW - days_ago * DAY_S,) * 2)
    return directory


def test_remove_old_keeps_newest_and_recently_used(tmp_path: Path) -> None:
    old = [_made(tmp_path, f"numba-{k:012x}", 10 + k) for k in range(KEPT + 3)]
    of_today = [_made(tmp_path, f"rules-{k:012x}", 0.5) for k in range(KEPT + 3)]
    unlike = _made(tmp_path, "models", 99)
    assert sorted(remove_old(tmp_path, now=NOW)) == sorted(old[KEPT:])
    assert all(path.exists() for path in (*old[:KEPT], *of_today, unlike))


def test_directory_held_by_another_process_stays(tmp_path: Path) -> None:
    for k in range(KEPT):
        _made(tmp_path, f"numba-{k:012x}", 0)
    oldest = tmp_path / "numba-aaaaaaaaaaaa"
    code = (
        "import sys; from pathlib import Path;"
        "from wavebreak.compiled.code_cache import hold_directory;"
        "hold_directory(Path(sys.argv[1])); print('held', flush=True); sys.stdin.readline()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(oldest)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as other:  # fmt: skip
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        os.utime(oldest / ".in-use", (NOW - 50 * DAY_S,) * 2)
        assert remove_old(tmp_path, now=NOW) == []
        other.communicate("\n")
    assert remove_old(tmp_path, now=NOW) == [oldest]


def test_remove_old_without_lock_file_is_removed(tmp_path: Path) -> None:
    for k in range(KEPT):
        _made(tmp_path, f"{k:012x}", 0)
    bare = tmp_path / "aaaaaaaaaaaa"
    bare.mkdir()
    os.utime(bare, (NOW - 50 * DAY_S,) * 2)
    assert remove_old(tmp_path, now=NOW) == [bare]


def test_hold_directory_creates_it_or_does_nothing(
    tmp_path: Path,
) -> None:
    assert hold_directory(tmp_path / "a" / "numba-bbbbbbbbbbbb").is_dir()
    blocked = tmp_path / "file"
    blocked.write_text("not a directory")
    assert not hold_directory(blocked / "numba-bbbbbbbbbbbb").exists()


@pytest.mark.parametrize("opened", ["cache", "cache/numba-0123456789ab"])
@pytest.mark.parametrize("mode", [0o777, 0o770, 0o1777])
def test_cache_that_others_can_write_is_refused(tmp_path: Path, opened: str, mode: int) -> None:
    directory = tmp_path / "cache" / "numba-0123456789ab"
    directory.mkdir(parents=True)
    (tmp_path / opened).chmod(mode)
    with pytest.raises(UsageError, match=r"others can write the cache.*WAVEBREAK_CACHE"):
        hold_directory(directory)
    (tmp_path / opened).chmod(0o755)
    assert hold_directory(directory) == directory
