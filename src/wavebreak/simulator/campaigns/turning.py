"""Campaigns that turn the network against itself: hijack, mass reports, group adder."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from wavebreak.simulator.campaigns.sending import REGISTER
from wavebreak.simulator.chat import chats, say_to_group, talk
from wavebreak.simulator.groups import added_into
from wavebreak.simulator.log import Ints
from wavebreak.simulator.operators import Enrolment, Senders, enrol, hosted
from wavebreak.simulator.people import clients, devices
from wavebreak.simulator.places import HOUR, MINUTE, SECOND
from wavebreak.simulator.scene import Scene
from wavebreak.simulator.strangers import send


@dataclass(frozen=True, slots=True)
class Hijack:
    """Tactic 20: a real person's account; a new companion session writes to strangers.

    `when`: shares of the span between which it is taken over. `messages`: log-normal median and
    sigma, at `gaps` (seconds, bounds). The owner's own chats go on.
    """

    name: ClassVar[str] = "hijack"
    tactic: ClassVar[int] = 20
    accounts: int = 20
    when: tuple[float, float] = (0.3, 0.75)
    messages: float = 120.0
    messages_spread: float = 0.5
    gaps: tuple[float, float] = (8.0, 70.0)

    def play(self, scene: Scene, operator: str) -> None:
        """Plan the campaign."""
        rng = scene.rng
        who = scene.cast(self.accounts, self.name, "abusive", operator)
        ts = scene.at(*self.when, len(who))
        scene.roll.turn(who, ts)
        ip = hosted(scene, len(who), 2)
        device = devices(rng, scene.pool, len(who))
        scene.connect(ts, who, ip, device, clients(rng, scene.pool, len(who)), linked=True)
        for account, taken in zip(who.tolist(), ts.tolist(), strict=True):
            count = 20 + int(rng.lognormal(np.log(self.messages), self.messages_spread))
            peer = scene.strangers(count)
            gaps = rng.uniform(*self.gaps, len(peer)) * SECOND
            times = taken + 2 * MINUTE + np.cumsum(gaps).astype(np.int64)
            send(scene, times, account, peer)


@dataclass(frozen=True, slots=True)
class MassReports:
    """Tactic 22: many accounts report one innocent person within hours.

    `ring` reporters for each victim. `bait`: reporters who first write to the victim, so that an
    answer looks like a chat. `within`: hours over which the reports come. `also_block` is a share.
    """

    name: ClassVar[str] = "mass-reports"
    tactic: ClassVar[int] = 22
    accounts: int = 20
    ring: int = 20
    bait: float = 0.3
    within: float = 3.0
    also_block: float = 0.4
    victims: str = "victim-of-reports"
    enrolment: Enrolment = field(default=Enrolment(attested=0.7, networks=4, devices=6))

    def play(self, scene: Scene, operator: str) -> None:
        """Plan the campaign: its victims are people, labelled benign."""
        who = scene.cast(max(1, self.accounts // self.ring), self.victims)
        self.against(scene, operator, who)

    def against(self, scene: Scene, operator: str, victims: Ints) -> None:
        """Plan reports against given victims, by accounts that the operator registers."""
        ts = scene.at(*REGISTER, self.accounts)
        senders = enrol(scene, ts, self.name, operator, self.enrolment)
        for victim in victims.tolist():
            self._report(scene, senders, victim)

    def _report(self, scene: Scene, senders: Senders, victim: int) -> None:
        rng = scene.rng
        count = min(self.ring, len(senders.account))
        picked = rng.choice(len(senders.account), count, replace=False)
        account = senders.account[picked]
        ready = np.maximum(senders.registered[picked] + 10 * MINUTE, scene.at(0.45, 0.8, 1)[0])
        ts = ready + (rng.random(count) * self.within * HOUR).astype(np.int64)
        baits = rng.random(count) < self.bait
        style = scene.style
        talk(
            scene,
            chats(
                scene, style, (ts - 8 * MINUTE)[baits], account[baits], np.array(victim),
                known=0.0, back=1.0, silent=0.4, typing=0.6, length=np.full(int(baits.sum()), 2),
            ),
            style,
        )  # fmt: skip
        reasons = scene.pool.codes(("spam", "scam"))[rng.integers(0, 2, count)]
        scene.log.add("user.reported", ts, account, peer=victim, reason=reasons)
        blocks = rng.random(count) < self.also_block
        scene.log.add("user.blocked", ts[blocks] + 4 * SECOND, account[blocks], peer=victim)


@dataclass(frozen=True, slots=True)
class GroupAdder:
    """Tactic 24: creates dozens of groups, or adds thousands of strangers to a few.

    Every second account makes `groups` groups (bounds) of `small` members, the others `few`
    groups of `large` members; an add every `gap` seconds (median). `posts` messages a group.
    `leave`: the share who leave, `report` and `block`: the shares who do that as well.
    """

    name: ClassVar[str] = "group-adder"
    tactic: ClassVar[int] = 24
    accounts: int = 20
    groups: tuple[int, int] = (20, 50)
    small: tuple[int, int] = (15, 45)
    few: tuple[int, int] = (2, 6)
    large: tuple[int, int] = (200, 500)
    gap: float = 0.8
    posts: int = 2
    leave: float = 0.2
    report: float = 0.01
    block: float = 0.015
    enrolment: Enrolment = field(default=Enrolment(attested=0.6))

    def play(self, scene: Scene, operator: str) -> None:
        """Plan the campaign."""
        rng = scene.rng
        ts = scene.at(*REGISTER, self.accounts)
        senders = enrol(scene, ts, self.name, operator, self.enrolment)
        for place, (account, registered) in enumerate(senders.pairs()):
            many = place % 2 == 0
            when = registered + int(rng.uniform(5, 45) * MINUTE)
            for _ in range(int(rng.integers(*(self.groups if many else self.few)))):
                size = int(rng.integers(*(self.small if many else self.large)))
                when = self._group(scene, account, when, size) + int(rng.uniform(20, 240) * SECOND)
                if when >= scene.end:
                    break

    def _group(self, scene: Scene, account: int, when: int, size: int) -> int:
        """Plan one group; return when its last message was sent."""
        rng, log = scene.rng, scene.log
        name = int(scene.new_groups(1)[0])
        member = scene.strangers(size)
        added = added_into(scene, account, name, member, when, self.gap)
        posts = added[-1] + 10 * SECOND * np.arange(1, self.posts + 1)
        recipients = np.full(self.posts, len(member))
        say_to_group(scene, posts, np.array(account), np.array(name), recipients, scene.style, 0.0)

        def some(share: float) -> tuple[Ints, Ints]:
            chosen = np.flatnonzero(rng.random(len(member)) < share)
            wait = rng.lognormal(np.log(20 * MINUTE), 1.5, len(chosen)).astype(np.int64)
            return member[chosen], added[chosen] + 5 * SECOND + wait

        who, ts = some(self.leave)
        log.add("group.left", ts, who, group=name, peer=account)
        who, ts = some(self.report)
        log.add("user.reported", ts, who, peer=account, reason=scene.pool.code("spam"))
        who, ts = some(self.block)
        log.add("user.blocked", ts, who, peer=account)
        return int(posts[-1])
