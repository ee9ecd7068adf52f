"""Commands about operators: accounts that seem to be of one hand, and why."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from wavebreak import linking
from wavebreak.cli import console
from wavebreak.cli.app import operators as operators_app
from wavebreak.cli.commands import Output, command
from wavebreak.cli.options import RunDir
from wavebreak.explain.narrative import format_value
from wavebreak.linking import storage
from wavebreak.reports.tables import Table, count_of, number, stamp

MAX_EDGES = 40
MAX_OPERATORS = 50
"""Edges and operators that are printed."""
_NOTE = (
    "An operator is a hypothesis. It may slow its accounts; it silences one only beside evidence "
    "of its own. Evidence: over all accounts together; of honest ones at most one in 100 ever "
    "reaches 100. "
    "A chain is of hijacked accounts: victims."
)


@command(
    operators_app,
    "wavebreak operators list out",
    "wavebreak operators list out --all --json",
    name="list",
)
def list_operators(
    run: RunDir,
    *,
    every: Annotated[
        bool, typer.Option("--all", help=f"All, not the largest {MAX_OPERATORS}.")
    ] = False,
) -> Output:
    """List the operators of a run, those with most accounts first, with their pooled evidence."""
    operators = storage.load(run)
    rows_shown = operators if every else operators[:MAX_OPERATORS]
    value = [msgspec.to_builtins(operator) for operator in rows_shown]
    if not operators:
        return Output(value, "No accounts are linked.")
    headings = (
        "operator", "accounts", "found\nabusive", "strangers\nwritten to", "answers",
        "com-\nplaints", "evidence of\ncomplaints",
    )  # fmt: skip
    title = count_of(len(operators), "operator")
    if len(rows_shown) < len(operators):
        title = f"The largest {len(rows_shown)} of {title} (--all shows all)"
    return Output(
        value,
        Table(title, headings, [_row(operator) for operator in rows_shown], note=_NOTE),
        steps=[console.command("wavebreak", "operators", "show", run, rows_shown[0].id)],
    )


def _row(o: linking.Operator) -> tuple[str, ...]:
    counts = (len(o.accounts), len(o.abusive), o.strangers, o.answers, o.complaints)
    return (
        f"{o.id}\nchain" if o.victims else o.id,
        *map(number, counts),
        format_value("operator_complaint_evidence", o.complaint_evidence),
    )


@command(
    operators_app,
    "wavebreak operators show out op-0123456789ab",
    "wavebreak operators show out +972501234567",
    name="show",
)
def show_operator(
    run: RunDir, name: Annotated[str, "An operator's id, or an account of one."]
) -> Output:
    """Show one operator: its accounts, and each edge between them with what it rests on."""
    operators = storage.find(storage.load(run), name)
    parts = [part for operator in operators for part in _described(operator)]
    return Output([msgspec.to_builtins(operator) for operator in operators], *parts)


def _described(o: linking.Operator) -> list[object]:
    kind = "hijacked accounts" if o.victims else "accounts"
    rows = [
        ("\n".join(e.accounts), number(e.weight), ";\n".join(e.evidence), stamp(e.first),
         stamp(e.last))
        for e in o.edges[:MAX_EDGES]
    ]  # fmt: skip
    title = count_of(o.edges_total, "edge")
    if len(rows) < o.edges_total:
        title = f"The heaviest {len(rows)} of {title} (--json shows {len(o.edges)})"
    headings = ("between", "weight", "they", "first", "last")
    return [
        console.styled("[bold]{}[/]: {} {}", o.id, len(o.accounts), kind),
        f"Together they wrote first to {count_of(o.strangers, 'stranger')}; "
        f"{number(o.answers)} answered, {number(o.complaints)} blocked or reported them.",
        ", ".join(f"{a} (found abusive)" if a in o.abusive else a for a in o.accounts),
        Table(title, headings, rows, words=frozenset({0, 2})),
    ]
