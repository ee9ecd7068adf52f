"""Commands that compare a candidate with today's decisions, and measure drift: replay, drift."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wavebreak.cli.app import app
from wavebreak.cli.console import (
    out,
    print_json,
    print_next_steps,
    progress_bar,
    run_progress_text,
)
from wavebreak.cli.options import (
    HtmlPage,
    Json,
    Key,
    Labels,
    MaxMemory,
    ModelDir,
    OutDir,
    PolicyDir,
    RunDir,
    Shards,
    Wide,
)


@app.command(
    epilog="Examples: `wavebreak replay out --policy my-policy -o candidate`; "
    "`wavebreak replay out --model my-model --labels labels.csv -o candidate`"
)
def replay(
    run: RunDir,
    out_path: OutDir,
    policy: PolicyDir = None,
    model_dir: ModelDir = None,
    labels: Labels = None,
    key: Key = None,
    shards: Shards = 1,
    max_memory: MaxMemory = "",
    as_json: Json = False,
    wide: Wide = False,
) -> None:
    """Run a log again under another policy or model, and list the accounts that change."""
    from wavebreak import model, monitoring, rules
    from wavebreak.engine.state_ceiling import parse_ceiling
    from wavebreak.privacy.pseudonymizer import Pseudonymizer
    from wavebreak.privacy.secret_key import load_key
    from wavebreak.reports.html import write_html
    from wavebreak.reports.report import print_report, write_json

    ceiling = parse_ceiling(max_memory, copies=False)
    with progress_bar("replay") as show:
        differences = monitoring.replay(
            run,
            out_path,
            rules.load_policy(policy),
            Pseudonymizer(load_key(key)),
            labels=labels,
            progress=lambda p: show(p.share, run_progress_text(p)),
            workers=shards,
            ceiling=ceiling,
            model=model.load_selected(model_dir),
        )
    report = monitoring.differences_report(differences)
    write_json(report, out_path / "replay.json")
    write_html(report, out_path / "replay.html")
    if as_json:
        print_json(report.data)
        return
    print_report(report, out)
    print_next_steps([f"charts: {out_path}/replay.html", f"all changes: {out_path}/replay.json"])


@app.command(epilog="Example: `wavebreak drift model out --html drift.html`")
def drift(
    model: Annotated[Path, typer.Argument(help="Directory that `wavebreak train` wrote.")],
    run: Annotated[
        Path,
        typer.Argument(help="What `run -o` or `simulate -o` wrote, or a file of events."),
    ],
    policy: PolicyDir = None,
    html: HtmlPage = None,
    shifted: Annotated[
        float, typer.Option(help="Stability index from which a feature has shifted.")
    ] = 0.1,
    moved: Annotated[
        float, typer.Option(help="Stability index from which a feature has moved.")
    ] = 0.25,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with status 1 when the score has moved.")
    ] = False,
    as_json: Json = False,
    wide: Wide = False,
) -> None:
    """Measure how far a stream has drifted from the data that a model was trained on."""
    from wavebreak import monitoring, rules
    from wavebreak.reports.html import write_html
    from wavebreak.reports.report import print_report

    with progress_bar("drift") as show:
        measured = monitoring.measure_drift(
            model,
            run,
            rules.load_policy(policy),
            shifted=shifted,
            moved=moved,
            progress=lambda share, events: show(share, f"{events:,} events"),
        )
    report = monitoring.drift_report(measured)
    if as_json:
        print_json(report.data)
    else:
        print_report(report, out)
    if html:
        write_html(report, html)
        if not as_json:
            print_next_steps([f"charts: {html}"])
    if strict and measured.verdict == "moved":
        raise typer.Exit(1)
