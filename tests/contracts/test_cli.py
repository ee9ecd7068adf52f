"""The list of verbs is read without what they need: it must say what they say, and all of them."""

from __future__ import annotations

import inspect
import pkgutil
import subprocess
import sys
from typing import Any

import typer

from wavebreak import cli
from wavebreak.cli.app import VERBS, app

HEAVY = ("numba", "sklearn", "scipy", "matplotlib", "lightgbm", "pyarrow", "numpy")


def verbs() -> Any:
    group: Any = typer.main.get_command(app)
    group.load()
    return group


def test_every_verb_is_listed_with_the_first_line_of_its_help() -> None:
    commands = verbs().commands
    assert len(VERBS) >= 16
    assert sorted(commands) == sorted(VERBS)
    said = {name: inspect.cleandoc(c.help).split("\n\n")[0] for name, c in commands.items()}
    assert {name: " ".join(line.split()) for name, line in said.items()} == {
        name: line for name, (_, line) in VERBS.items()
    }


def test_every_module_of_verbs_is_named() -> None:
    found = {m.name for m in pkgutil.iter_modules(cli.__path__)} - {"app", "console"}
    assert found == {module for module, _ in VERBS.values()}


def test_a_verb_comes_from_the_module_that_is_named() -> None:
    for name, command in verbs().commands.items():
        inner = getattr(command, "commands", {name: command})
        homes = {inspect.unwrap(c.callback).__module__ for c in inner.values()}
        assert homes == {f"wavebreak.cli.{VERBS[name][0]}"}, name


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys; from wavebreak.cli import app; app(['--help'], standalone_mode=False); "
        f"print([m for m in {HEAVY} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert all(verb in done.stdout for verb in VERBS)
    assert done.stderr.strip() == "[]"
