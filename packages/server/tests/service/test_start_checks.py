"""What a start checks before anything is bound."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from wavebreak.cli.app import app
from wavebreak.errors import ServiceError, UsageError
from wavebreak_server.console import assets
from wavebreak_server.pipeline import start_checks
from wavebreak_server.storage import private_files


@pytest.mark.parametrize(
    ("version", "warned"),
    [
        ((3, 11, 9), "3.11.10"),
        ((3, 11, 10), ""),
        ((3, 12, 5), "3.12.6"),
        ((3, 12, 6), ""),
        ((3, 13, 0), ""),
        ((3, 14, 0), ""),
    ],
)
def test_outdated_patch_of_python_is_named(version: tuple[int, int, int], warned: str) -> None:
    said = start_checks.outdated_python(version)
    assert bool(said) == bool(warned)
    assert warned in said


def test_serve_warns_of_an_outdated_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start_checks, "outdated_python", lambda _: "Python 3.11.9 has faults")
    monkeypatch.setenv("WAVEBREAK_KEY", "00112233445566778899aabbccddeeff")

    def refuse(_home: Path) -> int:
        raise ServiceError("the start ends here", fix="none")

    monkeypatch.setattr(private_files, "use_private_umask", lambda: None)
    monkeypatch.setattr(private_files, "make_private", refuse)
    words = ["serve", str(tmp_path / "home"), "--no-console", "--model", "none"]
    done = CliRunner().invoke(app, words)
    assert isinstance(done.exception, ServiceError)
    assert "Python 3.11.9 has faults" in done.stderr


@pytest.mark.parametrize("options", [[], ["--demo"]])
def test_serve_without_built_assets_says_how_to_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    monkeypatch.setattr(assets, "MANIFEST", tmp_path / "manifest.json")
    done = CliRunner().invoke(app, ["serve", str(tmp_path / "home"), *options])
    assert isinstance(done.exception, UsageError)
    assert "not built" in done.exception.what
    assert "make assets" in str(done.exception.fix)
    assert not (tmp_path / "home").exists()
