"""Innocent people: much sending, many new peers, little typing, for good reasons."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from wavebreak.simulation.conversations import brief, chats, say_to_group, talk
from wavebreak.simulation.geography import COUNTRIES, DAY, HOUR, MINUTE, SECOND, Clock, addresses
from wavebreak.simulation.groups import added_into
from wavebreak.simulation.log import Ints
from wavebreak.simulation.newcomers import Arrival, arrive
from wavebreak.simulation.personas.persona import Living
from wavebreak.simulation.population import ALWAYS, devices
from wavebreak.simulation.scene import Scene


def days_of(scene: Scene, low_hour: float, high_hour: float, who: int) -> list[tuple[int, int]]:
    """Return (begin, end) of a person's local working hours on each simulated day."""
    zone = int(scene.people.zone[who]) if who < len(scene.people) else 0
    first = (scene.start + zone * HOUR) // DAY * DAY - zone * HOUR
    spans = []
    for midnight in range(first, scene.end, DAY):
        low = max(scene.start, int(midnight + low_hour * HOUR))
        high = min(scene.end, int(midnight + high_hour * HOUR))
        if high - low > HOUR // 2:
            spans.append((low, high))
    return spans


def _spread(scene: Scene, span: tuple[int, int], count: int) -> Ints:
    return np.sort(scene.rng.integers(*span, count))


@dataclass(frozen=True, slots=True)
class NewNumber(Living):
    """A new number that tells everyone: many who do not have it yet, within an hour or two."""

    name: ClassVar[str] = "new-number"
    when: tuple[float, float] = (0.05, 0.7)
    arrival: Arrival = field(
        default=Arrival(
            book=180.0, tells=60.0, tells_spread=0.35, within=2.0 * HOUR, known=0.12,
            added_back=0.7, answer=0.75, typing=0.5,
        )
    )  # fmt: skip

    def prepare(self, scene: Scene, accounts: int) -> Ints:
        """Choose who registers anew."""
        who = scene.cast(accounts, self.name)
        scene.people.born[who] = scene.at(*self.when, accounts)
        return who

    def play(self, scene: Scene, accounts: Ints) -> None:
        """Plan the persona."""
        arrive(scene, accounts, scene.style, self.arrival)


@dataclass(frozen=True, slots=True)
class Organiser(Living):
    """An event organiser: groups of `members`, `posts` to each, and `asks` people one by one.

    `known`: those asked who have the organiser in contacts; `silent` never answer.
    """

    name: ClassVar[str] = "organiser"
    groups: tuple[int, int] = (1, 3)
    members: tuple[int, int] = (20, 80)
    posts: tuple[int, int] = (3, 9)
    asks: tuple[int, int] = (15, 60)
    known: float = 0.6
    silent: float = 0.35
    reach: float = 150.0

    def play(self, scene: Scene, accounts: Ints) -> None:
        """Plan the persona."""
        rng, short = scene.rng, brief(scene.style, length=2.5)
        for who in accounts.tolist():
            for ts in scene.at(0.1, 0.7, int(rng.integers(*self.groups, endpoint=True))).tolist():
                self._gather(scene, who, ts)
            for span in days_of(scene, 10, 21, who):
                peer = scene.people.near(rng, who, int(rng.integers(*self.asks)), self.reach)
                gaps = rng.lognormal(np.log(45 * SECOND), 1.2, len(peer))
                start = rng.integers(*span) + np.cumsum(gaps).astype(np.int64)
                talk(
                    scene,
                    chats(
                        scene, short, start, np.array(who), peer, known=self.known,
                        silent=self.silent, typing=0.8,
                    ),
                    short,
                )  # fmt: skip

    def _gather(self, scene: Scene, who: int, ts: int) -> None:
        rng = scene.rng
        name = int(scene.new_groups(1)[0])
        member = scene.people.near(rng, who, int(rng.integers(*self.members)), self.reach)
        added = added_into(scene, who, name, member, ts, 4.0)
        posts = int(rng.integers(*self.posts))
        times = added[-1] + np.sort(rng.integers(MINUTE, 10 * HOUR, posts))
        size = np.full(posts, len(member))
        say_to_group(scene, times, np.array(who), np.array(name), size, scene.style)
        leaves = member[rng.random(len(member)) < 0.03]
        late = added[-1] + rng.integers(MINUTE, 10 * HOUR, len(leaves))
        scene.log.add("group.left", late, leaves, group=name, peer=who)


@dataclass(frozen=True, slots=True)
class Teacher(Living):
    """A teacher: posts to `classes` groups a day; parents write, and are written to.

    `pupils` members a class, of which one class is new; `parents` write a day; `calls` parents are
    written to first, `known` of them have the teacher in contacts.
    """

    name: ClassVar[str] = "teacher"
    classes: tuple[int, int] = (5, 14)
    pupils: tuple[int, int] = (18, 34)
    posts: int = 2
    parents: tuple[int, int] = (8, 25)
    calls: tuple[int, int] = (4, 14)
    known: float = 0.5
    reach: float = 300.0

    def play(self, scene: Scene, accounts: Ints) -> None:
        """Plan the persona."""
        rng = scene.rng
        for who in accounts.tolist():
            size = int(rng.integers(*self.pupils))
            member = scene.people.near(rng, who, size, self.reach)
            added_into(
                scene, who, int(scene.new_groups(1)[0]), member, int(scene.at(0.1, 0.6, 1)[0]), 3
            )
            groups = scene.new_groups(int(rng.integers(*self.classes)))
            for span in days_of(scene, 7, 20, who):
                group = np.repeat(groups, self.posts)
                times = _spread(scene, span, len(group))
                rng.shuffle(group)
                say_to_group(
                    scene, times, np.array(who), group, np.full(len(group), size), scene.style
                )
                self._parents(scene, who, span)

    def _parents(self, scene: Scene, who: int, span: tuple[int, int]) -> None:
        rng, short = scene.rng, brief(scene.style, length=2.5)
        near = scene.people.near(rng, who, int(rng.integers(*self.parents)), self.reach)
        start = _spread(scene, span, len(near))
        talk(scene, chats(scene, short, start, near, np.array(who), known=0.4, back=0.9), short)
        near = scene.people.near(rng, who, int(rng.integers(*self.calls)), self.reach)
        start = _spread(scene, span, len(near))
        called = chats(
            scene, short, start, np.array(who), near, known=self.known, back=0.5, silent=0.15
        )
        talk(scene, called, short)


@dataclass(frozen=True, slots=True)
class PopularStudent(Living):
    """A popular student: `peers` new peers a day from far around, some answer, bursts of chat."""

    name: ClassVar[str] = "popular-student"
    peers: tuple[int, int] = (10, 26)
    known: float = 0.5
    silent: float = 0.4
    reach: float = 2500.0

    def play(self, scene: Scene, accounts: Ints) -> None:
        """Plan the persona."""
        rng, style = scene.rng, scene.style
        for who in accounts.tolist():
            for span in days_of(scene, 9, 24, who):
                peer = scene.people.near(rng, who, int(rng.integers(*self.peers)), self.reach)
                start, me = _spread(scene, span, len(peer)), np.array(who)
                theirs = rng.random(len(peer)) < 0.4
                asked = chats(
                    scene, style, start[theirs], peer[theirs], me, known=0.5, back=self.known
                )
                talk(scene, asked, style)
                asks = chats(
                    scene, style, start[~theirs], me, peer[~theirs], known=self.known, back=0.5,
                    silent=self.silent,
                )  # fmt: skip
                talk(scene, asks, style)


@dataclass(frozen=True, slots=True)
class IrcRegular(Living):
    """Helps strangers in big groups: `posts` answers a day there, `asked` strangers write first.

    `offers`: strangers it writes to itself after they asked in a group; few have it in contacts.
    """

    name: ClassVar[str] = "irc-helper"
    groups: int = 3
    members: tuple[int, int] = (60, 250)
    posts: tuple[int, int] = (50, 150)
    asked: tuple[int, int] = (8, 25)
    offers: tuple[int, int] = (2, 8)

    def play(self, scene: Scene, accounts: Ints) -> None:
        """Plan the persona."""
        rng = scene.rng
        for who in accounts.tolist():
            groups = scene.new_groups(self.groups)
            sizes = rng.integers(*self.members, self.groups)
            for span in days_of(scene, 8, 24, who):
                times = _spread(scene, span, int(rng.integers(*self.posts)))
                which = rng.integers(0, self.groups, len(times))
                say_to_group(scene, times, np.array(who), groups[which], sizes[which], scene.style)
                self._strangers(scene, who, span)

    def _strangers(self, scene: Scene, who: int, span: tuple[int, int]) -> None:
        rng = scene.rng
        peer = scene.strangers(int(rng.integers(*self.asked)))
        start = _spread(scene, span, len(peer))
        talk(
            scene,
            chats(scene, scene.style, start, peer, np.array(who), known=0.02, back=0.1),
            scene.style,
        )
        peer = scene.strangers(int(rng.integers(*self.offers)))
        start = _spread(scene, span, len(peer))
        offered = chats(
            scene, scene.style, start, np.array(who), peer, known=0.05, back=0.02, silent=0.15
        )
        talk(scene, offered, scene.style)


@dataclass(frozen=True, slots=True)
class Courier(Living):
    """A courier: `stops` short messages a day, seldom answered, to customers."""

    name: ClassVar[str] = "courier"
    stops: tuple[int, int] = (60, 140)
    known: float = 0.75
    silent: float = 0.85
    typing: float = 0.3
    reach: float = 1500.0

    def play(self, scene: Scene, accounts: Ints) -> None:
        """Plan the persona."""
        rng = scene.rng
        style = brief(scene.style, length=0.4, length_spread=0.6, characters=18.0)
        for who in accounts.tolist():
            for span in days_of(scene, 9, 18, who):
                peer = scene.people.near(rng, who, int(rng.integers(*self.stops)), self.reach)
                gaps = rng.lognormal(0.0, 0.7, len(peer))
                share = np.cumsum(gaps) / gaps.sum()
                start = span[0] + (share * 0.98 * (span[1] - span[0])).astype(np.int64)
                talk(
                    scene,
                    chats(
                        scene, style, start, np.array(who), peer, known=self.known, back=0.5,
                        silent=self.silent, typing=self.typing,
                    ),
                    style,
                )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Accessibility(Living):
    """Pastes and dictates: an ordinary person who never shows the typing indicator.

    Its desktop is linked, and it never types.
    """

    name: ClassVar[str] = "accessibility"

    def prepare(self, scene: Scene, accounts: int) -> Ints:
        """Choose who never types."""
        who = scene.cast(accounts, self.name)
        scene.people.companion[who] = True
        scene.people.typing[who] = 0.0
        return who

    def play(self, scene: Scene, accounts: Ints) -> None:
        """Plan nothing: everyday life does it all."""


@dataclass(frozen=True, slots=True)
class FamilyAbroad(Living):
    """Families abroad: `size` people behind one carrier address, with a few equal phones.

    `new`: those who register during the simulation. They write to each other and home.
    """

    name: ClassVar[str] = "family-abroad"
    size: int = 10
    alike: int = 3
    new: float = 0.5
    arrival: Arrival = field(default=Arrival(mobile=1.0, tells=10.0, attested=0.9))

    def prepare(self, scene: Scene, accounts: int) -> Ints:
        """Choose families, and give each its address and phones; some register anew."""
        rng, people, pool = scene.rng, scene.people, scene.pool
        who = scene.cast(accounts, self.name)
        for family in self._families(who):
            place = COUNTRIES[int(rng.integers(len(COUNTRIES)))]
            address = pool.code(addresses(rng, place.carriers, 1)[0])
            for networks in (people.home, people.carrier, people.work):
                networks[family] = address
            models = devices(rng, pool, self.alike)
            people.device[family] = models[np.arange(len(family)) % self.alike]
            people.client[family] = people.client[family[0]]
        new = who[rng.random(accounts) < self.new]
        people.born[new] = scene.at(0.02, 0.5, len(new))
        return who

    def play(self, scene: Scene, accounts: Ints) -> None:
        """Plan the persona."""
        rng, born = scene.rng, scene.people.born
        for family in self._families(accounts):
            ts = Clock(0).times(rng, scene.start, scene.end, 4 * len(family))
            one, other = (rng.choice(family, len(ts)) for _ in range(2))
            real = (one != other) & (ts > np.maximum(born[one], born[other]))
            talk(scene, chats(scene, scene.style, ts[real], one[real], other[real]), scene.style)
        arrive(scene, accounts[born[accounts] != ALWAYS], scene.style, self.arrival)

    def _families(self, who: Ints) -> list[Ints]:
        return [who[first : first + self.size] for first in range(0, len(who), self.size)]
