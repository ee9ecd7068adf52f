"""Campaigns: what bulk senders do, one frozen class a tactic of adversaries.md.

To add one: write a frozen dataclass with `name`, `tactic`, `accounts` and `play`, and put it in
`CAMPAIGNS`.
"""

from __future__ import annotations

from typing import ClassVar, Protocol

from wavebreak.simulator.campaigns.evading import PreVerification, Proxies, Sharding, VirtualNumbers
from wavebreak.simulator.campaigns.sending import Blast, Jitter, Typing, WarmUp
from wavebreak.simulator.campaigns.turning import GroupAdder, Hijack, MassReports
from wavebreak.simulator.scene import Scene


class Campaign(Protocol):
    """One tactic with its parameters; `tactic` is its number in adversaries.md."""

    name: ClassVar[str]
    tactic: ClassVar[int]

    @property
    def accounts(self) -> int:
        """How many accounts the operator uses."""

    def play(self, scene: Scene, operator: str) -> None:
        """Plan all that the operator's accounts do and what it makes people do."""


CAMPAIGNS: dict[str, type[Campaign]] = {
    kind.name: kind
    for kind in (
        Blast, Jitter, WarmUp, Typing, Sharding, Proxies, PreVerification, VirtualNumbers, Hijack,
        MassReports, GroupAdder,
    )
}  # fmt: skip
"""Every campaign by its name, in the order of the tactics."""

__all__ = ["CAMPAIGNS", "Campaign"]
