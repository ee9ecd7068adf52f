"""Public rooms: groups that anybody may join, with members of long standing who talk there.

A world has them where a persona or a campaign of public rooms is in it; they are drawn when the
first of these asks for them, so that other worlds stay as they are. Who was in a room before the
log began has joined long ago; of the others the messages carry for how long they have been there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from wavebreak.durations import DAY_MS, MINUTE_MS, SECOND_MS
from wavebreak_lab.simulation.context import PublicRoom, SimulationContext
from wavebreak_lab.simulation.conversations import add_group_messages
from wavebreak_lab.simulation.log import Ints


@dataclass(frozen=True, slots=True)
class RoomHabits:
    """What public rooms are like.

    `each`: rooms a person, at least `least`; `size` and `size_spread`: log-normal members, between
    `smallest` and `largest`. `talk`: messages a room and day of members who came long ago, a share
    `names` of which mention somebody.
    """

    each: float = 1 / 60
    least: int = 12
    size: float = 60.0
    size_spread: float = 0.6
    smallest: int = 15
    largest: int = 400
    talk: float = 30.0
    names: float = 0.3


LONG_S = 90 * DAY_MS // SECOND_MS
"""For how long members have been in a room who came before the log began, in seconds."""


def public_rooms(sim: SimulationContext, habits: RoomHabits | None = None) -> list[PublicRoom]:
    """Return the public rooms of a world; they and their talk are planned at the first call."""
    if sim.rooms:
        return sim.rooms
    habits, rng = habits or RoomHabits(), sim.rng
    count = max(habits.least, int(len(sim.people) * habits.each))
    drawn = rng.lognormal(np.log(habits.size), habits.size_spread, count)
    sizes = np.clip(drawn, habits.smallest, habits.largest).astype(np.int64)
    for name, size in zip(sim.new_groups(count).tolist(), sizes.tolist(), strict=True):
        room = PublicRoom(name, sim.draw_strangers(size))
        sim.rooms.append(room)
        ts = np.sort(sim.draw_times(0, 1, rng.poisson(habits.talk * sim.span / DAY_MS)))
        who = rng.choice(room.members, len(ts))
        mentions = (rng.random(len(ts)) < habits.names).astype(np.int64)
        add_room_messages(sim, ts, who, room, mentions, ts - LONG_S * SECOND_MS)
    return sim.rooms


def draw_rooms(sim: SimulationContext, count: int) -> list[PublicRoom]:
    """Draw distinct public rooms, at most `count`."""
    rooms = public_rooms(sim)
    chosen = sim.rng.choice(len(rooms), min(count, len(rooms)), replace=False)
    return [rooms[place] for place in chosen.tolist()]


def join_rooms(
    sim: SimulationContext, who: int, rooms: list[PublicRoom], start: int, gap: float
) -> Ints:
    """Plan how an account joins rooms, a median `gap` (milliseconds) apart; return when."""
    steps = sim.rng.lognormal(np.log(gap), 0.8, len(rooms))
    ts: Ints = start + np.cumsum(steps).astype(np.int64)
    sim.log.add("group.joined", ts, who, group=np.array([room.name for room in rooms]))
    return ts


def add_room_messages(
    sim: SimulationContext,
    ts: Ints,
    who: Ints | int,
    room: PublicRoom,
    mentions: Ints | int,
    joined: Ints | int | None,
) -> Ints:
    """Plan messages to a room; return their ids.

    `joined`: when the sender came (milliseconds); None: it made the room, or has a say in it.
    """
    since: dict[str, Any] = {} if joined is None else {"joined_s": (ts - joined) // SECOND_MS}
    return add_group_messages(
        sim, ts, np.asarray(who), np.asarray(room.name), np.asarray(len(room.members)), sim.style,
        mentions=mentions, **since,
    )  # fmt: skip


def add_complaints(
    sim: SimulationContext, ids: Ints, ts: Ints, who: int, room: PublicRoom, share: float,
    kind: str = "user.reported",
) -> None:  # fmt: skip
    """Plan complaints of a room's members: each message moves a share of those who have not yet."""
    rng, left = sim.rng, sim.rng.permutation(room.members)
    left = left[left != who]
    count = rng.binomial(len(left), share, len(ids))
    of = np.repeat(np.arange(len(ids)), count)[: len(left)]
    wait = rng.lognormal(np.log(3 * MINUTE_MS), 1.0, len(of)).astype(np.int64)
    more = {"reason": sim.pool.code("spam"), "message": ids[of]}
    if kind != "user.reported":
        more = {}
    sim.log.add(kind, ts[of] + SECOND_MS + wait, left[: len(of)], peer=who, **more)
