"""Every campaign and every persona, by discovery: each does what it says, and they are all here."""

from __future__ import annotations

from functools import cache

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from wavebreak.schema.events import WIRE_SCHEMA
from wavebreak_lab.simulation import CAMPAIGNS, EVERY_PERSONA, PERSONAS, World, simulate

ACCOUNTS = 4
TACTICS = [*range(25), -1, -1, -1, -1, -1]
BUSY = [n for n in CAMPAIGNS if n not in ("mass-reports", "group-adder")]
SLOW = {"contact-staging", "combination", "many-to-one-flood"}


@cache
def planted(name: str) -> tuple[World, pa.Table]:
    world = simulate(people=400, days=1, campaigns=[(name, ACCOUNTS)], seed=3)
    return world, pa.Table.from_batches(world.batches(), schema=WIRE_SCHEMA)


@cache
def lived(name: str) -> tuple[World, pa.Table]:
    world = simulate(people=400, days=1, personas=[name], seed=3)
    return world, pa.Table.from_batches(world.batches(), schema=WIRE_SCHEMA)


def of(world: World, events: pa.Table, family: str, kind: str, column: str = "account") -> pa.Table:
    """Return the events of one type by (or, by `column`, about) the accounts of a family."""
    names = pa.array([a for a, _, f, _ in world.labels if f == family], pa.string())
    chosen = events.filter(pc.equal(events["type"], kind))
    return chosen.filter(pc.is_in(chosen[column], names))


def test_all_campaigns_and_personas_exist() -> None:
    assert len(CAMPAIGNS) == 30
    assert len(PERSONAS) == 22
    assert [campaign.tactic for campaign in CAMPAIGNS.values()] == TACTICS


@pytest.mark.parametrize("name", EVERY_PERSONA)
def test_persona_is_a_described_row(name: str) -> None:
    persona = EVERY_PERSONA[name]
    assert persona.name == name
    assert persona.about
    assert 0 < persona.per_person < 1


@pytest.mark.parametrize("name", CAMPAIGNS)
def test_campaign_has_the_requested_acting_accounts(name: str) -> None:
    world, events = planted(name)
    ours = [a for a, label, family, _ in world.labels if (label, family) == ("abusive", name)]
    assert len(ours) == ACCOUNTS
    assert set(ours) <= set(events["account"].unique().to_pylist())
    assert len({o for _, label, _, o in world.labels if label == "abusive"}) == 1


@pytest.mark.parametrize("name", [n for n in CAMPAIGNS if n != "hijack"])
def test_operator_accounts_register_during_the_simulation(name: str) -> None:
    world, events = planted(name)
    assert len(of(world, events, name, "account.registered")) == ACCOUNTS


@pytest.mark.parametrize("name", BUSY)
def test_campaign_recipients_respond_as_strangers(name: str) -> None:
    world, events = planted(name)
    sent = of(world, events, name, "message.sent")
    known = pc.sum(sent["in_contacts"].cast(pa.int32())).as_py()
    own_life = {"hijack": 0.6, "warm-up-ring": 0.2}.get(name, 0.05)
    assert len(sent) >= (1 if name in SLOW else 10) * ACCOUNTS
    assert known <= own_life * len(sent) + 1


def test_blast_sends_100_messages_in_15_seconds() -> None:
    world, events = planted("blast")
    registered_at = of(world, events, "blast", "account.registered")
    when = dict(
        zip(registered_at["account"].to_pylist(), registered_at["ts"].to_pylist(), strict=True)
    )
    for account, ts in when.items():
        mine = of(world, events, "blast", "message.sent")
        times = mine.filter(pc.equal(mine["account"], account))["ts"].to_numpy()
        assert times[99] - times[0] <= 15_000
        assert times[0] - ts < 300_000


def test_each_tactic_has_its_characteristic_events() -> None:
    joined = of(*planted("contact-staging"), "contact-staging", "group.joined")
    assert len(joined) >= 2 * ACCOUNTS
    changed = of(*planted("fingerprint-pool"), "fingerprint-pool", "session.started")
    assert len(changed["device"].unique()) > ACCOUNTS
    invited = of(*planted("many-to-one-flood"), "many-to-one-flood", "group.member_added")
    assert len(invited["peer"].unique()) == 1
    typed = of(*planted("typing"), "typing", "typing.started")
    assert len(typed) == len(of(*planted("typing"), "typing", "message.sent"))
    looked = of(*planted("pre-verification"), "pre-verification", "contact.looked_up")
    hits, count = (pc.sum(looked[name]).as_py() for name in ("hits", "count"))
    assert 0.02 < hits / count < 0.3
    registered_at = of(*planted("virtual-numbers"), "virtual-numbers", "account.registered")
    assert not any(registered_at["attested"].to_pylist())
    assert set(registered_at["verification"].unique().to_pylist()) <= {"voice", "flash"}
    linked = of(*planted("hijack"), "hijack", "session.started")
    assert pc.sum(linked["linked"].cast(pa.int32())).as_py() >= ACCOUNTS
    moved = of(*planted("proxies"), "proxies", "session.started")
    assert len(moved["ip"].unique()) > 2 * ACCOUNTS
    added = of(*planted("group-adder"), "group-adder", "group.member_added")
    assert len(added) > 400 * ACCOUNTS
    told = of(*planted("mass-reports"), "victim-of-reports", "user.reported", "peer")
    assert len(told) == ACCOUNTS


@pytest.mark.parametrize("name", PERSONAS)
def test_persona_has_ten_acting_benign_accounts(name: str) -> None:
    world, events = lived(name)
    ours = [a for a, label, family, _ in world.labels if (label, family) == ("benign", name)]
    assert len(ours) >= 10
    assert set(ours) <= set(events["account"].unique().to_pylist())
    if name != "victim-of-reports":
        assert {label for _, label, _, _ in world.labels} == {"benign"}


def test_each_persona_has_its_characteristic_events() -> None:
    assert len(of(*lived("new-number"), "new-number", "account.registered")) == 10
    assert len(of(*lived("organiser"), "organiser", "group.member_added")) > 200
    assert not len(of(*lived("accessibility"), "accessibility", "typing.started"))
    assert len(of(*lived("victim-of-reports"), "victim-of-reports", "user.reported", "peer")) >= 200
    flood = of(*lived("victim-of-flood"), "victim-of-flood", "message.sent", "peer")
    assert len(flood) > 500
    agreed = lived("newsletter")[1]
    assert len(agreed.filter(pc.equal(agreed["type"], "consent.granted"))) > 500
    letters = of(*lived("newsletter"), "newsletter", "message.sent")
    assert letters["template"].null_count < 0.1 * len(letters)
    family = of(*lived("family-abroad"), "family-abroad", "account.registered")
    assert len(family["ip"].unique()) == 1 < len(family)
    desk = of(*lived("support-desk"), "support-desk", "account.registered")
    assert set(desk["channel"].to_pylist()) == {"business_app"}


def test_lookalike_personas_resemble_attackers() -> None:
    bare = of(*lived("bare-newcomer"), "bare-newcomer", "account.registered")
    assert pc.sum(bare["attested"].cast(pa.int32())).as_py() < len(bare) / 2
    office = of(*lived("office-nat"), "office-nat", "account.registered")
    assert (len(office), len(office["ip"].unique())) == (10, 1)
    shared = of(*lived("shared-phone"), "shared-phone", "session.started")
    assert len(shared["device"].unique()) <= 5
    moved = of(*lived("roamer"), "roamer", "session.started")
    assert len(moved["ip"].unique()) > 3 * 10
    asked = of(*lived("recruiter"), "recruiter", "message.sent")
    assert len(asked["peer"].unique()) > 60


def test_support_desk_never_writes_first() -> None:
    world, events = lived("support-desk")
    desks = {a for a, _, family, _ in world.labels if family == "support-desk"}
    sent = events.filter(pc.equal(events["type"], "message.sent"))
    seen: set[tuple[str, str]] = set()
    for account, peer in zip(sent["account"].to_pylist(), sent["peer"].to_pylist(), strict=True):
        assert account not in desks or (peer, account) in seen
        seen.add((account, peer))
