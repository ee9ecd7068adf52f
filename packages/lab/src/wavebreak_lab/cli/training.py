"""The command that trains a model on labelled runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wavebreak import rules
from wavebreak.cli import options
from wavebreak.cli.app import app
from wavebreak.cli.commands import Output, command
from wavebreak.cli.console import command as command_line
from wavebreak.cli.console import progress_bar
from wavebreak_lab import training


@command(
    app,
    "wavebreak train out --labels labels.csv --seed 7 -o model",
    "wavebreak train week1 week2 --calibrate week3 --name autumn -o model",
)
def train(
    runs: Annotated[
        list[Path], typer.Argument(help="What `simulate -o` or `run -o` wrote, or files of events.")
    ],
    *,
    out_path: options.OutDir,
    labels: options.RunLabels = None,
    calibrate: Annotated[
        list[Path] | None,
        typer.Option(help="A run used for calibration and thresholds alone; repeat for more."),
    ] = None,
    name: Annotated[str, typer.Option(help="The model's name.")] = "model",
    seed: options.Seed = 0,
    policy: options.PolicyDir = None,
    enforce: options.Enforce = False,
    unlabelled_benign: Annotated[
        bool, typer.Option(help="Treat accounts without a label as benign.")
    ] = False,
) -> Output:
    """Train a calibrated model on labelled runs; write it with its card."""
    with progress_bar("train") as show:
        result, tested = training.train(
            runs,
            out_path,
            rules.load_policy(policy),
            training.load_settings(policy),
            name=name,
            seed=seed,
            labels=labels,
            calibrate=calibrate or [],
            enforce=enforce,
            unlabelled_benign=unlabelled_benign,
            progress=show,
        )
    training_run = command_line("wavebreak", "run", "EVENTS", "--model", out_path, "-o", "out")
    return Output(
        training.training_report(result, tested),
        steps=[f"card:  {out_path}/card.html", f"next:  {training_run}"],
    )
