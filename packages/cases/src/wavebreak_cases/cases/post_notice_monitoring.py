"""Monitoring after a notice: later conduct reopens the case; overdue replies and tasks."""

from __future__ import annotations

from wavebreak_cases.cases.case import Action, Case, StateChanged, Task, TaskAdded, notice_arrival
from wavebreak_cases.cases.date_ranges import Ternary, format_instant
from wavebreak_cases.cases.parties import Evidence, Relation, Strength
from wavebreak_cases.cases.workflow import TRANSITIONS

MONITOR = "watch"
"""In whose name, and role, a case reopens by itself."""


SURE = (Strength.MODERATE, Strength.STRONG)
"""Relations by which another party's conduct reopens a case; weaker ones make a task."""


def follow_up_actions(case: Case, evidence: Evidence) -> tuple[tuple[Action, str], ...]:
    """What follows from new evidence, with why: a reopening, a task, or nothing. Pure.

    Conduct that lasted until after a notice to its party, or to a related one, arrived (or, where
    no proof of that is there, was sent) reopens the case; where the dates or the relation leave
    that open, a task asks for them.
    """
    if evidence.conduct == "neither" or evidence.confirmed == "no":
        return ()
    for notice in case.notices.values():
        relation = _relation(case, notice.party, evidence.party)
        own = case.root(notice.party) == case.root(evidence.party)
        if not own and relation is None:
            continue
        after = evidence.known_lasted.reaches(notice_arrival(case, notice) + 1)
        began = evidence.known_began.reaches(notice_arrival(case, notice) + 1)
        where = f"{evidence.exhibit} ({evidence.id}) shows conduct"
        if relation is not None and not own:
            tie = f"{relation.kind} relation by {relation.exhibit}, {relation.strength}"
            where += f" of {evidence.party}, related to {notice.party} ({tie}),"
        sure = own or (relation is not None and relation.strength in SURE)
        if Ternary.YES in (after, began):
            why = f"{where} after notice {notice.id} of {format_instant(notice.sent)}"
            reopens = sure and "reopened" in TRANSITIONS[case.state]
            task = TaskAdded(Task(case.fresh("T"), f"Continuation: {why}"))
            return ((StateChanged("reopened"), why),) * reopens + ((task, why),)
        if after is Ternary.UNKNOWN and case.state != "closed":
            why = f"{where} that may lie after notice {notice.id}: find out its date"
            return ((TaskAdded(Task(case.fresh("T"), why)), why),)
    return ()


def _relation(case: Case, one: str, other: str) -> Relation | None:
    """The strongest relation between two parties, if there is one."""
    ends = {case.root(one), case.root(other)}
    between = [
        r
        for r in case.relations
        if {case.root(r.party), case.root(r.other)} == ends and r.strength is not Strength.NONE
    ]
    order = (Strength.WEAK, Strength.UNKNOWN, Strength.MODERATE, Strength.STRONG)
    return max(between, key=lambda r: order.index(r.strength), default=None)


def evidence_of_relation(case: Case, relation: Relation) -> tuple[Evidence, ...]:
    """Evidence of a party of a relation, where the other one had a notice."""
    ends = {case.root(relation.party), case.root(relation.other)}
    noticed = {case.root(notice.party) for notice in case.notices.values()} & ends
    return tuple(
        e
        for e in case.evidence.values()
        if case.root(e.party) in ends and noticed - {case.root(e.party)}
    )


def monitoring_starts(case: Case) -> dict[str, int]:
    """From when on (ms) conduct of a party is new, of noticed parties and of those related to them.

    That is when the notice arrived, and later than any evidence from the platform that is there.
    """
    starts: dict[str, int] = {}
    for notice in case.notices.values():
        at = notice_arrival(case, notice)
        noticed = case.root(notice.party)
        related = [p for p in case.parties if not case.parties[p].same_as and p != noticed]
        related = [p for p in related if _relation(case, noticed, p) is not None]
        for root in (noticed, *related):
            starts[root] = min(starts.get(root, at), at)
    for evidence in case.evidence.values():
        root, last = case.root(evidence.party), evidence.lasted.latest
        if root in starts and evidence.kind == "on_platform" and last is not None:
            starts[root] = max(starts[root], last)
    return starts


def overdue_items(case: Case, now: int) -> tuple[str, ...]:
    """What should have happened by now (ms): unanswered notices, tasks past their time."""
    answered = {reply.notice for reply in case.replies}
    late = [
        f"{notice.id} to {notice.party} was to be answered by {format_instant(notice.deadline)}"
        for notice in case.notices.values()
        if notice.is_overdue(now) and notice.id not in answered
    ]
    late += [
        f"{task.id} was to be done by {format_instant(task.due)}: {task.what}"
        for task in case.open_tasks()
        if task.due is not None and task.due < now
    ]
    return tuple(late)
