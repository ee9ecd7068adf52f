"""Pages of businesses: who sees and acts, stale forms, two at once, appeals, words on consent."""

from __future__ import annotations

import asyncio
import html
import json
import re
from datetime import UTC, datetime
from typing import Any

from support.business_service import decide, ok, register, say, sends, tell, word
from support.console_harness import RunningConsole, Visitor, console_test
from wavebreak_business.pages import shown
from wavebreak_business.platform.platform import STANDING
from wavebreak_business.service.models import StandingRow
from wavebreak_server.http.app_context import run_background_query as stored
from wavebreak_server.storage.models import AuditEntry, PlatformMessage

SHOP, CONSENTS = "/console/portfolios/shop", "/console/portfolios/-/consents"
BECAUSE = {"reason": "complaints of three partners"}
BLOCK = {"step": "blocked_7d", "ground": "law"}
RACERS = 4


async def _nothing(console: RunningConsole) -> None:
    """No business is registered."""


async def _with_shop(console: RunningConsole) -> None:
    await register(console.running, limit=250)
    await register(console.running, "clinic", "n2", legal_name="Zamir Clinic", owners=["noa"])
    answers = await decide(console.running, sends(*(f"p{n}" for n in range(40))))
    assert all(answer["allowed"] for answer in answers)
    block = {"id": "b1", "type": "user.blocked", "account": "p1", "peer": "n1"}
    await tell(console.running, block)


visits = console_test(_with_shop)


def words(page: str) -> str:
    """Return the text of a page."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


async def seen_by(person: Visitor, path: str = SHOP) -> str:
    """Return the version of a portfolio's standing that its page shows to who acts."""
    found = re.search(r'name="seen" value="(\d+)"', (await person.get(path)).text)
    assert found
    return found[1]


async def act(person: Visitor, **fields: str) -> Any:
    seen = {"seen": await seen_by(person)} | BECAUSE
    return await person.post(f"{SHOP}/standing", **(seen | BLOCK | fields))


async def history() -> list[tuple[str, int, str]]:
    rows = StandingRow.objects.order_by("id").values_list("what", "step", "actor")
    return await stored(lambda: list(rows))


async def appeal(console: RunningConsole) -> None:
    """Have the business appeal."""
    said = {"appeal": "opened", "reason": "they agreed"}
    await ok(console.running, "POST", "/v1/business/shop/appeal", **said)


def test_every_change_of_a_standing_has_words() -> None:
    assert set(shown.CHANGES) == set(STANDING)


@console_test(_nothing)
async def test_console_without_businesses_says_how_to_begin(console: RunningConsole) -> None:
    person = await console.person("auditor")
    told = words((await person.get("/console/portfolios")).text)
    assert "No business is registered" in told
    assert "PUT /v1/business/{portfolio}" in told
    asked = {"person": "ann", "portfolio": "shop", "category": "utility"}
    assert (await person.post(CONSENTS, page=CONSENTS, **asked)).status_code == 404


@visits
async def test_list_is_searched_by_name_owner_and_number(console: RunningConsole) -> None:
    person = await console.person("analyst")
    for query, expected in (
        ("", {"shop", "clinic"}), ("zamir", {"clinic"}), ("NOA", {"clinic"}), ("n1", {"shop"}),
        ("שלום", set()), ("%", set()),
    ):  # fmt: skip
        page = (await person.get("/console/portfolios", params={"q": query})).text
        assert set(re.findall(r'data-row-open href="/console/portfolios/(\w+)"', page)) == expected
    page = words((await person.get("/console/portfolios")).text)
    assert re.search(r"shop yes nothing barred unknown 40 / 250 1 2", page), page


@visits
async def test_list_is_paged_by_name(console: RunningConsole) -> None:
    person = await console.person("lead")
    for state, names in (("barred", []), ("appeals", []), ("unheard", ["clinic", "shop"])):
        page = (await person.get(f"/console/portfolios?state={state}")).text
        assert re.findall(r'data-row-open href="/console/portfolios/(\w+)"', page) == names
    after = (await person.get("/console/portfolios?after=clinic")).text
    assert re.findall(r'data-row-open href="/console/portfolios/(\w+)"', after) == ["shop"]


@visits
async def test_analyst_and_auditor_read_and_lead_acts(console: RunningConsole) -> None:
    for role, reads, acts in (
        ("analyst", 200, False), ("auditor", 200, False), ("counsel", 200, False),
        ("lead", 200, True), ("admin", 403, False), ("policy_owner", 403, False),
    ):  # fmt: skip
        person = await console.person(role)
        page = await person.get(SHOP)
        assert page.status_code == reads, role
        assert (f'action="{SHOP}/standing"' in page.text) == acts, role
        preview = await person.get(f"{SHOP}/preview", params=BLOCK)
        assert preview.status_code == (200 if acts else 403), role
        if not acts:
            answer = await person.post(f"{SHOP}/standing", seen="0", **BLOCK, **BECAUSE)
            assert answer.status_code == 403, role
    assert await history() == []


@visits
async def test_unknown_business_is_not_found_anywhere(console: RunningConsole) -> None:
    lead = await console.person("lead")
    for path in ("/console/portfolios/nobody", "/console/portfolios/nobody/preview?step=lift"):
        assert (await lead.get(path)).status_code == 404, path
    for path in ("standing", "appeal"):
        answer = await lead.post(f"/console/portfolios/nobody/{path}", seen="0", **BECAUSE)
        assert answer.status_code == 404
        assert "no such business" in answer.text


@visits
async def test_preview_is_what_the_business_is_told(console: RunningConsole) -> None:
    body = {"url": "http://127.0.0.1:9/hook", "kinds": ["business"], "reason": "made for a test"}
    answer = await console.running.ask("POST", "/v1/webhooks", json=body)
    assert answer.status_code in (200, 201), answer.text
    lead = await console.person("lead", "dana")
    preview = words((await lead.get(f"{SHOP}/preview", params=BLOCK)).text)
    assert "all sends barred" in preview
    assert (await act(lead)).status_code == 302
    messages = PlatformMessage.objects.filter(type="business.standing")
    (data,) = await stored(lambda: list(messages.values_list("data", flat=True)))
    told = json.loads(bytes(data))
    assert (told["what"], told["ground"], told["bars"]) == ("set", "law", "all")
    assert told["notices"].keys() == {"en", "he"}
    for text in told["notices"].values():
        untimed = [line for line in text.split("\n") if not re.search(r"\d\d:\d\d", line)]
        assert len(untimed) == 4
        assert all(" ".join(line.split()) in preview for line in untimed), preview


@visits
async def test_act_is_audited_and_says_what_it_changed(console: RunningConsole) -> None:
    lead = await console.person("lead", "dana")
    answer = await act(lead)
    assert answer.headers["location"] == SHOP
    page = words((await lead.get(SHOP)).text)
    assert "A person took a step. It is on step 5 now: all sends barred." in page
    assert "Law, or an order of an authority complaints of three partners user:dana" in page
    assert (await decide(console.running, [{**sends("q1")[0]}]))[0]["outcome"] == "blocked"
    entry = await stored(lambda: AuditEntry.objects.order_by("number").last())
    assert (entry.key, entry.action, entry.object, entry.reason) == (
        "user:dana", "set_standing", "shop/blocked_7d", BECAUSE["reason"],
    )  # fmt: skip
    assert await history() == [("set", 5, "user:dana")]
    lifted = await act(lead, step="lift", ground="")
    assert lifted.status_code == 302
    assert (await decide(console.running, [{**sends("q2")[0]}]))[0]["outcome"] == "accepted"


@visits
async def test_form_that_lacks_something_keeps_the_rest(console: RunningConsole) -> None:
    lead = await console.person("lead")
    for wrong in ({"ground": ""}, {"reason": " "}, {"step": ""}, {"step": "unheard"},
                  {"ground": "whim"}, {"reason": "x" * 501}, {"step": "lift"}):  # fmt: skip
        answer = await act(lead, **wrong)
        assert answer.status_code in (409, 422), wrong
        assert 'role="alert"' in answer.text
        assert f'action="{SHOP}/standing"' in answer.text
    refused = await act(lead, ground="", reason="<b>three & more</b>")
    assert 'value="&lt;b&gt;three &amp; more&lt;/b&gt;"' in refused.text
    assert '<option value="blocked_7d" selected>' in refused.text
    assert await history() == []


@visits
async def test_stale_form_is_refused_with_what_is_new(console: RunningConsole) -> None:
    dana, noa = await console.person("lead", "dana"), await console.person("lead", "noa")
    seen = await seen_by(noa)
    assert (await act(dana)).status_code == 302
    stale = {"seen": seen, "step": "warning", "ground": "quality"} | BECAUSE
    answer = await noa.post(f"{SHOP}/standing", **stale)
    assert answer.status_code == 409
    told = words(answer.text)
    assert "changed while you read it" in told
    assert "user:dana" in told
    assert f'value="{BECAUSE["reason"]}"' in answer.text
    assert await history() == [("set", 5, "user:dana")]
    for wrong in ("", "-1", "none", "9" * 30):
        assert (await noa.post(f"{SHOP}/standing", **(stale | {"seen": wrong}))).status_code == 409


@visits
async def test_of_several_at_once_one_acts(console: RunningConsole) -> None:
    leads = [await console.person("lead", f"lead-{n}") for n in range(RACERS)]
    seen = await seen_by(leads[0])
    tokens = [await lead.token() for lead in leads]
    answers = await asyncio.gather(
        *(
            lead.client.post(
                f"{SHOP}/standing",
                data={"csrfmiddlewaretoken": token, "seen": seen} | BLOCK | BECAUSE,
            )
            for lead, token in zip(leads, tokens, strict=True)
        )
    )
    assert sorted(each.status_code for each in answers) == [302, *[409] * (RACERS - 1)]
    assert len(await history()) == 1


@visits
async def test_form_without_token_changes_nothing(console: RunningConsole) -> None:
    lead = await console.person("lead")
    answer = await lead.client.post(f"{SHOP}/standing", data={"seen": "0"} | BLOCK | BECAUSE)
    assert answer.status_code == 403
    assert await history() == []


@visits
async def test_appeal_is_decided_by_another_person(console: RunningConsole) -> None:
    dana, noa = await console.person("lead", "dana"), await console.person("lead", "noa")
    await act(dana)
    await appeal(console)
    listed = (await noa.get("/console/portfolios?state=appeals")).text
    assert re.findall(r'data-row-open href="/console/portfolios/(\w+)"', listed) == ["shop"]
    answer = {"appeal": "reversed", "seen": await seen_by(dana)} | BECAUSE
    assert f'action="{SHOP}/appeal"' not in (await dana.get(SHOP)).text
    refused = await dana.post(f"{SHOP}/appeal", **answer)
    assert refused.status_code == 403
    assert "you took the step" in refused.text.lower()
    assert f'action="{SHOP}/appeal"' in (await noa.get(SHOP)).text
    assert (await noa.post(f"{SHOP}/appeal", **(answer | {"appeal": "opened"}))).status_code == 422
    assert (await noa.post(f"{SHOP}/appeal", **answer)).status_code == 302
    assert (await noa.post(f"{SHOP}/appeal", **answer)).status_code == 409
    assert (await decide(console.running, [{**sends("q1")[0]}]))[0]["outcome"] == "accepted"
    assert await history() == [
        ("set", 5, "user:dana"), ("appeal_opened", 5, console.running.key.split("_")[1]),
        ("appeal_reversed", 0, "user:noa"),
    ]  # fmt: skip


@visits
async def test_page_shows_templates_with_a_plot_and_names_as_text(console: RunningConsole) -> None:
    evil = "<script>alert(1)</script>"
    await register(console.running, legal_name=evil, owners=[evil])
    person = await console.person("analyst")
    page = (await person.get(SHOP)).text
    assert evil not in page
    assert html.escape(evil) in page
    assert "2.5 of 100 unwanted" in page
    assert page.count("strip-mark") == 2
    assert '<a class="mono" href="/console/accounts/n1">n1</a>' in page


@visits
async def test_account_of_a_number_leads_to_its_business(console: RunningConsole) -> None:
    send = {"id": "e1", "ts": 1_767_222_000_000, "type": "account.registered", "account": "n1"}
    await console.running.send([send])
    analyst, owner = await console.person("analyst"), await console.person("policy_owner")
    assert f'href="{SHOP}"' in (await analyst.get("/console/accounts/n1")).text
    assert "Number of a business" not in (await owner.get("/console/accounts/n1")).text


@visits
async def test_basis_is_what_had_arrived_at_a_time(console: RunningConsole) -> None:
    person = await console.person("auditor")
    await say(console.running, word("w1", "ann", category="marketing"))
    granted_at = console.service.clock()
    await asyncio.sleep(1.1)
    await say(console.running, word("w2", "ann", "revoked"))
    asked = {"person": "ann", "portfolio": "shop", "category": "marketing"}
    before = {"at": _written(granted_at + 1000)}
    for more, state, words_shown in (
        ({}, "revoked", 2), (before, "granted", 1), ({"at": "2020-01-01T00:00"}, "none", 0),
        ({"number": "n1"}, "revoked", 2), ({"person": "nobody"}, "none", 0),
    ):  # fmt: skip
        answer = await person.post(CONSENTS, page=CONSENTS, **(asked | more))
        assert answer.status_code == 200
        assert f">{state}</span></h2>" in answer.text, more
        assert answer.text.count('<td class="tight">') == words_shown, more
    for wrong, status in (
        ({"portfolio": "nobody"}, 404), ({"number": "n2"}, 404), ({"category": "spam"}, 422),
        ({"person": " "}, 422), ({"at": "yesterday"}, 422),
    ):  # fmt: skip
        answer = await person.post(CONSENTS, page=CONSENTS, **(asked | wrong))
        assert answer.status_code == status, wrong
        assert 'role="alert"' in answer.text


def _written(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).replace(tzinfo=None).isoformat()
