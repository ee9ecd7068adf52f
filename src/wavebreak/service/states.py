"""Enforcement states as platforms read them: outcome, end and time of notification by account.

A state is what the newest decision on an account left, read from the table of enforcement states
and the decision that each names, which is authenticated. An outcome whose end has passed by the
service's clock is not in force; a state that was read earlier is folded by its reader.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from django.db import connection
from django.db.models import Q

from wavebreak.engine.enforcement import notification_time
from wavebreak.rules import Feedback
from wavebreak.service.authentic_rows import checked_decisions
from wavebreak.service.holder_notices import WITHOUT_NOTICE
from wavebreak.service.models import Decision, EnforcementState

MAX_PAGE, MAX_ACCOUNTS = 10_000, 1_000
"""States of a page, and accounts of a query."""
ALLOW = "allow"
_NEWEST = "SELECT decisions FROM log_applied WHERE id = 1"


class State(msgspec.Struct, frozen=True):
    """An account's enforcement state; `number` is its decision's (0: there was none).

    `until_ms` is the end of the outcome (null: none). The holder is not notified before
    `notify_at_ms` (null: not at all).
    """

    account: str
    outcome: str
    until_ms: int | None = None
    notify_at_ms: int | None = None
    number: int = 0


class StatesPage(msgspec.Struct, frozen=True):
    """The states that are not `allow`, by number; the next page starts at `since` = `next`.

    `number` is that of the newest decision: after the last page, stream from that of the first.
    """

    states: tuple[State, ...]
    next: int | None
    number: int


class States(msgspec.Struct, frozen=True):
    """States of accounts, in the order in which they were asked for."""

    states: tuple[State, ...]


def state_of(row: Decision, feedback: Feedback) -> State:
    """Return the state that a stored decision leaves."""
    notified = row.outcome not in WITHOUT_NOTICE and row.outcome != ALLOW
    return State(
        row.account,
        row.outcome,
        row.until,
        notification_time(feedback, row.id, row.ts, row.outcome) if notified else None,
        row.number,
    )


def newest_number() -> int:
    """Return the number of the newest stored decision (0: none)."""
    with connection.cursor() as cursor:
        cursor.execute(_NEWEST)
        found = cursor.fetchone()
    return int(found[0]) if found else 0


def states_page(since: int, limit: int, now_ms: int, feedback: Feedback) -> StatesPage:
    """Return a page of the states that are in force.

    Args:
        since: States of decisions with a higher number.
        limit: States of the page.
        now_ms: The service's clock.
        feedback: The policy's delays of notices.

    Raises:
        ServiceError: A decision was changed since it was stored.
    """
    # Read first: what is decided meanwhile is in the stream from this number on.
    number = newest_number()
    held = EnforcementState.objects.filter(decision__gt=since).exclude(outcome=ALLOW)
    held = held.filter(Q(until=None) | Q(until__gt=now_ms)).order_by("decision")
    numbers = held.values_list("decision", flat=True)[: limit + 1]
    found = Decision.objects.filter(number__in=numbers).order_by("number")
    rows = checked_decisions(found)
    states = tuple(state_of(row, feedback) for row in rows[:limit])
    return StatesPage(states, states[-1].number if len(rows) > limit else None, number)


def states_of(accounts: Sequence[str], now_ms: int, feedback: Feedback) -> tuple[State, ...]:
    """Return the state of each account, in order; `allow` for one without a decision.

    Raises:
        ServiceError: A decision was changed since it was stored.
    """
    named = EnforcementState.objects.filter(account__in=set(accounts)).exclude(outcome=ALLOW)
    numbers = list(named.values_list("decision", flat=True))
    rows = checked_decisions(Decision.objects.filter(number__in=numbers))
    found = {row.account: folded(state_of(row, feedback), now_ms) for row in rows}
    return tuple(found.get(account) or State(account, ALLOW) for account in accounts)


def states_after(since: int, limit: int, feedback: Feedback) -> list[State]:
    """Return what each decision after a number left, lifts included, in order.

    Raises:
        ServiceError: A decision was changed since it was stored.
    """
    rows: Iterable[Decision] = checked_decisions(Decision.objects.after(since)[:limit])
    return [state_of(row, feedback) for row in rows]


def folded(state: State, now_ms: int) -> State:
    """Return a state as it is at a time: `allow` where its outcome has ended.

    >>> folded(State("ann", "limit", 5_000, 0, 7), 5_000)
    State(account='ann', outcome='allow', until_ms=None, notify_at_ms=None, number=7)
    """
    if state.until_ms is None or state.until_ms > now_ms:
        return state
    return State(state.account, ALLOW, number=state.number)
