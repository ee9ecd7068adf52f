"""Commands `case draft` and `case parties`: a plain case in one go, and parties across cases."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wavebreak.cli.console import command, err, out, print_json, print_next_steps, progress_bar
from wavebreak.cli.options import (
    AllowPrivate,
    Browser,
    Json,
    Key,
    Lateness,
    ModelDir,
    NoBrowser,
    PolicyDir,
    Wide,
)
from wavebreak.errors import UsageError, WavebreakError
from wavebreak.reports.tables import Table, count_of, print_table
from wavebreak_cases.cases.parties import Basis, Strength
from wavebreak_cases.cli import cases
from wavebreak_cases.cli.case_options import (
    Authority,
    Began,
    By,
    DateBasis,
    Doing,
    Many,
    PartyKind,
    Role,
    SealKey,
    TieBasis,
    TieStrength,
    Until,
    Violations,
    Zone,
    open_case_at,
    run_inputs,
)

if TYPE_CHECKING:
    from wavebreak_cases.bundles.case_draft import CaseDraft, DraftMeans, DraftResult, PageSummary
    from wavebreak_cases.cases.case import Case
    from wavebreak_cases.cases.completeness import Gap

MAX_NEXT_STEPS = 8


@cases.command(
    epilog="Examples: `wavebreak case draft cases/C-7 --party 'Bulk Co Ltd' --url "
    "https://bulk.example/ --run out --account a-17 --conduct engaged --violation bulk --by Noa`; "
    "`wavebreak case draft cases/C-7` shows what is missing; `wavebreak case draft cases --batch "
    "new.csv --by Noa`"
)
def draft(
    place: Annotated[
        Path, typer.Argument(help="The case's directory, new or not; of a batch, that of all.")
    ],
    party: Annotated[str, typer.Option(help="Whom it is about: a name, or P1 of this case.")] = "",
    by: By = "",
    url: Annotated[Many, typer.Option(help="A page to capture; again for more.")] = None,
    file: Annotated[
        Many, typer.Option(help="A saved page, a document, or what `claim` wrote; again for more.")
    ] = None,
    run: Annotated[str, typer.Option(help="What `run -o` wrote, which shows the accounts.")] = "",
    account: Annotated[
        Many, typer.Option(help="An account of the party, as in the events; again for more.")
    ] = None,
    conduct: Annotated[Doing | None, typer.Option(help="What the party did.")] = None,
    violation: Violations = None,
    began: Began = "",
    until: Until = "",
    zone: Zone = None,
    date_basis: DateBasis = "",
    basis: TieBasis = None,
    strength: TieStrength = None,
    account_basis: Annotated[
        Basis | None, typer.Option(help="What ties the accounts to the party.")
    ] = None,
    account_strength: Annotated[Strength | None, typer.Option(help="How strongly.")] = None,
    title: Annotated[str, typer.Option(help="What the case is called (default: party).")] = "",
    about: Annotated[str, typer.Option(help="What it is about, in a paragraph.")] = "",
    kind: Annotated[PartyKind, typer.Option(help="What the party is.")] = PartyKind.company,
    alias: Annotated[Many, typer.Option(help="Another name of the party.")] = None,
    domain: Annotated[Many, typer.Option(help="A domain of the party.")] = None,
    number: Annotated[Many, typer.Option(help="A number it publishes, E.164.")] = None,
    batch: Annotated[
        Path | None,
        typer.Option(help="CSV or TOML: a draft a line, columns named as the options and `case`."),
    ] = None,
    browser: Browser = None,
    no_browser: NoBrowser = False,
    allow_private: AllowPrivate = False,
    policy: PolicyDir = None,
    model_dir: ModelDir = None,
    lateness: Lateness = 60,
    key: Key = None,
    why: Annotated[str, typer.Option(help="Why, in a line.")] = "not stated",
    authority: Authority = "not stated",
    role: Role = "investigator",
    seal_key: SealKey = None,
    as_json: Json = False,
    wide: Wide = False,
) -> None:
    """Draft a plain case: open it, name the party, take in pages, a run and accounts, read them.

    Nothing is confirmed, and what is not stated stays unknown: the command ends with what is
    missing and the commands that fill it in. Drafting again continues after an interruption, takes
    nothing in twice, adds what is new, and corrects evidence that nobody has confirmed. A page that
    cannot be taken in keeps nothing else out; the command then exits with 1.
    """
    if not batch and not party:
        _show_gaps(place, as_json=as_json)
        return
    from wavebreak_cases.bundles.case_draft import CaseDraft

    if not by:
        raise UsageError("a draft needs the name of who makes it", fix="give --by NAME")
    means = partial(
        _means,
        by,
        why,
        authority,
        role,
        key,
        _capture(browser=None if no_browser else browser, shot=not no_browser, open_=allow_private),
        partial(run_inputs, policy, model_dir, lateness, key),
    )
    if batch:
        _draft_batch(place, batch, means(), seal_key, as_json=as_json)
        return
    made = CaseDraft(
        party=party,
        title=title,
        about=about,
        kind=kind.value,  # type: ignore[arg-type]
        alias=tuple(alias or ()),
        domain=tuple(domain or ()),
        number=tuple(number or ()),
        url=tuple(url or ()),
        file=tuple(file or ()),
        run=run,
        account=tuple(account or ()),
        conduct=conduct.value if conduct else "",  # type: ignore[arg-type]
        violation=tuple(dict.fromkeys(each.value for each in violation or ())),  # type: ignore[misc]
        began=began,
        until=until,
        zone=zone or "",
        date_basis=date_basis,
        basis=basis,
        strength=strength,
        account_basis=account_basis,
        account_strength=account_strength,
    )
    with progress_bar("drafting") as show:
        case, result, pages = _draft_one(place, made, means()._replace(show=show), seal_key)
    _print_draft(place, case, result, pages, as_json=as_json)
    if result.failures:
        raise typer.Exit(1)


def _capture(*, browser: Path | None, shot: bool, open_: bool) -> Any:
    """Return what captures an address into a directory, as `claim capture` does."""

    def capture(actor: Any, url: str, directory: Path) -> None:
        from wavebreak_cases import claims

        def now() -> str:
            return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")

        claims.capture_page(
            url,
            directory,
            actor,
            claims.CaptureEnvironment(now, allow_private=open_),
            browser=claims.find_browser(browser) if shot else None,
        )

    return capture


def _means(
    by: str,
    why: str,
    authority: str,
    role: str,
    key: Path | None,
    capture: Any,
    run_inputs: Any,
) -> DraftMeans:
    from wavebreak.privacy.secret_key import load_key
    from wavebreak_cases.bundles.case_draft import DraftMeans
    from wavebreak_cases.claims.exhibits import Actor

    actor = Actor(by, socket.gethostname(), why, authority)
    return DraftMeans(actor, role, load_key(key), partial(capture, actor), run_inputs)


def _draft_one(
    place: Path, made: CaseDraft, means: DraftMeans, seal_key: Path | None
) -> tuple[Case, DraftResult, list[PageSummary]]:
    """Draft one case; return it with what came of it and what its pages offer."""
    from wavebreak_cases.bundles.case_draft import draft_case, summarize_pages
    from wavebreak_cases.bundles.workspace import is_case

    new = "" if is_case(place) else place.resolve().name
    with open_case_at(place, seal_key, new) as at:
        result = draft_case(at, made, means)
        return at.case, result, summarize_pages(at, list(result.exhibits.values()))


def _draft_batch(
    place: Path, batch: Path, means: DraftMeans, seal_key: Path | None, *, as_json: bool
) -> None:
    """Draft every case of a file; what is wrong with one keeps none of the others out."""
    from wavebreak_cases.bundles.case_batch import read_batch

    lines = read_batch(batch)
    rows: list[tuple[str, ...]] = []
    failed: list[tuple[str, WavebreakError]] = []
    with progress_bar("drafting") as show:
        for done, line in enumerate(lines):
            show(done / len(lines), f"{line.where}: {line.case}")
            if line.draft is None:
                failed.append((line.where, line.error or UsageError("not well formed")))
                continue
            try:
                case, result, _ = _draft_one(place / line.case, line.draft, means, seal_key)
            except WavebreakError as error:
                failed.append((line.where, error))
                continue
            failed += [(f"{line.where}, {f.source}", f.error) for f in result.failures]
            missing = len(_gaps(case, []))
            rows.append((line.where, line.case, line.draft.party, str(result.steps), str(missing)))
    if as_json:
        errors = [{"where": where, "what": e.what, "fix": e.fix} for where, e in failed]
        names = ("where", "case", "party", "steps", "missing")
        print_json(
            {"drafts": [dict(zip(names, row, strict=True)) for row in rows], "failures": errors}
        )
    else:
        columns = ("line", "case", "party", "steps now", "missing")
        print_table(
            Table(str(batch), columns, rows, words=frozenset({0, 1, 2})),
            out,
        )
        for where, problem in failed:
            _print_failure(where, problem)
        out.print(f"{count_of(len(rows), 'line')} drafted, {count_of(len(failed), 'error')}")
        print_next_steps([command("wavebreak", "case", "list", place)])
    if failed:
        raise typer.Exit(1)


def _print_failure(where: str, error: WavebreakError) -> None:
    err.print(f"error: {where}: {error.what}", style="red", soft_wrap=True)
    if error.fix:
        err.print(f"  fix: {error.fix}", soft_wrap=True)


def _print_draft(
    place: Path, case: Case, result: DraftResult, pages: Sequence[PageSummary], *, as_json: bool
) -> None:
    gaps = _gaps(case, pages)
    if as_json:
        print_json(
            {
                "case": case.id,
                "party": result.party,
                "exhibits": result.exhibits,
                "evidence": result.evidence,
                "steps": result.steps,
                "failures": [
                    {"source": f.source, "what": f.error.what, "fix": f.error.fix}
                    for f in result.failures
                ],
                "read": [page._asdict() | {"published": None} for page in pages],
                "missing": [gap._asdict() for gap in gaps],
            }
        )
        return
    name = case.parties[result.party].name
    taken = ", ".join(f"{item} of {case.evidence[item].exhibit}" for item in result.evidence)
    out.print(
        f"{case.id}: {result.party} {name}; evidence {taken or 'none'}; "
        f"{count_of(result.steps, 'step')} sealed now, {len(case.steps)} in all",
    )
    for failure in result.failures:
        _print_failure(failure.source, failure.error)
    rows = [(p.exhibit, p.verdict, ", ".join(p.offers), ", ".join(p.contacts)) for p in pages]
    if rows:
        title = "read on the pages (triage: a person decides)"
        columns = ("exhibit", "verdict", "offers", "contacts")
        print_table(Table(title, columns, rows, words=frozenset(range(4))), out)
    _print_gaps(place, gaps)


def _gaps(case: Case, pages: Sequence[PageSummary]) -> tuple[Gap, ...]:
    from wavebreak_cases.bundles.case_draft import offered_violations
    from wavebreak_cases.cases.completeness import find_gaps

    read: Mapping[str, tuple[str, ...]] = {p.exhibit: offered_violations(p.offers) for p in pages}
    return find_gaps(case, read)


def _print_gaps(place: Path, gaps: Sequence[Gap]) -> None:
    from wavebreak_cases.cases.completeness import closing_commands

    if not gaps:
        out.print("nothing is missing: the determinations are signed")
        print_next_steps([command("wavebreak", "bundle", place, "-o", f"{place.name}.zip")])
        return
    rows = [(gap.item or "case", gap.missing) for gap in gaps]
    print_table(Table("missing", ("of", "what"), rows, words=frozenset({0, 1})), out)
    steps = [
        command("wavebreak", "case", name, place, *rest, "--by", "NAME")
        if name != "sign"
        else command("wavebreak", "case", name, place, *rest)
        for name, *rest in closing_commands(gaps)
    ]
    print_next_steps(steps[:MAX_NEXT_STEPS])
    more = len(steps) - MAX_NEXT_STEPS
    if more > 0:
        out.print(f"  and {count_of(more, 'more command')}: `wavebreak case draft {place}`")


def _show_gaps(place: Path, *, as_json: bool) -> None:
    """Show what a case needs, without a change."""
    from wavebreak_cases.bundles.workspace import CASE, is_case, load_case
    from wavebreak_cases.cases.completeness import find_gaps

    if not is_case(place):
        raise UsageError(
            f"there is no case in {place}",
            fix="name its party to draft one: --party NAME --by NAME",
        )
    gaps = find_gaps(load_case(place / CASE)[1])
    if as_json:
        print_json([gap._asdict() for gap in gaps])
    else:
        _print_gaps(place, gaps)


CasesDirectory = Annotated[Path, typer.Argument(help="The directory that holds the cases.")]


@cases.command("list", epilog="Example: `wavebreak case list cases`")
def list_(place: CasesDirectory, as_json: Json = False, wide: Wide = False) -> None:
    """List the cases of a directory: state, parties, evidence, and how much is missing."""
    from wavebreak_cases.bundles.case_listing import list_cases

    listed = list_cases(place)
    columns = ("case", "title", "state", "parties", "evidence", "missing")
    rows = []
    for name, case, missing, _ in listed:
        if case is not None:
            parties = [p.name for p in case.parties.values() if not p.same_as]
            counts = (str(len(case.evidence)), str(missing))
            rows.append((name, case.title, str(case.state), ", ".join(parties), *counts))
    unread = [(one.name, one.error) for one in listed if one.error is not None]
    if as_json:
        print_json(
            {
                "cases": [dict(zip(columns, row, strict=True)) for row in rows],
                "unread": [{"case": name, "what": e.what, "fix": e.fix} for name, e in unread],
            }
        )
    else:
        print_table(Table(str(place), columns, rows, words=frozenset(range(4))), out)
        for name, error in unread:
            _print_failure(name, error)
    if unread:
        raise typer.Exit(1)


@cases.command(
    "parties", epilog="Example: `wavebreak case parties cases` lists who is in several cases first"
)
def parties(
    place: CasesDirectory, policy: PolicyDir = None, as_json: Json = False, wide: Wide = False
) -> None:
    """List the parties across cases: who may be in several, with the reasons; nothing is merged."""
    from wavebreak_cases.bundles.case_listing import list_cases, list_parties
    from wavebreak_cases.cases.parties import load_name_weights

    listed = list_cases(place)
    found = list_parties(listed, load_name_weights(policy))
    if as_json:
        print_json(
            [
                {
                    "entries": [
                        {
                            "case": e.case,
                            "party": e.party.id,
                            "name": e.party.name,
                            "evidence": e.items,
                            "results": e.results,
                        }
                        for e in one.entries
                    ],
                    "reasons": one.reasons,
                }
                for one in found
            ]
        )
        return
    rows = [
        (
            "\n".join(f"{e.case} {e.party.id}" for e in one.entries),
            "\n".join(e.party.name for e in one.entries),
            "\n".join(f"{e.items:,}" for e in one.entries),
            "\n".join(", ".join(e.results).replace("_", " ") or "–" for e in one.entries),
            "\n".join(one.reasons),
        )
        for one in found
    ]
    columns = ("party", "name", "evidence", "result", "may be one, because")
    print_table(Table(str(place), columns, rows, words=frozenset({0, 1, 3, 4})), out)
    for one in listed:
        if one.error is not None:
            _print_failure(one.name, one.error)
