"""The command line `wavebreak`, and how it prints expected errors."""

from __future__ import annotations

import sys
from typing import NoReturn

import typer
from rich.markup import escape

from wavebreak.cli.app import app
from wavebreak.cli.console import TerminalConsole
from wavebreak.errors import WavebreakError
from wavebreak.extras import missing_extra

__all__ = ["app", "main", "run_app"]


def main() -> None:
    """Run `wavebreak`."""
    run_app(app)


def run_app(app: typer.Typer) -> None:
    """Run a command line; an expected error prints its problem and fix, and exits with 2."""
    # Reader, workers and decisions hand over often; Python's default of 5 ms is too long.
    sys.setswitchinterval(0.0005)
    try:
        app()
    except WavebreakError as error:
        _fail(error)
    except ModuleNotFoundError as error:
        missing = missing_extra(error.name or "", next(iter(sys.argv[1:]), ""))
        if missing is None:
            raise
        _fail(missing)
    except BrokenPipeError:
        sys.exit(1)


def _fail(error: WavebreakError) -> NoReturn:
    failed = TerminalConsole(stderr=True, soft_wrap=True, highlight=False)
    failed.print("[bold red]error:[/]", escape(error.what))
    if error.fix:
        failed.print("[bold]fix:[/]", escape(error.fix))
    sys.exit(2)
