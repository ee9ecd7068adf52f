"""A test session without a Chromium leaves out the tests that need one, and counts them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TESTS = """
def test_page(browser_path): pass
def test_number(): pass
"""
CONFTEST = """
from support import chromium, session
chromium.find_browser = lambda: None
def pytest_configure(config): config.pluginmanager.register(session, "wavebreak-tests")
"""


@pytest.mark.parametrize("workers", ["0", "2"])
@pytest.mark.parametrize(("variable", "exit_code"), [("", 0), ("1", 1)])
def test_session_without_chromium_counts_what_it_left_out(
    tmp_path: Path, workers: str, variable: str, exit_code: int
) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST, "utf-8")
    (tmp_path / "test_it.py").write_text(TESTS, "utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\n", "utf-8")
    environment = os.environ | {
        "XDG_CACHE_HOME": str(tmp_path), "WAVEBREAK_ALL_TESTS": variable,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
    }  # fmt: skip
    command = [sys.executable, "-m", "pytest", "-q", "-n", workers, str(tmp_path)]
    process = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert process.returncode == exit_code, process.stdout
    assert "1 tests not run: no Chromium; fix: install Chromium" in process.stdout
    assert "1 passed" in process.stdout
