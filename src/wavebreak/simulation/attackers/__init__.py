"""Bulk senders: one composable set of parameters, stepped through time, that hears our answers.

A sender as a campaign: it plays without answers, as if nobody defended.

Campaigns: what bulk senders do, one a tactic of adversaries.md, as if nobody answered them.

To add one: give it parameters in `senders/presets.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from wavebreak.simulation.attackers.actions import (
    ADD,
    CHAT,
    MESSAGE,
    REPORT,
    Acts,
    follow,
    together,
)
from wavebreak.simulation.attackers.config import Answer, Sender
from wavebreak.simulation.attackers.operator import Operator
from wavebreak.simulation.attackers.presets import PRESETS, TOOL_PRESETS, Preset
from wavebreak.simulation.geography import HOUR
from wavebreak.simulation.log import Ints
from wavebreak.simulation.scene import Scene

__all__ = [
    "ADD",
    "CAMPAIGNS",
    "CHAT",
    "MESSAGE",
    "PRESETS",
    "REPORT",
    "TOOL_PRESETS",
    "Acts",
    "Answer",
    "Operator",
    "Planned",
    "Preset",
    "Sender",
    "follow",
    "together",
]


@dataclass(frozen=True, slots=True)
class Planned:
    """One tactic played by `accounts` accounts of an operator; see `Sender` for its parameters."""

    name: str
    tactic: int
    sender: Sender
    accounts: int = 20

    def play(self, scene: Scene, operator: str) -> None:
        """Plan all that the accounts do and what it makes people do."""
        self.against(scene, operator, None)

    def against(self, scene: Scene, operator: str, victims: Ints | None) -> None:
        """Plan it against given victims, where the work has victims."""
        team = Operator(scene, operator, self.name, self.sender, self.accounts, victims=victims)
        for low in range(scene.start, scene.end, HOUR):
            done = team.step(scene, low, min(low + HOUR, scene.end))
            team.met(*follow(scene, done, team.reading))


CAMPAIGNS: dict[str, Planned] = {
    name: Planned(name, preset.tactic, preset.sender)
    for name, preset in (PRESETS | TOOL_PRESETS).items()
}
"""Every campaign by its name: tactics in their order, the combination, presets of a public tool."""
