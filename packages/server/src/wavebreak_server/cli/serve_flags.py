"""Flags of `wavebreak serve`, made of the declared options, and its help pages."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from wavebreak.cli.help_pages import CommandHelp
from wavebreak_server.config import DeclaredOption, declared_options, groups

_FURTHER = "Further options (`wavebreak serve --help-all` explains them)"
_GROUP_WIDTH = 15
"""Columns of a group's name in the list of further options."""


def with_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command a flag for each declared option, which its `**flags` takes.

    A flag that is not given is None, so that file and environment are asked.
    """
    own = inspect.signature(command, eval_str=True)
    kept = [each for each in own.parameters.values() if each.kind is not each.VAR_KEYWORD]
    flags = [_parameter(each) for each in declared_options()]
    command.__signature__ = own.replace(parameters=[*kept, *flags])  # type: ignore[attr-defined]
    return command


def _parameter(declared: DeclaredOption) -> inspect.Parameter:
    about = declared.about
    names = list(declared.flags)
    if about.off:
        names[0] += f"/{about.off}"
    flag = typer.Option(
        *names,
        help=about.help,
        metavar=about.metavar or None,
        show_default=declared.default_words,
        min=declared.meta.ge if declared.meta is not None else None,
        max=declared.meta.le if declared.meta is not None else None,
    )
    return inspect.Parameter(
        declared.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[declared.kind | None, flag],
    )


class ServeHelp(CommandHelp):
    """Help of `serve`: the options that most people need; all others by name, or all in full."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the argument, the options of most people, and the names of the others."""
        self._write_arguments(formatter)
        with formatter.section("Options"):
            common = [_brief(each) for each in declared_options() if each.about.common]
            formatter.write_dl([*self._own_rows(), *common])
        with formatter.section(_FURTHER):
            for group, options in groups().items():
                for line in _name_lines(group, options, formatter.width - 4):
                    formatter.write(f"  {line}\n")

    def format_all(self, ctx: Any, formatter: Any) -> None:
        """Write the whole page with every option in full, by group."""
        self.format_usage(ctx, formatter)
        self.format_help_text(ctx, formatter)
        self._write_arguments(formatter)
        with formatter.section("Options"):
            formatter.write_dl(self._own_rows())
        for group, options in groups().items():
            with formatter.section(group.capitalize()):
                formatter.write_dl([(_names(each), _full(each)) for each in options])
        self.format_epilog(ctx, formatter)

    def _write_arguments(self, formatter: Any) -> None:
        rows = [
            (str(each.name).upper(), str(getattr(each, "help", "")))
            for each in self.params
            if each.param_type_name == "argument"
        ]
        with formatter.section("Arguments"):
            formatter.write_dl(rows)

    def _own_rows(self) -> list[tuple[str, str]]:
        """Return the options that are of the command and not of the service."""
        declared = {each.name for each in declared_options()}
        own: list[Any] = [
            each
            for each in self.params
            if each.param_type_name == "option" and each.name not in declared
        ]
        rows = [(" ".join([*each.opts, each.metavar or ""]).rstrip(), each.help) for each in own]
        return [*rows, ("-h, --help", "Show this message and exit.")]


def _names(declared: DeclaredOption) -> str:
    """Return all names of an option with what stands for its value."""
    off = f" / {declared.about.off}" if declared.about.off else ""
    return f"{', '.join(declared.flags)}{off}{_value(declared)}"


def _value(declared: DeclaredOption) -> str:
    if declared.kind is bool:
        return ""
    kinds = {int: "N", float: "N", Path: "PATH"}
    return f" {declared.about.metavar or kinds.get(declared.kind, 'TEXT')}"


def _brief(declared: DeclaredOption) -> tuple[str, str]:
    """Return an option's first name and what it does, in one line."""
    off = f" / {declared.about.off}" if declared.about.off else ""
    first = declared.about.help.partition(". ")[0].rstrip(".")
    return f"{declared.flags[0]}{off}{_value(declared)}", f"{first}."


def _full(declared: DeclaredOption) -> str:
    return f"{declared.about.help} [default: {declared.default_words}]"


def _name_lines(group: str, options: tuple[DeclaredOption, ...], width: int) -> list[str]:
    """Return a group with the names that the short help does not explain, in whole names."""
    names = [
        name
        for each in options
        for name in (*each.flags, *([each.about.off] if each.about.off else []))
        if not each.about.common or name in each.flags[1:]
    ]
    wrapped = textwrap.wrap(", ".join(names), width - _GROUP_WIDTH, break_on_hyphens=False)
    heads = [group.capitalize(), *[""] * len(wrapped)]
    return [f"{head:{_GROUP_WIDTH}}{line}" for head, line in zip(heads, wrapped, strict=False)]


def print_all(ctx: typer.Context, asked: bool) -> None:
    """Print every option in full, and end: the callback of `--help-all`."""
    command: Any = ctx.command
    if not asked or ctx.resilient_parsing or not isinstance(command, ServeHelp):
        return
    formatter = ctx.make_formatter()
    command.format_all(ctx, formatter)
    typer.echo(formatter.getvalue().rstrip("\n"))
    raise typer.Exit
