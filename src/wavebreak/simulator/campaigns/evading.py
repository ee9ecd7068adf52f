"""Campaigns that evade: sharding, proxies, pre-verification, virtual numbers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from wavebreak.simulator.campaigns.sending import REGISTER
from wavebreak.simulator.log import Ints
from wavebreak.simulator.operators import Enrolment, enrol, paced, residential
from wavebreak.simulator.places import DAY, HOUR, MINUTE, SECOND, VIRTUAL
from wavebreak.simulator.scene import Scene
from wavebreak.simulator.strangers import send


@dataclass(frozen=True, slots=True)
class Sharding:
    """Tactic 12: many senders, each little; every `life` hours one is replaced by a successor.

    `accounts` counts all, successors included. `each`: messages a day (bounds). A successor
    writes again to `again` of its predecessor's targets, from the operator's infrastructure.
    """

    name: ClassVar[str] = "sharding"
    tactic: ClassVar[int] = 12
    accounts: int = 20
    each: tuple[int, int] = (30, 60)
    life: float = 8.0
    again: float = 0.5
    enrolment: Enrolment = field(default=Enrolment(attested=0.8, networks=2, devices=12, blocks=1))

    def play(self, scene: Scene, operator: str) -> None:
        """Plan the campaign."""
        rng = scene.rng
        lives = max(1, min(self.accounts, int(0.9 * scene.span / (self.life * HOUR))))
        slots = -(-self.accounts // lives)
        offsets = np.arange(self.accounts) // slots * int(self.life * HOUR)
        ts = scene.start + offsets + rng.integers(0, HOUR, self.accounts)
        ts = np.minimum(ts, scene.end - 2 * MINUTE)
        senders = enrol(scene, ts, self.name, operator, self.enrolment)
        reached: list[Ints] = []
        for place, (account, registered) in enumerate(senders.pairs()):
            count = int(rng.integers(*self.each) * max(self.life * HOUR / DAY, 0.5))
            peer = scene.strangers(count)
            if place >= slots:
                old = reached[place - slots]
                kept = old[: int(self.again * count)]
                peer = np.unique(np.concatenate([kept, peer]))[:count]
                rng.shuffle(peer)
            reached.append(peer)
            span = min(self.life * HOUR, scene.end - registered) * 0.9
            times = np.sort(rng.random(len(peer))) * span
            send(scene, registered + 5 * MINUTE + times.astype(np.int64), account, peer)


@dataclass(frozen=True, slots=True)
class Proxies:
    """Tactic 13: each number behind its own consumer address, which changes every few hours.

    `rotate`: hours an address is kept (bounds). Sends as `gaps` (seconds, bounds) and caps say.
    """

    name: ClassVar[str] = "proxies"
    tactic: ClassVar[int] = 13
    accounts: int = 20
    rotate: tuple[float, float] = (3.0, 6.0)
    gaps: tuple[float, float] = (20.0, 60.0)
    per_hour: int = 60
    per_day: int = 400
    enrolment: Enrolment = field(default=Enrolment(attested=0.8, residential=True, blocks=4))

    def play(self, scene: Scene, operator: str) -> None:
        """Plan the campaign."""
        rng = scene.rng
        ts = scene.at(*REGISTER, self.accounts)
        senders = enrol(scene, ts, self.name, operator, self.enrolment)
        for place, (account, registered) in enumerate(senders.pairs()):
            start = registered + int(rng.uniform(10, 60) * MINUTE)
            count = int(np.ceil((scene.end - start) / DAY) * self.per_day)
            gaps = rng.uniform(*self.gaps, max(count, 0)) * SECOND
            times = paced(start, gaps, self.per_hour, self.per_day)
            peer = scene.strangers(count)
            send(scene, times[: len(peer)], account, peer)
            most = int((scene.end - registered) / (self.rotate[0] * HOUR)) + 1
            steps = np.cumsum(rng.uniform(*self.rotate, most) * HOUR).astype(np.int64)
            steps = registered + steps[registered + steps < scene.end]
            ip = residential(scene, len(steps))
            who = np.full(len(steps), account)
            scene.connect(steps, who, ip, int(senders.device[place]), int(senders.client[place]))


@dataclass(frozen=True, slots=True)
class PreVerification:
    """Tactic 17: looks sequential numbers up and writes to those that are accounts.

    `batch` numbers a look-up, of which a share within `hits` are accounts; it writes to the hits
    at `gaps` (seconds, bounds) and goes on, up to `targets` messages. `stale`: hits that can no
    longer be delivered to when the message comes. Every second account looks up one by one.
    """

    name: ClassVar[str] = "pre-verification"
    tactic: ClassVar[int] = 17
    accounts: int = 20
    batch: int = 50
    hits: tuple[float, float] = (0.05, 0.25)
    gaps: tuple[float, float] = (3.0, 12.0)
    targets: tuple[int, int] = (120, 400)
    stale: float = 0.12
    enrolment: Enrolment = field(default=Enrolment(attested=0.7))

    def play(self, scene: Scene, operator: str) -> None:
        """Plan the campaign."""
        rng = scene.rng
        ts = scene.at(*REGISTER, self.accounts)
        senders = enrol(scene, ts, self.name, operator, self.enrolment)
        for place, (account, registered) in enumerate(senders.pairs()):
            peer = scene.strangers(int(rng.integers(*self.targets)))
            start = registered + int(rng.uniform(3, 40) * MINUTE)
            times = start + np.cumsum(rng.uniform(*self.gaps, len(peer)) * SECOND).astype(np.int64)
            self._look_up(scene, account, times, one_by_one=place % 2 == 1)
            pitch = replace(scene.pitch, dead=scene.pitch.dead + self.stale)
            send(scene, times, account, peer, pitch=pitch)

    def _look_up(self, scene: Scene, account: int, times: Ints, *, one_by_one: bool) -> None:
        """Plan look-ups so that enough numbers are found before each message."""
        rng = scene.rng
        share = rng.uniform(*self.hits)
        if one_by_one:
            tries = rng.geometric(share, len(times))
            before = np.repeat(times, tries)
            ts = before - rng.integers(200, 2500, len(before))
            hit = np.zeros(len(ts), np.int64)
            hit[np.cumsum(tries) - 1] = 1
            scene.log.add("contact.looked_up", ts, account, count=1, hits=hit)
            return
        found = max(1, int(self.batch * share))
        ts = times[::found] - 1500
        hits = np.minimum(found, len(times) - found * np.arange(len(ts)))
        scene.log.add("contact.looked_up", ts, account, count=self.batch, hits=hits)


@dataclass(frozen=True, slots=True)
class VirtualNumbers:
    """Tactic 18: numbers from virtual ranges, emulators without attestation, many attempts.

    `targets`: messages an account (bounds), `gaps` seconds (bounds) between them.
    """

    name: ClassVar[str] = "virtual-numbers"
    tactic: ClassVar[int] = 18
    accounts: int = 20
    targets: tuple[int, int] = (60, 200)
    gaps: tuple[float, float] = (15.0, 90.0)
    enrolment: Enrolment = field(
        default=Enrolment(
            ranges=VIRTUAL,
            attested=0.0,
            retries=2.5,
            devices=4,
            networks=2,
            verification=("voice", "flash"),
        )
    )

    def play(self, scene: Scene, operator: str) -> None:
        """Plan the campaign."""
        rng = scene.rng
        ts = scene.at(*REGISTER, self.accounts)
        senders = enrol(scene, ts, self.name, operator, self.enrolment)
        for account, registered in senders.pairs():
            peer = scene.strangers(int(rng.integers(*self.targets)))
            start = registered + int(rng.uniform(5, 60) * MINUTE)
            gaps = rng.uniform(*self.gaps, len(peer)) * SECOND
            send(scene, start + np.cumsum(gaps).astype(np.int64), account, peer)
