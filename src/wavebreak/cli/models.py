"""Verbs that show what a model is: model show."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from wavebreak import model
from wavebreak.cli.apps import models
from wavebreak.cli.showing import out
from wavebreak.errors import UsageError
from wavebreak.features import catalog
from wavebreak.features.state import OUTCOMES


@models.command("show", epilog="Example: `wavebreak model show my-model --features 10`")
def show(
    directory: Annotated[
        Path | None, typer.Argument(help="Model directory (default: the shipped model).")
    ] = None,
    features: Annotated[int, typer.Option(min=1, help="Features to list, by gain.")] = 25,
) -> None:
    """Show a model: its version, what it reads most, from where it acts, what it learned from."""
    found = model.chosen(str(directory) if directory else None)
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
        meaning = catalog.feature(name).meaning
        table.add_row(name, f"{gains[name] / whole:.1%}", meaning)
    return table
