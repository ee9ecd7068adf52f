"""What a newcomer meets in the first hour: whole help, examples that run, errors with a fix."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from wavebreak.cli.app import app
from wavebreak.errors import FileError, UsageError
from wavebreak.io.field_limits import validate_event
from wavebreak.schema.events import Refusal

NOON = 1_790_000_000_000


def leaves(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield (*path, name), command
            yield from leaves(command, (*path, name))
        else:
            yield (*path, name), command


def root() -> Any:
    group: Any = typer.main.get_command(app)
    group.load()
    return group


TREE = dict(leaves(root()))
"""Every command and group, by its path of names."""


@pytest.mark.parametrize("path", [(), *sorted(TREE)], ids=" ".join)
def test_help_at_80_columns_is_whole(path: tuple[str, ...]) -> None:
    command = TREE[path] if path else root()
    page = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": "80"}).stdout
    # A word that cannot be broken, such as the choices of an option, is as long as it is.
    assert [e for e in page.splitlines() if len(e) > 80 and len(e.split()) > 2] == []
    assert re.findall(r"\S…", page) == []
    words = set(re.split(r"[\s,\[\]]+", page))
    if hasattr(command, "commands"):
        assert set(command.commands) <= words
    arguments = [p for p in command.params if p.param_type_name == "argument" and not p.hidden]
    for argument in arguments:
        assert (argument.metavar or argument.name).upper() in page.upper()


def first_example(path: tuple[str, ...]) -> list[str]:
    return shlex.split(re.findall("`([^`]+)`", TREE[path].epilog)[0])


RUN = [
    "import",
    "run",
    "assess",
    "profile",
    "evaluate",
    "explain",
    "operators list",
    "rules list",
    "rules show",
    "rules why",
    "rules check",
    "features list",
    "features show",
    "replay",
    "config docs",
    "ledger keygen",
    "business example",
    "business limits",
    "case open",
    "case party",
    "case task",
    "case show",
    "case list",
    "case parties",
    "user create",
    "user list",
    "key create",
    "key list",
    "sources",
    "lists",
]
"""Commands whose first example runs on what a newcomer has, each on what those before it wrote.

Others need a page on the network, a fitted model or a signed case.
"""


def events() -> Iterator[dict[str, Any]]:
    """Thirty people who chat for two days, and an account that writes to eighty strangers."""
    number = 0
    for day in range(2):
        for person in range(30):
            for friend in ((person + 1) % 30, (person + 2) % 30):
                for sender, peer in ((person, friend), (friend, person)):
                    number += 1
                    at = NOON + day * 86_400_000 + number * 1000
                    yield {"id": f"m{number}", "ts": at, "type": "message.sent",
                           "account": f"p{sender}", "peer": f"p{peer}", "size": 20}  # fmt: skip
    for stranger in range(80):
        at = NOON + 2 * 86_400_000 + stranger * 500
        yield {"id": f"s{stranger}", "ts": at, "type": "message.sent", "account": "a1b2c3",
               "peer": f"s{stranger}", "size": 90}  # fmt: skip
        yield {"id": f"r{stranger}", "ts": at + 100, "type": "user.reported",
               "account": f"s{stranger}", "peer": "a1b2c3", "reason": "spam"}  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory with what the examples name, and a key of its own."""
    here = tmp_path_factory.mktemp("first-hour")
    ordered = sorted(events(), key=lambda event: event["ts"])
    lines = "".join(json.dumps(event) + "\n" for event in ordered)
    (here / "events.jsonl").write_text(lines)
    rows = [f"{e['ts'] // 1000},message,{e['account']},{e['peer']}" for e in ordered if "size" in e]
    (here / "chats.csv").write_text("\n".join(["ts,type,account,peer", *rows]) + "\n")
    (here / "world").mkdir()
    (here / "world" / "labels.csv").write_text(
        "account,label,family\na1b2c3,abusive,blast\np1,benign,person\n"
    )
    (here / "my-policy").mkdir()
    shipped = (files("wavebreak") / "policy" / "quota.toml").read_text("utf-8")
    (here / "my-policy" / "quota.toml").write_text(shipped)
    (here / "var").mkdir()
    before = {name: os.environ.get(name) for name in ("WAVEBREAK_KEY",)}
    os.environ["WAVEBREAK_KEY"] = "0123456789abcdef" * 4
    yield here
    for name, value in before.items():
        os.environ.pop(name, None) if value is None else os.environ.update({name: value})


def test_first_examples_run_as_they_stand(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other, as a newcomer runs them: each finds what those before it wrote."""
    monkeypatch.chdir(place)
    failed = {}
    for name in RUN:
        words = first_example(tuple(name.split()))[1:]
        more = ["--new"] if name == "user create" else []
        done = CliRunner().invoke(app, [*words, *more])
        if done.exit_code:
            failed[name] = (done.exception, done.output[-300:])
    assert failed == {}


def test_mistyped_field_is_answered_with_the_right_one() -> None:
    event = {"id": "1", "ts": NOON, "type": "message.sent", "acount": "ann", "peer": "bob"}
    refused = validate_event(1, event)
    assert isinstance(refused, Refusal)
    assert "did you mean `account`?" in refused.message
    assert "ann" not in refused.message


def test_run_that_refuses_every_event_is_an_error(place: Path, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text(
        '{"id": "1", "ts": 1790000000000, "type": "message.sent", "acount": "a", "peer": "b"}\n' * 3
    )
    done = CliRunner().invoke(app, ["run", str(path), "-o", str(tmp_path / "out")])
    assert isinstance(done.exception, FileError)
    assert "all 3 events were refused: unknown field (3); line 1: field `acount`" in (
        done.exception.what
    )
    assert "did you mean `account`?" in done.exception.fix
    assert "refused.jsonl" in done.exception.fix


def test_hint_of_explain_names_outcomes_of_the_run(place: Path) -> None:
    done = CliRunner().invoke(app, ["explain", str(place / "out"), "nobody-of-this-name"])
    assert isinstance(done.exception, UsageError)
    outcomes = re.search(r'\?"\(([a-z|]+)\)"', done.exception.fix)
    assert outcomes
    decisions = (place / "out" / "decisions.jsonl").read_text()
    for outcome in outcomes[1].split("|"):
        assert f'"outcome":"{outcome}"' in decisions


def test_user_of_a_directory_that_is_no_service_is_refused(tmp_path: Path) -> None:
    home = tmp_path / "typo"
    done = CliRunner().invoke(app, ["user", "create", str(home), "dana"])
    assert isinstance(done.exception, UsageError)
    assert "holds no service database" in done.exception.what
    assert "--new" in done.exception.fix
    assert not home.exists()
