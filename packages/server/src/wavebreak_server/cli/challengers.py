"""Commands about another model for a running service: challenger register, replay."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wavebreak.cli.app import command_group
from wavebreak.cli.console import out, print_next_steps
from wavebreak.cli.options import Json, OutDir, Wide
from wavebreak.reports.tables import Table, print_table
from wavebreak_server.cli.service_home import (
    Home,
    Reason,
    service_command,
    service_engine,
)
from wavebreak_server.config import Decisions

challengers = command_group(
    "challenger", "Register another model for a running service, and compare the two."
)

if TYPE_CHECKING:
    from wavebreak.engine import Engine
    from wavebreak_server.slices.versions.model_replay import Reached

Challenger = Annotated[Path, typer.Argument(help="Model directory that `wavebreak train` wrote.")]


@service_command(
    challengers,
    "wavebreak challenger replay var my-model -o replayed",
    name="replay",
    reads="model policy enforce profile lateness database",
)
def replay(
    home: Home,
    challenger: Challenger,
    *,
    out_path: OutDir,
    days: Annotated[
        int, typer.Option(min=0, help="Days of the log, from its end (0: two million events).")
    ] = 30,
    as_json: Json = False,
    wide: Wide = False,
) -> None:
    """Replay a service's log under its model and another one; list the accounts that differ."""
    import os
    import time

    from wavebreak_server.slices.versions import model_replay, policy_replay

    # The service goes on beside it.
    os.nice(10)
    home.connect(reading=True)
    champion, other = _engines(challenger, home.decisions)
    now_ms = time.time_ns() // 1_000_000
    found = model_replay.run(champion, other, out_path, days=days, now_ms=now_ms)
    if as_json:
        typer.echo((out_path / policy_replay.RESULT).read_text("utf-8"))
        return
    typer.echo(
        f"{found.end - found.first:,} events, {found.accounts:,} accounts: {found.changed:,} fare "
        f"otherwise under {found.sides[1].version} than under {found.sides[0].version or 'none'}"
    )
    rows = [
        (name, *(_reached(side.thresholds.get(name)) for side in found.sides))
        for name in ("restrict", "challenge")
    ] + [("a limit or more", *(_reached(side.acted) for side in found.sides))]
    headings = ("reached", "champion", "challenger")
    print_table(Table("Accounts (precision)", headings, rows, words=frozenset(range(3))), out)
    print_next_steps([f"the accounts: {out_path}/{policy_replay.CHANGES}"])


def _engines(challenger: Path, asked: Decisions) -> tuple[Engine, Engine]:
    """Return an engine of the model that scores and one of the challenger, which record points."""
    from wavebreak import model

    champion, other = (
        service_engine(asked, asked.policy, loaded, record=True)
        for loaded in (model.load_selected(asked.model), model.load(challenger))
    )
    return champion, other


@service_command(
    challengers,
    "wavebreak challenger follow var my-model -o followed",
    name="follow",
    reads="model policy enforce profile lateness database",
)
def follow(
    home: Home,
    challenger: Challenger,
    *,
    out_path: OutDir,
    days: Annotated[
        int, typer.Option(min=0, help="Days of the log that give both models their state.")
    ] = 1,
    with_parent: Annotated[
        bool, typer.Option("--with-parent", help="End when the process that started it ends.")
    ] = False,
) -> None:
    """Let another model decide the live stream beside the service's, acting on nobody; Ctrl-C ends.

    It writes `live.json` and the accounts that differ, `changes.jsonl`, once a second.
    """
    import os
    import time

    from wavebreak_server.slices.versions import live_comparison

    os.nice(10)
    parent = os.getppid()
    home.connect(reading=True)
    champion, other = _engines(challenger, home.decisions)
    comparison = live_comparison.LiveComparison(
        champion, other, out_path, days=days, clock=lambda: time.time_ns() // 1_000_000
    )
    comparison.run(lambda: not with_parent or os.getppid() == parent)


def _reached(found: Reached | None) -> str:
    if found is None:
        return "–"
    judged = found.abusive + found.benign
    precision = f" ({found.abusive} of {judged} judged: {found.low:.0%}–{found.high:.0%})"
    return f"{found.accounts:,}" + precision * bool(judged)


@service_command(
    challengers,
    "wavebreak challenger register var my-model --by noa --reason 'autumn data'",
    name="register",
    reads="key database",
)
def register(
    home: Home,
    challenger: Challenger,
    *,
    by: Annotated[str, typer.Option(help="Who registers it: a data scientist of the console.")],
    reason: Reason,
) -> None:
    """Register a model as a challenger of a service; the console compares and promotes it."""
    from wavebreak_server.slices.versions import model_versions

    made = home.in_database(
        lambda now: model_versions.register_by_command(home.path, challenger, by, reason, now),
    )
    out.print(f"{made.model} is registered as {made.name}")
    print_next_steps(
        ["in the console: Policy, Models, compare it; a second person approves and promotes it"]
    )
