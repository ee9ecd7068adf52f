"""Terminal output: progress bars, JSON, and the next steps to take."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.segment import Segment
from rich.text import Text

from wavebreak.reports import progress
from wavebreak.reports.tables import visible


class TerminalConsole(Console):
    """A console for literal text: ids come from outside, and paths may hold brackets.

    Control characters are escaped, and a text has no markup. `styled` adds styles.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"markup": False, "highlight": False} | settings)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Yield the segments of the printed object."""
        for segment in super().render(renderable, options):
            text = segment.text if segment.control else visible(segment.text)
            yield segment if text == segment.text else Segment(text, segment.style)


out = TerminalConsole()
err = TerminalConsole(stderr=True)

FULL_WIDTH = 10_000
"""Columns of a console that never wraps."""


def styled(template: str, *values: object) -> Text:
    """Return a text with the template's styles; values are printed literally.

    Args:
        template: Text with Rich's markup, and a format field for each value.
        values: Values of the fields.

    >>> text = styled("[bold]{}[/]: {:,} rows", "var[1]", 1200)
    >>> text.plain, [str(span.style) for span in text.spans]
    ('var[1]: 1,200 rows', ['bold'])
    """
    # A number keeps its type, for formats such as {:,}.
    plain = [value if isinstance(value, int | float) else escape(str(value)) for value in values]
    return Text.from_markup(template.format(*plain))


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[float, str], None]]:
    """Show a progress bar on standard error.

    Yields:
        A function that takes the completed share (0 to 1) and a short text.
    """
    yield from progress.terminal_bar(title, err)


def print_json(value: Any) -> None:
    """Print a value as JSON on standard output, never wrapped."""
    echo(json.dumps(value, indent=1, ensure_ascii=False))


def echo(text: str, *, nl: bool = True, err: bool = False) -> None:
    """Write text literally, except control characters, which are escaped as in JSON."""
    typer.echo(visible(text), nl=nl, err=err)


def command(*parts: object) -> str:
    r"""Return a command that can be pasted into a shell, with quoted parts.

    >>> print(command("wavebreak", "explain", "out", "a;id"), command("it's\nso"))
    wavebreak explain out 'a;id' $'it\'s\u000aso'
    """
    return " ".join(_quoted(str(part)) for part in parts)


def _quoted(part: str) -> str:
    if visible(part, line=True) == part:
        return shlex.quote(part)
    # Quotes of bash and zsh that take escapes, so that the terminal gets no control character.
    escaped = part.replace("\\", "\\\\").replace("'", "\\'")
    return f"$'{visible(escaped, line=True)}'"


def widen(ctx: typer.Context, wide: bool) -> bool:
    """Give the console no limit of width until the command ends; the callback of `--wide`."""
    if wide:
        width = out.width
        out.width = FULL_WIDTH
        ctx.call_on_close(lambda: setattr(out, "width", width))
    return wide


def print_next_steps(lines: list[str]) -> None:
    """Print the next steps to take, one a line."""
    out.print()
    for line in lines:
        out.print(Text(f"  {line}", style="cyan"), soft_wrap=True)
