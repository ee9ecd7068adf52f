"""The verb that makes the default model: train-default."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from wavebreak import training
from wavebreak.cli.apps import app
from wavebreak.cli.deciding import PolicyDir
from wavebreak.cli.showing import bar, nexts, out
from wavebreak.pages import print_lines, print_table
from wavebreak.training import worlds as made


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
