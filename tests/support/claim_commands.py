"""Commands of the group `claim` in this process: to start and to read its words takes seconds."""

from __future__ import annotations

import sys
from unittest.mock import patch

from typer.testing import CliRunner

from wavebreak.cli import main


def claim(*arguments: str, code: int = 0) -> str:
    """Run a command of the group `claim`; return what it printed."""
    status: str | int | None = 0
    interval = sys.getswitchinterval()
    words = ["wavebreak", "claim", *arguments]
    with CliRunner().isolation() as (_out, _errors, both), patch.object(sys, "argv", words):
        try:
            main()
        except SystemExit as ended:
            status = ended.code
        finally:
            sys.setswitchinterval(interval)
        printed = both.getvalue().decode()
    assert (status or 0) == code, printed
    return printed
