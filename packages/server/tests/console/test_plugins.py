"""Plug-ins of the console: where theirs appears, and a console that has none."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import support
from support.console_harness import RunningConsole, console_test
from support.console_without_plugins import ACCOUNT, PAGES, PATHS
from support.service_harness import abuser
from support.service_process import KEY, LEDGER_KEY
from wavebreak.errors import MissingExtraError
from wavebreak_server import django_settings
from wavebreak_server.console.plugins import (
    ConsolePlugin,
    NavigationItem,
    installed_plugins,
    open_plugins,
    with_plugin_links,
)

TESTS = Path(support.__file__).parents[1]


async def _with_abuser(console: RunningConsole) -> None:
    await console.running.send(abuser(account=ACCOUNT))


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, str]:
    """The environment of processes in which packages are installed without their plug-ins."""
    site = tmp_path / "site"
    for name in ("cases", "business"):
        installed = site / f"wavebreak_{name}-0.dist-info"
        installed.mkdir(parents=True)
        about = f"Metadata-Version: 2.1\nName: wavebreak-{name}\nVersion: 0\n"
        (installed / "METADATA").write_text(about)
    before = os.environ.get("PYTHONPATH", "")
    return os.environ | {
        "PYTHONPATH": os.pathsep.join([str(site), before]),
        "WAVEBREAK_KEY": KEY,
        "WAVEBREAK_LEDGER_KEY": LEDGER_KEY,
    }


def test_the_pages_of_cases_and_of_businesses_are_plugins() -> None:
    assert [plugin.directory for plugin in installed_plugins()] == ["", "cases"]
    apps = django_settings.settings()["INSTALLED_APPS"]
    assert "wavebreak_cases.pages.apps.CasePages" in apps
    assert "wavebreak_business.pages.apps.BusinessPages" in apps


@console_test(_with_abuser)
async def test_links_of_a_plugin_stand_where_it_says(console: RunningConsole) -> None:
    counsel = await console.person("counsel")
    page = (await counsel.get("/console/")).text
    navigation = page[page.index('<nav class="nav"') : page.index("</nav>")]
    assert re.findall(r"<span>(\w+)</span>", navigation) == [
        "Overview", "Accounts", "Operators", "Appeals", "Cases", "Businesses", "Reports",
    ]  # fmt: skip


def test_links_of_a_plugin_without_a_place_come_last() -> None:
    first = NavigationItem("first", "First", "overview", "view_overview", "g f")
    names = [item.name for item in with_plugin_links([first])]
    assert names == ["first", "portfolios", "cases"]


def test_console_without_plugins_has_no_page_link_or_panel_of_theirs(
    tmp_path: Path, bare: dict[str, str]
) -> None:
    command = [sys.executable, "-m", "support.console_without_plugins", str(tmp_path / "home")]
    done = subprocess.run(
        command, cwd=TESTS, env=bare, capture_output=True, text=True, timeout=400, check=False
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["plugins"] == []
    assert seen["modules"] == []
    assert seen["statuses"] == dict.fromkeys(PATHS, 404) | dict.fromkeys(PAGES, 200)
    for path in PAGES:
        assert ACCOUNT in seen["texts"][path] or path != f"/console/accounts/{ACCOUNT}"
        assert "/console/cases" not in seen["texts"][path], path
        assert "Legal cases" not in seen["texts"][path], path


def test_directory_for_a_plugin_that_is_not_installed_is_refused_with_its_fix(
    tmp_path: Path, bare: dict[str, str]
) -> None:
    command = [
        sys.executable,
        "-m",
        "wavebreak",
        "serve",
        str(tmp_path / "home"),
        "--model",
        "none",
    ]
    done = subprocess.run(
        [*command, "--cases", str(tmp_path / "cases")],
        cwd=TESTS, env=bare, capture_output=True, text=True, timeout=400, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "--cases: the packages of the console's cases are not installed" in done.stderr
    assert "fix: pip install 'wavebreak-cases[console]'" in done.stderr


def test_a_plugin_opens_the_directory_that_was_given_or_its_own_in_the_service_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAVEBREAK_LEDGER_KEY", LEDGER_KEY)
    plugin = next(each for each in installed_plugins() if each.directory == "cases")
    monkeypatch.setattr(plugin, "store", None)
    for given, directory in ((None, tmp_path / "cases"), (tmp_path / "c", tmp_path / "c")):
        open_plugins({"cases": given}, tmp_path, None, bytes(32), None)
        store: Any = vars(plugin)["store"]
        assert (store.directory, store.policy) == (directory, None)


def test_directory_of_no_plugin_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(MissingExtraError, match="--letters") as refused:
        open_plugins({"letters": tmp_path}, tmp_path, None, bytes(32), None)
    assert refused.value.fix == "pip install 'wavebreak-letters[console]'"


def test_a_plugin_adds_nothing_by_itself() -> None:
    assert (ConsolePlugin.navigation, ConsolePlugin.after) == ((), "")
