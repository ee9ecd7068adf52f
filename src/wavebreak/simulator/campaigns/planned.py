"""A sender as a campaign: it plays without answers, as if nobody defended."""

from __future__ import annotations

from dataclasses import dataclass

from wavebreak.simulator.log import Ints
from wavebreak.simulator.places import HOUR
from wavebreak.simulator.scene import Scene
from wavebreak.simulator.senders import Operator, Sender, follow


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
