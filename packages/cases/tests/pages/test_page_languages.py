"""Every page of the console in Hebrew: what is neither data nor marked as English is Hebrew."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver

from support.console_harness import RunningConsole, console_test
from support.legal_cases import ACCOUNT, store_of
from support.page_texts import english_texts
from support.service_harness import abuser, now_ms
from wavebreak_cases.pages.apps import open_store
from wavebreak_cases.pages.demo_case import CASE_ID, build_demo_case
from wavebreak_server.slices.users.permissions import may

HEBREW = {"accept-language": "he"}
ARGUMENTS = {
    "account": ACCOUNT, "case_id": "1", "rule_id": "confirmed_abusive", "kind": "device",
    "number": "1", "month": "2026-01", "operator_id": "op-0123456789ab", "batch_id": "none",
    "appeal_id": "1", "name": "add_exhibit", "tab": "parties", "exhibit_id": "E1",
}  # fmt: skip
ROLES = ("lead", "counsel", "admin", "policy_owner", "data_scientist")
DATA = frozenset(
    {"Rapid Reach", "rapid-reach", "Price page", "confirmed_abusive", "first_contact_allowance",
     "A hundred messages within"}
)  # fmt: skip
"""What the demo's case names, ids of rules, and a rule that is not shipped, as it is written."""


async def _with_everything(console: RunningConsole) -> None:
    await console.running.send(abuser(account=ACCOUNT))
    await console.index()
    store = store_of(console)
    open_store(store)
    await asyncio.to_thread(build_demo_case, store, ACCOUNT, now_ms=now_ms)


visits = console_test(_with_everything)


def pages() -> Iterator[tuple[str, str, str]]:
    """Yield name, path and a role of every page that is opened, people's own pages too."""
    for resolver in get_resolver("wavebreak_server.console.urls").url_patterns:
        if isinstance(resolver, URLResolver) and str(resolver.pattern).startswith("console/"):
            for pattern in resolver.url_patterns:
                assert isinstance(pattern, URLPattern)
                view: Any = pattern.callback
                permission = getattr(view, "permission", "use_console")
                if "GET" in getattr(view, "methods", ("GET",)):
                    role = next(role for role in ROLES if may(role, permission))
                    yield str(pattern.name), f"/{resolver.pattern}{_filled(pattern)}", role


def _filled(pattern: URLPattern) -> str:
    route = str(pattern.pattern)
    legal = route.startswith("cases/")
    return re.sub(
        r"<(?:\w+:)?(\w+)>",
        lambda m: CASE_ID if legal and m[1] == "case_id" else ARGUMENTS.get(m[1], "1"),
        route,
    )


@visits
async def test_pages_in_hebrew_leave_no_english(console: RunningConsole) -> None:
    people = {role: await console.person(role) for role in ROLES}
    # Whoever signs out sees no further page.
    every = sorted(pages(), key=lambda each: each[0] == "account_logout")
    english: dict[str, list[str]] = {}
    for name, path, role in every:
        answer = await people[role].get(path, headers=HEBREW)
        if "text/html" in answer.headers.get("content-type", ""):
            texts = english_texts(answer.text.replace(" · Wavebreak", ""), DATA)
            if texts:
                english[name] = sorted(set(texts))
    assert english == {}
    assert len(every) > 70
