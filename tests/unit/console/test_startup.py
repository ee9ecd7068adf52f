"""Start of the console: the case of a demonstration."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from support.console_harness import running_console
from support.legal_cases import store_at
from support.service_harness import abuser, migrated
from wavebreak.bundles.workspace import CASE, load_case
from wavebreak.console import case_store, startup
from wavebreak.console.demo_case import CASE_ID


def test_demonstration_shows_a_case_about_a_ban(tmp_path: Path) -> None:
    async def run() -> None:
        store = store_at(tmp_path / "cases")
        case_store.configure(store)
        async with running_console(tmp_path, background=[startup.demo_case()]) as console:
            await console.running.send(abuser())
            counsel = await console.person("counsel")
            file = store.directory / CASE_ID / CASE
            async with asyncio.timeout(240):
                while not file.exists() or load_case(file)[1].state != "noticed":
                    await asyncio.sleep(0.05)
            assert len(load_case(file)[1].links) == 1
            assert CASE_ID in (await counsel.get("/console/cases")).text

    with migrated("sqlite", tmp_path):
        asyncio.run(run())


def test_demonstration_without_the_extra_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(_module: str) -> None:
        raise ModuleNotFoundError("No module named 'bagit'", name="bagit")

    said: list[str] = []

    class Service:
        report = staticmethod(said.append)

    case_store.configure(store_at(tmp_path / "cases"))
    monkeypatch.setattr(case_store, "import_module", missing)
    service: Any = Service()
    asyncio.run(startup.demo_case()(service))  # type: ignore[arg-type]
    assert "pip install 'wavebreak[cases]'" in said[0]
