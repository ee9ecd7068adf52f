"""Pages of cases: what each role sees, exhibits as text alone, and what is missing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from django.apps import apps

from support.case_workflow import Bench, screenshot
from support.console_harness import RunningConsole, Visitor
from support.legal_cases import (
    ACCOUNT,
    PAGE,
    act,
    case_at,
    case_visits,
    served_case,
    store_of,
    text_of,
)
from wavebreak_cases.bundles import evidence_intake
from wavebreak_cases.claims.exhibits import Actor
from wavebreak_cases.pages import files
from wavebreak_cases.pages.demo_case import CASE_ID

TABS = ["", "/parties", "/claims", "/notices", "/determination", "/bundle"]
HOSTILE = (
    b"<html><body><p>We send bulk WhatsApp messages, 90,000 a day, no opt-in, no bans, $50.</p>"
    b"<p>&lt;script&gt;alert(1)&lt;/script&gt; &lt;img src=x onerror=alert(2)&gt;</p>"
    b"<script>alert(3)</script><img src=https://tracker.example/p.gif onerror=alert(4)>"
    b"</body></html>"
)


@case_visits
async def test_list_shows_case_and_links_to_it(console: RunningConsole) -> None:
    counsel = await console.person("counsel")
    page = (await counsel.get("/console/cases")).text
    words = text_of(page)
    assert f'href="{PAGE}"' in page
    for said in ("Rapid Reach: bulk messages", "noticed", "overdue", "eligible", "not signed"):
        assert said in words, said
    assert "No case is closed" in (await counsel.get("/console/cases?state=closed")).text


@case_visits
async def test_tabs_show_the_case_to_counsel(console: RunningConsole) -> None:
    counsel = await console.person("counsel")
    wanted = {
        "": ["Party named: Rapid Reach Ltd", "Three reports by account holders", "step 19"],
        "/parties": ["May be one", "the same domain: rapid-reach.example", "reseller", ACCOUNT],
        "/claims": ["Price page of Rapid Reach", "1 to review", "shows it"],
        "/notices": ["N1 to Rapid Reach Ltd", "delivery service, signed for", "answer overdue"],
        "/determination": ["R2 with R3 continued", "What would change it", "Somebody else"],
        "/bundle": ["No bundle yet", "example.org/cases+"],
    }
    for tab in TABS:
        answer = await counsel.get(PAGE + tab)
        assert answer.status_code == 200, tab
        for said in wanted[tab]:
            assert said in text_of(answer.text), (tab, said)


@case_visits
async def test_dates_of_ties_and_what_bars_action_are_shown(console: RunningConsole) -> None:
    counsel = await console.person("counsel")
    empty = text_of((await counsel.get(f"{PAGE}/parties")).text)
    assert "Nothing is recorded: no settlement" in empty
    tie = {"party": "P1", "account": "bob", "basis": "statement", "strength": "weak"}
    held = {"exhibit": "E1", "since": "2021-03", "zone": "UTC", "date_basis": "the contract"}
    assert (await act(counsel, "link_account", **tie, **held)).status_code == 302
    stay = {"party": "P2", "kind": "stay", "at": "2026-01-02T00:00", "exhibit": "E3"}
    assert (await act(counsel, "record_bar", **stay)).status_code == 302
    words = text_of((await counsel.get(f"{PAGE}/parties")).text)
    for said in ("weak since 2021-03 (UTC)", ": the contract", "stay since", "lasts"):
        assert said in words, said


@case_visits
async def test_auditor_sees_cases_and_may_do_nothing(console: RunningConsole) -> None:
    auditor = await console.person("auditor")
    for tab in TABS:
        page = await auditor.get(PAGE + tab)
        assert page.status_code == 200
        assert "/act/" not in page.text
        assert "/bundle/file" not in page.text
    for path in ("/act/add_task", "/bundle/file"):
        assert (await auditor.get(PAGE + path)).status_code == 403
    assert (await auditor.post(f"{PAGE}/bundle/build", reason="x")).status_code == 403
    assert (await auditor.post(f"{PAGE}/act/add_task", what="x", reason="x")).status_code == 403
    assert len(served_case(console).steps) == 19


@case_visits
async def test_analyst_sees_no_case_nor_its_link(console: RunningConsole) -> None:
    analyst = await console.person("analyst")
    for path in ("/console/cases", PAGE, f"{PAGE}/exhibits/E1", f"{PAGE}/exhibits/E1/image"):
        assert (await analyst.get(path)).status_code == 403
    page = await analyst.get(f"/console/accounts/{ACCOUNT}")
    assert page.status_code == 200
    assert "Legal cases" not in page.text


@case_visits
async def test_account_page_shows_the_case_to_counsel(console: RunningConsole) -> None:
    counsel = await console.person("counsel")
    page = await counsel.get(f"/console/accounts/{ACCOUNT}")
    assert "Legal cases" in page.text
    assert f"{PAGE}/parties" in page.text


@case_visits
async def test_unknown_case_tab_exhibit_or_act_is_not_found(console: RunningConsole) -> None:
    counsel = await console.person("counsel")
    for path in (
        "/console/cases/C-404",
        f"{PAGE}/act/redact_exhibit",
        "/console/cases/..%2f..",
        f"{PAGE}/nothing",
        f"{PAGE}/exhibits/E99",
        f"{PAGE}/exhibits/E1/image",
        f"{PAGE}/act/erase",
        f"{PAGE}/bundle/file",
    ):
        assert (await counsel.get(path)).status_code == 404, path


@case_visits
async def test_exhibit_is_shown_as_text_with_marks(console: RunningConsole) -> None:
    counsel = await console.person("counsel")
    page = await counsel.get(f"{PAGE}/exhibits/E1")
    for said in ("as they were taken in", "a claim", "copied into case", "V1"):
        assert said in text_of(page.text), said
    part = (await counsel.get(f"{PAGE}/exhibits/E1/reading")).text
    assert "<mark>We send bulk WhatsApp messages: 80,000 a day" in part
    assert "Triage and no finding" in part
    assert "<mark>Founded" not in part


@case_visits
async def test_hostile_page_reaches_the_console_escaped(console: RunningConsole) -> None:
    counsel = await console.person("counsel")
    sent = await _upload(counsel, "page.html", HOSTILE, "claim")
    assert sent.status_code == 302, sent.text
    for path in ("/exhibits/E4", "/exhibits/E4/reading", "/act/review_evidence?item=V2"):
        text = (await counsel.get(PAGE + path)).text
        assert "alert(1)</script>" not in text
        assert "alert(3)" not in text
        assert "<img src=x" not in text
        assert "tracker.example" not in text.replace("sites: tracker.example", "")
    part = (await counsel.get(f"{PAGE}/exhibits/E4/reading")).text
    assert "&lt;script&gt;alert(1)" in part
    assert (await counsel.get(f"{PAGE}/exhibits/E4/image")).status_code == 404


@case_visits
async def test_picture_is_served_as_nothing_but_a_picture(console: RunningConsole) -> None:
    counsel = await console.person("counsel")
    assert (await _upload(counsel, "shot.png", screenshot(), "document")).status_code == 302
    assert f"{PAGE}/exhibits/E4/image" in (await counsel.get(f"{PAGE}/exhibits/E4")).text
    picture = await counsel.get(f"{PAGE}/exhibits/E4/image")
    assert picture.content == screenshot()
    assert picture.headers["content-type"] == "image/png"
    assert picture.headers["x-content-type-options"] == "nosniff"
    assert picture.headers["content-security-policy"] == "default-src 'none'; sandbox"
    part = (await counsel.get(f"{PAGE}/exhibits/E4/reading")).text
    assert "Not read" in part


@case_visits
async def test_changed_exhibit_is_shown_as_changed(console: RunningConsole) -> None:
    counsel = await console.person("counsel")
    place = store_of(console).directory / CASE_ID / "exhibits" / "E1"
    (place / "original.html").write_text("<p>We sell flowers.</p>")
    page = await counsel.get(f"{PAGE}/exhibits/E1")
    assert "not as it was taken in" in page.text


@case_visits
async def test_pages_without_a_directory_of_cases_say_so(console: RunningConsole) -> None:
    counsel = await console.person("counsel")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(apps.get_app_config("case_pages"), "store", None)
        for path in ("/console/cases", "/console/cases/new", PAGE, f"{PAGE}/act/add_task"):
            answer = await counsel.get(path)
            assert answer.status_code == 503, path
            assert "started without cases" in answer.text
        page = await counsel.get(f"/console/accounts/{ACCOUNT}")
        assert page.status_code == 200
        assert "Legal cases" not in page.text


@case_visits
async def test_capture_shows_its_screenshot_beside(console: RunningConsole) -> None:
    counsel = await console.person("counsel")
    store = store_of(console)
    bench = Bench(store.directory.parent)

    def take_in() -> None:
        actor = Actor("user:counsel", "test", "an offer", "a mandate")
        with files.open_for_act(store, CASE_ID, console.service.clock) as at:
            evidence_intake.add_claim_exhibit(at, bench.claim(), actor, "counsel", title="Prices")

    await asyncio.to_thread(take_in)
    page = await counsel.get(f"{PAGE}/exhibits/E4")
    assert f"{PAGE}/exhibits/E4/image" in page.text
    assert "https://rapid.example/" in page.text
    part = (await counsel.get(f"{PAGE}/exhibits/E4/reading")).text
    assert "<mark>" in part
    assert "We send bulk messages" in part
    assert case_at(store.directory / CASE_ID).exhibits["E4"].kind == "claim"


async def _upload(counsel: Visitor, name: str, raw: bytes, kind: str) -> Any:
    page = f"{PAGE}/act/add_exhibit"
    token = await counsel.token(page)
    fields = {"kind": kind, "title": name, "authority": "a mandate", "reason": "an offer"}
    return await counsel.client.post(
        page, data={"csrfmiddlewaretoken": token} | fields, files={"file": (name, raw)}
    )


@case_visits
async def test_act_form_begins_with_what_the_link_names(console: RunningConsole) -> None:
    counsel = await console.person("counsel")
    page = (await counsel.get(f"{PAGE}/act/change_party?party=P1")).text
    assert "rapid-reach.example" in page
    assert 'value="Rapid Reach Ltd"' in page
    assert (await act(counsel, "add_task", what="")).status_code == 422


@case_visits
async def test_not_current_comes_first_on_every_page(console: RunningConsole) -> None:
    counsel = await console.person("counsel")
    (d1,) = served_case(console).latest()
    relied = d1.value.grounds[0].evidence[0].partition("/")[0]
    given = {"item": relied, "shows": "no", "reason": "a parody"}
    assert (await act(counsel, "review_evidence", **given)).status_code == 302
    assert served_case(console).evidence[relied].confirmed == "no"
    for tab in TABS:
        words = text_of((await counsel.get(PAGE + tab)).text)
        assert f"Not current: {d1.id}." in words, tab
        if tab in ("", "/determination"):
            assert words.index("Not current") < words.index("said eligible"), tab
    listed = text_of((await counsel.get("/console/cases")).text)
    assert "not current said eligible" in listed
    page = await act(
        counsel, "send_notice", party=d1.value.party, template="cease_and_desist", language="en",
        operator="E", contact="c", days="10", exhibit="E1",
    )  # fmt: skip
    assert page.status_code == 422
    assert f"{d1.id} is not current" in text_of(page.text)
