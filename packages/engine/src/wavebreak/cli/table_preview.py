"""A guessed mapping shown to whoever runs a command: rows as read, rows refused, one question."""

from __future__ import annotations

import sys
from pathlib import Path

import typer
from rich.text import Text

from wavebreak.cli import console
from wavebreak.errors import UsageError
from wavebreak.io.mapping import Mapping, Proposal, encode_mapping, save_mapping
from wavebreak.io.sources import mapping_path, preview, require_certain, unmapped
from wavebreak.io.tables import Table
from wavebreak.reports import tables as reports

SHOWN_ROWS = 10


def choose_mapping(table: Table, proposal: Proposal) -> Mapping:
    """Show a proposed mapping with ten rows as read and ten refused, ask once, and write it.

    Where nobody can be asked (standard input is no terminal), a certain proposal is taken.

    Raises:
        UsageError: The answer is no, or nobody can be asked and the proposal is not certain.
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
        for one in conversion.refused[:SHOWN_ROWS]:
            console.err.print(f"  {one.message}")
    for note in (*conversion.notes, *proposal.unsure):
        console.err.print(f"  {note}", style="yellow")
