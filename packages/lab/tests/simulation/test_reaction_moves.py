"""Senders who know that reactions convict: what each of their moves does to the stream."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from wavebreak.durations import DAY_MS, HOUR_MS
from wavebreak_lab.simulation import simulate
from wavebreak_lab.simulation.attackers import (
    CHAT,
    MESSAGE,
    PAID,
    Acts,
    Operator,
    OperatorFeedback,
    Sender,
    add_consequences,
    concat_acts,
)
from wavebreak_lab.simulation.context import SimulationContext
from wavebreak_lab.simulation.log import merge_blocks, to_batches

STEADY = Sender(gap=(300.0, 300.0), quiet=(1.0, 1.0), register=(0.0, 0.0), per_hour=1000)


def stage(days: float = 2.0) -> SimulationContext:
    world = simulate(people=300, days=days, seed=5, personas=["salesperson", "shop"])
    assert world.timeline is not None
    world.timeline.sim.log.flush()
    return world.timeline.sim


def lived(team: Operator, sim: SimulationContext, low: int, high: int) -> Acts:
    """Step through a span and follow everything; return what the accounts did."""
    found = []
    for at in range(low, high, HOUR_MS):
        done = team.step(sim, at, min(at + HOUR_MS, high))
        add_consequences(sim, done, team.reading)
        found.append(done)
    return concat_acts(found)


def written(sim: SimulationContext) -> pa.Table:
    """Everything that was planned, in order of time."""
    block = merge_blocks(sim.log.flush())
    return pa.Table.from_batches(
        to_batches(block, sim.registry.names(), sim.pool.arrow(), len(block))
    )


def of_type(events: pa.Table, kind: str) -> pa.Table:
    return events.filter(pc.equal(events["type"].cast("string"), kind))


def played(sender: Sender, accounts: int) -> tuple[Operator, SimulationContext, Acts]:
    """An operator after a day."""
    sim = stage()
    team = Operator(sim, "op", "family", sender, accounts, listens=True)
    return team, sim, lived(team, sim, sim.start, sim.start + DAY_MS)


def test_own_answers_come_once_a_pair_from_old_accounts() -> None:
    team, sim, acts = played(replace(STEADY, own_answers=0.5, helpers=30), 2)
    asked = acts.select(acts.kind == CHAT)
    pairs = list(zip(asked.account.tolist(), asked.peer.tolist(), strict=True))
    assert len(pairs) == len(set(pairs)) == 2 * 31
    assert team.expenses(sim.end)["helpers"] == 30
    events, names = written(sim), sim.registry.names()
    helpers = {names[i].as_py() for i in sim.registry.of("helpers").tolist()}
    assert not helpers & set(of_type(events, "account.registered")["account"].to_pylist())
    answers = of_type(events, "message.sent")
    assert len(helpers & set(answers["account"].to_pylist())) > 25


def test_bought_answers_go_to_people_who_all_but_always_answer() -> None:
    _, sim, acts = played(replace(STEADY, bought_answers=0.4), 2)
    paid, strangers = (acts.select(acts.kind == kind) for kind in (PAID, MESSAGE))
    assert len(paid) == pytest.approx(0.4 * len(strangers), rel=0.1)
    sent = of_type(written(sim), "message.sent")
    names = sim.registry.names()
    asked = {names[i].as_py() for i in paid.peer.tolist()}
    own = {names[i].as_py() for i in np.unique(paid.account).tolist()}
    answered = sent.filter(pc.is_in(sent["peer"].cast("string"), pa.array(sorted(own))))
    assert len(asked & set(answered["account"].to_pylist())) > 0.85 * len(asked)


def test_waiting_sender_is_silent_until_a_limit_has_ended() -> None:
    team, sim, _ = played(replace(STEADY, waits=1.0), 1)
    now, until = sim.start + DAY_MS, sim.start + DAY_MS + 10 * HOUR_MS
    told = OperatorFeedback(team.lines[0].account, "limit", now, until)
    team.step(sim, now, now + 1, [told])
    after = lived(team, sim, now, sim.start + 2 * DAY_MS)
    strangers = after.ts[after.kind == MESSAGE]
    assert len(strangers) > 10
    assert strangers.min() >= until


def test_waiting_sender_keeps_a_suspended_account() -> None:
    for waits, kept in ((1.0, True), (0.0, False)):
        team, sim, _ = played(replace(STEADY, waits=waits), 1)
        now = sim.start + DAY_MS
        told = OperatorFeedback(team.lines[0].account, "suspend", now, now + 2 * HOUR_MS)
        team.step(sim, now, now + 1, [told])
        assert (len(lived(team, sim, now, sim.start + 2 * DAY_MS)) > 10) is kept


def test_hands_take_turns_and_each_writes_to_few() -> None:
    team, sim, acts = played(replace(STEADY, hand=12, replace=True), 8)
    strangers = Counter(acts.account[acts.kind == MESSAGE].tolist())
    assert max(strangers.values()) == 12
    assert len(strangers) == 8, "the next takes the place of who is laid down"
    assert team.expenses(sim.end)["numbers"] == 8


def test_hand_under_a_long_limit_is_laid_down() -> None:
    team, sim, _ = played(replace(STEADY, hand=1000, replace=True), 8)
    before, now = len(team.lines), sim.start + DAY_MS
    told = OperatorFeedback(team.lines[0].account, "limit", now, now + 3 * DAY_MS)
    team.step(sim, now, now + 1, [told])
    lived(team, sim, now, now + 4 * HOUR_MS)
    assert len(team.lines) == before + 1


def test_accusers_complain_once_and_the_lured_wrote_first() -> None:
    sender = replace(
        STEADY, work="accuse", aged=True, accuses=4.0, rivals=3, lured=1.0, register=(0.0, 0.1)
    )
    team, sim, acts = played(sender, 6)
    assert not len(acts), "nobody is written to"
    events = written(sim)
    reports = of_type(events, "user.reported")
    pairs = list(zip(reports["account"].to_pylist(), reports["peer"].to_pylist(), strict=True))
    assert len(pairs) == len(set(pairs)) > 8
    names = sim.registry.names()
    honest = {names[i].as_py() for i in team.rivals.tolist()}
    assert {peer for _, peer in pairs} <= honest
    first = {
        (row["peer"], row["account"]): row["ts"]
        for row in of_type(events, "message.sent").to_pylist()
    }
    at = dict(zip(pairs, reports["ts"].to_pylist(), strict=True))
    assert all(first[pair] < ts for pair, ts in at.items())
    assert sum(team.accused.values()) == team.expenses(sim.end)["lures"] == len(pairs)


def test_sender_without_moves_draws_as_before() -> None:
    plain = played(STEADY, 3)[2]
    again = played(replace(STEADY, lured=0.9, rivals=5), 3)[2]
    assert np.array_equal(plain.ts, again.ts)
    assert np.array_equal(plain.peer, again.peer)
