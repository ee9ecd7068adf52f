"""Cohorts that arrive together, and senders that take their time."""

from __future__ import annotations

from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from wavebreak.schema.events import WIRE_SCHEMA
from wavebreak_lab.simulation import CAMPAIGNS, EVERY_CAMPAIGN, World, simulate
from wavebreak_lab.simulation.personas import COHORTS

PATIENT = [name for name in EVERY_CAMPAIGN if name not in CAMPAIGNS and name != "evasion-tool"]
PEOPLE = 400


@cache
def made(persona: str = "", campaign: str = "") -> tuple[World, pa.Table]:
    world = simulate(
        people=PEOPLE,
        days=2,
        personas=[persona] if persona else [],
        campaigns=[(campaign, 4)] if campaign else [],
        seed=3,
    )
    return world, pa.Table.from_batches(world.batches(), schema=WIRE_SCHEMA)


def of(world: World, events: pa.Table, family: str, kind: str, column: str = "account") -> pa.Table:
    """Events of one type by (or, by `column`, about) the accounts of a family."""
    names = pa.array([a for a, _, f, _ in world.labels if f == family], pa.string())
    chosen = events.filter(pc.equal(events["type"], kind))
    return chosen.filter(pc.is_in(chosen[column], names))


@pytest.mark.parametrize("name", COHORTS)
def test_cohort_registers_within_a_day(name: str) -> None:
    registered = of(*made(persona=name), name, "account.registered")
    times = registered["ts"].to_numpy()
    assert len(registered) >= 10
    assert times.max() - times.min() < 86_400_000


def test_cohorts_share_network_phones_or_numbers() -> None:
    campus = of(*made(persona="campus"), "campus", "account.registered")
    networks = {ip.rpartition(".")[0] for ip in campus["ip"].to_pylist()}
    assert len(networks) == 1
    firm = of(*made(persona="roll-out"), "roll-out", "account.registered")
    assert len(firm["ip"].unique()) == 1
    assert len(firm["device"].unique()) <= 2
    bought = of(*made(persona="sim-promotion"), "sim-promotion", "account.registered")
    numbers = np.array([int(phone) for phone in bought["phone"].to_pylist()])
    assert numbers.max() - numbers.min() < 2_000


@pytest.mark.parametrize("name", PATIENT)
def test_patient_sender_writes_to_strangers(name: str) -> None:
    world, events = made(campaign=name)
    ours = {a for a, label, f, _ in world.labels if (label, f) == ("abusive", name)}
    assert len(ours) == 4
    assert len(of(world, events, name, "message.sent")) >= len(ours)


def test_aged_accounts_have_no_registration() -> None:
    world, events = made(campaign="aged-accounts")
    assert not len(of(world, events, "aged-accounts", "account.registered"))
    assert len(of(world, events, "aged-accounts", "session.started")) >= 4


def test_romance_targets_write_first_and_go_on() -> None:
    sent = made(campaign="romance")[1].filter(
        pc.equal(made(campaign="romance")[1]["type"], "message.sent")
    )
    ours = {a for a, _, f, _ in made(campaign="romance")[0].labels if f == "romance"}
    opened: dict[frozenset[str], str] = {}
    counts: dict[frozenset[str], int] = {}
    for account, peer in zip(sent["account"].to_pylist(), sent["peer"].to_pylist(), strict=True):
        if peer is not None and (account in ours or peer in ours):
            pair = frozenset((account, peer))
            opened.setdefault(pair, account)
            counts[pair] = counts.get(pair, 0) + 1
    first = [opener not in ours for opener in opened.values()]
    assert 0.2 < np.mean(first) < 0.8
    assert max(counts.values()) >= 10


def test_task_funnel_adds_who_answered_to_a_group() -> None:
    world, events = made(campaign="task-funnel")
    added = of(world, events, "task-funnel", "group.member_added")
    answered = of(world, events, "task-funnel", "message.sent", "peer")
    assert len(added) > 0
    assert set(added["peer"].to_pylist()) <= set(answered["account"].to_pylist())
