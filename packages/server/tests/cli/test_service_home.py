"""Every command that opens the directory of a service reads the options that `serve` reads."""

from __future__ import annotations

import fcntl
import json
import secrets
import shutil
import sqlite3
import tarfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from wavebreak.cli.app import app
from wavebreak.errors import UsageError
from wavebreak.extras import COMMANDS, SERVER
from wavebreak.ledger import DirectoryStorage
from wavebreak.ledger.checkpoints import new_signer, save_signer
from wavebreak_server.cli.config import commands_by_option
from wavebreak_server.config_sources import resolve
from wavebreak_server.storage import database, ownership

FIXTURES = Path(__file__).resolve().parents[4] / "tests" / "fixtures"

HOME, OUT, DAY = "{home}", "{home}/out", "2026-01-01"
WORDS: dict[str, list[str]] = {
    "backup": [HOME, "-o", OUT],
    "challenger register": [HOME, "model", "--by", "noa", "--reason", "new"],
    "challenger replay": [HOME, "model", "-o", OUT],
    "key create": [HOME, "gateway", "--scope", "ingest"],
    "key list": [HOME],
    "key revoke": [HOME, "1a2b3c4d"],
    "key rotate": [HOME, "1a2b3c4d"],
    "lane declare": [HOME, "ann", "clinic", "--reason", "licence"],
    "lane list": [HOME],
    "learn": [HOME],
    "lists": [HOME],
    "log repair": [HOME],
    "log trim": [HOME, "--keep", "90d", "--reason", "retention"],
    "restore": ["monday.wavebreak", HOME],
    "rules replay": [HOME, "-o", OUT],
    "rules upload": [HOME, "policy", "--by", "noa", "--reason", "new"],
    "serve": [HOME],
    "sources": [HOME],
    "transparency export": [HOME, "-o", OUT],
    "transparency recount": ["{keys}/report.json", HOME],
    "transparency report": [HOME, "--from", DAY, "--to", "2026-02-01", "-o", OUT],
    "traps add": [HOME, "entries.txt", "--reason", "new"],
    "traps list": [HOME],
    "traps rotate": [HOME, "--reason", "monthly"],
    "upgrade": [HOME],
    "user create": [HOME, "dana"],
    "user list": [HOME],
}
"""What each command is called with."""
MIGRATING = {"serve", "upgrade"}
"""What brings the tables of an earlier version to this one."""
LEDGER_WORDS: dict[str, list[str]] = {
    "ledger checkpoint": [HOME],
    "ledger prove": [HOME, "--position", "0", "-o", OUT],
    "ledger rotate": [HOME, "--old", "{keys}/old.key", "--new", "{keys}/new.key"],
    "ledger show": [HOME, "0"],
    "ledger verify": [HOME],
    "ledger witness": [HOME, "--url", "https://witness.example", "--witness-key", "{keys}/old.key"],
}
"""Commands of the engine that read the ledger of a service too."""
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
    assert of_server | {"rules replay", "rules upload"} == WORDS.keys() | OTHERS


@pytest.mark.parametrize("named", ["", "--config", "WAVEBREAK_CONFIG"])
@pytest.mark.parametrize("command", WORDS | LEDGER_WORDS)
def test_command_reads_the_file_of_options(command: str, named: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    for name in ("old", "new"):
        save_signer(new_signer("example.org/log"), tmp_path / f"{name}.key")
    file = tmp_path / "other.toml" if named else home / "wavebreak.toml"
    file.write_text("[storage]\ndatabse = 'x'\n", "utf-8")
    words = [word.format(home=home, keys=tmp_path) for word in (WORDS | LEDGER_WORDS)[command]]
    options = ["--config", str(file)] if named == "--config" else []
    environment = {"WAVEBREAK_CONFIG": str(file)} if named.startswith("W") else {}
    done = CliRunner().invoke(app, [*command.split(), *words, *options], env=environment)
    assert isinstance(done.exception, UsageError), done.output
    assert done.exception.what == f"{file}: [storage] databse is unknown"
    assert [each.name for each in home.iterdir()] == ([] if named else ["wavebreak.toml"])


def test_every_command_that_takes_a_database_reads_the_file() -> None:
    root: Any = typer.main.get_command(app)
    root.load("ledger")
    ledger = root.commands["ledger"].commands
    asking = {f"ledger {name}" for name, each in ledger.items() if "database_url" in _names(each)}
    assert asking == LEDGER_WORDS.keys()


def _names(command: Any) -> set[str]:
    return {each.name for each in command.params}


def test_directory_with_a_file_of_options_is_that_of_a_service(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "wavebreak.toml").write_text("[keys]\nledger_key = 'ledger.key'\n", "utf-8")
    done = CliRunner().invoke(app, ["ledger", "show", str(home), "0"])
    assert isinstance(done.exception, UsageError), done.output
    assert done.exception.what == f"{home} holds no service database"
    ledger = tmp_path / "ledger"
    DirectoryStorage(ledger, write=True).close()
    shown = ["ledger", "show", str(ledger), "0"]
    environment = {"WAVEBREAK_CONFIG": str(home / "wavebreak.toml")}
    done = CliRunner().invoke(app, shown, env=environment)
    assert "there is no entry 0" in str(done.exception)


def test_every_command_but_serve_is_in_the_reference_with_its_options() -> None:
    assert set(commands_by_option()["database"]) == WORDS.keys() - {"serve"}


def test_option_in_an_error_is_named_as_it_was_given(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "wavebreak.toml").write_text("[decisions]\nflink_job = 'job'\n", "utf-8")
    done = CliRunner().invoke(app, ["serve", str(home)])
    assert isinstance(done.exception, UsageError)
    assert done.exception.what == (
        f"[decisions] flink_job of {home}/wavebreak.toml needs a log that the job can read"
    )


def test_option_that_was_given_by_flag_keeps_its_flag() -> None:
    options = resolve(None, {"oidc": Path("oidc.toml")}, {"WAVEBREAK_CONSOLE_URL": "abuse"})
    text = "--oidc: oidc.toml lacks name; --console-url is no address"
    assert options.in_given_form(text) == (
        "--oidc: oidc.toml lacks name; WAVEBREAK_CONSOLE_URL is no address"
    )


@pytest.fixture(scope="module")
def home_of_0_2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a service of version 0.2, with a transparency report beside it."""
    directory = tmp_path_factory.mktemp("service-0.2")
    with tarfile.open(FIXTURES / "service-0.2" / "service.tar.xz") as archive:
        archive.extractall(directory)
    home, upgraded = directory / "home", directory / "upgraded"
    shutil.copytree(home, upgraded)
    period = ["--from", "2026-01-01", "--to", "2026-12-01"]
    report = ["transparency", "report", str(upgraded), *period, "-o", str(directory / "report")]
    for words in (["upgrade", str(upgraded)], report):
        assert CliRunner().invoke(app, words).exit_code == 0
    return home


@pytest.fixture
def earlier(home_of_0_2: Path, tmp_path: Path) -> Path:
    """A directory with the database of 0.2."""
    home = tmp_path / "home"
    shutil.copy(home_of_0_2.parent / "report" / "report.json", tmp_path)
    home.mkdir()
    shutil.copy(home_of_0_2 / database.FILE, home)
    return home


def migrations(home: Path) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(home / database.FILE)) as connection:
        return connection.execute("SELECT app, name FROM django_migrations ORDER BY id").fetchall()


def call(command: str, home: Path) -> BaseException | None:
    """Run a command on a home, and return the error with which it ends."""
    keys = home.parent
    for name in ("old", "new"):
        if not (keys / f"{name}.key").exists():
            save_signer(new_signer("example.org/log"), keys / f"{name}.key")
    words = [word.format(home=home, keys=keys) for word in (WORDS | LEDGER_WORDS)[command]]
    environment = {"WAVEBREAK_KEY": secrets.token_hex(32)}
    return CliRunner().invoke(app, [*command.split(), *words], env=environment).exception


@pytest.mark.parametrize("command", sorted((WORDS | LEDGER_WORDS).keys() - MIGRATING))
def test_command_never_migrates_and_names_the_fix(command: str, earlier: Path) -> None:
    before = migrations(earlier)
    error = call(command, earlier)
    assert isinstance(error, UsageError), repr(error)
    assert "is of an earlier version of Wavebreak: it lacks" in error.what
    assert f"wavebreak upgrade {earlier}" in error.fix
    assert migrations(earlier) == before


def test_command_beside_an_earlier_service_says_so(earlier: Path) -> None:
    before = migrations(earlier)
    with (earlier / ownership.LOCK_FILE).open("w") as lock:
        lock.write('{"holder": "process 7 on abuse-1"}')
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        error = call("key list", earlier)
    assert isinstance(error, UsageError)
    assert f"runs in {earlier} (process 7 on abuse-1) is of an earlier version" in error.what
    assert "use the version that runs; or stop it" in error.fix
    assert migrations(earlier) == before


def test_command_on_tables_of_a_later_version_is_refused(earlier: Path) -> None:
    row = "INSERT INTO django_migrations (app, name, applied) VALUES ('console', '0999_x', 'now')"
    with closing(sqlite3.connect(earlier / database.FILE)) as connection:
        connection.execute(row)
        connection.commit()
    for command in ("key list", "upgrade"):
        error = call(command, earlier)
        assert isinstance(error, UsageError)
        assert "is of a later version of Wavebreak (console.0999_x)" in error.what


def test_upgrade_lists_migrates_and_then_has_nothing_to_do(earlier: Path) -> None:
    before = migrations(earlier)
    listed = CliRunner().invoke(app, ["upgrade", str(earlier), "--check", "--json"])
    assert listed.exit_code == 1
    pending = json.loads(listed.stdout)["migrations"]
    assert "service.0016_asked_declarations" in pending
    assert migrations(earlier) == before
    migrated = CliRunner().invoke(app, ["upgrade", str(earlier), "--json"])
    assert json.loads(migrated.stdout) == {"migrations": pending, "applied": True}
    assert CliRunner().invoke(app, ["upgrade", str(earlier), "--check"]).exit_code == 0
    assert CliRunner().invoke(app, ["key", "list", str(earlier)]).exit_code == 0


def test_database_without_tables_is_made_by_upgrade(tmp_path: Path) -> None:
    (tmp_path / database.FILE).touch()
    error = call("key list", tmp_path)
    assert isinstance(error, UsageError)
    assert "has no tables yet" in error.what
    assert CliRunner().invoke(app, ["upgrade", str(tmp_path)]).exit_code == 0
    assert call("key list", tmp_path) is None
