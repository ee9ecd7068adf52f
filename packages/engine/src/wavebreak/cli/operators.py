"""Commands about operators: accounts that seem to be of one hand, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from wavebreak.cli.app import operators as operators_app
from wavebreak.cli.console import command, out, print_json, print_next_steps, styled
from wavebreak.cli.options import Json, RunDir, Wide
from wavebreak.reports.tables import Table, count_of, number, print_table, stamp

if TYPE_CHECKING:
    from wavebreak.linking import Operator

SHOWN_EDGES = 40
SHOWN_OPERATORS = 50


@operators_app.command(
    "list",
    epilog="Examples: `wavebreak operators list out`; `wavebreak operators list out --all --json`",
)
def list_operators(
    run: RunDir,
    every: Annotated[
        bool, typer.Option("--all", help=f"All, not the largest {SHOWN_OPERATORS}.")
    ] = False,
    as_json: Json = False,
    wide: Wide = False,
) -> None:
    """List the operators of a run, those with most accounts first, with their pooled evidence."""
    from wavebreak.linking import storage

    operators = storage.load(run)
    shown = operators if every else operators[:SHOWN_OPERATORS]
    if as_json:
        print_json([msgspec.to_builtins(operator) for operator in shown])
        return
    if not operators:
        out.print("No accounts are linked.")
        return
    headings = (
        "operator", "accounts", "found\nabusive", "strangers\nwritten to", "answers",
        "com-\nplaints", "no answers:\ntimes likelier", "complaints:\ntimes likelier",
    )  # fmt: skip
    title = count_of(len(operators), "operator")
    if len(shown) < len(operators):
        title = f"The largest {len(shown)} of {title} (--all shows all)"
    print_table(Table(title, headings, [_row(o) for o in shown], note=_NOTE), out)
    print_next_steps([command("wavebreak", "operators", "show", run, shown[0].id)])


_NOTE = (
    "An operator is a hypothesis. It may slow its accounts; it silences one only beside evidence "
    "of its own. Times likelier: than among honest accounts, over all accounts together. "
    "A chain is of hijacked accounts: victims."
)


def _row(o: Operator) -> tuple[str, ...]:
    return (
        f"{o.id}\nchain" if o.victims else o.id,
        *map(number, (len(o.accounts), len(o.abusive), o.strangers, o.answers, o.complaints)),
        _times(o.unanswered_evidence), _times(o.complaint_evidence),
    )  # fmt: skip


def _times(value: float) -> str:
    return number(value) if value < 10_000 else ">9,999"


@operators_app.command(
    "show",
    epilog="Examples: `wavebreak operators show out op-0123456789ab`; "
    "`wavebreak operators show out +972501234567`",
)
def show_operator(
    run: RunDir,
    name: Annotated[str, typer.Argument(help="An operator's id, or an account of one.")],
    as_json: Json = False,
    wide: Wide = False,
) -> None:
    """Show one operator: its accounts, and each edge between them with what it rests on."""
    from wavebreak.linking import storage

    found = storage.find(storage.load(run), name)
    if as_json:
        print_json([msgspec.to_builtins(operator) for operator in found])
        return
    for operator in found:
        _show(operator)


def _show(o: Operator) -> None:
    what = "hijacked accounts" if o.victims else "accounts"
    out.print(styled("[bold]{}[/]: {} {}", o.id, len(o.accounts), what))
    out.print(
        f"Together they wrote first to {count_of(o.strangers, 'stranger')}; "
        f"{number(o.answers)} answered, {number(o.complaints)} blocked or reported them."
    )
    accounts = [f"{a} (found abusive)" if a in o.abusive else a for a in o.accounts]
    out.print(", ".join(accounts))
    headings = ("between", "weight", "they", "first", "last")
    rows = [
        ("\n".join(e.accounts), number(e.weight), ";\n".join(e.evidence), stamp(e.first),
         stamp(e.last))
        for e in o.edges[:SHOWN_EDGES]
    ]  # fmt: skip
    title = count_of(o.edges_total, "edge")
    if len(rows) < o.edges_total:
        title = f"The heaviest {len(rows)} of {title} (--json shows {len(o.edges)})"
    print_table(Table(title, headings, rows, words=frozenset({0, 2})), out)
