"""Outside lists as operators see them: the console's page, the metric, and the API say the same."""

from __future__ import annotations

from hashlib import sha256

from support import service_harness
from support.console_harness import RunningConsole, console_test
from wavebreak.engine.list_modes import ListTerms
from wavebreak.engine.outside_lists import LEAST_RECORD

PAGE = "/console/settings/lists"


async def _prepared(console: RunningConsole) -> None:
    console.service.responder.lists = {"cme": ListTerms("delay", "https://keeper.example")}


visits = console_test(_prepared)


@visits
async def test_page_shows_modes_hits_and_pauses_to_administrators(console: RunningConsole) -> None:
    running, admin = console.running, await console.person("admin")
    page = (await admin.get(PAGE)).text
    for said in ("cme", "delay", "https://keeper.example", f"fewer than {LEAST_RECORD} settled"):
        assert said in page, said
    now = service_harness.now_ms()
    hits = [
        {"type": "account.listed", "account": f"spam{n}", "list": "rtbl", "advice": "refuse",
         "entry": sha256(f"{n}".encode()).hexdigest(), "ts": now}
        for n in range(3)
    ]  # fmt: skip
    answer = await running.ask("POST", "/v1/events", running.keys["list"], json=hits)
    assert answer.json()["accepted"] == 3
    await running.wait_until_applied()
    page = (await admin.get(PAGE)).text
    assert "rtbl" in page
    assert "only observes since" not in page
    assert "\nwavebreak_lists_paused 0.0" in (await running.ask("GET", "/metrics")).text
    held = await console.service.ask(lambda engine: engine.lists.lists["rtbl"])
    held.pause("grew too fast", 3, now)
    page = (await admin.get(PAGE)).text
    assert "only observes since" in page
    assert "grew too fast" in page
    assert "\nwavebreak_lists_paused 1.0" in (await running.ask("GET", "/metrics")).text
    terms = console.service.responder.lists
    console.service.responder.lists = {
        **terms, "rtbl": ListTerms("refuse", resumed_ms=now + 1)
    }  # fmt: skip
    assert "only observes since" not in (await admin.get(PAGE)).text
    assert "\nwavebreak_lists_paused 0.0" in (await running.ask("GET", "/metrics")).text


@visits
async def test_page_is_linked_and_for_who_sees_settings(console: RunningConsole) -> None:
    admin, reviewer = await console.person("admin"), await console.person("analyst")
    assert PAGE in (await admin.get("/console/settings")).text
    assert (await reviewer.get(PAGE)).status_code == 403
    console.service.responder.lists = {}
    assert "No list is configured" in (await admin.get(PAGE)).text
