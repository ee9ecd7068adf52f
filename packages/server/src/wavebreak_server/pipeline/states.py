"""Enforcement states as platforms read them: outcome, end and time of notification by account.

A state is what the newest decision on an account left, read from the table of enforcement states
and the decision that each names, which is authenticated. An outcome whose end has passed by the
service's clock is not in force; a state that was read earlier is folded by its reader.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
from django.db import connection
from django.db.models import Q
from msgspec import UNSET, UnsetType

from wavebreak.engine.enforcement import notification_time
from wavebreak.outcomes import WITHOUT_NOTICE
from wavebreak.rules import Feedback
from wavebreak_server.pipeline.decide import outcome_in_force
from wavebreak_server.pipeline.decider import AsOf
from wavebreak_server.storage.authentic_rows import checked, checked_decisions
from wavebreak_server.storage.models import Decision, EnforcementState, StateChange

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
    `as_of` is there where a job on Flink decides: how far it had.
    """

    states: tuple[State, ...]
    next: int | None
    number: int
    as_of: AsOf | UnsetType = UNSET


class States(msgspec.Struct, frozen=True):
    """States of accounts, in the order in which they were asked for; `as_of` as of a page."""

    states: tuple[State, ...]
    as_of: AsOf | UnsetType = UNSET


class StateTerms(NamedTuple):
    """What a state depends on beside its decision: delays of notices, and what can be asked.

    `challenges` says whether a challenge can be asked; where it cannot, it is a limit.
    """

    feedback: Feedback
    challenges: bool = True


def state_of(row: Decision, terms: StateTerms) -> State:
    """Return the state that a stored decision leaves."""
    notified = row.outcome not in WITHOUT_NOTICE
    feedback = terms.feedback
    return State(
        row.account,
        outcome_in_force(row.outcome, challenges=terms.challenges),
        row.until,
        notification_time(feedback, row.id, row.ts, row.outcome, row.until) if notified else None,
        row.number,
    )


def newest_number() -> int:
    """Return the number of the newest stored decision (0: none)."""
    with connection.cursor() as cursor:
        cursor.execute(_NEWEST)
        found = cursor.fetchone()
    return int(found[0]) if found else 0


def states_page(
    since: int, limit: int, now_ms: int, terms: StateTerms, as_of: AsOf | None = None
) -> StatesPage:
    """Return a page of the states that are in force.

    Args:
        since: States of decisions with a higher number.
        limit: States of the page.
        now_ms: The service's clock.
        terms: What states depend on beside their decisions.
        as_of: How far the job has decided that decides (None: none does).

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
    states = tuple(state_of(row, terms) for row in rows[:limit])
    following = states[-1].number if len(rows) > limit else None
    return StatesPage(states, following, number, as_of or UNSET)


def states_of(accounts: Sequence[str], now_ms: int, terms: StateTerms) -> tuple[State, ...]:
    """Return the state of each account, in order; `allow` for one without a decision.

    Raises:
        ServiceError: A decision was changed since it was stored.
    """
    named = EnforcementState.objects.filter(account__in=set(accounts)).exclude(outcome=ALLOW)
    numbers = list(named.values_list("decision", flat=True))
    rows = checked_decisions(Decision.objects.filter(number__in=numbers))
    found = {row.account: folded(state_of(row, terms), now_ms) for row in rows}
    return tuple(found.get(account) or State(account, ALLOW) for account in accounts)


class StreamPosition(NamedTuple):
    """How far a reader is: the last decision's number, the last change's, and where it began."""

    number: int
    change: int
    since: int

    @classmethod
    def begin(cls, since: int) -> StreamPosition:
        """Return the position of who has every decision up to a number.

        What changed without a decision after that one is sent to it, again where it had that.
        """
        return cls(since, 0, since)


def states_after(
    at: StreamPosition, limit: int, terms: StateTerms
) -> list[tuple[StreamPosition, State]]:
    """Return what came after a position, lifts included, in order, each with its position.

    That is what each decision left, and what changed without one (see `state_changes`).

    Raises:
        ServiceError: A decision or a change was changed since it was stored.
    """
    decisions = checked_decisions(Decision.objects.after(at.number)[:limit])
    changes = checked(StateChange.objects.filter(after__gte=at.since).after(at.change)[:limit])
    found: list[tuple[tuple[int, int], State]] = [
        ((row.number, 0), state_of(row, terms)) for row in decisions
    ]
    found += zip(
        [(change.after, change.number) for change in changes],
        changed_states(changes, terms),
        strict=True,
    )
    passed: list[tuple[StreamPosition, State]] = []
    for (number, change), state in sorted(found, key=lambda one: one[0])[:limit]:
        at = StreamPosition(max(at.number, number), max(at.change, change), at.since)
        passed.append((at, state))
    return passed


def changed_states(changes: Sequence[StateChange], terms: StateTerms) -> list[State]:
    """Return the states that changes without a decision have left, in order.

    Raises:
        ServiceError: A decision was changed since it was stored.
    """
    numbers = {change.decision for change in changes if not change.lifted}
    rows = {
        row.number: row for row in checked_decisions(Decision.objects.filter(number__in=numbers))
    }
    return [
        State(change.account, ALLOW, number=change.after)
        if change.lifted
        else msgspec.structs.replace(state_of(rows[change.decision], terms), number=change.after)
        for change in changes
    ]


def folded(state: State, now_ms: int) -> State:
    """Return a state as it is at a time: `allow` where its outcome has ended.

    >>> folded(State("ann", "limit", 5_000, 0, 7), 5_000)
    State(account='ann', outcome='allow', until_ms=None, notify_at_ms=None, number=7)
    """
    if state.until_ms is None or state.until_ms > now_ms:
        return state
    return State(state.account, ALLOW, number=state.number)
