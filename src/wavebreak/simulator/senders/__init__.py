"""Bulk senders: one composable set of parameters, stepped through time, that hears our answers."""

from wavebreak.simulator.senders.following import ADD, CHAT, MESSAGE, REPORT, Acts, follow, together
from wavebreak.simulator.senders.parameters import Answer, Sender
from wavebreak.simulator.senders.presets import PRESETS, TOOL_PRESETS, Preset
from wavebreak.simulator.senders.team import Operator

__all__ = [
    "ADD",
    "CHAT",
    "MESSAGE",
    "PRESETS",
    "REPORT",
    "TOOL_PRESETS",
    "Acts",
    "Answer",
    "Operator",
    "Preset",
    "Sender",
    "follow",
    "together",
]
