"""The fit of a model: gradient-boosted trees by LightGBM, thresholds and calibration.

The same input gives the same bytes (Ke et al., LightGBM: A Highly Efficient Gradient Boosting
Decision Tree, NeurIPS 2017).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray

from wavebreak.errors import TrainingError
from wavebreak.evaluation.labels import Key, Labels, ResolvedLabel
from wavebreak.evaluation.scoring_points import Bools, Floats, Ints, Points, monotone_signs
from wavebreak.model import Model, from_booster
from wavebreak_lab.training import thresholds
from wavebreak_lab.training.config import Fit, Settings, Weights
from wavebreak_lab.training.splits import Splits, assign_splits
from wavebreak_lab.training.thresholds import Threshold

UNLABELLED, ASSUMED = "unlabelled", "assumed"
Progress = Callable[[float, str], None]

DETERMINISTIC: dict[str, Any] = {
    "objective": "binary",
    "boost_from_average": True,
    "monotone_constraints_method": "intermediate",
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbosity": -1,
}
"""One thread and one order of rows: sums, and so trees, come out alike on every run."""


def fit_booster(
    values: Floats,
    labels: NDArray[np.uint8],
    weights: Floats,
    settings: Fit,
    *,
    names: Sequence[str],
    monotone: Mapping[str, int],
    seed: int,
    progress: Callable[[float], None] = lambda _: None,
) -> lightgbm.Booster:
    """Fit a binary classifier whose raw score is a log-odds.

    Args:
        values: float64 (n, m), NaN where missing.
        labels: uint8 (n,); 1 is abusive.
        weights: (n,), scaled to a mean of one.
        settings: Settings of the trees.
        names: Names of the columns.
        monotone: By name, the sign (-1, 1) in which a feature may move the score.
        seed: The same arguments give the same trees.
        progress: Called with the share that is done.

    Raises:
        ValueError: Shapes do not agree, or a monotone name is not in `names`.
    """
    if values.shape != (len(labels), len(names)) or not set(monotone) <= set(names):
        raise ValueError("values, labels, names and monotone do not go together")
    parameters = DETERMINISTIC | {
        "seed": seed,
        "num_leaves": settings.leaves,
        "learning_rate": settings.rate,
        "min_data_in_leaf": settings.least,
        "lambda_l2": settings.ridge,
        "feature_fraction": settings.columns,
        "bagging_fraction": settings.rows,
        "bagging_freq": int(settings.rows < 1.0),
        "monotone_constraints": [monotone.get(name, 0) for name in names],
    }
    table = lightgbm.Dataset(
        values,
        labels,
        weight=weights / weights.mean(),
        feature_name=list(names),
        params={"verbosity": -1},
    )
    return lightgbm.train(
        parameters,
        table,
        settings.rounds,
        callbacks=[lambda now: progress((now.iteration + 1) / settings.rounds)],
    )


def predict_margins(booster: lightgbm.Booster, values: Floats) -> Floats:
    """Return raw scores (log-odds) of rows, float64 (n,)."""
    return np.asarray(booster.predict(values, raw_score=True, num_threads=1), np.float64)


@dataclass(frozen=True)
class AccountLabels:
    """Resolved labels of the accounts of some points; arrays by account.

    `family` is a number into `names`; `label_weight` the weight of the account's label; `known`
    marks labelled accounts.
    """

    abusive: Bools
    family: Ints
    label_weight: Floats
    known: Bools
    names: tuple[str, ...]

    def family_names(self, abusive: bool) -> list[str]:
        """Return the family of each account of one label, "" for all others."""
        selected = self.known & (self.abusive == abusive)
        return [
            self.names[family].partition("/")[2] if is_selected else ""
            for family, is_selected in zip(self.family, selected, strict=True)
        ]


@dataclass(frozen=True)
class TrainingResult:
    """A model, and the data that it was fitted and calibrated on.

    `margins` (n,) are of all points; `left_out` counts points by reason.
    """

    model: Model
    settings: Settings
    thresholds: dict[str, Threshold]
    points: Points
    margins: Floats
    accounts: AccountLabels
    splits: Splits
    labels: Labels
    left_out: dict[str, int]


def account_labels(points: Points, resolved: dict[Key, ResolvedLabel]) -> AccountLabels:
    """Return the labels of all accounts of some points."""
    labels = [resolved.get(key) for key in points.accounts]
    names = sorted({_family(label) for label in labels if label} | {""})
    number = {name: n for n, name in enumerate(names)}
    return AccountLabels(
        np.array([bool(label and label.abusive) for label in labels], np.bool_),
        np.array([number[_family(label)] if label else 0 for label in labels], np.int64),
        np.array([label.weight if label else 0.0 for label in labels], np.float64),
        np.array([label is not None for label in labels], np.bool_),
        tuple(names),
    )


def _family(label: ResolvedLabel) -> str:
    return f"{'abusive' if label.abusive else 'benign'}/{label.family}"


def with_unlabelled(labels: Labels, points: Points) -> Labels:
    """Add a benign label, of a family of its own, for every account without a label."""
    assumed = {
        key: ResolvedLabel(False, UNLABELLED, "", ASSUMED, 1.0, -1)
        for key in points.accounts
        if key not in labels.resolved
    }
    return replace(labels, resolved=labels.resolved | assumed)


def fit_model(
    points: Points,
    labels: Labels,
    settings: Settings,
    *,
    name: str,
    seed: int,
    calibrates: frozenset[int] = frozenset(),
    first_labels: Mapping[Key, int] | None = None,
    notes: dict[str, Any] | None = None,
    progress: Progress = lambda *_: None,
) -> TrainingResult:
    """Fit a model on scoring points and labels.

    Args:
        points: Scoring points of all runs.
        labels: Resolved labels.
        settings: Settings of training.
        name: The model's name.
        seed: Seed of the splits and the trees.
        calibrates: Runs (indexes) that only calibrate.
        first_labels: Time (ms) of the first label of an account in the log: points from there on
            are left out.
        notes: Plain values that are stored with the model.
        progress: Called with a share and a text.

    Raises:
        TrainingError: A side of the split has too few accounts of a label.
    """
    is_late = _after_label(points, first_labels or {})
    is_restricted = points.after_action() & ~is_late
    left_out = {
        "after the account's own label stood in the log": int(is_late.sum()),
        "after rules had restricted the account": int(is_restricted.sum()),
    }
    points = points.select(~is_late & ~is_restricted)
    splits = assign_splits(points, labels.resolved, seed, settings.split, calibrates)
    accounts = account_labels(points, labels.resolved)
    left_out["of accounts without a label"] = int((~accounts.known[points.account]).sum())
    _check_account_counts(points, accounts, splits)
    booster = make_fit(points, accounts, settings, seed, 1, progress)(splits.fit(points), 0)
    progress(0.8, "calibration and thresholds")
    margins = predict_margins(booster, points.values)
    model, found_thresholds = _calibrate(booster, points, margins, accounts, splits, settings)
    model = replace(
        model,
        name=name,
        seed=seed,
        training={
            "notes": notes or {},
            "tolerance": {outcome: t.tolerance for outcome, t in found_thresholds.items()},
        },
        training_digest=training_digest(points, labels, settings, notes or {}),
    )
    return TrainingResult(
        model, settings, found_thresholds, points, margins, accounts, splits, labels, left_out
    )


def _after_label(points: Points, first_labels: Mapping[Key, int]) -> Bools:
    no_label_ms = np.iinfo(np.int64).max
    first = np.array([first_labels.get(key, no_label_ms) for key in points.accounts], np.int64)
    return np.asarray(points.ts >= first[points.account])


def _check_account_counts(points: Points, accounts: AccountLabels, splits: Splits) -> None:
    for side in ("fit", "calibrate"):
        present = np.unique(points.account[getattr(splits, side)(points)])
        for label, count in (
            ("abusive", int(accounts.abusive[present].sum())),
            ("benign", int((~accounts.abusive[present]).sum())),
        ):
            if count < 2:
                raise TrainingError(
                    f"of the accounts on the side `{side}` {count or 'none'} are {label}",
                    fix="give more runs or labels: an operator is on one side alone, so a label "
                    "needs three operators at least (see also --calibrate)",
                )


def make_fit(
    points: Points,
    accounts: AccountLabels,
    settings: Settings,
    seed: int,
    fits: int,
    progress: Progress,
) -> Callable[[Bools, int], Any]:
    """Return a function that fits trees on the points of a mask; it takes the number of the fit."""

    def fit_trees(rows: Bools, number: int) -> Any:
        part = points.select(rows & sampled_points(points.ordinals(), settings.weights))
        weights = point_weights(
            part, accounts.abusive, accounts.family, accounts.label_weight, settings.weights
        )
        return fit_booster(
            part.values,
            accounts.abusive[part.account].astype(np.uint8),
            weights,
            settings.fit,
            names=part.names,
            monotone=monotone_signs(part.names),
            seed=seed,
            progress=lambda share: progress(0.1 + 0.7 * (number + share) / fits, "trees"),
        )

    return fit_trees


def _calibrate(
    booster: lightgbm.Booster,
    points: Points,
    margins: Floats,
    accounts: AccountLabels,
    splits: Splits,
    settings: Settings,
) -> tuple[Model, dict[str, Threshold]]:
    rows = splits.calibrate(points)
    part, margins = points.select(rows), margins[rows]
    abusive = accounts.abusive[part.account]
    found_thresholds = thresholds.find_thresholds(
        margins[~abusive], part.account[~abusive], settings.tolerance
    )
    steps = thresholds.calibration_steps(
        margins,
        abusive,
        thresholds.prevalence_weights(part, abusive, settings.calibration.prevalence),
        (len(np.unique(part.account[~abusive])), len(np.unique(part.account[abusive]))),
    )
    margin_of = {outcome: t.margin for outcome, t in found_thresholds.items()}
    return from_booster(
        booster, name="plain", calibration=steps, thresholds=margin_of
    ), found_thresholds


def training_digest(
    points: Points, labels: Labels, settings: Settings, notes: dict[str, Any]
) -> str:
    """Return the SHA-256 of all inputs of a model: rows, accounts, labels, settings, notes."""
    digest = hashlib.sha256(repr((points.names, sorted(notes.items()))).encode())
    for array in (points.values, points.account, points.ts, points.kind, points.run):
        digest.update(np.ascontiguousarray(array).tobytes())
    for key in points.accounts:
        digest.update(f"({key!r}, {labels.resolved.get(key)!r})".encode())
    digest.update(settings.digested())
    return digest.hexdigest()


# Weights


def sampled_points(ordinals: Ints, settings: Weights) -> Bools:
    """Select the points of the fit by their ordinal in the account: all at first, then ever fewer.

    >>> settings = Weights(early=0.5, even_abusive=1, even_benign=0, dense=4, step=1.5)
    >>> np.flatnonzero(sampled_points(np.arange(20), settings)).tolist()
    [0, 1, 2, 3, 4, 6, 9, 13]
    """
    selected, ordinal = list(range(settings.dense)), float(settings.dense)
    while ordinal <= ordinals.max(initial=0):
        selected.append(int(ordinal))
        ordinal = max(ordinal + 1.0, ordinal * settings.step)
    return np.isin(ordinals, selected)


def point_weights(
    points: Points, abusive: Bools, family: Ints, label_weight: Floats, settings: Weights
) -> Floats:
    """Return the weight of each point, float64 (n,): abusive and benign sum to one half each.

    `abusive`, `family` (a number) and `label_weight` are by account. An account's points sum to
    one before its family is evened.
    """
    early = (1.0 + points.ordinals()) ** -settings.early
    n = len(points.accounts)
    total = np.bincount(points.account, early, n)
    is_present = total > 0
    size = np.bincount(family[is_present], minlength=int(family.max(initial=0)) + 1)[family]
    even = np.where(abusive, settings.even_abusive, settings.even_benign)
    of_account = label_weight * np.maximum(size, 1.0) ** -even
    weights = early / total[points.account] * of_account[points.account]
    is_abusive = abusive[points.account]
    for side in (is_abusive, ~is_abusive):
        if side.any():
            weights[side] *= 0.5 / weights[side].sum()
    return np.asarray(weights, np.float64)
