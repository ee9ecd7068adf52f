"""Benign people who send much, meet many new peers or type little, for good reasons."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from wavebreak.durations import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from wavebreak_lab.simulation.behaviour import adjust_style
from wavebreak_lab.simulation.context import SimulationContext
from wavebreak_lab.simulation.conversations import (
    add_conversations,
    add_group_messages,
    draw_conversations,
)
from wavebreak_lab.simulation.geography import COUNTRIES, Clock, draw_addresses
from wavebreak_lab.simulation.groups import add_group
from wavebreak_lab.simulation.log import Ints
from wavebreak_lab.simulation.newcomers import NewcomerBehaviour, add_newcomers
from wavebreak_lab.simulation.personas.persona import PersonPersona
from wavebreak_lab.simulation.population import BEFORE_START, draw_devices


def working_hours(
    sim: SimulationContext, low_hour: float, high_hour: float, who: int
) -> list[tuple[int, int]]:
    """Return (begin, end) of a person's local working hours on each simulated day."""
    zone = int(sim.people.zone[who]) if who < len(sim.people) else 0
    first = (sim.start + zone * HOUR_MS) // DAY_MS * DAY_MS - zone * HOUR_MS
    spans = []
    for midnight in range(first, sim.end, DAY_MS):
        low = max(sim.start, int(midnight + low_hour * HOUR_MS))
        high = min(sim.end, int(midnight + high_hour * HOUR_MS))
        if high - low > HOUR_MS // 2:
            spans.append((low, high))
    return spans


def _draw_sorted_times(sim: SimulationContext, span: tuple[int, int], count: int) -> Ints:
    return np.sort(sim.rng.integers(*span, count))


@dataclass(frozen=True, slots=True)
class NewNumber(PersonPersona):
    """A new number that is announced to many people within an hour or two; few have it yet."""

    name: ClassVar[str] = "new-number"
    when: tuple[float, float] = (0.05, 0.7)
    arrival: NewcomerBehaviour = field(
        default=NewcomerBehaviour(
            book=180.0,
            first_chats=60.0,
            first_chats_spread=0.35,
            within=2.0 * HOUR_MS,
            known=0.12,
            added_back=0.7,
            answer=0.75,
            typing=0.5,
        )
    )

    def prepare(self, sim: SimulationContext, accounts: int) -> Ints:
        """Choose who registers anew."""
        who = sim.assign_people(accounts, self.name)
        sim.people.registered_at[who] = sim.draw_times(*self.when, accounts)
        return who

    def play(self, sim: SimulationContext, accounts: Ints) -> None:
        """Plan the persona."""
        add_newcomers(sim, accounts, sim.style, self.arrival)


@dataclass(frozen=True, slots=True)
class Organiser(PersonPersona):
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

    def play(self, sim: SimulationContext, accounts: Ints) -> None:
        """Plan the persona."""
        rng, short = sim.rng, adjust_style(sim.style, length=2.5)
        for who in accounts.tolist():
            for ts in sim.draw_times(
                0.1, 0.7, int(rng.integers(*self.groups, endpoint=True))
            ).tolist():
                self._gather(sim, who, ts)
            for span in working_hours(sim, 10, 21, who):
                peer = sim.people.draw_acquaintances(
                    rng, who, int(rng.integers(*self.asks)), self.reach
                )
                gaps = rng.lognormal(np.log(45 * SECOND_MS), 1.2, len(peer))
                start = rng.integers(*span) + np.cumsum(gaps).astype(np.int64)
                add_conversations(
                    sim,
                    draw_conversations(
                        sim,
                        short,
                        start,
                        np.array(who),
                        peer,
                        known=self.known,
                        silent=self.silent,
                        typing=0.8,
                    ),
                    short,
                )

    def _gather(self, sim: SimulationContext, who: int, ts: int) -> None:
        rng = sim.rng
        name = int(sim.new_groups(1)[0])
        member = sim.people.draw_acquaintances(
            rng, who, int(rng.integers(*self.members)), self.reach
        )
        added = add_group(sim, who, name, member, ts, 4.0)
        posts = int(rng.integers(*self.posts))
        times = added[-1] + np.sort(rng.integers(MINUTE_MS, 10 * HOUR_MS, posts))
        size = np.full(posts, len(member))
        add_group_messages(sim, times, np.array(who), np.array(name), size, sim.style)
        leaves = member[rng.random(len(member)) < 0.03]
        late = added[-1] + rng.integers(MINUTE_MS, 10 * HOUR_MS, len(leaves))
        sim.log.add("group.left", late, leaves, group=name, peer=who)


@dataclass(frozen=True, slots=True)
class Teacher(PersonPersona):
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

    def play(self, sim: SimulationContext, accounts: Ints) -> None:
        """Plan the persona."""
        rng = sim.rng
        for who in accounts.tolist():
            size = int(rng.integers(*self.pupils))
            member = sim.people.draw_acquaintances(rng, who, size, self.reach)
            add_group(
                sim, who, int(sim.new_groups(1)[0]), member, int(sim.draw_times(0.1, 0.6, 1)[0]), 3
            )
            groups = sim.new_groups(int(rng.integers(*self.classes)))
            for span in working_hours(sim, 7, 20, who):
                group = np.repeat(groups, self.posts)
                times = _draw_sorted_times(sim, span, len(group))
                rng.shuffle(group)
                add_group_messages(
                    sim, times, np.array(who), group, np.full(len(group), size), sim.style
                )
                self._parents(sim, who, span)

    def _parents(self, sim: SimulationContext, who: int, span: tuple[int, int]) -> None:
        rng, short = sim.rng, adjust_style(sim.style, length=2.5)
        near = sim.people.draw_acquaintances(rng, who, int(rng.integers(*self.parents)), self.reach)
        start = _draw_sorted_times(sim, span, len(near))
        add_conversations(
            sim,
            draw_conversations(sim, short, start, near, np.array(who), known=0.4, back=0.9),
            short,
        )
        near = sim.people.draw_acquaintances(rng, who, int(rng.integers(*self.calls)), self.reach)
        start = _draw_sorted_times(sim, span, len(near))
        called = draw_conversations(
            sim, short, start, np.array(who), near, known=self.known, back=0.5, silent=0.15
        )
        add_conversations(sim, called, short)


@dataclass(frozen=True, slots=True)
class PopularStudent(PersonPersona):
    """A popular student: `peers` new peers a day from far around, some answer, bursts of chat."""

    name: ClassVar[str] = "popular-student"
    peers: tuple[int, int] = (10, 26)
    known: float = 0.5
    silent: float = 0.4
    reach: float = 2500.0

    def play(self, sim: SimulationContext, accounts: Ints) -> None:
        """Plan the persona."""
        rng, style = sim.rng, sim.style
        for who in accounts.tolist():
            for span in working_hours(sim, 9, 24, who):
                peer = sim.people.draw_acquaintances(
                    rng, who, int(rng.integers(*self.peers)), self.reach
                )
                start, me = _draw_sorted_times(sim, span, len(peer)), np.array(who)
                theirs = rng.random(len(peer)) < 0.4
                asked = draw_conversations(
                    sim, style, start[theirs], peer[theirs], me, known=0.5, back=self.known
                )
                add_conversations(sim, asked, style)
                asks = draw_conversations(
                    sim,
                    style,
                    start[~theirs],
                    me,
                    peer[~theirs],
                    known=self.known,
                    back=0.5,
                    silent=self.silent,
                )
                add_conversations(sim, asks, style)


@dataclass(frozen=True, slots=True)
class IrcRegular(PersonPersona):
    """Helps strangers in big groups: `posts` answers a day there, `asked` strangers write first.

    `offers`: strangers it writes to itself after they asked in a group; few have it in contacts.
    """

    name: ClassVar[str] = "irc-helper"
    groups: int = 3
    members: tuple[int, int] = (60, 250)
    posts: tuple[int, int] = (50, 150)
    asked: tuple[int, int] = (8, 25)
    offers: tuple[int, int] = (2, 8)

    def play(self, sim: SimulationContext, accounts: Ints) -> None:
        """Plan the persona."""
        rng = sim.rng
        for who in accounts.tolist():
            groups = sim.new_groups(self.groups)
            sizes = rng.integers(*self.members, self.groups)
            for span in working_hours(sim, 8, 24, who):
                times = _draw_sorted_times(sim, span, int(rng.integers(*self.posts)))
                which = rng.integers(0, self.groups, len(times))
                add_group_messages(
                    sim, times, np.array(who), groups[which], sizes[which], sim.style
                )
                self._strangers(sim, who, span)

    def _strangers(self, sim: SimulationContext, who: int, span: tuple[int, int]) -> None:
        rng = sim.rng
        peer = sim.draw_strangers(int(rng.integers(*self.asked)))
        start = _draw_sorted_times(sim, span, len(peer))
        add_conversations(
            sim,
            draw_conversations(sim, sim.style, start, peer, np.array(who), known=0.02, back=0.1),
            sim.style,
        )
        peer = sim.draw_strangers(int(rng.integers(*self.offers)))
        start = _draw_sorted_times(sim, span, len(peer))
        offered = draw_conversations(
            sim, sim.style, start, np.array(who), peer, known=0.05, back=0.02, silent=0.15
        )
        add_conversations(sim, offered, sim.style)


@dataclass(frozen=True, slots=True)
class Courier(PersonPersona):
    """A courier: `stops` short messages a day, seldom answered, to customers."""

    name: ClassVar[str] = "courier"
    stops: tuple[int, int] = (60, 140)
    known: float = 0.75
    silent: float = 0.85
    typing: float = 0.3
    reach: float = 1500.0

    def play(self, sim: SimulationContext, accounts: Ints) -> None:
        """Plan the persona."""
        rng = sim.rng
        style = adjust_style(sim.style, length=0.4, length_spread=0.6, characters=18.0)
        for who in accounts.tolist():
            for span in working_hours(sim, 9, 18, who):
                peer = sim.people.draw_acquaintances(
                    rng, who, int(rng.integers(*self.stops)), self.reach
                )
                gaps = rng.lognormal(0.0, 0.7, len(peer))
                share = np.cumsum(gaps) / gaps.sum()
                start = span[0] + (share * 0.98 * (span[1] - span[0])).astype(np.int64)
                add_conversations(
                    sim,
                    draw_conversations(
                        sim,
                        style,
                        start,
                        np.array(who),
                        peer,
                        known=self.known,
                        back=0.5,
                        silent=self.silent,
                        typing=self.typing,
                    ),
                    style,
                )


@dataclass(frozen=True, slots=True)
class Accessibility(PersonPersona):
    """Pastes and dictates: an ordinary person who never shows the typing indicator.

    Its desktop is linked, and it never types.
    """

    name: ClassVar[str] = "accessibility"

    def prepare(self, sim: SimulationContext, accounts: int) -> Ints:
        """Choose who never types."""
        who = sim.assign_people(accounts, self.name)
        sim.people.companion[who] = True
        sim.people.typing[who] = 0.0
        return who

    def play(self, sim: SimulationContext, accounts: Ints) -> None:
        """Plan nothing: everyday life does it all."""


@dataclass(frozen=True, slots=True)
class FamilyAbroad(PersonPersona):
    """Families abroad: `size` people behind one carrier address, with a few equal phones.

    `new`: those who register during the simulation. They write to each other and home.
    """

    name: ClassVar[str] = "family-abroad"
    size: int = 10
    alike: int = 3
    new: float = 0.5
    arrival: NewcomerBehaviour = field(
        default=NewcomerBehaviour(mobile=1.0, first_chats=10.0, attested=0.9)
    )

    def prepare(self, sim: SimulationContext, accounts: int) -> Ints:
        """Choose families, and give each its address and phones; some register anew."""
        rng, people, pool = sim.rng, sim.people, sim.pool
        who = sim.assign_people(accounts, self.name)
        for family in self._families(who):
            place = COUNTRIES[int(rng.integers(len(COUNTRIES)))]
            address = pool.code(draw_addresses(rng, place.carriers, 1)[0])
            for networks in (people.home, people.carrier, people.work):
                networks[family] = address
            models = draw_devices(rng, pool, self.alike)
            people.device[family] = models[np.arange(len(family)) % self.alike]
            people.client[family] = people.client[family[0]]
        new = who[rng.random(accounts) < self.new]
        people.registered_at[new] = sim.draw_times(0.02, 0.5, len(new))
        return who

    def play(self, sim: SimulationContext, accounts: Ints) -> None:
        """Plan the persona."""
        rng, registered_at = sim.rng, sim.people.registered_at
        for family in self._families(accounts):
            ts = Clock(0).times(rng, sim.start, sim.end, 4 * len(family))
            one, other = (rng.choice(family, len(ts)) for _ in range(2))
            real = (one != other) & (ts > np.maximum(registered_at[one], registered_at[other]))
            add_conversations(
                sim,
                draw_conversations(sim, sim.style, ts[real], one[real], other[real]),
                sim.style,
            )
        add_newcomers(
            sim, accounts[registered_at[accounts] != BEFORE_START], sim.style, self.arrival
        )

    def _families(self, who: Ints) -> list[Ints]:
        return [who[first : first + self.size] for first in range(0, len(who), self.size)]
