"""The database's URL: a password in it reaches no list of processes, and no open file."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from wavebreak.errors import UsageError
from wavebreak_server.cli import service_home
from wavebreak_server.cli.serve import keys
from wavebreak_server.config_sources import Effective

URL = "postgresql://me:secret@db/abuse"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The URLs that commands bind."""
    found: list[str] = []

    def bind(options: Effective, home: Path, work: object, **_: object) -> SimpleNamespace:
        found.append(options.configuration.storage.database_url())
        return SimpleNamespace(keys=[])

    monkeypatch.delenv("WAVEBREAK_DATABASE", raising=False)
    monkeypatch.setattr(service_home, "in_database", bind)
    return found


def listed(*options: str) -> BaseException | None:
    return CliRunner().invoke(keys, ["list", "var", *options]).exception


def test_password_on_the_command_line_is_refused(asked: list[str]) -> None:
    error = listed("--database", URL)
    assert isinstance(error, UsageError)
    assert "--database-file FILE" in error.fix
    assert "secret" not in str(error)
    assert asked == []


def test_url_without_a_password_is_taken(asked: list[str]) -> None:
    assert listed("--database", "postgresql://me@db/abuse") is None
    assert asked == ["postgresql://me@db/abuse"]


@pytest.mark.parametrize("option", ["--database-file", "--database"])
def test_url_is_read_from_a_private_file(tmp_path: Path, asked: list[str], option: str) -> None:
    path = tmp_path / "url"
    path.write_text(f"{URL}\n")
    path.chmod(0o644)
    assert isinstance(listed(option, str(path)), UsageError)
    path.chmod(0o600)
    assert listed(option, str(path)) is None
    assert asked == [URL]


def test_url_with_a_password_comes_from_the_environment(
    asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAVEBREAK_DATABASE", URL)
    assert listed() is None
    assert asked == [URL]
