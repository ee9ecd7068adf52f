"""Every account's id has pages of its own, whatever it holds, in the console and in the API."""

from __future__ import annotations

import asyncio
from urllib.parse import quote, unquote, urljoin

import pytest
from django.db import connection
from django.urls import resolve, reverse

from support.console_harness import RunningConsole, console_test
from support.service_harness import abuser
from wavebreak_server.slices.acts.models import PersonAct

URLS = "wavebreak_server.console.urls"
IDS = (
    "ann", "x", "x/act", "x/timeline", "x/shared", "act/x", "timeline", "shared/", "x//act", "/x",
    "a%2Fb", "%2e%2e", "%2e%2e/b", "d?e#f", "é/דנה", "x;y=1", "x\\y", "x&y+z", "[x]@y:z", "...",
    "x/override", "x/act/timeline/shared",
)  # fmt: skip
"""Ids that the log accepts (it refuses one with a part `.` or `..`)."""
PAGES = ("account", "timeline", "shared", "act")


async def _with_accounts(console: RunningConsole) -> None:
    for at, name in enumerate(IDS):
        events = abuser(count=1, account=name)
        await console.running.send([e | {"id": f"e{at}-{n}"} for n, e in enumerate(events)])
    await console.index()


visits = console_test(_with_accounts)
"""Runs a test against a console that knows an account of each id."""


@pytest.mark.parametrize("name", IDS)
def test_path_of_an_id_leads_back_to_it_alone(name: str) -> None:
    for page in PAGES:
        path = reverse(page, URLS, args=[name])
        # A browser resolves dots in a path, and the server decodes what is percent-encoded.
        asked = unquote(urljoin("http://localhost", path).removeprefix("http://localhost"))
        found = resolve(asked, URLS)
        assert (found.url_name, found.kwargs) == (page, {"account": name})


@visits
async def test_any_id_reaches_its_own_page_and_acts(console: RunningConsole) -> None:
    person = await console.person("analyst")
    for name in IDS:
        page = await person.get(reverse("account", URLS, args=[name]))
        assert page.status_code == 200
        for link in ("act", "timeline", "shared"):
            assert reverse(link, URLS, args=[name]).replace("&", "&amp;") in page.text
        found = await person.get(reverse("timeline", URLS, args=[name]))
        assert "marks" in found.json()
        assert (await person.get(reverse("shared", URLS, args=[name]))).status_code == 200
        fields = {"verdict": "undetermined", "outcome": "limit", "hold": "7d", "seen": "allow"}
        path = reverse("act", URLS, args=[name])
        answer = await person.act(path, reason="a test", **fields)
        assert answer.status_code == 302, answer.text
        assert answer.headers["location"] == reverse("account", URLS, args=[name])
    assert await asyncio.to_thread(_acted_on) == list(IDS)


def _acted_on() -> list[str]:
    try:
        return list(PersonAct.objects.order_by("id").values_list("account", flat=True))
    finally:
        connection.close()


@visits
async def test_any_id_reaches_its_own_state_in_the_api(console: RunningConsole) -> None:
    because = "because a test asks for it"
    for name in IDS:
        path = f"/v1/accounts/{quote(name, safe='')}"
        assert (await console.running.ask("GET", path)).json()["account"] == name
        change = {"verdict": "undetermined", "outcome": "limit", "hold_s": 600, "reason": because}
        changed = await console.running.ask("POST", f"{path}/override", json=change)
        assert changed.json()["outcome"] == "limit", name
        assert (await console.running.ask("GET", path)).json()["outcome"] == "limit"
