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


def test_service_that_is_not_there_cannot_be_approved(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["approve", str(tmp_path), "--by", "Noa", "--reason", "read"])
    assert isinstance(done.exception, UsageError)
    assert "no service database" in done.exception.what
