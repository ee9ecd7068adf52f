"""Firms on the business app, and senders who pass for firms."""

from __future__ import annotations

from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from wavebreak.errors import UsageError
from wavebreak.schema.events import WIRE_SCHEMA
from wavebreak_lab.simulation import (
    APP_CAMPAIGNS,
    APP_FIRMS,
    CAMPAIGNS,
    EVERY_CAMPAIGN,
    EVERY_PERSONA,
    World,
    simulate,
)


@cache
def lived() -> tuple[World, pa.Table]:
    world = simulate(
        people=400,
        days=2,
        personas=list(APP_FIRMS),
        campaigns=[(name, 4) for name in APP_CAMPAIGNS],
        seed=3,
    )
    return world, pa.Table.from_batches(world.batches(), schema=WIRE_SCHEMA)


def of(family: str, kind: str, column: str = "account") -> pa.Table:
    """Return the events of one type by (or, by `column`, about) the accounts of a family."""
    world, events = lived()
    names = pa.array([a for a, _, f, _ in world.labels if f == family], pa.string())
    chosen = events.filter(pc.equal(events["type"], kind))
    return chosen.filter(pc.is_in(chosen[column], names))


def openers(family: str) -> tuple[int, int]:
    """How many chats the accounts of a family begin, and how many others begin with them."""
    world, events = lived()
    ours = {a for a, _, f, _ in world.labels if f == family}
    sent = events.filter(
        pc.and_(pc.equal(events["type"], "message.sent"), pc.is_valid(events["peer"]))
    )
    begun, asked, met = 0, 0, set[tuple[str, str]]()
    for account, peer in zip(sent["account"].to_pylist(), sent["peer"].to_pylist(), strict=True):
        pair = (min(account, peer), max(account, peer))
        if pair not in met and (account in ours or peer in ours):
            begun += account in ours
            asked += peer in ours
        met.add(pair)
    return begun, asked


@pytest.mark.parametrize("name", APP_FIRMS)
def test_firm_is_described_apart_from_the_people(name: str) -> None:
    persona = APP_FIRMS[name]
    assert persona.name == name
    assert persona.about
    assert persona.activities
    assert not persona.source.in_population


def test_firms_and_senders_of_the_app_are_apart_from_others() -> None:
    assert not set(APP_FIRMS) & set(EVERY_PERSONA)
    assert not set(APP_CAMPAIGNS) & (set(CAMPAIGNS) | set(EVERY_CAMPAIGN))


@pytest.mark.parametrize("family", [*APP_FIRMS, *APP_CAMPAIGNS])
def test_firms_and_senders_register_with_the_app(family: str) -> None:
    assert set(of(family, "account.registered")["channel"].to_pylist()) == {"business_app"}


@pytest.mark.parametrize("family", APP_FIRMS)
def test_firm_acts_is_benign_and_is_written_to(family: str) -> None:
    world, _ = lived()
    ours = {a for a, label, f, _ in world.labels if (label, f) == ("benign", family)}
    assert len(ours) == 10
    assert set(of(family, "message.sent")["account"].to_pylist()) == ours
    assert openers(family)[1] > 20


def test_professions_that_write_first_begin_most_chats() -> None:
    for family in ("clinic", "app-courier", "campaign-office"):
        begun, asked = openers(family)
        assert begun > 1.5 * asked
    begun, asked = openers("plumber")
    assert begun < asked


def test_clinic_reminds_one_after_the_other() -> None:
    sent = of("clinic", "message.sent")
    one = sent.filter(pc.equal(sent["account"], sent["account"][0]))
    gaps = np.diff(np.sort(one["ts"].to_numpy())) / 1000
    assert ((gaps > 5) & (gaps < 60)).sum() > 30


def test_shop_writes_lists_to_people_who_saved_its_number() -> None:
    shop = of("app-shop", "message.sent")
    lists = shop.filter(shop["broadcast"])
    assert len(lists) > 60
    assert set(lists["in_contacts"].to_pylist()) == {True}
    saved = of("app-shop", "contact.added", "peer")
    known = set(zip(saved["account"].to_pylist(), saved["peer"].to_pylist(), strict=True))
    written = zip(lists["peer"].to_pylist(), lists["account"].to_pylist(), strict=True)
    assert set(written) <= known


def test_app_answers_at_once_at_night() -> None:
    world, events = lived()
    ours = {a for a, _, f, _ in world.labels if f == "app-shop"}
    sent = events.filter(pc.equal(events["type"], "message.sent"))
    asked, quick = dict[tuple[str, str], int](), 0
    for account, peer, ts in zip(
        *(sent[name].to_pylist() for name in ("account", "peer", "ts")), strict=True
    ):
        if peer in ours:
            asked[account, peer] = ts
        elif account in ours and ts - asked.get((peer, account), 0) < 3_000:
            quick += 1
    assert quick > 50


def test_bought_list_has_numbers_that_are_gone() -> None:
    gone = len(of("app-bought-list", "message.undeliverable"))
    assert gone > 0.06 * len(of("app-bought-list", "message.sent"))
    assert not len(of("app-courier", "message.undeliverable")) > 5


def test_unknown_persona_error_offers_firms() -> None:
    with pytest.raises(UsageError) as error:
        simulate(people=50, days=0.1, personas=["butcher"])
    assert "clinic" in str(error.value.fix)
