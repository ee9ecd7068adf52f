"""The command tree: the root application, its groups, and the lazy loading of command modules.

Importing what a command needs can take seconds. Each installed distribution names the modules of
its commands by entry points, and only the modules of the command that is called are imported. The
one-line summaries in the root help are read from the source of those modules, so they are written
once, in the docstrings.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import typer

from wavebreak import __version__
from wavebreak.cli.help_pages import CommandHelp, CommandTree, GroupHelp
from wavebreak.extras import COMMANDS, deferred_imports, missing_distribution

GROUP = "wavebreak.commands"
"""The group of the entry points: the name is that of a command, the value its module.

A group of commands may have several modules, also in several distributions. As names are unique in
a distribution, such names go on after a dot (`rules.replay`).
"""

RENAMED_COMMANDS = {"warm": "precompile", "arena": "red-team"}
"""Command names of 0.1 and their successors. The old names work until 1.0."""

RENAMED_OPTIONS = {
    "simulate": {"--innocents": "--personas"},
    "evaluate": {"--leave-out": "--exclude-family", "--plot": "--html"},
}
"""Option names of 0.1 and their successors, by command. The old names work until 1.0."""


def update_names(args: list[str]) -> list[str]:
    """Replace names of 0.1 by the current ones, with a note on standard error for each.

    >>> update_names(["run", "events.jsonl"])
    ['run', 'events.jsonl']
    """
    if not args:
        return args
    command = RENAMED_COMMANDS.get(args[0], args[0])
    if command != args[0]:
        _note_renamed(args[0], command)
    renamed = RENAMED_OPTIONS.get(command, {})
    updated = [command]
    for arg in args[1:]:
        option, equals, value = arg.partition("=")
        current = renamed.get(option, option)
        if current != option:
            _note_renamed(option, current)
        updated.append(f"{current}{equals}{value}")
    return updated


def _note_renamed(old: str, new: str) -> None:
    typer.echo(f"note: {old} is deprecated and will be removed in 1.0; use {new}", err=True)


@cache
def command_modules() -> Mapping[str, tuple[str, ...]]:
    """Return the modules of each installed command, in the order of the root help.

    Modules of one group are in the order of their entry points' names, which is the order of their
    commands in the group's help.
    """
    points = sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.module))
    modules: dict[str, tuple[str, ...]] = {}
    for point in points:
        command = point.name.partition(".")[0]
        modules[command] = (*modules.get(command, ()), point.module)
    return {name: modules[name] for name in COMMANDS if name in modules}


@cache
def _command_docstrings(module: str) -> dict[str, str]:
    """Return the docstrings of a module's root commands by name, without importing the module.

    A root command is a function under a decorator with the argument `app`; `command_group` makes
    a group.
    """
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)
    docstrings = {}
    for node in ast.parse(Path(spec.origin).read_text("utf-8")).body:
        match node:
            case ast.Assign(value=ast.Call(func=ast.Name(id="command_group"), args=args)):
                name, text = map(ast.literal_eval, args)
                docstrings[name] = text
            case ast.FunctionDef(decorator_list=[ast.Call(args=[ast.Name(id="app"), *_]) as call]):
                names = [ast.literal_eval(k.value) for k in call.keywords if k.arg == "name"]
                name = names[0] if names else node.name.replace("_", "-")
                docstrings[name] = ast.get_docstring(node) or ""
    return docstrings


def summary(name: str) -> str:
    """Return the first paragraph of a root command's help, in one line."""
    for module in command_modules()[name]:
        for place in (module, module.rpartition(".")[0]):
            if text := _command_docstrings(place).get(name):
                return " ".join(inspect.cleandoc(text).split("\n\n")[0].split())
    return ""


class LazyGroup(GroupHelp):
    """The root group: imports the modules of the command that is called, and no others."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the installed commands, in the order of the root help."""
        return list(command_modules())

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command; before the import of its module, only with a summary."""
        if cmd_name not in command_modules():
            return None
        return self.commands.get(cmd_name) or CommandHelp(cmd_name, help=summary(cmd_name))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Import the modules of the command that is called, and return the command.

        Raises:
            MissingExtraError: The command's distribution is not installed.
        """
        args = update_names(args)
        name, modules = args[0] if args else "", command_modules()
        if name in modules:
            self.load(name)
        elif name in COMMANDS:
            raise missing_distribution(f"the command `{name}`", COMMANDS[name])
        else:  # the error suggests similar names from `commands`
            self.commands = {name: self.get_command(ctx, name) for name in modules}
        return super().resolve_command(ctx, args)

    def load(self, *names: str) -> None:
        """Import the modules of commands (default: all), and add their commands to the group."""
        modules = command_modules()
        for name in names or modules:
            for module in modules[name]:
                # One command of a module needs little of what the module imports.
                with deferred_imports():
                    import_module(module)
        root: Any = typer.main.get_command(app)
        self.commands = {name: root.commands[name] for name in modules if name in root.commands}


def command_group(name: str, summary: str, **settings: Any) -> CommandTree:
    """Add a group of commands to the root.

    A distribution declares its groups in the modules that its entry points name, or in their
    package, as a call of this function with two texts: the root help reads them without an import.
    `settings` are those of `CommandTree`.
    """
    group = CommandTree(help=summary, **settings)
    app.add_typer(group, name=name)
    return group


app = CommandTree(
    name="wavebreak",
    cls=LazyGroup,
    help="Detect bulk, automated and non-personal messaging from metadata alone, and act on it.",
    epilog="Start with `wavebreak run example -o out`; then give your own events for `example`.",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
rules = command_group("rules", "List, show and check the rules of a policy.")
features = command_group("features", "List and show the features that rules and models read.")
operators = command_group(
    "operators", "List and show accounts that seem to be of one operator, and why."
)
models = command_group("model", "Show what a model reads and from which score it acts.")
ledgers = command_group(
    "ledger", "Verify a ledger of sealed decisions, and show its entries with proofs."
)


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(f"wavebreak {__version__}")
        raise typer.Exit


@app.callback()
def _wavebreak(
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print the version."
    ),
) -> None:
    """Detect bulk, automated and non-personal messaging from metadata alone, and act on it."""
