"""Campaigns: cases that wait are grouped into what a person decides together."""

from __future__ import annotations

from typing import Any

from support.console_harness import RunningConsole, console_test
from support.service_harness import abuser
from wavebreak.engine.account_queries import LiveAccount, sending_traits
from wavebreak_server.http.app_context import run_background_query as stored
from wavebreak_server.slices.config import load_config
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
from wavebreak_server.slices.queue.models import ReviewCase


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
        await measure_new_cases(load_config().queue, console.service, linked)
        await stored(store_campaigns)
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
