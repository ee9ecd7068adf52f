"""Worlds with public rooms: honest people there, and campaigns that mention everybody."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from wavebreak.durations import SECOND_MS
from wavebreak.errors import UsageError
from wavebreak.schema.events import MASS_MENTION, NEW_IN_GROUP_S, WIRE_SCHEMA
from wavebreak_lab.simulation import (
    EVERY_CAMPAIGN,
    EVERY_PERSONA,
    ROOM_CAMPAIGNS,
    ROOM_PERSONAS,
    World,
    simulate,
)


def world_of(**more: object) -> World:
    asked = {"personas": list(ROOM_PERSONAS), "campaigns": [(name, 4) for name in ROOM_CAMPAIGNS]}
    return simulate(people=250, days=3, seed=3, **(asked | more))  # type: ignore[arg-type]


def rows_of(world: World) -> pa.Table:
    return pa.Table.from_batches(world.batches(), schema=WIRE_SCHEMA)


@pytest.fixture(scope="module")
def world() -> World:
    return world_of()


@pytest.fixture(scope="module")
def events(world: World) -> pa.Table:
    return rows_of(world)


@pytest.fixture(scope="module")
def mass(world: World, events: pa.Table) -> Counter[tuple[str, bool]]:
    """Mass mentions by family, and whether their senders are new in the room."""
    family = {account: name for account, _, name, _ in world.labels}
    sent = events.filter(pc.greater_equal(events["mentions"], MASS_MENTION))
    return Counter(
        (family[who], since is not None and since < NEW_IN_GROUP_S)
        for who, since in zip(
            sent["account"].to_pylist(), sent["joined_s"].to_pylist(), strict=True
        )
    )


def test_public_rooms_leave_a_log_sorted_unique_and_repeatable(
    world: World, events: pa.Table
) -> None:
    order = pc.sort_indices(events, [("ts", "ascending"), ("id", "ascending")])
    assert order.equals(pa.array(np.arange(len(events)), pa.uint64()))
    assert pc.count_distinct(events["id"]).as_py() == len(events)
    assert rows_of(world).equals(events)


def test_only_worlds_that_name_them_have_public_rooms() -> None:
    assert not (ROOM_PERSONAS.keys() & EVERY_PERSONA.keys())
    assert not (ROOM_CAMPAIGNS.keys() & EVERY_CAMPAIGN.keys())
    plain = rows_of(world_of(personas=["courier"], campaigns=[("blast", 2)]))
    assert plain["mentions"].null_count == len(plain)


def test_campaigns_mention_everybody_in_rooms_they_are_new_in(
    mass: Counter[tuple[str, bool]],
) -> None:
    assert mass["room-mentions", True] > 50
    assert mass["room-mentions-slow", True] > 20
    assert mass["room-mentions-patient", False] > 50
    assert mass["room-mentions-patient", True] == 0


def test_honest_people_mention_everybody_in_own_rooms_or_a_few_times(
    mass: Counter[tuple[str, bool]],
) -> None:
    assert mass["room-host", False] > 10
    assert mass["room-host", True] == 0
    assert 5 < mass["room-crier", True] <= 4 * 12
    assert {name for name, is_new in mass if is_new} == {
        "room-crier", "room-mentions", "room-mentions-slow"
    }  # fmt: skip


def test_messages_say_for_how_long_their_sender_is_in_the_room(events: pa.Table) -> None:
    joins = events.filter(pc.equal(events["type"], "group.joined"))
    columns = (joins[name].to_pylist() for name in ("account", "group", "ts"))
    joined = {(who, group): ts for who, group, ts in zip(*columns, strict=True)}
    sent = events.filter(pc.less(events["joined_s"], NEW_IN_GROUP_S))
    columns = (sent[name].to_pylist() for name in ("account", "group", "ts", "joined_s"))
    new = list(zip(*columns, strict=True))
    assert len(new) > 100
    assert all(
        since == (ts - joined[who, group]) // SECOND_MS >= 0 for who, group, ts, since in new
    )


def test_members_complain_of_campaigns_and_of_quarrels(world: World, events: pa.Table) -> None:
    family = {account: name for account, _, name, _ in world.labels}
    reports = events.filter(pc.equal(events["type"], "user.reported"))
    about = Counter(family[peer] for peer in reports["peer"].to_pylist())
    assert min(about[name] for name in ROOM_CAMPAIGNS) >= 4
    assert about["room-quarreller"] > 0
    assert about["room-newcomer"] == about["room-host"] == 0


def test_an_unknown_persona_is_told_those_of_public_rooms() -> None:
    with pytest.raises(UsageError) as caught:
        simulate(people=50, days=0.1, personas=["room-mates"])
    assert "room-crier" in caught.value.fix
