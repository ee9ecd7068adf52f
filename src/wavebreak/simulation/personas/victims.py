"""Innocents who are wronged: by false reports, by a flood, by a hijack that is over."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from wavebreak.simulation.attackers import CAMPAIGNS
from wavebreak.simulation.conversations import brief, chats, talk
from wavebreak.simulation.geography import COUNTRIES, HOUR, MINUTE, SECOND, addresses
from wavebreak.simulation.log import Ints
from wavebreak.simulation.personas.persona import Living
from wavebreak.simulation.population import devices
from wavebreak.simulation.scene import Scene


@dataclass(frozen=True, slots=True)
class VictimOfReports(Living):
    """Reported by a ring for hire; the ring's accounts are a mass-reports campaign (abusive).

    `ring` reporters in all report every victim.
    """

    name: ClassVar[str] = "victim-of-reports"
    ring: int = 20

    def play(self, scene: Scene, accounts: Ints) -> None:
        """Plan the persona and the ring against it."""
        ring = replace(CAMPAIGNS["mass-reports"], accounts=self.ring)
        ring.against(scene, "ring-for-hire", accounts)


@dataclass(frozen=True, slots=True)
class VictimOfFlood(Living):
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

    def play(self, scene: Scene, accounts: Ints) -> None:
        """Plan the persona."""
        rng = scene.rng
        style = brief(scene.style, length=0.8, length_spread=0.6)
        most = max(2, int(self.share * len(scene.people)))
        for who in accounts.tolist():
            crowd = scene.strangers(min(int(rng.integers(*self.writers)), most))
            crowd = crowd[crowd != who]
            start = int(scene.at(0.2, 0.75, 1)[0])
            ts = start + (rng.beta(1.5, 2.5, len(crowd)) * self.within * HOUR).astype(np.int64)
            there = scene.people.born[crowd] < ts
            crowd, ts = crowd[there], ts[there]
            invite = rng.random(len(crowd)) < self.invites
            scene.log.add(
                "group.member_added", ts[invite], crowd[invite], peer=who,
                group=scene.new_groups(int(invite.sum())),
            )  # fmt: skip
            wrote = chats(
                scene, style, ts[~invite], crowd[~invite], np.array(who), known=0.0, back=0.0,
                silent=self.silent,
            )  # fmt: skip
            talk(scene, wrote, style)


@dataclass(frozen=True, slots=True)
class HijackOwner(Living):
    """The owner back in control, on a journey: new phone, foreign network, then own contacts.

    `tells`: contacts written to afterwards; `new`: new people met; all else is everyday life.
    """

    name: ClassVar[str] = "hijack-owner"
    tells: tuple[int, int] = (8, 22)
    new: tuple[int, int] = (2, 6)

    def play(self, scene: Scene, accounts: Ints) -> None:
        """Plan the persona."""
        rng, people, pool = scene.rng, scene.people, scene.pool
        count = len(accounts)
        ts = scene.at(0.3, 0.7, count)
        device = devices(rng, pool, count)
        places = rng.integers(0, len(COUNTRIES), count).tolist()
        ip = pool.codes(addresses(rng, COUNTRIES[place].homes, 1)[0] for place in places)
        scene.connect(ts, accounts, ip, device, people.client[accounts])
        scene.log.add("challenge.passed", ts + 40 * SECOND, accounts, kind=pool.code("code"))
        for account, back in zip(accounts.tolist(), ts.tolist(), strict=True):
            for most, known in ((rng.integers(*self.tells), 0.97), (rng.integers(*self.new), 0.3)):
                peer = people.near(rng, account, int(most))
                gaps = rng.lognormal(np.log(2 * MINUTE), 1.2, len(peer))
                start = back + 5 * MINUTE + np.cumsum(gaps).astype(np.int64)
                told = chats(
                    scene, scene.style, start, np.array(account), peer, known=known, silent=0.15
                )
                talk(scene, told, scene.style)
