"""A case is the fold of its steps, each held to what may be done at that point."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import msgspec

from wavebreak.cases import guards
from wavebreak.cases.case import Case, Prepared
from wavebreak.cases.steps import (
    Advanced,
    Confirmed,
    Delivered,
    Determined,
    Did,
    Exhibited,
    Finished,
    Found,
    Linked,
    Merged,
    Named,
    Opened,
    Related,
    Replied,
    Sent,
    Signed,
    Step,
    Tasked,
    Written,
)
from wavebreak.errors import CaseError


def replayed(written: Written) -> Case:
    """Give the case that its steps make; raises `CaseError` where a step could not be taken."""
    case = Case(written.id)
    for step in written.steps:
        case = taken(case, step)
    return case


def step(case: Case, did: Did, *, at: int, by: str, role: str, why: str = "") -> Case:
    """Take one more step: what was done, when (ms), by whom in which role, and why."""
    return taken(case, Step(len(case.steps) + 1, at, by, role, why, did))


def taken(case: Case, step: Step) -> Case:
    """Take a step; raises `CaseError` where it is not the next or may not be taken."""
    if step.n != len(case.steps) + 1:
        raise CaseError(f"step {step.n} does not follow step {len(case.steps)}", fix="restore it")
    if case.steps and step.at < case.steps[-1].at:
        raise CaseError(f"step {step.n} is before the one it follows", fix="mend the clock")
    guards.check(case, step)
    did: Any = step.did
    return replace(_done(case, step, did), steps=(*case.steps, step))


def _done(case: Case, step: Step, did: Did) -> Case:
    match did:
        case Opened():
            return replace(case, title=did.title, about=did.about, state="opened")
        case Named():
            return replace(case, parties=case.parties | {did.party.id: did.party})
        case Related():
            return replace(case, relations=(*case.relations, did.relation))
        case Merged():
            return _merged(case, did)
        case Linked():
            return replace(case, links=(*case.links, did.link))
        case Exhibited():
            return replace(case, exhibits=case.exhibits | {did.exhibit.id: did.exhibit})
        case Found():
            return replace(case, evidence=case.evidence | {did.evidence.id: did.evidence})
        case Confirmed():
            found = case.evidence[did.evidence]
            new = msgspec.structs.replace(found, confirmed="yes" if did.shows else "no", by=step.by)
            return replace(case, evidence=case.evidence | {new.id: new})
        case Advanced():
            return replace(case, state=did.to)
    return _corresponded(case, step, did)


def _corresponded(case: Case, step: Step, did: Did) -> Case:
    match did:
        case Sent():
            return replace(case, notices=case.notices | {did.notice.id: did.notice})
        case Delivered():
            return replace(case, deliveries=(*case.deliveries, did.delivery))
        case Replied():
            return replace(case, replies=(*case.replies, did.reply))
        case Determined():
            made = Prepared(did.id, did.determination, step.by, step.at)
            return replace(case, determinations=case.determinations | {did.id: made})
        case Signed():
            old = case.determinations[did.determination]
            new = replace(old, signed_by=step.by, signed_at=step.at)
            return replace(case, determinations=case.determinations | {new.id: new})
        case Tasked():
            return replace(case, tasks=case.tasks | {did.task.id: did.task})
        case Finished():
            return replace(case, done=case.done | {did.task})
    raise AssertionError(f"no step {did}")


def _merged(case: Case, did: Merged) -> Case:
    keep, drop = case.parties[did.keep], case.parties[did.drop]

    def both(one: Iterable[str], other: Iterable[str]) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*one, *other)))

    lists = {
        name: both(getattr(keep, name), getattr(drop, name))
        for name in ("domains", "numbers", "apps", "sites")
    }
    aliases = both(keep.aliases, (drop.name, *drop.aliases))
    new: Any = {
        keep.id: msgspec.structs.replace(keep, aliases=aliases, **lists),
        drop.id: msgspec.structs.replace(drop, same_as=keep.id),
    }
    return replace(case, parties=case.parties | new)
