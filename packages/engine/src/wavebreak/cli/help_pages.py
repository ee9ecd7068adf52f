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

_EXAMPLES = re.compile(r"Examples?: (.+`)(.*)", re.S)
_CODE = re.compile(r"`([^`]+)`")
_OPTION = re.compile(r" (?=--?[a-z])")


class CommandHelp(TyperCommand):
    """A command whose help page lists its examples one a line."""

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the examples, or another epilog as a paragraph."""
        write_epilog(self.epilog, formatter)


class GroupHelp(TyperGroup):
    """A group of commands whose help page has each command's whole summary."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands with the first paragraph of their help, wrapped and never cut."""
        known = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [(name, _summary(each.help)) for name, each in known if each and not each.hidden]
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
    """Write what follows the options of a help page; nothing where there is none.

    Args:
        epilog: A paragraph, or "Examples: " with commands in backticks.
        formatter: Click's formatter of help pages.
    """
    if not epilog:
        return
    paragraph = inspect.cleandoc(epilog)
    if found := _EXAMPLES.fullmatch(paragraph):
        examples, rest = found.groups()
        is_sentence = rest.endswith(".")
        paragraph = rest.lstrip(" .;,\n") if is_sentence else ""
        with formatter.section("Examples"):
            width = formatter.width - formatter.current_indent
            for line in example_lines(examples if is_sentence else examples + rest, width):
                formatter.write(f"{'':{formatter.current_indent}}{line}\n")
    if paragraph:
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(paragraph)


def example_lines(text: str, width: int = 80) -> Iterator[str]:
    r"""Yield the lines of examples: commands as they are typed, what is said of them as comments.

    Args:
        text: Commands in backticks, between them what joins them or is said of them.
        width: Columns. A longer command goes on in the next line after a backslash.

    >>> print("\n".join(example_lines("`ls -l`, then `ls --all --size` shows more", 12)))
    ls -l
    ls --all \
      --size
    # shows more
    """
    for n, part in enumerate(_CODE.split(text)):
        if n % 2:
            yield from _wrapped(" ".join(part.split()), width)
        elif said := _said(part):
            yield f"# {said}"


def _said(part: str) -> str:
    said = " ".join(part.split()).strip(" ;,.:")
    return "" if said in {"", "then"} else said


def _wrapped(line: str, width: int) -> Iterator[str]:
    """Yield a command in lines that break before options, outside quotes."""
    start = ""
    for part in _OPTION.split(line):
        joined = f"{start} {part}" if start else part
        within_quotes = start.count("'") % 2 or start.count('"') % 2
        if start and not within_quotes and len(joined) > width - 2:
            yield f"{start} \\"
            start = f"  {part}"
        else:
            start = joined
    yield start


def _summary(text: str | None) -> str:
    return " ".join(inspect.cleandoc(text or "").split("\n\n")[0].split())
