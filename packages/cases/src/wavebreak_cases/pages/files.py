"""Case workspaces as the console shows them: the list, each tab of a case, what may be done next.

A case is read without its lock: its file is replaced whole at each step. It is opened for writing
by `open_for_act`, which waits a moment for the lock and then gives up. Nothing here changes a case.
"""

from __future__ import annotations

import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple, cast
from urllib.parse import urlencode

from msgspec import UnsetType

from wavebreak.errors import CaseBusyError, CaseError
from wavebreak.languages import SOURCE_LANGUAGE, get_language, msgid
from wavebreak_cases.bundles.case_tables import to_words
from wavebreak_cases.bundles.pseudonyms import case_key, make_renamer
from wavebreak_cases.bundles.report_text import ReportText
from wavebreak_cases.bundles.reversals import is_reversal
from wavebreak_cases.bundles.workspace import CASE, CaseWorkspace, load_case, open_workspace
from wavebreak_cases.cases import workflow
from wavebreak_cases.cases.case import (
    Action,
    BarRecorded,
    Case,
    EvidenceReviewed,
    ExhibitAdded,
    PreparedDetermination,
    Reversal,
    StateChanged,
    Step,
    evidence_for_party,
    weaker_ties,
)
from wavebreak_cases.cases.completeness import MISSING, find_gaps
from wavebreak_cases.cases.counterfactuals import Counterfactual
from wavebreak_cases.cases.date_ranges import DateRange, format_instant
from wavebreak_cases.cases.determination import ADVICE
from wavebreak_cases.cases.notices import Notice
from wavebreak_cases.cases.parties import (
    DateSource,
    Evidence,
    Link,
    load_name_weights,
    normalize_name,
    propose_merges,
)
from wavebreak_cases.pages.apps import CaseStore
from wavebreak_server.errors import ApiError
from wavebreak_server.slices.appeals.models import Appeal
from wavebreak_server.slices.users.models import User
from wavebreak_server.storage.models import AuditEntry, EnforcementState
from wavebreak_server.texts import page_language, translate

CASE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
LOADED = 256
"""Cases that are kept in memory as they were last read."""
INDEX_S = 5.0
"""Seconds for which no changed cases are looked for, where no act changed one here."""
NAMES_S = 60.0
MAX_NAMES = 20_000
"""Accounts with an outcome whose pseudonyms are compared with those of a case's links."""
LOCK_WAIT_S = 1.5
LOCK_TRY_S = 0.05
_BUSY_FIX = "nothing was changed; try again in a few seconds"

Clock = Callable[[], int]


class LoadedCase(NamedTuple):
    """A case as it was read: its directory and its state."""

    path: Path
    case: Case


class CaseRow(NamedTuple):
    """A case in the list; `error` says why it cannot be read, and then nothing else is known.

    `results` are those of the newest determinations: in words, whether signed, whether current.
    """

    id: str
    title: str = ""
    state: str = ""
    parties: tuple[str, ...] = ()
    open_tasks: int = 0
    deadline: int | None = None
    overdue: bool = False
    results: tuple[tuple[str, bool, bool], ...] = ()
    steps: int = 0
    newest: int = 0
    newest_step: Action | None = None
    error: str = ""

    @property
    def newest_words(self) -> str:
        """Its newest step in a few words."""
        return "" if self.newest_step is None else step_words(self.newest_step)


class Deadline(NamedTuple):
    """What is to be done or answered until when; `form` is the act that ends it."""

    id: str
    what: str
    due: int | None
    overdue: bool
    form: str


class Check(NamedTuple):
    """A condition of an act: whether it holds, and what to do where it does not, on which tab."""

    what: str
    holds: bool
    fix: str = ""
    tab: str = ""


class Transition(NamedTuple):
    """A state that a case may go to, its conditions, and whether all of them hold."""

    to: str
    checks: tuple[Check, ...]
    allowed: bool


class LinkedCase(NamedTuple):
    """A case that links an account, with how the account is tied to whom.

    `account` is the account, or in the list that is kept its pseudonym.
    """

    id: str
    title: str
    state: str
    account: str
    party: str
    basis: str
    strength: str


_index: dict[Path, tuple[float, dict[Path, _Brief]]] = {}
_names: dict[Path, tuple[float, int, dict[str, str]]] = {}
_lock = threading.Lock()


def load(store: CaseStore, case_id: str) -> LoadedCase:
    """Return a case by its id; raises ApiError (404) where there is none.

    Raises CaseError where its file is damaged.
    """
    if not CASE_ID.fullmatch(case_id) or not (store.directory / case_id / CASE).is_file():
        raise ApiError(
            404, translate("there is no such case"), fix=translate("see the list of cases")
        )
    path = store.directory / case_id
    return _load(path, _signature(path))


Signature = tuple[int, int, int]


def _signature(path: Path) -> Signature:
    about = (path / CASE).stat()
    return about.st_mtime_ns, about.st_size, about.st_ino


@lru_cache(maxsize=LOADED)
def _load(path: Path, _signature: Signature) -> LoadedCase:
    return LoadedCase(path, load_case(path / CASE)[1])


class PartyCase(NamedTuple):
    """A case of a party that has a name in whatever spelling: the party's, and the asked one."""

    id: str
    title: str
    state: str
    party: str
    name: str


class UnsignedDetermination(NamedTuple):
    """A current determination that waits for a signature: by which role, and who prepared it."""

    case: str
    title: str
    id: str
    signs: str
    by: str


class _Brief(NamedTuple):
    """What the list of cases, and pages of accounts and names, need of a case, as its file was.

    `names`: each name and alias of its parties, with the name of the party.
    """

    signature: Signature
    row: CaseRow
    dues: tuple[int, ...] = ()
    case_id: str = ""
    links: tuple[LinkedCase, ...] = ()
    names: tuple[tuple[str, str], ...] = ()
    unsigned: tuple[UnsignedDetermination, ...] = ()


def _briefs(store: CaseStore) -> list[_Brief]:
    """Return every case of a store in brief; only files that changed are read."""
    known = _index.get(store.directory)
    if known is not None and time.monotonic() - known[0] < INDEX_S:
        return list(known[1].values())
    former = known[1] if known else {}
    found: dict[Path, _Brief] = {}
    for path in sorted(store.directory.iterdir()) if store.directory.is_dir() else ():
        if CASE_ID.fullmatch(path.name) and (path / CASE).is_file():
            brief = former.get(path)
            if brief is None or brief.signature != _signature(path):
                brief = _brief(path)
            found[path] = brief
    _index[store.directory] = (time.monotonic(), found)
    return list(found.values())


def _brief(path: Path) -> _Brief:
    signature = _signature(path)
    try:
        case = load_case(path / CASE)[1]
    except (CaseError, OSError) as error:
        what = error.what if isinstance(error, CaseError) else "it cannot be read"
        return _Brief(signature, CaseRow(path.name, error=what.replace(f"{path}/", "")))
    last = case.steps[-1]
    row = CaseRow(
        path.name,
        case.title,
        case.state,
        tuple(p.name for p in case.parties.values() if not p.same_as),
        len(case.open_tasks()),
        results=tuple(
            (to_words(d.value.result), bool(d.signed_by), _fits(case, d)) for d in case.latest()
        ),
        steps=len(case.steps),
        newest=last.at,
        newest_step=last.did,
    )
    dues = tuple(d.due for d in deadlines(case, 0) if d.due is not None)
    links = tuple(
        LinkedCase(
            path.name,
            case.title,
            case.state,
            link.account,
            case.parties[case.root(link.party)].name,
            to_words(link.basis),
            str(link.strength),
        )
        for link in case.links
    )
    names = tuple(
        (name, case.parties[case.root(party.id)].name)
        for party in case.parties.values()
        for name in (party.name, *party.aliases)
    )
    unsigned = tuple(
        UnsignedDetermination(path.name, case.title, d.id, d.value.signs, d.by)
        for d in case.latest()
        if case.state != "closed" and not d.signed_by and _fits(case, d)
    )
    return _Brief(signature, row, dues, case.id, links, names, unsigned)


def forget(store: CaseStore) -> None:
    """Look for changed cases at the next request, after an act."""
    known = _index.get(store.directory)
    if known is not None:
        _index[store.directory] = (-INDEX_S, known[1])


def list_cases(store: CaseStore, now: int, state: str = "") -> tuple[list[CaseRow], dict[str, int]]:
    """Return the cases, the newest step first, and how many there are in each state."""
    rows = [
        brief.row._replace(deadline=brief.dues[0], overdue=brief.dues[0] < now)
        if brief.dues
        else brief.row
        for brief in _briefs(store)
    ]
    counts: dict[str, int] = {}
    for row in rows:
        counts[row.state] = counts.get(row.state, 0) + 1
    chosen = [row for row in rows if state in ("", row.state)]
    return sorted(chosen, key=lambda row: -row.newest), counts


def unsigned_by(store: CaseStore, user: User) -> list[UnsignedDetermination]:
    """Return the determinations that a person may sign: of their role, prepared by another."""
    return [
        each
        for brief in _briefs(store)
        for each in brief.unsigned
        if each.signs == user.role and not same_person(user, each.by)
    ]


def cases_of_account(store: CaseStore, account: str) -> list[LinkedCase]:
    """Return the cases that link an account; links hold its pseudonym of that case."""
    return cases_of_accounts(store, [account])


def cases_of_accounts(store: CaseStore, accounts: Sequence[str]) -> list[LinkedCase]:
    """Return the cases that link any of some accounts, one entry a link."""
    found = []
    for brief in _briefs(store):
        if brief.links:
            rename = make_renamer(case_key(store.secret, brief.case_id))
            hidden = {rename("a", account): account for account in accounts}
            found += [
                link._replace(account=hidden[link.account])
                for link in brief.links
                if link.account in hidden
            ]
    return found


def cases_of_names(store: CaseStore, names: Sequence[str]) -> list[PartyCase]:
    """Return the cases in which any of some names is a party's, each party once.

    Names are compared without case, marks, punctuation and legal form, as parties of cases are; a
    name alone says of nobody who it is.
    """
    suffixes = load_name_weights(store.policy).legal["suffixes"]
    asked = {normalize_name(name, suffixes): name for name in reversed(names)}
    asked.pop("", None)
    found: dict[tuple[str, str], PartyCase] = {}
    for brief in _briefs(store) if asked else ():
        for spelling, party in brief.names:
            name = asked.get(normalize_name(spelling, suffixes))
            if name is not None:
                row = brief.row
                case = PartyCase(row.id, row.title, row.state, party, name)
                found.setdefault((row.id, party), case)
    return list(found.values())


def account_names(store: CaseStore, loaded: LoadedCase) -> dict[str, str]:
    """Return the accounts behind a case's links, by pseudonym, as far as they are known here.

    Pseudonyms cannot be reversed: those of the accounts that have an outcome are compared.
    """
    case = loaded.case
    known = _names.get(loaded.path)
    if known and known[1] == len(case.links) and time.monotonic() - known[0] < NAMES_S:
        return known[2]
    wanted = {link.account for link in case.links} - case.erasures.keys()
    names: dict[str, str] = {}
    if wanted:
        rename = make_renamer(case_key(store.secret, case.id))
        rows = EnforcementState.objects.exclude(outcome="allow").order_by("-decision")
        for account in rows.values_list("account", flat=True)[:MAX_NAMES]:
            hidden = rename("a", account)
            if hidden in wanted:
                names[hidden] = account
    with _lock:
        while len(_names) >= LOADED:
            _names.pop(next(iter(_names)))
        _names[loaded.path] = (time.monotonic(), len(case.links), names)
    return names


def known_reversals(store: CaseStore, case: Case) -> list[Reversal]:
    """Return the actions against a case's accounts that an appeal or an override took back.

    Accounts are compared by their pseudonyms in the case; of each the newest act counts.
    """
    wanted = {link.account for link in case.links}
    wanted |= {a for e in case.evidence.values() if e.accounts for a in e.accounts}
    if not wanted:
        return []
    rename = make_renamer(case_key(store.secret, case.id))
    acts: list[tuple[int, str, str, bool]] = [
        (appeal.decided_ms, appeal.account, f"appeal {appeal.id}, reversed", True)
        for appeal in Appeal.objects.filter(
            state=Appeal.DECIDED, result=Appeal.REVERSED, decided_ms__isnull=False
        )
    ]
    for entry in AuditEntry.objects.filter(action="override", outcome="done").order_by("number"):
        verdict, _, by = entry.reason.partition(", ")
        label, _, outcome = verdict.partition(" ")
        lifted = is_reversal(label, outcome.split(" ")[0] or None)
        basis = f"override by {by.partition(':')[0]}, entry {entry.number} of the audit log"
        acts.append((entry.at_ms, entry.object, basis, lifted))
    newest: dict[str, Reversal | None] = {}
    for at, account, basis, lifted in sorted(acts):
        hidden = rename("a", account)
        if hidden in wanted:
            newest[hidden] = Reversal(hidden, at, basis) if lifted else None
    return [found for found in newest.values() if found is not None]


@contextmanager
def open_for_act(
    store: CaseStore, case_id: str, clock: Clock, *, new: bool = False
) -> Iterator[CaseWorkspace]:
    """Open a case for one act; raises ApiError (409) where somebody else is writing to it.

    The lock is tried for a moment only: who waits holds a thread of the service.
    """
    if not CASE_ID.fullmatch(case_id):
        raise ApiError(
            422,
            translate("the case's number is not well formed"),
            fix=translate("use letters, digits, dots and dashes"),
        )
    path = store.directory / case_id
    if not new and not (path / CASE).exists():
        raise ApiError(
            404, translate("there is no such case"), fix=translate("see the list of cases")
        )
    if new and path.exists():
        raise ApiError(
            422,
            translate("there is a case {case_id} already", case_id=case_id),
            fix=translate("choose another number"),
        )
    until = time.monotonic() + LOCK_WAIT_S
    while True:
        opened = open_workspace(
            path, store.signer, clock, secrets.token_bytes, new=case_id if new else ""
        )
        try:
            workspace = opened.__enter__()
            break
        except CaseBusyError:
            if time.monotonic() >= until:
                raise ApiError(
                    409,
                    translate("somebody else is writing to case {case_id}", case_id=case_id),
                    fix=_BUSY_FIX,
                ) from None
            time.sleep(LOCK_TRY_S)
    try:
        yield workspace
    finally:
        opened.__exit__(None, None, None)
        forget(store)


def next_case_id(store: CaseStore, year: int) -> str:
    """Return a number that no case has yet: C-2026-1, and so on."""
    there = {path.name for path in store.directory.iterdir()} if store.directory.is_dir() else set()
    number = 1
    while f"C-{year}-{number}" in there:
        number += 1
    return f"C-{year}-{number}"


def deadlines(case: Case, now: int) -> list[Deadline]:
    """Return what is open: answers to notices, and tasks; the earliest first."""
    answered = {reply.notice for reply in case.replies}
    open_ = [
        Deadline(
            n.id,
            f"Answer to notice {n.id} from {case.parties[n.party].name}",
            n.due,
            n.is_overdue(now),
            "record_reply",
        )
        for n in case.notices.values()
        if n.id not in answered
    ]
    open_ += [
        Deadline(t.id, t.what, t.due, t.due is not None and t.due < now, "finish_task")
        for t in case.open_tasks()
    ]
    return sorted(open_, key=lambda d: (d.due is None, d.due or 0))


def shown_people(case: Case) -> dict[str, str]:
    """Return the names to show for the actors of a case: `user:noa` is shown as Noa's name."""
    actors = {step.by for step in case.steps}
    usernames = {a.removeprefix("user:") for a in actors if a.startswith("user:")}
    users = {u.actor: u.shown_name for u in User.objects.filter(username__in=usernames)}
    return {actor: users.get(actor, actor.removeprefix("user:")) for actor in actors}


class ShownStep(NamedTuple):
    """A step as the timeline shows it."""

    n: int
    at: int
    by: str
    role: str
    words: str
    why: str
    tone: str


def timeline(case: Case, people: dict[str, str]) -> list[ShownStep]:
    """Return the sealed steps, the newest first."""
    return [shown_step(step, people) for step in reversed(case.steps)]


_STEPS = {
    None: msgid("{what}: {subject}"),
    True: msgid("{what}: {subject} shows it"),
    False: msgid("{what}: {subject} does not show it"),
}
"""By whether a person judged that something shows what it is said to show."""


def step_words(did: Action) -> str:
    """Return a step in a few words, in the language of the page: it is sealed as codes.

    >>> step_words(StateChanged("noticed"))
    'case now: noticed'
    """
    subject = workflow.action_subject(did)
    if isinstance(did, StateChanged | BarRecorded):
        subject = translate(to_words(subject))
    text = _STEPS[getattr(did, "shows", None)]
    return translate(text, what=translate(workflow.kind_of(did).phrase), subject=subject)


def shown_step(step: Step, people: dict[str, str]) -> ShownStep:
    """Return a step with the name of who took it."""
    words = step_words(step.did)
    return ShownStep(
        step.n,
        step.at,
        people.get(step.by, step.by),
        step.role,
        words[:1].upper() + words[1:],
        step.why,
        workflow.kind_of(step.did).tone,
    )


class MissingRow(NamedTuple):
    """Something that a case still needs, and the form that fills it in."""

    item: str
    missing: str
    form: str
    query: str


_ASKED = {
    "correct_evidence": "item",
    "review_evidence": "item",
    "add_evidence": "exhibit",
    "link_account": "party",
    "prepare_determination": "party",
}
"""By form, the field that takes the item of a gap."""


def missing_rows(case: Case) -> list[MissingRow]:
    """Return what a case still needs until counsel can sign, in the order of the work."""
    rows = []
    for gap in find_gaps(case):
        asked, value = _ASKED.get(gap.act, ""), gap.item
        if gap.act == "sign_determination":
            asked, value = "determination", gap.command[1]
        known = value in case.exhibits if asked == "exhibit" else bool(value)
        query = f"?{urlencode({asked: value})}" if asked and known else ""
        values = {name: translate(v.removeprefix("user:")) for name, v in gap.values.items()}
        missing = translate(MISSING[gap.code], **values)
        rows.append(MissingRow(gap.item, missing, gap.act, query))
    return rows


def transitions(case: Case, user: User, now: int) -> list[Transition]:
    """Return the states that a case may go to, each with its conditions as a checklist."""
    offered = []
    for to in workflow.TRANSITIONS[case.state]:
        step = Step(
            len(case.steps) + 1,
            max(now, case.steps[-1].at),
            user.actor,
            user.role,
            "-",
            StateChanged(to),
        )
        try:
            workflow.validate_step(case, step)
            allowed = True
        except CaseError:
            allowed = False
        offered.append(Transition(to, tuple(_transition_checks(case, to)), allowed))
    return offered


def _transition_checks(case: Case, to: str) -> Iterator[Check]:
    if to == "investigating":
        yield Check(
            translate("A party is named"),
            bool(case.parties),
            translate("Name the party"),
            "parties",
        )
    if to == "noticed":
        yield Check(
            translate("A notice is shown to have arrived"),
            bool(case.deliveries),
            translate("Record its delivery, with the exhibit that proves it"),
            "notices",
        )
    if to in ("determined", "referred"):
        latest = case.latest()
        yield Check(
            translate("A determination is prepared"),
            bool(latest),
            translate("Prepare one on each party"),
            "determination",
        )
        yield Check(
            translate("Each newest determination is signed"),
            bool(latest) and all(d.signed_by for d in latest),
            translate("Let a second person sign"),
            "determination",
        )
        yield Check(
            translate("Each is of the evidence as it is now"),
            bool(latest) and all(_fits(case, d) for d in latest),
            translate("Prepare it again: the evidence changed"),
            "determination",
        )
    if to == "referred":
        yield Check(
            translate("A party is eligible"),
            any(d.value.result == "eligible" for d in case.latest()),
            translate("Close the case, or bring further evidence"),
            "determination",
        )
    if to == "closed":
        open_ = case.open_tasks()
        listed = ", ".join(task.id for task in open_[:5])
        yield Check(
            translate("No task is open"), not open_, translate("Finish {tasks}", tasks=listed), ""
        )


def _fits(case: Case, prepared: PreparedDetermination) -> bool:
    return workflow.is_current(case, prepared.value)


def stale(case: Case) -> list[PreparedDetermination]:
    """Return the newest determinations that are not of the evidence as it is now."""
    return workflow.stale_determinations(case)


def same_person(user: User, name: str) -> bool:
    """Whether a name in a case is the signed-in user, by account, user name or shown name.

    Commands take names as they are typed: who prepared by a command cannot sign in the console.
    """

    def plain(text: str) -> str:
        return " ".join(text.casefold().split())

    return plain(name) in {plain(n) for n in (user.actor, user.username, user.shown_name)}


def signing_checks(case: Case, prepared: PreparedDetermination, user: User) -> list[Check]:
    """Return the conditions under which a person may sign a determination."""
    signs = prepared.value.signs
    return [
        Check(
            translate("It is not signed yet"),
            not prepared.signed_by,
            translate("Prepare it again to sign anew"),
        ),
        Check(
            translate("You have the role {role}", role=translate(signs)),
            user.role == signs,
            translate("A person with the role {role} signs", role=translate(signs)),
        ),
        Check(
            translate("Somebody else prepared it"),
            not same_person(user, prepared.by),
            translate("You prepared it: let a colleague sign (four eyes)"),
        ),
        Check(
            translate("It is of the evidence as it is now"),
            _fits(case, prepared),
            translate("Prepare it again: the evidence changed since"),
        ),
        Check(
            translate("The case is not closed"),
            case.state != "closed",
            translate("Reopen the case"),
        ),
    ]


def preparing_checks(case: Case, party: str) -> list[Check]:
    """Return what is known of a party before a determination: nothing here forbids one."""
    items = evidence_for_party(case, party)
    unknown = [e.id for e in items if e.confirmed == "unknown"]
    open_dates = [e.id for e in items if e.known_lasted == DateRange()]
    return [
        Check(
            translate("There is evidence on the party"),
            bool(items),
            translate("Draw evidence from an exhibit"),
        ),
        Check(
            translate("A person reviewed every item"),
            bool(items) and not unknown,
            translate(
                "Review {items}: until then it counts as not known", items=", ".join(unknown[:8])
            )
            if unknown
            else translate("There is nothing to review yet"),
        ),
        Check(
            translate("Every item says until when it lasted"),
            bool(items) and not open_dates,
            translate("{items}: not known", items=", ".join(open_dates[:8]))
            if open_dates
            else translate("No dates yet"),
        ),
    ]


class ShownDates(NamedTuple):
    """A date as it was said, and the days that it may mean ("": it says so itself)."""

    said: str
    span: str


def shown_dates(dates: DateRange) -> ShownDates:
    """Return a date with the days that it may mean.

    >>> from wavebreak_cases.cases.date_ranges import parse_date
    >>> shown_dates(parse_date("about 2020-03", "UTC"))
    ShownDates(said='about 2020-03 (UTC)', span='2020-01-30 to 2020-05-01')
    >>> shown_dates(parse_date("unknown"))
    ShownDates(said='not known', span='')
    """
    if dates.earliest is None and dates.latest is None:
        return ShownDates(translate("not known"), "")
    ends = [
        translate("open") if e is None else format_instant(e)[:10]
        for e in (dates.earliest, dates.latest)
    ]
    if ends[0] == ends[1]:
        return ShownDates(ends[0], "")
    span = translate("{first} to {last}", first=ends[0], last=ends[1])
    return ShownDates(dates.said, span)


class ShownEvidence(NamedTuple):
    """An item of evidence with who reviewed it, when and why, and ties weaker than its own."""

    item: Evidence
    party: str
    exhibit_title: str
    conduct: str
    began: ShownDates
    lasted: ShownDates
    began_source: str
    lasted_source: str
    basis: str
    review: ShownStep | None
    weaker: tuple[Link, ...] = ()


def conduct_words(e: Evidence) -> str:
    """Return what an item shows that the party did, and where it was seen."""
    did = translate("no violation") if e.conduct == "neither" else translate(to_words(e.conduct))
    if e.conduct in ("engaged", "assisted"):
        kinds = () if isinstance(e.violations, UnsetType) else e.violations
        listed = ", ".join(translate(to_words(kind)) for kind in kinds)
        did += f" ({listed or translate('kind of violation not stated')})"
    return f"{did}, {translate(to_words(e.kind))}"


def evidence_rows(case: Case, people: dict[str, str], exhibit: str = "") -> list[ShownEvidence]:
    """Return the evidence of a case, or that of one exhibit."""
    reviews = {
        step.did.evidence: shown_step(step, people)
        for step in case.steps
        if isinstance(step.did, EvidenceReviewed)
    }
    return [
        ShownEvidence(
            e,
            case.parties[case.root(e.party)].name,
            case.exhibits[e.exhibit].title,
            conduct_words(e),
            shown_dates(e.began),
            shown_dates(e.lasted),
            _date_basis(e.began, e.began_source),
            _date_basis(e.lasted, e.lasted_source),
            to_words(e.basis),
            reviews.get(e.id),
            tuple(weaker_ties(case, e)),
        )
        for e in case.evidence.values()
        if exhibit in ("", e.exhibit)
    ]


def _date_basis(dates: DateRange, source: DateSource | UnsetType) -> str:
    """What a date rests on; one without a source counts as not known."""
    if dates == DateRange() or (dates.earliest is None and dates.latest is None):
        return ""
    if isinstance(source, UnsetType):
        return translate("on no stated basis: it counts as not known")
    by = source.by.removeprefix("user:")
    return translate("by {by}: {basis}", by=by, basis=source.basis)


class ShownExhibit(NamedTuple):
    """An exhibit in the list, with the evidence that was drawn from it."""

    id: str
    kind: str
    title: str
    captured: int
    files: int
    evidence: tuple[str, ...]
    unreviewed: int
    added: ShownStep | None


def exhibit_rows(case: Case, people: dict[str, str]) -> list[ShownExhibit]:
    """Return the exhibits of a case, in their order."""
    added = {
        step.did.exhibit.id: shown_step(step, people)
        for step in case.steps
        if isinstance(step.did, ExhibitAdded)
    }
    rows = []
    for exhibit in case.exhibits.values():
        items = [e for e in case.evidence.values() if e.exhibit == exhibit.id]
        rows.append(
            ShownExhibit(
                exhibit.id,
                to_words(exhibit.kind),
                exhibit.title,
                exhibit.captured,
                len(exhibit.sha256),
                tuple(e.id for e in items),
                sum(e.confirmed == "unknown" for e in items),
                added.get(exhibit.id),
            )
        )
    return rows


class ShownNotice(NamedTuple):
    """A notice with its deliveries and answers."""

    notice: Notice
    party: str
    deliveries: tuple[Any, ...]
    replies: tuple[Any, ...]
    attempts: tuple[Any, ...]
    overdue: bool

    @property
    def pdf(self) -> str:
        """The name of the letter as PDF."""
        return f"{self.notice.id}.pdf"

    @property
    def docx(self) -> str:
        """The name of the letter as DOCX."""
        return f"{self.notice.id}.docx"

    @property
    def direction(self) -> str:
        """The direction in which the notice is read."""
        return get_language(self.notice.language).direction


def notice_rows(case: Case, now: int) -> list[ShownNotice]:
    """Return the notices of a case, the newest first."""
    rows = []
    for notice in reversed(case.notices.values()):
        replies = tuple(r for r in case.replies if r.notice == notice.id)
        rows.append(
            ShownNotice(
                notice,
                case.parties[case.root(notice.party)].name,
                tuple(d for d in case.deliveries if d.notice == notice.id),
                replies,
                tuple(a for a in case.attempts if a.notice == notice.id),
                not replies and notice.is_overdue(now),
            )
        )
    return rows


class ShownDetermination(NamedTuple):
    """A determination with names in place of numbers, and the conditions of its signature."""

    prepared: PreparedDetermination
    party: str
    result: str
    by: str
    signed_by: str
    signed_with: str
    reasons: tuple[str, ...]
    exhibits: tuple[tuple[str, str], ...]
    changes: tuple[tuple[str, str], ...]
    advice: str
    newest: bool
    current: bool
    checks: list[Check]

    @property
    def stale(self) -> bool:
        """Whether it is the newest of its party and the evidence changed since."""
        return self.newest and not self.current

    @property
    def may_sign(self) -> bool:
        """Whether the signed-in person may sign now."""
        return all(check.holds for check in self.checks)


def determination_rows(case: Case, user: User, people: dict[str, str]) -> list[ShownDetermination]:
    """Return the determinations of a case, the newest first."""
    latest = {d.id for d in case.latest()}
    return [
        ShownDetermination(
            d,
            case.parties[case.root(d.value.party)].name,
            to_words(d.value.result),
            people.get(d.by, d.by),
            people.get(d.signed_by, d.signed_by),
            "" if d.signed_with in ("", "console") else "with a key",
            d.value.sentences(page_language().code),
            tuple((e, case.exhibits[e].title) for e in d.value.exhibits),
            tuple((_supposed(c), to_words(c.result)) for c in d.value.changes),
            _advice(d),
            d.id in latest,
            _fits(case, d),
            signing_checks(case, d, user),
        )
        for d in reversed(case.determinations.values())
    ]


@cache
def report_words(language: str) -> ReportText:
    """Return the words of a report in a language of pages, for what records hold in English."""
    return ReportText(cast(Any, language))


def _supposed(change: Counterfactual) -> str:
    """Return what a determination supposes otherwise; in English as it was sealed."""
    language = page_language().code
    if language == SOURCE_LANGUAGE:
        return change.supposing
    return report_words(language).supposing(change)


def _advice(prepared: PreparedDetermination) -> str:
    """Return the advice of a determination; in English, and an earlier one, as it is."""
    sealed, language = prepared.value.advice, page_language().code
    if sealed != ADVICE or language == SOURCE_LANGUAGE:
        return sealed
    return report_words(language)("advice")


def merge_proposals(store: CaseStore, case: Case) -> list[dict[str, Any]]:
    """Return the pairs of parties that may be one, each with its reasons."""
    terms = load_name_weights(store.policy)
    return [
        {
            "keep": case.parties[p.party],
            "drop": case.parties[p.other],
            "score": p.score,
            "reasons": p.reasons,
        }
        for p in propose_merges(tuple(case.parties.values()), terms)
    ]
