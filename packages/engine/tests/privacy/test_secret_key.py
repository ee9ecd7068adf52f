from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from support.events import KEY
from wavebreak.errors import FileError, UsageError
from wavebreak.privacy.secret_key import load_key, load_webhook_key


def test_key_file_is_created_once_and_readable_by_owner_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WAVEBREAK_KEY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    key = load_key(None)
    path = tmp_path / ".config/wavebreak/key"
    assert len(key) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_key(None) == load_key(path) == key
    assert os.listdir(path.parent) == ["key"]


def test_environment_holds_a_key_or_the_path_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAVEBREAK_KEY", KEY.hex())
    assert load_key(None) == KEY
    monkeypatch.setenv("WAVEBREAK_KEY", str(tmp_path / "key"))
    assert load_key(None) == load_key(tmp_path / "key")


def write_private(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("text", ["abcd", "not hex at all", "", "00" * 32, "7a" * 16])
def test_malformed_key_is_refused_and_not_quoted(tmp_path: Path, text: str) -> None:
    write_private(tmp_path / "key", text.encode())
    with pytest.raises(UsageError) as error:
        load_key(tmp_path / "key")
    assert "fix:" in str(error.value)
    assert not text or text not in str(error.value)


def test_unreadable_key_file_raises_file_error(tmp_path: Path) -> None:
    with pytest.raises(FileError):
        load_key(tmp_path)
    write_private(tmp_path / "key", b"\xff\xfe")
    with pytest.raises(FileError):
        load_key(tmp_path / "key")


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o620, 0o602, 0o666])
def test_key_file_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    path = write_private(tmp_path / "key", KEY.hex().encode())
    path.chmod(mode)
    with pytest.raises(UsageError, match=r"can be read or changed by others.*chmod 600"):
        load_key(path)
    path.chmod(0o400)
    assert load_key(path) == KEY


@pytest.mark.parametrize(
    ("owner", "mode", "problem"),
    [(0, 0o440, ""), (0, 0o444, "by others"), (500, 0o400, ""), (501, 0o400, "another user")],
)
def test_key_file_is_of_its_reader_or_handed_by_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: int, mode: int, problem: str
) -> None:
    path = write_private(tmp_path / "key", KEY.hex().encode())
    found = list(path.stat())
    found[stat.ST_MODE], found[stat.ST_UID] = stat.S_IFREG | mode, owner
    monkeypatch.setattr(os, "fstat", lambda _: os.stat_result(found))
    monkeypatch.setattr(os, "geteuid", lambda: 500)
    if not problem:
        assert load_key(path) == KEY
        return
    with pytest.raises(UsageError, match=problem):
        load_key(path)


def test_key_that_must_exist_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="the key that the service runs with"):
        load_key(tmp_path / "key", create=False)
    assert list(tmp_path.iterdir()) == []


def test_key_of_webhooks_lies_in_the_service_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WAVEBREAK_WEBHOOK_KEY", raising=False)
    key = load_webhook_key(None, tmp_path)
    path = tmp_path / "webhook.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_webhook_key(None, tmp_path) == load_webhook_key(path, tmp_path) == key
    monkeypatch.setenv("WAVEBREAK_WEBHOOK_KEY", KEY.hex())
    assert load_webhook_key(None, tmp_path) == KEY
