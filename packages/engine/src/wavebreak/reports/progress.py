"""Progress of a long task: a bar in a terminal, a line in a notebook, or a function's calls."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from markupsafe import Markup
from rich.console import Console

from wavebreak.extras import LazyModule, load

bars: Any = LazyModule("rich.progress")

Progress = bool | Callable[[float, str], None]
"""Whether a progress bar is shown, or a function that takes the share done (0 to 1) and a text."""


@contextmanager
def show_progress(title: str, progress: Progress) -> Iterator[Callable[[float, str], None]]:
    """Show how far a task is: a bar in a terminal, a line in a notebook, or by a function.

    Args:
        title: The task.
        progress: False shows nothing; a function is called instead.
    """
    if callable(progress):
        yield progress
    elif progress and _is_notebook():
        yield from _notebook_line(title)
    elif progress and sys.stderr.isatty():
        yield from terminal_bar(title, Console(stderr=True))
    else:
        yield _show_nothing


def _show_nothing(share: float, text: str = "") -> None:
    """Show nothing of a task's progress."""


def _is_notebook() -> bool:
    """Whether a kernel of Jupyter runs this process."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return hasattr(shell, "kernel")


def _notebook_line(title: str) -> Iterator[Callable[[float, str], None]]:
    display = load("IPython.display")
    line = display.display(display.HTML(""), display_id=True)

    def show(share: float, text: str = "") -> None:
        line.update(display.HTML(Markup('{} <progress value="{:.3f}"></progress> {}').format(
            title, share, text)))  # fmt: skip

    show(0.0, "starting; the first call of a policy compiles it")
    try:
        yield show
    finally:
        line.update(display.HTML(""))


def terminal_bar(title: str, console: Console) -> Iterator[Callable[[float, str], None]]:
    """Show a progress bar on a console; yields a function that takes the share and a text."""
    columns = (
        bars.SpinnerColumn(),
        bars.TextColumn("[bold]{task.description}"),
        bars.BarColumn(None),
        bars.TaskProgressColumn(),
        bars.TextColumn("{task.fields[text]}"),
        bars.TimeRemainingColumn(),
    )
    with bars.Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(title, total=1.0, text="")

        def show(share: float, text: str = "") -> None:
            bar.update(task, completed=share, text=text)

        yield show
