"""Command group `claim`: capture, add, read, confirm, reject, check, evaluate."""

from __future__ import annotations

import getpass
import platform
from datetime import UTC, datetime
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import typer
from rich.box import SIMPLE
from rich.table import Column, Table
from rich.text import Text

from wavebreak import evaluation
from wavebreak.cli import console
from wavebreak.cli.app import command_group
from wavebreak.cli.commands import command
from wavebreak.cli.console import command as command_line
from wavebreak.cli.options import AllowPrivate, Browser, Json, NoBrowser, Wide
from wavebreak.errors import ClaimError, FileError, UsageError
from wavebreak_cases import claims
from wavebreak_cases.claims.evaluation import SPLITS, Interval
from wavebreak_cases.cli.fixes import CaseCommand, typed_name

claim = command_group(
    "claim",
    "Capture, read and judge public claims about bulk and automated messaging.",
    command_class=CaseCommand,
)

New = Annotated[Path, typer.Option("--out", "-o", help="New directory of the exhibit.")]
Of = Annotated[Path, typer.Argument(help="Directory of an exhibit.")]
By = Annotated[
    str, typer.Option("--by", help="Who does it (default: your login).", callback=typed_name)
]
Authority = Annotated[str, typer.Option(help="By what right: mandate, order, ticket.")]
Purpose = Annotated[str, typer.Option(help="Why it is done.")]

_MIN_REASON = 0.05
"""Reasons that add less are left to --json."""


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _actor(by: str, purpose: str, authority: str) -> claims.Actor:
    return claims.Actor(by or getpass.getuser(), platform.node(), purpose, authority)


@command(
    claim,
    "wavebreak claim capture https://shop.example/ -o ex-1 --by 'A. Rao' --authority 'mandate 12'",
)
def capture(
    url: Annotated[str, typer.Argument(help="Address of a public page (http, https).")],
    *,
    out_path: New,
    by: By = "",
    authority: Authority = "not stated",
    purpose: Purpose = "not stated",
    browser: Browser = None,
    no_browser: NoBrowser = False,
    allow_private: AllowPrivate = False,
) -> None:
    """Capture a page: WARC with redirects and requisites, screenshot, custody."""
    exhibit = claims.capture_page(
        url,
        out_path,
        _actor(by, purpose, authority),
        claims.CaptureEnvironment(_now, allow_private=allow_private),
        browser=None if no_browser else claims.find_browser(browser),
    )
    _print_exhibit(exhibit, out_path)
    console.print_next_steps([command_line("wavebreak", "claim", "read", out_path)])


@command(
    claim,
    "wavebreak claim add page.warc.gz -o ex-2",
    "wavebreak claim add receipt.pdf -o ex-3 --kind test_purchase "
    "--detail ordered='1,000 sends' --detail account=p-1",
)
def add(
    file: Annotated[Path, typer.Argument(help="WARC, WACZ, HTML, PDF, image or text.")],
    *,
    out_path: New,
    kind: Annotated[
        Literal["upload", "test_purchase", "partner_notice"], typer.Option(help="What it is.")
    ] = "upload",
    source: Annotated[str, typer.Option(help="Where it is from, in words.")] = "",
    detail: Annotated[
        list[str] | None,
        typer.Option(help="name=value: when, by, ordered, price, account (a pseudonym), result."),
    ] = None,
    published_from: Annotated[str, typer.Option(help="Public since (RFC 3339), if known.")] = "",
    published_to: Annotated[str, typer.Option(help="Public at the latest (RFC 3339).")] = "",
    by: By = "",
    authority: Authority = "not stated",
    purpose: Purpose = "not stated",
) -> None:
    """Add a file unchanged: an upload, a test purchase, a partner's notice."""
    published = None
    if published_from or published_to:
        first, last = _time(published_from), _time(published_to)
        published = claims.Published(first, last, "stated by the person who added it")
    exhibit = claims.add_file(
        _bytes(file),
        out_path,
        _actor(by, purpose, authority),
        _now(),
        kind=kind,
        source=source or file.name,
        published=published,
        details=_details(detail or []),
    )
    said = claims.recognize_exhibit(out_path, _actor(by, purpose, authority), _now())
    _print_exhibit(exhibit, out_path)
    if said:
        console.out.print(f"  {said}")


@command(claim, "wavebreak claim read ex-1 --html ex-1-read.html", name="read")
def read_claims(
    path: Annotated[Path, typer.Argument(help="Directory of an exhibit, or a file.")],
    *,
    as_json: Json = False,
    html: Annotated[Path | None, typer.Option(help="Write the text with marked sentences.")] = None,
    wide: Wide = False,
) -> None:
    """Read what a page offers, how much and for what price, with the reasons for its score."""
    reading = _read(path)
    if html:
        html.write_text(claims.render_html(reading), encoding="utf-8")
    if as_json:
        console.echo(msgspec.json.format(msgspec.json.encode(reading), indent=1).decode())
        return
    said = "[bold]{}[/], {:.2f} (triage: a person decides)"
    console.out.print(console.styled(said, reading.verdict, reading.score))
    facts = [(name, Text(value)) for name, value in claims.describe_reading(reading) if value]
    _print_grid("", facts)
    sentences = [
        (", ".join(r.offers) or "by wording", Text(f"“{r.text}”", style="reverse"))
        for r in reading.relied_on
    ]
    _print_grid("sentences relied on", sentences)
    why = [r for r in reading.reasons if abs(r.adds) >= _MIN_REASON]
    _print_grid("why, in log odds", [(f"{r.adds:+.2f}", Text(r.name)) for r in why])


def _print_grid(title: str, rows: list[tuple[str, Text]]) -> None:
    """Print names with values beside them, which wrap within their own column."""
    if not rows:
        return
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in rows:
        grid.add_row(f"  {name}", value)
    console.out.print(console.styled("\n[bold]{}[/]", title) if title else "")
    console.out.print(grid)


@command(claim, "wavebreak claim confirm ex-1 --by 'A. Rao' --reason 'offers …'")
def confirm(
    directory: Of,
    *,
    reason: Annotated[str, typer.Option(help="Why, in words.")],
    by: By = "",
    authority: Authority = "not stated",
) -> None:
    """Label an exhibit as a claim, after a person's review; recorded in its custody."""
    _add_label(directory, "claim", _actor(by, reason, authority), reason)


@command(claim, "wavebreak claim reject ex-1 --by 'A. Rao' --reason 'a news page'")
def reject(
    directory: Of,
    *,
    reason: Annotated[str, typer.Option(help="Why, in words.")],
    by: By = "",
    authority: Authority = "not stated",
) -> None:
    """Label an exhibit as no claim, after a person's review; recorded in its custody."""
    _add_label(directory, "innocent", _actor(by, reason, authority), reason)


@command(claim, "wavebreak claim check ex-1")
def check(directory: Of) -> None:
    """Check an exhibit's files, and print its custody and labels; exit with 1 on any error."""
    wrong = claims.check_exhibit(directory)
    _print_exhibit(claims.load_exhibit(directory), directory)
    if not wrong:
        for line in claims.read_custody(directory):
            console.out.print(f"{line.at} {line.who} @ {line.where}: {line.what}")
        for label in claims.read_labels(directory):
            console.out.print(f"{label.at} {label.label} by {label.by}: {label.reason}")
    for error in wrong:
        console.out.print(f"error: {error}", style="bold red")
    if wrong:
        raise typer.Exit(1)


@command(claim, "wavebreak claim evaluate pages --labels my.csv --split heldout")
def evaluate(
    pages: Annotated[Path, typer.Argument(help="Folder of labelled pages.")],
    *,
    labels: Annotated[
        Path | None, typer.Option(help="CSV file of labels (default: labels.csv in the folder).")
    ] = None,
    split: Annotated[str, typer.Option(help="Only pages of this split.")] = "",
    half: Annotated[str, typer.Option(hidden=True)] = "",
    as_json: Json = False,
    wide: Wide = False,
) -> None:
    """Measure the reader on your own labelled pages: precision, recall, intervals, errors.

    Pages are HTML, text, PDF, WARC or WACZ. Labels are a CSV file with the columns file (a path in
    the folder) and label (claim or benign). Optional columns: family (pages made alike, which
    intervals resample together), language, kind, split (development, heldout); and what a page
    states, values separated by semicolons, a dash for none: offers, capacities (80000/day), prices
    (40 USD), contacts, channels, brands, published.
    """
    wanted = split or SPLITS.get(half, half)
    results, splits = [], dict[str, None]()
    with console.progress_bar("reading") as show:
        for number, result in enumerate(claims.evaluate_pages(pages, labels), 1):
            show(0.0, f"{number:,} pages")
            splits[result.split] = None
            if wanted in ("", result.split):
                results.append(result)
    if not results:
        known = ", ".join(filter(None, splits)) or "none: leave --split out"
        raise UsageError(f"no page is of the split {wanted[:40]}", fix=f"splits are {known}")
    print_evaluation(results, as_json=as_json)


def print_evaluation(results: list[claims.PageResult], *, as_json: bool) -> None:
    """Print how well pages were classified: by group, by field, and each error."""
    groups = {"all": claims.count_results(results)}
    for name in ("split", "language", "kind"):
        counts = claims.count_by(results, attrgetter(name))
        groups |= {f"{name}: {value}": count for value, count in counts.items() if value}
    intervals = _family_intervals(results)
    errors = [result for result in results if not result.correct]
    if as_json:
        report = {
            "groups": {name: _measures(counts) for name, counts in groups.items()},
            "by_family_95": intervals,
            "fields": claims.sum_field_counts(result.fields for result in results),
            "wrong": errors,
        }
        console.echo(msgspec.json.format(msgspec.json.encode(report), indent=1).decode())
        return
    _print_groups(groups, intervals)
    _print_fields(results)
    for result in results:
        if result.error or not result.correct:
            why = result.error or f"score {result.score:.2f} ({result.why})"
            console.out.print(f"wrong: {result.file} is {result.label}, {why}")


def _by_split(results: list[claims.PageResult]) -> dict[str, list[claims.PageResult]]:
    splits: dict[str, list[claims.PageResult]] = {}
    for result in results:
        if result.split:
            splits.setdefault(result.split, []).append(result)
    return splits


def _family_intervals(results: list[claims.PageResult]) -> dict[str, tuple[Interval, Interval]]:
    """Intervals of precision and recall by families, of all pages and of each split."""
    groups = {"all": results}
    groups |= {f"split: {name}": pages for name, pages in _by_split(results).items()}
    return {
        name: claims.bootstrap_by_family(pages)
        for name, pages in groups.items()
        if any(page.family for page in pages)
    }


def _print_groups(
    groups: dict[str, claims.Counts], intervals: dict[str, tuple[Interval, Interval]]
) -> None:
    table = Table(Column("pages", no_wrap=True), box=SIMPLE, padding=0, pad_edge=False)
    for name in ("n", "claims", "prec.", "95 %", "rec.", "95 %", "+unsure", "false"):
        table.add_column(name)
    for name, counts in groups.items():
        measures = _measures(counts)
        false = f"{counts.flagged - counts.true_positives}/{counts.pages - counts.claims}"
        table.add_row(
            name,
            f"{counts.pages:,}",
            f"{counts.claims:,}",
            _number(measures["precision"]),
            _interval(measures["precision_95"]),
            _number(measures["recall"]),
            _interval(measures["recall_95"]),
            _number(measures["recall_with_unsure"]),
            false,
        )
        if ends := intervals.get(name):
            precision, recall = map(_interval, ends)
            table.add_row("  by family", "", "", "", precision, "", recall, "", "")
    console.out.print(table)


def _print_fields(results: list[claims.PageResult]) -> None:
    fields = claims.sum_field_counts(result.fields for result in results)
    for split, pages in _by_split(results).items():
        counts = claims.sum_field_counts(page.fields for page in pages)
        fields |= {f"{name}, {split}": count for name, count in counts.items()}
    if not fields:
        return
    table = Table("field", "labelled", "read", "both", "precision", "recall", box=SIMPLE)
    for name, count in fields.items():
        table.add_row(
            name,
            f"{count.labelled:,}",
            f"{count.read:,}",
            f"{count.matched:,}",
            _number(count.matched / count.read if count.read else None),
            _number(count.matched / count.labelled if count.labelled else None),
        )
    console.out.print(table)


def _print_exhibit(exhibit: claims.Exhibit, directory: Path) -> None:
    console.out.print(f"{exhibit.kind} {exhibit.id[:12]}, {exhibit.captured_at}, {directory}/")
    for kept in exhibit.files:
        console.out.print(f"  {kept.path}  {kept.size:,} bytes")
        console.out.print(f"    sha256 {kept.sha256}")
    for name in ("screenshot", "gaps"):
        if (note := exhibit.details.get(name)) and note not in ("complete", "none"):
            console.out.print(f"  {name}: {note}", style="yellow")


def _read(path: Path) -> claims.Reading:
    if path.is_dir():
        at, documents = claims.load_exhibit(path).captured_at, claims.exhibit_documents(path)
    else:
        at, documents = _now(), claims.parse_file(_bytes(path))
    return claims.highest_scoring([claims.read(document, at) for document in documents])


def _add_label(
    directory: Path, label: Literal["claim", "innocent"], actor: claims.Actor, reason: str
) -> None:
    try:
        score = _read(directory).score
    except ClaimError:  # an image is labelled by who looked at it
        score = None
    entry = claims.add_label(directory, label, actor, _now(), reason, score)
    console.out.print(f"{entry.label} by {entry.by}, {entry.at}")


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        raise FileError(
            f"{path} cannot be read", fix="give a file that exists and is readable"
        ) from None


def _details(parts: list[str]) -> dict[str, str]:
    details = dict(part.split("=", 1) for part in parts if "=" in part)
    if len(details) < len(parts):
        raise UsageError("--detail is not well formed", fix="write it as --detail name=value")
    return details


def _time(text: str) -> str | None:
    if text:
        try:
            if datetime.fromisoformat(text).tzinfo is None:
                raise ValueError
        except ValueError:
            raise UsageError(
                "a time is not well formed", fix="write it as 2019-12-08T00:00:00Z"
            ) from None
    return text or None


def _measures(counts: claims.Counts) -> dict[str, object]:
    return {
        "pages": counts.pages,
        "claims": counts.claims,
        "flagged": counts.flagged,
        "true_positives": counts.true_positives,
        "precision": counts.precision,
        "recall": counts.recall,
        "precision_95": evaluation.exact_interval(counts.true_positives, counts.flagged),
        "recall_95": evaluation.exact_interval(counts.true_positives, counts.claims),
        "recall_with_unsure": counts.recall_with_unsure,
        "recall_with_unsure_95": evaluation.exact_interval(counts.found, counts.claims),
        "benign_unsure": counts.unsure,
    }


def _number(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else "–"


def _interval(ends: object) -> str:
    return f"{ends[0]:.2f}–{ends[1]:.2f}" if isinstance(ends, tuple) else "–"
