"""`wavebreak replay` under a limit of memory."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from wavebreak.cli.app import app
from wavebreak.errors import StateSizeError, UsageError


def replayed(tmp_path: Path, memory: str, monkeypatch: pytest.MonkeyPatch) -> BaseException | None:
    monkeypatch.setenv("WAVEBREAK_KEY", "01ab" * 16)
    arguments = ["replay", str(tmp_path / "run"), "-o", str(tmp_path / "out")]
    return CliRunner().invoke(app, [*arguments, "--max-memory", memory]).exception


def test_memory_without_room_for_the_state_is_refused_with_what_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = replayed(tmp_path, "100MiB", monkeypatch)
    assert isinstance(refused, StateSizeError)
    assert "--max-memory 100 MiB leaves no room" in str(refused)
    least = refused.fix.split()[-1]
    assert not isinstance(replayed(tmp_path, least, monkeypatch), StateSizeError)


def test_memory_that_is_no_size_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(replayed(tmp_path, "much", monkeypatch), UsageError)
