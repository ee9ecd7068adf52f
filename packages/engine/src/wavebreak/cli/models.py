"""Command `model show`: what a model reads, and from which score it acts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from wavebreak import model
from wavebreak.cli.app import models
from wavebreak.cli.commands import Output, command
from wavebreak.cli.console import styled
from wavebreak.features import catalog
from wavebreak.outcomes import BY_RANK
from wavebreak.reports.tables import Table


@command(models, "wavebreak model show my-model", "wavebreak model show my-model --features 10")
def show(
    directory: Annotated[Path, "Model directory."],
    *,
    features: Annotated[int, typer.Option(min=1, help="Features to list, by gain.")] = 25,
) -> Output:
    """Show a model: version, size, thresholds, and the features with the highest gain."""
    loaded_model = model.load(directory)
    fields = _model_fields(loaded_model, features)
    thresholds = [
        (t["outcome"], f"{t['margin']:.3f}", f"{t['probability']:.5f}")
        for t in fields["thresholds"]
    ]
    gains = [(g["feature"], f"{g['share']:.1%}", g["meaning"]) for g in fields["gains"]]
    return Output(
        fields,
        styled("[bold]{}[/]", fields["version"]),
        f"{fields['trees']} trees, {fields['leaves']:,} leaves, {fields['features']} features; "
        f"seed {fields['seed']}; training data {fields['training_digest'] or 'not recorded'}",
        Table("Thresholds", ("outcome", "margin from", "probability"), thresholds),
        Table(
            f"Features by gain, {len(gains)} of {fields['features_used']}",
            ("feature", "share of gain", "meaning"),
            gains,
            words=frozenset({0, 2}),
        ),
    )


def _model_fields(loaded_model: model.Model, max_gains: int) -> dict[str, Any]:
    """Return the fields of a model that `model show` prints."""
    gains = loaded_model.forest.gains()
    total_gain = sum(gains.values())
    thresholds = [(o, loaded_model.thresholds.get(o)) for o in reversed(BY_RANK)]
    return {
        "version": loaded_model.version,
        "trees": len(loaded_model.forest.trees),
        "leaves": sum(tree.leaf.size for tree in loaded_model.forest.trees),
        "features": len(loaded_model.features),
        "features_used": len(gains),
        "seed": loaded_model.seed,
        "training_digest": loaded_model.training_digest,
        "thresholds": [
            {
                "outcome": outcome,
                "margin": threshold / model.ONE,
                "probability": float(loaded_model.calibration.probability([threshold])[0]),
            }
            for outcome, threshold in thresholds
            if threshold is not None
        ],
        "gains": [
            {
                "feature": name,
                "share": gains[name] / total_gain,
                "meaning": catalog.get_feature(name).description,
            }
            for name in list(gains)[:max_gains]
        ],
    }
