"""Innocents who stand near the attackers: at work, on the move, on cheap phones, at one desk."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from wavebreak.simulation.conversations import brief, chats, talk
from wavebreak.simulation.geography import (
    COUNTRIES,
    HOSTING,
    HOUR,
    MINUTE,
    SECOND,
    VIRTUAL,
    addresses,
    numbers,
)
from wavebreak.simulation.log import Ints
from wavebreak.simulation.newcomers import Arrival, arrive
from wavebreak.simulation.personas.people import days_of
from wavebreak.simulation.personas.persona import Living
from wavebreak.simulation.population import ALWAYS
from wavebreak.simulation.scene import Scene

_CONSUMER = tuple(a for place in COUNTRIES for a in (*place.homes, *place.carriers))


def _one_after_another(scene: Scene, span: tuple[int, int], count: int, gap: float) -> Ints:
    """Draw times from somewhere in a span on, a median `gap` (milliseconds) apart."""
    steps = scene.rng.lognormal(np.log(gap), 1.1, count)
    return np.asarray(scene.rng.integers(*span) + np.cumsum(steps).astype(np.int64))


@dataclass(frozen=True, slots=True)
class Salesperson(Living):
    """Writes to many known customers a day, by hand or from a template; some answer.

    `customers` a day; `known` have the number in contacts; `silent` do not answer; `typing` is
    the most that it types.
    """

    name: ClassVar[str] = "salesperson"
    customers: tuple[int, int] = (20, 90)
    known: float = 0.8
    silent: float = 0.5
    typing: float = 0.6
    gap: float = 70 * SECOND
    characters: float = 90.0
    reach: float = 800.0

    def play(self, scene: Scene, accounts: Ints) -> None:
        """Plan the persona."""
        style = brief(scene.style, length=2.0, characters=self.characters, characters_spread=0.5)
        for who in accounts.tolist():
            for span in days_of(scene, 9, 17, who):
                count = int(scene.rng.integers(*self.customers))
                peer = scene.people.near(scene.rng, who, count, self.reach)
                start = _one_after_another(scene, span, len(peer), self.gap)
                told = chats(
                    scene, style, start, np.array(who), peer, known=self.known, back=1.0,
                    silent=self.silent, typing=self.typing,
                )  # fmt: skip
                talk(scene, told, style)


@dataclass(frozen=True, slots=True)
class Recruiter(Living):
    """Writes to strangers, few a day, who mostly answer; hardly anyone has it in contacts.

    `asks` strangers a day; `silent` do not answer; `blocks` of them block it.
    """

    name: ClassVar[str] = "recruiter"
    asks: tuple[int, int] = (6, 30)
    known: float = 0.04
    silent: float = 0.45
    blocks: float = 0.004
    gap: float = 4 * MINUTE
    looks_up: float = 0.5

    def play(self, scene: Scene, accounts: Ints) -> None:
        """Plan the persona."""
        rng, log = scene.rng, scene.log
        for who in accounts.tolist():
            for span in days_of(scene, 9, 18, who):
                peer = scene.strangers(int(rng.integers(*self.asks)))
                peer = peer[peer != who]
                start = _one_after_another(scene, span, len(peer), self.gap)
                asked = chats(
                    scene, scene.style, start, np.array(who), peer, known=self.known, back=0.3,
                    silent=self.silent,
                )  # fmt: skip
                talk(scene, asked, scene.style)
                looks = start[rng.random(len(start)) < self.looks_up] - 20 * SECOND
                log.add("contact.looked_up", looks, who, count=1, hits=1)
                blocks = rng.random(len(peer)) < self.blocks
                log.add("user.blocked", start[blocks] + HOUR, peer[blocks], peer=who)


@dataclass(frozen=True, slots=True)
class Greeter(Living):
    """On a holiday, one pasted greeting to everyone in the address book; some answer.

    `greets` acquaintances, a median `gap` apart; `known`, `silent` as elsewhere.
    """

    name: ClassVar[str] = "greeter"
    greets: tuple[int, int] = (25, 120)
    known: float = 0.85
    silent: float = 0.4
    gap: float = 9 * SECOND
    reach: float = 250.0

    def play(self, scene: Scene, accounts: Ints) -> None:
        """Plan the persona."""
        rng = scene.rng
        style = brief(
            scene.style, length=0.5, length_spread=0.6, characters=60.0, characters_spread=0.05
        )
        for who in accounts.tolist():
            peer = scene.people.near(rng, who, int(rng.integers(*self.greets)), self.reach)
            ts = int(scene.at(0.1, 0.8, 1)[0])
            start = _one_after_another(scene, (ts, ts + HOUR), len(peer), self.gap)
            told = chats(
                scene, style, start, np.array(who), peer, known=self.known, back=0.95,
                silent=self.silent, typing=0.1,
            )  # fmt: skip
            talk(scene, told, style)


@dataclass(frozen=True, slots=True)
class BareNewcomer(Living):
    """A newcomer with an almost empty address book, a cheap phone, perhaps a virtual number.

    `virtual` of them have a number from a virtual range; little is attested, and the few who are
    written to mostly answer.
    """

    name: ClassVar[str] = "bare-newcomer"
    when: tuple[float, float] = (0.02, 0.7)
    virtual: float = 0.3
    arrival: Arrival = field(
        default=Arrival(
            book=3.0, book_spread=0.9, found=0.5, tells=6.0, known=0.2, added_back=0.4, answer=0.8,
            attested=0.25, retries=0.3, mobile=0.7,
        )
    )  # fmt: skip

    def prepare(self, scene: Scene, accounts: int) -> Ints:
        """Choose who registers anew, and from which numbers."""
        rng = scene.rng
        who = scene.cast(accounts, self.name)
        scene.people.born[who] = scene.at(*self.when, accounts)
        bought = who[rng.random(accounts) < self.virtual]
        scene.people.phone[bought] = scene.pool.codes(numbers(rng, VIRTUAL, len(bought)))
        return who

    def play(self, scene: Scene, accounts: Ints) -> None:
        """Plan the persona."""
        arrive(scene, accounts, scene.style, self.arrival)


@dataclass(frozen=True, slots=True)
class Roamer(Living):
    """Changes networks all day: trains, cafés, and for `hosted` of the sessions a rented tunnel.

    `moves`: new addresses a day; `meets`: people met on the way and written to a day.
    """

    name: ClassVar[str] = "roamer"
    moves: tuple[int, int] = (4, 16)
    hosted: float = 0.3
    meets: tuple[int, int] = (0, 6)
    known: float = 0.5

    def play(self, scene: Scene, accounts: Ints) -> None:
        """Plan the persona."""
        rng, people, pool = scene.rng, scene.people, scene.pool
        for who in accounts.tolist():
            for span in days_of(scene, 6, 24, who):
                ts = np.sort(rng.integers(*span, int(rng.integers(*self.moves))))
                tunnel = rng.random(len(ts)) < self.hosted
                plain = pool.codes(addresses(rng, _CONSUMER, len(ts)))
                rented = pool.codes(addresses(rng, HOSTING, len(ts)))
                ip = np.where(tunnel, rented, plain)
                me = np.full(len(ts), who)
                scene.connect(ts, me, ip, int(people.device[who]), int(people.client[who]))
                peer = people.near(rng, who, int(rng.integers(*self.meets)), 2000.0)
                met = chats(
                    scene, scene.style, rng.integers(*span, len(peer)), np.array(who), peer,
                    known=self.known, back=0.7, silent=0.15,
                )  # fmt: skip
                talk(scene, met, scene.style)


@dataclass(frozen=True, slots=True)
class SharedPhone(Living):
    """Families with one phone for `size` people; `new` of them register on it one by one."""

    name: ClassVar[str] = "shared-phone"
    size: int = 3
    new: float = 0.5
    arrival: Arrival = field(default=Arrival(book=40.0, tells=6.0, attested=0.8))

    def prepare(self, scene: Scene, accounts: int) -> Ints:
        """Choose families, and give each its phone and line."""
        people = scene.people
        who = scene.cast(accounts, self.name)
        for first in range(0, accounts, self.size):
            family = who[first : first + self.size]
            for given in (people.device, people.client, people.home, people.carrier, people.work):
                given[family] = given[family[0]]
        new = who[scene.rng.random(accounts) < self.new]
        people.born[new] = scene.at(0.02, 0.6, len(new))
        return who

    def play(self, scene: Scene, accounts: Ints) -> None:
        """Plan the persona."""
        born = scene.people.born[accounts]
        arrive(scene, accounts[born != ALWAYS], scene.style, self.arrival)


@dataclass(frozen=True, slots=True)
class OfficeNat(Living):
    """A firm that takes up the messenger: its people register within hours, behind one address.

    They have the same client, and write to each other and to some customers.
    """

    name: ClassVar[str] = "office-nat"
    size: int = 25
    within: float = 4.0
    writes: tuple[int, int] = (4, 15)
    arrival: Arrival = field(
        default=Arrival(book=60.0, tells=8.0, within=3.0 * HOUR, mobile=0.0, attested=0.9)
    )

    def prepare(self, scene: Scene, accounts: int) -> Ints:
        """Choose firms, and give each its address and client."""
        rng, people, pool = scene.rng, scene.people, scene.pool
        who = scene.cast(accounts, self.name)
        for office in self._offices(who):
            address = pool.code(addresses(rng, _CONSUMER, 1)[0])
            for networks in (people.home, people.work):
                networks[office] = address
            people.client[office] = people.client[office[0]]
            day = int(scene.at(0.02, 0.6, 1)[0])
            people.born[office] = day + (rng.random(len(office)) * self.within * HOUR).astype(int)
        return who

    def play(self, scene: Scene, accounts: Ints) -> None:
        """Plan the persona."""
        rng, born = scene.rng, scene.people.born
        arrive(scene, accounts, scene.style, self.arrival)
        for office in self._offices(accounts):
            for who in office.tolist():
                peer = rng.choice(office, int(rng.integers(*self.writes)))
                ready = np.maximum(born[peer], born[who]) + 10 * MINUTE
                start = ready + (rng.random(len(peer)) * 8 * HOUR).astype(np.int64)
                real = peer != who
                told = chats(
                    scene, scene.style, start[real], np.array(who), peer[real], known=0.6, back=0.6
                )
                talk(scene, told, scene.style)

    def _offices(self, who: Ints) -> list[Ints]:
        return [who[first : first + self.size] for first in range(0, len(who), self.size)]
