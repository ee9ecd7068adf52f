"""Terminal output: progress bars, the summary of a run, and the next steps to take."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console

from wavebreak.reports.tables import Table, count_of, print_table

if TYPE_CHECKING:
    # The engine takes a second to import, and commands without a run do not need it.
    from wavebreak.engine import Progress as RunProgress

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

_COUNTED = ("accepted", "refused", "late", "duplicates", "accounts")
FULL_WIDTH = 10_000
"""Columns of a console that never wraps."""


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
    from wavebreak.rules import OUTCOMES

    rows = [(name, f"{counts[name]:,}") for name in _COUNTED]
    rows += [
        (f"decisions: {outcome}", f"{count:,}")
        for outcome in reversed(OUTCOMES)
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
    typer.echo(json.dumps(value, indent=1, ensure_ascii=False))


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
        out.print(f"  {line}", style="cyan", soft_wrap=True)
