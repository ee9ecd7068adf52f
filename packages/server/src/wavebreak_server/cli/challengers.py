"""Commands about another model for a running service: challenger register, replay."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from wavebreak import engine, model
from wavebreak.cli import console
from wavebreak.cli.app import command_group
from wavebreak.cli.commands import Output
from wavebreak.cli.options import OutDir
from wavebreak.reports.tables import Table
from wavebreak_server.cli.service_home import (
    Home,
    Reason,
    clock_ms,
    service_command,
    service_engine,
)
from wavebreak_server.slices.versions import model_versions
from wavebreak_server.slices.versions import replay as replays

challengers = command_group(
    "challenger", "Register another model for a running service, and compare the two."
)

Challenger = Annotated[Path, "Model directory that `wavebreak train` wrote."]
DECIDING = "model policy enforce profile lateness database"
"""Options that say how a service decides."""


@service_command(
    challengers, "wavebreak challenger replay var my-model -o replayed", reads=DECIDING
)
def replay(
    home: Home,
    challenger: Challenger,
    *,
    out: OutDir,
    days: Annotated[
        int, typer.Option(min=0, help="Days of the log, from its end (0: two million events).")
    ] = 30,
) -> Output:
    """Replay a service's log under its model and another one; list the accounts that differ."""
    champion_engine, challenger_engine = _engines(home, challenger)
    result = replays.run(champion_engine, challenger_engine, out, days=days, now_ms=clock_ms())
    champion, other = result.sides
    rows = [
        (name, *(_reached(side.thresholds.get(name)) for side in result.sides))
        for name in ("restrict", "challenge")
    ] + [("a limit or more", *(_reached(side.acted) for side in result.sides))]
    headings = ("reached", "champion", "challenger")
    return Output(
        msgspec.to_builtins(result),
        lambda _: console.echo(
            f"{result.end - result.first:,} events, {result.accounts:,} accounts: "
            f"{result.changed:,} fare otherwise under {other.version} than under "
            f"{champion.version or 'none'}"
        ),
        Table("Accounts (precision)", headings, rows, words=frozenset(range(3))),
        steps=[f"the accounts: {out}/{replays.CHANGES}"],
    )


def _engines(home: Home, challenger: Path) -> tuple[engine.Engine, engine.Engine]:
    """Return engines of the service's model and of a challenger, which record scoring points."""
    # The service goes on beside it.
    os.nice(10)
    home.connect(reading=True)
    decisions = home.decisions
    champion, other = (
        service_engine(decisions, decisions.policy, loaded, record=True)
        for loaded in (model.load_selected(decisions.model), model.load(challenger))
    )
    return champion, other


def _reached(reached: replays.Reached | None) -> str:
    if reached is None:
        return "–"
    judged = reached.abusive + reached.benign
    precision = f" ({reached.abusive} of {judged} judged: {reached.low:.0%}–{reached.high:.0%})"
    return f"{reached.accounts:,}" + precision * bool(judged)


@service_command(
    challengers,
    "wavebreak challenger register var my-model --by noa --reason 'autumn data'",
    reads="key database",
)
def register(
    home: Home,
    challenger: Challenger,
    *,
    by: Annotated[str, "Who registers it: a data scientist of the console."],
    reason: Reason,
) -> None:
    """Register a model as a challenger of a service; the console compares and promotes it."""
    version = home.in_database(
        lambda now_ms: model_versions.register_by_command(home.path, challenger, by, reason, now_ms)
    )
    console.out.print(f"{version.model} is registered as {version.name}")
    console.print_next_steps(
        ["in the console: Policy, Models, compare it; a second person approves and promotes it"]
    )
