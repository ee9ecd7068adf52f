"""The command line `wavebreak`, and the output of expected errors."""

from __future__ import annotations

import sys
from typing import NoReturn

import typer

from wavebreak.cli.app import app
from wavebreak.cli.console import TerminalConsole, styled
from wavebreak.errors import FileError, ServiceError, WavebreakError
from wavebreak.extras import missing_extra

__all__ = ["app", "main", "run_app"]


def main() -> None:
    """Run `wavebreak`."""
    run_app(app)


def run_app(app: typer.Typer) -> None:
    """Run a command line; an expected error prints the problem and the fix, and exits with 2."""
    # Reader, workers and decisions hand over often; Python's default of 5 ms is too long.
    sys.setswitchinterval(0.0005)
    try:
        app()
    except WavebreakError as error:
        _fail(error)
    except ModuleNotFoundError as error:
        missing = missing_extra(error.name or "")
        if missing is None:
            raise
        _fail(missing)
    except BrokenPipeError:
        sys.exit(1)
    except OSError as error:
        _fail(_file_error(error))
    except Exception as error:
        if type(error).__module__ != "django.db.utils":
            raise
        _fail(_database_error(error))


def _file_error(error: OSError) -> WavebreakError:
    """Return an unexpected error of the operating system, with the file."""
    prefix = f"{error.filename}: " if error.filename else ""
    fix = "check that the path exists, is writable and has room"
    return FileError(f"{prefix}{error.strerror or type(error).__name__}", fix=fix)


def _database_error(error: Exception) -> WavebreakError:
    """Return the message of an unusable database, in one line."""
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    fix = "check the server, its address and that the directory is writable"
    if "locked" in reason or "lock timeout" in reason:
        fix = "try again; if it stays locked, end the process that holds it (fuser FILE, pg_locks)"
    elif "readonly" in reason or "read-only" in reason:
        fix = "make the directory writable, or give another one"
    return ServiceError(f"the database cannot be used: {reason}", fix=fix)


def _fail(error: WavebreakError) -> NoReturn:
    failed = TerminalConsole(stderr=True, soft_wrap=True)
    failed.print(styled("[bold red]error:[/] {}", error.what))
    if error.fix:
        failed.print(styled("[bold]fix:[/] {}", error.fix))
    sys.exit(2)
