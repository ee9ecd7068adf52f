"""Contracts of the command line: lazy loading, renamed words, help, tables with --wide, --json."""

from __future__ import annotations

import ast
import inspect
import pkgutil
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from support.former_model import extract_former_model
from wavebreak.cli.app import (
    GROUP,
    RENAMED_COMMANDS,
    RENAMED_OPTIONS,
    app,
    command_modules,
    summary,
)
from wavebreak.errors import MissingExtraError
from wavebreak.extras import COMMANDS, LAB, SERVER
from wavebreak.ledger.audit import SERVICE_DATABASE
from wavebreak_server.app import demo_streams

ROOT = Path(__file__).resolve().parents[2]
NOT_COMMANDS = {
    "app", "case_draft", "case_options", "console", "demo_stream", "demo_world", "fixes",
    "commands", "help_pages", "options", "service_home", "wavebreak_server.cli.ledger",
}  # fmt: skip
"""Modules beside commands; one whose name a module of commands has elsewhere is named in full."""
ELSEWHERE: dict[tuple[str, ...], str] = {
    ("case", name): module
    for module, names in (("case_draft", ("draft", "list", "parties")),)
    for name in names
}
"""Commands of a group that its module imports from another."""


PROJECTS = {
    tomllib.loads(file.read_text("utf-8"))["project"]["name"]: tomllib.loads(
        file.read_text("utf-8")
    )["project"]
    for file in sorted(ROOT.glob("packages/*/pyproject.toml"))
}
"""What each distribution's pyproject.toml says of it, by its name."""
HEAVY = ("numba", "sklearn", "scipy", "matplotlib", "lightgbm", "pyarrow", "numpy", "django")
NOT_FOR_RUN_HELP = (
    *HEAVY, "wavebreak.engine.engine", "wavebreak_lab.simulation", "wavebreak_lab.training",
    "wavebreak_cases.claims", "wavebreak_lab.red_team", "wavebreak_server.storage",
    "phonenumbers", "cryptography",
)  # fmt: skip


def root() -> Any:
    group: Any = typer.main.get_command(app)
    group.load()
    return group


def leaves(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command that runs something, with its path of names."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from leaves(command, (*path, name))
        else:
            yield (*path, name), command


LEAVES = dict(leaves(root()))


def options(command: Any) -> set[str]:
    return {option for parameter in command.params for option in parameter.opts}


def test_root_help_lists_every_command_with_its_summary() -> None:
    commands = root().commands
    assert sorted(commands) == sorted(COMMANDS)
    for name, command in commands.items():
        if not hasattr(command, "commands"):
            first = inspect.cleandoc(command.help).split("\n\n")[0]
            assert summary(name) == " ".join(first.split()) != "", name


def declared(distribution: str = "") -> dict[str, str]:
    """The entry points of commands of one distribution, or of all: module by name."""
    chosen = [distribution] if distribution else list(PROJECTS)
    return {
        name: module
        for each in chosen
        for name, module in PROJECTS[each]["entry-points"][GROUP].items()
    }


def test_table_of_distributions_names_the_commands_of_the_entry_points() -> None:
    assert {name.partition(".")[0] for name in declared()} == set(COMMANDS)


def test_installed_entry_points_are_those_of_the_project() -> None:
    """Where this fails, install the project again: `uv sync`, or `make`."""
    modules: dict[str, set[str]] = {}
    for name, module in declared().items():
        modules.setdefault(name.partition(".")[0], set()).add(module)
    assert {name: set(installed) for name, installed in command_modules().items()} == modules


def test_every_command_module_has_an_entry_point_of_its_distribution() -> None:
    for distribution in PROJECTS:
        package = f"{distribution.replace('-', '_')}.cli"
        modules = {m.name for m in pkgutil.iter_modules(import_module(package).__path__)}
        given = set(declared(distribution).values())
        every = {f"{package}.{name}" for name in modules - NOT_COMMANDS}
        assert given == every - NOT_COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_lies_in_the_distribution_that_the_table_names(command: str) -> None:
    names = {name.partition(".")[0] for name in declared(COMMANDS[command])}
    assert command in names


@pytest.mark.parametrize("path", sorted(LEAVES), ids=" ".join)
def test_command_is_defined_in_a_module_of_its_entry_points(path: tuple[str, ...]) -> None:
    module = inspect.unwrap(LEAVES[path].callback).__module__
    elsewhere = ELSEWHERE.get(path)
    known = {f"wavebreak_cases.cli.{elsewhere}"} if elsewhere else command_modules()[path[0]]
    assert module in known


@pytest.fixture
def engine_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Entry points as where the distribution `wavebreak` is installed, and no other."""
    points = "\n".join(f"{name} = {module}" for name, module in declared("wavebreak").items())
    for distribution in PROJECTS:
        info = tmp_path / f"{distribution.replace('-', '_')}-0.dist-info"
        info.mkdir()
        about = f"Metadata-Version: 2.4\nName: {distribution}\nVersion: 0\n"
        (info / "METADATA").write_text(about)
        brought = f"[{GROUP}]\n{points}\n" if distribution == "wavebreak" else ""
        (info / "entry_points.txt").write_text(brought)
    monkeypatch.syspath_prepend(tmp_path)
    command_modules.cache_clear()
    yield
    monkeypatch.undo()
    command_modules.cache_clear()


@pytest.mark.usefixtures("engine_alone")
def test_engine_alone_lists_and_runs_its_commands_and_names_what_brings_others() -> None:
    page = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "80"}).stdout
    listed = re.findall(r"^  ([a-z][a-z-]+)  ", page, re.MULTILINE)
    assert listed == [name for name, brings in COMMANDS.items() if brings == "wavebreak"]
    assert "Policy shipped" in CliRunner().invoke(app, ["rules", "list"]).stdout
    for name, distribution in COMMANDS.items():
        if distribution != "wavebreak":
            missing = CliRunner().invoke(app, [name, "--help"]).exception
            assert isinstance(missing, MissingExtraError), name
            assert missing.what == f"the command `{name}` is not installed"
            assert missing.fix == f"pip install {distribution}"


def next_steps(module: str) -> list[str]:
    """Commands that a module of commands prints as next steps: calls of `console.command`."""
    source = (ROOT / "packages/engine/src" / module.replace(".", "/")).with_suffix(".py")
    return [
        " ".join(str(word.value) for word in node.args if isinstance(word, ast.Constant))
        for node in ast.walk(ast.parse(source.read_text("utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "console.command"
    ]


@pytest.mark.usefixtures("engine_alone")
def test_engine_alone_recommends_only_commands_that_it_has() -> None:
    modules = set(declared("wavebreak").values())
    own = {
        path
        for path, command in LEAVES.items()
        if inspect.unwrap(command.callback).__module__ in modules
    }
    pages = [[], *([name] for name in command_modules()), *map(list, own)]
    text = [CliRunner().invoke(app, [*page, "--help"]).stdout for page in pages]
    text += [step for module in modules for step in next_steps(module)]
    named = {
        tuple(words.split()) for words in re.findall(r"wavebreak ([a-z][a-z -]*)", "\n".join(text))
    }
    assert {("run", "example", "-o", "out"), ("explain",)} <= named
    known = {path[:length] for path in own for length in range(1, len(path) + 1)}
    # A group's usage line names the group alone; what follows a command are its arguments.
    missing = [w for w in named if w[:1] not in own and w[:2] not in known]
    assert missing == []


@pytest.mark.usefixtures("engine_alone")
def test_ledger_of_a_service_needs_the_server(tmp_path: Path) -> None:
    (tmp_path / SERVICE_DATABASE).touch()
    for words in (["verify", str(tmp_path)], ["show", str(tmp_path), "7"]):
        missing = CliRunner().invoke(app, ["ledger", *words]).exception
        assert isinstance(missing, MissingExtraError)
        assert missing.what == "what reads the ledger of a service is not installed"
        assert missing.fix == f"pip install {SERVER}"


@pytest.mark.usefixtures("engine_alone")
def test_demo_stream_without_the_simulation_names_what_brings_it() -> None:
    with pytest.raises(MissingExtraError) as missing:
        demo_streams()
    assert missing.value.fix == f"pip install {LAB}"


@pytest.mark.parametrize("path", sorted(LEAVES), ids=" ".join)
def test_command_help_is_one_sentence_with_an_example(path: tuple[str, ...]) -> None:
    command = LEAVES[path]
    first = " ".join(inspect.cleandoc(command.help).split("\n\n")[0].split())
    assert first.endswith(".")
    assert len(first) <= 100
    assert f"wavebreak {' '.join(path)}" in (command.epilog or "")


@pytest.mark.parametrize("path", sorted(LEAVES), ids=" ".join)
def test_help_at_80_columns_cuts_no_option_and_no_example(path: tuple[str, ...]) -> None:
    command = LEAVES[path]
    page = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": "80"}).stdout
    shown = [p for p in command.params if p.param_type_name == "option" and not p.hidden]
    assert {o for p in shown for o in (*p.opts, *p.secondary_opts)} <= set(
        re.split(r"[\s,]+", page)
    )
    joined = " ".join(page.replace(" \\\n", " ").split())
    for example in re.findall("`([^`]+)`", command.epilog):
        assert " ".join(example.split()) in joined


def test_group_help_at_80_columns_cuts_no_summary() -> None:
    for group in ("", "case", "ledger"):
        page = CliRunner().invoke(app, [*group.split(), "--help"], env={"COLUMNS": "80"}).stdout
        joined = " ".join(page.split())
        known = root().commands[group].commands if group else root().commands
        assert known
        for each in known.values():
            assert " ".join(inspect.cleandoc(each.help).split("\n\n")[0].split()) in joined


def imported_by(*arguments: str, modules: tuple[str, ...]) -> tuple[str, list[str]]:
    """What a command line prints, and which of some modules it runs; a deferred one has not run."""
    program = (
        f"import sys; from wavebreak.cli import app; app({list(arguments)}, standalone_mode=False);"
        f"print(*[m for m in {modules} if m in sys.modules and "
        "type(sys.modules[m]).__name__ != '_LazyModule'], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return done.stdout, done.stderr.split()


def test_root_help_imports_no_heavy_module() -> None:
    printed, imported = imported_by("--help", modules=NOT_FOR_RUN_HELP)
    assert all(name in printed for name in COMMANDS)
    assert imported == []


def test_run_help_imports_no_engine_and_no_heavy_module() -> None:
    printed, imported = imported_by("run", "--help", modules=NOT_FOR_RUN_HELP)
    assert "--enforce" in printed
    assert imported == []


def test_ledger_help_imports_no_database_and_no_client_of_http() -> None:
    printed, imported = imported_by("ledger", "--help", modules=("django", "httpx", "numba"))
    assert "verify" in printed
    assert imported == []


@pytest.mark.parametrize(("old", "new"), RENAMED_COMMANDS.items())
def test_renamed_command_works_hidden_with_a_note(old: str, new: str) -> None:
    done = CliRunner().invoke(app, [old, "--help"])
    assert done.exit_code == 0
    assert f"wavebreak {new}" in done.stdout
    assert f"{old} is deprecated" in done.stderr
    assert old not in COMMANDS


@pytest.mark.parametrize(
    ("command", "old", "new"),
    [
        (command, *names)
        for command, renamed in RENAMED_OPTIONS.items()
        for names in renamed.items()
    ],
)
def test_renamed_option_works_hidden_with_a_note(command: str, old: str, new: str) -> None:
    known = {o for path, c in LEAVES.items() if path[0] == command for o in options(c)}
    assert new in known
    assert old not in known
    done = CliRunner().invoke(app, [command, f"{old}=x", "--help"])
    assert f"{old} is deprecated" in done.stderr
    assert "No such option" not in done.output


def called(node: ast.AST) -> set[str]:
    """Names of the functions that a piece of code calls."""
    calls = [n.func for n in ast.walk(node) if isinstance(n, ast.Call)]
    return {f.attr if isinstance(f, ast.Attribute) else getattr(f, "id", "") for f in calls}


def table_printers() -> set[str]:
    """Names of functions that print a table, directly or through other functions."""
    calls: dict[str, set[str]] = {}
    for path in ROOT.glob("packages/*/src/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.lstrip("_").startswith(
                ("print_", "render")
            ):
                calls.setdefault(node.name, set()).update(called(node))
    printers = {"print_table", "print_report", "add_row", "Output"}
    while more := {name for name, names in calls.items() if names & printers} - printers:
        printers |= more
    return printers


PRINTERS = table_printers() | {"Output"}
"""Functions that print tables, and the result of a command, which may hold some."""
PRINTS_TABLES = [
    path for path, command in sorted(LEAVES.items())
    if called(ast.parse(dedent(inspect.getsource(inspect.unwrap(command.callback)))))
    & PRINTERS
]  # fmt: skip


def test_commands_with_tables_are_discovered() -> None:
    assert {("run",), ("evaluate",), ("rules", "list"), ("key", "list")} <= set(PRINTS_TABLES)
    assert {("case", "merge"), ("claim", "read"), ("verify",)} <= set(PRINTS_TABLES)


@pytest.mark.parametrize("path", PRINTS_TABLES, ids=" ".join)
def test_command_that_prints_a_table_has_wide_and_json(path: tuple[str, ...]) -> None:
    assert {"--wide", "--json"} <= options(LEAVES[path])


@pytest.mark.parametrize("path", [("rules", "list"), ("features", "list"), ("model", "show")])
def test_wide_table_does_not_wrap(
    path: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    words = [*path, str(extract_former_model(tmp_path))] if path[0] == "model" else [*path]
    narrow = CliRunner().invoke(app, words).stdout.splitlines()
    wide = CliRunner().invoke(app, [*words, "--wide"]).stdout.splitlines()
    assert max(map(len, narrow)) <= 80
    assert len(wide) < len(narrow)
