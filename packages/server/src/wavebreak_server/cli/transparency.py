"""Command group `transparency`: report, recount, export."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, NamedTuple

import msgspec
import typer

from wavebreak import io, ledger
from wavebreak.cli import console, options
from wavebreak.cli.app import command_group
from wavebreak.cli.commands import FAILED, KEY_UNKNOWN, Output
from wavebreak.errors import FileError, UsageError
from wavebreak.extras import LazyModule
from wavebreak.ledger import audit, checkpoints, errors, storage, verifier
from wavebreak.privacy import pseudonymizer
from wavebreak.reports.tables import count_of, print_table
from wavebreak.schema import events as event_types
from wavebreak_server import transparency as counts
from wavebreak_server.cli.service_home import Home, service_command
from wavebreak_server.storage import database, ledger_store

pc = LazyModule("pyarrow.compute")

transparency = command_group(
    "transparency", "Count reports for publication from the sealed ledger, and recount them."
)

Show = Callable[[float, str], None]
Source = Annotated[
    Home, "A ledger's directory (`run --ledger`), or a service's that `serve` was given."
]
Key = Annotated[str | None, "Verifier key of the ledger, or its file (default: beside it)."]
Events = Annotated[
    Path | None, "The events that were decided on: counts reports of accounts by others."
]


class _Opened(NamedTuple):
    """A ledger's directory, its own key, and the openings where they are there."""

    place: Path
    key: Path
    openings: storage.OpeningStore | None

    def verifier_key(self, given: str | None) -> verifier.Key:
        """Return the key that was given, or the ledger's own."""
        return checkpoints.load_verifier_key(given or str(self.key))


@contextmanager
def _opened(source: Home) -> Iterator[_Opened]:
    """Open a ledger: its directory, or a copy of a service's for as long as it is read."""
    place = source.path
    if source.options.configuration.storage.database_url() or (place / database.FILE).exists():
        source.connect(reading=True)
        with TemporaryDirectory(prefix="wavebreak-ledger-") as copy:
            ledger_store.export_ledger(Path(copy))
            if (place / storage.KEY_HISTORY).exists():
                shutil.copy(place / storage.KEY_HISTORY, copy)
            key = place / ledger_store.LEDGER_KEY
            yield _Opened(Path(copy), key, ledger_store.OpeningRows())
        return
    if not (place / "entries.jsonl").exists():
        raise FileError(
            f"{place} has no ledger",
            fix="give the directory that `wavebreak run --ledger` wrote, or a service's",
        )
    path = place / "private" / "openings.sqlite3"
    openings = ledger.OpeningFile(path) if path.exists() else None
    try:
        yield _Opened(place, place / "key.pub", openings)
    finally:
        if openings:
            openings.close()


def _report_times(
    events: Path | None, history: counts.History, show: Show
) -> Mapping[str, list[int]] | None:
    """Return when the accounts of a history's decisions were reported, in order."""
    if events is None:
        return None
    accounts = {row.account for row in history.decisions.values()} - {None}
    report_type = event_types.TYPES.index("user.reported")
    times: dict[str, list[int]] = defaultdict(list)
    event_count = 0
    for batch in io.read(events, pseudonymizer.Pseudonymizer(bytes(32), None)):
        log = batch.log.filter(pc.equal(batch.log.column("type"), report_type))
        for peer, ts in zip(
            log.column("peer").to_pylist(), log.column("ts").to_pylist(), strict=True
        ):
            if peer in accounts:
                times[peer].append(ts)
        event_count += batch.read
        show(batch.progress, f"{event_count:,} events")
    return {account: sorted(account_times) for account, account_times in times.items()}


@dataclass(frozen=True)
class Coverage:
    """The options of what a report covers, and of how it is published."""

    start: Annotated[str, typer.Option("--from", help="First day (UTC), as 2026-01-01.")]
    end: Annotated[str, typer.Option("--to", help="The day after the last one (UTC).")]
    monthly: Annotated[bool, "A report for each month."] = False
    yearly: Annotated[bool, "A report for each year."] = False
    provider: Annotated[str | None, "Who publishes it (default: the ledger's origin)."] = None
    service: Annotated[str, "The service that it is about."] = "Messaging"
    published: Annotated[str | None, "Day of publication (default: today)."] = None
    previous: Annotated[str | None, "Day of publication of the report before this."] = None
    minimum: Annotated[
        int, typer.Option("--min-count", help="Withhold counts from 1 to below this; 0: none.")
    ] = 5
    internal: Annotated[bool, "All numbers, none withheld; not to be published."] = False

    def parts(self) -> list[tuple[str, counts.Period]]:
        """Split the period; the name of a part is its subdirectory, empty for the whole."""
        period = counts.Period(
            counts.parse_day(self.start, "--from"), counts.parse_day(self.end, "--to")
        )
        if period.end <= period.start:
            raise UsageError("--to is not after --from", fix="give the day after the last one")
        if self.monthly and self.yearly:
            raise UsageError(
                "--monthly and --yearly exclude each other", fix="leave one of them out"
            )
        if self.monthly or self.yearly:
            return counts.split_period(period, 1 if self.monthly else 12)
        return [("", period)]

    def publication(self) -> counts.Publication:
        """Return how the report is published; raises UsageError for a wrong value."""
        counts.check_minimum(self.minimum)
        return counts.Publication(
            self.provider or "",
            self.service,
            counts.parse_day(self.published, "--published")
            if self.published
            else datetime.now(UTC).date(),
            counts.parse_day(self.previous, "--previous") if self.previous else None,
            self.minimum,
            self.internal,
        )


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
    out: options.OutDir,
    coverage: Coverage,
    events: Events = None,
    without_accounts: Annotated[bool, "Count no accounts, and use no openings."] = False,
    key: Key = None,
) -> Output:
    """Count a period's decisions, appeals and errors from the sealed ledger, for publication.

    Writes report.json, report.csv, report.html, accounts.csv and the DSA's CSV files (dsa/).
    """
    parts, publication = coverage.parts(), coverage.publication()
    if events and without_accounts:
        raise UsageError(
            "--events counts reports of accounts, and --without-accounts counts none",
            fix="leave one of them out",
        )
    with _opened(source) as opened, console.progress_bar("counting") as show:
        if opened.openings is None and not without_accounts:
            raise FileError(
                f"{opened.place} has no openings, so that accounts cannot be counted",
                fix="run this where the ledger was written, or give --without-accounts",
            )
        checkpoint = counts.last_checkpoint(opened.place, opened.verifier_key(key))
        openings = None if without_accounts else opened.openings
        accounts = counts.OpenedAccounts(openings) if openings else None
        history = counts.read_history(opened.place, checkpoint, accounts, progress=show)
        has_accounts = accounts is not None
        sources = counts.Sources(has_accounts, has_accounts, _report_times(events, history, show))
        unopened = history.unopened() if has_accounts else None
        publication = publication._replace(provider=publication.provider or checkpoint.origin)
        reports = []
        for name, period in parts:
            listed = counts.list_accounts(history, period) if has_accounts else None
            reports.append(
                counts.build_report(
                    history,
                    period,
                    checkpoint,
                    publication,
                    sources,
                    accounts_sha256=listed.digest() if listed else None,
                    unopened=unopened,
                )
            )
            counts.write_report(reports[-1], listed, out / name)
    first = out / parts[0][0]
    lines: list[Any] = [
        f"{name}  {counts.shown(month.numbers()['decisions.total'], month.minimum)} decisions"
        for (name, _), month in zip(parts, reports, strict=True)
    ]
    if len(reports) == 1:
        lines = [counts.brief_report(reports[0])]
    return Output(
        [msgspec.to_builtins(each) for each in reports],
        *lines,
        steps=[
            f"each number with its definition: {first}/report.html",
            console.command("wavebreak", "transparency", "recount", first, source.path),
        ],
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
    ledger: Annotated[Home, "The ledger, or a copy of it without openings."],
    *,
    key: Annotated[str | None, "Verifier key of the ledger, or its file."] = None,
    events: Events = None,
    every: Annotated[
        bool, typer.Option("--all", help="All numbers, not only those that are not equal.")
    ] = False,
) -> Output:
    """Count a published report again from a copy of the ledger, and compare every number.

    Exits with 0 where every number that can be recounted is equal under your key, 4 where the key
    came with the report, 1 where a number differs, 2 where the ledger does not verify.
    """
    published = counts.read_report(report_path)
    verifier_key = checkpoints.load_verifier_key(key or published.ledger.key)
    with _opened(ledger) as opened, console.progress_bar("recounting") as show:
        if events and opened.openings is None:
            raise UsageError(
                "--events needs the openings, which this copy of the ledger does not have",
                fix="leave --events out, or run this where the ledger was written",
            )
        counts.check_origin(published.ledger, verifier_key)
        with errors.convert_verifier_errors():
            checkpoint = verifier.read_checkpoint(published.ledger.note.encode())
        show(0.0, "verifying the ledger")
        audited = audit.audit_directory(opened.place, [verifier_key], [checkpoint])
        accounts = counts.OpenedAccounts(opened.openings) if opened.openings else None
        history = counts.read_history(opened.place, published.ledger, accounts, progress=show)
        holdings = counts.Holdings(
            counts.published_list(report_path, published),
            opened.openings is not None,
            _report_times(events, history, show),
        )
        result = counts.recount(published, history, holdings)
    unchecked = audited.unchecked
    if not key:
        unchecked = ["whose key it is: it came with the report; give --key", *unchecked]
    return Output(
        {
            "holds": result.holds,
            "checked": audited.checked,
            "not_checked": unchecked,
            "numbers": [msgspec.to_builtins(comparison) for comparison in result.comparisons],
        },
        lambda out: _print_recount(out, result, audited.checked, unchecked, every=every),
        code=FAILED if not result.holds else 0 if key else KEY_UNKNOWN,
    )


def _print_recount(
    out: console.TerminalConsole,
    result: counts.Recount,
    checked: list[str],
    unchecked: list[str],
    *,
    every: bool,
) -> None:
    for line in checked:
        out.print(console.styled("[green]holds[/]        {}", line), soft_wrap=True)
    for line in unchecked:
        out.print(console.styled("[yellow]not checked[/]  {}", line), soft_wrap=True)
    table = counts.recount_table(result, every=every)
    if table.rows:
        out.print()
        print_table(table, out)
    equal, different, not_recounted = (
        len(result.of(verdict))
        for verdict in (counts.EQUAL, counts.DIFFERENT, counts.NOT_RECOUNTED)
    )
    out.print(
        f"{count_of(len(result.comparisons), 'number')}: {equal:,} equal, {different:,} "
        f"different, {not_recounted:,} not recounted",
        style="green" if result.holds else "bold red",
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
    out: options.OutFile,
    accounts: Annotated[bool, "With each decision's account: personal data."] = False,
    key: Key = None,
) -> None:
    """Write every sealed decision as a row of a CSV file, however many there are."""
    with _opened(source) as opened, console.progress_bar("exporting") as show:
        if accounts and opened.openings is None:
            raise FileError(
                f"{source.path} has no openings, so that accounts are not known",
                fix="run this where the ledger was written, or leave --accounts out",
            )
        owners = counts.OpenedAccounts(opened.openings) if accounts and opened.openings else None
        checkpoint = counts.last_checkpoint(opened.place, opened.verifier_key(key))
        count = counts.export_decisions(
            opened.place, checkpoint, out, accounts=owners, progress=show
        )
    console.err.print(f"{count_of(count, 'decision')} written to {out}", soft_wrap=True)
