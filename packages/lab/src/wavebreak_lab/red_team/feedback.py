"""Feedback of decisions to the operators of the accounts: delayed, instant, or never."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Literal

from wavebreak.durations import HOUR_MS, SECOND_MS
from wavebreak.engine.decision import Decision
from wavebreak.engine.enforcement import notification_time
from wavebreak.outcomes import PERCEPTIBLE
from wavebreak.rules import Feedback
from wavebreak_lab.red_team.config import MissingReceipts
from wavebreak_lab.simulation.attackers import OperatorFeedback

FeedbackMode = Literal["delayed", "instant", "never"]
"""When operators learn of decisions: with the policy's delay, at once, or not at all."""

NEVER = 1 << 62


@dataclass(slots=True)
class _AccountFeedback:
    """One account: when its operator knows the outcome, refusals, and its last notification."""

    known_at: int = NEVER
    refused: int = 0
    refused_since: int = NEVER
    notified_at: int = -NEVER


class FeedbackQueue:
    """Decisions and refusals, queued until the operator of the account gets them."""

    def __init__(
        self, mode: FeedbackMode, policy: Feedback, missing_receipts: MissingReceipts
    ) -> None:
        self._mode, self._policy, self._missing_receipts = mode, policy, missing_receipts
        self._accounts: dict[int, _AccountFeedback] = {}
        self._queue: list[tuple[int, int, str, int]] = []

    def add_decision(self, account: int, decision: Decision) -> None:
        """Queue a decision on an operator's account."""
        if decision.outcome not in PERCEPTIBLE or self._mode == "never":
            return
        state = self._accounts.setdefault(account, _AccountFeedback())
        state.known_at = decision.ts
        if self._mode == "delayed":
            state.known_at = notification_time(
                self._policy, decision.id, decision.ts, decision.outcome, decision.until
            )
        until = decision.until or 0
        heapq.heappush(self._queue, (state.known_at, account, decision.outcome, until))

    def add_refusals(self, account: int, count: int, now: int) -> None:
        """Queue refused acts: an error once the outcome is known, before that a missing receipt.

        An operator learns of an account's refusals once an hour at most, so that it does not
        change its plan at each of them.
        """
        state = self._accounts.setdefault(account, _AccountFeedback())
        state.refused += count
        state.refused_since = min(state.refused_since, now)
        if now < state.notified_at + HOUR_MS:
            return
        limit = self._missing_receipts
        if state.known_at <= now:
            heapq.heappush(self._queue, (now, account, "refused", 0))
        elif now - state.refused_since >= limit.seconds * SECOND_MS and state.refused >= limit.acts:
            heapq.heappush(self._queue, (now, account, "silence", 0))
        else:
            return
        state.notified_at = now

    def add_delivery(self, account: int) -> None:
        """Record a delivered act: receipts are no longer missing."""
        state = self._accounts.get(account)
        if state:
            state.refused, state.refused_since = 0, NEVER

    def next_at(self) -> int:
        """Return when the next feedback is due (milliseconds)."""
        return self._queue[0][0] if self._queue else NEVER

    def pop_due(self, now: int) -> list[OperatorFeedback]:
        """Remove and return the feedback that is due by now."""
        due = []
        while self._queue and self._queue[0][0] <= now:
            ts, account, kind, until = heapq.heappop(self._queue)
            due.append(OperatorFeedback(account, kind, max(ts, 0), until))
        return due
