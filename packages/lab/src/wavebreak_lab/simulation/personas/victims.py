"""Benign personas who are victims: of false reports, of a flood, of a past hijack."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from wavebreak.durations import HOUR_MS, MINUTE_MS, SECOND_MS
from wavebreak_lab.simulation.attackers import CAMPAIGNS
from wavebreak_lab.simulation.behaviour import adjust_style
from wavebreak_lab.simulation.context import SimulationContext
from wavebreak_lab.simulation.conversations import (
    add_conversations,
    draw_conversations,
)
from wavebreak_lab.simulation.geography import COUNTRIES, draw_addresses
from wavebreak_lab.simulation.log import Ints
from wavebreak_lab.simulation.personas.persona import PersonPersona
from wavebreak_lab.simulation.population import draw_devices


@dataclass(frozen=True, slots=True)
class VictimOfReports(PersonPersona):
    """Reported by a ring for hire; the ring's accounts are a mass-reports campaign (abusive).

    `ring` reporters in all report every victim.
    """

    name: ClassVar[str] = "victim-of-reports"
    ring: int = 20

    def play(self, sim: SimulationContext, accounts: Ints) -> None:
        """Plan the persona and the ring against it."""
        ring = replace(CAMPAIGNS["mass-reports"], accounts=self.ring)
        ring.play_against(sim, "ring-for-hire", accounts)


@dataclass(frozen=True, slots=True)
class VictimOfFlood(PersonPersona):
    """Hundreds of strangers write within hours, after the number was passed around as a prank.

    `writers`: bounds, at most `share` of all people; `invites`: those who add the victim to a
    group instead. The victim answers almost none. The writers are ordinary people, misled.
    """

    name: ClassVar[str] = "victim-of-flood"
    per_person: ClassVar[float] = 0.003
    writers: tuple[int, int] = (150, 450)
    share: float = 0.25
    within: float = 3.0
    invites: float = 0.05
    silent: float = 0.97

    def play(self, sim: SimulationContext, accounts: Ints) -> None:
        """Plan the persona."""
        rng = sim.rng
        style = adjust_style(sim.style, length=0.8, length_spread=0.6)
        most = max(2, int(self.share * len(sim.people)))
        for who in accounts.tolist():
            crowd = sim.draw_strangers(min(int(rng.integers(*self.writers)), most))
            crowd = crowd[crowd != who]
            start = int(sim.draw_times(0.2, 0.75, 1)[0])
            ts = start + (rng.beta(1.5, 2.5, len(crowd)) * self.within * HOUR_MS).astype(np.int64)
            there = sim.people.registered_at[crowd] < ts
            crowd, ts = crowd[there], ts[there]
            invite = rng.random(len(crowd)) < self.invites
            sim.log.add(
                "group.member_added",
                ts[invite],
                crowd[invite],
                peer=who,
                group=sim.new_groups(int(invite.sum())),
            )
            wrote = draw_conversations(
                sim,
                style,
                ts[~invite],
                crowd[~invite],
                np.array(who),
                known=0.0,
                back=0.0,
                silent=self.silent,
            )
            add_conversations(sim, wrote, style)


@dataclass(frozen=True, slots=True)
class HijackOwner(PersonPersona):
    """The owner back in control, on a journey: new phone, foreign network, then own contacts.

    `contacts`: contacts written to afterwards; `new`: new people met; all else is everyday life.
    """

    name: ClassVar[str] = "hijack-owner"
    contacts: tuple[int, int] = (8, 22)
    new: tuple[int, int] = (2, 6)

    def play(self, sim: SimulationContext, accounts: Ints) -> None:
        """Plan the persona."""
        rng, people, pool = sim.rng, sim.people, sim.pool
        count = len(accounts)
        ts = sim.draw_times(0.3, 0.7, count)
        device = draw_devices(rng, pool, count)
        places = rng.integers(0, len(COUNTRIES), count).tolist()
        ip = pool.codes(draw_addresses(rng, COUNTRIES[place].homes, 1)[0] for place in places)
        sim.add_sessions(ts, accounts, ip, device, people.client[accounts])
        sim.log.add("challenge.passed", ts + 40 * SECOND_MS, accounts, kind=pool.code("code"))
        for account, back in zip(accounts.tolist(), ts.tolist(), strict=True):
            for most, known in (
                (rng.integers(*self.contacts), 0.97),
                (rng.integers(*self.new), 0.3),
            ):
                peer = people.draw_acquaintances(rng, account, int(most))
                gaps = rng.lognormal(np.log(2 * MINUTE_MS), 1.2, len(peer))
                start = back + 5 * MINUTE_MS + np.cumsum(gaps).astype(np.int64)
                opened = draw_conversations(
                    sim, sim.style, start, np.array(account), peer, known=known, silent=0.15
                )
                add_conversations(sim, opened, sim.style)
