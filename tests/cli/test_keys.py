from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from wavebreak.errors import UsageError
from wavebreak_server.cli.serve import keys as app
from wavebreak_server.http.app_context import load_key_entries, run_in_transaction
from wavebreak_server.storage import database


@pytest.fixture
def home(tmp_path: Path) -> Path:
    database.connect("", tmp_path)
    database.migrate()
    return tmp_path


def said(*arguments: str) -> str:
    done = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_key_is_printed_once_and_can_be_rotated_and_revoked(home: Path) -> None:
    text = said("create", str(home), "gateway", "--scope", "ingest").split()[-1]
    prefix = text.split("_")[1]
    listed = said("list", str(home))
    assert prefix in listed
    assert text.split("_")[2] not in listed
    second = said("rotate", str(home), prefix, "--grace", "60").split()[-1]
    said("revoke", str(home), second.split("_")[1])
    kept = {e.prefix: e for e in run_in_transaction(load_key_entries)}
    assert len(kept) == 2
    assert all(e.ends_s is not None and e.scopes == {"ingest"} for e in kept.values())


def test_refused_key_command_names_the_fix(home: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="use ingest"):
        said("create", str(home), "x", "--scope", "everything")
    with pytest.raises(UsageError, match="key list"):
        said("revoke", str(home), "00000000")
    with pytest.raises(UsageError, match="no service database"):
        said("list", str(tmp_path / "elsewhere"))
