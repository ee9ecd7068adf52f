"""A console with the demo's case, for tests of the pages of cases."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any, TypeVar

from django.db import connection

from support.console_harness import RunningConsole, Visitor, console_test
from support.service_harness import SECRET, abuser, now_ms
from wavebreak.ledger import new_signer
from wavebreak_cases.bundles.workspace import CASE, load_case
from wavebreak_cases.cases.case import Case
from wavebreak_cases.pages.apps import CaseStore, open_store
from wavebreak_cases.pages.demo_case import CASE_ID, build_demo_case

T = TypeVar("T")
SIGNER = new_signer("example.org/cases", secret=bytes(range(32)))
PAGE = f"/console/cases/{CASE_ID}"
ACCOUNT = "ann"


def store_at(directory: Path) -> CaseStore:
    """Return a store of cases in a directory."""
    return CaseStore(directory, SIGNER, SECRET)


def demo_at(directory: Path) -> tuple[CaseStore, Path]:
    """Build the demo's case, about `ann`; return the store and the case's directory."""
    store = store_at(directory)
    return store, build_demo_case(store, ACCOUNT, now_ms=now_ms)


def case_at(path: Path) -> Case:
    """Read a case from its directory."""
    return load_case(path / CASE)[1]


def store_of(console: RunningConsole) -> CaseStore:
    """Return the store that a console serves."""
    return store_at(console.service.settings.home / "cases")


def served_case(console: RunningConsole) -> Case:
    """Read the demo's case as it is now."""
    return case_at(store_of(console).directory / CASE_ID)


async def _with_case(console: RunningConsole) -> None:
    await console.running.send(abuser(account=ACCOUNT))
    store = store_of(console)
    open_store(store)
    await asyncio.to_thread(build_demo_case, store, ACCOUNT, now_ms=now_ms)


case_visits = console_test(_with_case)
"""Runs a test against a console that has banned `ann` and serves the demo's case about it."""


async def queried(work: Callable[[], T]) -> T:
    """Run a database query in a thread of its own."""

    def closed() -> T:
        try:
            return work()
        finally:
            connection.close()

    return await asyncio.to_thread(closed)


async def act(visitor: Visitor, form: str, /, **fields: Any) -> Any:
    """Send the form of an act, as its page has it now; `reason` is given unless it is named."""
    page = f"{PAGE}/act/{form}"
    shown = (await visitor.get(page)).text
    seen = re.search(r'name="seen" value="(\d+)"', shown)
    assert seen, form
    values = {"seen": seen[1], "reason": "for the file"} | fields
    return await visitor.post(page, page=page, **values)


def text_of(html: str) -> str:
    """Return the words of a page."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())
