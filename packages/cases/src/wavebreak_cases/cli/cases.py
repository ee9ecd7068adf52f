"""Command group `case`, from opening to a signed determination; commands `bundle` and `verify`."""

from __future__ import annotations

import json
import socket
import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from msgspec import UNSET
from rich.table import Table

from wavebreak.cli.app import app
from wavebreak.cli.console import command, echo, out, print_json, print_next_steps, styled
from wavebreak.cli.options import Json, Key, KeyHistory, Lateness, ModelDir, PolicyDir, Wide
from wavebreak.errors import UsageError
from wavebreak.extras import LazyModule
from wavebreak.languages import LANGUAGES, SOURCE_LANGUAGE
from wavebreak.reports.tables import print_lines, print_table
from wavebreak_cases import claims
from wavebreak_cases.cases.parties import (
    Basis,
    Relation,
    Strength,
    load_name_weights,
    propose_merges,
)
from wavebreak_cases.cli import case_draft, case_privacy, cases
from wavebreak_cases.cli.case_options import (
    Authority,
    Began,
    By,
    DateBasis,
    Doing,
    Kind,
    Many,
    PartyKind,
    Place,
    Role,
    SealKey,
    TieBasis,
    TieStrength,
    Until,
    Violations,
    Why,
    Zone,
    run_inputs,
)
from wavebreak_cases.cli.case_options import open_case_at as _at

if TYPE_CHECKING:
    from wavebreak.ledger import checkpoints
    from wavebreak.privacy import secret_key
    from wavebreak_cases.bundles import (
        case_steps,
        case_tables,
        evidence_intake,
        evidence_items,
        report_settings,
        workspace,
    )
    from wavebreak_cases.bundles.report_settings import Operator, ReportSettings
    from wavebreak_cases.cases import case as case_file
    from wavebreak_cases.cases import date_ranges, notices, signatures
    from wavebreak_cases.cases.case import Action, Case
    from wavebreak_cases.cases.notices import Notice
    from wavebreak_cases.claims import exhibits
else:
    # The engine and the readers of pages take a second to import, and few steps need them.
    case_steps = LazyModule("wavebreak_cases.bundles.case_steps")
    evidence_intake = LazyModule("wavebreak_cases.bundles.evidence_intake")
    evidence_items = LazyModule("wavebreak_cases.bundles.evidence_items")
    case_tables = LazyModule("wavebreak_cases.bundles.case_tables")
    report_settings = LazyModule("wavebreak_cases.bundles.report_settings")
    workspace = LazyModule("wavebreak_cases.bundles.workspace")
    case_file = LazyModule("wavebreak_cases.cases.case")
    date_ranges = LazyModule("wavebreak_cases.cases.date_ranges")
    notices = LazyModule("wavebreak_cases.cases.notices")
    signatures = LazyModule("wavebreak_cases.cases.signatures")
    exhibits = LazyModule("wavebreak_cases.claims.exhibits")
    checkpoints = LazyModule("wavebreak.ledger.checkpoints")
    secret_key = LazyModule("wavebreak.privacy.secret_key")

__all__ = ["case_draft", "case_privacy"]

Exhibited = Annotated[str, typer.Option("--exhibit", help="The exhibit that shows it: E1.")]
At = Annotated[str, typer.Option(help="When: 2026-03-02T09:00:00Z (default: now).")]
BasisOf = Annotated[Basis, typer.Option(help="What ties it to the party.")]
StrengthOf = Annotated[Strength, typer.Option(help="How strongly.")]

Tie = StrEnum("Tie", ["affiliate", "successor", "owner", "officer", "reseller"])
Seen = StrEnum("Seen", ["on_platform", "off_platform"])
Kept = StrEnum(
    "Kept", ["document", "delivery", "reply", "claim", "test_purchase", "partner_notice"]
)
Goes = StrEnum("Goes", ["investigating", "noticed", "determined", "referred", "closed", "reopened"])
Tongue = StrEnum("Tongue", [*LANGUAGES])  # type: ignore[misc]
ENGLISH = Tongue(SOURCE_LANGUAGE)


def _print_step(case: Case) -> None:
    last = case.steps[-1]
    done = case_tables.describe_action(last.did)
    out.print(f"{case.id}, step {last.n}: {done}; the case is {case.state}")


@cases.command("open", epilog="Example: `wavebreak case open cases/C-7 --title 'Bulk Co' --by Noa`")
def open_case(
    place: Annotated[Path, typer.Argument(help="A new directory; its name is the case's id.")],
    title: Annotated[str, typer.Option(help="What it is called.")],
    by: By,
    role: Role = "investigator",
    about: Annotated[str, typer.Option(help="What it is about, in a paragraph.")] = "",
    seal_key: SealKey = None,
) -> None:
    """Open a case in a new directory."""
    with _at(place, seal_key, place.resolve().name) as at:
        _print_step(at.take(case_file.CaseOpened(title, about), by=by, role=role))


@cases.command(epilog="Example: `wavebreak case show cases/C-7`")
def show(
    place: Place,
    as_json: Annotated[bool, typer.Option("--json", help="Print the case file as JSON.")] = False,
    wide: Wide = False,
) -> None:
    """Show a case: parties, evidence, notices, determinations, tasks, what is overdue.

    A determination that is not of the evidence as it is now comes first, also in JSON
    (`not_current`).
    """
    written, case = workspace.load_case(place / workspace.CASE)
    if as_json:
        stale = {"not_current": lines} if (lines := case_tables.stale_lines(case)) else {}
        shown = msgspec.json.encode(stale | msgspec.to_builtins(written))
        echo(msgspec.json.format(shown).decode())
        return
    print_lines(case_tables.summary_lines(case, time.time_ns() // 10**6), out)
    for table in case_tables.case_tables(case):
        print_table(table, out)


@cases.command(
    epilog="Example: `wavebreak case party cases/C-7 'Bulk Co Ltd' --domain bulk.example --by Noa`"
)
def party(
    place: Place,
    name: Annotated[str, typer.Argument(help="Its name.")],
    by: By,
    kind: Annotated[PartyKind, typer.Option(help="What it is.")] = PartyKind.company,
    number_of: Annotated[str, typer.Option("--id", help="P1: name that party anew.")] = "",
    alias: Annotated[Many, typer.Option(help="Another name.")] = None,
    domain: Annotated[Many, typer.Option(help="A domain.")] = None,
    number: Annotated[Many, typer.Option(help="A number it publishes, E.164.")] = None,
    app: Annotated[Many, typer.Option(help="An application it offers.")] = None,
    site: Annotated[Many, typer.Option(help="A page's address.")] = None,
    note: Annotated[str, typer.Option(help="A remark.")] = "",
    role: Role = "investigator",
    seal_key: SealKey = None,
) -> None:
    """Add a party: a person or company, with aliases, domains, business numbers, apps, sites."""
    with _at(place, seal_key) as at:
        named = case_steps.party_named(
            at.case,
            name,
            kind=kind.value,
            number=number_of,
            aliases=alias or (),
            domains=domain or (),
            numbers=number or (),
            apps=app or (),
            sites=site or (),
            note=note,
        )
        _print_step(at.take(named, by=by, role=role))


@cases.command(
    epilog="Example: `wavebreak case relate cases/C-7 P2 P1 --is affiliate --exhibit E1 --by Noa`"
)
def relate(
    place: Place,
    one: Annotated[str, typer.Argument(help="A party.")],
    other: Annotated[str, typer.Argument(help="Of which it is …")],
    by: By,
    tie: Annotated[Tie, typer.Option("--is", help="What it is of the other.")],
    exhibit: Exhibited,
    strength: StrengthOf = Strength.UNKNOWN,
    role: Role = "investigator",
    seal_key: SealKey = None,
) -> None:
    """Record a relation between two parties, with the exhibit that shows it."""
    with _at(place, seal_key) as at:
        relation = Relation(one, other, tie.value, strength, exhibit)  # type: ignore[arg-type]
        before = len(at.case.steps)
        _print_steps(evidence_intake.relate_parties(at, relation, by=by, role=role), before)


@cases.command(
    epilog="Examples: `wavebreak case merge cases/C-7` proposes; `wavebreak case merge cases/C-7 "
    "P1 P2 --by Noa --why 'one register entry'` merges P2 into P1"
)
def merge(
    place: Place,
    keep: Annotated[str, typer.Argument(help="The party that stays.")] = "",
    drop: Annotated[str, typer.Argument(help="The party that is the same.")] = "",
    by: By = "",
    why: Why = "",
    policy: PolicyDir = None,
    role: Role = "investigator",
    seal_key: SealKey = None,
    as_json: Json = False,
    wide: Wide = False,
) -> None:
    """Propose parties that may be the same, with reasons; or merge two, as a person decides."""
    if not keep:
        proposals = propose_merges(
            tuple(workspace.load_case(place / workspace.CASE)[1].parties.values()),
            load_name_weights(policy),
        )
        if as_json:
            print_json(msgspec.to_builtins(proposals))
            return
        for table in case_tables.proposal_tables(proposals):
            print_table(table, out)
        out.print(f"{len(proposals)} proposals; nothing was merged")
        return
    if not by or not drop:
        raise UsageError("a person merges two parties", fix="give KEEP, DROP and --by NAME")
    with _at(place, seal_key) as at:
        case = at.take(case_file.PartiesMerged(keep, drop), by=by, role=role, why=why)
        if as_json:
            print_json(msgspec.to_builtins(case.steps[-1]))
        else:
            _print_step(case)


@cases.command(
    epilog="Example: `wavebreak case unmerge cases/C-7 P2 --by Noa --why 'another register entry'`"
)
def unmerge(
    place: Place,
    party: Annotated[str, typer.Argument(help="The party that is another one after all.")],
    by: By,
    why: Why,
    role: Role = "investigator",
    seal_key: SealKey = None,
) -> None:
    """Undo a merge by a step of its own: the party is itself again, with its own evidence.

    What the other party got from it is taken away there, unless it was named with that itself.
    Determinations on either have to be prepared again.
    """
    with _at(place, seal_key) as at:
        _print_step(at.take(case_file.PartiesUnmerged(party), by=by, role=role, why=why))


@cases.command(
    epilog="Example: `wavebreak case link cases/C-7 P1 +972501234567 --basis number_in_claim "
    "--strength moderate --exhibit E1 --by Noa`"
)
def link(
    place: Place,
    party: Annotated[str, typer.Argument(help="The party.")],
    account: Annotated[str, typer.Argument(help="The account's id, as in the events.")],
    basis: BasisOf,
    strength: StrengthOf,
    exhibit: Exhibited,
    by: By,
    why: Why = "",
    key: Key = None,
    role: Role = "investigator",
    seal_key: SealKey = None,
) -> None:
    """Link an account to a party, with the exhibit that shows it; only its pseudonym is stored."""
    with _at(place, seal_key) as at:
        linked = case_steps.account_linked(
            at.case, secret_key.load_key(key), party, account, basis, strength, exhibit
        )
        _print_step(at.take(linked, by=by, role=role, why=why))


@cases.command(
    epilog="Examples: `wavebreak case exhibit cases/C-7 claims/bulk --by Noa`; `wavebreak case "
    "exhibit cases/C-7 receipt.pdf --kind delivery --by Noa`"
)
def exhibit(
    place: Place,
    source: Annotated[Path, typer.Argument(help="What `wavebreak claim` wrote, or a file.")],
    by: By,
    kind: Annotated[Kept | None, typer.Option(help="What it is.")] = None,
    title: Annotated[str, typer.Option(help="What it is called.")] = "",
    why: Why = "not stated",
    authority: Authority = "not stated",
    role: Role = "investigator",
    seal_key: SealKey = None,
) -> None:
    """Add an exhibit: a captured claim with its custody, or a file."""
    with _at(place, seal_key) as at:
        actor = exhibits.Actor(by, socket.gethostname(), why, authority)
        if (source / exhibits.EXHIBIT).exists():
            evidence_intake.add_claim_exhibit(
                at, source, actor, role, title=title, kind=kind.value if kind else ""
            )
        else:
            what = kind.value if kind else "document"
            evidence_intake.add_file_exhibit(at, source, actor, role, title=title, kind=what)
        _print_step(at.case)
        taken = list(at.case.exhibits.values())[-1]
        if said := claims.describe_recognition(at.path / taken.path):
            out.print(f"  {said}")


@cases.command(
    epilog="Examples: `wavebreak case evidence cases/C-7 E1 --party P1 --conduct engaged "
    "--violation bulk --until 2021-03 --date-basis 'the invoice' --basis statement --strength "
    "strong --by Noa`; `wavebreak case evidence cases/C-7 out --account a-17 --party P1 --conduct "
    "engaged --violation automated --by Noa`"
)
def evidence(
    place: Place,
    source: Annotated[str, typer.Argument(help="An exhibit (E1), or what `run -o` wrote.")],
    party: Annotated[str, typer.Option(help="Whose conduct it shows: P1.")],
    by: By,
    conduct: Annotated[Doing, typer.Option(help="What the party did; neither: no violation.")],
    violation: Violations = None,
    seen: Annotated[Seen, typer.Option(help="Where it was seen.")] = Seen.off_platform,
    began: Began = "",
    until: Until = "",
    zone: Zone = None,
    date_basis: DateBasis = "",
    basis: TieBasis = None,
    strength: TieStrength = None,
    account: Annotated[Many, typer.Option(help="Of a run: an account, again for more.")] = None,
    own: Annotated[bool, typer.Option("--own", help="Of a run: their own events only.")] = False,
    ledger: Annotated[Path | None, typer.Option(help="Of a run: the ledger of it.")] = None,
    policy: PolicyDir = None,
    model_dir: ModelDir = None,
    lateness: Lateness = 60,
    key: Key = None,
    why: Why = "not stated",
    authority: Authority = "not stated",
    role: Role = "investigator",
    seal_key: SealKey = None,
) -> None:
    """Add evidence of conduct from an exhibit, or from a run with all inputs to reproduce it.

    Without dates they are those that the exhibit gives itself: the time of a capture, what a page
    says of its publication, the log of a run. Where it gives none they stay unknown. Conduct after
    a notice reopens the case.
    """
    with _at(place, seal_key) as at:
        where, name = seen.value, source
        if account or source not in at.case.exhibits:
            inputs = run_inputs(policy, model_dir, lateness, key)
            if ledger:
                sealed = (ledger, checkpoints.load_or_create_signer(seal_key))
                inputs = msgspec.structs.replace(inputs, ledger=sealed)
            taken, _ = evidence_intake.add_run_exhibit(
                at,
                Path(source),
                account or [],
                msgspec.structs.replace(inputs, whole=not own),
                secret_key.load_key(key),
                exhibits.Actor(by, socket.gethostname(), why, authority),
                role,
            )
            where, name = "on_platform", taken.id
        stated = evidence_items.Statement(
            conduct.value, _kinds(violation), began, until, zone, date_basis, basis, strength
        )
        shown = at.case.exhibits[name]
        item = evidence_items.draw_evidence(at, shown, party, where, stated, by)
        before = len(at.case.steps)
        _print_steps(evidence_intake.add_evidence(at, item, by=by, role=role, why=why), before)
        print_lines(case_tables.evidence_lines(at.case, item.id), out)


def _kinds(kinds: list[Kind] | None) -> Any:
    return tuple(dict.fromkeys(kind.value for kind in kinds)) if kinds else None


def _print_steps(case: Case, before: int) -> None:
    for step in case.steps[before:]:
        out.print(f"step {step.n}: {case_tables.describe_action(step.did)} {step.why}")


@cases.command(
    epilog="Example: `wavebreak case correct cases/C-7 V1 --until 2021-03 --date-basis 'the "
    "invoice' --by Noa --why 'the month was missing'`"
)
def correct(
    place: Place,
    item: Annotated[str, typer.Argument(help="The evidence: V1.")],
    by: By,
    why: Why,
    party: Annotated[str, typer.Option(help="Whose conduct it shows: P1.")] = "",
    conduct: Annotated[Doing | None, typer.Option(help="What the party did.")] = None,
    violation: Violations = None,
    began: Began = "",
    until: Until = "",
    zone: Zone = None,
    date_basis: DateBasis = "",
    basis: TieBasis = None,
    strength: TieStrength = None,
    role: Role = "investigator",
    seal_key: SealKey = None,
) -> None:
    """State an item of evidence anew: its dates, conduct or tie; it has to be confirmed again.

    What is not given stays. Dates that nobody gave a basis for are taken from the exhibit again.
    """
    with _at(place, seal_key) as at:
        old = at.case.evidence.get(item)
        if old is None:
            raise UsageError(f"there is no evidence {item[:40]}", fix="see `wavebreak case show`")
        stated = evidence_items.Statement(
            conduct.value if conduct else "",
            _kinds(violation),
            began,
            until,
            zone,
            date_basis,
            basis,
            strength,
        )
        new = evidence_items.restate_evidence(at, old, stated, by, party=party)
        before = len(at.case.steps)
        _print_steps(evidence_intake.correct_evidence(at, new, by=by, role=role, why=why), before)
        print_lines(case_tables.evidence_lines(at.case, item), out)


@cases.command(
    epilog="Example: `wavebreak case reversal cases/C-7 a-17 --at 2026-03-02T09:00:00Z --source "
    "'appeal 4471, decided by the support team' --by Noa`"
)
def reversal(
    place: Place,
    account: Annotated[str, typer.Argument(help="The account's id, as in the events.")],
    at_time: Annotated[str, typer.Option("--at", help="When: 2026-03-02T09:00:00Z.")],
    source: Annotated[str, typer.Option(help="Where that is recorded.")],
    by: By,
    key: Key = None,
    role: Role = "investigator",
    seal_key: SealKey = None,
) -> None:
    """Record that an appeal reversed the action against an account: it no longer is evidence."""
    with _at(place, seal_key) as at:
        found = case_steps.action_reversed(
            at.case, secret_key.load_key(key), account, date_ranges.parse_instant(at_time), source
        )
        evidence_intake.record_reversals(at, [found], by=by, role=role)
        _print_step(at.case)


@cases.command(epilog="Example: `wavebreak case watch cases/C-7 out --by 'the nightly job'`")
def watch(
    place: Place,
    run: Annotated[Path, typer.Argument(help="What `run -o` wrote.")],
    by: By,
    policy: PolicyDir = None,
    model_dir: ModelDir = None,
    lateness: Lateness = 60,
    key: Key = None,
    why: Why = "watching after a notice",
    authority: Authority = "not stated",
    seal_key: SealKey = None,
) -> None:
    """Search a later run for conduct of parties that had a notice; if found, reopen the case."""
    with _at(place, seal_key) as at:
        secret = secret_key.load_key(key)
        inputs = run_inputs(policy, model_dir, lateness, key)
        actor = exhibits.Actor(by, socket.gethostname(), why, authority)
        added = evidence_intake.add_post_notice_evidence(
            at, run, inputs, secret, actor, "investigator"
        )
        out.print(f"new evidence: {', '.join(added) or 'none'}; the case is {at.case.state}")


@cases.command(epilog="Example: `wavebreak case confirm cases/C-7 V1 --by Noa`")
def confirm(
    place: Place,
    item: Annotated[str, typer.Argument(help="The evidence: V1.")],
    by: By,
    rejects: Annotated[bool, typer.Option("--reject", help="It does not show this.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask: it was read and is so.")] = False,
    why: Why = "",
    role: Role = "investigator",
    seal_key: SealKey = None,
) -> None:
    """Show an item with its dates, ask, and confirm that its exhibit shows it, or reject it."""
    with _at(place, seal_key) as at:
        if item not in at.case.evidence:
            raise UsageError(f"there is no evidence {item[:40]}", fix="see `wavebreak case show`")
        print_lines(case_tables.evidence_lines(at.case, item), out)
        shown = at.case.evidence[item].exhibit
        asked = f"Does {shown} {'not ' if rejects else ''}show this, with these dates?"
        if not yes and not (sys.stdin.isatty() and typer.confirm(asked)):
            raise UsageError(
                f"{item} was not {'rejected' if rejects else 'confirmed'}",
                fix="read it, then answer yes, or give --yes; correct it with `wavebreak case "
                "correct`",
            )
        _print_step(
            at.take(case_file.EvidenceReviewed(item, not rejects), by=by, role=role, why=why)
        )


@cases.command(
    epilog="Example: `wavebreak case notice cases/C-7 P1 --language he --operator 'Example' "
    "--contact legal@example.org --by Noa`"
)
def notice(
    place: Place,
    party: Annotated[str, typer.Argument(help="To whom: P1.")],
    by: By,
    operator: Annotated[str, typer.Option(help="Who writes: the operator's name.")] = "",
    contact: Annotated[str, typer.Option(help="Where answers reach the operator.")] = "",
    template: Annotated[str, typer.Option(help="Which one.")] = "cease_and_desist",
    language: Annotated[Tongue, typer.Option(help="In which language.")] = ENGLISH,
    days: Annotated[int | None, typer.Option(min=1, max=365, help="Days to answer.")] = None,
    about: Annotated[str, typer.Option(help="Of a reminder: the notice, N1.")] = "",
    calendar: Annotated[
        str, typer.Option(help="Count days of business by this calendar: israel, united-states.")
    ] = "",
    out_path: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write the letter here: PDF, DOCX, draft.")
    ] = None,
    draft: Annotated[bool, typer.Option("--draft", hidden=True, help="No longer needed.")] = False,
    sent: Annotated[str, typer.Option(help="It was sent: when, 2024-03-01T09:00:00Z.")] = "",
    exhibit: Annotated[str, typer.Option(help="It was sent: the exhibit that proves it, E4.")] = "",
    letter: Annotated[
        Path | None, typer.Option(help="It was sent: the draft of the letter, N1.json.")
    ] = None,
    policy: PolicyDir = None,
    role: Role = "investigator",
    seal_key: SealKey = None,
) -> None:
    """Draft a notice to a party from a template; or record, with proof, that one was sent.

    A draft is printed, with -o also written as a letter, and nothing is recorded. With --sent and
    --exhibit a notice is recorded as sent: the letter of --letter, else as the exhibit holds it.
    """
    tongue: Any = language.value
    with _at(place, seal_key) as at:
        if sent or exhibit or letter:
            if not sent or not exhibit:
                raise UsageError(
                    "a notice that was sent needs its date and its proof",
                    fix="give both: --sent 2024-03-01T09:00:00Z --exhibit E4",
                )
            known = _sent_letter(at.case, party, letter, sent, exhibit) if letter else None
            past = known or case_steps.past_notice(
                at.case, party, tongue, date_ranges.parse_instant(sent), exhibit, days
            )
            _print_step(at.take(case_file.NoticeSent(past), by=by, role=role))
            return
        known_operator = report_settings.load_operator(policy)
        drafted = evidence_intake.draft_notice(
            at,
            party,
            template,
            tongue,
            operator=operator or known_operator.name,
            contact=contact or known_operator.contact,
            days=days,
            policy=policy,
            about=about,
            calendar=calendar or known_operator.calendar,
        )
        echo("\n\n".join([drafted.subject, *drafted.paragraphs]))
        if out_path:
            _write_letter(at.case, drafted, operator, contact, known_operator, out_path)


def _sent_letter(case: Case, party: str, letter: Path, sent: str, exhibit: str) -> Notice:
    drafted = case_steps.read_draft(letter)
    if drafted.party != party:
        raise UsageError(
            f"the letter is to {drafted.party}, not {party}", fix="give the party of the letter"
        )
    return case_steps.sent_notice(case, drafted, date_ranges.parse_instant(sent), exhibit)


def _write_letter(
    case: Case, drafted: Notice, name: str, contact: str, known: Operator, place: Path
) -> None:
    from wavebreak_cases.bundles.letters import write_letter

    operator = msgspec.structs.replace(
        known, name=name or known.name, contact=contact or known.contact
    )
    for path in write_letter(case, drafted, operator, place):
        out.print(str(path))


@cases.command(
    epilog="Example: `wavebreak case delivery cases/C-7 N1 --exhibit E3 --how courier --by Noa`"
)
def delivery(
    place: Place,
    item: Annotated[str, typer.Argument(help="The notice: N1.")],
    by: By,
    exhibit: Exhibited = "",
    how: Annotated[str, typer.Option(help="How it arrived; of an answer: what it says.")] = "",
    answer: Annotated[bool, typer.Option("--answer", help="This is the party's answer.")] = False,
    method: Annotated[str, typer.Option(help="By what service: registered mail, courier.")] = "",
    address: Annotated[str, typer.Option(help="At which address.")] = "",
    failed: Annotated[str, typer.Option(help="It was attempted and failed: why.")] = "",
    at_time: Annotated[str, typer.Option("--at", help="When: 2026-03-02T09:00:00Z.")] = "",
    role: Role = "investigator",
    seal_key: SealKey = None,
) -> None:
    """Record that a notice arrived, was answered, or could not be served, with what proves it."""
    with _at(place, seal_key) as at:
        moment = date_ranges.parse_instant(at_time) if at_time else time.time_ns() // 10**6
        what: Action
        if failed:
            if not method or not address:
                raise UsageError(
                    "a failed attempt needs its method and address",
                    fix="give --method courier --address '12 Main Street'",
                )
            what = case_file.ServiceFailed(
                notices.ServiceAttempt(item, moment, method, address, failed, exhibit or UNSET)
            )
        elif not exhibit or not (how or method):
            raise UsageError(
                "what arrived, or was answered, needs its proof",
                fix="give --exhibit E3 and --how, or --method and --address",
            )
        elif answer:
            what = case_file.ReplyReceived(notices.Reply(item, moment, how, exhibit))
        else:
            arrived = how or f"{method}, {address}"
            what = case_file.NoticeDelivered(
                notices.Delivery(item, moment, arrived, exhibit, method or UNSET, address or UNSET)
            )
        _print_step(at.take(what, by=by, role=role))


@cases.command(epilog="Example: `wavebreak case determine cases/C-7 P1 --by Noa`")
def determine(
    place: Place,
    party: Annotated[str, typer.Argument(help="On whom: P1.")],
    by: By,
    as_of: Annotated[str, typer.Option(help="As of: 2026-03-02T09:00:00Z (default: now).")] = "",
    policy: PolicyDir = None,
    role: Role = "investigator",
    seal_key: SealKey = None,
) -> None:
    """Prepare a determination: eligibility for legal action, its grounds, what would change it."""
    with _at(place, seal_key) as at:
        when_ = date_ranges.parse_instant(as_of) if as_of else None
        name, determination = evidence_intake.prepare_determination(
            at, party, when_, policy, by=by, role=role
        )
        print_lines(case_tables.determination_lines(name, determination), out)
        print_lines(case_tables.tie_lines(at.case), out)


@cases.command(
    epilog="Example: `wavebreak case signer cases/C-7 'Adv. Levi' --role counsel --key "
    "levi.example+1a2b3c4d+AQ... --by Noa`"
)
def signer(
    place: Place,
    name: Annotated[str, typer.Argument(help="Who may sign.")],
    key: Annotated[
        str, typer.Option(help="Verifier key, or its file: `wavebreak ledger keygen` prints it.")
    ],
    by: By,
    signs_as: Annotated[str, typer.Option("--role", help="In which role.")] = "counsel",
    why: Why = "",
    seal_key: SealKey = None,
) -> None:
    """Name a person who may sign determinations of the case, by a key that the person holds."""
    with _at(place, seal_key) as at:
        named = signatures.CaseSigner(
            name, signs_as, checkpoints.encode_verifier_key(checkpoints.load_verifier_key(key))
        )
        _print_step(at.take(case_file.SignerNamed(named), by=by, role="investigator", why=why))


@cases.command(epilog="Example: `wavebreak case sign cases/C-7 D1 --signing-key levi.key`")
def sign(
    place: Place,
    item: Annotated[str, typer.Argument(help="The determination: D1.")],
    signing_key: Annotated[
        Path, typer.Option(help="The signer's key file, by `wavebreak ledger keygen`.")
    ],
    why: Why = "",
    seal_key: SealKey = None,
) -> None:
    """Sign a determination with a key that the case names (`case signer`).

    The signer is who the key belongs to, and may not be the person who prepared it.
    """
    with _at(place, seal_key) as at:
        holder = checkpoints.load_signer(signing_key)
        known = at.case.signers.get(checkpoints.encode_verifier_key(holder.key))
        if known is None:
            raise UsageError(
                f"the case names nobody with the key {signing_key}",
                fix=f"name the person: `wavebreak case signer {place} NAME --key "
                f"{checkpoints.encode_verifier_key(holder.key)}`",
            )
        if item not in at.case.determinations:
            raise UsageError(
                f"there is no determination {item[:40]}", fix="see `wavebreak case show`"
            )
        prepared = at.case.determinations[item]
        made = signatures.sign_determination(holder, at.case.id, item, prepared.value)
        signed = case_file.DeterminationSigned(item, made)
        _print_step(at.take(signed, by=known.name, role=known.role, why=why))


@cases.command(
    epilog="Examples: `wavebreak case task cases/C-7 'buy a package' --due 2026-03-09T00:00:00Z "
    "--by Noa`; `wavebreak case task cases/C-7 T1 --done --by Noa`"
)
def task(
    place: Place,
    what: Annotated[str, typer.Argument(help="What is to be done; or T1.")],
    by: By,
    due: Annotated[str, typer.Option(help="Until when: 2026-03-09T00:00:00Z.")] = "",
    done: Annotated[bool, typer.Option("--done", help="That task is done.")] = False,
    role: Role = "investigator",
    seal_key: SealKey = None,
) -> None:
    """Add a task, or mark one as done."""
    with _at(place, seal_key) as at:
        added = case_steps.task_added(
            at.case, what, date_ranges.parse_instant(due) if due else None
        )
        _print_step(at.take(case_file.TaskFinished(what) if done else added, by=by, role=role))


@cases.command(epilog="Example: `wavebreak case advance cases/C-7 investigating --by Noa`")
def advance(
    place: Place,
    to: Annotated[Goes, typer.Argument(help="The state to go to.")],
    by: By,
    why: Why = "",
    role: Role = "investigator",
    seal_key: SealKey = None,
) -> None:
    """Change the state: investigating, noticed, determined, referred, closed, reopened."""
    with _at(place, seal_key) as at:
        _print_step(at.take(case_file.StateChanged(to.value), by=by, role=role, why=why))  # type: ignore[arg-type]


@cases.command(epilog="Example: `wavebreak case export cases/C-7 -o C-7-export --language he`")
def export(
    place: Place,
    out_path: Annotated[Path, typer.Option("--out", "-o", help="The directory to write into.")],
    language: Annotated[Tongue, typer.Option(help="In which language.")] = ENGLISH,
) -> None:
    """Export exhibit list and chronology as CSV and DOCX, and deadlines as iCalendar."""
    from wavebreak_cases.bundles.case_exports import export_case

    case = workspace.load_case(place / workspace.CASE)[1]
    for path in export_case(place, case, out_path, language.value):
        out.print(str(path))


PreparedBy = Annotated[
    str, typer.Option(help="Who prepared the report: a typed name, and marked as such.")
]
PreparerKey = Annotated[
    Path | None,
    typer.Option("--signing-key", help="Who prepared it, by a key that the case names instead."),
]
Issued = Annotated[str, typer.Option(help="Its date of issue: 2026-03-02.")]
SettingsFile = Annotated[Path | None, typer.Option("--settings", hidden=True)]


def _settings(
    case: Case,
    language: Tongue,
    policy: Path | None,
    prepared_by: str,
    signing_key: Path | None,
    issued: str,
    settings: Path | None,
) -> ReportSettings:
    """What a report says beside its case; the console gives it as a file."""
    if settings is not None:
        return msgspec.json.decode(settings.read_bytes(), type=report_settings.ReportSettings)
    authenticated = ""
    if signing_key is not None:
        holder = checkpoints.load_signer(signing_key)
        known = case.signers.get(checkpoints.encode_verifier_key(holder.key))
        if known is None or prepared_by not in ("", known.name):
            raise UsageError(
                f"the case names nobody with the key {signing_key}"
                if known is None
                else f"the key is of {known.name}",
                fix="name the person (`wavebreak case signer`), or give --prepared-by alone",
            )
        prepared_by, authenticated = known.name, checkpoints.fingerprint(holder.key)
    return report_settings.load_settings(
        language.value,
        policy=policy,
        prepared_by=prepared_by,
        authenticated=authenticated,
        issued=issued,
    )


@cases.command(epilog="Example: `wavebreak case report cases/C-7 -o report.pdf --language he`")
def report(
    place: Place,
    out_path: Annotated[Path, typer.Option("--out", "-o", help="The PDF file to write.")],
    language: Annotated[Tongue, typer.Option(help="In which language.")] = ENGLISH,
    prepared_by: PreparedBy = "",
    signing_key: PreparerKey = None,
    issued: Issued = "",
    policy: PolicyDir = None,
    settings: SettingsFile = None,
) -> None:
    """Typeset the report alone, as a bundle has it, to be read; a bundle can be verified too."""
    from wavebreak_cases.bundles.exhibit_redaction import shown_case
    from wavebreak_cases.bundles.report import render_report
    from wavebreak_cases.cases.workflow import replay

    written, case = workspace.load_case(place / workspace.CASE)
    said = _settings(case, language, policy, prepared_by, signing_key, issued, settings)
    print_lines(case_tables.stale_lines(case), out)
    out_path.write_bytes(render_report(place, replay(shown_case(written)), said))
    out.print(str(out_path))


@app.command(epilog="Example: `wavebreak bundle cases/C-7 -o C-7.zip`")
def bundle(
    place: Annotated[Path, typer.Argument(help="The case's directory.")],
    out_path: Annotated[Path, typer.Option("--out", "-o", help="The zip file to write.")],
    language: Annotated[Tongue, typer.Option(help="Language of report and forms.")] = ENGLISH,
    prepared_by: PreparedBy = "",
    signing_key: PreparerKey = None,
    issued: Issued = "",
    policy: PolicyDir = None,
    settings: SettingsFile = None,
    seal_key: Annotated[Path | None, typer.Option(help="Key file that sealed the case.")] = None,
) -> None:
    """Pack a case into one file that another party can verify without trusting us."""
    from wavebreak_cases.bundles.archive_writer import write_bundle

    with _at(place, seal_key) as at:
        said = _settings(at.case, language, policy, prepared_by, signing_key, issued, settings)
        print_lines(case_tables.stale_lines(at.case), out)
        counts = write_bundle(at, out_path, said)
    signer = checkpoints.load_or_create_signer(seal_key)
    out.print(
        f"{out_path}: {counts['files']:,} files, {counts['bytes']:,} bytes, "
        f"{counts['entries']:,} sealed entries"
    )
    key = checkpoints.fingerprint(signer.key)
    out.print(f"key: {signer.name} {key} (give it to the reader by another way)")
    print_next_steps(
        [
            command(
                "wavebreak",
                "verify",
                out_path,
                "--key",
                checkpoints.encode_verifier_key(signer.key),
            )
        ]
    )


@app.command(
    epilog="Example: `wavebreak verify C-7.zip --key example.org/log+1a2b3c4d+AQ...`. Exits with "
    "0 where every check passes, 1 where one fails, 3 where not all could be made."
)
def verify(
    source: Annotated[Path, typer.Argument(help="A bundle.")],
    key: Annotated[
        list[str] | None,
        typer.Option(help="Verifier key of its maker, or of a witness, or a file with it."),
    ] = None,
    key_history: KeyHistory = None,
    as_json: Json = False,
    wide: Wide = False,
) -> None:
    """Check a bundle: files, seals, custody, and every decision and number computed again."""
    from wavebreak.ledger.key_history import read_history
    from wavebreak_cases.bundles.verify import exit_code, verify_bundle

    history = read_history(key_history) if key_history else []
    keys = [checkpoints.load_verifier_key(text) for text in key or []]
    findings = verify_bundle(source, keys, history=history)
    if as_json:
        echo(json.dumps([finding._asdict() for finding in findings], indent=1))
    else:
        table = Table(title=str(source), title_justify="left", title_style="bold")
        for name in ("what", "", "found"):
            table.add_column(name)
        marks = {
            True: styled("[green]holds[/]"),
            False: styled("[red]does not hold[/]"),
            None: styled("[yellow]not checked[/]"),
        }
        for finding in findings:
            table.add_row(finding.what, marks[finding.holds], finding.said)
        out.print(table)
    raise typer.Exit(exit_code(findings))
