"""Commands of the service's configuration: show, check, docs."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from wavebreak.cli import console
from wavebreak.cli.app import app, command_group
from wavebreak.cli.commands import Output, command, leaf_commands
from wavebreak.cli.console import styled
from wavebreak.errors import UsageError
from wavebreak.extras import COMMANDS, SERVER
from wavebreak.reports.tables import Table, count_of
from wavebreak_server.config import (
    DeclaredOption,
    assignment,
    declared_options,
    group_summary,
    groups,
    value_text,
)
from wavebreak_server.config_sources import (
    FILE,
    FILE_VARIABLE,
    Effective,
    check_combinations,
    read_file,
    resolve,
)

configuration = command_group(
    "config", "Show, check and document the options of the service and their file."
)

SAMPLE_WIDTH = 98

INTRODUCTION = f"""Each option of `wavebreak serve` is a key of a TOML file, a variable of the
environment and a flag. A flag comes before the environment, the environment before the file, the
file before the default.

- The file is the one that `--config FILE` names, or `{FILE_VARIABLE}`, else
  `{FILE}` in HOME where it exists. Relative paths in it are taken from its directory.
- An unknown key, a wrong type and a value out of bounds end the start: the error names file, key
  and the fix. `wavebreak config check FILE` finds them before.
- `wavebreak config show HOME` prints every value in effect, and where it comes from.
- Keys and passwords are never read from the file: give the path of a file of mode 0600, or set
  the variable.
"""

OTHERS = """These commands open the directory of a service, too. They take `--config` and the flags
of the options below, and read file and variables as `serve` does.
"""


@command(configuration, "wavebreak config show var")
def show(
    home: Annotated[Path | None, "Directory of the service, whose file is read."] = None,
    *,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="TOML file, as of `wavebreak serve`.")
    ] = None,
) -> Output:
    """Print the value of every option of the service, and where it comes from."""
    effective = resolve(home, {}, os.environ, config)
    rows = [
        (
            f"{option.group}.{option.name}",
            _value_text(effective, option),
            effective.sources[option.name],
        )
        for option in declared_options()
    ]
    source = f"from {effective.file}" if effective.file is not None else "no file"
    return Output(
        {
            "file": str(effective.file) if effective.file is not None else None,
            "options": [_option_fields(effective, option) for option in declared_options()],
        },
        Table(
            f"Options of the service ({source})",
            ("option", "value", "comes from"),
            rows,
            words=frozenset({0, 1, 2}),
        ),
    )


def _option_fields(effective: Effective, option: DeclaredOption) -> dict[str, Any]:
    value = effective.shown(option)
    return {
        "group": option.group,
        "name": option.name,
        "value": str(value) if isinstance(value, Path) else value,
        "from": effective.sources[option.name],
        "variable": option.variable,
        "flags": list(option.flags),
    }


def _value_text(effective: Effective, option: DeclaredOption) -> str:
    if effective.sources[option.name] == "default":
        return option.default_words
    return value_text(effective.shown(option)) or option.default_words


@command(configuration, "wavebreak config check var/wavebreak.toml")
def check(file: Annotated[Path, "TOML file of the service's options."]) -> None:
    """Check a file of options: exit code 0 where it is valid, 2 where it is not."""
    content = read_file(file)
    for problem in content.problems:
        console.err.print(styled("[bold red]error:[/] {}", problem.what), soft_wrap=True)
        console.err.print(styled("[bold]fix:[/] {}", problem.fix), soft_wrap=True)
    if content.problems:
        sys.exit(2)
    options = resolve(None, {}, {}, file)
    try:
        check_combinations(options.configuration)
    except UsageError as error:
        raise UsageError(options.in_given_form(error.what), fix=error.fix) from None
    console.out.print(f"{file}: {count_of(len(content.values), 'option')}, valid", soft_wrap=True)


@command(configuration, "wavebreak config docs --sample")
def docs(
    *, sample: Annotated[bool, "Print a sample file, with every key in a comment."] = False
) -> None:
    """Print the reference of all options in Markdown, or a sample file."""
    text = sample_file() if sample else f"# Options of the service\n\n{reference()}"
    console.echo(text, nl=False)


def reference() -> str:
    """Return what all options are, in Markdown: a table for each group."""
    parts = [INTRODUCTION]
    for group, options in groups().items():
        name = f"[{group}]" if group != "start" else "Flags of one start"
        parts.append(f"## {name}\n\n{group_summary(group)}\n\n{_group_table(options)}")
    return "\n".join([*parts, f"## Other commands\n\n{OTHERS}\n{_commands_table()}"])


def _commands_table() -> str:
    """Return which commands beside `serve` read an option, as a table."""
    commands = commands_by_option()
    rows = [
        f"| `{option.name}` | {', '.join(f'`{name}`' for name in commands[option.name])} |"
        for option in declared_options()
        if option.name in commands
    ]
    return "\n".join(["| option | commands |", "|---|---|", *rows]) + "\n"


def commands_by_option() -> Mapping[str, list[str]]:
    """Return the commands beside `serve` that read an option, by its name."""
    root: Any = typer.main.get_command(app)
    root.load(*(name for name, distribution in COMMANDS.items() if distribution == SERVER), "rules")
    commands: dict[str, list[str]] = {}
    for path, leaf in sorted(leaf_commands(root.commands), key=lambda pair: pair[0]):
        for name in getattr(leaf.callback, "option_names", ()):
            if path != "serve":
                commands.setdefault(name, []).append(path)
    return commands


def _group_table(options: tuple[DeclaredOption, ...]) -> str:
    flag_only = options[0].about.flag_only
    heads = ["flag"] if flag_only else ["key", "flag", "variable"]
    lines = [f"| {' | '.join([*heads, 'meaning', 'value', 'default'])} |"]
    lines.append("|" + "---|" * (len(heads) + 3))
    for option in options:
        flags = [*option.flags, *([option.about.off] if option.about.off else [])]
        names = [", ".join(f"`{flag}`" for flag in flags)]
        if not flag_only:
            names = [f"`{option.name}`", *names, f"`{option.variable}`"]
        default = option.about.unset or f"`{value_text(option.default)}`"
        cells = [*names, option.about.help, option.value_words, default]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def sample_file() -> str:
    """Return a file of options in which option key is a comment."""
    return "\n".join(_sample_lines()) + "\n"


def _sample_lines() -> Iterator[str]:
    yield "# Options of the Wavebreak service. What is commented out has the default."
    yield "# Reference: `wavebreak config docs`."
    for group, options in groups().items():
        if options[0].about.flag_only:
            continue
        yield from ("", f"# {group_summary(group)}", f"[{group}]")
        for option in options:
            text = f"{option.about.help} Default: {option.default_words}."
            yield from (f"# {line}" for line in textwrap.wrap(text, SAMPLE_WIDTH))
            yield f"# {assignment(option)}"
