"""Which browser a page capture takes."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from support import chromium
from wavebreak.errors import ClaimError
from wavebreak_cases.claims.config import RenderLimits, load_limits
from wavebreak_cases.claims.screenshot import find_browser

BOUNDS = msgspec.structs.replace(load_limits().render, browsers=("some-chromium",))


def program(path: Path, code: int = 0) -> Path:
    """An executable that ends with an exit code."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\nexit {code}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory on the PATH and one for Playwright's downloads."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path / "playwright"))
    return tmp_path


def test_browser_on_the_path_is_taken_by_its_name(machine: Path) -> None:
    assert find_browser(bounds=BOUNDS) is None
    installed = program(machine / "bin" / "some-chromium")
    assert find_browser(bounds=BOUNDS) == installed


def test_browser_of_playwright_is_the_newest_of_two(machine: Path) -> None:
    for build in (99, 1200):
        newest = program(machine / "playwright" / f"chromium-{build}" / "chrome-linux" / "chrome")
    assert find_browser(bounds=BOUNDS) == newest


def test_browser_named_but_absent_is_none(machine: Path) -> None:
    program(machine / "bin" / "some-chromium")
    assert find_browser(machine / "absent", BOUNDS) is None


def test_browser_for_tests_absent_or_broken_says_the_fix(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = program(machine / "bin" / "some-chromium", code=1)
    monkeypatch.setenv("XDG_CACHE_HOME", str(machine / "cache"))
    for found in (None, broken):
        monkeypatch.setattr(chromium, "find_browser", lambda found=found: found)
        with pytest.raises(ClaimError) as raised:
            chromium.chromium()
        assert "apt-get install chromium" in raised.value.fix


def test_limits_of_rendering_name_debians_browser() -> None:
    assert isinstance(BOUNDS, RenderLimits)
    assert {"chromium", "google-chrome"} <= set(load_limits().render.browsers)


def test_browser_of_npm_is_taken_where_the_machines_does_not_start(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = program(machine / "bin" / "some-chromium", code=1)
    monkeypatch.setenv("XDG_CACHE_HOME", str(machine / "cache"))
    monkeypatch.setattr(chromium, "find_browser", lambda: broken)
    assert not chromium.is_installed()
    installed = program(chromium.cache_folder() / "wrapper")
    monkeypatch.setattr(chromium, "start_fault", lambda path: "" if path == installed else "no")
    assert chromium.is_installed()
    assert chromium.chromium() == installed
