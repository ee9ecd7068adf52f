"""Honest people in public rooms: newcomers, hosts, and those who tell everybody something.

Only worlds that name them have any, and with them public rooms (`simulation.public_rooms`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from wavebreak.durations import HOUR_MS, MINUTE_MS
from wavebreak_lab.simulation.context import PublicRoom, SimulationContext
from wavebreak_lab.simulation.log import Ints
from wavebreak_lab.simulation.newcomers import NewcomerBehaviour, add_newcomers
from wavebreak_lab.simulation.personas.persona import PersonPersona
from wavebreak_lab.simulation.public_rooms import (
    add_complaints,
    add_room_messages,
    draw_rooms,
    join_rooms,
)


@dataclass(frozen=True, slots=True)
class RoomNewcomer(PersonPersona):
    """Registers, joins public rooms within the hour, and writes there for a day and a half.

    `rooms` that it joins, a median `gap` apart; `posts` messages within `over` hours, a share
    `names` of which mention one person to three.
    """

    name: ClassVar[str] = "room-newcomer"
    per_person: ClassVar[float] = 0.05
    when: tuple[float, float] = (0.05, 0.6)
    rooms: tuple[int, int] = (2, 11)
    gap: float = 2 * MINUTE_MS
    posts: tuple[int, int] = (5, 60)
    over: float = 36.0
    names: float = 0.4
    arrival: NewcomerBehaviour = field(default=NewcomerBehaviour(first_chats=3.0))

    def prepare(self, sim: SimulationContext, accounts: int) -> Ints:
        """Choose who registers anew, and when."""
        who = sim.assign_people(accounts, self.name)
        sim.people.registered_at[who] = sim.draw_times(*self.when, accounts)
        return who

    def play(self, sim: SimulationContext, accounts: Ints) -> None:
        """Plan the persona."""
        add_newcomers(sim, accounts, sim.style, self.arrival)
        for who in accounts.tolist():
            rooms = draw_rooms(sim, int(sim.rng.integers(*self.rooms)))
            start = int(sim.people.registered_at[who]) + 5 * MINUTE_MS
            joined = join_rooms(sim, who, rooms, start, self.gap)
            self._write(sim, who, rooms, joined)
            self._tell(sim, who, rooms, joined)

    def _write(
        self, sim: SimulationContext, who: int, rooms: list[PublicRoom], joined: Ints
    ) -> None:
        rng, count = sim.rng, int(sim.rng.integers(*self.posts))
        which = rng.integers(0, len(rooms), count)
        for place, room in enumerate(rooms):
            wait = rng.random(int((which == place).sum())) * self.over * HOUR_MS
            ts = np.sort(joined[place] + MINUTE_MS + wait.astype(np.int64))
            ts = ts[ts < sim.end]
            mentions = (rng.random(len(ts)) < self.names) * rng.integers(1, 4, len(ts))
            ids = add_room_messages(sim, ts, who, room, mentions, int(joined[place]))
            self._heard(sim, who, room, ids, ts)

    def _heard(
        self, sim: SimulationContext, who: int, room: PublicRoom, ids: Ints, ts: Ints
    ) -> None:
        """Plan what a room's members do about messages: here nothing."""

    def _tell(
        self, sim: SimulationContext, who: int, rooms: list[PublicRoom], joined: Ints
    ) -> None:
        """Plan messages that mention everybody: here none."""


@dataclass(frozen=True, slots=True)
class RoomCrier(RoomNewcomer):
    """A newcomer who is asked to tell everybody of some rooms something on the first day.

    `tells` rooms, a median `apart` milliseconds from one to the next; a share `bored` of a room's
    members report it.
    """

    name: ClassVar[str] = "room-crier"
    tells: tuple[int, int] = (1, 5)
    apart: float = 25 * MINUTE_MS
    bored: float = 0.001

    def _tell(
        self, sim: SimulationContext, who: int, rooms: list[PublicRoom], joined: Ints
    ) -> None:
        rng = sim.rng
        told = min(int(rng.integers(*self.tells)), len(rooms))
        steps = rng.lognormal(np.log(self.apart), 0.8, told)
        for place, ts in enumerate(int(joined.max()) + np.cumsum(steps).astype(np.int64)):
            if ts >= sim.end:
                return
            room, when = rooms[place], np.array([ts])
            ids = add_room_messages(sim, when, who, room, len(room.members), int(joined[place]))
            add_complaints(sim, ids, when, who, room, self.bored)


@dataclass(frozen=True, slots=True)
class RoomQuarreller(RoomNewcomer):
    """A newcomer who quarrels in a room: members report it, and it mentions whom it answers.

    `angry`: the share of a room's members whom each of its messages there moves to report it.
    """

    name: ClassVar[str] = "room-quarreller"
    angry: float = 0.003

    def _heard(
        self, sim: SimulationContext, who: int, room: PublicRoom, ids: Ints, ts: Ints
    ) -> None:
        add_complaints(sim, ids, ts, who, room, self.angry)


@dataclass(frozen=True, slots=True)
class RoomHost(RoomNewcomer):
    """A newcomer who makes a public room, to which strangers come, and tells everybody what is on.

    `guests` come within `fills` hours, a median a few minutes apart; it tells them something
    `tells` times, a median `apart` milliseconds from one to the next.
    """

    name: ClassVar[str] = "room-host"
    guests: tuple[int, int] = (15, 80)
    fills: float = 8.0
    tells: tuple[int, int] = (2, 12)
    apart: float = 40 * MINUTE_MS

    def _tell(
        self, sim: SimulationContext, who: int, rooms: list[PublicRoom], joined: Ints
    ) -> None:
        rng, made = sim.rng, int(joined.max()) + 10 * MINUTE_MS
        guests = sim.draw_strangers(int(rng.integers(*self.guests)))
        guests = guests[guests != who]
        room = PublicRoom(int(sim.new_groups(1)[0]), guests)
        sim.log.add("group.created", np.array([made]), who, group=room.name)
        came = made + MINUTE_MS + (rng.random(len(guests)) * self.fills * HOUR_MS).astype(np.int64)
        sim.log.add("group.joined", came, guests, group=room.name)
        steps = rng.lognormal(np.log(self.apart), 0.8, int(rng.integers(*self.tells)))
        ts = made + np.cumsum(steps).astype(np.int64)
        here = (came[None, :] < ts[:, None]).sum(axis=1)
        add_room_messages(sim, ts, who, room, here, None)


ROOM_PERSONAS: dict[str, type[RoomNewcomer]] = {
    kind.name: kind for kind in (RoomNewcomer, RoomCrier, RoomQuarreller, RoomHost)
}
"""Personas of public rooms, by name."""
