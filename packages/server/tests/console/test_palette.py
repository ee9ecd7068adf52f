"""The palette: what letters lead to, by what a role may see; nothing typed is in an address."""

from __future__ import annotations

from typing import Any

from support.console_harness import RunningConsole, Visitor, console_test
from support.operator_events import TEAM, team_events
from support.service_harness import abuser


async def _prepare(console: RunningConsole) -> None:
    await console.running.send([*abuser(account="ann"), *abuser(account="anton")])
    await console.running.send(list(team_events()))
    await console.index()


visits = console_test(_prepare)


async def places(person: Visitor, letters: str) -> dict[str, list[str]]:
    """Return the labels that letters lead to, by kind."""
    answer: Any = await person.post("/console/palette", q=letters)
    assert answer.status_code == 200
    found: dict[str, list[str]] = {}
    for place in answer.json()["places"]:
        found.setdefault(place["kind"], []).append(place["label"])
        if place["kind"] != "page":
            assert (await person.get(place["url"])).status_code == 200, place
    return found


@visits
async def test_palette_leads_to_what_the_letters_name(console: RunningConsole) -> None:
    lead = await console.person("lead")
    found = await places(lead, "an")
    assert found["case"] == found["account"] == ["ann", "anton"]
    assert (await places(lead, TEAM[0]))["account"][0] == TEAM[0]
    assert len((await places(lead, TEAM[0]))["operator"]) == 1
    assert "confirmed_abusive" in (await places(lead, "confirmed"))["rule"]
    assert "Queue" in (await places(lead, ""))["page"]
    assert await places(lead, "no such thing") == {}


@visits
async def test_palette_shows_what_the_role_may_see(console: RunningConsole) -> None:
    admin = await console.person("admin")
    assert await places(admin, "ann") == {}
    assert "Settings" in (await places(admin, ""))["page"]
    assert "Queue" not in (await places(admin, ""))["page"]
    assert (await admin.get("/console/palette?q=ann")).status_code == 405
