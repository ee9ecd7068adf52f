"""The command `wavebreak`: one verb a stage."""

from __future__ import annotations

import sys

import typer
from rich.console import Console

from wavebreak.cli.app import app
from wavebreak.errors import WavebreakError

__all__ = ["app", "main", "run_app"]


def main() -> None:
    """Run `wavebreak`."""
    run_app(app)


def run_app(app: typer.Typer) -> None:
    """Run a command line; an expected error is one line with its fix, and exit code 2."""
    # Reading, fanning out and deciding hand over often: Python's 5 ms between threads is long.
    sys.setswitchinterval(0.0005)
    try:
        app()
    except WavebreakError as error:
        failed = Console(stderr=True, soft_wrap=True, highlight=False)
        failed.print("[bold red]error:[/]", error.what, markup=True)
        if error.fix:
            failed.print("[bold]fix:[/]", error.fix)
        sys.exit(2)
    except BrokenPipeError:
        sys.exit(1)
