"""Campaigns in public rooms: fresh accounts join them and mention everybody, again and again."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from wavebreak.durations import MINUTE_MS, SECOND_MS
from wavebreak_lab.simulation.attackers.config import Bounds
from wavebreak_lab.simulation.attackers.infrastructure import Enrolment, Infrastructure
from wavebreak_lab.simulation.context import SimulationContext
from wavebreak_lab.simulation.public_rooms import (
    add_complaints,
    add_room_messages,
    draw_rooms,
    join_rooms,
)


@dataclass(frozen=True, slots=True)
class RoomCampaign:
    """Accounts that write to public rooms; they do not learn what is refused.

    Each registers within `register` (shares of the span), joins `rooms` after `quiet` minutes and
    begins after `lurk` minutes more: `messages` of them, `gap` seconds apart, to its rooms in turn,
    that mention everybody. Each moves a share `reported` of a room's members to report it, and a
    share `blocked` to block its sender.
    """

    name: str
    accounts: int = 10
    tactic: int = -1
    register: Bounds = (0.1, 0.4)
    quiet: Bounds = (1.0, 40.0)
    rooms: tuple[int, int] = (1, 13)
    lurk: Bounds = (0.2, 10.0)
    gap: Bounds = (2.0, 120.0)
    messages: tuple[int, int] = (20, 60)
    reported: float = 0.004
    blocked: float = 0.006
    enrolment: Enrolment = field(default=Enrolment(attested=0.7, residential=True, devices=20))

    def play(self, sim: SimulationContext, operator: str) -> None:
        """Plan all that the accounts do and what it makes people do."""
        start = np.sort(sim.draw_times(*self.register, self.accounts))
        bought = Infrastructure(sim, self.enrolment, self.accounts)
        enrolled = bought.enrol(sim, start, self.name, operator)
        for who, ts in zip(enrolled.account.tolist(), start.tolist(), strict=True):
            self._write(sim, who, ts)

    def _write(self, sim: SimulationContext, who: int, registered: int) -> None:
        rng = sim.rng
        rooms = draw_rooms(sim, int(rng.integers(*self.rooms)))
        begin = registered + int(rng.uniform(*self.quiet) * MINUTE_MS)
        joined = join_rooms(sim, who, rooms, begin, 10 * SECOND_MS)
        first = int(joined.max()) + int(rng.uniform(*self.lurk) * MINUTE_MS)
        gaps = (
            rng.uniform(*self.gap) * SECOND_MS * rng.uniform(0.7, 1.3, rng.integers(*self.messages))
        )
        times = first + np.cumsum(gaps).astype(np.int64)
        times = times[times < sim.end]
        for place, room in enumerate(rooms):
            ts = times[place :: len(rooms)]
            ids = add_room_messages(sim, ts, who, room, len(room.members), int(joined[place]))
            add_complaints(sim, ids, ts, who, room, self.reported)
            add_complaints(sim, ids, ts, who, room, self.blocked, "user.blocked")


ROOM_CAMPAIGNS: dict[str, RoomCampaign] = {
    campaign.name: campaign
    for campaign in (
        RoomCampaign("room-mentions"),
        RoomCampaign("room-mentions-slow", gap=(1_500.0, 3_600.0)),
        RoomCampaign("room-mentions-patient", lurk=(1_450.0, 1_700.0)),
    )
}
"""Campaigns in public rooms by name: at once; at most two an hour; a day after joining."""
