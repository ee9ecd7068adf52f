"""Benign personas closest to attackers: at work, on the move, on shared or cheap phones."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from wavebreak.durations import HOUR_MS, MINUTE_MS, SECOND_MS
from wavebreak_lab.simulation.behaviour import adjust_style
from wavebreak_lab.simulation.context import SimulationContext
from wavebreak_lab.simulation.conversations import (
    add_conversations,
    draw_conversations,
)
from wavebreak_lab.simulation.geography import (
    COUNTRIES,
    HOSTING,
    VIRTUAL,
    draw_addresses,
    draw_phone_numbers,
)
from wavebreak_lab.simulation.log import Ints
from wavebreak_lab.simulation.newcomers import NewcomerBehaviour, add_newcomers
from wavebreak_lab.simulation.personas.people import working_hours
from wavebreak_lab.simulation.personas.persona import PersonPersona
from wavebreak_lab.simulation.population import BEFORE_START

_CONSUMER = tuple(a for place in COUNTRIES for a in (*place.homes, *place.carriers))


def _draw_sequence(sim: SimulationContext, span: tuple[int, int], count: int, gap: float) -> Ints:
    """Draw times from somewhere in a span on, a median `gap` (milliseconds) apart."""
    steps = sim.rng.lognormal(np.log(gap), 1.1, count)
    return np.asarray(sim.rng.integers(*span) + np.cumsum(steps).astype(np.int64))


@dataclass(frozen=True, slots=True)
class Salesperson(PersonPersona):
    """Writes to many known customers a day, by hand or from a template; some answer.

    `customers` a day; `known` have the number in contacts; `silent` do not answer; `typing` is
    the most that it types.
    """

    name: ClassVar[str] = "salesperson"
    customers: tuple[int, int] = (20, 90)
    known: float = 0.8
    silent: float = 0.5
    typing: float = 0.6
    gap: float = 70 * SECOND_MS
    characters: float = 90.0
    reach: float = 800.0

    def play(self, sim: SimulationContext, accounts: Ints) -> None:
        """Plan the persona."""
        style = adjust_style(
            sim.style, length=2.0, characters=self.characters, characters_spread=0.5
        )
        for who in accounts.tolist():
            for span in working_hours(sim, 9, 17, who):
                count = int(sim.rng.integers(*self.customers))
                peer = sim.people.draw_acquaintances(sim.rng, who, count, self.reach)
                start = _draw_sequence(sim, span, len(peer), self.gap)
                opened = draw_conversations(
                    sim,
                    style,
                    start,
                    np.array(who),
                    peer,
                    known=self.known,
                    back=1.0,
                    silent=self.silent,
                    typing=self.typing,
                )
                add_conversations(sim, opened, style)


@dataclass(frozen=True, slots=True)
class Recruiter(PersonPersona):
    """Writes to strangers, few a day, who mostly answer; hardly anyone has it in contacts.

    `asks` strangers a day; `silent` do not answer; `blocks` of them block it.
    """

    name: ClassVar[str] = "recruiter"
    asks: tuple[int, int] = (6, 30)
    known: float = 0.04
    silent: float = 0.45
    blocks: float = 0.004
    gap: float = 4 * MINUTE_MS
    looks_up: float = 0.5

    def play(self, sim: SimulationContext, accounts: Ints) -> None:
        """Plan the persona."""
        rng, log = sim.rng, sim.log
        for who in accounts.tolist():
            for span in working_hours(sim, 9, 18, who):
                peer = sim.draw_strangers(int(rng.integers(*self.asks)))
                peer = peer[peer != who]
                start = _draw_sequence(sim, span, len(peer), self.gap)
                asked = draw_conversations(
                    sim,
                    sim.style,
                    start,
                    np.array(who),
                    peer,
                    known=self.known,
                    back=0.3,
                    silent=self.silent,
                )
                add_conversations(sim, asked, sim.style)
                looks = start[rng.random(len(start)) < self.looks_up] - 20 * SECOND_MS
                log.add("contact.looked_up", looks, who, count=1, hits=1)
                blocks = rng.random(len(peer)) < self.blocks
                log.add("user.blocked", start[blocks] + HOUR_MS, peer[blocks], peer=who)


@dataclass(frozen=True, slots=True)
class Greeter(PersonPersona):
    """On a holiday, one pasted greeting to everyone in the address book; some answer.

    `greets` acquaintances, a median `gap` apart; `known`, `silent` as elsewhere.
    """

    name: ClassVar[str] = "greeter"
    greets: tuple[int, int] = (25, 120)
    known: float = 0.85
    silent: float = 0.4
    gap: float = 9 * SECOND_MS
    reach: float = 250.0

    def play(self, sim: SimulationContext, accounts: Ints) -> None:
        """Plan the persona."""
        rng = sim.rng
        style = adjust_style(
            sim.style, length=0.5, length_spread=0.6, characters=60.0, characters_spread=0.05
        )
        for who in accounts.tolist():
            peer = sim.people.draw_acquaintances(
                rng, who, int(rng.integers(*self.greets)), self.reach
            )
            ts = int(sim.draw_times(0.1, 0.8, 1)[0])
            start = _draw_sequence(sim, (ts, ts + HOUR_MS), len(peer), self.gap)
            opened = draw_conversations(
                sim,
                style,
                start,
                np.array(who),
                peer,
                known=self.known,
                back=0.95,
                silent=self.silent,
                typing=0.1,
            )
            add_conversations(sim, opened, style)


@dataclass(frozen=True, slots=True)
class BareNewcomer(PersonPersona):
    """A newcomer with an almost empty address book, a cheap phone, perhaps a virtual number.

    `virtual` of them have a number from a virtual range; little is attested, and the few who are
    written to mostly answer.
    """

    name: ClassVar[str] = "bare-newcomer"
    when: tuple[float, float] = (0.02, 0.7)
    virtual: float = 0.3
    arrival: NewcomerBehaviour = field(
        default=NewcomerBehaviour(
            book=3.0,
            book_spread=0.9,
            found=0.5,
            first_chats=6.0,
            known=0.2,
            added_back=0.4,
            answer=0.8,
            attested=0.25,
            retries=0.3,
            mobile=0.7,
        )
    )

    def prepare(self, sim: SimulationContext, accounts: int) -> Ints:
        """Choose who registers anew, and from which numbers."""
        rng = sim.rng
        who = sim.assign_people(accounts, self.name)
        sim.people.registered_at[who] = sim.draw_times(*self.when, accounts)
        bought = who[rng.random(accounts) < self.virtual]
        sim.people.phone[bought] = sim.pool.codes(draw_phone_numbers(rng, VIRTUAL, len(bought)))
        return who

    def play(self, sim: SimulationContext, accounts: Ints) -> None:
        """Plan the persona."""
        add_newcomers(sim, accounts, sim.style, self.arrival)


@dataclass(frozen=True, slots=True)
class Roamer(PersonPersona):
    """Changes networks all day: trains, cafés, and for `hosted` of the sessions a rented tunnel.

    `moves`: new addresses a day; `meets`: people met on the way and written to a day.
    """

    name: ClassVar[str] = "roamer"
    moves: tuple[int, int] = (4, 16)
    hosted: float = 0.3
    meets: tuple[int, int] = (0, 6)
    known: float = 0.5

    def play(self, sim: SimulationContext, accounts: Ints) -> None:
        """Plan the persona."""
        rng, people, pool = sim.rng, sim.people, sim.pool
        for who in accounts.tolist():
            for span in working_hours(sim, 6, 24, who):
                ts = np.sort(rng.integers(*span, int(rng.integers(*self.moves))))
                tunnel = rng.random(len(ts)) < self.hosted
                plain = pool.codes(draw_addresses(rng, _CONSUMER, len(ts)))
                rented = pool.codes(draw_addresses(rng, HOSTING, len(ts)))
                ip = np.where(tunnel, rented, plain)
                me = np.full(len(ts), who)
                sim.add_sessions(ts, me, ip, int(people.device[who]), int(people.client[who]))
                peer = people.draw_acquaintances(rng, who, int(rng.integers(*self.meets)), 2000.0)
                met = draw_conversations(
                    sim,
                    sim.style,
                    rng.integers(*span, len(peer)),
                    np.array(who),
                    peer,
                    known=self.known,
                    back=0.7,
                    silent=0.15,
                )
                add_conversations(sim, met, sim.style)


@dataclass(frozen=True, slots=True)
class SharedPhone(PersonPersona):
    """Families with one phone for `size` people; `new` of them register on it one by one."""

    name: ClassVar[str] = "shared-phone"
    size: int = 3
    new: float = 0.5
    arrival: NewcomerBehaviour = field(
        default=NewcomerBehaviour(book=40.0, first_chats=6.0, attested=0.8)
    )

    def prepare(self, sim: SimulationContext, accounts: int) -> Ints:
        """Choose families, and give each its phone and line."""
        people = sim.people
        who = sim.assign_people(accounts, self.name)
        for first in range(0, accounts, self.size):
            family = who[first : first + self.size]
            for given in (people.device, people.client, people.home, people.carrier, people.work):
                given[family] = given[family[0]]
        new = who[sim.rng.random(accounts) < self.new]
        people.registered_at[new] = sim.draw_times(0.02, 0.6, len(new))
        return who

    def play(self, sim: SimulationContext, accounts: Ints) -> None:
        """Plan the persona."""
        registered_at = sim.people.registered_at[accounts]
        add_newcomers(sim, accounts[registered_at != BEFORE_START], sim.style, self.arrival)


@dataclass(frozen=True, slots=True)
class OfficeNat(PersonPersona):
    """A firm that takes up the messenger: its people register within hours, behind one address.

    They have the same client, and write to each other and to some customers.
    """

    name: ClassVar[str] = "office-nat"
    size: int = 25
    within: float = 4.0
    writes: tuple[int, int] = (4, 15)
    arrival: NewcomerBehaviour = field(
        default=NewcomerBehaviour(
            book=60.0, first_chats=8.0, within=3.0 * HOUR_MS, mobile=0.0, attested=0.9
        )
    )

    def prepare(self, sim: SimulationContext, accounts: int) -> Ints:
        """Choose firms, and give each its address and client."""
        rng, people, pool = sim.rng, sim.people, sim.pool
        who = sim.assign_people(accounts, self.name)
        for office in self._offices(who):
            address = pool.code(draw_addresses(rng, _CONSUMER, 1)[0])
            for networks in (people.home, people.work):
                networks[office] = address
            people.client[office] = people.client[office[0]]
            day = int(sim.draw_times(0.02, 0.6, 1)[0])
            people.registered_at[office] = day + (
                rng.random(len(office)) * self.within * HOUR_MS
            ).astype(int)
        return who

    def play(self, sim: SimulationContext, accounts: Ints) -> None:
        """Plan the persona."""
        rng, registered_at = sim.rng, sim.people.registered_at
        add_newcomers(sim, accounts, sim.style, self.arrival)
        for office in self._offices(accounts):
            for who in office.tolist():
                peer = rng.choice(office, int(rng.integers(*self.writes)))
                ready = np.maximum(registered_at[peer], registered_at[who]) + 10 * MINUTE_MS
                start = ready + (rng.random(len(peer)) * 8 * HOUR_MS).astype(np.int64)
                real = peer != who
                opened = draw_conversations(
                    sim, sim.style, start[real], np.array(who), peer[real], known=0.6, back=0.6
                )
                add_conversations(sim, opened, sim.style)

    def _offices(self, who: Ints) -> list[Ints]:
        return [who[first : first + self.size] for first in range(0, len(who), self.size)]
