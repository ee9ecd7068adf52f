"""A run over a file warns of ids that a service would refuse, and goes on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from wavebreak.cli.app import app

WARNING = "looks like a phone number"


@pytest.mark.parametrize(
    ("account", "options", "warned"),
    [("+972541234567", [], True), ("+972541234567", ["--allow-identifiers"], False),
     ("a1", [], False)],
)  # fmt: skip
def test_run_warns_of_ids_that_look_personal(
    account: str, options: list[str], warned: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAVEBREAK_KEY", "01ab" * 16)
    event = {"ts": 1_772_366_400_000, "type": "message.sent", "account": account, "peer": "b"}
    events = tmp_path / "events.jsonl"
    events.write_text(json.dumps(event) + "\n", "utf-8")
    arguments = ["run", str(events), "--model", "none", "-o", str(tmp_path / "out"), *options]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    assert (WARNING in " ".join(done.stderr.split())) is warned
