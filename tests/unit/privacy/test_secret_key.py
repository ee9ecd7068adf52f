from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from support.events import KEY
from wavebreak.errors import FileError, UsageError
from wavebreak.privacy.secret_key import load_key


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


@pytest.mark.parametrize("text", ["abcd", "not hex at all", ""])
def test_malformed_key_is_refused_and_not_quoted(tmp_path: Path, text: str) -> None:
    (tmp_path / "key").write_text(text)
    with pytest.raises(UsageError) as error:
        load_key(tmp_path / "key")
    assert "fix:" in str(error.value)
    assert not text or text not in str(error.value)


def test_unreadable_key_file_raises_file_error(tmp_path: Path) -> None:
    with pytest.raises(FileError):
        load_key(tmp_path)
    (tmp_path / "key").write_bytes(b"\xff\xfe")
    with pytest.raises(FileError):
        load_key(tmp_path / "key")
