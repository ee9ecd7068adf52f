"""Commands `rules upload`, `rules replay`: another policy for a running service."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from wavebreak import model
from wavebreak.cli import console
from wavebreak.cli.app import rules as rules_group
from wavebreak.cli.commands import Output
from wavebreak.cli.options import OutDir, PolicyDir
from wavebreak.errors import UsageError
from wavebreak_server.cli.service_home import Home, Reason, service_command, service_engine
from wavebreak_server.pipeline import live_policy
from wavebreak_server.slices.versions import policy_versions, replay

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
    """Replay a service's log under the live policy and another; list the accounts that differ."""
    # Read a service's database while the service runs, at low priority.
    os.nice(10)
    home.connect(reading=True)
    loaded = model.load_selected(home.decisions.model)
    live_engine, draft_engine = (
        service_engine(home.decisions, directory, loaded)
        for directory in (live or home.decisions.policy, policy)
    )
    digest = live_policy.files_digest(policy) if policy else ""
    result = replay.run(live_engine, draft_engine, out, digest=digest, most=events)
    lines = [
        f"{result.end - result.first:,} events, {result.accounts:,} accounts: {result.changed:,} "
        f"fare otherwise under {result.draft} than under {result.live}"
    ]
    for before, after, count, benign, abusive in result.moves:
        lines.append(f"  {before} -> {after}: {count:,}{_labelled(benign, abusive)}")
    return Output(
        msgspec.to_builtins(result),
        lambda _: console.echo("\n".join(lines)),
        steps=[f"the accounts: {out}/{replay.CHANGES}"],
    )


def _labelled(benign: int, abusive: int) -> str:
    text = f" ({benign:,} labelled benign, {abusive:,} abusive)"
    return text if benign or abusive else ""


@service_command(
    rules_group,
    "wavebreak rules upload var my-policy --by noa --reason 'fewer couriers wait'",
    name="upload",
    reads="policy key database",
)
def upload_rules(
    home: Home,
    directory: Annotated[Path, "Directory of the new policy."],
    *,
    by: Annotated[str, "Who uploads it: a policy owner of the console."],
    reason: Reason,
) -> None:
    """Upload a policy as a version of a service; the console replays and approves it."""
    home.connect()
    files = policy_versions.version_files(directory)
    if not files:
        raise UsageError(
            f"{directory} holds no file of a policy",
            fix="give a directory with rules/NAME.toml, or actions.toml and the like",
        )
    base = live_policy.live_directory(home.path) or home.decisions.policy
    checked = policy_versions.checked_upload(home.path, base, files)
    version = home.in_database(
        lambda now_ms: policy_versions.create_by_command(home.path, checked, by, reason, now_ms)
    )
    console.out.print(f"{version.policy} is uploaded as {version.name}")
    console.print_next_steps(
        ["in the console: Policy, Versions, replay it; a second person approves it"]
    )
