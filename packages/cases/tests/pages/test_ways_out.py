"""Errors on cases are codes with values: commands say what to run, forms link to forms."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from typer.testing import CliRunner

import wavebreak_cases
from support.console_harness import RunningConsole
from support.legal_cases import PAGE, act, case_visits, text_of
from wavebreak.cli.app import app
from wavebreak.errors import CaseError
from wavebreak_cases.acts import ACTS
from wavebreak_cases.cli.fixes import FIXES
from wavebreak_cases.pages.forms import FORMS

SOURCES = Path(wavebreak_cases.__file__).parent
NAMES_COMMAND = re.compile(r"`(wavebreak|case|claim|run) |(?<![\\w-])--[a-z]")


def errors() -> Iterator[tuple[str, ast.Call]]:
    """Every error and fault that a module of the domain makes, with its place."""
    for path in sorted(SOURCES.rglob("*.py")):
        if path.parent.name == "cli":
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Call(func=ast.Name(id=name)) if name.endswith("Error") or name == "Fault":
                    yield f"{path.relative_to(SOURCES)}:{node.lineno}", node


def texts(call: ast.Call) -> Iterator[str]:
    for node in ast.walk(call):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_no_error_of_the_domain_names_a_command() -> None:
    # An operator of the service reads this one, and starts it by command.
    naming = {place for place, call in errors() if any(map(NAMES_COMMAND.search, texts(call)))}
    assert {place.partition(":")[0] for place in naming} == {"pages/apps.py"}


def test_each_code_has_the_words_of_a_command() -> None:
    codes = {
        keyword.value.value
        for _, call in errors()
        for keyword in call.keywords
        if keyword.arg == "code" and isinstance(keyword.value, ast.Constant)
    }
    assert codes == set(FIXES)
    assert all(NAMES_COMMAND.search(fix) for fix in FIXES.values())


def test_each_form_that_is_a_way_out_is_one_of_the_console() -> None:
    assert set(FORMS) < set(FIXES)
    assert all(ACTS[name].form for name in FORMS.values())


def test_command_says_what_to_run(tmp_path: Path) -> None:
    place, key = str(tmp_path / "C-7"), str(tmp_path / "key")
    shared = ["--by", "Noa", "--seal-key", key]
    CliRunner().invoke(app, ["case", "open", place, "--title", "x", *shared])
    said = CliRunner().invoke(app, ["case", "advance", place, "investigating", *shared])
    assert isinstance(said.exception, CaseError)
    assert said.exception.fix == "name one: `wavebreak case party CASE NAME`"
    said = CliRunner().invoke(app, ["bundle", str(tmp_path), "-o", str(tmp_path / "C-7.zip")])
    assert isinstance(said.exception, CaseError)
    assert said.exception.fix == "open one: `wavebreak case open DIR --title …`"


def test_command_on_claims_says_what_to_run(tmp_path: Path) -> None:
    said = CliRunner().invoke(app, ["claim", "read", str(tmp_path)])
    assert "wavebreak claim capture" in str(said.exception)


@case_visits
async def test_form_links_to_the_form_that_is_the_way_out(console: RunningConsole) -> None:
    counsel = await console.person("counsel")
    await act(counsel, "add_task", what="Read the letter")
    answer = await act(counsel, "change_state", to="closed")
    assert answer.status_code == 422
    assert f'<a href="{PAGE}/act/finish_task">Finish it</a>.' in answer.text
    assert "`wavebreak" not in text_of(answer.text)
