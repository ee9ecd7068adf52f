"""Terminal output: progress bars, the summary of a run, and the next steps to take."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.segment import Segment
from rich.text import Text

from wavebreak.reports.tables import Table, count_of, print_table, visible

if TYPE_CHECKING:
    # The engine takes a second to import, and commands without a run do not need it.
    from wavebreak.engine import Progress as RunProgress


class TerminalConsole(Console):
    """A console that prints text as it is: ids come from outside, and paths may hold brackets.

    Control characters are escaped, and nothing in a text counts as markup. `styled` marks up.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"markup": False, "highlight": False} | settings)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Yield the segments of what is printed."""
        for segment in super().render(renderable, options):
            text = segment.text if segment.control else visible(segment.text)
            yield segment if text == segment.text else Segment(text, segment.style)


out = TerminalConsole()
err = TerminalConsole(stderr=True)

_COUNTED = ("accepted", "refused", "late", "duplicates", "accounts")
FULL_WIDTH = 10_000
"""Columns of a console that never wraps."""


def styled(template: str, *values: object) -> Text:
    """Return a text whose styles are the template's alone: a value is printed as it is.

    Args:
        template: Text with Rich's markup, and a format field for each value.
        values: What goes into the fields.

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
    from rich.progress import (
        BarColumn,
        Progress,
        SpinnerColumn,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        SpinnerColumn(),
        TextColumn("[bold]{task.description}"),
        BarColumn(None),
        TaskProgressColumn(),
        TextColumn("{task.fields[text]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, transient=True) as progress:
        task = progress.add_task(title, total=1.0, text="")

        def show(share: float, text: str = "") -> None:
            progress.update(task, completed=share, text=text)

        yield show


def run_progress_text(progress: RunProgress) -> str:
    """Describe how far a run is: events, events per second, decisions.

    >>> from wavebreak.engine import Progress
    >>> run_progress_text(Progress(0.5, 2_000_000, 3, 2.0))
    '2,000,000 events, 1,000,000/s, 3 decisions'
    """
    rate = progress.events / progress.seconds if progress.seconds else 0
    return f"{progress.events:,} events, {rate:,.0f}/s, {progress.decisions:,} decisions"


def print_run_summary(counts: dict[str, Any], directory: Path) -> None:
    """Print the summary of a run: what was read, decisions by outcome, what limits the result.

    Args:
        counts: The content of the run's `summary.json`.
        directory: The directory that the run wrote.
    """
    from wavebreak.outcomes import BY_RANK

    rows = [(name, f"{counts[name]:,}") for name in _COUNTED]
    rows += [
        (f"decisions: {outcome}", f"{count:,}")
        for outcome in reversed(BY_RANK)
        if (count := counts["decisions"]["outcome"].get(outcome))
    ]
    title = f"{counts['events']:,} events in {counts['seconds']:.1f} s"
    print_table(Table(title, ("events and decisions", "count"), rows), out)
    for cause, count in counts["refused_by_cause"].items():
        out.print(f"  refused, {cause.replace('_', ' ')}: {count:,}", style="yellow")
    if disabled := counts["rules_not_covered"]:
        out.print(
            f"{count_of(len(disabled), 'rule')} off, because the stream lacks fields that they "
            f"read: {', '.join(disabled)}.",
            style="yellow",
        )
    mode = "enforce" if counts["mode"] == "enforce" else "shadow: nothing was refused"
    out.print(f"{counts['events_per_s']:,} events/s, mode {mode}, written to {directory}/")


def print_json(value: Any) -> None:
    """Print a value as JSON on standard output, never wrapped."""
    echo(json.dumps(value, indent=1, ensure_ascii=False))


def echo(text: str, *, nl: bool = True, err: bool = False) -> None:
    """Write text as it is, but for control characters, which are escaped as in JSON."""
    typer.echo(visible(text), nl=nl, err=err)


def command(*parts: object) -> str:
    r"""Return a command that can be pasted into a shell, whatever its parts hold.

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
