"""Base class of personas whose accounts belong to simulated people."""

from __future__ import annotations

from typing import ClassVar

from wavebreak_lab.simulation.context import SimulationContext
from wavebreak_lab.simulation.log import Ints


class PersonPersona:
    """A persona whose accounts are people of the world, with families and friends as well.

    `per_person`: how many accounts there are to a person. `prepare` is called for every persona
    before any plays: what it changes about people holds for all that is planned.
    """

    __slots__ = ()
    name: ClassVar[str]
    in_population: ClassVar[bool] = True
    per_person: ClassVar[float] = 0.01

    def prepare(self, sim: SimulationContext, accounts: int) -> Ints:
        """Choose who plays the persona."""
        return sim.assign_people(accounts, self.name)
