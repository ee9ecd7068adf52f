"""The command that compares a candidate with today's decisions: replay."""

from __future__ import annotations

from wavebreak import library
from wavebreak.cli import console, options
from wavebreak.cli.app import app
from wavebreak.cli.commands import Output, command
from wavebreak.engine import state_ceiling
from wavebreak.privacy import secret_key


@command(
    app,
    "wavebreak replay out --policy my-policy -o candidate",
    "wavebreak replay out --model my-model --labels labels.csv -o candidate",
)
def replay(
    run: options.RunDir,
    *,
    out: options.OutDir,
    deciding: options.Deciding,
    labels: options.Labels = None,
    shards: options.Shards = 1,
    max_memory: options.MaxMemory = "",
) -> Output:
    """Run a log again under another policy or model, and list the accounts that change."""
    ceiling = state_ceiling.parse_ceiling(max_memory, copies=False)
    with console.progress_bar("replay") as show:
        comparison = library.Result.open(run).replay(
            deciding.load_policy(),
            model=deciding.load_model(),
            labels=labels,
            out=out,
            key=secret_key.load_key(deciding.key),
            progress=show,
            workers=shards,
            ceiling=ceiling,
        )
    comparison.save(out / "replay.json")
    comparison.save(out / "replay.html")
    return Output(
        comparison.full,
        steps=[f"charts: {out}/replay.html", f"all changes: {out}/replay.json"],
    )
