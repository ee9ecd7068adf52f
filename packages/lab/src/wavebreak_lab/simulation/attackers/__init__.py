"""Attackers: bulk senders with one set of parameters, stepped through time, that react to feedback.

A campaign plays a sender without feedback, as if no platform defended itself. To add a campaign,
give its parameters in `presets.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from wavebreak.durations import HOUR_MS
from wavebreak_lab.simulation.attackers.actions import (
    ADD,
    CHAT,
    MESSAGE,
    PAID,
    REPORT,
    Acts,
    add_consequences,
    add_dialogues,
    concat_acts,
)
from wavebreak_lab.simulation.attackers.config import OperatorFeedback, Sender
from wavebreak_lab.simulation.attackers.operator import Operator
from wavebreak_lab.simulation.attackers.presets import (
    BUSINESS_APP_PRESETS,
    CALL_PRESETS,
    EVASION_PRESETS,
    PATIENT_PRESETS,
    PRESETS,
    REACTION_PRESETS,
    TOOL_PRESETS,
    Preset,
)
from wavebreak_lab.simulation.context import SimulationContext
from wavebreak_lab.simulation.log import Ints

__all__ = [
    "ADD",
    "APP_CAMPAIGNS",
    "CALL_CAMPAIGNS",
    "CAMPAIGNS",
    "CHAT",
    "EVASION_PRESETS",
    "EVERY_CAMPAIGN",
    "MESSAGE",
    "PAID",
    "PRESETS",
    "REACTION_PRESETS",
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
        for low in range(sim.start, sim.end, HOUR_MS):
            acts = team.step(sim, low, min(low + HOUR_MS, sim.end))
            answered_acts, replied_at = add_consequences(sim, acts, team.reading)
            team.record_replies(answered_acts, replied_at)
            add_dialogues(sim, self.sender, answered_acts.account, answered_acts.peer, replied_at)


def _campaigns(presets: dict[str, Preset]) -> dict[str, Campaign]:
    return {name: Campaign(name, preset.tactic, preset.sender) for name, preset in presets.items()}


CAMPAIGNS = _campaigns(PRESETS | TOOL_PRESETS)
"""Campaigns of a simulated day by name: tactics in their order, the combination, presets of a
public tool."""

EVERY_CAMPAIGN = CAMPAIGNS | _campaigns(PATIENT_PRESETS | EVASION_PRESETS)
"""Campaigns of a simulated day, of patient senders, and of the evasion tool."""

CALL_CAMPAIGNS = _campaigns(CALL_PRESETS)
"""Campaigns of platforms that have calls."""

APP_CAMPAIGNS = _campaigns(BUSINESS_APP_PRESETS)
"""Campaigns from the business app: only worlds that ask for it have any."""
