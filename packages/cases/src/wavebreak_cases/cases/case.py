"""A case as a value: its parties, exhibits, evidence, notices, determinations, tasks and steps.

A case is the fold of its steps; each step holds one action. The tags of actions (`did`) and the
field names are the stored format of version 1 of `case.json`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from wavebreak_cases.cases.determination import CODED_METHOD, METHOD, Determination
from wavebreak_cases.cases.notices import Delivery, Notice, Reply, ServiceAttempt
from wavebreak_cases.cases.parties import (
    STRENGTHS,
    Bar,
    Basis,
    CaseFacts,
    Evidence,
    HeldTie,
    Link,
    Long,
    Names,
    Party,
    Relation,
    Settlement,
    Strength,
    Text,
    Translation,
    WeakTie,
)
from wavebreak_cases.cases.reasons import AccountFigures, Context, EarlierNotice
from wavebreak_cases.cases.signatures import CaseSigner, KeySignature

State = Literal[
    "opened", "investigating", "noticed", "determined", "referred", "closed", "reopened"
]


FileName = Annotated[str, Meta(pattern=r"^(?!/)(?!(.*/)?\.{0,2}(/|$))[ -~]{1,300}$")]
"""A file's path within an exhibit: plain, and never out of it."""
Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Count = Annotated[int, Meta(ge=0)]
Thousandths = Annotated[int, Meta(ge=0, le=1000)]


class RemovedRegion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part of a page that was blacked out.

    `box` is left, top, right and bottom in thousandths of the page.
    """

    page: Annotated[int, Meta(ge=1, le=10_000)]
    box: tuple[Thousandths, Thousandths, Thousandths, Thousandths]


class Redaction(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A redacted copy of an exhibit, in the place of the original.

    The redacted copy takes the original's place in the case; the original remains in the case's own
    directory. The digest of the original stays sealed, and is not shown: of a short text it would
    allow guesses at what was removed to be tested. So a bundle shows the steps that name such
    digests without them, and the step of the redaction says how they are shown (`restated`).
    Whoever is given the original and the step as it is kept can check both against the ledger.

    Attributes:
        path: Where the copy is.
        sha256: The copy's files.
        words: How many words were removed, by kind.
        left_out: Files of the original of which there is no copy.
        restated: By number, the digest of each earlier step as it is shown from now on.
        nonce: Random bytes, so that no digest of this can be guessed at.
    """

    exhibit: Text
    path: Annotated[str, Meta(pattern="^exhibits/E[0-9]{1,5}R[0-9]{1,3}$")]
    sha256: dict[FileName, Sha256]
    words: dict[Literal["phone", "mail", "identity", "address", "name", "text"], Count]
    regions: Annotated[tuple[RemovedRegion, ...], Meta(max_length=1_000)]
    left_out: Names
    restated: dict[str, Sha256]
    nonce: Sha256 | UnsetType = UNSET


class ExhibitReview(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a person found a captured or added page to be, before it was taken into the case."""

    label: Literal["claim", "no_claim"]
    by: Text
    at: Text
    why: Long


class Exhibit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A numbered exhibit: what it is, its files under `path` in the case, and their SHA-256.

    `sha256` is by file name within the exhibit; `captured` is when it was taken (ms). `review` is
    the last one by a person before it was taken in, `reading` the verdict of the automatic reading.
    `nonce` are random bytes, so that no sealed digest of this can be guessed at once the exhibit is
    redacted. A redacted exhibit has the files of its copy.
    """

    id: Text
    kind: Literal[
        "claim", "test_purchase", "partner_notice", "platform_run", "delivery", "reply", "document"
    ]
    title: Text
    path: Annotated[str, Meta(pattern="^exhibits/E[0-9]{1,5}(R[0-9]{1,3})?$")]
    sha256: dict[FileName, Sha256]
    captured: int
    review: ExhibitReview | UnsetType = UNSET
    reading: Literal["claim", "unsure", "benign"] | UnsetType = UNSET
    nonce: Sha256 | UnsetType = UNSET

    @property
    def rejected(self) -> ExhibitReview | None:
        """The review that found it to be no claim, if that was the last one."""
        if isinstance(self.review, UnsetType) or self.review.label != "no_claim":
            return None
        return self.review


class Reversal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An appeal, or a person, took back the platform's action against an account.

    `account` is its pseudonym, `at` when (ms), `basis` where that is recorded, in words.
    """

    account: Text
    at: int
    basis: Text


class Erasure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the case held on an account, by its pseudonym, when its openings were erased.

    Attributes:
        account: The pseudonym.
        openings: Sealed entries of the case that can no longer be opened.
        elsewhere: Sealed entries of the run's own ledger that can no longer be opened.
        links: Links of the account to parties.
        exhibits: Exhibits that hold events of it, which stay under the pseudonym.
        evidence: Evidence of its conduct.
        proofs: Sealed decisions about it in exhibits.
    """

    account: Text
    openings: Count
    elsewhere: Count
    links: Count
    exhibits: Names
    events: Count
    evidence: Names
    proofs: Count


class Task(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A task, perhaps with a due time (ms)."""

    id: Text
    what: Long
    due: int | None = None


class _Action(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="did"):
    pass


class CaseOpened(_Action, frozen=True, forbid_unknown_fields=True, tag="opened"):
    """The case was opened."""

    title: Text
    about: Long = ""


class PartyNamed(_Action, frozen=True, forbid_unknown_fields=True, tag="named"):
    """A party was named; one of the same id takes its place."""

    party: Party


class PartiesRelated(_Action, frozen=True, forbid_unknown_fields=True, tag="related"):
    """Two parties were found to be related."""

    relation: Relation


class PartiesMerged(_Action, frozen=True, forbid_unknown_fields=True, tag="merged"):
    """A person decided that `drop` is the same as `keep`."""

    keep: Text
    drop: Text


class PartiesUnmerged(_Action, frozen=True, forbid_unknown_fields=True, tag="unmerged"):
    """A person decided that a merged party is another one after all."""

    party: Text


class AccountLinked(_Action, frozen=True, forbid_unknown_fields=True, tag="linked"):
    """An account was tied to a party."""

    link: Link


class ExhibitAdded(_Action, frozen=True, forbid_unknown_fields=True, tag="exhibited"):
    """An exhibit was added."""

    exhibit: Exhibit


class ExhibitRedacted(_Action, frozen=True, forbid_unknown_fields=True, tag="redacted"):
    """A redacted copy takes the place of an exhibit."""

    redaction: Redaction


class EvidenceAdded(_Action, frozen=True, forbid_unknown_fields=True, tag="found"):
    """Evidence was drawn from an exhibit; nobody has confirmed it yet."""

    evidence: Evidence


class EvidenceReviewed(_Action, frozen=True, forbid_unknown_fields=True, tag="confirmed"):
    """A person found that an exhibit shows what the evidence says, or that it does not.

    Who does not read the exhibit's language finds it by a `translation`.
    """

    evidence: Text
    shows: bool
    translation: Translation | UnsetType = UNSET


class EvidenceCorrected(_Action, frozen=True, forbid_unknown_fields=True, tag="corrected"):
    """An item of evidence was stated anew, under its id; a person has to review it again."""

    evidence: Evidence


class ActionReversed(_Action, frozen=True, forbid_unknown_fields=True, tag="reversed"):
    """The platform's action against an account was reversed."""

    reversal: Reversal


class BarRecorded(_Action, frozen=True, forbid_unknown_fields=True, tag="barred"):
    """A settlement, a stay or an insolvency was recorded, or its end."""

    bar: Bar


class AccountErased(_Action, frozen=True, forbid_unknown_fields=True, tag="erased"):
    """What the ledger keeps to open entries on an account was erased."""

    erasure: Erasure


class NoticeSent(_Action, frozen=True, forbid_unknown_fields=True, tag="sent"):
    """A notice was sent."""

    notice: Notice


class NoticeDelivered(_Action, frozen=True, forbid_unknown_fields=True, tag="delivered"):
    """A notice reached its party."""

    delivery: Delivery


class ServiceFailed(_Action, frozen=True, forbid_unknown_fields=True, tag="attempted"):
    """An attempt to serve a notice failed."""

    attempt: ServiceAttempt


class ReplyReceived(_Action, frozen=True, forbid_unknown_fields=True, tag="replied"):
    """A party answered."""

    reply: Reply


class DeterminationPrepared(_Action, frozen=True, forbid_unknown_fields=True, tag="determined"):
    """A determination was prepared."""

    id: Text
    determination: Determination


class SignerNamed(_Action, frozen=True, forbid_unknown_fields=True, tag="authorized"):
    """A person with a key may sign determinations of the case."""

    signer: CaseSigner


class DeterminationSigned(_Action, frozen=True, forbid_unknown_fields=True, tag="signed"):
    """A determination was signed by somebody else than who prepared it.

    The signer is authenticated: by the signature of a key that the case names, or by having been
    signed in (`session`). Steps of earlier versions have neither.
    """

    determination: Text
    signature: KeySignature | UnsetType = UNSET
    session: Literal["console"] | UnsetType = UNSET


class TaskAdded(_Action, frozen=True, forbid_unknown_fields=True, tag="tasked"):
    """Something is to be done."""

    task: Task


class TaskFinished(_Action, frozen=True, forbid_unknown_fields=True, tag="finished"):
    """A task is done."""

    task: Text


class StateChanged(_Action, frozen=True, forbid_unknown_fields=True, tag="advanced"):
    """The case went on to another state."""

    to: State


Action = (
    CaseOpened
    | PartyNamed
    | PartiesRelated
    | PartiesMerged
    | PartiesUnmerged
    | AccountLinked
    | ExhibitAdded
    | ExhibitRedacted
    | EvidenceAdded
    | EvidenceReviewed
    | EvidenceCorrected
    | ActionReversed
    | BarRecorded
    | AccountErased
    | NoticeSent
    | NoticeDelivered
    | ServiceFailed
    | ReplyReceived
    | DeterminationPrepared
    | SignerNamed
    | DeterminationSigned
    | TaskAdded
    | TaskFinished
    | StateChanged
)


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One step: its number from 1, when (ms), who in which role, why, and what was done."""

    n: int
    at: int
    by: Text
    role: Text
    why: Long
    did: Action


class CaseFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A case as it is kept: `version` of this layout, its id, its steps.

    `salt` goes into every digest of a step, so that none can be guessed from what it may say.
    """

    version: Literal[1]
    salt: Sha256
    id: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    steps: Annotated[tuple[Step, ...], Meta(max_length=20_000)]


@dataclass(frozen=True)
class PreparedDetermination:
    """A determination in a case: who prepared it, who signed it ("": nobody)."""

    id: str
    value: Determination
    by: str
    at: int
    signed_by: str = ""
    signed_at: int | None = None
    signed_with: str = ""
    """The verifier key, or `console`, by which the signer was authenticated ("": by neither)."""


@dataclass(frozen=True)
class Case:
    """The state of a case after its steps. Everything is in the order of the steps."""

    id: str
    title: str = ""
    about: str = ""
    state: str = ""
    parties: dict[str, Party] = field(default_factory=dict)
    relations: tuple[Relation, ...] = ()
    links: tuple[Link, ...] = ()
    exhibits: dict[str, Exhibit] = field(default_factory=dict)
    originals: dict[str, Exhibit] = field(default_factory=dict)
    """Of each redacted exhibit, the original."""
    redactions: dict[str, tuple[int, Redaction]] = field(default_factory=dict)
    """Of each redacted exhibit, the newest redaction with the number of its step."""
    evidence: dict[str, Evidence] = field(default_factory=dict)
    reviews: dict[str, str] = field(default_factory=dict)
    """By evidence, the reason of who reviewed it last."""
    translations: dict[str, Translation] = field(default_factory=dict)
    """By evidence, by which translation it was confirmed last."""
    bars: dict[str, Bar] = field(default_factory=dict)
    """By what they are of (`Bar.key`)."""
    reversals: dict[str, Reversal] = field(default_factory=dict)
    erasures: dict[str, tuple[int, Erasure]] = field(default_factory=dict)
    """By account, when its openings were erased last (ms), and what was found then."""
    notices: dict[str, Notice] = field(default_factory=dict)
    deliveries: tuple[Delivery, ...] = ()
    attempts: tuple[ServiceAttempt, ...] = ()
    replies: tuple[Reply, ...] = ()
    determinations: dict[str, PreparedDetermination] = field(default_factory=dict)
    signers: dict[str, CaseSigner] = field(default_factory=dict)
    """By verifier key."""
    tasks: dict[str, Task] = field(default_factory=dict)
    done: frozenset[str] = frozenset()
    steps: tuple[Step, ...] = ()

    def fresh(self, letter: str) -> str:
        """The next number of a kind: P, E, V, N, D, T."""
        kept: dict[str, Mapping[str, object]] = {
            "P": self.parties,
            "E": self.exhibits,
            "V": self.evidence,
            "N": self.notices,
            "D": self.determinations,
            "T": self.tasks,
        }
        return f"{letter}{len(kept[letter]) + 1}"

    def root(self, party: str) -> str:
        """The party that a party has been merged into, or itself."""
        while self.parties[party].same_as:
            party = self.parties[party].same_as
        return party

    def open_tasks(self) -> list[Task]:
        """What is still to be done."""
        return [task for task in self.tasks.values() if task.id not in self.done]

    def latest(self) -> list[PreparedDetermination]:
        """The last determination on each party, under the party that it is merged into."""
        last = {self.root(d.value.party): d for d in self.determinations.values()}
        return list(last.values())


def bars_of(case: Case, party: str) -> tuple[Bar, ...]:
    """Return what stands in the way of action against a party, or stood."""
    root = case.root(party)
    return tuple(bar for bar in case.bars.values() if case.root(bar.party) == root)


def bars_on(case: Case, party: str, at: int) -> list[Bar]:
    """Return what stands in the way of action against a party at an instant (ms)."""
    return [bar for bar in bars_of(case, party) if bar.lasts(at)]


def current_links(case: Case, party: str) -> list[Link]:
    """Return the links of accounts to a party; what was judged anew takes the earlier's place."""
    newest: dict[tuple[str, Basis, str], Link] = {}
    for link in case.links:
        if case.root(link.party) == case.root(party):
            key = (link.account, link.basis, link.exhibit)
            if link.strength is not Strength.UNKNOWN or key not in newest:
                newest[key] = link
    return list(newest.values())


def weaker_ties(case: Case, item: Evidence) -> Iterator[Link]:
    """Yield of each account of an item its strongest tie, where the item's own is stronger."""
    if isinstance(item.accounts, UnsetType) or item.strength not in STRENGTHS:
        return
    links = current_links(case, item.party)
    for account in item.accounts:
        known = [k for k in links if k.account == account and k.strength is not Strength.UNKNOWN]
        best = max(known, key=lambda k: STRENGTHS.index(k.strength), default=None)
        if best is not None and STRENGTHS.index(best.strength) < STRENGTHS.index(item.strength):
            yield best


def evidence_for_party(case: Case, party: str, method: int = METHOD) -> tuple[Evidence, ...]:
    """All evidence that bears on a party: its own, that of parties merged into it, and of others.

    Evidence of a related party is tied by the relation alone, and as strong as the weaker of its
    own tie and the relation's. Each item carries what else the case holds on it (`CaseFacts`).
    Determinations by the rules of version 1 knew neither those facts nor what a related party did
    outside the platform; those before version 5 nothing of joint conduct, of what was settled, or
    of ties with dates.
    """
    root = case.root(party)
    bearing = [
        _with_facts(case, e, method) if method > 1 else e
        for e in case.evidence.values()
        if case.root(e.party) == root
    ]
    if method > CODED_METHOD:
        bearing += _of_joint_conduct(case, root, {e.exhibit for e in bearing}, method)
    for relation in case.relations:
        ends = [case.root(relation.party), case.root(relation.other)]
        if root not in ends or ends[0] == ends[1]:
            continue
        other = ends[1] if ends[0] == root else ends[0]
        bearing += [
            _of_related(case, e, relation, root, method)
            for e in case.evidence.values()
            if case.root(e.party) == other and (method > 1 or e.kind == "on_platform")
        ]
    if method > CODED_METHOD:
        bearing = [_with_settlement(case, e, root) for e in bearing]
    return tuple({e.id: e for e in bearing}.values())


def _of_joint_conduct(
    case: Case, root: str, own: Collection[str], method: int
) -> Iterator[Evidence]:
    """Items of others that state joint conduct of this party, of exhibits without an own item.

    How strongly such an exhibit is tied to this party is then not judged yet.
    """
    for e in case.evidence.values():
        joint = () if isinstance(e.jointly, UnsetType) else e.jointly
        if e.exhibit in own or root not in map(case.root, joint) or case.root(e.party) == root:
            continue
        facts = msgspec.structs.replace(
            _with_facts(case, e, method).case_facts, jointly_with=case.root(e.party)
        )
        others = tuple(p for p in (e.party, *joint) if case.root(p) != root)
        yield msgspec.structs.replace(
            e,
            id=f"{e.id}/{root}",
            party=root,
            jointly=others,
            strength=Strength.UNKNOWN,
            facts=facts,
        )


def _with_settlement(case: Case, e: Evidence, root: str) -> Evidence:
    """An item with the last settlement with the party on which is determined."""
    settled = [
        b for b in bars_of(case, root) if b.kind == "settlement" and isinstance(b.until, UnsetType)
    ]
    if not settled:
        return e
    last = max(settled, key=lambda bar: bar.since)
    settlement = Settlement(last.since, last.exhibit)
    facts = msgspec.structs.replace(e.case_facts, settlement=settlement)
    return msgspec.structs.replace(e, facts=facts)


_INVERSE = {
    "successor": "predecessor",
    "owner": "subsidiary",
    "officer": "principal",
    "reseller": "supplier",
}


def _of_related(case: Case, e: Evidence, relation: Relation, root: str, method: int) -> Evidence:
    item = msgspec.structs.replace(
        _with_facts(case, e, method) if method > 1 else e,
        id=f"{e.id}/{relation.exhibit}",
        party=root,
        basis=Basis.SUCCESSION if relation.kind == "successor" else Basis.AFFILIATION,
        strength=_weaker(e.strength, relation.strength),
    )
    if method == 1:
        return item
    of_root = case.root(relation.other) == root
    facts = msgspec.structs.replace(
        item.case_facts,
        conduct_of=case.root(e.party),
        relation=relation.kind if of_root else _INVERSE.get(relation.kind, relation.kind),
        relation_exhibit=relation.exhibit,
        relation_strength=str(relation.strength),
    )
    if method > CODED_METHOD and not isinstance(relation.dates, UnsetType):
        held = () if isinstance(facts.held, UnsetType) else facts.held
        ended = HeldTie("", relation.dates, relation.exhibit)
        facts = msgspec.structs.replace(facts, held=(*held, ended))
    return msgspec.structs.replace(item, facts=facts)


def _with_facts(case: Case, e: Evidence, method: int) -> Evidence:
    """An item with what else the case holds on it."""
    exhibit = case.exhibits[e.exhibit]
    rejected = exhibit.rejected
    if isinstance(e.accounts, UnsetType):
        accounts = {k.account for k in case.links if case.root(k.party) == case.root(e.party)}
    else:
        accounts = set(e.accounts)
    # Determinations by the rules of version 2 did not know of erasures.
    erased = tuple(name for name in case.erasures if name in accounts) if method > 2 else ()
    facts = CaseFacts(
        rejected_by=rejected.by if rejected else "",
        rejected_why=rejected.why if rejected else "",
        reviewed_why=case.reviews.get(e.id, ""),
        reading="" if isinstance(exhibit.reading, UnsetType) else exhibit.reading,
        reversed_accounts=tuple(name for name in case.reversals if name in accounts)
        if e.kind == "on_platform"
        else (),
        erased_accounts=erased if erased and e.kind == "on_platform" else UNSET,
    )
    if method > CODED_METHOD:
        weaker = tuple(
            WeakTie(k.account, k.basis, k.strength, k.exhibit) for k in weaker_ties(case, e)
        )
        facts = msgspec.structs.replace(
            facts,
            held=_held_ties(case, e) or UNSET,
            weaker_ties=weaker or UNSET,
            translation=case.translations.get(e.id, UNSET),
        )
    return e if facts == CaseFacts() else msgspec.structs.replace(e, facts=facts)


def _held_ties(case: Case, e: Evidence) -> tuple[HeldTie, ...]:
    """When the accounts of an item were its party's, as far as their links say."""
    accounts = () if isinstance(e.accounts, UnsetType) else e.accounts
    return tuple(
        HeldTie(link.account, link.dates, link.exhibit)
        for link in current_links(case, e.party)
        if link.account in accounts and not isinstance(link.dates, UnsetType)
    )


def context_for_party(
    case: Case, party: str, figures: Mapping[str, tuple[AccountFigures, ...]] | None = None
) -> Context:
    """What the sentences of a determination on a party name.

    Args:
        case: The case.
        party: The party.
        figures: By exhibit, what accounts of runs did, in figures.
    """
    root = case.root(party)
    return Context(
        {p.id: p.name for p in case.parties.values()},
        {e.id: e.title for e in case.exhibits.values()},
        {
            n.id: notice_arrival(case, n)
            for n in case.notices.values()
            if case.root(n.party) == root
        },
        tuple(_predecessors_notices(case, root)),
        bars_of(case, party),
        figures or {},
    )


def _predecessors_notices(case: Case, root: str) -> Iterator[EarlierNotice]:
    """Notices to a party of which this one is the successor."""
    for relation in case.relations:
        if relation.kind != "successor" or relation.strength is Strength.NONE:
            continue
        other = case.root(relation.other)
        if case.root(relation.party) != root or other == root:
            continue
        for n in case.notices.values():
            if case.root(n.party) == other:
                arrived = notice_arrival(case, n)
                by = (relation.exhibit, str(relation.strength))
                yield EarlierNotice(n.id, other, arrived, *by)


def notice_arrival(case: Case, notice: Notice) -> int:
    """When a notice arrived (ms); where no proof of that is there, when it was sent."""
    return min((d.at for d in case.deliveries if d.notice == notice.id), default=notice.sent)


def _weaker(one: Strength, other: Strength) -> Strength:
    known = [s for s in (one, other) if s is not Strength.UNKNOWN]
    least = min(known, key=STRENGTHS.index, default=Strength.UNKNOWN)
    return least if len(known) == 2 or least is Strength.NONE else Strength.UNKNOWN
