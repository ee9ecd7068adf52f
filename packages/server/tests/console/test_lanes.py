"""Declared lanes in the console: who sees and declares, after which look, and what is said."""

from __future__ import annotations

import asyncio
import html
import re
from typing import Any

from support.console_harness import RunningConsole, Visitor, console_test
from support.service_harness import now_ms
from wavebreak_server.http.app_context import run_background_query as stored
from wavebreak_server.storage.models import AuditEntry

LANES, DECLARE = "/console/settings/lanes", "/console/settings/lanes/declare"
CLINIC = {"account": "ann", "lane": "clinic", "reason": "seen their licence"}


async def _with_ann(console: RunningConsole) -> None:
    event = {"type": "account.registered", "account": "ann", "ts": now_ms()}
    await console.running.send([event])


visits = console_test(_with_ann)


def words(page: str) -> str:
    """Return the text of a page."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


async def declare(person: Visitor, **fields: str) -> Any:
    return await person.post(DECLARE, **(CLINIC | {"seen": "none"} | fields))


async def audited() -> list[tuple[str, str]]:
    rows = AuditEntry.objects.filter(action="declare_lane").order_by("number")
    return await stored(lambda: list(rows.values_list("reason", "outcome")))


@visits
async def test_administrator_declares_after_a_look_and_all_read_it(
    console: RunningConsole,
) -> None:
    admin = await console.person("admin", "dana")
    look = words((await admin.get(LANES, params={"account": "ann", "lane": "clinic"})).text)
    assert "ann : no lane → clinic" in look
    assert "it may write first to 120 strangers an hour" in look
    assert (await declare(admin)).status_code == 302
    page = words((await admin.get(LANES)).text)
    assert re.search(r"ann clinic [\d-]+ [\d:]+ \S+ seen their licence", page), page
    assert await audited() == [("clinic: seen their licence", "done")]
    analyst = await console.person("analyst")
    assert "clinic" in words((await analyst.get("/console/accounts/ann")).text)
    withdrawn = await declare(admin, lane="none", seen="clinic")
    assert withdrawn.status_code == 302
    assert "No account is declared" in words((await admin.get(LANES)).text)


@visits
async def test_auditor_reads_lanes_and_others_do_neither(console: RunningConsole) -> None:
    auditor = await console.person("auditor")
    page = await auditor.get(LANES, params={"account": "ann", "lane": "clinic"})
    assert (page.status_code, f'action="{DECLARE}"' in page.text) == (200, False)
    for role in ("auditor", "lead", "analyst", "counsel"):
        person = await console.person(role)
        assert (await declare(person)).status_code == 403, role
    assert await audited() == []


@visits
async def test_stale_lane_and_missing_fields_are_refused(console: RunningConsole) -> None:
    admin = await console.person("admin")
    for fields, status, said in (
        ({"seen": "school"}, 409, "its lane changed"),
        ({"seen": ""}, 409, "its lane changed"),
        ({"lane": "none"}, 409, "declared so already"),
        ({"lane": "vip"}, 422, "no such lane"),
        ({"account": " "}, 422, "no account is named"),
        ({"account": "+972541234567"}, 422, "phone"),
        ({"reason": ""}, 422, "a reason is missing"),
    ):
        answer = await declare(admin, **fields)
        told = (answer.status_code, said in words(answer.text).casefold())
        assert told == (status, True), (fields, answer.status_code)
    assert await audited() == []


@visits
async def test_account_is_declared_once_by_parallel_forms(console: RunningConsole) -> None:
    people = [await console.person("admin", name) for name in ("dana", "noa")]
    answers = await asyncio.gather(*(declare(each) for each in people for _ in range(2)))
    assert sorted(answer.status_code for answer in answers) == [302, 409, 409, 409]
    assert await audited() == [("clinic: seen their licence", "done")]


@visits
async def test_look_at_an_unknown_account_says_so(console: RunningConsole) -> None:
    admin = await console.person("admin")
    page = (await admin.get(LANES, params={"account": "אבא", "lane": "none"})).text
    assert "The log does not contain this account" in page
