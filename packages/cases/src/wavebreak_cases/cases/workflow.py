"""State machine of a case: every kind of step in one row, and a case as the fold of its steps.

A row says when a step is allowed, what it changes, what the ledger seals of it, and how it is named
where a case's history is shown. A step that is not allowed is refused with the reason.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from wavebreak.errors import CaseError
from wavebreak.ledger.entries import (
    Body,
    CustodyEntry,
    DeterminationEntry,
    ErasureEntry,
    LinkEntry,
    NoticeEntry,
)
from wavebreak.ledger.verifier import canonical
from wavebreak_cases.cases.case import (
    AccountErased,
    AccountLinked,
    Action,
    ActionReversed,
    BarRecorded,
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
    bars_of,
    evidence_for_party,
)
from wavebreak_cases.cases.date_ranges import format_instant
from wavebreak_cases.cases.determination import SAME_RULES, Determination, evidence_digest
from wavebreak_cases.cases.parties import Evidence, Party
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


@dataclass(frozen=True)
class StepKind:
    """A kind of step.

    Attributes:
        did: The action that such a step holds.
        phrase: What was done, in a few words.
        subject: The field of the action that names what it was done to.
        effect: Gives the case after it.
        guard: Raises CaseError where a case does not allow it.
        dates: The times that it says something was at.
        when_closed: Whether it may be taken in a closed case.
        entry: The kind of the ledger's entry that seals it, beside its `step` entry ("": none).
        seal: Gives that entry's body, and what it hides.
        tone: How it stands out where a case's history is shown.
    """

    did: type
    phrase: str
    subject: str
    effect: Callable[[Case, Step, Any], Case]
    guard: Callable[[Case, Step, Any], None] = lambda _case, _step, _did: None
    dates: Callable[[Any], Iterable[tuple[str, int]]] = lambda _did: ()
    when_closed: bool = False
    entry: str = ""
    seal: Callable[[Case, Step, Any, str], tuple[Body, dict[str, Any]]] | None = None
    tone: str = ""


def kind_of(did: Action) -> StepKind:
    """Return the kind of a step by its action."""
    return STEPS[type(did)]


def describe_action(did: Action) -> str:
    """A step in a few words.

    >>> describe_action(StateChanged("noticed"))
    'case now: noticed'
    """
    shows = getattr(did, "shows", None)
    judged = "" if shows is None else " shows it" if shows else " does not show it"
    return f"{kind_of(did).phrase}: {action_subject(did)}{judged}"


def action_subject(did: Action) -> str:
    """What a step is about: an id, a title, a state.

    >>> action_subject(StateChanged("noticed"))
    'noticed'
    """
    value = msgspec.to_builtins(did)
    for name in kind_of(did).subject.split("."):
        value = value[name]
    return str(value)


def validate_step(case: Case, step: Step) -> None:
    """Raise `CaseError` where a step is not allowed in the present state of a case."""
    did = step.did
    if isinstance(did, CaseOpened) is bool(case.steps):
        raise CaseError(
            f"case {case.id} is {'already' if case.steps else 'not yet'} open",
            fix="give a case that is open, or a new directory to open one",
        )
    if case.state == "closed" and not kind_of(did).when_closed:
        raise CaseError(f"case {case.id} is closed", fix="reopen it", code="case-closed")
    kind_of(did).guard(case, step, did)


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
            fix="sign with a key, or signed in to the console",
            code="signer-not-authenticated",
        )
    if (
        isinstance(did, DeterminationSigned)
        and case.determinations[did.determination].value.version not in SAME_RULES
    ):
        raise CaseError(
            f"{did.determination} was made by the rules of another version",
            fix="determine again",
            code="other-rules",
        )
    _require_fitting_tie(case, did)
    for what, then in kind_of(did).dates(did):
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
    return replace(kind_of(did).effect(case, step, did), steps=(*case.steps, step))


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


def _guard_redaction(case: Case, step: Step, did: ExhibitRedacted) -> None:
    redaction, why = did.redaction, step.why
    _require_known("exhibit", case.exhibits, redaction.exhibit)
    if case.exhibits[redaction.exhibit].kind == "platform_run":
        raise CaseError(
            f"{redaction.exhibit} is a run: it holds pseudonyms, and is decided again as a whole",
            fix="erase what opens entries on an account",
            code="run-not-redacted",
        )
    if not redaction.path.startswith(f"exhibits/{redaction.exhibit}R"):
        raise CaseError("the redacted copy is of another exhibit", fix="redact it again")
    if not why.strip():
        raise CaseError(
            "why it is redacted is not stated", fix="give the reason", code="reason-missing"
        )


def _guard_named(case: Case, _step: Step, did: PartyNamed) -> None:
    party = did.party
    known = case.parties.get(party.id)
    if party.same_as != (known.same_as if known else ""):
        raise CaseError(
            f"party {party.id}: same_as is set by a merge", fix="merge them", code="merge-by-hand"
        )


def _guard_related(case: Case, _step: Step, did: PartiesRelated) -> None:
    _require_known("party", case.parties, did.relation.party, did.relation.other)
    _require_known("exhibit", case.exhibits, did.relation.exhibit)


def _guard_merged(case: Case, _step: Step, did: PartiesMerged) -> None:
    _require_known("party", case.parties, did.keep, did.drop)
    if case.root(did.keep) != did.keep or case.root(did.keep) == case.root(did.drop):
        raise CaseError("these parties are one already", fix="see the case", code="merged-already")


def _guard_unmerged(case: Case, step: Step, did: PartiesUnmerged) -> None:
    _require_known("party", case.parties, did.party)
    party, why = case.parties[did.party], step.why
    if not party.same_as:
        raise CaseError(
            f"{party.id} is not merged into another party", fix="see the case", code="not-merged"
        )
    if not why.strip():
        raise CaseError(
            f"why {party.id} is another party after all is not stated",
            fix="give the reason",
            code="reason-missing",
        )


def _guard_linked(case: Case, _step: Step, did: AccountLinked) -> None:
    _require_known("party", case.parties, did.link.party)
    _require_known("exhibit", case.exhibits, did.link.exhibit)


def _guard_exhibited(case: Case, _step: Step, did: ExhibitAdded) -> None:
    _require_new("exhibit", case.exhibits, did.exhibit.id)


def _guard_evidence(case: Case, _step: Step, did: EvidenceAdded) -> None:
    _require_new("item of evidence", case.evidence, did.evidence.id)
    _validate_item(case, did.evidence)


def _guard_correction(case: Case, _step: Step, did: EvidenceCorrected) -> None:
    e = did.evidence
    _require_known("item of evidence", case.evidence, e.id)
    before = case.evidence[e.id]
    if (e.exhibit, e.kind) != (before.exhibit, before.kind):
        raise CaseError(
            f"{e.id} is of {before.exhibit}, {before.kind.replace('_', ' ')}",
            fix="reject this item and add another",
            code="other-exhibit",
        )
    _validate_item(case, e)


def _guard_review(case: Case, step: Step, did: EvidenceReviewed) -> None:
    """Nobody confirms what rests on a rejected claim, or silently what was read as benign."""
    _require_known("item of evidence", case.evidence, did.evidence)
    exhibit = case.exhibits[case.evidence[did.evidence].exhibit]
    if not isinstance(did.translation, UnsetType):
        _require_known("exhibit", case.exhibits, did.translation.exhibit)
        if same_person(did.translation.translator, step.by):
            raise CaseError(
                "who translated it reads the language, and needs no translation",
                fix="leave the translation out, or let another person confirm it",
            )
    if not did.shows:
        return
    if rejected := exhibit.rejected:
        raise CaseError(
            f"{rejected.by} rejected {exhibit.id} as a claim: {rejected.why[:200]}",
            fix="review the page again and take it in as another exhibit",
            code="claim-rejected",
        )
    if exhibit.reading == "benign" and not step.why.strip():
        raise CaseError(
            f"the automatic reading found no offer in {exhibit.id}",
            fix="say why it shows this nevertheless",
            code="no-offer-read",
        )


def _validate_item(case: Case, e: Evidence) -> None:
    _require_known("party", case.parties, e.party)
    _require_known("exhibit", case.exhibits, e.exhibit)
    joint = () if isinstance(e.jointly, UnsetType) else e.jointly
    _require_known("party", case.parties, *joint)
    if e.party in joint:
        raise CaseError(
            f"{e.party} did nothing jointly with itself",
            fix="name the others by whom it was done together",
        )
    if e.facts is not UNSET:
        raise CaseError("what the case holds on evidence is not stored with it", fix="leave it out")
    if e.confirmed != "unknown" or e.by:
        raise CaseError(
            "evidence is confirmed by a step of its own", fix="confirm it", code="confirmed-apart"
        )


def _guard_sent(case: Case, _step: Step, did: NoticeSent) -> None:
    _require_known("party", case.parties, did.notice.party)
    if not isinstance(did.notice.exhibit, UnsetType):
        _require_known("exhibit", case.exhibits, did.notice.exhibit)
    _require_new("notice", case.notices, did.notice.id)


def _guard_delivered(case: Case, _step: Step, did: NoticeDelivered) -> None:
    arrived = did.delivery
    _require_known("notice", case.notices, arrived.notice)
    _require_known("exhibit", case.exhibits, arrived.exhibit)
    if arrived.at < case.notices[arrived.notice].sent:
        raise CaseError(
            f"notice {arrived.notice} arrived before it was sent",
            fix="give a delivery time after the notice was sent",
        )


def _guard_attempted(case: Case, _step: Step, did: ServiceFailed) -> None:
    _require_known("notice", case.notices, did.attempt.notice)
    if not isinstance(did.attempt.exhibit, UnsetType):
        _require_known("exhibit", case.exhibits, did.attempt.exhibit)


def _guard_replied(case: Case, _step: Step, did: ReplyReceived) -> None:
    _require_known("notice", case.notices, did.reply.notice)
    _require_known("exhibit", case.exhibits, did.reply.exhibit)


def _guard_tasked(case: Case, _step: Step, did: TaskAdded) -> None:
    _require_new("task", case.tasks, did.task.id)


def _guard_finished(case: Case, _step: Step, did: TaskFinished) -> None:
    _require_known("task", case.tasks, did.task)
    if did.task in case.done:
        raise CaseError(f"task {did.task} is done already", fix="see the case", code="task-done")


def _guard_signer(case: Case, _step: Step, did: SignerNamed) -> None:
    read_signer_key(did.signer.key)
    _require_new("signer with the key", case.signers, did.signer.key)


def _guard_determined(case: Case, _step: Step, did: DeterminationPrepared) -> None:
    _require_known("party", case.parties, did.determination.party)
    _require_new("determination", case.determinations, did.id)
    if not is_current(case, did.determination):
        raise CaseError(
            "the determination was drawn from other evidence than the case holds",
            fix="determine again",
            code="other-evidence",
        )


def is_current(case: Case, made: Determination) -> bool:
    """Whether what a determination was drawn from is what the case holds on its party now."""
    evidence = evidence_for_party(case, made.party, made.version)
    return evidence_digest(evidence, made.policy, bars_of(case, made.party)) == made.of


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
        served = prepared.signed_by or prepared.value.result in ("eligible", "barred")
        if served and case.root(prepared.value.party) == case.root(party):
            raise CaseError(
                f"{prepared.id} is not current: the evidence on {party} changed after it was "
                f"prepared on {format_instant(prepared.at)[:10]}; nothing is served on it",
                fix="determine again, and read it",
                code="not-current",
                party=party,
            )


def _guard_signed(case: Case, step: Step, did: DeterminationSigned) -> None:
    _require_known("determination", case.determinations, did.determination)
    prepared = case.determinations[did.determination]
    if step.role != prepared.value.signs:
        raise CaseError(
            f"{prepared.id} is signed by {prepared.value.signs}, not {step.role[:40]}",
            fix=f"let a person with the role {prepared.value.signs} sign",
        )
    if prepared.signed_by:
        raise CaseError(
            f"{prepared.id} is signed already", fix="determine again", code="signed-already"
        )
    if same_person(step.by, prepared.by):
        raise CaseError(
            f"who prepared {prepared.id} cannot sign it", fix="let another person sign: four eyes"
        )
    if not is_current(case, prepared.value):
        raise CaseError(
            f"{prepared.id} is not of the evidence as it is now",
            fix="determine again",
            code="other-evidence",
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
            fix="name the person",
            code="signer-unknown",
        )
    if (signer.name, signer.role) != (step.by, step.role):
        raise CaseError(f"the key is of {signer.name}, {signer.role}", fix="sign with your own key")
    check_signature(given, case.id, prepared.id, prepared.value)


def same_person(one: str, other: str) -> bool:
    """Whether two names are spellings of one."""
    plain = (
        " ".join(unicodedata.normalize("NFKC", name).casefold().split()) for name in (one, other)
    )
    return len(set(plain)) == 1


def _guard_advanced(case: Case, _step: Step, did: StateChanged) -> None:
    to = did.to
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
            "a case without a party cannot be investigated", fix="name one", code="party-missing"
        )
    if to == "noticed" and not {d.notice for d in case.deliveries}:
        raise CaseError(
            "no notice is shown to have arrived", fix="record one", code="delivery-missing"
        )
    if to in ("determined", "referred") and (not latest or stale):
        raise CaseError(
            f"not signed, or of other evidence than now: {', '.join(stale) or 'no determination'}",
            fix="determine, and let it be signed",
        )
    if to == "referred" and not any(prepared.value.result == "eligible" for prepared in latest):
        raise CaseError("no party is eligible", fix="close the case, or bring further evidence")
    if to == "closed" and (open_ := case.open_tasks()):
        raise CaseError(f"task {open_[0].id} is open", fix="finish it", code="task-open")


def _guard_bar(case: Case, _step: Step, did: BarRecorded) -> None:
    bar = did.bar
    _require_known("party", case.parties, bar.party)
    _require_known("exhibit", case.exhibits, bar.exhibit)
    if not isinstance(bar.until, UnsetType) and bar.until < bar.since:
        raise CaseError("it ends before it begins", fix="give an end after its beginning")


def _bar_dates(did: BarRecorded) -> Iterator[tuple[str, int]]:
    yield "since when it is", did.bar.since
    if not isinstance(did.bar.until, UnsetType):
        yield "until when it was", did.bar.until


def _review_item(case: Case, step: Step, did: EvidenceReviewed) -> Case:
    confirmed: Any = "yes" if did.shows else "no"
    new = msgspec.structs.replace(case.evidence[did.evidence], confirmed=confirmed, by=step.by)
    reviews = case.reviews | {new.id: step.why}
    translations = {k: by for k, by in case.translations.items() if k != new.id}
    if not isinstance(did.translation, UnsetType):
        translations[new.id] = did.translation
    return replace(
        case, evidence=case.evidence | {new.id: new}, reviews=reviews, translations=translations
    )


def _correct_item(case: Case, _step: Step, did: EvidenceCorrected) -> Case:
    reviews = {k: why for k, why in case.reviews.items() if k != did.evidence.id}
    translations = {k: by for k, by in case.translations.items() if k != did.evidence.id}
    corrected = case.evidence | {did.evidence.id: did.evidence}
    return replace(case, evidence=corrected, reviews=reviews, translations=translations)


def _redact_exhibit(case: Case, step: Step, did: ExhibitRedacted) -> Case:
    redaction = did.redaction
    before = case.exhibits[redaction.exhibit]
    copy = msgspec.structs.replace(before, path=redaction.path, sha256=redaction.sha256)
    return replace(
        case,
        exhibits=case.exhibits | {before.id: copy},
        originals={before.id: before} | case.originals,
        redactions=case.redactions | {before.id: (step.n, redaction)},
    )


def _prepare(case: Case, step: Step, did: DeterminationPrepared) -> Case:
    prepared = PreparedDetermination(did.id, did.determination, step.by, step.at)
    return replace(case, determinations=case.determinations | {did.id: prepared})


def _sign(case: Case, step: Step, did: DeterminationSigned) -> Case:
    key = did.signature if isinstance(did.signature, KeySignature) else None
    new = replace(
        case.determinations[did.determination],
        signed_by=step.by,
        signed_at=step.at,
        signed_with=key.key if key else "console" if did.session is not UNSET else "",
    )
    return replace(case, determinations=case.determinations | {new.id: new})


def _put(where: str, name: str) -> Callable[[Case, Step, Any], Case]:
    """An effect that puts what an action holds under `name` among the case's own, by its id."""

    def effect(case: Case, _step: Step, did: Any) -> Case:
        value = getattr(did, name)
        changed: Any = {where: getattr(case, where) | {value.id: value}}
        return replace(case, **changed)

    return effect


def _append(where: str, name: str) -> Callable[[Case, Step, Any], Case]:
    """An effect that appends what an action holds under `name` to the case's own."""

    def effect(case: Case, _step: Step, did: Any) -> Case:
        changed: Any = {where: (*getattr(case, where), getattr(did, name))}
        return replace(case, **changed)

    return effect


def _merge_parties(case: Case, _step: Step, did: PartiesMerged) -> Case:
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


def _unmerge_parties(case: Case, _step: Step, did: PartiesUnmerged) -> Case:
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


def _conduct_dates(did: EvidenceAdded | EvidenceCorrected) -> Iterator[tuple[str, int]]:
    e = did.evidence
    for what, dates in (("when it began", e.began), ("until when it lasted", e.lasted)):
        if dates.earliest is not None:
            yield what, dates.earliest


def salted_digest(salt: str, value: Any) -> str:
    """Salted SHA-256 of a value in canonical JSON, in hex."""
    return sha256(salt.encode() + canonical(msgspec.to_builtins(value)).encode()).hexdigest()


Sealed = tuple[Body, dict[str, Any]]


def _seal_link(case: Case, step: Step, did: AccountLinked, _salt: str) -> Sealed:
    tie = did.link
    hidden = {"by": step.by, "account": tie.account, "party": tie.party}
    return LinkEntry(case.id, tie.basis, tie.strength, tie.exhibit), hidden


def _seal_custody(_case: Case, step: Step, did: ExhibitAdded, salt: str) -> Sealed:
    seal = salted_digest(salt, did.exhibit)
    body = CustodyEntry(did.exhibit.id, "taken into the case", seal, step.why, step.role, "none")
    return body, {"by": step.by}


def _seal_erasure(_case: Case, step: Step, did: AccountErased, _salt: str) -> Sealed:
    return ErasureEntry(did.erasure.openings, 0), {"by": step.by, "reason": step.why or None}


def _seal_notice(state: str, name: str) -> Callable[[Case, Step, Any, str], Sealed]:
    def seal(case: Case, step: Step, did: Any, salt: str) -> Sealed:
        value = getattr(did, name)
        party = case.notices[value.id if name == "notice" else value.notice].party
        body = NoticeEntry(case.id, state, salted_digest(salt, value))
        return body, {"by": step.by, "party": party}

    return seal


def _seal_determination(case: Case, step: Step, did: Any, salt: str) -> Sealed:
    signs = isinstance(did, DeterminationSigned)
    prepared = case.determinations[did.determination if signs else did.id]
    value = prepared.value
    rule = ", ".join(ground.rule for ground in value.grounds) or None
    body = DeterminationEntry(case.id, value.result, rule, value.policy, salted_digest(salt, value))
    hidden = {"party": value.party, "prepared_by": prepared.by}
    return body, hidden | ({"by": step.by} if prepared.signed_by else {})


_ROWS = (
    StepKind(
        CaseOpened, "case opened", "title",
        lambda case, _step, did: replace(case, title=did.title, about=did.about, state="opened"),
    ),
    StepKind(PartyNamed, "party named", "party.name", _put("parties", "party"), _guard_named),
    StepKind(
        PartiesRelated, "tie between parties", "relation.party",
        _append("relations", "relation"), _guard_related, when_closed=True,
    ),
    StepKind(PartiesMerged, "parties merged by a person", "drop", _merge_parties, _guard_merged),
    StepKind(
        PartiesUnmerged, "merge undone by a person", "party", _unmerge_parties, _guard_unmerged
    ),
    StepKind(
        AccountLinked, "account tied", "link.account", _append("links", "link"), _guard_linked,
        entry="link", seal=_seal_link,
    ),
    StepKind(
        ExhibitAdded, "exhibit taken", "exhibit.id", _put("exhibits", "exhibit"),
        _guard_exhibited, when_closed=True, entry="custody", seal=_seal_custody,
    ),
    StepKind(
        ExhibitRedacted, "exhibit redacted", "redaction.exhibit", _redact_exhibit,
        _guard_redaction, when_closed=True,
    ),
    StepKind(
        EvidenceAdded, "evidence drawn", "evidence.id", _put("evidence", "evidence"),
        _guard_evidence, _conduct_dates, when_closed=True,
    ),
    StepKind(
        EvidenceReviewed, "evidence judged by a person", "evidence", _review_item, _guard_review
    ),
    StepKind(
        EvidenceCorrected, "evidence stated anew", "evidence.id", _correct_item,
        _guard_correction, _conduct_dates,
    ),
    StepKind(
        ActionReversed, "action reversed on appeal", "reversal.account",
        lambda case, _step, did: replace(
            case, reversals=case.reversals | {did.reversal.account: did.reversal}
        ),
        dates=lambda did: [("when the action was reversed", did.reversal.at)],
        when_closed=True,
    ),
    StepKind(
        BarRecorded, "bar to action recorded", "bar.kind",
        lambda case, _step, did: replace(case, bars=case.bars | {did.bar.key: did.bar}),
        _guard_bar, _bar_dates, when_closed=True, tone="observe",
    ),
    StepKind(
        AccountErased, "openings of an account erased", "erasure.account",
        lambda case, step, did: replace(
            case, erasures=case.erasures | {did.erasure.account: (step.at, did.erasure)}
        ),
        when_closed=True, entry="erasure", seal=_seal_erasure,
    ),
    StepKind(
        NoticeSent, "notice sent", "notice.id", _put("notices", "notice"), _guard_sent,
        lambda did: [("when the notice was sent", did.notice.sent)],
        entry="notice", seal=_seal_notice("sent", "notice"), tone="observe",
    ),
    StepKind(
        NoticeDelivered, "notice arrived", "delivery.notice", _append("deliveries", "delivery"),
        _guard_delivered, lambda did: [("when the notice arrived", did.delivery.at)],
        entry="notice", seal=_seal_notice("delivered", "delivery"), tone="observe",
    ),
    StepKind(
        ServiceFailed, "notice not served", "attempt.notice", _append("attempts", "attempt"),
        _guard_attempted, lambda did: [("the attempt to serve it", did.attempt.at)],
    ),
    StepKind(
        ReplyReceived, "notice answered", "reply.notice", _append("replies", "reply"),
        _guard_replied, lambda did: [("the answer", did.reply.at)],
        entry="notice", seal=_seal_notice("answered", "reply"), tone="observe",
    ),
    StepKind(
        DeterminationPrepared, "determination prepared", "id", _prepare, _guard_determined,
        lambda did: [("the time as of which is determined", did.determination.as_of)],
        entry="determination", seal=_seal_determination, tone="accent",
    ),
    StepKind(
        SignerNamed, "signer named", "signer.name",
        lambda case, _step, did: replace(
            case, signers=case.signers | {did.signer.key: did.signer}
        ),
        _guard_signer,
    ),
    StepKind(
        DeterminationSigned, "determination signed", "determination", _sign, _guard_signed,
        entry="determination", seal=_seal_determination, tone="accent",
    ),
    StepKind(
        TaskAdded, "task", "task.what", _put("tasks", "task"), _guard_tasked, when_closed=True
    ),
    StepKind(
        TaskFinished, "task done", "task",
        lambda case, _step, did: replace(case, done=case.done | {did.task}),
        _guard_finished, when_closed=True,
    ),
    StepKind(
        StateChanged, "case now", "to",
        lambda case, _step, did: replace(case, state=did.to), _guard_advanced,
        when_closed=True, tone="accent",
    ),
)  # fmt: skip
STEPS: Mapping[type, StepKind] = {kind.did: kind for kind in _ROWS}
"""The kinds of step, by the action that they hold."""
