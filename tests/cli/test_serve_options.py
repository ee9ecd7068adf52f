"""Options of `serve` that contradict each other are refused before anything is opened."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from wavebreak.cli.app import app
from wavebreak.errors import UsageError


def test_job_without_a_log_that_it_can_read_is_refused(tmp_path: Path) -> None:
    home = tmp_path / "home"
    done = CliRunner().invoke(app, ["serve", str(home), "--flink-job", "job"])
    assert isinstance(done.exception, UsageError)
    assert "--flink-job needs a log" in done.exception.what
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
    options = ["--no-keys", "--flink-job", "job"]
    done = CliRunner().invoke(app, ["serve", str(tmp_path / "home"), *options])
    assert "ban and unban" in done.stderr
