"""Command group `case`, from opening to a signed determination; commands `bundle` and `verify`.

Most commands are acts: their options and words are declared in `wavebreak_cases.acts`.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.table import Table

from wavebreak.cli.app import app
from wavebreak.cli.commands import command
from wavebreak.cli.console import command as command_line
from wavebreak.cli.console import echo, out, print_json, print_next_steps, styled
from wavebreak.cli.ledger import read_authorities, request_cosignature, stamp_ledger
from wavebreak.cli.options import Json, Key, KeyHistory, Lateness, ModelDir, PolicyDir, Wide
from wavebreak.errors import UsageError, WavebreakError
from wavebreak.languages import LANGUAGES, SOURCE_LANGUAGE
from wavebreak.ledger import Ledger, checkpoints
from wavebreak.ledger.storage import LEDGER
from wavebreak.privacy import secret_key
from wavebreak.reports import tables
from wavebreak.reports.tables import print_lines, print_table
from wavebreak_cases import claims
from wavebreak_cases.acts import ACTS
from wavebreak_cases.acts.evidence import redaction_marks
from wavebreak_cases.acts.notices import draft_notice
from wavebreak_cases.bundles import case_tables, evidence_intake, report_settings, workspace
from wavebreak_cases.bundles.report_settings import Operator, ReportSettings
from wavebreak_cases.bundles.time_stamps import STAMP, stamp_beside
from wavebreak_cases.cases import signatures
from wavebreak_cases.cases.case import Case
from wavebreak_cases.cases.notices import Notice
from wavebreak_cases.cases.parties import load_name_weights, propose_merges
from wavebreak_cases.cases.workflow import describe_action, replay
from wavebreak_cases.cli import case_draft, cases
from wavebreak_cases.cli.case_options import (
    ActCommand,
    Authority,
    Many,
    Place,
    act_command,
    open_case_at,
    run_inputs,
)
from wavebreak_cases.cli.fixes import CaseCommand

__all__ = ["case_draft"]

Tongue = StrEnum("Tongue", [*LANGUAGES])  # type: ignore[misc]
ENGLISH = Tongue(SOURCE_LANGUAGE)


def _print_step(case: Case) -> None:
    last = case.steps[-1]
    done = describe_action(last.did)
    out.print(f"{case.id}, step {last.n}: {done}; the case is {case.state}")


def _print_steps(case: Case, before: int) -> None:
    for step in case.steps[before:]:
        out.print(f"step {step.n}: {describe_action(step.did)} {step.why}")


def take_step(call: ActCommand) -> None:
    """Do the act of a command that takes one step, and print that."""
    with call.open() as at:
        call.do(at)
        _print_step(at.case)


def _take_step_with_key(call: ActCommand, key: Key = None) -> None:
    take_step(call)


act_command("open")(take_step)


@command(cases, "wavebreak case show cases/C-7")
def show(
    place: Place,
    *,
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


act_command("party")(take_step)


@act_command("relate")
def relate(call: ActCommand) -> None:
    """Show the steps that a relation leads to."""
    with call.open() as at:
        before = len(at.case.steps)
        call.do(at)
        _print_steps(at.case, before)


@act_command("merge", by="")
def merge(
    call: ActCommand, policy: PolicyDir = None, as_json: Json = False, wide: Wide = False
) -> None:
    """Propose merges where no parties are given."""
    keep, drop, by = (call.given[name] for name in ("keep", "drop", "by"))
    if not keep:
        proposals = propose_merges(
            tuple(workspace.load_case(call.given["place"] / workspace.CASE)[1].parties.values()),
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
    with call.open() as at:
        call.do(at)
        if as_json:
            print_json(msgspec.to_builtins(at.case.steps[-1]))
        else:
            _print_step(at.case)


act_command("unmerge")(take_step)
act_command("link")(_take_step_with_key)


@act_command("exhibit")
def exhibit(call: ActCommand) -> None:
    """Say what was recognised in the exhibit."""
    with call.open() as at:
        call.do(at)
        _print_step(at.case)
        added = list(at.case.exhibits.values())[-1]
        if recognized := claims.describe_recognition(at.path / added.path):
            out.print(f"  {recognized}")


@act_command("evidence")
def evidence(
    call: ActCommand,
    account: Annotated[Many, typer.Option(help="Of a run: an account, again for more.")] = None,
    own: Annotated[bool, typer.Option("--own", help="Of a run: their own events only.")] = False,
    ledger: Annotated[Path | None, typer.Option(help="Of a run: the ledger of it.")] = None,
    policy: PolicyDir = None,
    model_dir: ModelDir = None,
    lateness: Lateness = 60,
    key: Key = None,
    authority: Authority = "not stated",
) -> None:
    """Take in a run before evidence is drawn from it."""
    from wavebreak_cases.claims.exhibits import Actor

    source, by, why = (call.given[name] for name in ("source", "by", "why"))
    with call.open() as at:
        of_run: dict[str, Any] = {}
        if account or source not in at.case.exhibits:
            inputs = run_inputs(policy, model_dir, lateness, key)
            if ledger:
                sealed = (ledger, checkpoints.load_or_create_signer(call.given["seal_key"]))
                inputs = msgspec.structs.replace(inputs, ledger=sealed)
            added, _ = evidence_intake.add_run_exhibit(
                at,
                Path(source),
                account or [],
                msgspec.structs.replace(inputs, whole=not own),
                secret_key.load_key(key),
                Actor(by, socket.gethostname(), why, authority),
                call.given["role"],
            )
            of_run = {"exhibit": added.id, "seen": "on_platform"}
        before = len(at.case.steps)
        item = call.do(at, **of_run)
        _print_steps(at.case, before)
        print_lines(case_tables.evidence_lines(at.case, item), out)


@act_command("correct")
def correct(call: ActCommand) -> None:
    """Show the item as it is stated now."""
    with call.open() as at:
        before = len(at.case.steps)
        item = call.do(at)
        _print_steps(at.case, before)
        print_lines(case_tables.evidence_lines(at.case, item), out)


act_command("reversal")(_take_step_with_key)
act_command("bar")(take_step)


@act_command("watch", role=False)
def watch(
    call: ActCommand,
    policy: PolicyDir = None,
    model_dir: ModelDir = None,
    lateness: Lateness = 60,
    key: Key = None,
    authority: Authority = "not stated",
) -> None:
    """Say what was taken in."""
    with call.open() as at:
        added = call.do(at, run_inputs=lambda: run_inputs(policy, model_dir, lateness, key))
        out.print(f"new evidence: {', '.join(added) or 'none'}; the case is {at.case.state}")


@act_command("confirm")
def confirm(
    call: ActCommand,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask: it was read and is so.")] = False,
) -> None:
    """Show the item, and ask."""
    item, rejects = call.given["item"], call.given["reject"]
    with call.open() as at:
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
        call.do(at)
        _print_step(at.case)


@act_command("notice")
def notice(
    call: ActCommand,
    out_path: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write the letter here: PDF, DOCX, draft.")
    ] = None,
    draft: Annotated[bool, typer.Option("--draft", hidden=True, help="No longer needed.")] = False,
    policy: PolicyDir = None,
) -> None:
    """Print a draft where it is not said that the notice was sent."""
    given = call.given
    with call.open() as at:
        if given["sent"] or given["exhibit"] or given["letter"]:
            if not given["sent"] or not given["exhibit"]:
                what, fix = ACTS["record_past_notice"].missing or ("", "")
                raise UsageError(what, fix=fix)
            call.do(at)
            _print_step(at.case)
            return
        known = report_settings.load_operator(policy)
        work = call.work(
            at,
            ACTS["send_notice"],
            operator=given["operator"] or known.name,
            contact=given["contact"] or known.contact,
            calendar=given["calendar"],
        )
        drafted = draft_notice(work)
        echo("\n\n".join([drafted.subject, *drafted.paragraphs]))
        if out_path:
            _write_letter(at.case, drafted, given["operator"], given["contact"], known, out_path)


def _write_letter(
    case: Case, drafted: Notice, name: str, contact: str, known: Operator, place: Path
) -> None:
    from wavebreak_cases.bundles.letters import write_letter

    operator = msgspec.structs.replace(
        known, name=name or known.name, contact=contact or known.contact
    )
    for path in write_letter(case, drafted, operator, place):
        out.print(str(path))


act_command("delivery")(take_step)


@act_command("determine")
def determine(call: ActCommand, policy: PolicyDir = None) -> None:
    """Print the determination."""
    with call.open() as at:
        name = call.do(at)
        prepared = at.case.determinations[name].value
        print_lines(case_tables.determination_lines(name, prepared), out)
        print_lines(case_tables.tie_lines(at.case), out)


act_command("signer")(take_step)


@act_command("sign", by=None)
def sign(
    call: ActCommand,
    signing_key: Annotated[
        Path, typer.Option(help="The signer's key file, by `wavebreak ledger keygen`.")
    ],
) -> None:
    """Sign with a key: who signs is whom the case names as its holder."""
    item = call.given["item"]
    with call.open() as at:
        holder = checkpoints.load_signer(signing_key)
        public = checkpoints.encode_verifier_key(holder.key)
        known = at.case.signers.get(public)
        if known is None:
            raise UsageError(
                f"the case names nobody with the key {signing_key}",
                fix=f"name the person: `wavebreak case signer {call.given['place']} NAME --key "
                f"{public}`",
            )
        signed: dict[str, Any] = {"by": known.name, "role": known.role}
        if item in at.case.determinations:
            prepared = at.case.determinations[item].value
            signed["signature"] = signatures.sign_determination(holder, at.case.id, item, prepared)
        call.do(at, **signed)
        _print_step(at.case)


act_command("task")(take_step)
act_command("advance")(take_step)


@act_command("erase")
def erase(call: ActCommand, key: Key = None) -> None:
    """Say what was found, and what remains."""
    from wavebreak_cases.bundles import account_erasure

    ledger = call.given["ledger"]
    with call.open() as at:
        done = call.do(at)
        case = at.case
    said = account_erasure.describe_erasure(done.found)
    widest = max(len(name) for name, _ in said)
    out.print("found", style="bold")
    for name, value in said:
        out.print(f"  {name:<{widest}}  {value}")
    if not done.recorded:
        out.print("nothing was erased: no sealed entry on the account can be opened any more")
        return
    numbers = ", ".join(map(str, done.entries)) or "none"
    out.print(f"can no longer be opened: entries {numbers} of the case's ledger")
    if ledger:
        out.print(f"and {done.found.elsewhere:,} entries of {ledger}")
    out.print("remains, under the pseudonym: the steps of the case, and the events in its exhibits")
    last = case.steps[-1]
    out.print(f"{case.id}, step {last.n}: openings erased; determine and pack again")


@act_command("redact", by="")
def redact(
    call: ActCommand, authority: Authority = "not stated", as_json: Json = False, wide: Wide = False
) -> None:
    """Show what may be personal data; with a reason redact, and say what remains."""
    from wavebreak_cases.bundles import exhibit_redaction

    exhibit, place = call.given["exhibit"], call.given["place"]
    with call.open() as at:
        if not call.given["why"]:
            work = call.work(at, call.act)
            suggested = exhibit_redaction.suggest_marks(at, exhibit, work.values["name"])
            redaction_marks(work, suggested)
            if as_json:
                print_json([each._asdict() for each in suggested])
            else:
                _print_suggestions(suggested)
            return
        done, marks = call.do(at)
        step, guessable = at.case.steps[-1].n, exhibit_redaction.is_guessable(at.case, exhibit)
        case_id, naming = at.case.id, exhibit_redaction.steps_that_name(at.case.steps, marks)
        others = exhibit_redaction.exhibits_that_name(at, marks, exhibit)
    said = exhibit_redaction.describe_removed(done)
    out.print(f"{case_id}, step {step}: {exhibit} redacted, {said}")
    out.print(f"  {place / done.path}")
    if naming:
        numbers = ", ".join(map(str, naming))
        out.print(f"  steps are not redacted: {numbers} name it (titles, reasons, bases of dates)")
    if others:
        out.print(f"  it stands elsewhere too: {', '.join(map(str, others))}; redact these as well")
    if guessable:
        out.print(
            "  an earlier version took the original in: whoever has the bundle can test guesses at "
            "a short text against its sealed digest; take it in again as another exhibit"
        )


def _print_suggestions(suggested: Sequence[Any]) -> None:
    rows = [(each.what, each.text, str(each.times)) for each in suggested]
    if rows:
        print_table(tables.Table("may be personal data", ("what", "words", "times"), rows), out)
    else:
        out.print("nothing was found in its text; a picture is not searched")
    out.print("nothing was redacted: mark what a person decides, and give --by and --why")


@command(cases, "wavebreak case export cases/C-7 -o C-7-export --language he")
def export(
    place: Place,
    *,
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


@command(cases, "wavebreak case report cases/C-7 -o report.pdf --language he")
def report(
    place: Place,
    *,
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

    written, case = workspace.load_case(place / workspace.CASE)
    said = _settings(case, language, policy, prepared_by, signing_key, issued, settings)
    print_lines(case_tables.stale_lines(case), out)
    out_path.write_bytes(render_report(place, replay(shown_case(written)), said))
    out.print(str(out_path))


@command(app, "wavebreak bundle cases/C-7 -o C-7.zip", cls=CaseCommand)
def bundle(
    place: Annotated[Path, typer.Argument(help="The case's directory.")],
    *,
    out_path: Annotated[Path, typer.Option("--out", "-o", help="The zip file to write.")],
    language: Annotated[Tongue, typer.Option(help="Language of report and forms.")] = ENGLISH,
    prepared_by: PreparedBy = "",
    signing_key: PreparerKey = None,
    issued: Issued = "",
    policy: PolicyDir = None,
    settings: SettingsFile = None,
    seal_key: Annotated[Path | None, typer.Option(help="Key file that sealed the case.")] = None,
    with_names: Annotated[
        bool,
        typer.Option(
            "--with-names", help="A person saw where it still names what was redacted: pack it."
        ),
    ] = False,
) -> None:
    """Pack a case into one file that another party can verify without trusting us."""
    from wavebreak_cases.bundles.archive_writer import write_bundle

    with open_case_at(place, seal_key) as at:
        said = _settings(at.case, language, policy, prepared_by, signing_key, issued, settings)
        print_lines(case_tables.stale_lines(at.case), out)
        witness = _Witness(at.case.id, policy)
        counts = write_bundle(at, out_path, said, with_names=with_names, cosign=witness.cosign)
    signer = checkpoints.load_or_create_signer(seal_key)
    out.print(
        f"{out_path}: {counts['files']:,} files, {counts['bytes']:,} bytes, "
        f"{counts['entries']:,} sealed entries"
    )
    key = checkpoints.fingerprint(signer.key)
    out.print(f"key: {signer.name} {key} (give it to the reader by another way)")
    out.print(witness.said)
    stamped = _stamp(place, out_path, policy)
    print_next_steps(
        [
            command_line(
                "wavebreak",
                "verify",
                out_path,
                "--key",
                checkpoints.encode_verifier_key(signer.key),
            )
        ]
    )
    if witness.failed or not stamped:
        raise typer.Exit(1)


class _Witness:
    """The witness that a policy names signs a packed ledger, or it is said why none did."""

    def __init__(self, case: str, policy: Path | None) -> None:
        self.case, self.policy, self.failed = case, policy, False
        self.said = "no witness is named: that there is no other ledger rests on the maker alone"

    def cosign(self, ledger: Ledger) -> None:
        """Have it sign, where one is named."""
        try:
            sealing = report_settings.load_sealing(self.policy)
            if not sealing.witness_key:
                return
            key = checkpoints.load_verifier_key(sealing.witness_key)
            url = sealing.witness_url.replace("{case}", self.case)
            ledger.witnessed(request_cosignature(ledger, url, key))
        except WavebreakError as error:
            self.failed = True
            self.said = f"not witnessed: {error.what}; that rests on the maker alone"
        else:
            self.said = f"witnessed by {key.name}: give its key to the reader too, by another way"


def _stamp(place: Path, bundle: Path, policy: Path | None) -> bool:
    """Have the packed checkpoint stamped where an authority is configured; False: it failed."""
    alone = "when its entries were made rests on the maker's clock and key alone"
    try:
        sealing = report_settings.load_sealing(policy)
        if not sealing.time_stamp_url:
            out.print(f"no authority stamped it: {alone}, unless a witness signed it")
            return True
        authority = Path(sealing.time_stamp_authority)
        kept = stamp_ledger(place / LEDGER, sealing.time_stamp_url, authority)
    except WavebreakError as error:
        out.print(f"not stamped: {error.what}; {alone}, unless a witness signed it")
        return False
    beside = bundle.with_name(f"{bundle.name}{STAMP}")
    beside.write_bytes(kept.read_bytes())
    out.print(f"stamped: {beside} is a time stamp of the checkpoint in it; give it with the file")
    return True


@command(app, "wavebreak verify C-7.zip --key example.org/log+1a2b3c4d+AQ...", cls=CaseCommand)
def verify(
    source: Annotated[Path, typer.Argument(help="A bundle, or its unpacked folder.")],
    *,
    key: Annotated[
        list[str] | None,
        typer.Option(help="Verifier key of its maker, or of a witness, or a file with it."),
    ] = None,
    key_history: KeyHistory = None,
    stamp: Annotated[
        Path | None, typer.Option(help="Its time stamp (default: BUNDLE.tsr where it exists).")
    ] = None,
    stamp_authority: Annotated[
        Path | None, typer.Option(help="Certificates (PEM) of who may have stamped it.")
    ] = None,
    as_json: Json = False,
    wide: Wide = False,
) -> None:
    """Check a bundle: files, seals, custody, and every decision and number computed again.

    Exits with 0 where every check passes, 1 where one fails, 3 where not all can be made here, 4
    where it holds but rests on a key that nobody vouched for, 5 where it holds, with redactions.
    """
    from wavebreak.ledger.storage import read_key_history
    from wavebreak_cases.bundles.verify import Stamp, exit_code, verify_bundle

    history = read_key_history(key_history) if key_history else []
    keys = [checkpoints.load_verifier_key(text) for text in key or []]
    beside = stamp or stamp_beside(source)
    roots = read_authorities(stamp_authority)
    findings = verify_bundle(
        source, keys, history=history, stamp=Stamp(beside, roots) if beside else None
    )
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
