"""What operators learn of our answers, and when: at once, late and at random, or never."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Literal

from wavebreak.engine.decision import Decision
from wavebreak.engine.enforcement import told_at
from wavebreak.red_team.config import Silence
from wavebreak.rules import Feedback
from wavebreak.simulation.attackers import OperatorFeedback
from wavebreak.simulation.geography import SECOND

Telling = Literal["delayed", "instant", "never"]
"""How answers are told: as policy says, at once, or not at all."""

_TOLD = ("challenge", "limit", "restrict", "suspend", "ban")
NEVER = 1 << 62


@dataclass(slots=True)
class _Case:
    """What one account was answered: when it will know, and how long no receipt has come."""

    known: int = NEVER
    refused: int = 0
    since: int = NEVER
    told: int = -NEVER


class Desk:
    """Keeps what was decided and refused, and tells each operator when its time has come."""

    def __init__(self, telling: Telling, feedback: Feedback, silence: Silence) -> None:
        self._telling, self._feedback, self._silence = telling, feedback, silence
        self._cases: dict[int, _Case] = {}
        self._due: list[tuple[int, int, str]] = []

    def decided(self, account: int, decision: Decision) -> None:
        """Take a decision on an operator's account."""
        if decision.outcome not in _TOLD or self._telling == "never":
            return
        case = self._cases.setdefault(account, _Case())
        case.known = decision.ts
        if self._telling == "delayed":
            case.known = told_at(self._feedback, decision.id, decision.ts, decision.outcome)
        heapq.heappush(self._due, (case.known, account, decision.outcome))

    def refused(self, account: int, count: int, now: int) -> None:
        """Take note of refused acts: an error where the outcome is known, else a missing receipt.

        An account hears of refusals once an hour at most: it does not plan anew at each of them.
        """
        case = self._cases.setdefault(account, _Case())
        case.refused += count
        case.since = min(case.since, now)
        if now < case.told + 3_600 * SECOND:
            return
        long = now - case.since >= self._silence.seconds * SECOND
        if case.known <= now:
            heapq.heappush(self._due, (now, account, "refused"))
        elif long and case.refused >= self._silence.acts:
            heapq.heappush(self._due, (now, account, "silence"))
        else:
            return
        case.told = now

    def delivered(self, account: int) -> None:
        """Take note that an act went through: the silence is over."""
        case = self._cases.get(account)
        if case:
            case.refused, case.since = 0, NEVER

    def next(self) -> int:
        """Return when somebody learns something next."""
        return self._due[0][0] if self._due else NEVER

    def told(self, now: int) -> list[OperatorFeedback]:
        """Return what is learned by now."""
        answers = []
        while self._due and self._due[0][0] <= now:
            ts, account, kind = heapq.heappop(self._due)
            answers.append(OperatorFeedback(account, kind, max(ts, 0)))
        return answers
