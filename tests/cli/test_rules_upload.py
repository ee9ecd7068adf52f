"""Versions of the policy by command: who may upload one, and what is stored."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from wavebreak.cli.app import rules as group
from wavebreak.config import SHIPPED
from wavebreak.errors import UsageError, WavebreakError
from wavebreak.privacy.secret_key import load_key
from wavebreak_server.cli import policy_replay  # noqa: F401 - declares the command
from wavebreak_server.http.app_context import run_in_transaction
from wavebreak_server.pipeline.live_policy import policies_directory, policy_files
from wavebreak_server.slices.users.service import create_user
from wavebreak_server.slices.versions.models import PolicyVersion
from wavebreak_server.storage import database, row_macs
from wavebreak_server.storage.models import AuditEntry

PASSWORD = "correct horse battery staple"
TEXT = "[evidence]\nreply = 0.1\n"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A service's directory with a policy owner and an analyst, and three policies."""
    made = tmp_path / "var"
    made.mkdir()
    monkeypatch.setenv("WAVEBREAK_KEY", "01ab" * 16)
    row_macs.bind(load_key(None))
    database.connect("", made)
    database.migrate()
    for name, role in (("noa", "policy_owner"), ("omer", "analyst")):
        run_in_transaction(lambda n=name, r=role: create_user(n, r, PASSWORD))  # type: ignore[misc]
    for name, text in (("policy", TEXT), ("broken", "[evidence]\nreply = true\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "evidence.toml").write_text(text, "utf-8")
    (tmp_path / "empty").mkdir()
    return made


def upload(home: Path, policy: str, by: str) -> str:
    arguments = ["upload", str(home), str(home.parent / policy), "--by", by, "--reason", "new"]
    return CliRunner().invoke(group, arguments, catch_exceptions=False).output


def test_policy_owner_uploads_a_checked_copy(home: Path) -> None:
    policy = home.parent / "policy"
    # A file of the service's own, and one as shipped, are no files of the version.
    (policy / "console.toml").write_text("", "utf-8")
    (policy / "quota.toml").write_bytes((SHIPPED / "quota.toml").read_bytes())
    assert "is uploaded as v1" in upload(home, "policy", "noa")
    version = PolicyVersion.objects.get()
    directory = policies_directory(home) / version.digest / version.name
    assert policy_files(directory) == {"evidence.toml": TEXT}
    assert version.state == PolicyVersion.CHECKED
    entry = AuditEntry.objects.get(action="create_policy")
    assert (entry.key, entry.reason) == ("user:noa", "new")


@pytest.mark.parametrize(
    ("by", "policy", "said"),
    [
        ("omer", "policy", "omer is no policy owner"),
        ("nobody", "policy", "nobody is no policy owner"),
        ("noa", "broken", "evidence.toml"),
        ("noa", "empty", "holds no file of a policy"),
    ],
)
def test_upload_names_what_is_wrong(home: Path, by: str, policy: str, said: str) -> None:
    with pytest.raises(WavebreakError, match=said) as refused:
        upload(home, policy, by)
    assert isinstance(refused.value, UsageError) or policy == "broken"
    assert not PolicyVersion.objects.exists()
    assert not list(policies_directory(home).glob("*/*"))
