"""Linking: edges against the plain oracle, expiry, hubs, reversals, and a dump in between."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import partial

import numpy as np
import pytest

from oracle.linking import Facts, LinkingOracle, Places
from support.linking_world import EPOCH, World
from wavebreak.features.layout import (
    DELTA,
    FOUND,
    JOINED,
    ON_DEVICE,
    REACHED,
    SHARDS,
    TAKEN,
    WITHDRAWN_FINDING,
    WITHDRAWN_REVERSAL,
)
from wavebreak.features.sequential_tests import pack_terms
from wavebreak.linking import Linker
from wavebreak.linking.edges import LASTS, MOST_MEMBERS, components


def _share_device(world: World, device: int, *accounts: int) -> list[tuple[int, int, int]]:
    for account in accounts:
        world.row(account)["device"] = device
    return [(ON_DEVICE, account, 1) for account in accounts]


def _world_of_senders(accounts: int, senders: int = 20) -> World:
    """Return a world whose first accounts are senders whom nobody answers."""
    world = World(accounts)
    for account in range(senders):
        world.row(account)["trials"] = 9
    world.turn(*((REACHED, account, 1) for account in range(senders)))
    return world


def test_the_edges_are_those_of_the_oracle() -> None:
    compared = 0
    for seed in range(8):
        rng = random.Random(seed)
        world = World(40)
        oracle = LinkingOracle(partial(_places, world))
        for facts, deltas in _random_turns(rng, world):
            oracle.turn(facts)
            rng.shuffle(deltas)
            world.turn(*deltas, epoch=facts.epoch)
            assert world.edges() == {pair: dict(e.kinds) for pair, e in oracle.edges.items()}
            compared += len(oracle.edges)
    assert compared > 1_000


def _places(world: World, account: int) -> Places:
    row = world.row(account)
    registered = max(int(row["registered"]) - 1, 0)
    return Places(int(row["block"]), int(row["network"]), int(row["device"]), registered)


def _random_turns(
    rng: random.Random, world: World
) -> Iterator[tuple[Facts, list[tuple[int, int, int]]]]:
    epoch = EPOCH
    for _ in range(40):
        epoch += 60 * rng.choice((1, 1, 3, 7, 200, 400))
        facts, deltas = Facts(epoch, [], []), []
        for account in {rng.randrange(40) for _ in range(rng.randrange(9))}:
            row = world.row(account)
            row["device"], row["network"] = rng.randrange(4), rng.randrange(3)
            row["block"], row["registered"] = rng.randrange(3), epoch * 60 - rng.randrange(500)
            facts.moved.append(account)
            facts.registered.append(account)
            deltas += [(ON_DEVICE, account, 1), (JOINED, 1, account + 1)]
        for account in {rng.randrange(20) for _ in range(rng.randrange(3))}:
            judgement = rng.choice((1, 1, 1, -1, WITHDRAWN_FINDING, WITHDRAWN_REVERSAL))
            deltas.append((FOUND, account, judgement))
        yield facts, deltas


def test_people_on_one_device_are_no_operator_unless_they_send_unanswered() -> None:
    world = World(60)
    for account in (1, 2, 3):
        world.row(account)["trials"], world.row(account)["trials_answered"] = 40, 20
    device = _share_device(world, 7, 1, 2, 3)
    world.turn(*((REACHED, account, 1) for account in (1, 2, 3)), *device)
    assert (len(world.edges()), world.sets()) == (3, [])
    for account in (1, 2, 3):
        world.row(account)["trials_answered"] = 0
    assert world.turn() == [1, 2, 3]
    assert world.sets() == [("a1", "a2", "a3")]
    (operator,) = world.linker.operators(world.rows, lambda s: [f"a{k}" for k in s.tolist()])
    assert operator.edges[0].evidence == ("used one device",)
    assert not operator.victims


def test_a_device_of_many_accounts_is_a_hub() -> None:
    world = World(60)
    world.turn(*_share_device(world, 7, *range(20)))
    assert len(world.edges()) == 15, "only of those who came before it was one"
    world.turn(*_share_device(world, 7, *range(20, 40)))
    assert len(world.edges()) == 15


def test_a_campus_evening_ties_nobody_and_a_small_block_does() -> None:
    world = World(400)
    for account in range(330):
        row = world.row(account)
        row["network"], row["registered"] = 1, EPOCH * 60
        row["block"] = 1
        if account >= 300:
            row["network"], row["block"] = 2, 2 + (account - 300) // 15
    world.turn(*((JOINED, 1, account + 1) for account in range(330)))
    world.turn(epoch=EPOCH + 100)
    assert [len(accounts) for accounts in world.sets()] == [15, 15]


def test_an_edge_expires_and_its_marks_go() -> None:
    world = _world_of_senders(60)
    world.turn(*_share_device(world, 7, 1, 2))
    since = world.epoch
    assert world.turn(epoch=since + LASTS - 1) == []
    assert world.turn(epoch=since + LASTS) == [1, 2]
    assert world.row(1)["tied"] == 0
    assert world.sets() == []


def test_a_reversal_ends_what_a_device_ties_and_its_withdrawal_restores_it() -> None:
    world = _world_of_senders(60)
    world.turn(*_share_device(world, 7, 1, 2))
    world.turn((FOUND, 2, 1))
    assert world.sets() == [("a1", "a2")]
    assert world.row(1)["tied_found"] == 1
    world.turn((FOUND, 2, -1))
    assert world.sets() == [], "an account that a person found benign is no sender"
    assert world.row(1)["tied_found"] == 0
    world.turn((FOUND, 2, WITHDRAWN_REVERSAL))
    assert world.sets() == [("a1", "a2")]
    assert world.row(1)["tied_found"] == 0


def test_a_withdrawn_finding_weakens_no_edge() -> None:
    world = _world_of_senders(60)
    world.turn(*_share_device(world, 7, 1, 2))
    world.turn((FOUND, 2, 1))
    assert world.row(1)["tied_found"] == 1
    world.turn((FOUND, 2, WITHDRAWN_FINDING))
    assert (world.sets(), world.row(1)["tied_found"]) == ([("a1", "a2")], 0)


def test_hijacked_accounts_on_one_device_are_a_chain_of_victims() -> None:
    world = World(60)
    for account in (1, 2, 3):
        world.row(account)["device"] = 7 if account < 3 else 9
    world.turn((TAKEN, 1, 1))
    assert world.turn((TAKEN, 2, 1), (TAKEN, 3, 1)) == []
    (operator,) = world.linker.operators(world.rows, lambda s: [f"a{k}" for k in s.tolist()])
    assert operator.accounts == ("a1", "a2")
    assert operator.victims
    assert world.row(1)["tied"] == 0, "a victim is slowed by nobody's tie"


def test_a_dump_in_between_changes_nothing() -> None:
    whole, halves = World(40), World(40)
    for number, (facts, deltas) in enumerate(_random_turns(random.Random(5), whole)):
        for account in range(40):
            rows = halves.core.rows[account % SHARDS].records
            rows[account // SHARDS] = whole.row(account)
        whole.turn(*deltas, epoch=facts.epoch)
        halves.turn(*deltas, epoch=facts.epoch)
        if number % 5 == 0:
            fresh = Linker(pack_terms(), accounts=1)
            fresh.load(halves.linker.dump())
            halves.linker = fresh
    assert whole.sets() == halves.sets()
    for name, array in whole.linker.dump().items():
        assert np.array_equal(array, halves.linker.dump()[name]), name


def test_a_crowd_is_cut_at_its_weaker_edges() -> None:
    ring = np.arange(MOST_MEMBERS + 50)
    weight = np.full(ring.size, 3)
    weight[:10] = 5
    found = components(ring, ring + 1, weight)
    assert [len(members) for members in found] == [11]


@pytest.mark.parametrize("facts", [(), ((ON_DEVICE, 1, 1),)])
def test_an_epoch_within_a_turn_waits(facts: tuple[tuple[int, int, int], ...]) -> None:
    world = World(10)
    world.core.start(EPOCH)
    deltas = np.array([(k, a, t, 0, (0, 0)) for t, k, a in facts], DELTA)
    assert world.linker.close([deltas], world.rows, EPOCH, EPOCH + 1).tolist() == []
    assert not world.edges()
