"""Worlds with calls: people call whom they talk with, and a dialler calls strangers."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from wavebreak.errors import UsageError
from wavebreak.schema.events import SHORT_CALL_S, WIRE_SCHEMA
from wavebreak_lab.simulation import World, simulate

Pair = tuple[str, str]
STARTED, ENDED, SENT = "call.started", "call.ended", "message.sent"
PERSONAS = ("courier", "organiser")
DIALLER = ("voice-calls", 4)


def world_of(*, calls: bool, dialler: bool = False) -> World:
    campaigns = [DIALLER] if dialler else []
    return simulate(people=300, days=2, campaigns=campaigns, personas=PERSONAS, seed=3, calls=calls)


def rows_of(world: World) -> pa.Table:
    return pa.Table.from_batches(world.batches(), schema=WIRE_SCHEMA)


def of(events: pa.Table, kind: str) -> list[tuple[Pair, int, int | None]]:
    """(who and whom, when, seconds) of each event of a type between two accounts."""
    some = events.filter(pc.and_(pc.equal(events["type"], kind), pc.is_valid(events["peer"])))
    columns = (some[name].to_pylist() for name in ("account", "peer", "ts", "seconds"))
    return [((one, other), ts, spoken) for one, other, ts, spoken in zip(*columns, strict=True)]


@pytest.fixture(scope="module")
def world() -> World:
    return world_of(calls=True, dialler=True)


@pytest.fixture(scope="module")
def events(world: World) -> pa.Table:
    return rows_of(world)


def test_calls_leave_a_log_sorted_unique_and_repeatable(world: World, events: pa.Table) -> None:
    order = pc.sort_indices(events, [("ts", "ascending"), ("id", "ascending")])
    assert order.equals(pa.array(np.arange(len(events)), pa.uint64()))
    assert pc.count_distinct(events["id"]).as_py() == len(events)
    assert rows_of(world).equals(events)


def test_calls_of_people_change_no_other_event() -> None:
    plain, with_calls = rows_of(world_of(calls=False)), rows_of(world_of(calls=True))
    assert STARTED not in plain["type"].to_pylist()
    calls = pc.is_in(with_calls["type"], pa.array([STARTED, ENDED]))
    assert with_calls.filter(pc.invert(calls)).equals(plain)
    assert pc.sum(calls).as_py() > 100


def test_people_call_only_whom_they_have_talked_with(world: World, events: pa.Table) -> None:
    family = {account: name for account, _, name, _ in world.labels}
    wrote: dict[Pair, int] = {}
    for pair, ts, _ in of(events, SENT):
        wrote.setdefault(pair, ts)
    never, calls = 1 << 62, of(events, STARTED)
    cold = [(pair, ts) for pair, ts, _ in calls if wrote.get(pair[::-1], never) > ts]
    assert len(calls) - len(cold) > 50
    called = {pair for pair, _, _ in calls}
    for (caller, other), ts in cold:
        # A courier wrote before; who calls a dialler back was called.
        assert family[caller] in ("courier", "voice-calls") or (other, caller) in called
        assert family[caller] != "courier" or wrote[caller, other] < ts


def test_each_call_ends_after_it_began_and_once(events: pa.Table) -> None:
    begun, over = defaultdict(list), defaultdict(list)
    for pair, ts, _ in of(events, STARTED):
        begun[pair].append(ts)
    for pair, ts, seconds in of(events, ENDED):
        assert seconds is not None
        over[pair].append(ts - 1_000 * seconds)
    assert over.keys() <= begun.keys()
    for pair, ends in over.items():
        assert len(ends) <= len(begun[pair])
        assert min(ends) > min(begun[pair])


def test_calls_of_a_dialler_are_mostly_short_and_those_of_people_are_not(
    world: World, events: pa.Table
) -> None:
    family = {account: name for account, _, name, _ in world.labels}
    lengths = defaultdict(list)
    for (caller, _), _, seconds in of(events, ENDED):
        lengths[family[caller]].append(seconds)
    short = {name: np.mean(np.array(some) <= SHORT_CALL_S) for name, some in lengths.items()}
    assert short["voice-calls"] > 0.8
    assert short["person"] < 0.4
    assert 0.4 < short["courier"] < 0.75
    sent = {pair[0] for pair, _, _ in of(events, SENT)}
    diallers = {account for account, name in family.items() if name == "voice-calls"}
    assert not sent & diallers


def test_strangers_whom_a_dialler_called_block_and_report_it(
    world: World, events: pa.Table
) -> None:
    diallers = {account for account, _, name, _ in world.labels if name == "voice-calls"}
    called = {pair: ts for pair, ts, _ in reversed(of(events, STARTED))}
    for kind in ("user.blocked", "user.reported"):
        those = [(pair, ts) for pair, ts, _ in of(events, kind) if pair[1] in diallers]
        assert those
        assert all(called[pair[::-1]] < ts for pair, ts in those)


def test_calls_and_a_background_are_refused(tmp_path: object) -> None:
    with pytest.raises(UsageError, match="calls need simulated people"):
        simulate(people=50, days=0.1, background=tmp_path, calls=True)  # type: ignore[arg-type]
