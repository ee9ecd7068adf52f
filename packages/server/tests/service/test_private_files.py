"""A service's files are its own: modes, owners, links."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from wavebreak.errors import FileError
from wavebreak_server.storage.private_files import created, make_private, open_regular


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_home_open_to_others_is_closed_and_counted(tmp_path: Path) -> None:
    home, outside = tmp_path / "home", tmp_path / "outside"
    (home / "policies" / "v1").mkdir(parents=True)
    for path in (home / "wavebreak.sqlite3", home / "policies" / "v1" / "rules.toml", outside):
        path.write_text("x")
        path.chmod(0o644)
    for path in (home, home / "policies", home / "policies" / "v1"):
        path.chmod(0o755)
    (home / "link").symlink_to(outside)
    assert make_private(home) == 5
    assert make_private(home) == 0
    assert [mode(home), mode(home / "policies" / "v1")] == [0o700, 0o700]
    assert mode(home / "wavebreak.sqlite3") == 0o600
    assert mode(outside) == 0o644


def test_new_home_is_private(tmp_path: Path) -> None:
    assert make_private(tmp_path / "a" / "b") == 0
    assert mode(tmp_path / "a" / "b") == 0o700


def test_created_file_is_private_and_below_the_directory(tmp_path: Path) -> None:
    with created(tmp_path, "policies/v1/rules.toml") as file:
        file.write(b"x")
    assert mode(tmp_path / "policies" / "v1" / "rules.toml") == 0o600
    assert mode(tmp_path / "policies") == 0o700


@pytest.mark.parametrize("planted", ["policies", "policies/v1", "policies/v1/rules.toml"])
def test_planted_link_is_not_written_through(tmp_path: Path, planted: str) -> None:
    home, outside = tmp_path / "home", tmp_path / "outside"
    outside.mkdir()
    (home / planted).parent.mkdir(parents=True)
    (home / planted).symlink_to(outside / "file" if planted.endswith("toml") else outside)
    with (
        pytest.raises(FileError, match="restore into an empty directory"),
        created(home, "policies/v1/rules.toml"),
    ):
        pass
    assert list(outside.iterdir()) == []


def test_link_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert open_regular(tmp_path / "link") is None
    assert open_regular(tmp_path) is None
    held = open_regular(tmp_path / "file")
    assert held is not None
    with held:
        assert held.read() == b"x"
