"""Verbs that learn: train.

The verb that makes the default model: train-default.

Verbs that show what a model is: model show.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.table import Table

from wavebreak import model, rules, training
from wavebreak.cli.app import app, models
from wavebreak.cli.console import bar, nexts, out
from wavebreak.cli.run import PolicyDir
from wavebreak.errors import UsageError
from wavebreak.features import catalog
from wavebreak.features.layout import OUTCOMES
from wavebreak.reports.tables import print_lines, print_table
from wavebreak.training import default_model as made

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


@app.command(
    "train-default",
    epilog="The shipped model: `wavebreak train-default --worlds 84 --held 40 "
    "--background ../shared/data/traces -o src/wavebreak/policy/model`",
)
def train_default(
    out_path: Annotated[Path, typer.Option("--out", "-o", help="Model directory to write.")],
    worlds: Annotated[int, typer.Option(min=1, help="Drawn worlds to learn from.")] = 80,
    held: Annotated[
        int, typer.Option(min=1, help="Further worlds, for calibration and thresholds alone.")
    ] = 40,
    background: Annotated[
        Path | None,
        typer.Option(help=f"Directory of traces of real people: {', '.join(made.TRACES)}."),
    ] = None,
    seed: Annotated[int, typer.Option(help="The first world's. Same seed, same bytes.")] = 1000,
    policy: PolicyDir = None,
) -> None:  # fmt: skip
    """Make the default model: learn from drawn worlds, and from real people's traces."""
    settings = training.load_settings(policy)
    with bar("train-default") as show, TemporaryDirectory() as scratch:
        traces = made.imported(background, Path(scratch)) if background else []
        learned, tested = made.train_on_worlds(
            out_path, settings, worlds=worlds, held=held, seed=seed, traces=traces, policy=policy,
            progress=show,
        )  # fmt: skip
    for table in training.terminal_tables(learned, tested):
        print_table(table, out)
    print_lines(training.lead(learned, tested), out)
    nexts([f"card:  {out_path}/card.html"])


@models.command("show", epilog="Example: `wavebreak model show my-model --features 10`")
def show(
    directory: Annotated[
        Path | None, typer.Argument(help="Model directory (default: the shipped model).")
    ] = None,
    features: Annotated[int, typer.Option(min=1, help="Features to list, by gain.")] = 25,
) -> None:
    """Show a model: its version, what it reads most, from where it acts, what it learned from."""
    found = model.load_selected(str(directory) if directory else None)
    if found is None:
        raise UsageError("no model is shipped here", fix="give a model directory")
    forest = found.forest
    out.print(f"[bold]{found.version}[/]")
    out.print(
        f"{len(forest.trees)} trees, {sum(tree.leaf.size for tree in forest.trees):,} leaves, "
        f"{len(found.features)} features; seed {found.seed}; "
        f"training set {found.training_digest or 'not told'}"
    )
    out.print(_acts(found))
    out.print(_reads(found, features))


def _acts(found: model.Model) -> Table:
    table = Table(title="Where it acts", title_justify="left")
    for name, justify in (("outcome", "left"), ("margin from", "right"), ("probability", "right")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for outcome in reversed(OUTCOMES):
        if (at := found.thresholds.get(outcome)) is not None:
            chance = found.calibration.probability([at])[0]
            table.add_row(outcome, f"{at / model.ONE:.3f}", f"{chance:.5f}")
    return table


def _reads(found: model.Model, most: int) -> Table:
    gains = found.forest.gains()
    whole = sum(gains.values())
    table = Table(title=f"What it reads most, of {len(gains)} features", title_justify="left")
    for name, justify in (("feature", "left"), ("share of gain", "right"), ("meaning", "left")):
        table.add_column(name, justify=justify, no_wrap=name == "feature")  # type: ignore[arg-type]
    for name in list(gains)[:most]:
        meaning = catalog.get_feature(name).meaning
        table.add_row(name, f"{gains[name] / whole:.1%}", meaning)
    return table
