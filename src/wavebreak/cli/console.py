"""What a person at a terminal sees: progress, tables, where to look next."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from wavebreak.features.layout import OUTCOMES

if TYPE_CHECKING:
    # Verbs that decide nothing show things too, and need no engine for it.
    from wavebreak.engine import Progress as Made

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


@contextmanager
def bar(title: str) -> Iterator[Callable[[float, str], None]]:
    """A progress bar on standard error: call it with the share done and a few words."""
    columns = (
        SpinnerColumn(), TextColumn("[bold]{task.description}"), BarColumn(None),
        TaskProgressColumn(), TextColumn("{task.fields[words]}"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=err, transient=True) as progress:
        task = progress.add_task(title, total=1.0, words="")

        def show(share: float, words: str = "") -> None:
            progress.update(task, completed=share, words=words)

        yield show


def pace(made: Made) -> str:
    """Events, rate and decisions so far, in words.

    >>> from wavebreak.engine import Progress as Made
    >>> pace(Made(0.5, 2_000_000, 3, 2.0))
    '2,000,000 events, 1,000,000/s, 3 decisions'
    """
    rate = made.events / made.seconds if made.seconds else 0
    return f"{made.events:,} events, {rate:,.0f}/s, {made.decisions:,} decisions"


def summary(told: dict[str, Any], directory: Path) -> None:
    """The table that a run ends with."""
    table = Table(title=f"{told['events']:,} events in {told['seconds']:.1f} s", title_style="bold")
    table.add_column("what")
    table.add_column("count", justify="right")
    for name in ("accepted", "refused", "late", "duplicates", "accounts"):
        table.add_row(name, f"{told[name]:,}")
    for outcome in reversed(OUTCOMES):
        if count := told["decisions"]["outcome"].get(outcome):
            table.add_row(f"decisions: {outcome}", f"{count:,}")
    out.print(table)
    for cause, count in told["refused_by_cause"].items():
        out.print(f"  refused, {cause.replace('_', ' ')}: {count:,}", style="yellow")
    if silent := told["rules_not_covered"]:
        out.print(
            f"{len(silent)} rules are silent: the stream does not carry what they read "
            "(see rules_not_covered in summary.json).", style="dim",
        )  # fmt: skip
    how = "protected" if told["mode"] == "enforce" else "shadow: nothing was refused"
    out.print(f"{told['events_per_s']:,} events/s, mode {told['mode']} ({how}), {directory}/")


def nexts(lines: list[str]) -> None:
    """Where to look next."""
    out.print()
    for line in lines:
        out.print(f"  {line}", style="cyan", soft_wrap=True)
