"""Decisions that stand on an account, and when the others ended.

An account has one enforcement state, that of the newest decision. A decision ends by itself, with
the state that replaced it, or by a later decision that ends all of them: `allow`, or an outcome
that a person sets. Decisions that a severer one replaced stand behind it: without it they would be
in force. An undo, or a granted appeal, restores such a decision with its exact end.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from django.db.models import Max

from wavebreak.notices.reasons import is_set_by_person
from wavebreak.outcomes import WITHOUT_NOTICE
from wavebreak_server.slices.acts.models import PersonAct
from wavebreak_server.storage.authentic_rows import checked_decisions
from wavebreak_server.storage.models import Decision, StateChange

MAX_DECISIONS = 200


class Trace(NamedTuple):
    """Which decisions of an account stand.

    Attributes:
        standing: The decisions that stand, oldest first; the last one is in force.
        ends: Ends of the others (ms), by id.
        originals: Ids of restored decisions, by the id of the decision that restored them.
    """

    standing: list[Mapping[str, Any]]
    ends: dict[str, int]
    originals: dict[str, str]

    def expire(self, now_ms: int) -> None:
        """End what has ended by itself, and all if the newest has."""
        if self.standing and _has_ended(self.standing[-1], now_ms):
            self.end_all(self.standing[-1]["until"])
        for decision in [each for each in self.standing if _has_ended(each, now_ms)]:
            self.standing.remove(decision)
            self.ends[str(decision["id"])] = decision["until"]

    def end_all(self, end_ms: int) -> None:
        """End every decision that stands."""
        for decision in self.standing:
            self.ends[str(decision["id"])] = min(end_ms, decision["until"] or end_ms)
        self.standing.clear()


def _has_ended(decision: Mapping[str, Any], now_ms: int) -> bool:
    return decision["until"] is not None and decision["until"] <= now_ms


def trace(decisions: Iterable[Mapping[str, Any]], now_ms: int) -> Trace:
    """Return which of an account's decisions, oldest first, stand at a time.

    >>> rules = {"basis": "evidence", "rules": ["r"], "outcome": "limit"}
    >>> limit = rules | {"id": "a", "ts": 0, "until": 9}
    >>> ban = rules | {"id": "b", "ts": 3, "until": None, "outcome": "ban"}
    >>> [each["id"] for each in trace([limit, ban], 5).standing]
    ['a', 'b']
    >>> trace([limit, ban], 9).ends
    {'a': 9}
    """
    traced, earlier = Trace([], {}, {}), list[Mapping[str, Any]]()
    for decision in decisions:
        traced.expire(decision["ts"])
        if decision["outcome"] == "allow" or is_set_by_person(decision):
            traced.end_all(decision["ts"])
        if decision["outcome"] not in WITHOUT_NOTICE:
            original = restored_decision(decision, earlier) or decision
            name = str(original["id"])
            name = traced.originals[str(decision["id"])] = traced.originals.get(name, name)
            original = next((each for each in earlier if each["id"] == name), decision)
            traced.ends.pop(name, None)
            traced.standing.append(original)
        earlier.append(decision)
    traced.expire(now_ms)
    return traced


def restored_decision(
    decision: Mapping[str, Any], earlier: Sequence[Mapping[str, Any]]
) -> Mapping[str, Any] | None:
    """Return the earlier decision that a person restored by a decision; None if there is none.

    It has the same outcome and end. A decision without an end is restored by an undo alone.
    """
    if not is_set_by_person(decision) or decision["outcome"] in WITHOUT_NOTICE:
        return None
    undone = decision.get("undoes")
    if decision["until"] is None and not undone:
        return None
    kept = (decision["outcome"], decision["until"])
    before = [n for n, other in enumerate(earlier) if undone and other.get("trigger") == undone]
    for other in reversed(earlier[: before[0]] if before else earlier):
        if (other["outcome"], other["until"]) == kept:
            # A hold for the owner is not what a person's challenge is.
            return None if other.get("basis") == "takeover" else other
    return None


def load_decisions(
    account: str, since: int = 0, before: int = 2**62, *, oldest_first: bool = False
) -> list[dict[str, Any]]:
    """Return an account's decisions from number `since` on, oldest first.

    Of more than `MAX_DECISIONS` the newest, or the oldest. `undoes` is the label that one undoes.
    """
    rows = Decision.objects.filter(account=account, number__gte=since, number__lt=before)
    rows = rows.order_by("number" if oldest_first else "-number")[:MAX_DECISIONS]
    found = sorted(checked_decisions(rows), key=lambda row: int(row.number))
    acts = PersonAct.objects.filter(account=account).exclude(undo_event="")
    undone = dict(acts.values_list("undo_event", "event"))
    decisions = [msgspec.json.decode(bytes(row.body)) | {"number": row.number} for row in found]
    return [each | {"undoes": undone.get(each.get("trigger"), "")} for each in decisions]


def lifted_up_to(account: str) -> int:
    """Return the number of the newest decision that was lifted as enforcement began (0: none)."""
    lifted = StateChange.objects.filter(account=account, lifted=True)
    return int(lifted.aggregate(newest=Max("decision"))["newest"] or 0)


def trace_account(account: str, now_ms: int) -> Trace:
    """Return which of an account's newest decisions stand."""
    return trace(load_decisions(account, lifted_up_to(account) + 1), now_ms)
