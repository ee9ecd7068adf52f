"""Dialogues of senders that take their time: targets who write first, and chats that go on."""

from __future__ import annotations

import numpy as np

from wavebreak.durations import HOUR_MS, MINUTE_MS, SECOND_MS
from wavebreak_lab.simulation.attackers.config import Sender
from wavebreak_lab.simulation.behaviour import STYLE, adjust_style
from wavebreak_lab.simulation.context import SimulationContext
from wavebreak_lab.simulation.conversations import add_first_messages, converse
from wavebreak_lab.simulation.log import Bools, Ints

APPROACHED_REPLY = 0.85
"""Share of the targets who wrote first that go on."""

_FAR = 1 << 40


def add_approaches(
    sim: SimulationContext, sender: Sender, ts: Ints, account: Ints, peer: Ints
) -> Bools:
    """Plan messages of targets who write first; return which of them do.

    `ts` are the times (milliseconds) at which `account` then writes to `peer`.
    """
    rng = sim.rng
    first = rng.random(len(ts)) < sender.approached
    lag = rng.lognormal(np.log(10 * MINUTE_MS), 1.2, int(first.sum())).astype(np.int64)
    when, who = np.maximum(ts[first] - lag, sim.start), peer[first]
    add_first_messages(sim, when, who, account[first], STYLE)
    return first


def add_dialogues(
    sim: SimulationContext, sender: Sender, account: Ints, peer: Ints, when: Ints
) -> None:
    """Plan how a sender goes on with those who answer, and adds some of them to its group.

    `peer` answered `account` at `when` (milliseconds). Nothing where the sender has no dialogue.
    """
    low, high = sender.dialogue
    if not high or not len(when):
        return
    rng, count, gap = sim.rng, len(when), sender.dialogue_gap * SECOND_MS
    style = adjust_style(STYLE, answer_gap=gap, own_gap=0.5 * gap, longest_gap=8.0 * HOUR_MS)
    start = when + rng.lognormal(np.log(gap), 1.0, count).astype(np.int64)
    converse(
        sim,
        style,
        start,
        account,
        peer,
        known=0.3,
        back=0.5,
        typing=sender.typing,
        length=rng.integers(max(1, low), max(2, high + 1), count),
    )
    chosen = np.flatnonzero(rng.random(count) < sender.funnel)
    for owner in np.unique(account[chosen]).tolist():
        mine = chosen[account[chosen] == owner]
        ts = start[mine] + (rng.uniform(0.5, 6.0, len(mine)) * HOUR_MS).astype(np.int64)
        group = int(sim.new_groups(1)[0])
        sim.log.add("group.created", ts.min(keepdims=True) - MINUTE_MS, owner, group=group)
        sim.log.add("group.member_added", ts, owner, group=group, peer=peer[mine])
