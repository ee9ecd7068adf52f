"""Makes `tests/` importable, prints at the end what tests want to be told, and sets no deadlines.

A property is not false because a busy machine took long over it.
"""

from __future__ import annotations

from typing import Any

from hypothesis import settings

settings.register_profile("wavebreak", deadline=None)
settings.load_profile("wavebreak")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print what tests recorded under `told`, with whichever worker they ran in."""
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        for name, told in report.user_properties if report.when == "call" else ():
            if name == "told":
                terminalreporter.write_line(f"{report.nodeid}: {told}")
