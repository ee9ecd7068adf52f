"""Draft of a case in one go: opened, party named, pages and run taken in, accounts linked.

A draft takes the same steps as the single commands, by the same functions, and none twice: drafting
again continues where a draft was interrupted, adds what is new, and corrects evidence that nobody
has confirmed. What nobody states stays unknown, and nothing is confirmed.

A batch of drafts is a file: a case a line in CSV, a `[[case]]` a case in TOML. Columns and keys are
named as the options of `wavebreak case draft`, and `case` is the new directory's name. In CSV
several values are separated by semicolons, but for addresses and files: one a line, and further
lines of the same case add to it.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import UNSET, Meta, UnsetType

from wavebreak.errors import CaseError, FileError, WavebreakError
from wavebreak_cases import claims
from wavebreak_cases.bundles import case_steps, evidence_intake, reproduction
from wavebreak_cases.bundles.evidence_dates import ConductDates, party_names, read_exhibit
from wavebreak_cases.bundles.evidence_items import Statement, draw_evidence, restate_evidence
from wavebreak_cases.bundles.pseudonyms import case_key, make_renamer
from wavebreak_cases.bundles.reproduction import RunInputs, read_decisions
from wavebreak_cases.bundles.workspace import CaseWorkspace, describe_field_error
from wavebreak_cases.cases import ties
from wavebreak_cases.cases.case import CaseOpened, Exhibit, PartyNamed
from wavebreak_cases.cases.parties import Basis, Evidence, Party, Strength, Violation
from wavebreak_cases.claims.exhibits import EXHIBIT, Actor, Published

Line = Annotated[str, Meta(max_length=300)]
Lines = Annotated[tuple[Line, ...], Meta(max_length=500)]


class CaseDraft(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a person knows of a plain case; the names are those of the command's options.

    Attributes:
        title: What the case is called ("": as the party).
        kind: What the party is.
        alias: Other names of the party.
        domain: Domains of the party.
        number: Numbers that it publishes, E.164.
        url: Pages to capture from the network.
        file: Saved pages and documents, or directories of `wavebreak claim`.
        run: What `wavebreak run -o` wrote ("": none).
        account: Accounts, as in the events.
        conduct: What the party did.
        violation: Which kinds of violation it was.
        began: When the conduct on the pages began.
        until: Until when they show it to have lasted.
        zone: The time zone of dates.
        date_basis: On what stated dates rest.
        basis: What ties the pages to the party.
        strength: How strongly.
        account_basis: What ties the accounts to the party (None: nothing is linked).
        account_strength: How strongly.
    """

    party: Line
    title: Line = ""
    about: Annotated[str, Meta(max_length=4_000)] = ""
    kind: Literal["company", "person"] = "company"
    alias: Lines = ()
    domain: Lines = ()
    number: Lines = ()
    url: Annotated[tuple[Annotated[str, Meta(max_length=2_000)], ...], Meta(max_length=500)] = ()
    file: Annotated[tuple[str, ...], Meta(max_length=500)] = ()
    run: str = ""
    account: Lines = ()
    conduct: Literal["engaged", "assisted", "neither", "unknown", ""] = ""
    violation: Annotated[tuple[Violation, ...], Meta(max_length=3)] = ()
    began: Line = ""
    until: Line = ""
    zone: Line = ""
    date_basis: Line = ""
    basis: Basis | None = None
    strength: Strength | None = None
    account_basis: Basis | None = None
    account_strength: Strength | None = None


class DraftMeans(NamedTuple):
    """With what a draft works.

    Attributes:
        secret: The key of pseudonyms.
        capture: Captures an address into a new directory.
        run_inputs: With what the run was made; called only where there is a run.
        show: Called with the share that is done and what is next.
    """

    actor: Actor
    role: str
    secret: bytes
    capture: Callable[[str, Path], object]
    run_inputs: Callable[[], RunInputs]
    show: Callable[[float, str], None] = lambda _share, _text: None


class Failure(NamedTuple):
    """A page, run or account that could not be taken in, and why."""

    source: str
    error: WavebreakError


class DraftResult(NamedTuple):
    """What came of a draft.

    Attributes:
        party: The party's number ("": the party could not be named).
        exhibits: By source, the exhibit that holds it, new or from before.
        evidence: The items that bear on it.
        steps: How many steps were taken now.
        failures: What could not be taken in; all else was.
    """

    party: str
    exhibits: dict[str, str]
    evidence: tuple[str, ...]
    steps: int
    failures: tuple[Failure, ...]


def draft_case(workspace: CaseWorkspace, draft: CaseDraft, means: DraftMeans) -> DraftResult:
    """Take the steps of a plain case that it does not have yet.

    Returns:
        What was taken in. A page that cannot be captured or read is among the failures, and keeps
        nothing else from being taken in.

    Raises:
        CaseError: The case cannot be opened, or its party not be named.
    """
    return _Drafting(workspace, draft, means).run()


class _Drafting:
    """One draft in progress."""

    def __init__(self, workspace: CaseWorkspace, draft: CaseDraft, means: DraftMeans) -> None:
        self.workspace, self.draft, self.means = workspace, draft, means
        why = "" if means.actor.why == "not stated" else means.actor.why
        self.signed: dict[str, Any] = {"by": means.actor.who, "role": means.role, "why": why}
        self.before = len(workspace.case.steps)
        self.exhibits: dict[str, str] = {}
        self.evidence: list[str] = []
        self.failures: list[Failure] = []

    def run(self) -> DraftResult:
        """Take the steps in their order."""
        draft = self.draft
        if draft.account and not (draft.run or draft.url or draft.file or self._has_exhibits()):
            raise CaseError(
                "an account is linked to a party by an exhibit",
                fix="give the page that shows it, or a run",
                code="account-without-exhibit",
            )
        named = self._party_step()
        evidence_intake.state_dates(
            ConductDates(),
            draft.began,
            draft.until,
            draft.zone or None,
            self.means.actor.who,
            draft.date_basis,
        )
        if not self.workspace.case.steps:
            opened = CaseOpened(self.draft.title or self.draft.party, self.draft.about)
            self.workspace.take(opened, **self.signed)
        # Take the step that names the party where it says something new.
        case = self.workspace.case
        if case.parties.get(named.party.id) != named.party:
            case = self.workspace.take(named, **self.signed)
        party = case.root(named.party.id)
        work: list[tuple[str, Callable[[str, str], None]]] = []
        work += [(source, self._take_file) for source in draft.file]
        work += [(source, self._capture) for source in draft.url]
        work += [(draft.run, self._take_run)] if draft.run else []
        if draft.account and not draft.run:
            work.append((", ".join(draft.account), self._link_accounts))
        for done, (source, take) in enumerate(work):
            self.means.show(done / len(work), source)
            with self._kept_apart(source):
                take(source, party)
        steps = len(self.workspace.case.steps) - self.before
        return DraftResult(party, self.exhibits, tuple(self.evidence), steps, tuple(self.failures))

    @contextmanager
    def _kept_apart(self, source: str) -> Iterator[None]:
        """Keep a source that fails from stopping the others."""
        try:
            yield
        except WavebreakError as error:
            self.failures.append(Failure(source, error))
        except OSError as error:
            what = f"{source} cannot be read: {error.strerror or type(error).__name__}"
            self.failures.append(
                Failure(source, CaseError(what, fix="give one that exists and is readable"))
            )

    def _party_step(self) -> PartyNamed:
        case, draft = self.workspace.case, self.draft
        old = find_party(tuple(case.parties.values()), draft.party)
        if old is None:
            return case_steps.party_named(
                case,
                draft.party,
                kind=draft.kind,
                aliases=draft.alias,
                domains=draft.domain,
                numbers=draft.number,
            )
        more: dict[str, Any] = {
            "aliases": tuple(dict.fromkeys((*old.aliases, *draft.alias))),
            "domains": tuple(dict.fromkeys((*old.domains, *draft.domain))),
            "numbers": tuple(dict.fromkeys((*old.numbers, *draft.number))),
        }
        return PartyNamed(msgspec.structs.replace(old, **more))

    def _capture(self, url: str, party: str) -> None:
        known = self._find(lambda about: about.kind == "capture" and _same_url(about, url))
        if known is None:
            with tempfile.TemporaryDirectory(prefix="wavebreak-capture-") as place:
                captured = Path(place) / "capture"
                self.means.capture(url, captured)
                known = evidence_intake.add_claim_exhibit(
                    self.workspace, captured, self.means.actor, self.means.role
                )
        self._draw(url, known, party, "off_platform", self._page_statement())

    def _take_file(self, source: str, party: str) -> None:
        path = Path(source)
        given = (self.workspace, path, self.means.actor, self.means.role)
        if (path / EXHIBIT).exists():
            wanted = claims.load_exhibit(path).id
            known = self._find(lambda about: about.id == wanted)
            known = known or evidence_intake.add_claim_exhibit(*given)
        else:
            digest = _digest(path)
            known = self._find(lambda about: any(file.sha256 == digest for file in about.files))
            known = known or evidence_intake.add_file_exhibit(*given)
        self._draw(source, known, party, "off_platform", self._page_statement())

    def _take_run(self, source: str, party: str) -> None:
        accounts = self.draft.account
        if not accounts:
            raise CaseError(
                "a run shows the conduct of accounts, and none is given",
                fix="give them",
                code="run-without-accounts",
            )
        known = self._known_run(Path(source))
        if known is None:
            known, _ = evidence_intake.add_run_exhibit(
                self.workspace,
                Path(source),
                accounts,
                self.means.run_inputs(),
                self.means.secret,
                self.means.actor,
                self.means.role,
            )
        self.exhibits[source] = known.id
        self._link_accounts(source, party)
        self._draw(source, known, party, "on_platform", self._run_statement(known, party))

    def _run_statement(self, exhibit: Exhibit, party: str) -> Statement:
        """What is stated of a run: an item whose tie nobody judged has that of its accounts."""
        stated = Statement(self.draft.conduct, self.draft.violation or None)
        accounts = evidence_intake.run_accounts(self.workspace, exhibit)
        linked = None
        if not isinstance(accounts, UnsetType):
            linked = evidence_intake.strongest_link(self.workspace, party, accounts)
        items = self.workspace.case.evidence.values()
        judged = any(e.exhibit == exhibit.id and e.strength is not Strength.UNKNOWN for e in items)
        if linked is None or judged:
            return stated
        return stated._replace(basis=linked[0], strength=linked[1])

    def _link_accounts(self, _source: str, party: str) -> None:
        """Link the accounts that are not linked yet, by what is said to tie them.

        Without that nothing is linked: a case then says that the tie is missing.
        """
        draft, case = self.draft, self.workspace.case
        if draft.account_basis is None:
            if draft.run and draft.account_strength is None:
                return
            raise CaseError(
                "what ties the accounts to the party is not stated",
                fix="give it, with the exhibit that shows it",
                code="tie-not-stated",
            )
        by = self._tying_exhibit(draft.account_basis)
        for account in draft.account:
            step = case_steps.account_linked(
                case,
                self.means.secret,
                party,
                account,
                draft.account_basis,
                draft.account_strength or Strength.UNKNOWN,
                by,
            )
            known = [
                link
                for link in case.links
                if link.account == step.link.account and case.root(link.party) == party
            ]
            judged = draft.account_strength is not None and all(
                (link.basis, link.strength) != (step.link.basis, step.link.strength)
                for link in known
            )
            if not known or judged:
                self.workspace.take(step, **self.signed)

    def _tying_exhibit(self, basis: Basis) -> str:
        """The first exhibit, of the draft or else of the case, of a kind that can show a tie."""
        known = self.workspace.case.exhibits
        names = dict.fromkeys([*self.exhibits.values(), *known])
        for name in names:
            if ties.can_show(basis, known[name]):
                return name
        for name in names:
            ties.require_fitting(basis, known[name])
        raise CaseError(
            "no exhibit shows that the accounts are the party's",
            fix="draft again when a page can be taken in, or link the accounts",
            code="tie-not-shown",
        )

    def _has_exhibits(self) -> bool:
        return bool(self.workspace.case.exhibits)

    def _page_statement(self) -> Statement:
        d = self.draft
        return Statement(
            d.conduct,
            d.violation or None,
            d.began,
            d.until,
            d.zone or None,
            d.date_basis,
            d.basis,
            d.strength,
        )

    def _draw(
        self, source: str, exhibit: Exhibit, party: str, seen: str, stated: Statement
    ) -> None:
        """Draw evidence from an exhibit, or correct what nobody has confirmed."""
        self.exhibits[source] = exhibit.id
        case = self.workspace.case
        if exhibit.rejected:
            raise CaseError(
                f"{exhibit.rejected.by} rejected {exhibit.id} as a claim: "
                f"{exhibit.rejected.why[:200]}",
                fix="leave it out, or review the page again",
                code="draft-of-rejected",
            )
        old = next(
            (
                e
                for e in case.evidence.values()
                if e.exhibit == exhibit.id and case.root(e.party) == party
            ),
            None,
        )
        who = self.means.actor.who
        if old is None:
            item = draw_evidence(self.workspace, exhibit, party, seen, stated, who)
            evidence_intake.add_evidence(self.workspace, item, **self.signed)
            self.evidence.append(item.id)
            return
        self.evidence.append(old.id)
        new = restate_evidence(self.workspace, old, stated, who)
        if _content(new) == _content(old):
            return
        if old.confirmed != "unknown":
            raise CaseError(
                f"{old.id} is reviewed already, and the draft states it otherwise",
                fix="correct it with the reason",
                code="draft-of-reviewed",
                item=old.id,
            )
        why = "drafted again, stated otherwise"
        evidence_intake.correct_evidence(self.workspace, new, **(self.signed | {"why": why}))

    def _find(self, matches: Callable[[claims.Exhibit], bool]) -> Exhibit | None:
        """Return the case's exhibit of a captured or added page that matches."""
        case = self.workspace.case
        for exhibit in (case.exhibits | case.originals).values():
            place = self.workspace.path / exhibit.path
            if (place / EXHIBIT).exists() and matches(claims.load_exhibit(place)):
                return exhibit
        return None

    def _known_run(self, run: Path) -> Exhibit | None:
        """Return the exhibit of a run and these accounts whose decisions are all in it."""
        rename = make_renamer(case_key(self.means.secret, self.workspace.case.id))
        hidden = {rename("a", account) for account in self.draft.account}
        wanted = [
            (rename("a", d.account), d.ts, d.outcome)
            for d in read_decisions(run)
            if d.account in self.draft.account
        ]
        for exhibit in self.workspace.case.exhibits.values():
            if exhibit.kind != "platform_run":
                continue
            place = self.workspace.path / exhibit.path
            raw = (place / reproduction.ABOUT).read_bytes()
            about = msgspec.json.decode(raw, type=reproduction.RerunManifest)
            relied = set(about.relied)
            held = [(d.account, d.ts, d.outcome) for d in read_decisions(place) if d.id in relied]
            if set(about.accounts) == hidden and held == wanted:
                return exhibit
        return None


def _content(e: Evidence) -> tuple[object, ...]:
    """What an item says, whoever said it, and however a date is written."""
    sources = [None if s is UNSET else s.basis for s in (e.began_source, e.lasted_source)]
    kinds = e.violations if e.violations is UNSET else frozenset(e.violations)
    dates = [(d.earliest, d.latest) for d in (e.began, e.lasted)]
    return (e.party, e.conduct, kinds, e.basis, e.strength, *dates, *sources)


def find_party(parties: Sequence[Party], name: str) -> Party | None:
    """Return the party of a number, name or alias, whatever the case of its letters.

    >>> find_party([Party("P1", "company", "Bulk Co", ("Bulk",))], "BULK").id
    'P1'
    """
    plain = " ".join(name.casefold().split())
    for party in parties:
        names = (party.id, party.name, *party.aliases)
        if plain in {" ".join(known.casefold().split()) for known in names}:
            return party
    return None


def _same_url(about: claims.Exhibit, url: str) -> bool:
    """Whether a capture is of an address; its fragment never reaches the server."""
    plain = url.split("#")[0].rstrip("/")
    return plain in {about.source.split("#")[0].rstrip("/"), about.details.get("asked", "")}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class PageSummary(NamedTuple):
    """What the automatic reading found on an exhibit's page: triage, for a person to look at."""

    exhibit: str
    verdict: str
    offers: tuple[str, ...]
    contacts: tuple[str, ...]
    published: Published | None


def summarize_pages(workspace: CaseWorkspace, exhibits: Sequence[str]) -> list[PageSummary]:
    """Read the pages of exhibits; those that hold no text are left out."""
    found, names = [], party_names(workspace.case)
    for name in dict.fromkeys(exhibits):
        place = workspace.path / workspace.case.exhibits[name].path
        reading = read_exhibit(place, names) if (place / EXHIBIT).exists() else None
        if reading is not None:
            contacts = tuple(v for values in reading.contacts.values() for v in values)
            found.append(
                PageSummary(
                    name, reading.verdict, tuple(reading.offers), contacts, reading.published
                )
            )
    return found


_OFFERED: dict[str, Violation] = {"bulk": "bulk", "automation": "automated"}


def offered_violations(offers: Sequence[str]) -> tuple[Violation, ...]:
    """Return the kinds of violation that offers name; a person decides what a page shows.

    >>> offered_violations(["bulk", "numbers"])
    ('bulk',)
    """
    return tuple(_OFFERED[offer] for offer in offers if offer in _OFFERED)


MAX_BATCH = 16 << 20
_CASE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SEPARATED = ("alias", "domain", "number", "account", "violation")
_ONE_A_LINE = ("url", "file")


class BatchLine(NamedTuple):
    """One case of a batch: its place in the file, its id, and the draft, or what is wrong."""

    where: str
    case: str
    draft: CaseDraft | None
    error: CaseError | None


def read_batch(path: Path) -> list[BatchLine]:
    """Read a batch file; a case that is not well formed is returned with what is wrong.

    Args:
        path: A file that ends in .csv or .toml. Files and runs that it names are relative to it.

    Raises:
        FileError: The file cannot be read at all.
    """
    try:
        if path.stat().st_size > MAX_BATCH:
            raise FileError(f"{path} is over {MAX_BATCH:,} bytes", fix="split it")
        text = path.read_text("utf-8-sig")
    except OSError:
        raise FileError(f"{path} cannot be read", fix="give a file that exists") from None
    except UnicodeDecodeError:
        raise FileError(f"{path} is not UTF-8", fix="save it as CSV UTF-8") from None
    if path.suffix == ".toml":
        rows = _toml_rows(path, text)
    elif path.suffix == ".csv":
        rows = _csv_rows(path, text)
    else:
        raise FileError(f"{path} is no batch file", fix="give a .csv or .toml file")
    return [_parse(where, row, path.parent) for where, row in rows]


def _toml_rows(path: Path, text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        cases = tomllib.loads(text).get("case", [])
    except tomllib.TOMLDecodeError as error:
        raise FileError(f"{path} is no TOML: {error}", fix="correct that line") from None
    if not isinstance(cases, list) or not cases:
        raise FileError(f"{path} has no case", fix='begin each with [[case]], then case = "C-7"')
    for number, row in enumerate(cases, 1):
        yield f"case {number}", row if isinstance(row, dict) else {}


def _csv_rows(path: Path, text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    known = {*CaseDraft.__struct_fields__, "case"}
    lines = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        columns = [name.strip() for name in lines.fieldnames or ()]
    except csv.Error as error:
        raise FileError(f"{path} is no CSV: {error}", fix="correct its first line") from None
    if wrong := [name for name in columns if name not in known]:
        raise FileError(
            f"{path} has a column that is not known: {wrong[0][:40]}",
            fix=f"columns are: {', '.join(('case', *CaseDraft.__struct_fields__))}",
        )
    if "case" not in columns or "party" not in columns:
        raise FileError(f"{path} lacks the column case or party", fix="name both in its first line")
    lines.fieldnames = columns
    try:
        for row in lines:
            where = f"line {lines.line_num}"
            if row.pop(None, None) is not None:
                yield where, {"case": row.get("case"), "": "more cells than columns"}
                continue
            yield where, {k: _cell(k, v.strip()) for k, v in row.items() if v and v.strip()}
    except csv.Error as error:
        yield f"line {lines.line_num}", {"": f"no CSV: {error}"}


def _cell(name: str, text: str) -> Any:
    if name in _SEPARATED:
        return [part.strip() for part in text.split(";") if part.strip()]
    return [text] if name in _ONE_A_LINE else text


def _parse(where: str, row: Mapping[str, Any], base: Path) -> BatchLine:
    rest = dict(row)
    case = str(rest.pop("case", "") or "")
    try:
        if wrong := rest.pop("", ""):
            raise CaseError(str(wrong), fix="put cells that hold a comma in quotation marks")
        if not _CASE_ID.fullmatch(case):
            raise CaseError(
                f"case: {case[:40] or 'nothing'} is no number of a case",
                fix="letters, digits, dots and dashes, as in C-7",
            )
        draft = msgspec.convert(rest, CaseDraft)
    except msgspec.ValidationError as error:
        problem = CaseError(describe_field_error(error), fix="correct it", code="no-such-value")
        return BatchLine(where, case, None, problem)
    except CaseError as error:
        return BatchLine(where, case, None, error)
    files = tuple(str(base / name) for name in draft.file)
    run = str(base / draft.run) if draft.run else ""
    return BatchLine(where, case, msgspec.structs.replace(draft, file=files, run=run), None)
