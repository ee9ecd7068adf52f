"""Ties between senders: against the plain oracle, bounds, causality, and what an appeal undoes."""

from __future__ import annotations

import random
from functools import partial
from typing import Any

import numpy as np
import pytest

from oracle.linking import AT_NETWORK, Seen, Sender, SendersOracle
from support.linking_world import EPOCH, World
from wavebreak.features.layout import (
    ADDRESSED,
    FOUND,
    MET,
    MET_CONTACT,
    REACHED,
    VISITED,
    WITHDRAWN_REVERSAL,
)
from wavebreak.features.sequential_tests import pack_terms
from wavebreak.linking import Kind, Linker
from wavebreak.linking.edges import ends
from wavebreak.linking.sightings import Sightings

Turn = tuple[Seen, list[tuple[int, int, int]]]
PEOPLE, NETWORKS = 60, 8


def _ties(world: World) -> set[tuple[str, int, int]]:
    linker = world.linker
    found = linker._ties(world.rows, world.rows.standings(linker._reached)).edges
    one, other = ends(found)
    return {
        (name, int(a), int(b))
        for name, kind in (
            ("ring", Kind.RING),
            ("senders", Kind.SENDERS),
            ("address", Kind.ADDRESS),
        )
        for a, b, counts in zip(one, other, found["counts"], strict=True)
        if counts[kind]
    }


def _sender(world: World, account: int) -> Sender:
    row = world.row(account)
    born = int(row["registered"]) - 1 if row["registered"] else None
    trials, answered = int(row["trials"]), int(row["trials_answered"])
    return Sender(trials, answered, int(row["complaints"]), born, int(row["mutual"]))


def _random_turn(rng: random.Random, world: World) -> Turn:
    """Change some rows, and return a turn for the oracle and for the linker."""
    epoch = world.epoch + 60 * rng.choice((1, 1, 2, 5, 30, 200))
    for account in rng.sample(range(PEOPLE), 8):
        row = world.row(account)
        row["trials"] = rng.choice((0, 4, 5, 8, 20, 40))
        row["trials_answered"] = int(row["trials"]) * rng.choice((0, 0, 1, 3, 4)) // 10
        row["complaints"], row["mutual"] = rng.choice((0, 0, 1, 3)), rng.choice((0, 0, 2))
        row["registered"] = rng.choice((0, epoch * 60 - rng.choice((9, 300_000))))
    visits = [(rng.randrange(PEOPLE), rng.randrange(NETWORKS)) for _ in range(rng.randrange(12))]
    addressed = [(rng.randrange(PEOPLE), rng.randrange(NETWORKS)) for _ in range(rng.randrange(8))]
    if rng.random() < 0.05:
        visits += [(account, 0) for account in range(AT_NETWORK + 5)]
    answered = list[tuple[int, int, bool]]()
    for _ in range(rng.randrange(8)):
        opener, answerer = rng.sample(range(PEOPLE if rng.random() < 0.2 else 12), 2)
        answered.append((opener, answerer, rng.random() < 0.5))
    reversals = [(rng.randrange(PEOPLE), rng.random() < 0.5) for _ in range(rng.randrange(2))]
    facts = [(VISITED, account, network) for account, network in visits]
    facts += [(ADDRESSED, account, address) for account, address in addressed]
    facts += [(MET_CONTACT if known else MET, a, b) for a, b, known in answered]
    facts += [(REACHED, a, 1) for a in range(PEOPLE) if world.row(a)["trials"] >= 5]
    facts += [(FOUND, a, WITHDRAWN_REVERSAL if back else -1) for a, back in reversals]
    return Seen(epoch, visits, addressed, answered, reversals), facts


@pytest.mark.parametrize("seed", range(6))
def test_the_ties_are_those_of_the_oracle(seed: int) -> None:
    rng, world, compared = random.Random(seed), World(PEOPLE), set[str]()
    world.core.fit(PEOPLE, NETWORKS)
    oracle = SendersOracle(partial(_sender, world))
    for _ in range(60):
        seen, facts = _random_turn(rng, world)
        rng.shuffle(facts)
        world.turn(*sorted(facts, key=lambda fact: fact[0] == FOUND), epoch=seen.epoch)
        expected = oracle.turn(seen)
        assert _ties(world) == expected
        compared |= {kind for kind, _, _ in expected}
    assert compared == {"senders", "ring", "address"}


def _senders(world: World, *accounts: int, complaints: int = 1) -> list[tuple[int, int, int]]:
    for account in accounts:
        world.row(account)["trials"], world.row(account)["complaints"] = 12, complaints
    return [(REACHED, account, 1) for account in accounts]


def test_a_network_that_senders_use_ties_them_until_honest_people_come() -> None:
    world = World(PEOPLE)
    facts = _senders(world, 1, 2, 3)
    world.turn(*facts, *((VISITED, account, 0) for account in (1, 2, 3)))
    assert world.sets() == [("a1", "a2", "a3")]
    (operator,) = world.linker.operators(world.rows, lambda s: [f"a{k}" for k in s.tolist()])
    assert operator.edges[0].evidence == (
        "were on one network that hardly anybody but such senders used",
    )
    assert world.row(1)["tied"] == 2
    world.turn(*((VISITED, account, 0) for account in range(10, 16)))
    assert (world.sets(), int(world.row(1)["tied"])) == ([], 0)


def test_an_exact_address_ties_two_senders_that_were_complained_of() -> None:
    world = World(PEOPLE)
    facts = _senders(world, 1, 2, 3, 4)
    world.row(4)["complaints"] = 0
    world.turn(*facts, *((ADDRESSED, account, 77) for account in (1, 2)))
    assert world.sets() == [("a1", "a2")]
    (operator,) = world.linker.operators(world.rows, lambda s: [f"a{k}" for k in s.tolist()])
    assert operator.edges[0].evidence == (
        "used one internet address that hardly anybody but such senders used",
    )
    world.turn(*((ADDRESSED, account, 78) for account in (3, 4)))
    assert world.sets() == [("a1", "a2")], "nobody complained of one of the two"
    world.turn(*((ADDRESSED, account, 77) for account in (10, 11, 12)))
    assert world.sets() == [], "honest people use the address as well"


def test_a_network_of_many_ties_nobody() -> None:
    world = World(PEOPLE)
    many = range(AT_NETWORK + 1)
    world.turn(*_senders(world, *many), *((VISITED, account, 0) for account in many))
    assert world.sets() == []


def test_a_friendless_newcomer_on_a_network_of_senders_is_tied_for_three_days() -> None:
    world = World(PEOPLE)
    world.row(4)["registered"] = EPOCH * 60
    facts = _senders(world, 1, 2, 3)
    world.turn(*facts, *((VISITED, account, 0) for account in (1, 2, 3, 4)))
    assert world.sets() == [("a1", "a2", "a3", "a4")]
    world.row(4)["mutual"] = 1
    world.turn()
    assert world.sets() == [("a1", "a2", "a3")]
    world.row(4)["mutual"] = 0
    world.turn(epoch=EPOCH + 3 * 1440)
    assert world.sets() == [("a1", "a2", "a3")]


def test_an_answer_from_a_senders_victim_is_no_ring() -> None:
    world = World(PEOPLE)
    ring = [(MET_CONTACT, a, b) for a, b in ((1, 2), (2, 3), (3, 1))]
    friends = [(MET_CONTACT, 9, other) for other in (20, 21, 22)]
    facts = _senders(world, 1, 2, 3, 9)
    world.turn(*facts, *ring, *friends, *((MET, sender, 9) for sender in (1, 2, 3)))
    assert world.sets() == [("a1", "a2", "a3")]


def test_an_upheld_appeal_ends_the_ties_of_one_and_leaves_those_of_others() -> None:
    world = World(PEOPLE)
    facts = _senders(world, 1, 2, 3, 4)
    chats = [(MET_CONTACT, 1, 2), (MET_CONTACT, 2, 3), (MET_CONTACT, 3, 1)]
    world.turn(*facts, *chats, *((VISITED, account, 0) for account in (1, 2, 3, 4)))
    assert world.sets() == [("a1", "a2", "a3", "a4")]
    world.turn((FOUND, 2, -1))
    assert world.sets() == [("a1", "a3", "a4")]
    assert world.row(2)["tied"] == 0
    world.turn((VISITED, 2, 0), (MET_CONTACT, 2, 4), (MET_CONTACT, 4, 2))
    assert world.sets() == [("a1", "a3", "a4")], "nothing that comes later ties it again"
    world.turn((FOUND, 2, WITHDRAWN_REVERSAL))
    assert world.sets() == [("a1", "a2", "a3", "a4")]


def test_a_later_turn_changes_no_earlier_component() -> None:
    def components(turns: int) -> list[list[tuple[str, ...]]]:
        rng, world = random.Random(3), World(PEOPLE)
        world.core.fit(PEOPLE, NETWORKS)
        found = []
        for _ in range(turns):
            seen, facts = _random_turn(rng, world)
            world.turn(*facts, epoch=seen.epoch)
            found.append(world.sets())
        return found

    longest = components(40)
    assert any(longest)
    for turns in (5, 17, 39):
        assert components(turns) == longest[:turns]


def test_a_dump_in_between_changes_nothing() -> None:
    def run(*, dumped: bool) -> tuple[Any, Any]:
        rng, world = random.Random(4), World(PEOPLE)
        world.core.fit(PEOPLE, NETWORKS)
        for number in range(40):
            seen, facts = _random_turn(rng, world)
            world.turn(*facts, epoch=seen.epoch)
            if dumped and number % 7 == 0:
                fresh = Linker(pack_terms(), accounts=1)
                fresh.load(world.linker.dump())
                world.linker = fresh
        return world.sets(), world.linker.dump()

    (whole, state), (resumed, other) = run(dumped=False), run(dumped=True)
    assert whole == resumed
    for name, array in state.items():
        assert np.array_equal(array, other[name]), name


def test_sightings_are_bounded_for_each_place_and_in_all() -> None:
    rng, seen = np.random.default_rng(1), Sightings(each=5, lasts=100, most=40)
    for epoch in range(200):
        places, slots = rng.integers(0, 12, 30), rng.integers(0, 1000, 30)
        seen.note(places, slots, np.zeros(30, np.int64), epoch)
        keys = seen.records["key"]
        assert keys.size <= 40
        assert (keys[1:] > keys[:-1]).all()
        assert np.unique(keys >> np.uint64(32), return_counts=True)[1].max() <= 5
    seen.compact(250)
    assert (seen.records["epoch"] > 150).all()
    seen.compact(400)
    assert seen.records.size == 0
