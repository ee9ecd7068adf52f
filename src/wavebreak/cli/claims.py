"""Verbs about public claims: claim capture, add, read, confirm, reject, check, evaluate, pages."""

from __future__ import annotations

import csv
import getpass
import platform
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import typer
from rich.box import SIMPLE
from rich.table import Column, Table
from rich.text import Text

from wavebreak import claims, evaluation
from wavebreak.cli.app import claim
from wavebreak.cli.console import out, print_next_steps, progress_bar
from wavebreak.errors import ClaimError, FileError, UsageError

New = Annotated[Path, typer.Option("--out", "-o", help="New directory of the exhibit.")]
Of = Annotated[Path, typer.Argument(help="Directory of an exhibit.")]
By = Annotated[str, typer.Option("--by", help="Who does it (default: your login).")]
Authority = Annotated[str, typer.Option(help="By what right: mandate, order, ticket.")]
Purpose = Annotated[str, typer.Option(help="Why it is done.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]

_TOLD = 0.05
"""Reasons that add less are left to --json."""


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _actor(by: str, purpose: str, authority: str) -> claims.Actor:
    return claims.Actor(by or getpass.getuser(), platform.node(), purpose, authority)


@claim.command(
    epilog="Example: `wavebreak claim capture https://shop.example/ -o ex-1 --by 'A. Rao' "
    "--authority 'mandate 12'`"
)
def capture(
    url: Annotated[str, typer.Argument(help="Address of a public page (http, https).")],
    out_path: New,
    by: By = "",
    authority: Authority = "not stated",
    purpose: Purpose = "not stated",
    browser: Annotated[
        Path | None, typer.Option(help="Chromium's executable (default: looked for).")
    ] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="No screenshot.")] = False,
    allow_private: Annotated[
        bool, typer.Option("--allow-private", help="Also addresses that are not public.")
    ] = False,
) -> None:
    """Capture a page: WARC with its redirects and requisites, screenshot, custody."""
    made = claims.capture(
        url, out_path, _actor(by, purpose, authority),
        claims.Outside(_now, allow_private=allow_private),
        browser=None if no_browser else claims.browser(browser),
    )  # fmt: skip
    _shown(made, out_path)
    print_next_steps([f"wavebreak claim read {out_path}"])


@claim.command(
    epilog="Examples: `wavebreak claim add page.warc.gz -o ex-2`; `wavebreak claim add receipt.pdf "
    "-o ex-3 --kind test_purchase --detail ordered='1,000 sends' --detail account=p-1`"
)
def add(
    file: Annotated[Path, typer.Argument(help="WARC, WACZ, HTML, PDF, image or text.")],
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
    """Take in a file as it is: an upload, a test purchase, a partner's notice."""
    published = None
    if published_from or published_to:
        first, last = _time(published_from), _time(published_to)
        published = claims.Published(first, last, "told by who added it")
    made = claims.take_in(
        _bytes(file), out_path, _actor(by, purpose, authority), _now(), kind=kind,
        source=source or file.name, published=published, details=_details(detail or []),
    )  # fmt: skip
    _shown(made, out_path)


@claim.command("read", epilog="Example: `wavebreak claim read ex-1 --html ex-1-read.html`")
def read_claims(
    path: Annotated[Path, typer.Argument(help="Directory of an exhibit, or a file.")],
    as_json: AsJson = False,
    html: Annotated[Path | None, typer.Option(help="Write the text with marked sentences.")] = None,
) -> None:
    """Read what a page offers, how much, for what price, and say why it looks like a claim."""
    made = _read(path)
    if html:
        html.write_text(claims.as_html(made), encoding="utf-8")
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(made), indent=1).decode())
        return
    out.print(f"[bold]{made.verdict}[/], {made.score:.2f} (triage: a person decides)")
    told = [(name, Text(value)) for name, value in claims.facts(made) if value]
    _listed("", told)
    sentences = [
        (", ".join(r.offers) or "by its words", Text(f"“{r.text}”", style="reverse"))
        for r in made.relied_on
    ]
    _listed("sentences relied on", sentences)
    why = [r for r in made.reasons if abs(r.adds) >= _TOLD]
    _listed("why, in log odds", [(f"{r.adds:+.2f}", Text(r.name)) for r in why])


def _listed(title: str, rows: list[tuple[str, Text]]) -> None:
    """Print names with values beside them, which wrap within their own column."""
    if not rows:
        return
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in rows:
        grid.add_row(f"  {name}", value)
    out.print(f"\n[bold]{title}[/]" if title else "")
    out.print(grid)


@claim.command(epilog="Example: `wavebreak claim confirm ex-1 --by 'A. Rao' --reason 'offers …'`")
def confirm(
    directory: Of,
    reason: Annotated[str, typer.Option(help="Why, in words.")],
    by: By = "",
    authority: Authority = "not stated",
) -> None:
    """Say, as a person, that an exhibit makes a claim: a label and a line of custody."""
    _labelled(directory, "claim", _actor(by, reason, authority), reason)


@claim.command(epilog="Example: `wavebreak claim reject ex-1 --by 'A. Rao' --reason 'a news page'`")
def reject(
    directory: Of,
    reason: Annotated[str, typer.Option(help="Why, in words.")],
    by: By = "",
    authority: Authority = "not stated",
) -> None:
    """Say, as a person, that an exhibit makes no claim: a label and a line of custody."""
    _labelled(directory, "innocent", _actor(by, reason, authority), reason)


@claim.command(epilog="Example: `wavebreak claim check ex-1`")
def check(directory: Of) -> None:
    """Check an exhibit's files, and show its custody and labels; exit with 1 on any doubt."""
    wrong = claims.doubts(directory)
    _shown(claims.load(directory), directory)
    if not wrong:
        for line in claims.custody(directory):
            out.print(f"{line.at} {line.who} @ {line.where}: {line.what}", markup=False)
        for label in claims.labels_of(directory):
            out.print(f"{label.at} {label.label} by {label.by}: {label.reason}", markup=False)
    for doubt in wrong:
        out.print(f"doubt: {doubt}", style="bold red", markup=False)
    if wrong:
        raise typer.Exit(1)


@claim.command(
    epilog="Examples: `wavebreak claim evaluate --half held-out`; "
    "`wavebreak claim evaluate pages --labels my.csv`"
)
def evaluate(
    pages: Annotated[
        Path | None, typer.Argument(help="Folder of labelled pages (default: the project's own).")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="The table of labels (default: labels.csv in the folder).")
    ] = None,
    half: Annotated[str, typer.Option(help="Only pages of this half: known or held-out.")] = "",
    as_json: AsJson = False,
) -> None:
    """Measure readings against labels: precision and recall with their intervals, and the errors.

    Pages are HTML, text, PDF, WARC or WACZ. The table is CSV with the header file,label: a path in
    the folder, and claim or innocent. More columns may be there: family (pages made alike, which
    intervals then draw together), language, kind, half; and what a page says, parted by
    semicolons, a dash for none: offers, capacities (80000/day), prices (40 USD), contacts,
    channels, brands, published.
    """
    judged = list(_judged(pages, labels, half))
    if not judged:
        raise UsageError("there are no such pages", fix="known, held-out, or leave --half out")
    groups = {"all": claims.rate(judged)}
    for what in ("half", "language", "kind"):
        rates = claims.by(judged, lambda j, what=what: getattr(j, what))  # type: ignore[misc]
        groups |= {f"{what}: {name}": rate for name, rate in rates.items() if name}
    fields = claims.added(j.fields for j in judged)
    drawn = _drawn(judged)
    if as_json:
        shares = {name: _share(rate) for name, rate in groups.items()}
        wrong = [j for j in judged if not j.right]
        told = {"groups": shares, "by_family_95": drawn, "fields": fields, "wrong": wrong}
        typer.echo(msgspec.json.format(msgspec.json.encode(told), indent=1).decode())
        return
    _rates(groups, drawn)
    _fields(judged)
    for judgement in judged:
        if judgement.error or not judgement.right:
            why = judgement.error or f"score {judgement.score:.2f} ({judgement.why})"
            out.print(f"wrong: {judgement.file} is {judgement.label}, {why}", markup=False)


def _judged(pages: Path | None, labels: Path | None, half: str) -> Iterator[claims.Judgement]:
    """Judge a folder's pages, or the project's own, of a half (of both where it is empty)."""
    own = [] if pages else [page for page in claims.invented() if half in ("", page.half)]
    found = claims.given(pages, labels) if pages else claims.own(own)
    with progress_bar("reading") as show:
        for number, judgement in enumerate(found, 1):
            show(number / len(own) if own else 0.0, f"{number:,} pages")
            if half in ("", judgement.half):
                yield judgement


def _drawn(
    judged: list[claims.Judgement],
) -> dict[str, tuple[tuple[float, float], tuple[float, float]]]:
    """Give the intervals by drawing families, of all pages and of each half."""
    parts = {"all": judged}
    for half in dict.fromkeys(j.half for j in judged if j.half):
        parts[f"half: {half}"] = [j for j in judged if j.half == half]
    return {
        name: claims.by_family(part) for name, part in parts.items() if any(j.family for j in part)
    }


def _rates(
    groups: dict[str, claims.Rate],
    drawn: dict[str, tuple[tuple[float, float], tuple[float, float]]],
) -> None:
    table = Table(Column("pages", no_wrap=True), box=SIMPLE, padding=0, pad_edge=False)
    for name in ("n", "claims", "prec.", "95 %", "rec.", "95 %", "wrong"):
        table.add_column(name)
    for name, rate in groups.items():
        told = _share(rate)
        wronged = f"{rate.called - rate.both}/{rate.pages - rate.claims}"
        table.add_row(
            name, f"{rate.pages:,}", f"{rate.claims:,}", _number(told["precision"]),
            _ends(told["precision_95"]), _number(told["recall"]), _ends(told["recall_95"]), wronged,
        )  # fmt: skip
        if ends := drawn.get(name):
            table.add_row("  by family", "", "", "", _ends(ends[0]), "", _ends(ends[1]), "")
    out.print(table)


def _fields(judged: list[claims.Judgement]) -> None:
    fields = claims.added(j.fields for j in judged)
    for half in dict.fromkeys(j.half for j in judged if j.half):
        told = claims.added(j.fields for j in judged if j.half == half)
        fields |= {f"{name}, {half}": found for name, found in told.items()}
    if not fields:
        return
    table = Table("field", "said", "read", "both", "precision", "recall", box=SIMPLE)
    for name, found in fields.items():
        table.add_row(
            name, f"{found.said:,}", f"{found.read:,}", f"{found.both:,}",
            _number(found.both / found.read if found.read else None),
            _number(found.both / found.said if found.said else None),
        )  # fmt: skip
    out.print(table)


@claim.command(epilog="Example: `wavebreak claim pages -o pages`")
def pages(
    out_path: Annotated[Path, typer.Option("--out", "-o", help="Directory to write.")],
) -> None:
    """Write the project's own labelled pages, with labels.csv: claims and innocent look-alikes."""
    out_path.mkdir(parents=True, exist_ok=True)
    count = 0
    with (out_path / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["file", "label", "family", "language", "half", "kind", *claims.FIELDS])
        for page in claims.invented():
            (out_path / page.file).write_text(page.html, encoding="utf-8")
            says = ["; ".join(page.says[f]) or "-" if f in page.says else "" for f in claims.FIELDS]
            told = [page.label, page.family, page.language, page.half, page.kind]
            rows.writerow([page.file, *told, *says])
            count += 1
    out.print(f"{count:,} pages and labels.csv written to {out_path}")


def _shown(made: claims.Exhibit, directory: Path) -> None:
    out.print(f"{made.kind} {made.id[:12]}, {made.captured_at}, {directory}/", markup=False)
    for kept in made.files:
        out.print(f"  {kept.path}  {kept.size:,} bytes", markup=False)
        out.print(f"    sha256 {kept.sha256}", markup=False)
    for name in ("screenshot", "gaps"):
        if (told := made.details.get(name)) and told not in ("complete", "none"):
            out.print(f"  {name}: {told}", markup=False, style="yellow")


def _read(path: Path) -> claims.Reading:
    if path.is_dir():
        at, found = claims.load(path).captured_at, claims.documents(path)
    else:
        at, found = _now(), claims.of_file(_bytes(path))
    return claims.strongest([claims.read(document, at) for document in found])


def _labelled(
    directory: Path, label: Literal["claim", "innocent"], actor: claims.Actor, reason: str
) -> None:
    try:
        score = _read(directory).score
    except ClaimError:  # an image is labelled by who looked at it
        score = None
    made = claims.put_label(directory, label, actor, _now(), reason, score)
    out.print(f"{made.label} by {made.by}, {made.at}", markup=False)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        raise FileError(f"{path} cannot be read", fix="give a file that is there") from None


def _details(given: list[str]) -> dict[str, str]:
    found = dict(part.split("=", 1) for part in given if "=" in part)
    if len(found) < len(given):
        raise UsageError("--detail is not well formed", fix="write it as --detail name=value")
    return found


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


def _share(rate: claims.Rate) -> dict[str, object]:
    return {
        "pages": rate.pages, "claims": rate.claims, "called": rate.called, "both": rate.both,
        "precision": rate.precision, "recall": rate.recall,
        "precision_95": evaluation.exact_interval(rate.both, rate.called),
        "recall_95": evaluation.exact_interval(rate.both, rate.claims),
    }  # fmt: skip


def _number(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else "–"


def _ends(ends: object) -> str:
    return f"{ends[0]:.2f}–{ends[1]:.2f}" if isinstance(ends, tuple) else "–"
