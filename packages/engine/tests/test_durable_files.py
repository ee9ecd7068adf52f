"""A file that was made durably keeps its name: its directory is synced after it has it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from support.service_harness import SECRET, migrated
from support.shared_policy import make_engine
from wavebreak import rules
from wavebreak.durable_files import (
    append_line,
    create_file,
    replace_file,
    replacing,
    rewrite,
    sync_directory,
)
from wavebreak.engine import snapshot
from wavebreak_server.pipeline import live_policy
from wavebreak_server.slices.backup import service as backup


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, list[str]]]:
    """Directories in the order in which they are synced, with the names that they had then."""
    found: list[tuple[Path, list[str]]] = []
    real = os.fsync

    def recorded(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            path = Path(os.readlink(f"/proc/self/fd/{handle}"))
            found.append((path, sorted(each.name for each in path.iterdir())))
        real(handle)

    monkeypatch.setattr(os, "fsync", recorded)
    return found


def test_backup_syncs_the_directory_that_names_it(
    tmp_path: Path, synced: list[tuple[Path, list[str]]]
) -> None:
    home, place = tmp_path / "home", tmp_path / "backups"
    for directory in (home, place):
        directory.mkdir()
    with migrated("sqlite", home):
        backup.save(home, place / "monday", SECRET)
    assert (place, ["monday"]) in synced


def test_snapshot_syncs_the_directory_that_names_it(
    tmp_path: Path, synced: list[tuple[Path, list[str]]]
) -> None:
    snapshot.save(make_engine(rules.load_policy()), tmp_path / "state")
    assert synced == [(tmp_path, ["state"])]


def test_live_policy_syncs_the_directory_that_names_it(
    tmp_path: Path, synced: list[tuple[Path, list[str]]]
) -> None:
    live = live_policy.LivePolicy("version", "policy", "digest", 0, 0, 0)
    live_policy.set_live_policy(tmp_path, live)
    ((directory, names),) = synced
    assert directory.parent == tmp_path
    assert len(names) == 1


def test_directory_that_cannot_be_synced_is_left_to_itself(tmp_path: Path) -> None:
    sync_directory(tmp_path / "absent")
    assert not (tmp_path / "absent").exists()


def test_rewritten_file_is_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "log"
    content = bytes(range(256)) * 9_000
    path.write_bytes(content)
    before = path.stat()
    rewrite(path)
    assert path.read_bytes() == content
    assert path.stat().st_ino == before.st_ino
    rewrite(tmp_path / "absent")
    assert not (tmp_path / "absent").exists()


def test_link_is_not_rewritten(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        rewrite(tmp_path / "link")


def _write_half(path: Path) -> None:
    with replacing(path) as file:
        file.write(b"half")
        raise ZeroDivisionError


def test_a_failing_block_leaves_the_former_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    replace_file(path, b"former")
    with pytest.raises(ZeroDivisionError):
        _write_half(path)
    assert path.read_bytes() == b"former"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    other, path = tmp_path / "other", tmp_path / "file"
    other.write_text("mine")
    path.symlink_to(other)
    replace_file(path, b"new", mode=0o600, synced=False)
    assert (other.read_text(), path.read_text()) == ("mine", "new")
    assert stat.S_IMODE(path.lstat().st_mode) == 0o600


def test_a_new_file_takes_the_place_of_no_other(
    tmp_path: Path, synced: list[tuple[Path, list[str]]]
) -> None:
    create_file(tmp_path / "file", b"one", mode=0o600)
    assert synced == [(tmp_path, ["file"])]
    with pytest.raises(FileExistsError):
        create_file(tmp_path / "file", b"two")
    assert (tmp_path / "file").read_bytes() == b"one"


def test_lines_are_appended(tmp_path: Path) -> None:
    append_line(tmp_path / "file", b"one\n")
    append_line(tmp_path / "file", b"two\n")
    assert (tmp_path / "file").read_bytes() == b"one\ntwo\n"
