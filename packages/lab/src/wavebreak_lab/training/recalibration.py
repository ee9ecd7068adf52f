"""Recalibration: a model's thresholds and probabilities found anew on a platform's own log.

The trees stay as they are. They never saw the log's accounts, so that all of them calibrate.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from wavebreak import model
from wavebreak.errors import TrainingError
from wavebreak.evaluation.scoring_points import Floats, Points, to_catalog_columns
from wavebreak.model import Model, baseline, to_fixed_point
from wavebreak.reports.tables import Table, number, percent
from wavebreak_lab.training import abstention, leakage, thresholds
from wavebreak_lab.training.config import Settings
from wavebreak_lab.training.pipeline import TrainingSet
from wavebreak_lab.training.thresholds import Threshold
from wavebreak_lab.training.trainer import (
    AccountLabels,
    account_labels,
    has_small_population,
    is_silent,
)

REPORT = "recalibration.json"
_FEWEST_ABUSIVE = 20
"""Abusive accounts below which probabilities are kept: so few give no curve."""


@dataclass(frozen=True)
class Recalibration:
    """A model with thresholds of a platform's own.

    `before` and `after` count by outcome the benign accounts that reach its threshold, of `benign`;
    `calibrated` says whether probabilities are new as well.
    """

    model: Model
    thresholds: dict[str, Threshold]
    spreads: dict[str, baseline.Distribution]
    benign: int
    abusive: int
    before: dict[str, int]
    after: dict[str, int]
    calibrated: bool


def recalibrate(base: Model, given: TrainingSet, settings: Settings) -> Recalibration:
    """Find thresholds, and with enough abusive accounts probabilities, on a platform's log.

    Args:
        base: The model whose trees are kept.
        given: The log's scoring points and labels (`pipeline.collect`).
        settings: Tolerances and prevalence.

    Returns:
        The recalibrated model and what it rests on.

    Raises:
        TrainingError: No benign account has a scoring point.
    """
    points, labelled = _usable_points(given)
    bad = labelled.abusive[points.account]
    if bad.all():
        raise TrainingError(
            "no benign account has a scoring point",
            fix="label benign accounts, or give --unlabelled-benign",
        )
    margins = base.margins(to_catalog_columns(points))
    far = abstention.is_far(points, base.support) if base.support else np.zeros(len(bad), bool)
    benign = points.select(~bad & ~far)
    few = has_small_population(points, ~bad, settings)
    found = thresholds.find_thresholds(
        margins[~bad & ~far],
        benign.account,
        settings.tolerance,
        silent=is_silent(benign) if few else None,
    )
    counted = tuple(len(np.unique(points.account[side])) for side in (~bad, bad))
    calibration, calibrated = base.calibration, counted[1] >= _FEWEST_ABUSIVE
    if calibrated:
        weight = thresholds.prevalence_weights(points, bad, settings.calibration.prevalence)
        calibration = thresholds.calibration_steps(margins, bad, weight, (counted[0], counted[1]))
    lower = found["observe"].at < base.thresholds.get("observe", found["observe"].at + 1)
    made = replace(
        base,
        name=f"{base.name}-recalibrated",
        calibration=calibration,
        thresholds={outcome: t.at for outcome, t in found.items()},
        # The early exit was found for the old threshold, and would cut off what lies below it.
        cascade=np.full(len(base.cascade), -np.inf) if lower else base.cascade,
        silent=settings.few.most if few and settings.few else base.silent,
        training=dict(base.training) | {"recalibrated": {"from": base.version} | given.notes},
    )
    kept = points.select(~far)
    return Recalibration(
        made,
        found,
        baseline.feature_baseline(kept.names, kept.values, margins[~far], settings.baseline.bins),
        counted[0],
        counted[1],
        _reached(margins[~bad & ~far], benign, dict(base.thresholds)),
        _reached(margins[~bad & ~far], benign, made.thresholds),
        calibrated,
    )


def _usable_points(given: TrainingSet) -> tuple[Points, AccountLabels]:
    """Points of labelled accounts, before any label or action of ours."""
    logged = leakage.first_label_times(given.replays)
    points = given.points
    points = points.select(~leakage.after_label(points, logged) & ~points.after_action())
    labelled = account_labels(points, given.labels.resolved)
    return points.select(labelled.known[points.account]), labelled


def _reached(margins: Floats, points: Points, found: Mapping[str, int]) -> dict[str, int]:
    scores = to_fixed_point(margins)
    return {o: len(np.unique(points.account[scores >= at])) for o, at in found.items()}


def write_directory(made: Recalibration, out: Path) -> None:
    """Write the recalibrated model, its drift baseline, and what it rests on."""
    model.save(made.model, out)
    baseline.save(made.spreads, out)
    about = {
        "benign": made.benign,
        "abusive": made.abusive,
        "before": made.before,
        "after": made.after,
        "probabilities": "new" if made.calibrated else "kept",
    }
    (out / REPORT).write_text(json.dumps(about, indent=1, sort_keys=True) + "\n", "utf-8")


def result_table(made: Recalibration) -> Table:
    """Benign accounts that reach each threshold, before and after."""
    return Table(
        "Benign accounts reached",
        ("outcome", "before", "after", "margin", "bound"),
        [
            (
                outcome,
                f"{number(made.before.get(outcome))}/{number(made.benign)}",
                f"{number(made.after[outcome])}/{number(made.benign)}",
                f"{t.at / model.ONE:.3f}",
                percent(t.bound) + ("\nnot shown" if t.short else ""),
            )
            for outcome, t in made.thresholds.items()
        ],
        "The bound is of false actions a benign scoring point (Clopper and Pearson, one-sided). "
        + (
            "Probabilities are new."
            if made.calibrated
            else "Too few abusive accounts: probabilities are kept."
        ),
    )
