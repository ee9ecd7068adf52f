"""Benign cohorts: many who register in one evening, on one network or from one row of numbers.

A cohort looks like an operator's accounts at registration, and its members write to each other as
strangers. What tells it apart is that they answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from wavebreak.durations import HOUR_MS, MINUTE_MS
from wavebreak_lab.simulation.context import SimulationContext
from wavebreak_lab.simulation.conversations import add_conversations, draw_conversations
from wavebreak_lab.simulation.geography import COUNTRIES, draw_addresses, draw_number_block
from wavebreak_lab.simulation.log import Ints
from wavebreak_lab.simulation.newcomers import NewcomerBehaviour, add_newcomers
from wavebreak_lab.simulation.personas.persona import PersonPersona
from wavebreak_lab.simulation.population import draw_devices

_CONSUMER = tuple(a for place in COUNTRIES for a in (*place.homes, *place.carriers))
_MOBILES = tuple(block for place in COUNTRIES for block in place.mobile)


@dataclass(frozen=True, slots=True)
class Cohort(PersonPersona):
    """People who arrive together.

    `size` people a cohort register `within` hours. They share one /24 network with `addresses`
    addresses (0: each on its own line), `models` device fingerprints (0: each its own), and numbers
    within `spread` of each other (0: from anywhere). Each writes to `writes` others of the cohort,
    of whom `known` have the number and `silent` do not answer, within `over` hours; unless it
    never `meets`.
    """

    meets: ClassVar[bool] = True
    size: int = 60
    within: float = 3.0
    addresses: int = 1
    models: int = 0
    spread: int = 0
    writes: tuple[int, int] = (3, 12)
    known: float = 0.2
    silent: float = 0.25
    over: float = 12.0
    arrival: NewcomerBehaviour = field(
        default=NewcomerBehaviour(first_chats=5.0, mobile=0.0, attested=0.9)
    )

    def prepare(self, sim: SimulationContext, accounts: int) -> Ints:
        """Choose cohorts; give each its network, phones and numbers, and an evening."""
        rng, people, pool = sim.rng, sim.people, sim.pool
        who = sim.assign_people(accounts, self.name)
        for cohort in self._cohorts(who):
            count = len(cohort)
            if self.addresses:
                base = draw_addresses(rng, _CONSUMER, 1)[0].rpartition(".")[0]
                last = rng.choice(np.arange(1, 255), min(self.addresses, 254), replace=False)
                lines = pool.codes(f"{base}.{x}" for x in last.tolist())
                for networks in (people.home, people.work, people.carrier):
                    networks[cohort] = lines[rng.integers(0, len(lines), count)]
            if self.models:
                models = draw_devices(rng, pool, self.models)
                people.device[cohort] = models[rng.integers(0, self.models, count)]
            if self.spread:
                block = _MOBILES[int(rng.integers(len(_MOBILES)))]
                people.phone[cohort] = pool.codes(draw_number_block(rng, block, count, self.spread))
            evening = int(sim.draw_times(0.05, 0.7, 1)[0])
            late = rng.beta(1.5, 3.0, count) * self.within * HOUR_MS
            people.registered_at[cohort] = np.minimum(evening + late.astype(np.int64), sim.end - 1)
        return who

    def play(self, sim: SimulationContext, accounts: Ints) -> None:
        """Plan how they register, tell friends, and get to know each other."""
        rng, registered_at = sim.rng, sim.people.registered_at
        add_newcomers(sim, accounts, sim.style, self.arrival)
        for cohort in self._cohorts(accounts) if self.meets else ():
            one = np.repeat(cohort, rng.integers(*self.writes, len(cohort)))
            other = rng.choice(cohort, len(one))
            ready = np.maximum(registered_at[one], registered_at[other]) + 2 * MINUTE_MS
            start = ready + (rng.random(len(one)) ** 2 * self.over * HOUR_MS).astype(np.int64)
            real = one != other
            met = draw_conversations(
                sim,
                sim.style,
                start[real],
                one[real],
                other[real],
                known=self.known,
                back=0.5,
                silent=self.silent,
            )
            add_conversations(sim, met, sim.style)

    def _cohorts(self, who: Ints) -> list[Ints]:
        return [who[first : first + self.size] for first in range(0, len(who), self.size)]


@dataclass(frozen=True, slots=True)
class Campus(Cohort):
    """Students who register in the first evening of term, on the campus network."""

    name: ClassVar[str] = "campus"
    size: int = 120
    addresses: int = 12
    writes: tuple[int, int] = (4, 25)


@dataclass(frozen=True, slots=True)
class RollOut(Cohort):
    """Staff whom a firm enrols behind one address, on phones of one model, in working hours."""

    name: ClassVar[str] = "roll-out"
    size: int = 80
    within: float = 6.0
    models: int = 2
    known: float = 0.5
    silent: float = 0.15


@dataclass(frozen=True, slots=True)
class Camp(Cohort):
    """Families of a camp or shelter: one line, old phones, few attested, empty address books."""

    name: ClassVar[str] = "camp"
    within: float = 8.0
    models: int = 6
    silent: float = 0.35
    arrival: NewcomerBehaviour = field(
        default=NewcomerBehaviour(
            book=6.0, found=0.5, first_chats=7.0, known=0.15, attested=0.3, retries=0.4, mobile=0.2
        )
    )


@dataclass(frozen=True, slots=True)
class Event(Cohort):
    """Visitors of a fair or festival: they register there and write to many whom they just met."""

    name: ClassVar[str] = "event"
    size: int = 100
    addresses: int = 4
    writes: tuple[int, int] = (6, 40)
    known: float = 0.05
    silent: float = 0.45
    over: float = 6.0


@dataclass(frozen=True, slots=True)
class SimPromotion(Cohort):
    """Buyers of a carrier's SIM cards on one day: neighbouring numbers, nothing else in common."""

    name: ClassVar[str] = "sim-promotion"
    meets: ClassVar[bool] = False
    within: float = 12.0
    addresses: int = 0
    spread: int = 2000
    arrival: NewcomerBehaviour = field(
        default=NewcomerBehaviour(first_chats=10.0, mobile=1.0, known=0.2, attested=0.8)
    )


COHORTS: dict[str, type[Cohort]] = {
    kind.name: kind for kind in (Campus, RollOut, Camp, Event, SimPromotion)
}
"""Every cohort by name."""
