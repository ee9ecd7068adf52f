"""Options of the service: one declaration, four sources, errors with a way out."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from wavebreak.cli.app import app
from wavebreak.engine.outside_lists import ListTerms
from wavebreak.errors import UsageError
from wavebreak_server.cli.config import reference, sample_file
from wavebreak_server.config import assignment, declared_options, groups, option, parse_lists
from wavebreak_server.config_sources import read_file, resolve
from wavebreak_server.settings import Limits, Settings

KEY = "00112233445566778899aabbccddeeff"


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "wavebreak.toml"
    path.write_text(text, "utf-8")
    return path


def problem(tmp_path: Path, text: str) -> str:
    """The one problem of a file and its fix."""
    (found,) = read_file(written(tmp_path, text)).problems
    return f"{found.what}; {found.fix}"


def test_names_of_options_are_unique_across_groups() -> None:
    names = [each.name for each in declared_options()]
    assert len(set(names)) == len(names)
    variables = [each.variable for each in declared_options() if each.variable]
    assert len(set(variables)) == len(variables)


def test_defaults_are_those_of_the_settings() -> None:
    plain = resolve(None, {}, {}).configuration
    assert plain.listening.port == Settings.port
    assert plain.limits.key_megabytes * (1 << 20) == Limits.key_bytes


@pytest.mark.parametrize(
    ("flag", "variable", "in_file", "value", "source"),
    [
        (None, "", False, 8480, "default"),
        (None, "", True, 1001, "file"),
        (None, "1002", True, 1002, "WAVEBREAK_PORT"),
        (1003, "1002", True, 1003, "flag"),
        (None, " ", True, 1001, "file"),
        (None, "tcp://10.0.0.7:8480", True, 1001, "file"),
    ],
)
def test_flag_comes_before_environment_before_file_before_default(
    tmp_path: Path, flag: int | None, variable: str, in_file: bool, value: int, source: str
) -> None:
    if in_file:
        written(tmp_path, "[listening]\nport = 1001\n")
    given = resolve(tmp_path, {"port": flag}, {"WAVEBREAK_PORT": variable})
    assert given.configuration.listening.port == value
    assert given.sources["port"] == source


def test_named_file_comes_before_that_of_the_directory(tmp_path: Path) -> None:
    home, other = tmp_path / "home", tmp_path / "other.toml"
    home.mkdir()
    written(home, "[listening]\nport = 1\n")
    other.write_text("[listening]\nhost = '::1'\n")
    for given in (
        resolve(home, {}, {}, other),
        resolve(home, {}, {"WAVEBREAK_CONFIG": str(other)}),
    ):
        assert given.file == other
        assert given.configuration.listening.host == "::1"
        assert given.configuration.listening.port == Settings.port


def test_relative_paths_are_taken_from_the_directory_of_the_file(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "[decisions]\npolicy = 'policy'\nmodel = 'none'\n"
        "[keys]\nkey = '/etc/key'\n[storage]\ndatabase = 'url'\n",
    )
    asked = resolve(None, {}, {}, path).configuration
    assert asked.decisions.policy == tmp_path / "policy"
    assert asked.decisions.model == "none"
    assert asked.keys.key == Path("/etc/key")
    assert asked.storage.database == str(tmp_path / "url")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[listening]\nprot = 1", ("[listening] prot is unknown", "did you mean port?")),
        ("[limits]\nport = 1", ("[limits] port is unknown", "port of [listening]")),
        ("[listening]\ntrusted-proxies = 1", ("did you mean trusted_proxies?",)),
        ("[decisons]\nx = 1", ("[decisons] is no table", "did you mean [decisions]?")),
        ("port = 1", ("port is in no table", "write port below a line [listening]")),
        ("[listening]\nport = '1'", ("port must be a whole number from 0 to 65535", "port = 8480")),
        ("[listening]\nport = true", ("port must be a whole number",)),
        ("[listening]\nport = 65536", ("port must be a whole number from 0 to 65535",)),
        ("[limits]\nbody_timeout = inf", ("body_timeout must be a number of 0.1 or more",)),
        ("[limits]\nmax_memory = 'much'", ("is no size of memory", 'write max_memory = "4GiB"')),
        ("[decisions]\nenforce = 'yes'", ("enforce must be true or false",)),
        ("[decisions]\npolicy = 3", ("policy must be a path",)),
        ("[start]\naccept_loss = true", ("an option of one start", "--accept-loss")),
        (f"[keys]\nkey = '{KEY}'", ("holds a key", "give its path here, or set WAVEBREAK_KEY")),
        ("[keys]\nledger_key = 'PRIVATE+KEY+a+1+b'", ("holds a key", "WAVEBREAK_LEDGER_KEY")),
        (
            "[storage]\ndatabase = 'postgresql://me:secret@db/x'",
            ("holds a password", "give its path here, or set WAVEBREAK_DATABASE"),
        ),
        ("[storage]\nlog = 'kafka://me:secret@db/log'", ("holds a password", "set WAVEBREAK_LOG")),
    ],
)
def test_problem_of_a_file_names_file_key_and_fix(
    tmp_path: Path, text: str, words: tuple[str, ...]
) -> None:
    found = problem(tmp_path, text)
    assert found.startswith(str(tmp_path / "wavebreak.toml"))
    assert all(word in found for word in words), found
    assert "secret" not in found
    assert KEY not in found


def test_start_names_the_first_problem_and_counts_the_others(tmp_path: Path) -> None:
    written(tmp_path, "[listening]\nprot = 1\nhots = 'a'\n")
    with pytest.raises(UsageError) as raised:
        resolve(tmp_path, {}, {})
    assert "prot is unknown (and 1 more: wavebreak config check" in raised.value.what


def test_wrong_variable_is_named_with_what_it_must_be() -> None:
    with pytest.raises(UsageError) as raised:
        resolve(None, {}, {"WAVEBREAK_SHARDS": "many"})
    assert raised.value.what == "WAVEBREAK_SHARDS must be a whole number from 1 to 64"


@pytest.mark.parametrize(("text", "value"), [("true", True), ("0", False)])
def test_variable_says_yes_or_no(text: str, value: bool) -> None:
    given = resolve(None, {}, {"WAVEBREAK_ENFORCE": text})
    assert given.configuration.decisions.enforce is value


def test_options_of_one_start_are_not_read_from_the_environment() -> None:
    given = resolve(None, {}, {"WAVEBREAK_NO_KEYS": "1", "WAVEBREAK_ACCEPT_LOSS": "1"})
    assert not given.configuration.start.no_keys
    assert not given.configuration.start.accept_loss


def shown(*words: str, **environment: str) -> dict[str, Any]:
    done = CliRunner().invoke(app, ["config", "show", *words, "--json"], env=environment)
    assert done.exit_code == 0, done.output
    return {each["name"]: each for each in json.loads(done.stdout)["options"]}


def test_show_says_where_each_value_comes_from_and_hides_secrets(tmp_path: Path) -> None:
    written(tmp_path, "[listening]\nport = 1001\n")
    options = shown(
        str(tmp_path), WAVEBREAK_KEY=KEY, WAVEBREAK_DATABASE="postgresql://me:secret@db/abuse"
    )
    assert options["port"]["value"] == 1001
    assert options["port"]["from"] == "file"
    assert options["host"]["from"] == "default"
    assert options["key"]["value"] == "(hidden)"
    assert options["key"]["from"] == "WAVEBREAK_KEY"
    assert options["database"]["value"] == "postgresql://me:***@db/abuse"
    assert len(options) == len(declared_options())


def test_shown_table_fits_80_columns() -> None:
    done = CliRunner().invoke(app, ["config", "show"], env={"COLUMNS": "80"})
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) <= len(declared_options()) + 5


def test_check_lists_every_problem_and_exits_with_2(tmp_path: Path) -> None:
    path = written(tmp_path, "[listening]\nprot = 1\nhots = 'a'\n")
    done = CliRunner().invoke(app, ["config", "check", str(path)])
    assert done.exit_code == 2
    assert "did you mean port?" in done.stderr
    assert "did you mean host?" in done.stderr


def test_check_of_a_valid_file_exits_with_0(tmp_path: Path) -> None:
    path = written(tmp_path, "[listening]\nport = 1001\n")
    done = CliRunner().invoke(app, ["config", "check", str(path)])
    assert done.exit_code == 0
    assert "1 option, valid" in done.stdout


def test_check_refuses_options_that_contradict_each_other(tmp_path: Path) -> None:
    path = written(tmp_path, "[decisions]\nflink_job = 'job'\n")
    error = CliRunner().invoke(app, ["config", "check", str(path)]).exception
    assert isinstance(error, UsageError)
    assert "needs a log" in error.what


def test_sample_has_every_key_commented_and_is_valid_with_each_of_them(tmp_path: Path) -> None:
    text = sample_file()
    assert all(not table for table in tomllib.loads(text).values())
    lines = [f"# {assignment(each)}" for each in declared_options() if not each.about.flag_only]
    assert set(lines) <= set(text.splitlines())
    for line in lines:
        text = text.replace(f"{line}\n", f"{line.removeprefix('# ')}\n")
    said = read_file(written(tmp_path, text))
    assert said.problems == ()
    assert len(said.values) == len(lines)


def test_reference_has_every_option() -> None:
    printed = CliRunner().invoke(app, ["config", "docs"]).stdout
    assert reference() in printed
    for group, options in groups().items():
        assert f"[{group}]" in printed or group == "start"
        for each in options:
            assert each.about.help in printed
            assert f"`{each.flags[0]}`" in printed
            assert f"`{each.variable}`" in printed or not each.variable


def test_names_of_the_environment_stay() -> None:
    for name in ("DATABASE", "KEY", "LEDGER_KEY", "WEBHOOK_KEY", "MAX_MEMORY"):
        assert option(name.lower()).variable == f"WAVEBREAK_{name}"


@pytest.mark.parametrize(
    "text",
    [
        '[lists]\ncme = "delay"\nrtbl = { mode = "observe", keeper = "https://xmppbl.org" }\n',
        '[lists.cme]\nmode = "delay"\n[lists.rtbl]\nmode = "observe"\nkeeper = "https://xmppbl.org"\n',
        '[lists]\nlists = "cme=delay rtbl=observe,https://xmppbl.org"\n',
    ],
)
def test_outside_list_has_a_line_with_its_mode(tmp_path: Path, text: str) -> None:
    read = read_file(written(tmp_path, text))
    assert read.problems == ()
    assert parse_lists(read.values["lists"]) == {
        "cme": ListTerms("delay"), "rtbl": ListTerms("observe", "https://xmppbl.org"),
    }  # fmt: skip


@pytest.mark.parametrize(
    "text",
    ['[lists]\ncme = "refuse"\n', '[lists.cme]\nmood = "delay"\n', '[lists]\n"C M" = "delay"\n'],
)
def test_outside_list_without_a_mode_is_a_problem(tmp_path: Path, text: str) -> None:
    assert "lists" in problem(tmp_path, text)
