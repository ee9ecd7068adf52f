"""Command `rules replay`: a service's log under another policy."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from wavebreak import model
from wavebreak.cli.app import rules as rules_group
from wavebreak.cli.commands import Output
from wavebreak.cli.console import echo
from wavebreak.cli.options import OutDir, PolicyDir
from wavebreak_server.cli.service_home import Home, service_command, service_engine
from wavebreak_server.pipeline import live_policy
from wavebreak_server.slices.versions import policy_replay

READS = "enforce profile lateness model database"


@service_command(
    rules_group,
    "wavebreak rules replay var --policy my-policy -o replayed",
    name="replay",
    reads=READS,
)
def replay_rules(
    home: Home,
    *,
    out: OutDir,
    policy: PolicyDir = None,
    live: Annotated[Path | None, "Directory of the live policy (default: that of `serve`)."] = None,
    events: Annotated[
        int, typer.Option(min=1, help="Events of the replay, from the end of the log.")
    ] = 2_000_000,
) -> Output:
    """Replay a service's log under the live policy and a draft; list the accounts that differ."""
    # Read a service's database while the service runs, at low priority.
    os.nice(10)
    home.connect(reading=True)
    loaded = model.load_selected(home.decisions.model)
    live_engine, draft_engine = (
        service_engine(home.decisions, directory, loaded)
        for directory in (live or home.decisions.policy, policy)
    )
    digest = live_policy.files_digest(policy) if policy else ""
    result = policy_replay.run(live_engine, draft_engine, digest, out, most=events)
    lines = [
        f"{result.end - result.first:,} events, {result.accounts:,} accounts: {result.changed:,} "
        f"fare otherwise under {result.draft} than under {result.live}"
    ]
    for before, after, count, benign, abusive in result.moves:
        lines.append(f"  {before} -> {after}: {count:,}{_labelled(benign, abusive)}")
    return Output(
        msgspec.to_builtins(result),
        lambda _: echo("\n".join(lines)),
        steps=[f"the accounts: {out}/{policy_replay.CHANGES}"],
    )


def _labelled(benign: int, abusive: int) -> str:
    text = f" ({benign:,} labelled benign, {abusive:,} abusive)"
    return text if benign or abusive else ""
