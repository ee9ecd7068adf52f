"""Challengers by command: who may register one, and what is copied."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from wavebreak.errors import UsageError
from wavebreak.model import load, save, smallest_model
from wavebreak.privacy.secret_key import load_key
from wavebreak_server.cli.challengers import challengers as group
from wavebreak_server.http.app_context import run_in_transaction
from wavebreak_server.pipeline.live_policy import models_directory
from wavebreak_server.slices.users.service import create_user
from wavebreak_server.slices.versions.models import ModelVersion
from wavebreak_server.storage import database, row_macs
from wavebreak_server.storage.models import AuditEntry

PASSWORD = "correct horse battery staple"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A service's directory with a data scientist and an analyst, and a trained model."""
    made = tmp_path / "var"
    made.mkdir()
    monkeypatch.setenv("WAVEBREAK_KEY", "01ab" * 16)
    row_macs.bind(load_key(None))
    database.connect("", made)
    database.migrate()
    for name, role in (("noa", "data_scientist"), ("omer", "analyst")):
        run_in_transaction(lambda n=name, r=role: create_user(n, r, PASSWORD))  # type: ignore[misc]
    save(smallest_model(), tmp_path / "model")
    return made


def test_data_scientist_registers_a_copy(home: Path) -> None:
    trained = home.parent / "model"
    (trained / "notes.txt").write_text("not a file of a model", "utf-8")
    arguments = ["register", str(home), str(trained), "--by", "noa", "--reason", "autumn data"]
    done = CliRunner().invoke(group, arguments, catch_exceptions=False)
    assert "registered as m1" in done.output
    made = ModelVersion.objects.get()
    copied = models_directory(home) / made.name
    assert load(copied).version == made.model == smallest_model().version
    assert {p.name for p in copied.iterdir()} == {"booster.txt", "model.json"}
    entry = AuditEntry.objects.get(action="register_model")
    assert (entry.key, entry.reason) == ("user:noa", "autumn data")


@pytest.mark.parametrize(
    ("by", "model", "said"),
    [
        ("omer", "model", "omer is no data scientist"),
        ("nobody", "model", "nobody is no data scientist"),
        ("noa", "elsewhere", "is not a model directory"),
    ],
)
def test_register_names_what_is_wrong(home: Path, by: str, model: str, said: str) -> None:
    arguments = ["register", str(home), str(home.parent / model), "--by", by, "--reason", "new"]
    with pytest.raises(UsageError, match=said):
        CliRunner().invoke(group, arguments, catch_exceptions=False)
    assert not ModelVersion.objects.exists()
    assert not models_directory(home).exists()
