"""Help pages: plain text in which no name of an option is cut, and examples that can be copied.

Typer's own pages put options into a table of six columns, which cuts long names at 80 columns.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

_OPTION = re.compile(r" (?=--?[a-z])")


class CommandHelp(TyperCommand):
    """A command with one example a line on the help page."""

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the examples, or another epilog as a paragraph."""
        write_epilog(self.epilog, formatter)


class GroupHelp(TyperGroup):
    """A group of commands with whole summaries on the help page."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands with the first paragraph of their help, wrapped and never cut."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [
            (name, _summary(member.help))
            for name, member in commands
            if member and not member.hidden
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the examples, or another epilog as a paragraph."""
        write_epilog(self.epilog, formatter)


class CommandTree(typer.Typer):
    """A group whose commands have plain help pages."""

    def __init__(self, *, command_class: type[TyperCommand] = CommandHelp, **settings: Any) -> None:
        self.command_class = command_class
        plain: Any = {"cls": GroupHelp, "no_args_is_help": True, "rich_markup_mode": None}
        super().__init__(**plain | settings)

    def command(self, name: str | None = None, **settings: Any) -> Callable[..., Any]:
        """Return a decorator that adds a command, as Typer's does."""
        return super().command(name, **({"cls": self.command_class} | settings))


def write_epilog(epilog: str | None, formatter: Any) -> None:
    """Write the end of a help page: examples one a line, or a paragraph.

    Args:
        epilog: A paragraph, or "Examples: " with commands in backticks.
        formatter: Click's formatter of help pages.
    """
    if epilog and epilog.startswith("Example"):
        with formatter.section("Examples"):
            width = formatter.width - formatter.current_indent
            for example in re.findall("`([^`]+)`", epilog):
                for line in wrapped_lines(" ".join(example.split()), width):
                    formatter.write(f"{'':{formatter.current_indent}}{line}\n")
    elif epilog:
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(inspect.cleandoc(epilog))


def wrapped_lines(line: str, width: int) -> Iterator[str]:
    r"""Yield a command in lines that break before options, outside quotes.

    >>> print("\n".join(wrapped_lines("ls --all --size", 12)))
    ls --all \
      --size
    """
    start = ""
    for part in _OPTION.split(line):
        candidate = f"{start} {part}" if start else part
        within_quotes = start.count("'") % 2 or start.count('"') % 2
        if start and not within_quotes and len(candidate) > width - 2:
            yield f"{start} \\"
            start = f"  {part}"
        else:
            start = candidate
    yield start


def _summary(text: str | None) -> str:
    return " ".join(inspect.cleandoc(text or "").split("\n\n")[0].split())
