"""From a step of a case to the entries that seal it: digests and commitments, no names.

Every step has a `step` entry, whose `sha256` is that of the case's salt (hex) followed by the step
in canonical JSON; a link, a notice, a determination, an exhibit have one of their own kind beside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any

import msgspec

from wavebreak.cases.case import Case
from wavebreak.cases.steps import (
    Delivered,
    Determined,
    Exhibited,
    Linked,
    Replied,
    Sent,
    Signed,
    Step,
)
from wavebreak.evidence import Entry, Openings, entry
from wavebreak.evidence.entries import (
    Body,
    CustodyEntry,
    DeterminationEntry,
    LinkEntry,
    NoticeEntry,
    StepEntry,
)
from wavebreak.evidence.verifier import canonical

Told = tuple[str, Body, dict[str, Any]]


def digest(salt: str, value: Any) -> str:
    """Salted SHA-256 of a value in canonical JSON, in hex."""
    return sha256(salt.encode() + canonical(msgspec.to_builtins(value)).encode()).hexdigest()


def entries(
    before: Case, after: Case, salt: str, salts: Callable[[int], bytes]
) -> list[tuple[Entry, Openings]]:
    """The entries of the last step of `after`, which was taken in the case `before`."""
    step = after.steps[-1]
    body = StepEntry(before.id, before.state, after.state, digest(salt, step))
    told: list[Told] = [("step", body, {"by": step.by, "reason": step.why or None})]
    told += _beside(after, step, salt)
    return [entry(kind, body, hidden, at=step.at, salts=salts) for kind, body, hidden in told]


def _beside(case: Case, step: Step, salt: str) -> Iterator[Told]:
    by = {"by": step.by}
    match did := step.did:
        case Linked(link=tie):
            body = LinkEntry(case.id, tie.basis, tie.strength, tie.exhibit)
            yield "link", body, by | {"account": tie.account, "party": tie.party}
        case Exhibited(exhibit=e):
            act = "taken into the case"
            seal = digest(salt, e)
            yield "custody", CustodyEntry(e.id, act, seal, step.why, step.role, "none"), by
        case Sent(notice=n):
            yield _notice(case, n.id, "sent", digest(salt, n), by)
        case Delivered(delivery=d):
            yield _notice(case, d.notice, "delivered", digest(salt, d), by)
        case Replied(reply=r):
            yield _notice(case, r.notice, "answered", digest(salt, r), by)
        case Determined():
            yield _determination(case, did.id, salt, by)
        case Signed():
            yield _determination(case, did.determination, salt, by)


def _notice(case: Case, notice: str, state: str, seal: str, by: dict[str, Any]) -> Told:
    party = case.notices[notice].party
    return "notice", NoticeEntry(case.id, state, seal), by | {"party": party}


def _determination(case: Case, name: str, salt: str, by: dict[str, Any]) -> Told:
    made = case.determinations[name]
    value = made.value
    rule = ", ".join(ground.rule for ground in value.grounds) or None
    body = DeterminationEntry(case.id, value.result, rule, value.policy, digest(salt, value))
    hidden = {"party": value.party, "prepared_by": made.by} | (by if made.signed_by else {})
    return "determination", body, hidden
