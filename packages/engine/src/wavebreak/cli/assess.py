"""Command `assess`: what the policy would do with somebody's own data, as one page."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from wavebreak import csv_files, durable_files, library
from wavebreak.cli import console, options
from wavebreak.cli.app import app
from wavebreak.cli.commands import Output, command
from wavebreak.errors import UsageError
from wavebreak.io.mapping import Mapping, Proposal, encode_mapping, save_mapping
from wavebreak.io.sources import mapping_path, preview, require_certain, unmapped
from wavebreak.io.table_readers import SERVERS, query_of
from wavebreak.io.tables import Table
from wavebreak.reports import html as html_pages
from wavebreak.reports import tables as reports

SHOWN_ROWS = 10
"""Rows of a guessed mapping that are shown, and refused rows."""


@command(
    app,
    "wavebreak assess example",
    "wavebreak assess chats.csv",
    "wavebreak assess log.parquet --columns ts=sent,account=from,peer=to --zone Asia/Jerusalem",
    "wavebreak assess homeserver.db -o synapse.html --names names.csv",
    "wavebreak assess --query synapse",
)
def assess(
    source: Annotated[
        str,
        typer.Argument(
            metavar="EVENTS",
            help="Any table (CSV, JSON Lines, Parquet, Arrow, also .gz .zst), the SQLite database "
            "of a Synapse, Prosody or ejabberd, - for JSON Lines on standard input, or `example`.",
        ),
    ] = "",
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="HTML page to write.")] = Path(
        "assessment.html"
    ),
    table: options.TableOptions,
    labels: options.Labels = None,
    names: Annotated[
        Path | None, "Write whose the pseudonyms are: a CSV of mode 0600, of accounts that are met."
    ] = None,
    query: Annotated[
        str,
        typer.Option(
            metavar="|".join(SERVERS),
            help="Print the query that exports a server's data as a CSV, and end.",
        ),
    ] = "",
    deciding: options.Deciding,
    ip_database: options.IpDatabase = None,
    shards: options.Shards = 1,
) -> Output | None:
    """Assess your own data in shadow: likely enforcement, false positives and missing data."""
    if query:
        if query not in SERVERS:
            raise UsageError("--query is unknown", fix=f"choose one of {', '.join(SERVERS)}")
        console.echo(query_of(query), nl=False)
        if sys.stdout.isatty():
            export = "psql -d DATABASE --csv -f QUERY.sql > chats.csv"
            console.echo(f"-- {export}; then wavebreak assess chats.csv", err=True)
        return None
    if not source:
        raise UsageError("EVENTS is missing", fix="give a file, or --query to export one")
    if out.is_dir():
        raise UsageError(f"{out} is a directory", fix="name the page with -o assessment.html")
    events = deciding.events(table.open(source, choose_mapping), ip_database)
    policy, model = deciding.load_policy(), deciding.load_model()
    with console.progress_bar("assess") as show:
        assessed = library.assess(
            events, policy, model=model, labels=labels, workers=shards, progress=show
        )
    html_pages.write_html(assessed.full, out)
    if names:
        # For whoever runs this alone.
        rows = sorted(assessed.names.items())
        content = csv_files.encode_csv([("pseudonym", "account"), *rows]).encode()
        durable_files.replace_file(names, content, mode=0o600)
    repeat_command = console.command(
        "wavebreak", "assess", source, "-o", out, "--names", "names.csv"
    )
    return Output(
        assessed.brief,
        steps=[
            f"the page: {out}",
            *([] if names else [f"whose the pseudonyms are: {repeat_command}"]),
        ],
    )


def choose_mapping(table: Table, proposal: Proposal) -> Mapping:
    """Show a proposed mapping with ten rows as read and ten refused, ask once, and save.

    Without a terminal on standard input, a certain proposal is taken.

    Raises:
        UsageError: The answer is no, or the proposal is uncertain and there is no terminal.
    """
    if proposal.mapping is None:
        raise unmapped(table, proposal)
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return require_certain(table, proposal)
    show_mapping(table, proposal)
    path = mapping_path(table.path or Path(table.name))
    if not typer.confirm(f"Read it so, and write {path}?", default=True, err=True):
        raise UsageError(
            "the mapping was not confirmed",
            fix="say --columns, --types, --time, --zone or --country, and look again",
        )
    save_mapping(proposal.mapping, path)
    return proposal.mapping


def show_mapping(table: Table, proposal: Proposal) -> None:
    """Print a proposed mapping, ten rows as read and ten refused, on standard error."""
    assert proposal.mapping is not None  # noqa: S101
    events, conversion = preview(table, proposal.mapping)
    console.err.print(Text("How the table is read", style="bold"))
    console.err.print(encode_mapping(proposal.mapping))
    names = [name for name in events.column_names if name != "id"]
    rows = [tuple(str(row[n]) if row[n] is not None else "" for n in names)
            for row in events.slice(0, SHOWN_ROWS).to_pylist()]  # fmt: skip
    if rows:
        title = f"first {len(rows)} rows as read"
        reports.print_table(reports.Table(title, tuple(names), rows), console.err)
    if conversion.refused:
        console.err.print(Text(f"refused, {conversion.causes.total():,} of the first "
                               f"{conversion.rows:,}", style="bold"))  # fmt: skip
        for refusal in conversion.refused[:SHOWN_ROWS]:
            console.err.print(f"  {refusal.message}")
    for note in (*conversion.notes, *proposal.unsure):
        console.err.print(f"  {note}", style="yellow")
