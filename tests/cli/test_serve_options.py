"""Options of `serve` that contradict each other are refused before anything is opened."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from wavebreak.cli.app import app
from wavebreak.errors import UsageError


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--calibrate-after", "soon"], "--calibrate-after is no duration"),
        (["--calibrate-after", "0d"], "--calibrate-after is no duration"),
        (["--calibrate-after", "7d", "--enforce"], "begins in shadow"),
    ],
)
def test_calibration_that_cannot_be_is_refused(
    options: list[str], problem: str, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    done = CliRunner().invoke(app, ["serve", str(home), *options])
    assert isinstance(done.exception, UsageError)
    assert problem in done.exception.what
    assert done.exception.fix
    assert not home.exists()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "example.org"])
def test_keyless_service_off_this_machine_is_refused(host: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    done = CliRunner().invoke(app, ["serve", str(home), "--no-keys", "--host", host])
    assert isinstance(done.exception, UsageError)
    assert "--no-keys" in done.exception.what
    assert "--host 127.0.0.1" in done.exception.fix
    assert not home.exists()


def test_keyless_service_on_this_machine_is_warned_of(tmp_path: Path) -> None:
    options = ["--no-keys", "--calibrate-after", "soon"]
    done = CliRunner().invoke(app, ["serve", str(tmp_path / "home"), *options])
    assert "ban and unban" in done.stderr


def test_service_that_is_not_there_cannot_be_approved(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["approve", str(tmp_path), "--by", "Noa", "--reason", "read"])
    assert isinstance(done.exception, UsageError)
    assert "no service database" in done.exception.what
