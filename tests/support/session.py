"""Plug-in of every test session: no deadlines, no server of the machine, a browser, a summary.

A property is not false because a busy machine took long over it. No test may ask a server that the
machine runs: `port_guard` watches, and servers of a test end with the session. Tests that use the
fixture `browser_path` are left out where there is no Chromium; the summary counts them, and with
WAVEBREAK_ALL_TESTS=1, which continuous integration sets, the session fails. The conftest of `tests`
and that of `packages` register this module, once.
"""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from support import chromium, external_servers, port_guard

port_guard.install()
settings.register_profile("wavebreak", deadline=None)
settings.load_profile("wavebreak")

UMASK = os.umask(0o022)
os.umask(UMASK)
LEFT_OUT = pytest.StashKey[int]()
"""Number of tests that were left out because there is no Chromium."""


@pytest.fixture(scope="session")
def browser_path() -> Path:
    """The Chromium of the tests that render pages."""
    return chromium.chromium()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the tests out that need a Chromium, if there is none."""
    needing = [item for item in items if "browser_path" in getattr(item, "fixturenames", ())]
    if needing and not chromium.is_installed():
        items[:] = [item for item in items if item not in needing]
        config.hook.pytest_deselected(items=needing)
        config.stash[LEFT_OUT] = len(needing)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over the number from a worker of pytest-xdist; each worker collects the same tests."""
    node.config.stash[LEFT_OUT] = getattr(node, "workeroutput", {}).get("left_out", 0)


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


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print what tests recorded under `told`, and how many tests need a Chromium."""
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        for name, told in report.user_properties if report.when == "call" else ():
            if name == "told":
                terminalreporter.write_line(f"{report.nodeid}: {told}")
    if left_out := config.stash.get(LEFT_OUT, 0):
        terminalreporter.write_line(f"{left_out} tests not run: no Chromium; fix: {chromium.FIX}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """End the PostgreSQL of this process; fail a session that has to run every test and did not."""
    external_servers.stop_postgresql()
    left_out = session.config.stash.get(LEFT_OUT, 0)
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_out"] = left_out
    elif left_out and os.environ.get("WAVEBREAK_ALL_TESTS"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
