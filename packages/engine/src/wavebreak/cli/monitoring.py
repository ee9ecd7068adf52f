"""Commands that compare a candidate with today's decisions, and measure drift: replay, drift."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from wavebreak import monitoring, rules
from wavebreak.cli import console, options
from wavebreak.cli.app import app
from wavebreak.cli.commands import NO, Output, command
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
        differences = monitoring.replay(
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
    report = monitoring.differences_report(differences)
    reporting.write_json(report, out / "replay.json")
    html_pages.write_html(report, out / "replay.html")
    return Output(
        report,
        steps=[f"charts: {out}/replay.html", f"all changes: {out}/replay.json"],
    )


@command(app, "wavebreak drift model out --html drift.html")
def drift(
    model: Annotated[Path, "Directory that `wavebreak train` wrote."],
    run: Annotated[Path, "What `run -o` or `simulate -o` wrote, or a file of events."],
    *,
    policy: options.PolicyDir = None,
    html: options.HtmlPage = None,
    shifted: Annotated[float, "Stability index from which a feature has shifted."] = 0.1,
    moved: Annotated[float, "Stability index from which a feature has moved."] = 0.25,
    strict: Annotated[bool, "Exit with status 1 when the score has moved."] = False,
) -> Output:
    """Measure how far a stream has drifted from the data that a model was trained on."""
    with console.progress_bar("drift") as show:
        measured = monitoring.measure_drift(
            model,
            run,
            rules.load_policy(policy),
            shifted=shifted,
            moved=moved,
            progress=lambda share, events: show(share, f"{events:,} events"),
        )
    report = monitoring.drift_report(measured)
    if html:
        html_pages.write_html(report, html)
    return Output(
        report,
        steps=[f"charts: {html}"] if html else [],
        code=NO if strict and measured.verdict == "moved" else 0,
    )
