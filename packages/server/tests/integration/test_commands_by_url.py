"""Commands on a running service by the URL of its API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from support.service_process import Server
from wavebreak.cli.app import app
from wavebreak.errors import ServiceError, UsageError


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("remote") / "service"
    home.mkdir()
    with Server(home, keyed=True).started() as running:
        yield running


@pytest.fixture
def key_file(server: Server, tmp_path: Path) -> Path:
    file = tmp_path / "admin.key"
    file.write_text(f"{server.first_key()}\n")
    file.chmod(0o600)
    return file


def _run(server: Server, key_file: Path | None, *words: str) -> Result:
    url = f"http://127.0.0.1:{server.port}"
    key = ["--key-file", str(key_file)] if key_file else []
    return CliRunner().invoke(app, [*(url if word == "URL" else word for word in words), *key])


def test_keys_are_created_listed_and_revoked_by_url(server: Server, key_file: Path) -> None:
    created = _run(server, key_file, "key", "create", "URL", "gateway", "--scope", "ingest")
    assert created.exit_code == 0, created.output
    prefix = created.output.split("wb_")[1].split("_")[0]
    listed = _run(server, key_file, "key", "list", "URL", "--json")
    names = {key["prefix"]: key["name"] for key in json.loads(listed.stdout)}
    assert names[prefix] == "gateway"
    assert _run(server, key_file, "key", "revoke", "URL", prefix).exit_code == 0
    listed = _run(server, key_file, "key", "list", "URL", "--json")
    ends = {key["prefix"]: key["ends_ms"] for key in json.loads(listed.stdout)}
    assert ends[prefix] is not None
    assert ends[server.first_key().split("_")[1]] is None


@pytest.mark.parametrize("words", [("sources", "URL"), ("lists", "URL")])
def test_commands_that_read_answer_by_url(
    server: Server, key_file: Path, words: tuple[str, ...]
) -> None:
    shown = _run(server, key_file, *words)
    assert shown.exit_code == 0, (shown.output, shown.exception)
    assert shown.output.strip()


def test_a_command_by_url_without_a_key_or_service_names_the_fix(
    server: Server, key_file: Path
) -> None:
    unkeyed = _run(server, None, "key", "list", "URL")
    assert isinstance(unkeyed.exception, UsageError)
    assert "--key-file" in unkeyed.exception.fix
    words = ["key", "list", "http://198.51.100.7", "--key-file", str(key_file)]
    assert "plain text" in str(CliRunner().invoke(app, words).exception)
    words[2] = "http://127.0.0.1:9"
    absent = CliRunner().invoke(app, words).exception
    assert isinstance(absent, ServiceError)
    assert "did not respond" in str(absent)
    key_file.write_text(f"wb_{'0' * 8}_{'0' * 64}\n")
    refused = _run(server, key_file, "key", "list", "URL").exception
    assert isinstance(refused, UsageError)
    assert "refused the call" in str(refused)
