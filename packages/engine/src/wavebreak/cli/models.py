"""Command `model show`: what a model reads, and from which score it acts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from wavebreak import model
from wavebreak.cli.app import models
from wavebreak.cli.console import out, print_json, styled
from wavebreak.cli.options import Json, Wide
from wavebreak.errors import UsageError
from wavebreak.features import catalog
from wavebreak.outcomes import BY_RANK
from wavebreak.reports.tables import Table, print_table


@models.command(
    "show", epilog="Examples: `wavebreak model show`; `wavebreak model show my-model --features 10`"
)
def show(
    directory: Annotated[
        Path | None, typer.Argument(help="Model directory (default: the shipped model).")
    ] = None,
    features: Annotated[int, typer.Option(min=1, help="Features to list, by gain.")] = 25,
    as_json: Json = False,
    wide: Wide = False,
) -> None:
    """Show a model: version, size, thresholds, and the features with the highest gain."""
    loaded = model.load_selected(str(directory) if directory else None)
    if loaded is None:
        raise UsageError("this installation has no shipped model", fix="give a model directory")
    fields = _model_fields(loaded, features)
    if as_json:
        print_json(fields)
        return
    out.print(styled("[bold]{}[/]", fields["version"]))
    out.print(
        f"{fields['trees']} trees, {fields['leaves']:,} leaves, {fields['features']} features; "
        f"seed {fields['seed']}; training data {fields['training_digest'] or 'not recorded'}"
    )
    print_table(
        Table(
            "Thresholds",
            ("outcome", "margin from", "probability"),
            [
                (t["outcome"], f"{t['margin']:.3f}", f"{t['probability']:.5f}")
                for t in fields["thresholds"]
            ],
        ),
        out,
    )
    gains = [(g["feature"], f"{g['share']:.1%}", g["meaning"]) for g in fields["gains"]]
    title = f"Features by gain, {len(gains)} of {fields['features_used']}"
    headings = ("feature", "share of gain", "meaning")
    print_table(Table(title, headings, gains, words=frozenset({0, 2})), out)


def _model_fields(loaded: model.Model, most: int) -> dict[str, Any]:
    """Return what `model show` prints, as plain values."""
    gains = loaded.forest.gains()
    whole = sum(gains.values())
    thresholds = [(o, loaded.thresholds.get(o)) for o in reversed(BY_RANK)]
    return {
        "version": loaded.version,
        "trees": len(loaded.forest.trees),
        "leaves": sum(tree.leaf.size for tree in loaded.forest.trees),
        "features": len(loaded.features),
        "features_used": len(gains),
        "seed": loaded.seed,
        "training_digest": loaded.training_digest,
        "thresholds": [
            {
                "outcome": outcome,
                "margin": at / model.ONE,
                "probability": float(loaded.calibration.probability([at])[0]),
            }
            for outcome, at in thresholds
            if at is not None
        ],
        "gains": [
            {
                "feature": name,
                "share": gains[name] / whole,
                "meaning": catalog.get_feature(name).description,
            }
            for name in list(gains)[:most]
        ],
    }
