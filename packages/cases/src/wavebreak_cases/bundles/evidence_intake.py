"""Intake of evidence into a case: exhibits from claims, files and runs, and what they show.

Also the steps that draw on it: links of accounts, notices, determinations, and the evidence that
a later run has of accounts whose party received a notice.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import msgspec
from msgspec import UNSET, UnsetType

from wavebreak.durations import DAY_MS
from wavebreak.engine.decision_record import Decision
from wavebreak.errors import CaseError
from wavebreak.extras import LazyModule
from wavebreak.outcomes import NOT_REFUSING
from wavebreak_cases import claims
from wavebreak_cases.bundles.evidence_dates import (
    ConductDates,
    exhibit_dates,
    exhibit_verdicts,
    party_names,
)
from wavebreak_cases.bundles.pseudonyms import case_key, make_renamer
from wavebreak_cases.bundles.report_settings import load_operator
from wavebreak_cases.bundles.report_text import ReportText
from wavebreak_cases.bundles.rerun_manifest import RerunManifest, read_manifest, run_decisions
from wavebreak_cases.bundles.run_figures import figures_of_runs
from wavebreak_cases.bundles.workspace import CaseWorkspace, hash_files
from wavebreak_cases.cases import parties, post_notice_monitoring
from wavebreak_cases.cases.business_days import business_deadline, end_of_day, load_calendar
from wavebreak_cases.cases.case import (
    ActionReversed,
    Case,
    DeterminationPrepared,
    EvidenceAdded,
    EvidenceCorrected,
    Exhibit,
    ExhibitAdded,
    PartiesRelated,
    Reversal,
    bars_on,
    context_for_party,
    current_links,
    evidence_for_party,
)
from wavebreak_cases.cases.date_ranges import format_instant, parse_date, parse_instant
from wavebreak_cases.cases.determination import Determination, EnforcementState, determine
from wavebreak_cases.cases.eligibility import is_own_conduct, load_grounds
from wavebreak_cases.cases.notices import Language, Notice, load_templates, render_notice
from wavebreak_cases.cases.reasons import Context, Writer
from wavebreak_cases.cases.workflow import require_current

if TYPE_CHECKING:
    from wavebreak_cases.bundles import exhibit_list, reproduction, reversals
    from wavebreak_cases.bundles.reproduction import RunInputs
    from wavebreak_cases.claims import exhibits
    from wavebreak_cases.claims.exhibits import Actor
else:  # the engine and the readers of pages: most steps need neither
    exhibit_list = LazyModule("wavebreak_cases.bundles.exhibit_list")
    reproduction = LazyModule("wavebreak_cases.bundles.reproduction")
    reversals = LazyModule("wavebreak_cases.bundles.reversals")
    exhibits = LazyModule("wavebreak_cases.claims.exhibits")

_KINDS = {
    "capture": "claim", "upload": "document", "test_purchase": "test_purchase",
    "partner_notice": "partner_notice",
}  # fmt: skip
MAX_FILE = 256 << 20


@contextmanager
def _new_exhibit_directory(workspace: CaseWorkspace) -> Iterator[tuple[str, Path]]:
    """A new exhibit's number and directory, which is taken away again where anything fails."""
    name, place = workspace.fresh_exhibit()
    if place.exists():
        shutil.rmtree(place)
    place.parent.mkdir(exist_ok=True)
    try:
        yield name, place
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise


def add_claim_exhibit(
    workspace: CaseWorkspace,
    source: Path,
    actor: Actor,
    role: str,
    *,
    title: str = "",
    kind: str = "",
) -> Exhibit:
    """Take in a directory of `wavebreak claim`: checked, copied, its custody continued."""
    if wrong := exhibits.check_exhibit(source):
        raise CaseError(
            f"{source}: {wrong[0]}", fix="capture or add it again; keep this directory unchanged"
        )
    about = exhibits.load_exhibit(source)
    with _new_exhibit_directory(workspace) as (name, place):
        shutil.copytree(source, place)
        what = f"copied into case {workspace.case.id} as exhibit {name}"
        now = format_instant(workspace.clock())
        exhibits.append_custody(place, actor, now, what)
        claims.recognize_exhibit(place, actor, now)
        return _record_exhibit(
            workspace,
            place,
            name,
            kind or _KINDS[about.kind],
            title or about.source or about.kind,
            parse_instant(about.captured_at),
            actor,
            role,
        )


def add_file_exhibit(
    workspace: CaseWorkspace,
    source: Path,
    actor: Actor,
    role: str,
    *,
    title: str = "",
    kind: str = "",
    pictures_only: bool = False,
) -> Exhibit:
    """Take in a file as it is: a proof of delivery, an answer, a document.

    With `pictures_only` the text of a scanned PDF is not recognised, that of a picture is.
    """
    if not source.is_file() or source.stat().st_size > MAX_FILE:
        raise CaseError(f"{source} is no file of at most {MAX_FILE:,} bytes", fix="give a file")
    now = workspace.clock()
    with _new_exhibit_directory(workspace) as (name, place):
        exhibits.add_file(
            source.read_bytes(), place, actor, format_instant(now), source=title or source.name
        )
        claims.recognize_exhibit(place, actor, format_instant(now), pictures_only=pictures_only)
        kind = kind or "document"
        return _record_exhibit(workspace, place, name, kind, title or source.name, now, actor, role)


def add_run_exhibit(
    workspace: CaseWorkspace,
    run: Path,
    accounts: Sequence[str],
    inputs: RunInputs,
    key: bytes,
    actor: Actor,
    role: str,
    *,
    title: str = "",
) -> tuple[Exhibit, RerunManifest]:
    """Take from a run what decides again on accounts, under the case's pseudonyms."""
    now = workspace.clock()
    with _new_exhibit_directory(workspace) as (name, place):
        about = reproduction.extract_run(
            run, accounts, inputs, make_renamer(case_key(key, workspace.case.id)), place
        )
        timelines = reproduction.exhibit_timelines(place, about.accounts)
        numbers = {
            account: reproduction.count_conduct(timeline) for account, timeline in timelines.items()
        }
        _record_reversals(workspace, run, accounts, inputs, key, actor, role)
        content = msgspec.json.format(msgspec.json.encode(numbers), indent=1)
        (place / reproduction.NUMBERS).write_bytes(content + b"\n")
        touched = exhibits.CustodyRecord(
            format_instant(now),
            "taken from a run",
            actor.who,
            actor.where,
            actor.why,
            actor.authority,
            "accounts, groups, ids, numbers, addresses and devices have the case's pseudonyms; "
            "the log ends with the last decision relied on",
            name,
            "0" * 64,
        )
        (place / exhibits.CUSTODY).write_bytes(msgspec.json.encode(touched, order="sorted") + b"\n")
        kind, words = "platform_run", title or f"run of {about.events:,} events"
        return _record_exhibit(workspace, place, name, kind, words, now, actor, role), about


def _record_exhibit(
    workspace: CaseWorkspace,
    place: Path,
    name: str,
    kind: str,
    title: str,
    captured: int,
    actor: Actor,
    role: str,
) -> Exhibit:
    verdicts: dict[str, Any] = {}
    if kind in ("claim", "document") and (place / exhibits.EXHIBIT).exists():
        verdicts = {
            name: msgspec.to_builtins(value)
            for name, value in zip(
                ("review", "reading"),
                exhibit_verdicts(place, party_names(workspace.case)),
                strict=True,
            )
            if value is not UNSET
        }
    exhibit = msgspec.convert(
        {
            "id": name,
            "kind": kind,
            "title": title[:300],
            "captured": captured,
            "path": place.relative_to(workspace.path).as_posix(),
            "sha256": hash_files(place),
            "nonce": workspace.salts(32).hex(),
        }
        | verdicts,
        Exhibit,
    )
    workspace.take(ExhibitAdded(exhibit), by=actor.who, role=role, why=actor.why)
    return exhibit


def add_evidence(
    workspace: CaseWorkspace, evidence: parties.Evidence, *, by: str, role: str, why: str = ""
) -> Case:
    """Add evidence; where it shows conduct after a notice, the case reopens by itself."""
    workspace.take(EvidenceAdded(evidence), by=by, role=role, why=why)
    _follow_up(workspace, evidence)
    return workspace.case


def correct_evidence(
    workspace: CaseWorkspace, evidence: parties.Evidence, *, by: str, role: str, why: str = ""
) -> Case:
    """State an item of evidence anew, under its id; a person has to review it again."""
    workspace.take(EvidenceCorrected(evidence), by=by, role=role, why=why)
    _follow_up(workspace, evidence)
    return workspace.case


def relate_parties(
    workspace: CaseWorkspace, relation: parties.Relation, *, by: str, role: str, why: str = ""
) -> Case:
    """Relate two parties; conduct of one after a notice to the other is followed up."""
    workspace.take(PartiesRelated(relation), by=by, role=role, why=why)
    for evidence in post_notice_monitoring.evidence_of_relation(workspace.case, relation):
        _follow_up(workspace, evidence)
    return workspace.case


def _follow_up(workspace: CaseWorkspace, evidence: parties.Evidence) -> None:
    for did, reason in post_notice_monitoring.follow_up_actions(workspace.case, evidence):
        workspace.take(
            did, by=post_notice_monitoring.MONITOR, role=post_notice_monitoring.MONITOR, why=reason
        )


def state_dates(
    found: ConductDates, began: str, until: str, zone: str | None, by: str, basis: str
) -> ConductDates:
    """Return the dates of an exhibit with those that a person states in their place.

    Args:
        found: What the exhibit says of itself.
        began: When the conduct began, as the person writes it ("": as found).
        until: Until when it lasted, in the same way.
        zone: The time zone of both.
        by: Who states them.
        basis: On what basis, in words.

    Raises:
        CaseError: A date is stated without a basis, or is not understood.
    """
    if (began or until) and not basis.strip():
        stated = [parse_date(text, zone) for text in (began, until) if text]
        if any(d.earliest is not None or d.latest is not None for d in stated):
            raise CaseError(
                "a date that a person states needs its basis",
                fix="say on what it rests, as in: the invoice of 3 May 2021",
                code="date-without-basis",
            )
    source = parties.DateSource("person", by, basis.strip() or "not stated")
    if began:
        found = found._replace(began=parse_date(began, zone), began_source=source)
    if until:
        found = found._replace(lasted=parse_date(until, zone), lasted_source=source)
    return found


def run_accounts(workspace: CaseWorkspace, exhibit: Exhibit) -> tuple[str, ...] | UnsetType:
    """Return the accounts of a run's exhibit, by pseudonym; nothing for another exhibit."""
    if exhibit.kind != "platform_run":
        return UNSET
    return read_manifest(workspace.path / exhibit.path).accounts


def conduct_dates(workspace: CaseWorkspace, exhibit: Exhibit) -> ConductDates:
    """When the conduct was that an exhibit shows by itself; unknown where it says nothing."""
    original = workspace.case.originals.get(exhibit.id, exhibit)
    return exhibit_dates(workspace.path / original.path, exhibit.kind)


def _record_reversals(
    workspace: CaseWorkspace,
    run: Path,
    accounts: Sequence[str],
    inputs: RunInputs,
    key: bytes,
    actor: Actor,
    role: str,
) -> None:
    """Record what a run's log says of appeals by the accounts, also after the last decision."""
    rename = make_renamer(case_key(key, workspace.case.id))
    found = reversals.log_reversals(
        reproduction.run_source(run), accounts, inputs.pseudonymizer, rename
    )
    record_reversals(workspace, found, by=actor.who, role=role)


def record_reversals(
    workspace: CaseWorkspace, found: Sequence[Reversal], *, by: str, role: str
) -> list[str]:
    """Record actions that were taken back, as far as the case does not hold them; the accounts."""
    known = workspace.case.reversals
    fresh = [reversal for reversal in found if reversal.account not in known]
    for reversal in fresh:
        workspace.take(ActionReversed(reversal), by=by, role=role, why=reversal.basis)
    return [reversal.account for reversal in fresh]


def strongest_link(
    workspace: CaseWorkspace, party: str, accounts: Sequence[str]
) -> tuple[parties.Basis, parties.Strength] | None:
    """The strongest tie of accounts, by pseudonym, to a party; for several, the weakest of them.

    A tie that was judged anew, by the same exhibit, is as it was judged last.
    """
    best = []
    for account in accounts:
        links = [k for k in current_links(workspace.case, party) if k.account == account]
        known = [link for link in links if link.strength is not parties.Strength.UNKNOWN] or links
        if not known:
            return None
        best.append(max(known, key=_rank))
    weakest = min(best, key=_rank)
    return weakest.basis, weakest.strength


def _rank(link: parties.Link) -> int:
    known = link.strength is not parties.Strength.UNKNOWN
    return parties.STRENGTHS.index(link.strength) if known else -1


def draft_notice(
    workspace: CaseWorkspace,
    party: str,
    template: str,
    language: Language,
    *,
    operator: str,
    contact: str,
    days: int | None,
    policy: Path | None,
    about: str = "",
    calendar: str = "",
) -> Notice:
    """Write a notice to a party from a template; nothing is sent yet.

    It names the party's own evidence that a person confirmed, by title and address.

    Args:
        workspace: The case.
        party: To whom.
        template: By which template.
        language: In which language.
        operator: Who writes.
        contact: Where answers reach the operator.
        days: The days to answer (None: the policy's).
        policy: A local policy.
        about: Of a reminder, the notice.
        calendar: The calendar of days of business by which they are counted ("": the party's;
            where it has none the operator's, else all days). They end with the day, in its zone.

    Raises:
        CaseError: The party is or may be a minor, action against it is barred, no evidence is
            confirmed, the newest determination on the party is not current, a reminder comes too
            early, or something is not given.
    """
    letters, case = load_templates(policy), workspace.case
    if party not in case.parties:
        raise CaseError(f"there is no party {party[:40]}", fix="see the case", code="not-in-case")
    now = max(workspace.clock(), case.steps[-1].at)
    _require_of_age(case, party, policy)
    require_current(case, party)
    _require_unbarred(case, party, now)
    if about:
        _require_overdue(case, party, about, now)
    of_party = case.parties[party].calendar or case.parties[case.root(party)].calendar
    calendar = calendar or of_party or load_operator(policy).calendar
    deadline, said = _answer_date(now, days or letters.answer_days, language, policy, calendar)
    bearing = [e for e in evidence_for_party(case, party) if is_own_conduct(e, now)]
    if not bearing and not about:
        raise CaseError(
            f"no evidence of conduct by {party} is confirmed",
            fix="confirm what the notice is to rest on",
            code="nothing-confirmed",
        )
    did = dict.fromkeys(e.conduct for e in bearing if e.conduct in ("engaged", "assisted"))
    facts = {
        "party": case.parties[party].name,
        "operator": operator,
        "contact": contact,
        "case": case.id,
        "deadline": said,
        "notice": about,
        "conduct": "; ".join(letters.conduct_in(language)[c] for c in did),
        "exhibits": "; ".join(_named_exhibits(workspace, language, bearing)),
    }
    stated = {name: value for name, value in facts.items() if value}
    subject, paragraphs = render_notice(letters, template, language, stated)
    return Notice(case.fresh("N"), party, template, language, subject, paragraphs, now, deadline)


def _require_of_age(case: Case, party: str, policy: Path | None) -> None:
    """Raise CaseError for a minor, a party that is one with a minor, or that may well be one.

    Whoever is named twice in a case is not written to under the name of which no age is stated.
    """
    root = case.root(party)
    one = [each for each in case.parties.values() if case.root(each.id) == root]
    for each in one:
        if each.age == "minor":
            raise CaseError(
                f"{each.id} is a minor: no letter is written to a child",
                fix="name who stands in for it by law as a party of its own; counsel decides "
                "whether and how that person is written to",
            )
    if any(each.age == "adult" for each in one):
        return
    minors = [p for p in case.parties.values() if p.age == "minor"]
    compared = [msgspec.structs.replace(p, same_as="") for p in (*one, *minors)]
    ids = {p.id for p in minors}
    for proposal in (
        parties.propose_merges(compared, parties.load_name_weights(policy)) if minors else ()
    ):
        if len({proposal.party, proposal.other} & ids) == 1:
            minor, same = sorted((proposal.party, proposal.other), key=lambda p: p not in ids)
            raise CaseError(
                f"{same} may be {minor}, a minor ({proposal.reasons[0]}): no letter is written to "
                "a child",
                fix=f"merge them; or, if {same} is of age, say so of that party",
                code="may-be-a-minor",
            )


def _require_unbarred(case: Case, party: str, at: int) -> None:
    """Raise CaseError while a stay or an insolvency of the party lasts: nothing is served."""
    for bar in bars_on(case, party, at):
        what = "action against it is stayed" if bar.kind == "stay" else "it is insolvent"
        raise CaseError(
            f"no letter is written to {party}: {what}, by {bar.exhibit}",
            fix="record its end once it has ended; counsel decides whether an "
            "office holder is written to, as a party of its own",
            code="party-barred",
        )


def _require_overdue(case: Case, party: str, about: str, now: int) -> None:
    """A reminder is of a notice to the same party that is overdue and was not answered."""
    notice = case.notices.get(about)
    if notice is None or case.root(notice.party) != case.root(party):
        raise CaseError(
            f"there is no notice {about[:40]} to {party}", fix="see the case", code="not-in-case"
        )
    if any(reply.notice == about for reply in case.replies):
        raise CaseError(f"notice {about} was answered", fix="read the answer: no reminder is due")
    if notice.due is None:
        raise CaseError(
            f"notice {about} gave no date to answer, so that none has passed",
            fix="write another notice, which names a date",
            code="notice-without-date",
        )
    if not notice.is_overdue(now):
        until = format_instant(notice.due)
        raise CaseError(
            f"notice {about} may be answered until {until}", fix="remind the party after that"
        )


def _answer_date(
    now: int, days: int, language: Language, policy: Path | None, calendar: str
) -> tuple[int, str]:
    """Return until when to answer (ms), and that day in words."""
    words = ReportText(language)
    if not calendar:
        deadline = end_of_day(now + days * DAY_MS)
        return deadline, words("notice_calendar", day=words.day(deadline), zone="UTC")
    used = load_calendar(calendar, policy)
    deadline = business_deadline(used, now, days)
    there = datetime.fromtimestamp(deadline / 1000, UTC).astimezone(ZoneInfo(used.zone))
    day = words.day(int(there.replace(tzinfo=UTC).timestamp()) * 1000)
    return deadline, words("notice_calendar", day=day, zone=used.zone)


def _named_exhibits(
    workspace: CaseWorkspace, language: Language, bearing: Sequence[parties.Evidence]
) -> Iterator[str]:
    """Exhibits by number, title and address, each once."""
    titles = {e.id: e.title for e in workspace.case.exhibits.values()}
    writer = Writer(language, Context(exhibits=titles))
    for name in dict.fromkeys(e.exhibit for e in bearing):
        exhibit = workspace.case.exhibits[name]
        source = exhibit_list.exhibit_source(workspace.path, exhibit)
        named = writer.exhibit(name)
        where = ReportText(language).isolated(source)
        yield f"{named}, {where}" if source and source != exhibit.title else named


def enforcement_states(workspace: CaseWorkspace, party: str) -> tuple[EnforcementState, ...]:
    """What technical enforcement last said of a party's accounts, as far as exhibits hold it."""
    root = workspace.case.root(party)
    own = {link.account for link in workspace.case.links if workspace.case.root(link.party) == root}
    last: dict[str, Decision] = {}
    for exhibit in workspace.case.exhibits.values():
        if exhibit.kind == "platform_run":
            for decision in run_decisions(workspace.path / exhibit.path):
                if decision.account in own:
                    last[decision.account] = decision
    return tuple(
        EnforcementState(name, decision.outcome, decision.until) for name, decision in last.items()
    )


def prepare_determination(
    workspace: CaseWorkspace,
    party: str,
    as_of: int | None,
    policy: Path | None,
    *,
    by: str,
    role: str,
    why: str = "",
) -> tuple[str, Determination]:
    """Prepare a determination on a party as of an instant (None: now); gives its number too."""
    if party not in workspace.case.parties:
        raise CaseError(f"there is no party {party[:40]}", fix="see the case", code="not-in-case")
    party = workspace.case.root(party)
    grounds, name = load_grounds(policy), workspace.case.fresh("D")
    at = workspace.clock() if as_of is None else as_of
    if at > workspace.clock():
        raise CaseError(
            f"{format_instant(at)} is in the future",
            fix="determine as of now, or of a time that has been",
        )
    determination = determine(
        party,
        evidence_for_party(workspace.case, party),
        grounds,
        at,
        enforcement_states(workspace, party),
        context_for_party(workspace.case, party, figures_of_runs(workspace.path, workspace.case)),
    )
    workspace.keep_grounds(grounds)
    workspace.take(DeterminationPrepared(name, determination), by=by, role=role, why=why)
    return name, determination


def add_post_notice_evidence(
    workspace: CaseWorkspace, run: Path, inputs: RunInputs, key: bytes, actor: Actor, role: str
) -> list[str]:
    """Take in, as evidence, what a run shows of accounts of noticed parties; the evidence's ids.

    An account counts that is tied to the party and was acted on after the notice arrived, and later
    than any evidence from the platform that is there, and than the decisions that its exhibit has:
    the same run twice adds nothing, though reports or a person led to a decision after the last of
    the conduct. The case reopens by itself; that it is the party's conduct a person still has to
    confirm.
    """
    rename = make_renamer(case_key(key, workspace.case.id))
    last = {
        d.account: d.ts for d in reproduction.read_decisions(run) if d.outcome not in NOT_REFUSING
    }
    hidden = {rename("a", account): account for account in last}
    added, seen = [], _decisions_in_evidence(workspace)
    for party, since in post_notice_monitoring.monitoring_starts(workspace.case).items():
        tied = {
            link.account
            for link in workspace.case.links
            if workspace.case.root(link.party) == party
        }
        accounts = [
            hidden[name]
            for name in sorted(tied & hidden.keys())
            if last[hidden[name]] > max(since, seen.get(name, since))
        ]
        if accounts:
            added.append(
                _add_account_evidence(workspace, run, party, accounts, inputs, key, actor, role)
            )
    return added


def _decisions_in_evidence(workspace: CaseWorkspace) -> dict[str, int]:
    """When the last decision was (ms) on each account, in the runs on which evidence rests."""
    found: dict[str, int] = {}
    resting = {evidence.exhibit for evidence in workspace.case.evidence.values()}
    for exhibit in workspace.case.exhibits.values():
        if exhibit.id in resting and exhibit.kind == "platform_run":
            for decision in run_decisions(workspace.path / exhibit.path):
                found[decision.account] = max(decision.ts, found.get(decision.account, 0))
    return found


def _add_account_evidence(
    workspace: CaseWorkspace,
    run: Path,
    party: str,
    accounts: list[str],
    inputs: RunInputs,
    key: bytes,
    actor: Actor,
    role: str,
) -> str:
    exhibit, about = add_run_exhibit(workspace, run, accounts, inputs, key, actor, role)
    ties: Any = strongest_link(workspace, party, about.accounts)
    name, dates = workspace.case.fresh("V"), conduct_dates(workspace, exhibit)
    evidence = parties.Evidence(
        name,
        party,
        exhibit.id,
        "on_platform",
        "unknown",
        dates.began,
        dates.lasted,
        ties[0],
        ties[1],
        began_source=dates.began_source,
        lasted_source=dates.lasted_source,
        accounts=about.accounts,
    )
    add_evidence(workspace, evidence, by=actor.who, role=role, why=actor.why)
    return name
