"""Attackers: bulk senders with one set of parameters, stepped through time, that react to feedback.

A campaign plays a sender without feedback, as if no platform defended itself. To add a campaign,
give its parameters in `presets.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from wavebreak.simulation.attackers.actions import (
    ADD,
    CHAT,
    MESSAGE,
    REPORT,
    Acts,
    add_consequences,
    concat_acts,
)
from wavebreak.simulation.attackers.config import OperatorFeedback, Sender
from wavebreak.simulation.attackers.operator import Operator
from wavebreak.simulation.attackers.presets import PRESETS, TOOL_PRESETS, Preset
from wavebreak.simulation.context import SimulationContext
from wavebreak.simulation.geography import HOUR
from wavebreak.simulation.log import Ints

__all__ = [
    "ADD",
    "CAMPAIGNS",
    "CHAT",
    "MESSAGE",
    "PRESETS",
    "REPORT",
    "TOOL_PRESETS",
    "Acts",
    "Campaign",
    "Operator",
    "OperatorFeedback",
    "Preset",
    "Sender",
    "add_consequences",
    "concat_acts",
]


@dataclass(frozen=True, slots=True)
class Campaign:
    """One tactic played by `accounts` accounts of an operator; see `Sender` for its parameters."""

    name: str
    tactic: int
    sender: Sender
    accounts: int = 20

    def play(self, sim: SimulationContext, operator: str) -> None:
        """Plan all that the accounts do and what it makes people do."""
        self.play_against(sim, operator, None)

    def play_against(self, sim: SimulationContext, operator: str, victims: Ints | None) -> None:
        """Plan it against given victims, where the work has victims."""
        team = Operator(sim, operator, self.name, self.sender, self.accounts, victims=victims)
        for low in range(sim.start, sim.end, HOUR):
            done = team.step(sim, low, min(low + HOUR, sim.end))
            team.record_replies(*add_consequences(sim, done, team.reading))


CAMPAIGNS: dict[str, Campaign] = {
    name: Campaign(name, preset.tactic, preset.sender)
    for name, preset in (PRESETS | TOOL_PRESETS).items()
}
"""Every campaign by its name: tactics in their order, the combination, presets of a public tool."""
