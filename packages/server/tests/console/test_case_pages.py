"""Pages of a case and an account: story, preview, accounts of one hand."""

from __future__ import annotations

import html
import re
from functools import partial
from typing import Any

import pytest

from support.console_harness import RunningConsole, console_test
from support.operator_events import TEAM, team_events
from support.service_harness import abuser
from wavebreak.languages import get_language
from wavebreak_server.http.app_context import run_background_query as stored
from wavebreak_server.slices.accounts import neighbours
from wavebreak_server.slices.acts import service as acts
from wavebreak_server.slices.acts.models import PersonAct
from wavebreak_server.slices.queue.models import Review, ReviewCase
from wavebreak_server.slices.statements.service import newest_notice, statement_of, stored_decision


async def _with_abusers(console: RunningConsole) -> None:
    await console.running.send([*abuser(age_ms=3_000_000), *abuser(90, account="bob")])
    await console.index()


visits = console_test(_with_abusers)


async def _with_team(console: RunningConsole) -> None:
    await console.running.send(list(team_events()))
    await console.index()


team_visits = console_test(_with_team)


def words(page: str) -> str:
    """Return the text of a page."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


@visits
async def test_case_begins_with_what_the_account_did(console: RunningConsole) -> None:
    person = await console.person("analyst", "noa")
    case = await stored(lambda: ReviewCase.objects.get(account="ann"))
    for path in (f"/console/queue/{case.id}", "/console/accounts/ann"):
        page = (await person.get(path)).text
        story, timeline = page.index('id="story"'), page.index('data-chart="events"')
        assert story < timeline < page.index("Among the population"), path
        told = words(page[story:timeline])
        assert re.search(r"In all it sent \d+ messages and wrote first to \d+ people", told), told
    told = " ".join((await person.get("/console/account-timelines/ann")).json()["story"])
    assert re.search(r"50 min 1 s later it sent 120 messages in 12 s, to 120 people", told), told
    assert "none replied" in told


ACTS = [
    {"verdict": "benign"},
    {"verdict": "abusive"},
    {"verdict": "undetermined", "outcome": "restrict", "hold": "3d"},
]


@pytest.mark.parametrize("wanted", ACTS, ids=lambda each: each["verdict"])
def test_preview_is_what_the_holder_reads(wanted: dict[str, str], tmp_path: Any) -> None:
    @console_test(_with_abusers)
    async def visit(console: RunningConsole) -> None:
        person = await console.person("analyst", "noa")
        account = "bob"
        query = "&".join(f"{name}={value}" for name, value in wanted.items())
        page = words((await person.get(f"/console/act-previews/{account}?{query}")).text)
        assert await stored(PersonAct.objects.count) == 0
        await person.act(f"/console/account-acts/{account}", reason="as shown", **wanted)
        made = await stored(PersonAct.objects.get)
        assert f"{made.before} → {made.outcome}" in page
        notices = console.running.context.holder_notices
        for code in notices.platform.languages:
            statement = await stored(partial(_statement, notices, account, code))
            assert statement.title in page
            for section in statement.sections:
                # Closing lines and the end of the time for an appeal follow from the instant of the
                # act; its reference is drawn with it.
                said = [*section.paragraphs, *section.items]
                said = said[1:-1] if section.id == "appeal" else said
                assert " ".join(said) in page, section

    visit(tmp_path)


def _statement(notices: Any, account: str, code: str) -> Any:
    newest = newest_notice(notices, account, 2_000_000_000_000)
    assert newest is not None
    decision = stored_decision(newest["statement"].decision)
    assert decision is not None
    return statement_of(notices, decision, get_language(code), decision["ts"])


@visits
async def test_preview_says_what_is_missing(console: RunningConsole) -> None:
    person = await console.person("analyst", "noa")
    path = "/console/act-previews/ann?verdict=undetermined"
    assert "no outcome was chosen" in words((await person.get(path)).text)
    abusive = words((await person.get("/console/act-previews/ann?verdict=abusive")).text)
    assert "It would change nothing" in abusive or "ban" in abusive
    unknown = (await person.get("/console/act-previews/nobody?verdict=benign")).text
    assert "the log has no such account" in unknown


@visits
async def test_benign_needs_no_reason_and_others_do(console: RunningConsole) -> None:
    person = await console.person("analyst", "noa")
    path = (await person.post("/console/queue/next")).headers["location"]
    version = re.search(r'name="version" value="(\d+)"', (await person.get(path)).text)
    assert version
    said = {"version": version[1], "reason": " "}
    refused = await person.act(f"{path}/decide", verdict="abusive", **said)
    assert refused.status_code == 422
    assert await stored(Review.objects.count) == 0
    done = await person.act(f"{path}/decide", verdict="benign", **said)
    assert done.status_code == 302
    review = await stored(Review.objects.get)
    assert (review.verdict, review.reason) == ("benign", acts.NO_REASON)


@team_visits
async def test_accounts_of_one_hand_are_one_card(console: RunningConsole) -> None:
    lead = await console.person("lead", "dana")
    now = 1
    for account in TEAM:
        await stored(
            partial(
                ReviewCase.objects.update_or_create, account=account, state="open",
                defaults={"decision": 1, "outcome": "limit", "basis": "tie", "opened_ms": now,
                          "changed_ms": now, "harm": 0.5, "uncertainty": 0.5, "priority": 0.3},
            )
        )  # fmt: skip
    operators = await console.service.ask(lambda engine: engine.operators())
    team = next(each for each in operators if set(each.accounts) == set(TEAM))
    page = (await lead.get("/console/queue/cases")).text
    card = words(page[page.index('class="card hand"') : page.index("</article>")])
    assert f"{team.id} {len(TEAM)} wait here" in card
    assert page.count(f"linked to {len(TEAM) - 1} accounts") == len(TEAM)
    chosen = (await lead.get(f"/console/operators/{team.id}?select=all")).text
    assert len(re.findall(r'name="account" value="[^"]+" checked', chosen)) == len(TEAM)
    legend = words(chosen[chosen.index('class="graph-legend"') : chosen.index("data-graph-detail")])
    shown = set(re.findall(r'class="pill [\w-]+" title="[^"]*">(\w+)<', chosen))
    assert shown <= set(legend.split())
    act = {"verdict": "undetermined", "outcome": "suspend", "hold": "3d", "reason": "one team"}
    preview = (await lead.post("/console/queue/preview", account=list(TEAM), **act)).text
    assert "Nothing has happened yet" in preview
    answer = await lead.act("/console/queue/bulk", account=list(TEAM), **act)
    assert answer.status_code == 302
    # One decision of a person; a decision, a notice and an open appeal for each account.
    done = await stored(lambda: list(PersonAct.objects.values_list("account", "outcome", "batch")))
    assert sorted(name for name, _, _ in done) == sorted(TEAM)
    assert len({batch for _, _, batch in done}) == 1
    notices = console.running.context.holder_notices
    for account in TEAM:
        newest = await stored(partial(newest_notice, notices, account, now))
        assert newest is not None
        assert newest["statement"].outcome == "suspend"
        assert newest["statement"].appeal is not None


@visits
async def test_what_is_shared_is_opened_and_acted_on(console: RunningConsole) -> None:
    lead = await console.person("lead", "dana")
    part = (await lead.get("/console/account-neighbours/ann")).text
    links = re.findall(r'href="(/console/account-sharing/\w+/ann)">([^<]+)<', part)
    assert ("/console/account-sharing/device/ann", "1, 1 acted on") in links
    page = (await lead.get(links[0][0])).text
    assert re.findall(r'name="account" value="(\w+)"', page) == ["ann", "bob"]
    assert neighbours.KINDS["device"] in page
    preview = await lead.post(
        "/console/queue/preview", account=["ann", "bob"], verdict="abusive", reason="one device"
    )
    assert preview.status_code == 200
    assert (await lead.get("/console/account-sharing/shoe/ann")).status_code == 404
