"""The command that compares a candidate with today's decisions: replay."""

from __future__ import annotations

from wavebreak import run_diff
from wavebreak.cli import console, options
from wavebreak.cli.app import app
from wavebreak.cli.commands import Output, command
from wavebreak.engine import state_ceiling
from wavebreak.reports import html as html_pages
from wavebreak.reports import report as reporting


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
        differences = run_diff.replay(
            run,
            out,
            deciding.load_policy(),
            deciding.edge(),
            labels=labels,
            progress=lambda p: show(p.share, console.run_progress_text(p)),
            workers=shards,
            ceiling=ceiling,
            model=deciding.load_model(),
        )
    report = run_diff.differences_report(differences)
    reporting.write_json(report, out / "replay.json")
    html_pages.write_html(report, out / "replay.html")
    return Output(
        report,
        steps=[f"charts: {out}/replay.html", f"all changes: {out}/replay.json"],
    )
