"""Monitoring after a notice: later conduct reopens the case; overdue replies and tasks."""

from __future__ import annotations

from wavebreak.cases.case import Action, Case, StateChanged, Task, TaskAdded
from wavebreak.cases.date_ranges import Ternary, format_instant
from wavebreak.cases.notices import Notice
from wavebreak.cases.parties import Evidence
from wavebreak.cases.workflow import TRANSITIONS

MONITOR = "watch"
"""In whose name, and role, a case reopens by itself."""


def follow_up_actions(case: Case, evidence: Evidence) -> tuple[tuple[Action, str], ...]:
    """What follows from new evidence, with why: a reopening, a task, or nothing. Pure.

    Conduct that lasted until after a notice to its party arrived (or, where no proof of that is
    there, was sent) reopens the case; where the dates leave that open, a task asks for them.
    """
    for notice in case.notices.values():
        if case.root(notice.party) != case.root(evidence.party) or evidence.conduct == "neither":
            continue
        after = evidence.lasted.reaches(_arrival(case, notice) + 1)
        began = evidence.began.reaches(_arrival(case, notice) + 1)
        where = f"{evidence.exhibit} ({evidence.id}) shows conduct"
        if Ternary.YES in (after, began):
            why = f"{where} after notice {notice.id} of {format_instant(notice.sent)}"
            reopens = "reopened" in TRANSITIONS[case.state]
            task = TaskAdded(Task(case.fresh("T"), f"Continuation: {why}"))
            return ((StateChanged("reopened"), why),) * reopens + ((task, why),)
        if after is Ternary.UNKNOWN and case.state != "closed":
            why = f"{where} that may lie after notice {notice.id}: find out its date"
            return ((TaskAdded(Task(case.fresh("T"), why)), why),)
    return ()


def monitoring_starts(case: Case) -> dict[str, int]:
    """From when on (ms) conduct of a party is new: its notice arrived, and no evidence is later."""
    starts: dict[str, int] = {}
    for notice in case.notices.values():
        root, at = case.root(notice.party), _arrival(case, notice)
        starts[root] = min(starts.get(root, at), at)
    for evidence in case.evidence.values():
        root, last = case.root(evidence.party), evidence.lasted.latest
        if root in starts and evidence.kind == "on_platform" and last is not None:
            starts[root] = max(starts[root], last)
    return starts


def _arrival(case: Case, notice: Notice) -> int:
    return min((d.at for d in case.deliveries if d.notice == notice.id), default=notice.sent)


def overdue_items(case: Case, now: int) -> tuple[str, ...]:
    """What should have happened by now (ms): unanswered notices, tasks past their time."""
    answered = {reply.notice for reply in case.replies}
    late = [
        f"{notice.id} to {notice.party} was to be answered by {format_instant(notice.deadline)}"
        for notice in case.notices.values()
        if notice.deadline < now and notice.id not in answered
    ]
    late += [
        f"{task.id} was to be done by {format_instant(task.due)}: {task.what}"
        for task in case.open_tasks()
        if task.due is not None and task.due < now
    ]
    return tuple(late)
