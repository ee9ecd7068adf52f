"""What is known now of the accounts of cases: facts for a row, and harm left to prevent.

A case is opened by a decision, and the account lives on: its outcome ends, it falls silent, or it
goes on writing. One query of the engine reads the accounts of a page, or of a pass of the indexer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from wavebreak.engine.account_queries import LiveAccount
from wavebreak.linking import Operator
from wavebreak.outcomes import REFUSING_ALL, SILENCING
from wavebreak_server.slices.config import Queue
from wavebreak_server.slices.queue.models import ReviewCase
from wavebreak_server.slices.queue.service import (
    Priority,
    chance_of_abuse,
    reach_of,
    waiting,
    weighed,
)

MOST_OF_A_HAND = 500
"""Accounts of an operator whose cases are counted for its card."""


def priority_left(settings: Queue, case: ReviewCase, live: LiveAccount) -> Priority:
    """Return the priority of a case by the harm that is left to prevent.

    To the holder by what is in force now, and to the people whom the account may still reach at
    the pace of its last day. The chance of abuse is that of the case's decision.
    """
    chance = chance_of_abuse(settings, case.basis, case.score)
    reach = 0.0 if live.outcome in REFUSING_ALL else reach_of(live.new_chats_1d)
    return weighed(settings, live.outcome, chance, reach, case.why)


def can_change(settings: Queue, live: LiveAccount, priority: Priority) -> bool:
    """Whether a decision could still change something that is worth a person's time.

    Not where the account is deleted, nor where nothing is in force and nobody new was written to in
    a day, nor where less is left to prevent than makes a case.
    """
    if live.gone:
        return False
    return live.outcome in SILENCING or priority.value >= settings.least_priority


class RowFacts(NamedTuple):
    """What a row of the queue says.

    Attributes:
        live: The account now (None: the log does not contain it).
        reasons: Its strongest reasons, in words.
        operator: The operator that it seems to be of (None: none).
    """

    live: LiveAccount | None
    reasons: list[str]
    operator: Operator | None = None

    @property
    def bars(self) -> list[tuple[int, float, float]]:
        """Left edge, top edge and height of the sparkline's bars, in a box of 64 by 16."""
        recent = self.live.recent if self.live else ()
        most = max(recent, default=0)
        heights = [max(1.0, round(16 * n / most, 1)) if n else 0.0 for n in recent]
        return [(4 * k, round(16 - high, 1), high) for k, high in enumerate(heights) if high]


class Hand(NamedTuple):
    """Accounts of one hand: their operator, and how many of its cases are in the queue."""

    operator: Operator
    waiting: int


def hands_of(rows: Sequence[RowFacts], most: int) -> list[Hand]:
    """Return the operators of some rows that have two cases or more in the queue, most first."""
    found = {row.operator.id: row.operator for row in rows if row.operator is not None}
    chosen = list(found.values())[: 4 * most]
    accounts = [a for operator in chosen for a in operator.accounts[:MOST_OF_A_HAND]]
    waits = set(waiting().filter(account__in=accounts).values_list("account", flat=True))
    hands = [Hand(each, len(waits.intersection(each.accounts))) for each in chosen]
    hands.sort(key=lambda hand: -hand.waiting)
    return [hand for hand in hands if hand.waiting > 1][:most]
