"""Verbs that learn: train."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wavebreak import rules, training
from wavebreak.cli.apps import app
from wavebreak.cli.deciding import PolicyDir
from wavebreak.cli.showing import bar, nexts, out
from wavebreak.pages import print_lines, print_table

Runs = Annotated[
    list[Path], typer.Argument(help="What `simulate -o` or `run -o` wrote, or files of events.")
]
Labels = Annotated[
    Path | None,
    typer.Option(help="CSV: account,label,family,operator[,source,ts] (default: labels.csv beside "
                      "each run's events)."),
]  # fmt: skip
Calibrate = Annotated[
    list[Path] | None,
    typer.Option(help="A run for calibration and thresholds alone; again for more."),
]
Tolerated = Annotated[
    float | None, typer.Option(help="Most false actions a benign scoring point (upper bound).")
]
Enforce = Annotated[
    bool, typer.Option("--enforce/--shadow", help="Replay as the rules would have enforced.")
]
Unlabelled = Annotated[bool, typer.Option(help="Take accounts without a label for benign.")]
Allow = Annotated[
    list[str] | None,
    typer.Option(help="A feature that may tell the labels apart alone; again for more."),
]


@app.command(
    epilog="Examples: `wavebreak train worlds/1000 worlds/1001 -o model`; `wavebreak train out "
    "--labels labels.csv --tolerance-ban 0.00001 --seed 7 -o model`; `wavebreak train week1 week2 "
    "--calibrate week3 --name autumn -o model`"
)
def train(
    runs: Runs,
    out_path: Annotated[Path, typer.Option("--out", "-o", help="Model directory to write.")],
    labels: Labels = None, calibrate: Calibrate = None,
    name: Annotated[str, typer.Option(help="The model's name.")] = "model",
    seed: Annotated[int, typer.Option(help="Same inputs and seed, same bytes.")] = 0,
    policy: PolicyDir = None, tolerance_ban: Tolerated = None, tolerance_suspend: Tolerated = None,
    tolerance_restrict: Tolerated = None, enforce: Enforce = False,
    unlabelled_benign: Unlabelled = False, allow: Allow = None,
) -> None:  # fmt: skip
    """Learn a calibrated model from labelled runs: writes the model, its card, a drift baseline."""
    settings = training.load_settings(
        policy, ban=tolerance_ban, suspend=tolerance_suspend, restrict=tolerance_restrict
    )
    with bar("train") as show:
        learned, tested = training.train(
            runs, out_path, rules.load(policy), settings, name=name, seed=seed, allow=allow or [],
            labels=labels, calibrate=calibrate or [], enforce=enforce,
            unlabelled_benign=unlabelled_benign, progress=show,
        )  # fmt: skip
    for table in training.terminal_tables(learned, tested):
        print_table(table, out)
    print_lines(training.lead(learned, tested), out)
    nexts([
        f"card:  {out_path}/card.html",
        f"next:  wavebreak run EVENTS --model {out_path} -o out",
    ])  # fmt: skip
