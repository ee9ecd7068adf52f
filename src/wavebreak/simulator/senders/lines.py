"""One account in an operator's hands: what it has planned, how it fares, when it acts next."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from wavebreak.simulator.log import Ints
from wavebreak.simulator.places import DAY
from wavebreak.simulator.senders.pacing import NO_PLAN, Plan
from wavebreak.simulator.senders.scripts import NO_SCRIPT, Script

NEVER = 1 << 62
_NONE: Ints = np.zeros(0, np.int64)


@dataclass(slots=True)
class Line:
    """An account that an operator writes with; times are milliseconds.

    `start` is its first message, `until` when it is retired, `hold` until when it rests after a
    refusal, `pace` its share of the usual pace. `queue` are targets not yet written to, `reached`
    those that were. `rotate` and `reroll` are when address and fingerprint change next, `attempt`
    when it next tries to pass a challenge. `sent` and `answered` count since it last rested.
    """

    account: int
    registered: int
    ip: int
    device: int
    client: int
    place: int
    start: int
    left: int = NEVER
    until: int = NEVER
    day: int = 0
    plan: Plan = NO_PLAN
    at: int = 0
    script: Script = NO_SCRIPT
    read: int = 0
    pace: float = 1.0
    hold: int = 0
    rotate: int = NEVER
    reroll: int = NEVER
    attempt: int = NEVER
    tries: int = 0
    sent: int = 0
    answered: int = 0
    ended: int = NEVER
    queue: Ints = field(default_factory=lambda: _NONE)
    reached: list[Ints] = field(default_factory=list)

    def opens(self) -> int:
        """Return when the day that is not planned yet begins."""
        return self.start + self.day * DAY if self.left > 0 else NEVER

    def due(self) -> int:
        """Return when the account does something next."""
        if self.ended < NEVER:
            return NEVER
        sends = int(self.plan.ts[self.at]) if self.at < len(self.plan) else self.opens()
        script = int(self.script.ts[self.read]) if self.read < len(self.script) else NEVER
        return min(sends, script, self.rotate, self.reroll, self.attempt, self.until)

    def rest(self, until: int) -> None:
        """Send nothing until a time: what was planned before it is dropped, scripts move back."""
        self.hold = until
        self.at = max(self.at, int(np.searchsorted(self.plan.ts, until)))
        self.script = self.script.later(self.read, until)

    def slow(self, rng: np.random.Generator, share: float) -> None:
        """Go on at a share of the pace; what is planned for today is thinned out."""
        self.pace *= share
        kept = np.arange(len(self.plan)) < self.at
        kept |= rng.random(len(kept)) < share
        plan = self.plan
        self.plan = Plan(plan.ts[kept], plan.characters[kept], plan.lead[kept])

    def take(self, before: int) -> Plan:
        """Take the planned messages before a time."""
        plan, first = self.plan, self.at
        self.at = max(first, int(np.searchsorted(plan.ts, before)))
        if self.at == first or self.left <= 0:
            return NO_PLAN
        chosen = slice(first, min(self.at, first + self.left))
        self.left -= chosen.stop - chosen.start
        return Plan(plan.ts[chosen], plan.characters[chosen], plan.lead[chosen])
