"""Command line of weekly retraining: `python -m experiments.weekly_retraining`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from experiments.weekly_retraining import retraining
from experiments.weekly_retraining.report import weeks_report
from wavebreak import rules
from wavebreak.cli import run_app
from wavebreak.cli.console import out, print_next_steps, progress_bar
from wavebreak.reports.html import write_html
from wavebreak.reports.report import print_report, write_json
from wavebreak_lab import training

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")

FAMILIES = ("warm-up", "sharding", "proxies", "typing")
"""Campaigns, one a week: senders that rules alone detect late."""


@app.command(epilog="Example: `python -m experiments.weekly_retraining --people 1500 -o weeks`")
def retrain(
    out_path: Annotated[Path, typer.Option("--out", "-o", help="Directory to write.")],
    family: Annotated[
        list[str] | None,
        typer.Option(help=f"A campaign, one a week; again for more (default: "
                          f"{', '.join(FAMILIES)})."),
    ] = None,
    people: Annotated[int, typer.Option(help="Ordinary people.")] = 1500,
    operators: Annotated[int, typer.Option(help="Operators of each family.")] = 6,
    accounts: Annotated[int, typer.Option(help="Accounts of each operator.")] = 10,
    days: Annotated[float, typer.Option(help="Simulated length of each week.")] = 7.0,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 0,
    policy: Annotated[
        Path | None, typer.Option(help="Directory of local rules and actions.")
    ] = None,
) -> None:  # fmt: skip
    """Simulate weeks of new campaigns, retraining after each on confirmed labels.

    The weeks are simulated. For a platform's own runs use `wavebreak train RUN… --labels CSV`
    after each week.
    """
    setting = retraining.Setting(
        tuple(family or FAMILIES), people, operators, accounts, days, seed
    )  # fmt: skip
    with progress_bar("retrain") as show:
        weeks = retraining.simulate_weeks(
            out_path,
            rules.load_policy(policy),
            training.load_settings(policy),
            setting,
            progress=show,
        )
    report = weeks_report(weeks)
    write_json(report, out_path / "weeks.json")
    write_html(report, out_path / "weeks.html")
    print_report(report, out)
    print_next_steps(
        [f"chart: {out_path}/weeks.html", f"last model: {out_path}/week-{len(weeks) - 1}/model"]
    )


if __name__ == "__main__":
    run_app(app)
