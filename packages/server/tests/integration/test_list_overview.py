"""Outside lists in the console: their page, and the entries of an account for reviewers."""

from __future__ import annotations

from hashlib import sha256

from support import service_harness
from support.console_harness import RunningConsole, console_test
from wavebreak.engine.outside_lists import ListTerms

PAGE = "/console/settings/lists"


async def _prepared(console: RunningConsole) -> None:
    console.service.responder.lists = {"cme": ListTerms("delay", "https://keeper.example")}


visits = console_test(_prepared)


@visits
async def test_pages_show_modes_and_entries(console: RunningConsole) -> None:
    running, admin = console.running, await console.person("admin")
    page = (await admin.get(PAGE)).text
    for said in ("cme", "delay", "https://keeper.example", "never"):
        assert said in page, said
    now = service_harness.now_ms()
    hits = [
        {"type": "account.listed", "account": account, "list": "rtbl", "advice": "refuse",
         "entry": sha256(f"{n}".encode()).hexdigest(), "ts": now}
        for n, account in enumerate(("ann", "bob", "eve"))
    ]  # fmt: skip
    answer = await running.ask("POST", "/v1/events", running.keys["list"], json=hits)
    assert answer.json()["accepted"] == 3
    await running.send(service_harness.abuser())
    await running.wait_until_applied()
    page = (await admin.get(PAGE)).text
    assert "rtbl" in page
    shared = "/console/account-neighbours/ann"
    analyst = await console.person("analyst")
    part = (await analyst.get(shared)).text
    assert "rtbl" in part
    assert "A list decides nothing" in part
    console.service.responder.lists = {"rtbl": ListTerms("off")}
    assert "rtbl" not in (await analyst.get(shared)).text


@visits
async def test_page_is_linked_and_for_who_sees_settings(console: RunningConsole) -> None:
    admin, reviewer = await console.person("admin"), await console.person("analyst")
    assert PAGE in (await admin.get("/console/settings")).text
    assert (await reviewer.get(PAGE)).status_code == 403
    console.service.responder.lists = {}
    assert "No list is configured" in (await admin.get(PAGE)).text
