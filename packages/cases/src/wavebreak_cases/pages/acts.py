"""Acts of a signed-in person on a case: each is the step of a command, sealed by the case itself.

The order of an act: the case is opened under its lock, an audit entry is written, the step is
sealed, and the transaction ends. A step that is refused leaves no audit entry. Who acts is the
person who is signed in, never a name that was typed.
"""

from __future__ import annotations

import platform
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.db import transaction
from msgspec import UNSET

from wavebreak_cases.bundles import (
    account_erasure,
    case_steps,
    evidence_intake,
    evidence_items,
)
from wavebreak_cases.bundles.case_draft import CaseDraft, DraftMeans, Failure, draft_case
from wavebreak_cases.bundles.workspace import CASE, CaseWorkspace
from wavebreak_cases.cases.case import (
    Action,
    Case,
    CaseOpened,
    DeterminationSigned,
    EvidenceReviewed,
    NoticeDelivered,
    NoticeSent,
    PartiesMerged,
    PartiesUnmerged,
    ReplyReceived,
    ServiceFailed,
    StateChanged,
    TaskFinished,
)
from wavebreak_cases.cases.notices import Delivery, Notice, Reply, ServiceAttempt
from wavebreak_cases.cases.parties import Basis, Evidence, Relation, Strength
from wavebreak_cases.claims.exhibits import Actor
from wavebreak_cases.pages import files
from wavebreak_cases.pages.store import CaseStore
from wavebreak_server.errors import ApiError
from wavebreak_server.http.app_context import write_audit_entry
from wavebreak_server.slices.users.models import User

Clock = Callable[[], int]
Values = Mapping[str, Any]


class StaleFormError(ApiError):
    """The case has more steps than the form knew of."""

    def __init__(self, seen: int, case: Case) -> None:
        super().__init__(
            409,
            "the case changed while you wrote",
            fix="read what was done meanwhile; what you wrote is kept below",
        )
        self.seen, self.case = seen, case


@dataclass(frozen=True)
class Act:
    """An act before it is done: by whom, why, with what, and in which state it was decided on.

    `seen` is the number of steps that the form knew of; None where the order does not matter.
    """

    user: User
    reason: str
    values: Values
    clock: Clock
    store: CaseStore
    seen: int | None = None

    @property
    def signed(self) -> dict[str, str]:
        """Who acts in which role, and why, as a step says it."""
        return {"by": self.user.actor, "role": self.user.role, "why": self.reason}

    def actor(self, authority: str = "not stated") -> Actor:
        """Who acts, as custody says it."""
        return Actor(self.user.actor, f"console on {platform.node()}", self.reason, authority)

    def past(self, name: str) -> int:
        """Return an instant of the form; raises ApiError (422) where it is in the future."""
        at: int = self.values[name]
        if at > self.clock():
            raise ApiError(422, "that instant is in the future", fix="give the one when it was")
        return at


def open_case(act: Act) -> tuple[str, tuple[Failure, ...]]:
    """Open a new case, and draft what the form says of its party.

    Returns:
        The case's id, and what could not be taken in. A case that does not come to its first step
        is removed.

    """
    case_id: str = act.values["id"]
    failures: tuple[Failure, ...] = ()
    with files.open_for_act(act.store, case_id, act.clock, new=True) as workspace:
        try:
            with transaction.atomic():
                write_audit_entry(act.clock(), act.user.actor, "open_case", case_id, act.reason)
                if act.values["party"]:
                    failures = _draft_case(workspace, act)
                else:
                    opened = CaseOpened(act.values["title"], act.values["about"])
                    workspace.take(opened, **act.signed)
        except BaseException:
            if not (workspace.path / CASE).exists():
                shutil.rmtree(workspace.path, ignore_errors=True)
            raise
    return case_id, failures


def _draft_case(workspace: CaseWorkspace, act: Act) -> tuple[Failure, ...]:
    """Draft the case as `wavebreak case draft` does, with the file that was uploaded."""
    v = act.values
    kinds: Any = _statement(v).violations
    with tempfile.TemporaryDirectory(prefix="wavebreak-exhibit-") as place:
        files: tuple[str, ...] = ()
        if v["file"] is not None:
            source = Path(place) / _file_name(v["file"].name)
            with source.open("wb") as file:
                file.writelines(v["file"].chunks())
            files = (str(source),)
        draft = CaseDraft(
            party=v["party"],
            title=v["title"],
            about=v["about"],
            kind=v["kind"] or "company",
            alias=v["aliases"],
            domain=v["domains"],
            number=v["numbers"],
            file=files,
            account=v["account"],
            conduct=v["conduct"],
            violation=() if kinds is UNSET else kinds,
            began=v["began"],
            until=v["until"],
            zone=v["zone"],
            date_basis=v["date_basis"],
            basis=Basis(v["basis"]) if v["basis"] else None,
            strength=Strength(v["strength"]) if v["strength"] else None,
            account_basis=Basis(v["account_basis"]) if v["account_basis"] else None,
            account_strength=Strength(v["account_strength"]) if v["account_strength"] else None,
        )
        means = DraftMeans(act.actor(), act.user.role, act.store.secret, _by_command, _by_command)
        failures = draft_case(workspace, draft, means).failures
    return tuple(f._replace(source=Path(f.source).name) for f in failures)


def _file_name(name: str) -> str:
    """A name for an uploaded file, of which nothing leads out of its directory."""
    return re.sub(r"[^\w .-]", "_", Path(name).name).lstrip(".")[:100] or "upload"


def _by_command(*_given: object) -> Any:
    raise ApiError(422, "pages and runs are not taken in here", fix="use `wavebreak case draft`")


def perform(name: str, case_id: str, act: Act) -> Case:
    """Do an act on a case; return the case after it.

    Raises:
        ApiError: Somebody else writes to the case, a value is wrong, or the form is stale.
        CaseError: The case does not allow the step.

    """
    with files.open_for_act(act.store, case_id, act.clock) as workspace:
        if act.seen is not None and len(workspace.case.steps) != act.seen:
            raise StaleFormError(act.seen, workspace.case)
        with transaction.atomic():
            write_audit_entry(act.clock(), act.user.actor, name, case_id, act.reason)
            ACTS[name](workspace, act)
        return workspace.case


def draft(case_id: str, act: Act) -> Notice:
    """Return a notice as it would be recorded; nothing is written."""
    with files.open_for_act(act.store, case_id, act.clock) as workspace:
        return _draft(workspace, act)


def _draft(workspace: CaseWorkspace, act: Act) -> Notice:
    v = act.values
    return evidence_intake.draft_notice(
        workspace,
        v["party"],
        v["template"],
        v["language"],
        operator=v["operator"],
        contact=v["contact"],
        days=v["days"],
        policy=act.store.policy,
        about=v["about"],
        calendar=v["calendar"],
    )


def _sent_notice(workspace: CaseWorkspace, act: Act) -> Action:
    drafted = _draft(workspace, act)
    return NoticeSent(
        case_steps.sent_notice(workspace.case, drafted, drafted.sent, act.values["exhibit"])
    )


def _take(make: Callable[[CaseWorkspace, Act], Action]) -> Callable[[CaseWorkspace, Act], None]:
    """Return an act that takes the one step that `make` returns."""

    def done(workspace: CaseWorkspace, act: Act) -> None:
        workspace.take(make(workspace, act), **act.signed)

    return done


def _name_party(workspace: CaseWorkspace, act: Act) -> Action:
    v = act.values
    lists = {name: v[name] for name in ("aliases", "domains", "numbers", "apps", "sites")}
    return case_steps.party_named(
        workspace.case,
        v["name"],
        kind=v["kind"],
        number=v.get("party", ""),
        note=v["note"],
        **lists,
    )


def _relate(workspace: CaseWorkspace, act: Act) -> None:
    v = act.values
    if v["party"] == v["other"]:
        raise ApiError(422, "a party has no relation with itself", fix="choose another party")
    relation = Relation(v["party"], v["other"], v["kind"], v["strength"], v["exhibit"])
    evidence_intake.relate_parties(workspace, relation, **act.signed)


def _link(workspace: CaseWorkspace, act: Act) -> Action:
    v = act.values
    tie = (v["party"], v["account"], v["basis"], v["strength"], v["exhibit"])
    return case_steps.account_linked(workspace.case, act.store.secret, *tie)


def _erase_account(workspace: CaseWorkspace, act: Act) -> None:
    said: dict[str, Any] = {**act.signed}
    done = account_erasure.erase_account(workspace, act.store.secret, act.values["account"], **said)
    if not done.recorded:
        raise ApiError(
            422, "no sealed entry on the account can be opened any more", fix="nothing is left"
        )


def _add_exhibit(workspace: CaseWorkspace, act: Act) -> None:
    v = act.values
    with tempfile.TemporaryDirectory(prefix="wavebreak-exhibit-") as place:
        source = Path(place) / "upload"
        with source.open("wb") as file:
            file.writelines(v["file"].chunks())
        evidence_intake.add_file_exhibit(
            workspace,
            source,
            act.actor(v["authority"]),
            act.user.role,
            title=v["title"],
            kind=v["kind"],
            pictures_only=True,
        )


def _add_evidence(workspace: CaseWorkspace, act: Act) -> None:
    v = act.values
    exhibit = workspace.case.exhibits[v["exhibit"]]
    item = evidence_items.draw_evidence(
        workspace, exhibit, v["party"], v["seen"], _statement(v), act.user.actor
    )
    _refuse_future(act, item)
    evidence_intake.add_evidence(workspace, item, **act.signed)


def _correct_evidence(workspace: CaseWorkspace, act: Act) -> None:
    v = act.values
    old = workspace.case.evidence[v["item"]]
    new = evidence_items.restate_evidence(
        workspace, old, _statement(v), act.user.actor, party=v["party"]
    )
    _refuse_future(act, new)
    evidence_intake.correct_evidence(workspace, new, **act.signed)


def _statement(v: Values) -> evidence_items.Statement:
    """What a form states; a kind of violation that is not stated is not known."""
    kinds: Any = UNSET if v["violation"] in ("", "not_stated") else tuple(v["violation"].split("+"))
    return evidence_items.Statement(
        v["conduct"],
        kinds,
        v["began"],
        v["until"],
        v["zone"] or None,
        v["date_basis"],
        v["basis"],
        v["strength"],
    )


def _refuse_future(act: Act, item: Evidence) -> None:
    for said in (item.began, item.lasted):
        if said.earliest is not None and said.earliest > act.clock():
            raise ApiError(422, "that date is in the future", fix="give the one when it was")


def _review(_workspace: CaseWorkspace, act: Act) -> Action:
    return EvidenceReviewed(act.values["item"], act.values["shows"] == "yes")


def _delivery(_workspace: CaseWorkspace, act: Act) -> Action:
    v = act.values
    address = v["address"] or UNSET
    method = v["how"] if v["address"] else UNSET
    return NoticeDelivered(
        Delivery(v["notice"], act.past("at"), v["how"], v["exhibit"], method, address)
    )


def _failed_service(_workspace: CaseWorkspace, act: Act) -> Action:
    v = act.values
    return ServiceFailed(
        ServiceAttempt(
            v["notice"],
            act.past("at"),
            v["method"],
            v["address"],
            v["failure"],
            v["exhibit"] or UNSET,
        )
    )


def _past_notice(workspace: CaseWorkspace, act: Act) -> Action:
    v = act.values
    return NoticeSent(
        case_steps.past_notice(
            workspace.case, v["party"], v["language"], act.past("at"), v["exhibit"], v["days"]
        )
    )


def _reply(_workspace: CaseWorkspace, act: Act) -> Action:
    v = act.values
    return ReplyReceived(Reply(v["notice"], act.past("at"), v["about"], v["exhibit"]))


def _add_task(workspace: CaseWorkspace, act: Act) -> Action:
    return case_steps.task_added(workspace.case, act.values["what"], act.values["due"])


def _prepare(workspace: CaseWorkspace, act: Act) -> None:
    as_of = act.past("as_of") if act.values["as_of"] is not None else None
    found = files.known_reversals(act.store, workspace.case)
    evidence_intake.record_reversals(workspace, found, by=act.user.actor, role=act.user.role)
    evidence_intake.prepare_determination(
        workspace, act.values["party"], as_of, act.store.policy, **act.signed
    )


def _sign(workspace: CaseWorkspace, act: Act) -> Action:
    prepared = workspace.case.determinations[act.values["determination"]]
    for check in files.signing_checks(workspace.case, prepared, act.user):
        if not check.holds:
            raise ApiError(422, f"{prepared.id} cannot be signed by you now", fix=check.fix)
    return DeterminationSigned(prepared.id, session="console")


ACTS: Mapping[str, Callable[[CaseWorkspace, Act], None]] = {
    "add_party": _take(_name_party),
    "change_party": _take(_name_party),
    "relate_parties": _relate,
    "merge_parties": _take(lambda _w, act: PartiesMerged(act.values["keep"], act.values["drop"])),
    "unmerge_parties": _take(lambda _w, act: PartiesUnmerged(act.values["party"])),
    "link_account": _take(_link),
    "erase_account": _erase_account,
    "add_exhibit": _add_exhibit,
    "add_evidence": _add_evidence,
    "correct_evidence": _correct_evidence,
    "review_evidence": _take(_review),
    "send_notice": _take(_sent_notice),
    "record_past_notice": _take(_past_notice),
    "record_failed_service": _take(_failed_service),
    "record_delivery": _take(_delivery),
    "record_reply": _take(_reply),
    "add_task": _take(_add_task),
    "finish_task": _take(lambda _w, act: TaskFinished(act.values["task"])),
    "change_state": _take(lambda _w, act: StateChanged(act.values["to"])),
    "prepare_determination": _prepare,
    "sign_determination": _take(_sign),
}
"""What each form does."""
