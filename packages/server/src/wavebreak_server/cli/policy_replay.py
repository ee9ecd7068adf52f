"""Commands `rules replay` and `rules thresholds`: a service's log under another policy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wavebreak.cli.app import rules
from wavebreak.cli.console import echo, print_next_steps
from wavebreak.cli.options import Json, OutDir, PolicyDir
from wavebreak_server.cli.service_home import (
    Home,
    engine_of_policy,
    service_command,
    service_engine,
)

if TYPE_CHECKING:
    from wavebreak.model import Model


@service_command(
    rules,
    "wavebreak rules replay var --policy my-policy -o replayed",
    name="replay",
    reads="enforce profile lateness model database",
)
def replay_rules(
    home: Home,
    *,
    out_path: OutDir,
    policy: PolicyDir = None,
    live: Annotated[
        Path | None, typer.Option(help="Directory of the live policy (default: that of `serve`).")
    ] = None,
    events: Annotated[
        int, typer.Option(min=1, help="Events of the replay, from the end of the log.")
    ] = 2_000_000,
    as_json: Json = False,
) -> None:
    """Replay a service's log under the live policy and a draft; list the accounts that differ."""
    from wavebreak_server.pipeline import live_policy
    from wavebreak_server.slices.versions import policy_replay

    asked = home.decisions
    loaded = _beside_the_service(home)
    engines = [
        service_engine(asked, directory, loaded) for directory in (live or asked.policy, policy)
    ]
    digest = live_policy.files_digest(policy) if policy else ""
    found = policy_replay.run(engines[0], engines[1], digest, out_path, most=events)
    if as_json:
        echo((out_path / policy_replay.RESULT).read_text("utf-8"))
        return
    echo(
        f"{found.end - found.first:,} events, {found.accounts:,} accounts: {found.changed:,} fare "
        f"otherwise under {found.draft} than under {found.live}"
    )
    for before, after, count, benign, abusive in found.moves:
        known = f" ({benign:,} labelled benign, {abusive:,} abusive)" * bool(benign or abusive)
        echo(f"  {before} -> {after}: {count:,}{known}")
    print_next_steps([f"the accounts: {out_path}/{policy_replay.CHANGES}"])


@service_command(
    rules,
    'wavebreak rules thresholds var number_enumeration --condition "lookups_1d >= 200" -o measured',
    name="thresholds",
    reads="enforce profile lateness model database",
)
def measure_thresholds(
    home: Home,
    rule: Annotated[str, typer.Argument(help="The rule.", show_default=False)],
    *,
    out_path: OutDir,
    condition: Annotated[
        str | None,
        typer.Option(help="The condition, as it is written (default: the first with a number)."),
    ] = None,
    policy: PolicyDir = None,
    events: Annotated[
        int, typer.Option(min=1, help="Events that are read, from the end of the log.")
    ] = 2_000_000,
    as_json: Json = False,
) -> None:
    """Replay a service's log with one number of a rule moved; count whom each threshold meets."""
    from wavebreak.rules import load_policy
    from wavebreak_server.slices.versions import policy_replay, thresholds

    asked = home.decisions
    loaded, live = _beside_the_service(home), load_policy(policy or asked.policy)
    measured = thresholds.run(
        lambda trial: engine_of_policy(asked, trial, loaded),
        live,
        rule,
        condition or "",
        out_path,
        most=events,
    )
    if as_json:
        echo((out_path / policy_replay.RESULT).read_text("utf-8"))
        return
    echo(f"{measured.rule}: {measured.condition}, over {measured.end - measured.first:,} events")
    for step in measured.steps:
        known = f" ({step.benign:,} labelled benign, {step.abusive:,} abusive)"
        here = " <- now" * (step.number == measured.number)
        judged = known * bool(step.benign or step.abusive)
        echo(f"  {step.number:g}: {step.accounts:,}{judged}{here}")
    print_next_steps([f"the counts: {out_path}/{policy_replay.RESULT}"])


def _beside_the_service(home: Home) -> Model | None:
    """Read a service's database while it goes on, at its leisure; return the model of `options`."""
    import os

    from wavebreak import model

    os.nice(10)
    home.connect(reading=True)
    return model.load_selected(home.decisions.model)
