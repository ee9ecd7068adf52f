"""Every command that opens the directory of a service reads the options that `serve` reads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from wavebreak.cli.app import app
from wavebreak.errors import UsageError
from wavebreak.extras import COMMANDS, SERVER
from wavebreak_server.cli.config import commands_by_option
from wavebreak_server.config_sources import resolve

HOME, OUT, DAY = "{home}", "{home}/out", "2026-01-01"
WORDS: dict[str, list[str]] = {
    "approve": [HOME, "--by", "noa", "--reason", "read"],
    "backup": [HOME, "-o", OUT],
    "calibrate": [HOME, "-o", OUT],
    "challenger follow": [HOME, "model", "-o", OUT],
    "challenger register": [HOME, "model", "--by", "noa", "--reason", "new"],
    "challenger replay": [HOME, "model", "-o", OUT],
    "key create": [HOME, "gateway", "--scope", "ingest"],
    "key list": [HOME],
    "key revoke": [HOME, "1a2b3c4d"],
    "key rotate": [HOME, "1a2b3c4d"],
    "log repair": [HOME],
    "log trim": [HOME, "--keep", "90d", "--reason", "retention"],
    "restore": ["monday.wavebreak", HOME],
    "rules replay": [HOME, "-o", OUT],
    "serve": [HOME],
    "sources": [HOME],
    "transparency export": [HOME, "-o", OUT],
    "transparency recount": ["report.json", HOME],
    "transparency report": [HOME, "--from", DAY, "--to", "2026-02-01", "-o", OUT],
    "user create": [HOME, "dana"],
    "user list": [HOME],
}
"""What each command is called with."""
OTHERS = {"config check", "config docs", "config show"}
"""Commands of the server that open no database."""


def leaves(commands: dict[str, Any], before: str = "") -> Iterator[str]:
    for name, command in commands.items():
        if hasattr(command, "commands"):
            yield from leaves(command.commands, f"{before}{name} ")
        else:
            yield f"{before}{name}"


def test_table_names_every_command_of_the_server() -> None:
    root: Any = typer.main.get_command(app)
    root.load()
    commands = [name for name, brings in COMMANDS.items() if brings == SERVER]
    of_server = {path for path in leaves(root.commands) if path.split()[0] in commands}
    assert of_server | {"rules replay"} == WORDS.keys() | OTHERS


@pytest.mark.parametrize("named", ["", "--config", "WAVEBREAK_CONFIG"])
@pytest.mark.parametrize("command", WORDS)
def test_command_reads_the_file_of_options(command: str, named: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    file = tmp_path / "other.toml" if named else home / "wavebreak.toml"
    file.write_text("[storage]\ndatabse = 'x'\n", "utf-8")
    words = [word.format(home=home) for word in WORDS[command]]
    options = ["--config", str(file)] if named == "--config" else []
    environment = {"WAVEBREAK_CONFIG": str(file)} if named.startswith("W") else {}
    done = CliRunner().invoke(app, [*command.split(), *words, *options], env=environment)
    assert isinstance(done.exception, UsageError), done.output
    assert done.exception.what == f"{file}: [storage] databse is unknown"
    assert [each.name for each in home.iterdir()] == ([] if named else ["wavebreak.toml"])


def test_every_command_but_serve_is_in_the_reference_with_its_options() -> None:
    assert set(commands_by_option()["database"]) == WORDS.keys() - {"serve"}


def test_option_in_an_error_is_named_as_it_was_given(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "wavebreak.toml").write_text("[decisions]\nenforce = true\n", "utf-8")
    environment = {"WAVEBREAK_CALIBRATE_AFTER": "7d"}
    done = CliRunner().invoke(app, ["serve", str(home)], env=environment)
    assert isinstance(done.exception, UsageError)
    assert done.exception.what == (
        "WAVEBREAK_CALIBRATE_AFTER begins in shadow, and "
        f"[decisions] enforce of {home}/wavebreak.toml does not"
    )


def test_option_that_was_given_by_flag_keeps_its_flag() -> None:
    options = resolve(None, {"oidc": Path("oidc.toml")}, {"WAVEBREAK_CONSOLE_URL": "abuse"})
    text = "--oidc: oidc.toml lacks name; --console-url is no address"
    assert options.in_given_form(text) == (
        "--oidc: oidc.toml lacks name; WAVEBREAK_CONSOLE_URL is no address"
    )
