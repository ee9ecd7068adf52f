"""Commands about another model for a running service: challenger register, replay."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wavebreak.cli.app import command_group
from wavebreak.cli.console import out, print_next_steps
from wavebreak.cli.options import (
    DatabaseUrl,
    Enforce,
    Json,
    Lateness,
    ModelDir,
    OutDir,
    PolicyDir,
    Wide,
)
from wavebreak.reports.tables import Table, print_table

challengers = command_group(
    "challenger", "Register another model for a running service, and compare the two."
)

if TYPE_CHECKING:
    from wavebreak.engine import Engine
    from wavebreak_server.slices.versions.model_replay import Reached

ServiceHome = Annotated[Path, typer.Argument(help="Directory of the service.")]
Challenger = Annotated[Path, typer.Argument(help="Model directory that `wavebreak train` wrote.")]
Profile = Annotated[Path | None, typer.Option(help="Coverage profile of the stream.")]


@challengers.command(
    "replay", epilog="Example: `wavebreak challenger replay var my-model -o replayed`"
)
def replay(
    home: ServiceHome,
    challenger: Challenger,
    out_path: OutDir,
    days: Annotated[
        int, typer.Option(min=0, help="Days of the log, from its end (0: two million events).")
    ] = 30,
    model_dir: ModelDir = None,
    policy: PolicyDir = None,
    enforce: Enforce = False,
    profile: Profile = None,
    lateness: Lateness = 60,
    database_url: DatabaseUrl = "",
    as_json: Json = False,
    wide: Wide = False,
) -> None:
    """Replay a service's log under its model and another one; list the accounts that differ."""
    import os
    import time

    from wavebreak_server.slices.versions import model_replay, policy_replay
    from wavebreak_server.storage import database

    # The service goes on beside it.
    os.nice(10)
    database.connect(database_url, home, reading=True)
    champion, other = _engines(challenger, model_dir, policy, profile, lateness, enforce=enforce)
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


def _engines(
    challenger: Path,
    model_dir: str | None,
    policy: Path | None,
    profile: Path | None,
    lateness: int,
    *,
    enforce: bool,
) -> tuple[Engine, Engine]:
    """Return an engine of the model that scores and one of the challenger, which record points."""
    from wavebreak import engine, model, rules
    from wavebreak.schema import coverage

    decides, carried = rules.load_policy(policy), coverage.load(profile) if profile else None
    champion, other = (
        engine.Engine(
            decides, carried, enforce=enforce, lateness_s=lateness, model=loaded, record=True
        )
        for loaded in (model.load_selected(model_dir), model.load(challenger))
    )
    return champion, other


@challengers.command(
    "follow", epilog="Example: `wavebreak challenger follow var my-model -o followed`"
)
def follow(
    home: ServiceHome,
    challenger: Challenger,
    out_path: OutDir,
    days: Annotated[
        int, typer.Option(min=0, help="Days of the log that give both models their state.")
    ] = 1,
    model_dir: ModelDir = None,
    policy: PolicyDir = None,
    enforce: Enforce = False,
    profile: Profile = None,
    lateness: Lateness = 60,
    database_url: DatabaseUrl = "",
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
    from wavebreak_server.storage import database

    os.nice(10)
    parent = os.getppid()
    database.connect(database_url, home, reading=True)
    champion, other = _engines(challenger, model_dir, policy, profile, lateness, enforce=enforce)
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


@challengers.command(
    "register",
    epilog="Example: `wavebreak challenger register var my-model --by noa --reason 'autumn data'`",
)
def register(
    home: ServiceHome,
    challenger: Challenger,
    by: Annotated[str, typer.Option(help="Who registers it: a data scientist of the console.")],
    reason: Annotated[str, typer.Option(help="Reason, for the audit log.")],
    database_url: DatabaseUrl = "",
) -> None:
    """Register a model as a challenger of a service; the console compares and promotes it."""
    from wavebreak_server.cli.serve import in_database
    from wavebreak_server.slices.versions import model_versions

    made = in_database(
        database_url,
        home,
        lambda now: model_versions.register_by_command(home, challenger, by, reason, now),
    )
    out.print(f"{made.model} is registered as {made.name}")
    print_next_steps(
        ["in the console: Policy, Models, compare it; a second person approves and promotes it"]
    )
