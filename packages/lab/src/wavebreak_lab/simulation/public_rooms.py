"""Public rooms: groups that anybody may join, with honest newcomers and campaigns of mass mentions.

Only worlds with a persona or a campaign of public rooms have them. Members from before the start
of the log have been in a room for LONG_S; messages of the others carry the time since they joined.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from wavebreak.durations import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from wavebreak_lab.simulation.activities import Arrival, IntBounds, People, Persona
from wavebreak_lab.simulation.attackers.infrastructure import Enrolment, Infrastructure
from wavebreak_lab.simulation.context import PublicRoom, SimulationContext
from wavebreak_lab.simulation.conversations import add_group_messages
from wavebreak_lab.simulation.log import Ints
from wavebreak_lab.simulation.newcomers import NewcomerBehaviour


@dataclass(frozen=True, slots=True)
class RoomHabits:
    """Parameters of public rooms.

    `each`: rooms a person, at least `least`; `size` and `size_spread`: log-normal members, between
    `smallest` and `largest`. `talk`: messages a room and day of old members, a share `names` of
    which mention somebody.
    """

    each: float = 1 / 60
    least: int = 12
    size: float = 60.0
    size_spread: float = 0.6
    smallest: int = 15
    largest: int = 400
    talk: float = 30.0
    names: float = 0.3


ROOM_HABITS = RoomHabits()
LONG_S = 90 * DAY_MS // SECOND_MS
"""Time since members joined who came before the log began, in seconds."""


def public_rooms(sim: SimulationContext) -> list[PublicRoom]:
    """Return the public rooms of a world; they and their talk are planned at the first call."""
    if sim.rooms:
        return sim.rooms
    habits, rng = ROOM_HABITS, sim.rng
    count = max(habits.least, int(len(sim.people) * habits.each))
    sizes_drawn = rng.lognormal(np.log(habits.size), habits.size_spread, count)
    sizes = np.clip(sizes_drawn, habits.smallest, habits.largest).astype(np.int64)
    for name, size in zip(sim.new_groups(count).tolist(), sizes.tolist(), strict=True):
        room = PublicRoom(name, sim.draw_strangers(size))
        sim.rooms.append(room)
        ts = np.sort(sim.draw_times(0, 1, rng.poisson(habits.talk * sim.span / DAY_MS)))
        sender = rng.choice(room.members, len(ts))
        mentions = (rng.random(len(ts)) < habits.names).astype(np.int64)
        add_room_messages(sim, ts, sender, room, mentions, ts - LONG_S * SECOND_MS)
    return sim.rooms


def draw_rooms(sim: SimulationContext, count: int) -> list[PublicRoom]:
    """Draw distinct public rooms, at most `count`."""
    rooms = public_rooms(sim)
    numbers = sim.rng.choice(len(rooms), min(count, len(rooms)), replace=False)
    return [rooms[index] for index in numbers.tolist()]


def join_rooms(
    sim: SimulationContext, account: int, rooms: list[PublicRoom], start: int, gap: float
) -> Ints:
    """Plan an account's joining of rooms, a median `gap` (milliseconds) apart; return the times."""
    steps = sim.rng.lognormal(np.log(gap), 0.8, len(rooms))
    ts: Ints = start + np.cumsum(steps).astype(np.int64)
    sim.log.add("group.joined", ts, account, group=np.array([room.name for room in rooms]))
    return ts


def add_room_messages(
    sim: SimulationContext,
    ts: Ints,
    sender: Ints | int,
    room: PublicRoom,
    mentions: Ints | int,
    joined_at: Ints | int | None,
) -> Ints:
    """Plan messages to a room; return their ids. `joined_at`: None for the maker of the room."""
    columns: dict[str, Any] = {}
    if joined_at is not None:
        columns["joined_s"] = (ts - joined_at) // SECOND_MS
    size = len(room.members)
    return add_group_messages(sim, ts, sender, room.name, size, mentions=mentions, **columns)


def add_complaints(
    sim: SimulationContext,
    ids: Ints,
    ts: Ints,
    account: int,
    room: PublicRoom,
    share: float,
    kind: str = "user.reported",
) -> None:
    """Plan complaints: each message moves a share of the members that have not complained yet."""
    rng, remaining = sim.rng, sim.rng.permutation(room.members)
    remaining = remaining[remaining != account]
    count = rng.binomial(len(remaining), share, len(ids))
    message = np.repeat(np.arange(len(ids)), count)[: len(remaining)]
    wait = rng.lognormal(np.log(3 * MINUTE_MS), 1.0, len(message)).astype(np.int64)
    times, columns = ts[message] + SECOND_MS + wait, dict[str, Any]()
    if kind == "user.reported":
        columns = {"reason": sim.pool.code("spam"), "message": ids[message]}
    sim.log.add(kind, times, remaining[: len(message)], peer=account, **columns)


@dataclass(frozen=True, slots=True)
class RoomLife:
    """Joins public rooms within the hour after registration, and writes there for 36 hours.

    Attributes:
        angry: Share of a room's members that each message moves to report it.
        tells: Rooms that everybody is told something in, on the first day.
        bored: Share of a room's members that report that.
        hosts: Makes a public room of its own, and tells everybody in it what is on.
    """

    angry: float = 0.0
    tells: IntBounds = (0, 1)
    bored: float = 0.0
    hosts: bool = False

    def plan(self, sim: SimulationContext, accounts: Ints) -> None:
        """Plan every account's joining and messages."""
        for account in accounts.tolist():
            rooms = draw_rooms(sim, int(sim.rng.integers(2, 11)))
            start = int(sim.people.registered_at[account]) + 5 * MINUTE_MS
            joined_at = join_rooms(sim, account, rooms, start, 2 * MINUTE_MS)
            self._write(sim, account, rooms, joined_at)
            if self.tells[1] > 1:
                self._tell(sim, account, rooms, joined_at)
            if self.hosts:
                _host(sim, account, int(joined_at.max()) + 10 * MINUTE_MS)

    def _write(
        self, sim: SimulationContext, account: int, rooms: list[PublicRoom], joined_at: Ints
    ) -> None:
        rng, count = sim.rng, int(sim.rng.integers(5, 60))
        index = rng.integers(0, len(rooms), count)
        for place, room in enumerate(rooms):
            wait = rng.random(int((index == place).sum())) * 36 * HOUR_MS
            ts = np.sort(joined_at[place] + MINUTE_MS + wait.astype(np.int64))
            ts = ts[ts < sim.end]
            mentions = (rng.random(len(ts)) < 0.4) * rng.integers(1, 4, len(ts))
            ids = add_room_messages(sim, ts, account, room, mentions, int(joined_at[place]))
            if self.angry:
                add_complaints(sim, ids, ts, account, room, self.angry)

    def _tell(
        self, sim: SimulationContext, account: int, rooms: list[PublicRoom], joined_at: Ints
    ) -> None:
        count = min(int(sim.rng.integers(*self.tells)), len(rooms))
        steps = sim.rng.lognormal(np.log(25 * MINUTE_MS), 0.8, count)
        times = int(joined_at.max()) + np.cumsum(steps).astype(np.int64)
        for room, joined_ms, time in zip(rooms, joined_at.tolist(), times, strict=False):
            if time >= sim.end:
                return
            ts = np.array([time])
            ids = add_room_messages(sim, ts, account, room, len(room.members), joined_ms)
            add_complaints(sim, ids, ts, account, room, self.bored)


def _host(sim: SimulationContext, account: int, created_at: int) -> None:
    rng, log = sim.rng, sim.log
    guests = sim.draw_strangers(int(rng.integers(15, 80)))
    guests = guests[guests != account]
    room = PublicRoom(int(sim.new_groups(1)[0]), guests)
    log.add("group.created", np.array([created_at]), account, group=room.name)
    delay = (rng.random(len(guests)) * 8 * HOUR_MS).astype(np.int64)
    joined_at = created_at + MINUTE_MS + delay
    log.add("group.joined", joined_at, guests, group=room.name)
    steps = rng.lognormal(np.log(40 * MINUTE_MS), 0.8, int(rng.integers(2, 12)))
    ts = created_at + np.cumsum(steps).astype(np.int64)
    present = (joined_at[None, :] < ts[:, None]).sum(axis=1)
    add_room_messages(sim, ts, account, room, present, None)


def _newcomer(name: str, description: str, life: RoomLife) -> Persona:
    arrival = Arrival(NewcomerBehaviour(first_chats=3.0))
    return Persona(name, description, (arrival, life), People((0.05, 0.6)), 0.05)


ROOM_PERSONAS: dict[str, Persona] = {
    persona.name: persona
    for persona in (
        _newcomer("room-newcomer", "joins rooms within the hour, and writes there", RoomLife()),
        _newcomer(
            "room-crier", "is asked to tell everybody in some rooms something",
            RoomLife(tells=(1, 5), bored=0.001),
        ),
        _newcomer("room-quarreller", "quarrels in a room: members report it", RoomLife(0.003)),
        _newcomer("room-host", "makes a public room that strangers join", RoomLife(hosts=True)),
    )
}  # fmt: skip
"""Personas of public rooms by name."""


@dataclass(frozen=True, slots=True)
class RoomCampaign:
    """Accounts that write to public rooms, and do not react to refusals.

    Attributes:
        register: Shares of the span between which each registers.
        quiet: Minutes until it joins `rooms`.
        lurk: Further minutes until its first message.
        gap: Bounds of its median gap between messages, in seconds.
        messages: Messages, to its rooms in turn, each of which mentions everybody.
        reported: Share of a room's members that each message moves to report it.
        blocked: Share of a room's members that each message moves to block the sender.
    """

    name: str
    accounts: int = 10
    tactic: int = -1
    register: tuple[float, float] = (0.1, 0.4)
    quiet: tuple[float, float] = (1.0, 40.0)
    rooms: IntBounds = (1, 13)
    lurk: tuple[float, float] = (0.2, 10.0)
    gap: tuple[float, float] = (2.0, 120.0)
    messages: IntBounds = (20, 60)
    reported: float = 0.004
    blocked: float = 0.006
    enrolment: Enrolment = field(default=Enrolment(attested=0.7, residential=True, devices=20))

    def play(self, sim: SimulationContext, operator: str) -> None:
        """Plan the accounts' acts, and the responses of members."""
        start = np.sort(sim.draw_times(*self.register, self.accounts))
        infrastructure = Infrastructure(sim, self.enrolment, self.accounts)
        enrolled = infrastructure.enrol(sim, start, self.name, operator)
        for account, ts in zip(enrolled.account.tolist(), start.tolist(), strict=True):
            self._write(sim, account, ts)

    def _write(self, sim: SimulationContext, account: int, registered_at: int) -> None:
        rng = sim.rng
        rooms = draw_rooms(sim, int(rng.integers(*self.rooms)))
        begin = registered_at + int(rng.uniform(*self.quiet) * MINUTE_MS)
        joined_at = join_rooms(sim, account, rooms, begin, 10 * SECOND_MS)
        first = int(joined_at.max()) + int(rng.uniform(*self.lurk) * MINUTE_MS)
        gap = rng.uniform(*self.gap) * SECOND_MS
        gaps = gap * rng.uniform(0.7, 1.3, rng.integers(*self.messages))
        times = first + np.cumsum(gaps).astype(np.int64)
        times = times[times < sim.end]
        for place, room in enumerate(rooms):
            ts, joined_ms = times[place :: len(rooms)], int(joined_at[place])
            ids = add_room_messages(sim, ts, account, room, len(room.members), joined_ms)
            add_complaints(sim, ids, ts, account, room, self.reported)
            add_complaints(sim, ids, ts, account, room, self.blocked, "user.blocked")


ROOM_CAMPAIGNS: dict[str, RoomCampaign] = {
    campaign.name: campaign
    for campaign in (
        RoomCampaign("room-mentions"),
        RoomCampaign("room-mentions-slow", gap=(1_500.0, 3_600.0)),
        RoomCampaign("room-mentions-patient", lurk=(1_450.0, 1_700.0)),
    )
}
"""Campaigns in public rooms by name: at once; at most two an hour; a day after joining."""
