"""Benign personas: people and businesses whose legitimate messaging resembles bulk sending.

Each one is a hard negative for detection. To add one, write a frozen dataclass with `name`,
`in_population` and `play`, and list it in `PERSONAS` (a cohort in `COHORTS`).
"""

from __future__ import annotations

from typing import ClassVar, Protocol

from wavebreak_lab.simulation.context import SimulationContext
from wavebreak_lab.simulation.log import Ints
from wavebreak_lab.simulation.personas.business_app import APP_FIRMS
from wavebreak_lab.simulation.personas.businesses import Newsletter, Radio, Shop, SupportDesk
from wavebreak_lab.simulation.personas.cohorts import COHORTS
from wavebreak_lab.simulation.personas.lookalikes import (
    BareNewcomer,
    Greeter,
    OfficeNat,
    Recruiter,
    Roamer,
    Salesperson,
    SharedPhone,
)
from wavebreak_lab.simulation.personas.people import (
    Accessibility,
    Courier,
    FamilyAbroad,
    IrcRegular,
    NewNumber,
    Organiser,
    PopularStudent,
    Teacher,
)
from wavebreak_lab.simulation.personas.public_rooms import ROOM_PERSONAS
from wavebreak_lab.simulation.personas.victims import HijackOwner, VictimOfFlood, VictimOfReports


class Persona(Protocol):
    """One kind of hard negative.

    `in_population`: its accounts belong to simulated people, who have family and friends as well.
    `per_person`: accounts of the persona for each simulated person (ten accounts at least).
    """

    name: ClassVar[str]
    in_population: ClassVar[bool]
    per_person: ClassVar[float]

    def prepare(self, sim: SimulationContext, accounts: int) -> Ints:
        """Choose or enrol that many accounts, and change what is special about them."""

    def play(self, sim: SimulationContext, accounts: Ints) -> None:
        """Plan what the accounts do beside everyday life."""


PERSONAS: dict[str, type[Persona]] = {
    kind.name: kind
    for kind in (
        NewNumber, Organiser, Teacher, SupportDesk, Shop, Newsletter, Radio, PopularStudent,
        IrcRegular, Courier, Accessibility, FamilyAbroad, VictimOfReports, VictimOfFlood,
        HijackOwner, Salesperson, Recruiter, Greeter, BareNewcomer, Roamer, SharedPhone, OfficeNat,
    )
}  # fmt: skip
"""Every persona by name, in the order of adversaries.md; then those most like attackers."""

EVERY_PERSONA: dict[str, type[Persona]] = PERSONAS | dict(COHORTS)
"""Those of a simulated day, and the cohorts, which only random platforms draw by themselves."""

__all__ = ["APP_FIRMS", "COHORTS", "EVERY_PERSONA", "PERSONAS", "ROOM_PERSONAS", "Persona"]
