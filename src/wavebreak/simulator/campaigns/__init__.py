"""Campaigns: what bulk senders do, one a tactic of adversaries.md, as if nobody answered them.

To add one: give it parameters in `senders/presets.py`.
"""

from __future__ import annotations

from wavebreak.simulator.campaigns.planned import Planned
from wavebreak.simulator.senders import PRESETS, TOOL_PRESETS

CAMPAIGNS: dict[str, Planned] = {
    name: Planned(name, preset.tactic, preset.sender)
    for name, preset in (PRESETS | TOOL_PRESETS).items()
}
"""Every campaign by its name: tactics in their order, the combination, presets of a public tool."""

__all__ = ["CAMPAIGNS", "Planned"]
