"""Changes of enforcement states that no decision is made for, as platforms learn of them.

Where the service begins to enforce, what was found in shadow is lifted; where a source comes that
cannot ask for a challenge, a challenge becomes a limit. Nothing in the log says so, and a replay
makes no decision of it. The stream of states and webhooks send each such change after the newest
decision of its time, under that decision's number: of two states of an account with one number the
later one holds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from itertools import groupby, islice
from typing import Any

import msgspec
from django.db import transaction
from django.db.models import Max

from wavebreak.ledger.entries import StatesEntry
from wavebreak_server.storage.models import AppliedPosition, Decision, EnforcementState, StateChange

_CHUNK = 2_000
MAX_SEALED = 10_000
"""Changes that one entry of the ledger names."""
ALLOW, CHALLENGE = "allow", "challenge"


def lift_all() -> None:
    """Lift every state, in the open transaction: the engine has cleared its outcomes."""
    _note(EnforcementState.objects.exclude(outcome=ALLOW), lifted=True)
    EnforcementState.objects.all().delete()


def show_challenges_anew() -> None:
    """Note that each challenge in force is a limit from now on, or a challenge again."""
    with transaction.atomic():
        _note(EnforcementState.objects.filter(outcome=CHALLENGE), lifted=False)


def newest() -> int:
    """Return the number of the newest change (0: none)."""
    return int(StateChange.objects.aggregate(newest=Max("number"))["newest"] or 0)


def undo(since: int) -> None:
    """Take back the changes after a number, with the states that were lifted."""
    with transaction.atomic():
        undone = StateChange.objects.after(since)
        numbers = undone.filter(lifted=True).values_list("decision", flat=True)
        EnforcementState.objects.bulk_create(
            [
                EnforcementState(
                    account=row.account,
                    outcome=row.outcome,
                    until=row.until,
                    ts=row.ts,
                    decision=row.number,
                )
                for row in Decision.objects.filter(number__in=numbers).iterator(_CHUNK)
            ],
            ignore_conflicts=True,
        )
        undone.delete()


def sealed_as(rows: Iterable[StateChange]) -> str:
    """Return the SHA-256 by which an entry of the ledger names changes, with their MACs."""
    digest = hashlib.sha256()
    for row in rows:
        mac = bytes(row.mac or b"")
        digest.update(msgspec.msgpack.encode([*row.authenticated_values(), mac]))
    return digest.hexdigest()


def entries_of(rows: Iterable[StateChange]) -> Iterator[StatesEntry]:
    """Yield what the ledger says of changes in order: an entry for those without a gap."""
    numbered = ((row.number - place, row) for place, row in enumerate(rows))
    for _, found in groupby(numbered, key=lambda one: one[0]):
        run = (row for _, row in found)
        while some := list(islice(run, MAX_SEALED)):
            yield StatesEntry(some[0].number, len(some), sealed_as(some))


def _note(states: Any, *, lifted: bool) -> None:
    """Note a change of each state, after the newest decision."""
    after = int(AppliedPosition.objects.values_list("decisions", flat=True).get(id=1))
    number, changes = newest(), list[StateChange]()
    for account, decision in states.order_by("account").values_list("account", "decision"):
        number += 1
        change = StateChange(
            number=number, account=account, after=after, decision=decision, lifted=lifted
        )
        change.authenticate()
        changes.append(change)
    StateChange.objects.bulk_create(changes, batch_size=_CHUNK)
