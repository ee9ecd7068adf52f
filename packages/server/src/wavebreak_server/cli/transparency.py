"""Command group `transparency`: report, recount, export."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, NamedTuple

import msgspec
import typer

from wavebreak.cli import console
from wavebreak.cli.app import command_group
from wavebreak.cli.commands import UNCHECKED
from wavebreak.cli.console import (
    command as command_line,
)
from wavebreak.cli.options import Json, OutDir, OutFile, Wide
from wavebreak.errors import FileError, UsageError
from wavebreak.reports.tables import count_of, print_table
from wavebreak_server.cli.service_home import Home, holds_service, service_command

transparency = command_group(
    "transparency", "Count reports for publication from the sealed ledger, and recount them."
)

if TYPE_CHECKING:
    from wavebreak.ledger.storage import OpeningStore
    from wavebreak.ledger.verifier import Key
    from wavebreak_server.transparency import History, Period, Publication, Recount, Report
    from wavebreak_server.transparency.history import Progress

Source = Annotated[
    Home,
    typer.Argument(
        help="A ledger's directory (`run --ledger`), or a service's that `serve` was given."
    ),
]
KeyOption = Annotated[
    str | None,
    typer.Option("--key", help="Verifier key of the ledger, or its file (default: beside it)."),
]
EventsOption = Annotated[
    Path | None,
    typer.Option(
        "--events", help="The events that were decided on: counts reports of accounts by others."
    ),
]


class _Opened(NamedTuple):
    """A ledger's directory, its own key, and the openings where they are there."""

    place: Path
    key: Path
    openings: OpeningStore | None


@contextmanager
def _opened(source: Home) -> Iterator[_Opened]:
    """Open a ledger: its directory, or a copy of a service's for as long as it is read."""
    from wavebreak.ledger import OpeningFile
    from wavebreak.ledger.key_history import HISTORY
    from wavebreak_server.storage.ledger_store import LEDGER_KEY, OpeningRows, export_ledger

    place = source.path
    if holds_service(place, source.options):
        source.connect(reading=True)
        with TemporaryDirectory(prefix="wavebreak-ledger-") as copy:
            export_ledger(Path(copy))
            if (place / HISTORY).exists():
                shutil.copy(place / HISTORY, copy)
            yield _Opened(Path(copy), place / LEDGER_KEY, OpeningRows())
        return
    if not (place / "entries.jsonl").exists():
        raise FileError(
            f"{place} has no ledger",
            fix="give the directory that `wavebreak run --ledger` wrote, or a service's",
        )
    path = place / "private" / "openings.sqlite3"
    openings = OpeningFile(path) if path.exists() else None
    try:
        yield _Opened(place, place / "key.pub", openings)
    finally:
        if openings:
            openings.close()


def _key(given: str | None, ledger: _Opened) -> Key:
    from wavebreak.ledger.checkpoints import load_verifier_key

    return load_verifier_key(given or str(ledger.key))


def _report_times(
    events: Path | None, history: History, show: Progress
) -> Mapping[str, list[int]] | None:
    """Return when the accounts of a history's decisions were reported, in order."""
    if events is None:
        return None
    import pyarrow.compute as pc

    from wavebreak.io import read
    from wavebreak.privacy.pseudonymizer import Pseudonymizer
    from wavebreak.schema.events import TYPES

    wanted = {row.account for row in history.decisions.values()} - {None}
    times: dict[str, list[int]] = defaultdict(list)
    count = 0
    for batch in read(events, Pseudonymizer(bytes(32), None)):
        log = batch.log.filter(pc.equal(batch.log.column("type"), TYPES.index("user.reported")))
        for peer, ts in zip(
            log.column("peer").to_pylist(), log.column("ts").to_pylist(), strict=True
        ):
            if peer in wanted:
                times[peer].append(ts)
        count += batch.read
        show(batch.progress, f"{count:,} events")
    return {account: sorted(each) for account, each in times.items()}


@service_command(
    transparency,
    "wavebreak transparency report log --from 2026-01-01 --to 2026-02-01 -o january",
    "wavebreak transparency report home --from 2026-01-01 --to 2027-01-01 --monthly "
    "--provider Example -o reports",
    reads="database",
)
def report(
    source: Source,
    *,
    start: Annotated[str, typer.Option("--from", help="First day (UTC), as 2026-01-01.")],
    end: Annotated[str, typer.Option("--to", help="The day after the last one (UTC).")],
    out_path: OutDir,
    monthly: Annotated[bool, typer.Option("--monthly", help="A report for each month.")] = False,
    yearly: Annotated[bool, typer.Option("--yearly", help="A report for each year.")] = False,
    provider: Annotated[
        str | None, typer.Option(help="Who publishes it (default: the ledger's origin).")
    ] = None,
    service: Annotated[str, typer.Option(help="The service that it is about.")] = "Messaging",
    published: Annotated[
        str | None, typer.Option(help="Day of publication (default: today).")
    ] = None,
    previous: Annotated[
        str | None, typer.Option(help="Day of publication of the report before this.")
    ] = None,
    minimum: Annotated[
        int, typer.Option("--min-count", help="Withhold counts from 1 to below this; 0: none.")
    ] = 5,
    internal: Annotated[
        bool, typer.Option("--internal", help="All numbers, none withheld; not to be published.")
    ] = False,
    events: EventsOption = None,
    without_accounts: Annotated[
        bool, typer.Option("--without-accounts", help="Count no accounts, and use no openings.")
    ] = False,
    key: KeyOption = None,
    as_json: Json = False,
    wide: Wide = False,
) -> None:
    """Count a period's decisions, appeals and errors from the sealed ledger, for publication.

    Writes report.json, report.csv, report.html, accounts.csv and the DSA's CSV files (dsa/).
    """
    from wavebreak_server.transparency import Period, Publication, parse_day
    from wavebreak_server.transparency.report import check_minimum

    period = Period(parse_day(start, "--from"), parse_day(end, "--to"))
    if period.end <= period.start:
        raise UsageError("--to is not after --from", fix="give the day after the last one")
    check_minimum(minimum)
    if events and without_accounts:
        raise UsageError(
            "--events counts reports of accounts, and --without-accounts counts none",
            fix="leave one of them out",
        )
    publication = Publication(
        provider or "",
        service,
        parse_day(published, "--published") if published else datetime.now(UTC).date(),
        parse_day(previous, "--previous") if previous else None,
        minimum,
        internal,
    )
    parts = _parts(period, monthly, yearly)
    with _opened(source) as ledger, console.progress_bar("counting") as show:
        made = _write_reports(
            ledger, _key(key, ledger), out_path, parts, publication, events, without_accounts, show
        )
    if as_json:
        console.print_json([msgspec.to_builtins(each) for each in made])
        return
    _print_reports(made, parts, out_path, source.path)


def _parts(period: Period, monthly: bool, yearly: bool) -> list[tuple[str, Period]]:
    """Split the period; the name of a part is its subdirectory, empty for the whole."""
    from wavebreak_server.transparency import split_period

    if monthly and yearly:
        raise UsageError("--monthly and --yearly exclude each other", fix="leave one of them out")
    if monthly or yearly:
        return split_period(period, 1 if monthly else 12)
    return [("", period)]


def _write_reports(
    ledger: _Opened,
    key: Key,
    out_path: Path,
    parts: list[tuple[str, Period]],
    publication: Publication,
    events: Path | None,
    without_accounts: bool,
    show: Progress,
) -> list[Report]:
    """Read the ledger once, and write a report for each part of the period."""
    from wavebreak_server.transparency import (
        OpenedAccounts,
        Sources,
        build_report,
        last_checkpoint,
        list_accounts,
        read_history,
        write_report,
    )

    if ledger.openings is None and not without_accounts:
        raise FileError(
            f"{ledger.place} has no openings, so that accounts cannot be counted",
            fix="run this where the ledger was written, or give --without-accounts",
        )
    checkpoint = last_checkpoint(ledger.place, key)
    known = None if without_accounts else ledger.openings
    accounts = OpenedAccounts(known) if known else None
    history = read_history(ledger.place, checkpoint, accounts, progress=show)
    sources = Sources(bool(known), bool(known), _report_times(events, history, show))
    unopened = history.unopened() if known else None
    publication = publication._replace(provider=publication.provider or checkpoint.origin)
    made = []
    for name, period in parts:
        listed = list_accounts(history, period) if known else None
        digest = listed.digest() if listed else None
        one = build_report(
            history,
            period,
            checkpoint,
            publication,
            sources,
            accounts_sha256=digest,
            unopened=unopened,
        )
        write_report(one, listed, out_path / name)
        made.append(one)
    return made


def _print_reports(
    made: list[Report], parts: list[tuple[str, Period]], out_path: Path, source: Path
) -> None:
    from wavebreak.reports.report import print_report
    from wavebreak_server.transparency.publication import brief_report
    from wavebreak_server.transparency.report import shown

    if len(made) == 1:
        print_report(brief_report(made[0]), console.out)
    else:
        for (name, _), one in zip(parts, made, strict=True):
            total = one.numbers()["decisions.total"]
            console.out.print(f"{name}  {shown(total, one.minimum)} decisions")
    first = out_path / parts[0][0]
    console.print_next_steps(
        [
            f"each number with its definition: {first}/report.html",
            command_line("wavebreak", "transparency", "recount", first, source),
        ]
    )


@service_command(
    transparency,
    "wavebreak transparency recount january copy-of-the-log --key example.org/log+1a2b3c4d+AQ...",
    "wavebreak transparency recount report.json log --all",
    reads="database",
)
def recount(
    report_path: Annotated[
        Path, typer.Argument(metavar="REPORT", help="A report's directory, or its report.json.")
    ],
    ledger: Annotated[Home, typer.Argument(help="The ledger, or a copy of it without openings.")],
    *,
    key: Annotated[
        str | None, typer.Option("--key", help="Verifier key of the ledger, or its file.")
    ] = None,
    events: EventsOption = None,
    every: Annotated[
        bool, typer.Option("--all", help="All numbers, not only those that are not equal.")
    ] = False,
    as_json: Json = False,
    wide: Wide = False,
) -> None:
    """Count a published report again from a copy of the ledger, and compare every number.

    Exits with 0 where every number that can be recounted is equal under your key, 3 where the key
    came with the report, 1 where a number differs, 2 where the ledger does not verify.
    """
    from wavebreak.ledger.checkpoints import load_verifier_key
    from wavebreak_server.transparency import read_report

    published = read_report(report_path)
    verifier_key = load_verifier_key(key or published.ledger.key)
    with _opened(ledger) as opened, console.progress_bar("recounting") as show:
        done, checked, unchecked = _recount(
            published, report_path, opened, verifier_key, events, show
        )
    if not key:
        unchecked = ["whose key it is: it came with the report; give --key", *unchecked]
    if as_json:
        console.print_json(
            {
                "holds": done.holds,
                "checked": checked,
                "not_checked": unchecked,
                "numbers": [msgspec.to_builtins(each) for each in done.comparisons],
            }
        )
    else:
        _print_recount(done, checked, unchecked, every)
    if not done.holds:
        raise typer.Exit(1)
    if not key:
        raise typer.Exit(UNCHECKED)


def _recount(
    published: Report,
    report_path: Path,
    opened: _Opened,
    key: Key,
    events: Path | None,
    show: Callable[[float, str], None],
) -> tuple[Recount, list[str], list[str]]:
    """Verify the ledger up to the report's checkpoint, and recount; with what was checked."""
    from wavebreak.ledger.audit import audit_directory
    from wavebreak.ledger.errors import convert_verifier_errors
    from wavebreak.ledger.verifier import read_checkpoint
    from wavebreak_server.transparency import Holdings, OpenedAccounts, read_history
    from wavebreak_server.transparency import recount as count_again
    from wavebreak_server.transparency.history import check_origin
    from wavebreak_server.transparency.recount import published_list

    if events and opened.openings is None:
        raise UsageError(
            "--events needs the openings, which this copy of the ledger does not have",
            fix="leave --events out, or run this where the ledger was written",
        )
    check_origin(published.ledger, key)
    with convert_verifier_errors():
        kept = read_checkpoint(published.ledger.note.encode())
    show(0.0, "verifying the ledger")
    audit = audit_directory(opened.place, [key], [kept])
    accounts = OpenedAccounts(opened.openings) if opened.openings else None
    history = read_history(opened.place, published.ledger, accounts, progress=show)
    holdings = Holdings(
        published_list(report_path, published),
        opened.openings is not None,
        _report_times(events, history, show),
    )
    return count_again(published, history, holdings), audit.checked, audit.unchecked


def _print_recount(done: Recount, checked: list[str], unchecked: list[str], every: bool) -> None:
    from wavebreak_server.transparency.recount import (
        DIFFERENT,
        EQUAL,
        NOT_RECOUNTED,
        recount_table,
    )

    for line in checked:
        console.out.print(console.styled("[green]holds[/]        {}", line), soft_wrap=True)
    for line in unchecked:
        console.out.print(console.styled("[yellow]not checked[/]  {}", line), soft_wrap=True)
    table = recount_table(done, every=every)
    if table.rows:
        console.out.print()
        print_table(table, console.out)
    counts = [len(done.of(verdict)) for verdict in (EQUAL, DIFFERENT, NOT_RECOUNTED)]
    style = "green" if done.holds else "bold red"
    console.out.print(
        f"{count_of(len(done.comparisons), 'number')}: {counts[0]:,} equal, {counts[1]:,} "
        f"different, {counts[2]:,} not recounted",
        style=style,
    )


@service_command(
    transparency,
    "wavebreak transparency export log -o decisions.csv",
    "wavebreak transparency export home -o decisions.csv --accounts",
    reads="database",
)
def export(
    source: Source,
    *,
    out_path: OutFile,
    accounts: Annotated[
        bool, typer.Option("--accounts", help="With each decision's account: personal data.")
    ] = False,
    key: KeyOption = None,
) -> None:
    """Write every sealed decision as a row of a CSV file, however many there are."""
    from wavebreak_server.transparency import OpenedAccounts, export_decisions, last_checkpoint

    with _opened(source) as ledger, console.progress_bar("exporting") as show:
        if accounts and ledger.openings is None:
            raise FileError(
                f"{source.path} has no openings, so that accounts are not known",
                fix="run this where the ledger was written, or leave --accounts out",
            )
        opened = OpenedAccounts(ledger.openings) if accounts and ledger.openings else None
        checkpoint = last_checkpoint(ledger.place, _key(key, ledger))
        count = export_decisions(ledger.place, checkpoint, out_path, accounts=opened, progress=show)
    console.err.print(f"{count_of(count, 'decision')} written to {out_path}", soft_wrap=True)
