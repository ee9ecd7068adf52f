"""History of an account: decisions, acts of people, appeals, and what its holder has read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

import msgspec

from wavebreak.notices import Statement
from wavebreak.outcomes import row_of
from wavebreak_server.slices.acts.models import PersonAct
from wavebreak_server.slices.appeals.models import Appeal
from wavebreak_server.slices.statements.models import NoticeState
from wavebreak_server.texts import translate


class Entry(NamedTuple):
    """One line of an account's history.

    Attributes:
        at_ms: When it happened.
        outcome: The outcome that it set.
        decision: The decision, as pages show it (None: none followed).
        act: The act of a person by which it was decided (None: of nobody).
        undo: The act that it undoes (None: of none).
        appeal: The appeal that was received or answered then (None: none).
        notices: The statements about the decision that the holder has opened.
    """

    at_ms: int
    outcome: str
    decision: Mapping[str, Any] | None = None
    act: PersonAct | None = None
    undo: PersonAct | None = None
    appeal: Appeal | None = None
    is_answer: bool = False
    notices: Sequence[Mapping[str, Any]] = ()


def account_history(
    account: str, decisions: Sequence[Mapping[str, Any]], acts: Sequence[PersonAct]
) -> list[Entry]:
    """Return what was decided on an account, by whom, and what its holder read, newest first.

    Args:
        account: The account.
        decisions: Its decisions, as pages show them.
        acts: What people did to it.
    """
    by_event = {act.event: act for act in acts}
    by_undo = {act.undo_event: act for act in acts if act.undo_event}
    notices = _opened_notices(account)
    entries = [
        Entry(
            decision["ts"], decision["outcome"], decision, by_event.pop(decision["trigger"], None),
            by_undo.get(decision["trigger"]), notices=notices.get(decision["id"], ()),
        )
        for decision in decisions
    ]  # fmt: skip
    # An act that changed nothing has no decision.
    entries += [Entry(act.at_ms, act.outcome, act=act) for act in by_event.values()]
    for appeal in Appeal.objects.filter(account=account).exclude(opened_ms=None):
        entries.append(Entry(appeal.opened_ms, appeal.outcome, appeal=appeal))
        if appeal.decided_ms is not None:
            outcome = appeal.new_outcome or appeal.outcome
            entries.append(Entry(appeal.decided_ms, outcome, appeal=appeal, is_answer=True))
    return sorted(entries, key=lambda entry: -entry.at_ms)


def _opened_notices(account: str) -> dict[str, list[Mapping[str, Any]]]:
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in NoticeState.objects.filter(account=account).order_by("shown_ms"):
        statement = msgspec.json.decode(bytes(row.statement), type=Statement)
        notice = {"title": statement.title, "language": row.language, "shown_ms": row.shown_ms}
        found.setdefault(row.decision, []).append(notice)
    return found


def drawn_decisions(
    account: str, decisions: Sequence[Mapping[str, Any]], now_ms: int
) -> dict[str, Any]:
    """Return decisions for a chart: a mark at each, and a band while its outcome lasted.

    Args:
        account: The account.
        decisions: Its decisions as they are stored, oldest first.
        now_ms: The present, where a band ends that has no end yet.
    """
    acts = PersonAct.objects.filter(account=account)
    labelled = set(acts.values_list("event", flat=True))
    undone = set(acts.exclude(undo_event="").values_list("undo_event", flat=True))
    marks = [
        {
            "x": decision["ts"],
            "label": _mark(decision, labelled, undone),
            "color": row_of(decision["outcome"]).tone,
        }
        for decision in decisions
    ]
    return {"marks": marks, "bands": list(_bands(decisions, now_ms))}


def _mark(decision: Mapping[str, Any], labelled: set[str], undone: set[str]) -> str:
    outcome = translate(decision["outcome"])
    if decision["trigger"] in undone:
        return translate("undone: {outcome}", outcome=outcome)
    if decision["trigger"] in labelled:
        return translate("a person: {outcome}", outcome=outcome)
    return outcome


def _bands(decisions: Sequence[Mapping[str, Any]], now_ms: int) -> Iterator[dict[str, Any]]:
    for decision, following in zip_longest(decisions, decisions[1:]):
        next_ms = following["ts"] if following else now_ms
        if decision["outcome"] != "allow":
            until_ms = decision["until"]
            yield {
                "from": decision["ts"],
                "to": next_ms if until_ms is None else min(until_ms, next_ms),
                "label": translate(decision["outcome"]),
                "color": row_of(decision["outcome"]).tone,
            }
