"""Commands `case draft` and `case parties`: a plain case in one go, and parties across cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wavebreak.cli import options
from wavebreak.cli.commands import command
from wavebreak.cli.console import command as command_line
from wavebreak.cli.console import err, out, print_json, print_next_steps, progress_bar
from wavebreak.errors import UsageError, WavebreakError
from wavebreak.reports.tables import Table, count_of, print_table
from wavebreak_cases.acts.progress import drafted_values
from wavebreak_cases.bundles.workspace import CASE, is_case, load_case
from wavebreak_cases.cases.case import Case
from wavebreak_cases.cases.completeness import Gap, closing_commands, find_gaps
from wavebreak_cases.cases.parties import load_name_weights
from wavebreak_cases.cli import case_options, cases
from wavebreak_cases.cli.fixes import command_fix

# The engine takes seconds to import, and `case list` needs nothing of it.
if TYPE_CHECKING:
    from wavebreak_cases.bundles.case_draft import DraftResult, PageSummary

MAX_NEXT_STEPS = 8


@case_options.act_command("draft", by="")
def draft(
    call: case_options.ActCommand,
    batch: Annotated[
        Path | None,
        typer.Option(help="CSV or TOML: a draft a line, columns named as the options and `case`."),
    ] = None,
    browser: options.Browser = None,
    no_browser: options.NoBrowser = False,
    allow_private: options.AllowPrivate = False,
    policy: options.PolicyDir = None,
    model_dir: options.ModelDir = None,
    lateness: options.Lateness = 60,
    key: options.Key = None,
    authority: case_options.Authority = "not stated",
    as_json: options.Json = False,
    wide: options.Wide = False,
) -> None:
    """Draft one case or a batch; without a party show what a case needs."""
    place = call.given["place"]
    if not batch and not call.given["party"]:
        _show_gaps(place, as_json=as_json)
        return
    if not call.given["by"]:
        raise UsageError("a draft needs the name of who makes it", fix="give --by NAME")
    more = {
        "capture": partial(
            _capture, browser=browser, shot=not no_browser, allow_private=allow_private
        ),
        "run_inputs": partial(case_options.run_inputs, policy, model_dir, lateness, key),
    }
    if batch:
        _draft_batch(call, batch, more, as_json=as_json)
        return
    with progress_bar("drafting") as show:
        case, result, pages = _draft_one(call, place, more | {"show": show})
    _print_draft(place, case, result, pages, as_json=as_json)
    if result.failures:
        raise typer.Exit(1)


def _capture(
    actor: Any, url: str, directory: Path, *, browser: Path | None, shot: bool, allow_private: bool
) -> None:
    """Capture an address into a directory, as `claim capture` does."""
    from wavebreak_cases import claims

    def now() -> str:
        return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")

    claims.capture_page(
        url,
        directory,
        actor,
        claims.CaptureEnvironment(now, allow_private=allow_private),
        browser=claims.find_browser(browser) if shot else None,
    )


def _draft_one(
    call: case_options.ActCommand, place: Path, more: Mapping[str, Any]
) -> tuple[Case, DraftResult, list[PageSummary]]:
    from wavebreak_cases.bundles.case_draft import summarize_pages

    new = "" if is_case(place) else place.resolve().name
    with case_options.open_case_at(place, call.given["seal_key"], new) as at:
        result = call.do(at, **more)
        return at.case, result, summarize_pages(at, list(result.exhibits.values()))


def _draft_batch(
    call: case_options.ActCommand, batch: Path, more: dict[str, Any], *, as_json: bool
) -> None:
    """Draft every case of a file; what is wrong with one keeps none of the others out."""
    from wavebreak_cases.bundles.case_draft import read_batch

    place, lines = call.given["place"], read_batch(batch)
    rows: list[tuple[str, ...]] = []
    failed: list[tuple[str, WavebreakError]] = []
    with progress_bar("drafting") as show:
        for done, line in enumerate(lines):
            show(done / len(lines), f"{line.where}: {line.case}")
            if line.draft is None:
                failed.append((line.where, line.error or UsageError("not well formed")))
                continue
            try:
                values = drafted_values(line.draft) | more
                case, result, _ = _draft_one(call, place / line.case, values)
            except WavebreakError as error:
                failed.append((line.where, error))
                continue
            failed += [(f"{line.where}, {f.source}", f.error) for f in result.failures]
            missing = len(_gaps(case, []))
            rows.append((line.where, line.case, line.draft.party, str(result.steps), str(missing)))
    if as_json:
        errors = [{"where": where, "what": e.what, "fix": command_fix(e)} for where, e in failed]
        names = ("where", "case", "party", "steps", "missing")
        print_json(
            {"drafts": [dict(zip(names, row, strict=True)) for row in rows], "failures": errors}
        )
    else:
        columns = ("line", "case", "party", "steps now", "missing")
        print_table(Table(str(batch), columns, rows, words=frozenset({0, 1, 2})), out)
        for where, problem in failed:
            _print_failure(where, problem)
        out.print(f"{count_of(len(rows), 'line')} drafted, {count_of(len(failed), 'error')}")
        print_next_steps([command_line("wavebreak", "case", "list", place)])
    if failed:
        raise typer.Exit(1)


def _print_failure(where: str, error: WavebreakError) -> None:
    err.print(f"error: {where}: {error.what}", style="red", soft_wrap=True)
    if fix := command_fix(error):
        err.print(f"  fix: {fix}", soft_wrap=True)


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
                    {"source": f.source, "what": f.error.what, "fix": command_fix(f.error)}
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
        f"{count_of(result.steps, 'step')} sealed now, {len(case.steps)} in all"
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

    read: Mapping[str, tuple[str, ...]] = {p.exhibit: offered_violations(p.offers) for p in pages}
    return find_gaps(case, read)


def _print_gaps(place: Path, gaps: Sequence[Gap]) -> None:
    if not gaps:
        out.print("nothing is missing: the determinations are signed")
        print_next_steps([command_line("wavebreak", "bundle", place, "-o", f"{place.name}.zip")])
        return
    rows = [(gap.item or "case", gap.missing) for gap in gaps]
    print_table(Table("missing", ("of", "what"), rows, words=frozenset({0, 1})), out)
    steps = [
        command_line("wavebreak", "case", name, place, *rest, "--by", "NAME")
        if name != "sign"
        else command_line("wavebreak", "case", name, place, *rest)
        for name, *rest in closing_commands(gaps)
    ]
    print_next_steps(steps[:MAX_NEXT_STEPS])
    more = len(steps) - MAX_NEXT_STEPS
    if more > 0:
        out.print(f"  and {count_of(more, 'more command')}: `wavebreak case draft {place}`")


def _show_gaps(place: Path, *, as_json: bool) -> None:
    """Show what a case needs, without a change."""
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


@command(cases, "wavebreak case list cases", name="list")
def list_(
    place: CasesDirectory, *, as_json: options.Json = False, wide: options.Wide = False
) -> None:
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
                "unread": [
                    {"case": name, "what": e.what, "fix": command_fix(e)} for name, e in unread
                ],
            }
        )
    else:
        print_table(Table(str(place), columns, rows, words=frozenset(range(4))), out)
        for name, error in unread:
            _print_failure(name, error)
    if unread:
        raise typer.Exit(1)


@command(cases, "wavebreak case parties cases", name="parties")
def parties(
    place: CasesDirectory,
    *,
    policy: options.PolicyDir = None,
    as_json: options.Json = False,
    wide: options.Wide = False,
) -> None:
    """List the parties across cases: who may be in several, with the reasons; nothing is merged.

    Those in several cases come first.
    """
    from wavebreak_cases.bundles.case_listing import list_cases, list_parties

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
