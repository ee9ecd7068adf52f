"""Campaigns: cases that wait are grouped into what a person decides together."""

from __future__ import annotations

import re
from typing import Any

import pytest

from support.console_harness import SHEET, RunningConsole, console_test
from support.service_harness import abuser
from wavebreak.engine.account_queries import LiveAccount, sending_traits
from wavebreak_server.console.views import campaigns
from wavebreak_server.http.app_context import run_background_query as stored
from wavebreak_server.slices.config import load_config
from wavebreak_server.slices.queue import campaign_rows
from wavebreak_server.slices.queue.campaign_rows import group_cases
from wavebreak_server.slices.queue.campaigns import (
    MIN_ALIKE,
    MIN_LINKED,
    MIN_NETWORK,
    CaseTraits,
    campaign_keys,
    shape_of,
    store_campaigns,
)
from wavebreak_server.slices.queue.indexer import linked_accounts, measure_new_cases
from wavebreak_server.slices.queue.models import CampaignSummary, ReviewCase

QUEUE = load_config().queue


def case(number: int, **traits: Any) -> CaseTraits:
    """A case of a rule, with traits."""
    return CaseTraits(number, "", "r", "few")._replace(**traits)


def test_accounts_of_an_operator_are_a_campaign() -> None:
    team = [case(k, operator="op-1", abuse=f"r{k}") for k in range(MIN_LINKED)]
    pair = [case(10 + k, operator="op-2") for k in range(MIN_LINKED - 1)]
    keys = campaign_keys([*team, *pair])
    assert {keys[each.id] for each in team} == {"op-1"}
    assert {keys[each.id] for each in pair} == {"alike--"}


def test_accounts_that_write_to_the_same_people_are_a_campaign() -> None:
    # Each shares three people with the next one, and the first shares none with the last.
    chain = [case(k, targets=f"{k} {k + 1} {k + 2} {k + 3}") for k in range(1, 1 + MIN_LINKED)]
    # Two people in common may be chance.
    other = [case(20 + k, targets=f"1 2 {100 + k}") for k in range(MIN_LINKED)]
    keys = campaign_keys([*chain, *other])
    assert {keys[each.id] for each in chain} == {"list-1"}
    assert {keys[each.id] for each in other} == {"alike--"}


def test_target_list_joins_operators_and_keeps_its_key() -> None:
    halves = [
        case(k, operator="op-1" if k < 4 else "op-2", targets="7 8 9")
        for k in range(2 * MIN_LINKED)
    ]
    assert set(campaign_keys(halves).values()) == {"op-2"}
    # The case that named the list is decided meanwhile.
    left = [case(k, campaign="list-1", targets="7 8 9") for k in range(2, 2 + MIN_LINKED)]
    assert set(campaign_keys(left).values()) == {"list-1"}


def test_network_of_many_cases_is_a_campaign_of_its_own() -> None:
    crowd = [case(k, network=9) for k in range(MIN_NETWORK)]
    few = [case(100 + k, network=8) for k in range(MIN_NETWORK - 1)]
    keys = campaign_keys([*crowd, *few])
    assert {keys[each.id] for each in crowd} == {"network-9-r-few"}
    assert {keys[each.id] for each in few} == {"alike-r-few"}
    # Few of a kind are among those of their shape.
    kinds = [case(k, abuse=f"kind{k % 3}") for k in range(2 * MIN_ALIKE)]
    assert set(campaign_keys(kinds).values()) == {"alike--few"}
    # Few of a shape too are others.
    shapes = [case(k, shape=f"shape{k % 3}") for k in range(MIN_ALIKE)]
    assert set(campaign_keys(shapes).values()) == {"alike--"}


def test_shape_tells_answered_from_unwelcome_messages() -> None:
    live = LiveAccount("limit", 0, 0, 0, 0, 0, 0, 0, (), gone=False)
    assert shape_of(live) == "none"
    busy = live._replace(strangers=100)
    assert shape_of(busy) == "unanswered"
    assert shape_of(busy._replace(answered=60)) == "answered"
    # Complaints outweigh replies.
    assert shape_of(busy._replace(answered=60, complained=5)) == "unwelcome"


async def _abusers(console: RunningConsole) -> None:
    for k in range(MIN_LINKED):
        await console.running.send(abuser(60 + k, account=f"bad-{k}"))
    await console.index()


@console_test(_abusers)
async def test_indexer_stores_campaigns_of_the_cases_that_wait(console: RunningConsole) -> None:
    async def grouped() -> dict[str, list[Any]]:
        linked = await linked_accounts(console.service)
        await measure_new_cases(QUEUE, console.service, linked)
        await stored(lambda: group_cases(QUEUE))
        fields = ("account", "campaign", "in_force", "reached", "complained", "shape", "operator")
        rows = await stored(lambda: list(ReviewCase.objects.values_list(*fields)))
        return {row[0]: list(row[1:]) for row in rows}

    new = await stored(lambda: set(ReviewCase.objects.values_list("campaign", flat=True)))
    assert new == {"new"}
    rows = await grouped()
    traits = await console.service.query(sending_traits, ["bad-0", "nobody"])
    assert list(traits) == ["bad-0"]
    assert len(traits["bad-0"].targets) == 4
    assert rows["bad-0"][1:5] == ["limit", 60, 0, "unanswered"]
    assert await grouped() == rows
    assert await stored(store_campaigns) == 0


BAN: dict[str, Any] = {"verdict": "undetermined", "outcome": "ban", "reason": "one campaign"}


async def _grouped_abusers(console: RunningConsole) -> None:
    await _abusers(console)
    await measure_new_cases(QUEUE, console.service, {})
    await stored(lambda: group_cases(QUEUE))


grouped_visits = console_test(_grouped_abusers)


def texts_of(page: str) -> list[str]:
    """Return the texts of the rows of a page."""
    rows = re.findall(r"<tr data-row>(.*?)</tr>", page, re.DOTALL)
    return [" ".join(re.sub(r"<[^>]+>", " ", row).split()) for row in rows]


@grouped_visits
async def test_row_says_what_a_campaign_does(console: RunningConsole) -> None:
    person = await console.person("analyst", "noa")
    [row] = texts_of((await person.get("/console/queue")).text)
    assert "Too many first messages others, not alike" in row
    assert "strangers do not reply" in row
    assert "accounts 5 strangers 310 complaints 0" in row
    assert "Overdue" not in row
    await stored(lambda: ReviewCase.objects.filter(account="bad-0").update(opened_ms=1))
    [late] = texts_of((await person.get("/console/queue")).text)
    assert "Overdue." in late


@grouped_visits
async def test_campaign_marks_the_odd_one_out(console: RunningConsole) -> None:
    await stored(
        lambda: ReviewCase.objects.filter(account="bad-3").update(shape="answered", complained=0)
    )
    lead = await console.person("lead", "dana")
    page = (await lead.get("/console/queue/campaigns/alike--")).text
    rows = texts_of(page)
    assert rows[0].startswith("bad-3 sends unlike the others: strangers reply")
    assert not any("unlike" in row for row in rows[1:])
    assert len(re.findall(r'name="case" value="\d+" checked', page)) == MIN_LINKED - 1
    assert "1 account sends unlike the others, and is not selected." in page
    # Another outcome is marked, and chosen all the same.
    await stored(lambda: ReviewCase.objects.filter(account="bad-2").update(in_force="ban"))
    page = (await lead.get("/console/queue/campaigns/alike--")).text
    assert texts_of(page)[1].startswith("bad-2 another outcome")
    assert len(re.findall(r'name="case" value="\d+" checked', page)) == MIN_LINKED - 1


@grouped_visits
async def test_colleagues_are_seen_in_the_row_and_in_the_campaign(console: RunningConsole) -> None:
    noa, dana = await console.person("analyst", "noa"), await console.person("lead", "dana")
    campaign = "/console/queue/campaigns/alike--"
    await noa.get(campaign)
    assert "noa is here" in (await dana.get("/console/queue")).text
    assert "noa is here" in (await dana.get(campaign)).text
    # Nobody sees themselves.
    assert "is here" not in (await noa.get(campaign)).text.replace("dana is here", "")
    await noa.post("/console/queue/next")
    assert "noa is here" in (await dana.get("/console/queue")).text


@grouped_visits
async def test_verdict_on_a_campaign_has_one_sheet_and_is_undone_by_key(
    console: RunningConsole,
) -> None:
    lead = await console.person("lead", "dana")
    cases = await stored(lambda: list(ReviewCase.objects.values_list("id", "account")))
    fields: dict[str, Any] = BAN | {"campaign": "alike--", "case": [n for n, _ in cases[:2]]}
    # What the page did not list is added on demand, and a row that was not chosen is not.
    fields |= {"listed": [n for n, _ in cases[:3]], "query": "campaign", "then": "next"}
    sheet = (await lead.post("/console/queue/preview", **fields)).text
    accounts = re.findall(r'name="account" value="([^"]+)"', sheet)
    assert accounts == [name for _, name in (*cases[:2], *cases[3:])]
    assert 'name="campaign" value="alike--"' in sheet
    digest = SHEET.search(sheet)
    assert digest
    confirmed: dict[str, Any] = BAN | {"account": accounts, "campaign": "alike--"}
    # Somebody changed one of them meanwhile: the act is asked again.
    await lead.act("/console/account-acts/bad-0", verdict="benign", reason="a wedding")
    asked = await lead.post("/console/queue/bulk", **confirmed, sheet=digest[1])
    assert "changed while you read it" in asked.text
    done = await lead.act("/console/queue/bulk", **confirmed)
    assert done.headers["location"] == "/console/queue"
    page = (await lead.get("/console/queue")).text
    assert 'data-key="z"' in page
    undo = re.search(r'action="(/console/queue/batches/[^"]+/undo)"', page)
    assert undo
    assert await stored(ReviewCase.objects.filter(state="open").count) == 1
    await lead.post(undo[1], reason="undone at once, from the queue")
    assert await stored(ReviewCase.objects.filter(state="open").count) > 1


@grouped_visits
async def test_similar_cases_show_what_people_decided(console: RunningConsole) -> None:
    lead = await console.person("lead", "dana")
    await lead.act("/console/queue/bulk", account=["bad-0"], **BAN)
    page = (await lead.get("/console/queue/campaigns/alike--")).text
    assert "Similar cases" in page
    assert "another outcome 1" in page
    assert "bad-0" in page[page.index("Similar cases") :]


@grouped_visits
async def test_campaign_of_which_nothing_waits_leads_to_the_queue(console: RunningConsole) -> None:
    person = await console.person("analyst", "noa")
    answer = await person.get("/console/queue/campaigns/op-0")
    assert (answer.status_code, answer.headers["location"]) == (302, "/console/queue")
    assert "Nothing of this campaign waits any more." in (await person.get("/console/queue")).text


@grouped_visits
async def test_large_campaign_is_shown_as_the_indexer_counted_it(console: RunningConsole) -> None:
    person = await console.person("analyst", "noa")
    before = texts_of((await person.get("/console/queue")).text)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(campaign_rows, "COUNTED_ANEW", 0)
        assert texts_of((await person.get("/console/queue")).text) == before
        await stored(ReviewCase.objects.filter(account="bad-0").delete)
        assert texts_of((await person.get("/console/queue")).text) == before
        await stored(lambda: group_cases(QUEUE))
        [row] = texts_of((await person.get("/console/queue")).text)
        assert "accounts 4 strangers 250" in row
        await stored(ReviewCase.objects.all().delete)
        await stored(lambda: group_cases(QUEUE))
        assert "Nothing waits" in (await person.get("/console/queue")).text


@grouped_visits
async def test_cases_before_the_first_grouping_are_announced(console: RunningConsole) -> None:
    person = await console.person("analyst", "noa")
    count = await stored(ReviewCase.objects.count)
    await stored(CampaignSummary.objects.all().delete)
    page = (await person.get("/console/queue")).text
    assert "Cases are being grouped" in page
    assert "Nothing waits" not in page
    assert "campaigns" not in page[page.index("<h1>Queue") : page.index("</p>")]
    assert f"{count} accounts wait" in page


@grouped_visits
async def test_queue_of_many_campaigns_has_pages(console: RunningConsole) -> None:
    person = await console.person("analyst", "noa")
    await stored(lambda: ReviewCase.objects.filter(account="bad-0").update(campaign="op-1"))
    await stored(lambda: ReviewCase.objects.filter(account="bad-1").update(campaign="new"))
    rows = [row.summary() for row in await stored(lambda: campaign_rows.campaigns_of(QUEUE))]
    await stored(lambda: CampaignSummary.objects.all().delete())
    await stored(lambda: CampaignSummary.objects.bulk_create(rows))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(campaigns, "SHOWN", 1)
        page = (await person.get("/console/queue")).text
        # Cases that are not grouped yet come first, and beside the campaigns of the page.
        first, second = texts_of(page)
        assert "new, not grouped yet" in first
        assert 'href="?page=2"' in page
        [third] = texts_of((await person.get("/console/queue?page=2")).text)
        assert {"op-1" in second, "op-1" in third} == {True, False}


@grouped_visits
async def test_forms_offer_presets_templates_and_reasons_of_before(console: RunningConsole) -> None:
    lead = await console.person("lead", "dana")
    await lead.act("/console/queue/bulk", account=["bad-0"], **BAN)
    page = (await lead.get("/console/queue/campaigns/alike--")).text
    assert 'data-preset="limit 7d" data-key="1"' in page
    assert 'data-reason="the evidence on the page is right"' in page
    # The number of a batch is no part of the reason that its author wrote.
    assert '<option value="one campaign"></option>' in page
