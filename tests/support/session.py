"""What every test session gets: no deadlines, no server of the machine, a summary, an end.

A property is not false because a busy machine took long over it. No test may ask a server that the
machine runs: `port_guard` watches, and what tests start of their own ends with them. The
conftest of `tests` and that of `packages` register this module, once.
"""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import settings

from support import external_servers, port_guard

port_guard.install()
settings.register_profile("wavebreak", deadline=None)
settings.load_profile("wavebreak")

UMASK = os.umask(0o022)
os.umask(UMASK)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Leave garbage alone while tests are collected, and what was collected alone ever after.

    Looking through thousands of modules and tests for it again and again takes half the time.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_runtest_teardown() -> None:
    """Take away what a command that ran in this process leaves: its umask, and where it logs to.

    The stream to which it logs is closed by now.
    """
    os.umask(UMASK)
    root = logging.getLogger()
    if left := [made for made in root.handlers if type(made) is logging.StreamHandler]:
        root.handlers[:] = [made for made in root.handlers if made not in left]
        root.setLevel(logging.WARNING)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print what tests recorded under `told`, with whichever worker they ran in."""
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        for name, told in report.user_properties if report.when == "call" else ():
            if name == "told":
                terminalreporter.write_line(f"{report.nodeid}: {told}")


def pytest_sessionfinish() -> None:
    """End the PostgreSQL of this process, where a test wanted one."""
    external_servers.stop_postgresql()
