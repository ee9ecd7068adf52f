"""Campaigns that send in bulk and shape their sending: blast, jitter, warm-up, typing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from wavebreak.simulator.log import Ints
from wavebreak.simulator.operators import Enrolment, enrol, paced
from wavebreak.simulator.places import DAY, HOUR, MINUTE, SECOND
from wavebreak.simulator.scene import Scene
from wavebreak.simulator.strangers import send, text_sizes

REGISTER = (0.0, 0.4)
"""Shares of the simulated span between which an operator's accounts register."""


@dataclass(frozen=True, slots=True)
class Blast:
    """Tactic 0: minutes after registering, 100 messages in 15 s; then on at a fixed gap.

    `wait`: minutes from registering to the first message. `burst` messages in `burst_s` seconds.
    `gaps`: seconds, one of them an account. `more`: messages after the burst, log-normal median.
    """

    name: ClassVar[str] = "blast"
    tactic: ClassVar[int] = 0
    accounts: int = 20
    wait: tuple[float, float] = (0.5, 4.5)
    burst: int = 100
    burst_s: float = 15.0
    gaps: tuple[float, ...] = (2.0, 13.0)
    more: float = 400.0
    more_spread: float = 0.5
    enrolment: Enrolment = field(default=Enrolment(attested=0.5, devices=5, client="gateway/1.0"))

    def play(self, scene: Scene, operator: str) -> None:
        """Plan the campaign."""
        rng = scene.rng
        ts = scene.at(*REGISTER, self.accounts)
        senders = enrol(scene, ts, self.name, operator, self.enrolment)
        for account, registered in senders.pairs():
            start = registered + int(rng.uniform(*self.wait) * MINUTE)
            burst = np.sort(rng.uniform(0, self.burst_s * SECOND, self.burst)).astype(np.int64)
            more = int(rng.lognormal(np.log(self.more), self.more_spread))
            gap = int(rng.choice(self.gaps) * SECOND)
            rest = int(self.burst_s * SECOND) + gap * np.arange(1, more + 1)
            peer = scene.strangers(self.burst + more)
            send(scene, (start + np.concatenate([burst, rest]))[: len(peer)], account, peer)


@dataclass(frozen=True, slots=True)
class Jitter:
    """Tactic 1: random gaps. Half the accounts: Gaussian within 1.5-5 s; half: uniform 30-60 s.

    `quick` and `slow`: bounds in seconds. `per_hour` and `per_day`: the "moderate" preset of a
    public tool. `wait`: minutes from registering to the first message.
    """

    name: ClassVar[str] = "jitter"
    tactic: ClassVar[int] = 1
    accounts: int = 20
    quick: tuple[float, float] = (1.5, 5.0)
    slow: tuple[float, float] = (30.0, 60.0)
    per_hour: int = 300
    per_day: int = 1500
    wait: tuple[float, float] = (5.0, 60.0)
    enrolment: Enrolment = field(default=Enrolment(attested=0.6))

    def play(self, scene: Scene, operator: str) -> None:
        """Plan the campaign."""
        rng = scene.rng
        ts = scene.at(*REGISTER, self.accounts)
        senders = enrol(scene, ts, self.name, operator, self.enrolment)
        for place, (account, registered) in enumerate(senders.pairs()):
            start = registered + int(rng.uniform(*self.wait) * MINUTE)
            count = _fits(scene, start, self.per_day)
            if place % 2:
                gaps = rng.uniform(*self.slow, count)
            else:
                low, high = self.quick
                gaps = np.clip(rng.normal((low + high) / 2, (high - low) / 5, count), low, high)
            peer = _targets(scene, count)
            send(scene, paced(start, gaps * SECOND, self.per_hour, self.per_day), account, peer)


@dataclass(frozen=True, slots=True)
class WarmUp:
    """Tactic 2: from `first` messages a day, times `growth` a day, up to `most` on the seventh.

    Each day's messages lie over `hours` waking hours (bounds), evenly but for chance.
    """

    name: ClassVar[str] = "warm-up"
    tactic: ClassVar[int] = 2
    accounts: int = 20
    first: int = 20
    growth: float = 1.8
    most: int = 680
    hours: tuple[float, float] = (10.0, 14.0)
    enrolment: Enrolment = field(default=Enrolment(attested=0.8, residential=True))

    def play(self, scene: Scene, operator: str) -> None:
        """Plan the campaign."""
        rng = scene.rng
        ts = scene.at(0.0, 0.1, self.accounts)
        senders = enrol(scene, ts, self.name, operator, self.enrolment)
        days = int(np.ceil(scene.span / DAY))
        for account, registered in senders.pairs():
            counts = np.minimum(self.first * self.growth ** np.arange(days), self.most).astype(int)
            hours = rng.uniform(*self.hours, days)
            starts = registered + 10 * MINUTE + DAY * np.arange(days)
            times = np.sort(
                np.repeat(starts, counts)
                + rng.random(counts.sum()) * np.repeat(hours, counts) * HOUR
            ).astype(np.int64)
            send(scene, times, account, _targets(scene, len(times)))


@dataclass(frozen=True, slots=True)
class Typing:
    """Tactic 4: shows the typing indicator, 45 ± 15 words a minute, and sends text only.

    `words_a_minute` and its spread; `pause`: seconds of thinking before typing starts. The caps
    are the "conservative" preset of a public tool without its slow first day.
    """

    name: ClassVar[str] = "typing"
    tactic: ClassVar[int] = 4
    accounts: int = 20
    words_a_minute: float = 45.0
    words_spread: float = 15.0
    characters_a_word: float = 5.0
    pause: tuple[float, float] = (3.0, 25.0)
    per_hour: int = 100
    per_day: int = 800
    enrolment: Enrolment = field(default=Enrolment(attested=0.8))

    def play(self, scene: Scene, operator: str) -> None:
        """Plan the campaign."""
        rng = scene.rng
        ts = scene.at(*REGISTER, self.accounts)
        senders = enrol(scene, ts, self.name, operator, self.enrolment)
        for account, registered in senders.pairs():
            start = registered + int(rng.uniform(10, 90) * MINUTE)
            count = _fits(scene, start, self.per_day)
            text, size = text_sizes(rng, count, scene.pitch)
            speed = np.clip(rng.normal(self.words_a_minute, self.words_spread, count), 20, 80)
            typing = text / self.characters_a_word / speed * MINUTE
            gaps = typing + rng.uniform(*self.pause, count) * SECOND
            peer = _targets(scene, count)
            times = paced(start, gaps, self.per_hour, self.per_day)
            shown = times < scene.end
            begun = (times - typing.astype(np.int64))[shown]
            scene.log.add("typing.started", begun, account, peer=peer[shown])
            send(scene, times, account, peer, size=size)


def _fits(scene: Scene, start: int, per_day: int) -> int:
    """Return how many messages a daily cap allows until the end of the simulation."""
    return max(0, int(np.ceil((scene.end - start) / DAY) * per_day))


def _targets(scene: Scene, count: int) -> Ints:
    """Draw targets: strangers, each once, and over again when there are no more people."""
    rounds = [scene.strangers(count)]
    while sum(map(len, rounds)) < count:
        rounds.append(scene.strangers(count))
    return np.concatenate(rounds)[:count]
