"""A console of a demonstration, in a process of its own: `python -m support.demonstration HOME`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from support.console_harness import running_console
from support.legal_cases import store_at
from support.service_harness import abuser, migrated
from wavebreak_cases.bundles.workspace import CASE, load_case
from wavebreak_cases.pages import demo_case
from wavebreak_cases.pages.apps import open_store
from wavebreak_cases.pages.demo_case import CASE_ID


def build(home: Path) -> tuple[int, bool]:
    """Let a demonstration ban an account and build its case.

    Returns:
        How many accounts the case links, and whether counsel's page names it.
    """

    async def run() -> tuple[int, bool]:
        store = store_at(home / "cases")
        open_store(store)
        async with running_console(home, background=[demo_case.build_when_decided]) as console:
            await console.running.send(abuser())
            counsel = await console.person("counsel")
            file = store.directory / CASE_ID / CASE
            while not file.exists() or load_case(file)[1].state != "noticed":
                await asyncio.sleep(0.05)
            page = (await counsel.get("/console/cases")).text
            return len(load_case(file)[1].links), CASE_ID in page

    with migrated("sqlite", home):
        return asyncio.run(run())


if __name__ == "__main__":
    sys.stdout.write(f"{build(Path(sys.argv[1]))}\n")
