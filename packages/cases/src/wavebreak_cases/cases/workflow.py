"""State machine of a case: which action is allowed when, and what it changes.

A case is the fold of its steps; a step that is not allowed is refused with the reason.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from wavebreak.errors import CaseError
from wavebreak_cases.cases.case import (
    AccountErased,
    AccountLinked,
    Action,
    ActionReversed,
    Case,
    CaseFile,
    CaseOpened,
    DeterminationPrepared,
    DeterminationSigned,
    EvidenceAdded,
    EvidenceCorrected,
    EvidenceReviewed,
    ExhibitAdded,
    ExhibitRedacted,
    NoticeDelivered,
    NoticeSent,
    PartiesMerged,
    PartiesRelated,
    PartiesUnmerged,
    PartyNamed,
    PreparedDetermination,
    ReplyReceived,
    ServiceFailed,
    SignerNamed,
    State,
    StateChanged,
    Step,
    TaskAdded,
    TaskFinished,
    evidence_for_party,
)
from wavebreak_cases.cases.date_ranges import format_instant
from wavebreak_cases.cases.determination import SAME_RULES, Determination, evidence_digest
from wavebreak_cases.cases.parties import Evidence, Party
from wavebreak_cases.cases.redactions import Redaction
from wavebreak_cases.cases.signatures import KeySignature, check_signature, read_signer_key
from wavebreak_cases.cases.ties import exhibit_kind, require_fitting

TRANSITIONS: dict[str, tuple[State, ...]] = {
    "opened": ("investigating", "closed"),
    "investigating": ("noticed", "determined", "closed"),
    "noticed": ("determined", "closed", "reopened"),
    "determined": ("referred", "closed", "reopened"),
    "referred": ("closed", "reopened"),
    "closed": ("reopened",),
    "reopened": ("noticed", "determined", "closed"),
}
"""Where a case may go from each state."""


def validate_step(case: Case, step: Step) -> None:
    """Raise `CaseError` where a step is not allowed in the present state of a case."""
    did = step.did
    if isinstance(did, CaseOpened) is bool(case.steps):
        raise CaseError(
            f"case {case.id} is {'already' if case.steps else 'not yet'} open",
            fix="give a case that is open, or a new directory to open one",
        )
    taken_in = StateChanged | ExhibitAdded | EvidenceAdded | ActionReversed
    taken_in |= AccountErased | ExhibitRedacted | PartiesRelated | TaskAdded | TaskFinished
    if case.state == "closed" and not isinstance(did, taken_in):
        raise CaseError(
            f"case {case.id} is closed", fix="reopen it: `wavebreak case advance CASE reopened`"
        )
    _validate_references(case, step)
    match did:
        case DeterminationSigned():
            _validate_signature(case, step, did)
        case DeterminationPrepared():
            _validate_determination(case, did)
        case StateChanged():
            _validate_transition(case, did.to)


def _require_known(kind: str, known: Iterable[str], *ids: str) -> None:
    for name in ids:
        if name not in known:
            listed = ", ".join(list(known)[-8:]) or "none yet"
            raise CaseError(f"there is no {kind} {name[:40]} in the case", fix=f"known: {listed}")


def _require_new(kind: str, known: Iterable[str], name: str) -> None:
    if name in known:
        raise CaseError(
            f"there is already a {kind} {name}", fix="leave the number out: the next one is given"
        )


def _validate_references(case: Case, step: Step) -> None:
    """What a step names is there, and what it brings is new."""
    match did := step.did:
        case PartyNamed() | PartiesRelated() | PartiesMerged() | PartiesUnmerged():
            _validate_parties(case, step, did)
        case AccountLinked(link=tie):
            _require_known("party", case.parties, tie.party)
            _require_known("exhibit", case.exhibits, tie.exhibit)
        case ExhibitAdded(exhibit=e):
            _require_new("exhibit", case.exhibits, e.id)
        case ExhibitRedacted(redaction=r):
            _validate_redaction(case, r, step.why)
        case EvidenceAdded() | EvidenceReviewed() | EvidenceCorrected():
            _validate_evidence(case, step, did)
        case NoticeSent() | NoticeDelivered() | ServiceFailed() | ReplyReceived():
            _validate_correspondence(case, did)
        case _:
            _validate_work(case, did)


def _validate_redaction(case: Case, redaction: Redaction, why: str) -> None:
    _require_known("exhibit", case.exhibits, redaction.exhibit)
    if case.exhibits[redaction.exhibit].kind == "platform_run":
        raise CaseError(
            f"{redaction.exhibit} is a run: it holds pseudonyms, and is decided again as a whole",
            fix="erase what opens entries on an account: `wavebreak case erase CASE ACCOUNT`",
        )
    if not redaction.path.startswith(f"exhibits/{redaction.exhibit}R"):
        raise CaseError("the redacted copy is of another exhibit", fix="redact it again")
    if not why.strip():
        raise CaseError("why it is redacted is not stated", fix="give the reason: --why")


def _validate_parties(
    case: Case, step: Step, did: PartyNamed | PartiesRelated | PartiesMerged | PartiesUnmerged
) -> None:
    match did:
        case PartyNamed(party=p):
            known = case.parties.get(p.id)
            if p.same_as != (known.same_as if known else ""):
                raise CaseError(
                    f"party {p.id}: same_as is set by a merge",
                    fix="merge them: `wavebreak case merge CASE KEEP DROP`",
                )
        case PartiesRelated(relation=r):
            _require_known("party", case.parties, r.party, r.other)
            _require_known("exhibit", case.exhibits, r.exhibit)
        case PartiesMerged():
            _require_known("party", case.parties, did.keep, did.drop)
            if case.root(did.keep) != did.keep or case.root(did.keep) == case.root(did.drop):
                raise CaseError("these parties are one already", fix="see `wavebreak case show`")
        case PartiesUnmerged():
            _require_known("party", case.parties, did.party)
            _validate_unmerge(case.parties[did.party], step.why)


def _validate_unmerge(party: Party, why: str) -> None:
    if not party.same_as:
        raise CaseError(
            f"{party.id} is not merged into another party", fix="see `wavebreak case show`"
        )
    if not why.strip():
        raise CaseError(
            f"why {party.id} is another party after all is not stated", fix="give the reason: --why"
        )


def _validate_evidence(
    case: Case, step: Step, did: EvidenceAdded | EvidenceReviewed | EvidenceCorrected
) -> None:
    match did:
        case EvidenceAdded(evidence=e):
            _require_new("item of evidence", case.evidence, e.id)
            _validate_item(case, e)
        case EvidenceReviewed():
            _require_known("item of evidence", case.evidence, did.evidence)
            _validate_review(case, step, did)
        case EvidenceCorrected(evidence=e):
            _validate_correction(case, e)


def _validate_correction(case: Case, e: Evidence) -> None:
    _require_known("item of evidence", case.evidence, e.id)
    before = case.evidence[e.id]
    if (e.exhibit, e.kind) != (before.exhibit, before.kind):
        raise CaseError(
            f"{e.id} is of {before.exhibit}, {before.kind.replace('_', ' ')}",
            fix="reject this item and add another: `wavebreak case evidence CASE E1 …`",
        )
    _validate_item(case, e)


def _validate_review(case: Case, step: Step, did: EvidenceReviewed) -> None:
    """Nobody confirms what rests on a rejected claim, or silently what was read as benign."""
    exhibit = case.exhibits[case.evidence[did.evidence].exhibit]
    if not did.shows:
        return
    if rejected := exhibit.rejected:
        raise CaseError(
            f"{rejected.by} rejected {exhibit.id} as a claim: {rejected.why[:200]}",
            fix="review the page again (`wavebreak claim confirm DIR --reason …`) and take it in "
            "as another exhibit",
        )
    if exhibit.reading == "benign" and not step.why.strip():
        raise CaseError(
            f"the automatic reading found no offer in {exhibit.id}",
            fix="say why it shows this nevertheless: --why",
        )


def _validate_item(case: Case, e: Evidence) -> None:
    _require_known("party", case.parties, e.party)
    _require_known("exhibit", case.exhibits, e.exhibit)
    if e.facts is not UNSET:
        raise CaseError("what the case holds on evidence is not stored with it", fix="leave it out")
    if e.confirmed != "unknown" or e.by:
        raise CaseError(
            "evidence is confirmed by a step of its own",
            fix="confirm it: `wavebreak case confirm CASE V1`",
        )


def _validate_correspondence(
    case: Case, did: NoticeSent | NoticeDelivered | ServiceFailed | ReplyReceived
) -> None:
    match did:
        case NoticeSent(notice=n):
            _require_known("party", case.parties, n.party)
            if not isinstance(n.exhibit, UnsetType):
                _require_known("exhibit", case.exhibits, n.exhibit)
            _require_new("notice", case.notices, n.id)
        case NoticeDelivered(delivery=d):
            _require_known("notice", case.notices, d.notice)
            _require_known("exhibit", case.exhibits, d.exhibit)
            if d.at < case.notices[d.notice].sent:
                raise CaseError(
                    f"notice {d.notice} arrived before it was sent",
                    fix="give a delivery time after the notice was sent",
                )
        case ServiceFailed(attempt=a):
            _require_known("notice", case.notices, a.notice)
            if not isinstance(a.exhibit, UnsetType):
                _require_known("exhibit", case.exhibits, a.exhibit)
        case ReplyReceived(reply=r):
            _require_known("notice", case.notices, r.notice)
            _require_known("exhibit", case.exhibits, r.exhibit)


def _validate_work(case: Case, did: Action) -> None:
    match did:
        case TaskAdded(task=t):
            _require_new("task", case.tasks, t.id)
        case TaskFinished():
            _require_known("task", case.tasks, did.task)
            if did.task in case.done:
                raise CaseError(f"task {did.task} is done already", fix="see `wavebreak case show`")
        case SignerNamed(signer=s):
            read_signer_key(s.key)
            _require_new("signer with the key", case.signers, s.key)
        case DeterminationSigned():
            _require_known("determination", case.determinations, did.determination)
        case DeterminationPrepared():
            _require_known("party", case.parties, did.determination.party)
            _require_new("determination", case.determinations, did.id)


def _validate_determination(case: Case, did: DeterminationPrepared) -> None:
    if not is_current(case, did.determination):
        raise CaseError(
            "the determination was drawn from other evidence than the case holds",
            fix="determine again: `wavebreak case determine CASE PARTY`",
        )


def is_current(case: Case, made: Determination) -> bool:
    """Whether what a determination was drawn from is what the case holds on its party now."""
    evidence = evidence_for_party(case, made.party, made.version)
    return evidence_digest(evidence, made.policy) == made.of


def stale_determinations(case: Case) -> list[PreparedDetermination]:
    """Return the newest determinations, of each party, that are not of the evidence as it is now.

    Evidence was rejected, corrected, added or taken back after they were prepared: whatever they
    say, and whoever signed them, nobody may rely on them or serve them.
    """
    return [prepared for prepared in case.latest() if not is_current(case, prepared.value)]


def require_current(case: Case, party: str) -> None:
    """Raise CaseError where the newest determination on a party is not current: it is not served.

    A party on which nothing was determined yet may be written to, as may one of which an unsigned
    determination found no ground for anything.
    """
    for prepared in stale_determinations(case):
        served = prepared.signed_by or prepared.value.result == "eligible"
        if served and case.root(prepared.value.party) == case.root(party):
            raise CaseError(
                f"{prepared.id} is not current: the evidence on {party} changed after it was "
                f"prepared on {format_instant(prepared.at)[:10]}; nothing is served on it",
                fix=f"determine again, and read it: `wavebreak case determine CASE {party}`",
            )


def _validate_signature(case: Case, step: Step, did: DeterminationSigned) -> None:
    prepared = case.determinations[did.determination]
    if step.role != prepared.value.signs:
        raise CaseError(
            f"{prepared.id} is signed by {prepared.value.signs}, not {step.role[:40]}",
            fix=f"let a person with the role {prepared.value.signs} sign",
        )
    if prepared.signed_by:
        raise CaseError(
            f"{prepared.id} is signed already",
            fix="determine again: `wavebreak case determine CASE PARTY`",
        )
    if _same_person(step.by, prepared.by):
        raise CaseError(
            f"who prepared {prepared.id} cannot sign it", fix="let another person sign: four eyes"
        )
    if not is_current(case, prepared.value):
        raise CaseError(
            f"{prepared.id} is not of the evidence as it is now",
            fix="determine again: `wavebreak case determine CASE PARTY`",
        )
    if not isinstance(did.signature, UnsetType):
        _validate_authentication(case, step, prepared, did.signature)


def _validate_authentication(
    case: Case, step: Step, prepared: PreparedDetermination, given: KeySignature
) -> None:
    """A key signed that the case names for this person and role."""
    signer = case.signers.get(given.key)
    if signer is None:
        raise CaseError(
            "the case does not name this key's holder as a signer",
            fix="name the person: `wavebreak case signer CASE NAME --role counsel --key …`",
        )
    if (signer.name, signer.role) != (step.by, step.role):
        raise CaseError(f"the key is of {signer.name}, {signer.role}", fix="sign with your own key")
    check_signature(given, case.id, prepared.id, prepared.value)


def _same_person(one: str, other: str) -> bool:
    """Whether two names are spellings of one."""
    plain = (
        " ".join(unicodedata.normalize("NFKC", name).casefold().split()) for name in (one, other)
    )
    return len(set(plain)) == 1


def _validate_transition(case: Case, to: State) -> None:
    if to not in TRANSITIONS[case.state]:
        ways = ", ".join(TRANSITIONS[case.state])
        raise CaseError(f"a case does not go from {case.state} to {to}", fix=f"it goes to: {ways}")
    latest = case.latest()
    stale = [
        prepared.id
        for prepared in latest
        if not prepared.signed_by or not is_current(case, prepared.value)
    ]
    if to == "investigating" and not case.parties:
        raise CaseError(
            "a case without a party cannot be investigated",
            fix="name one: `wavebreak case party CASE NAME`",
        )
    if to == "noticed" and not {d.notice for d in case.deliveries}:
        raise CaseError(
            "no notice is shown to have arrived",
            fix="record one: `wavebreak case delivery CASE N1 --exhibit E1 --how …`",
        )
    if to in ("determined", "referred") and (not latest or stale):
        raise CaseError(
            f"not signed, or of other evidence than now: {', '.join(stale) or 'no determination'}",
            fix="determine, and let it be signed",
        )
    if to == "referred" and not any(prepared.value.result == "eligible" for prepared in latest):
        raise CaseError("no party is eligible", fix="close the case, or bring further evidence")
    if to == "closed" and (open_ := case.open_tasks()):
        raise CaseError(
            f"task {open_[0].id} is open", fix="finish it: `wavebreak case task CASE T1 --done`"
        )


def replay(written: CaseFile) -> Case:
    """Give the case that its steps make; raises `CaseError` where a step could not be taken."""
    case = Case(written.id)
    for step in written.steps:
        case = apply_step(case, step)
    return case


def append_action(case: Case, did: Action, *, at: int, by: str, role: str, why: str = "") -> Case:
    """Take one more step: what was done, when (ms), by whom in which role, and why.

    Raises `CaseError` where it may not be taken, or names a time that has not come.
    """
    step = Step(len(case.steps) + 1, at, by, role, why, did)
    after = apply_step(case, step)
    if isinstance(did, DeterminationSigned) and UNSET is did.signature is did.session:
        raise CaseError(
            "a signer is authenticated, and no typed name",
            fix="sign with a key (`wavebreak case sign CASE D1 --signing-key FILE`), or signed in "
            "to the console",
        )
    if (
        isinstance(did, DeterminationSigned)
        and case.determinations[did.determination].value.version not in SAME_RULES
    ):
        raise CaseError(
            f"{did.determination} was made by the rules of another version",
            fix="determine again: `wavebreak case determine CASE PARTY`",
        )
    _require_fitting_tie(case, did)
    for what, then in _dates(did):
        if then > at:
            raise CaseError(
                f"{what} is in the future: {format_instant(then)}",
                fix="give the time at which it was",
            )
    return after


def _require_fitting_tie(case: Case, did: Action) -> None:
    """A tie is by an exhibit that can show it; a run's item has the tie of its accounts."""
    match did:
        case AccountLinked(link=tie):
            require_fitting(tie.basis, case.exhibits[tie.exhibit])
        case EvidenceAdded(evidence=e) | EvidenceCorrected(evidence=e):
            exhibit = case.exhibits[e.exhibit]
            if exhibit_kind(exhibit) == "page":
                require_fitting(e.basis, exhibit)


def _dates(did: Action) -> Iterator[tuple[str, int]]:
    """The times that a step says something was at."""
    match did:
        case EvidenceAdded(evidence=e) | EvidenceCorrected(evidence=e):
            for what, dates in (("when it began", e.began), ("until when it lasted", e.lasted)):
                if dates.earliest is not None:
                    yield what, dates.earliest
        case NoticeSent(notice=n):
            yield "when the notice was sent", n.sent
        case NoticeDelivered(delivery=d):
            yield "when the notice arrived", d.at
        case ServiceFailed(attempt=a):
            yield "the attempt to serve it", a.at
        case ReplyReceived(reply=r):
            yield "the answer", r.at
        case ActionReversed(reversal=r):
            yield "when the action was reversed", r.at
        case DeterminationPrepared(determination=d):
            yield "the time as of which is determined", d.as_of


def apply_step(case: Case, step: Step) -> Case:
    """Take a step; raises `CaseError` where it is not the next or may not be taken."""
    if step.n != len(case.steps) + 1:
        raise CaseError(
            f"step {step.n} does not follow step {len(case.steps)}",
            fix="bring back case.json from a backup or from a bundle of the case",
        )
    if case.steps and step.at < case.steps[-1].at:
        raise CaseError(
            f"step {step.n} is before the one it follows",
            fix="correct the clock of this machine, or wait until it is past that step",
        )
    validate_step(case, step)
    did: Any = step.did
    return replace(_apply_action(case, step, did), steps=(*case.steps, step))


def _apply_action(case: Case, step: Step, did: Action) -> Case:
    match did:
        case CaseOpened():
            return replace(case, title=did.title, about=did.about, state="opened")
        case PartyNamed() | PartiesRelated() | PartiesMerged() | PartiesUnmerged():
            return _apply_parties(case, did)
        case AccountLinked():
            return replace(case, links=(*case.links, did.link))
        case ExhibitAdded():
            return replace(case, exhibits=case.exhibits | {did.exhibit.id: did.exhibit})
        case EvidenceAdded() | EvidenceReviewed() | EvidenceCorrected() | ActionReversed():
            return _apply_evidence(case, step, did)
        case AccountErased() | ExhibitRedacted():
            return _apply_privacy(case, step, did)
        case StateChanged():
            return replace(case, state=did.to)
    return _apply_correspondence(case, step, did)


def _apply_parties(
    case: Case, did: PartyNamed | PartiesRelated | PartiesMerged | PartiesUnmerged
) -> Case:
    match did:
        case PartyNamed():
            return replace(case, parties=case.parties | {did.party.id: did.party})
        case PartiesRelated():
            return replace(case, relations=(*case.relations, did.relation))
        case PartiesMerged():
            return _merge_parties(case, did)
        case PartiesUnmerged():
            return _unmerge_parties(case, did)


def _apply_evidence(
    case: Case,
    step: Step,
    did: EvidenceAdded | EvidenceReviewed | EvidenceCorrected | ActionReversed,
) -> Case:
    match did:
        case EvidenceAdded():
            return replace(case, evidence=case.evidence | {did.evidence.id: did.evidence})
        case EvidenceReviewed():
            evidence = case.evidence[did.evidence]
            new = msgspec.structs.replace(
                evidence, confirmed="yes" if did.shows else "no", by=step.by
            )
            reviews = case.reviews | {new.id: step.why}
            return replace(case, evidence=case.evidence | {new.id: new}, reviews=reviews)
        case EvidenceCorrected():
            reviews = {k: why for k, why in case.reviews.items() if k != did.evidence.id}
            corrected = case.evidence | {did.evidence.id: did.evidence}
            return replace(case, evidence=corrected, reviews=reviews)
        case ActionReversed():
            reversals = case.reversals | {did.reversal.account: did.reversal}
            return replace(case, reversals=reversals)


def _apply_privacy(case: Case, step: Step, did: AccountErased | ExhibitRedacted) -> Case:
    if isinstance(did, AccountErased):
        erased = did.erasure
        return replace(case, erasures=case.erasures | {erased.account: (step.at, erased)})
    redaction = did.redaction
    before = case.exhibits[redaction.exhibit]
    copy = msgspec.structs.replace(before, path=redaction.path, sha256=redaction.sha256)
    return replace(
        case,
        exhibits=case.exhibits | {before.id: copy},
        originals={before.id: before} | case.originals,
        redactions=case.redactions | {before.id: (step.n, redaction)},
    )


def _apply_correspondence(case: Case, step: Step, did: Action) -> Case:
    match did:
        case NoticeSent():
            return replace(case, notices=case.notices | {did.notice.id: did.notice})
        case NoticeDelivered():
            return replace(case, deliveries=(*case.deliveries, did.delivery))
        case ServiceFailed():
            return replace(case, attempts=(*case.attempts, did.attempt))
        case ReplyReceived():
            return replace(case, replies=(*case.replies, did.reply))
        case DeterminationPrepared():
            prepared = PreparedDetermination(did.id, did.determination, step.by, step.at)
            return replace(case, determinations=case.determinations | {did.id: prepared})
        case SignerNamed():
            return replace(case, signers=case.signers | {did.signer.key: did.signer})
        case DeterminationSigned():
            old = case.determinations[did.determination]
            key = did.signature if isinstance(did.signature, KeySignature) else None
            new = replace(
                old,
                signed_by=step.by,
                signed_at=step.at,
                signed_with=key.key if key else "console" if did.session is not UNSET else "",
            )
            return replace(case, determinations=case.determinations | {new.id: new})
        case TaskAdded():
            return replace(case, tasks=case.tasks | {did.task.id: did.task})
        case TaskFinished():
            return replace(case, done=case.done | {did.task})
    raise AssertionError(f"no step {did}")


def _merge_parties(case: Case, did: PartiesMerged) -> Case:
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


_LISTS = ("domains", "numbers", "apps", "sites")


def _unmerge_parties(case: Case, did: PartiesUnmerged) -> Case:
    """Take a party out of the one it was merged into, with what only it brought there."""
    above = case.parties[did.party].same_as
    parties = dict(case.parties)
    parties[did.party] = msgspec.structs.replace(parties[did.party], same_as="")
    while above:
        parties[above] = _gather_merged(case, parties, above)
        above = parties[above].same_as
    return replace(case, parties=parties)


def _gather_merged(case: Case, parties: dict[str, Party], name: str) -> Party:
    """A party as it was last named, with what the parties bring that are merged into it."""
    named = [s.did.party for s in case.steps if isinstance(s.did, PartyNamed)]
    own = next(party for party in reversed(named) if party.id == name)
    lists: dict[str, list[str]] = {field: list(getattr(own, field)) for field in _LISTS}
    aliases = list(own.aliases)
    for party in parties.values():
        if party.same_as == name:
            aliases += (party.name, *party.aliases)
            for field, values in lists.items():
                values += getattr(party, field)
    gathered: Any = {field: tuple(dict.fromkeys(values)) for field, values in lists.items()}
    return msgspec.structs.replace(
        own, aliases=tuple(dict.fromkeys(aliases)), same_as=parties[name].same_as, **gathered
    )
