"""The fit of a model: gradient-boosted trees by LightGBM, cross-fitting, and calibration.

The same input gives the same bytes (Ke et al., LightGBM: A Highly Efficient Gradient Boosting
Decision Tree, NeurIPS 2017).

On a small population all accounts but the test's calibrate, each fold by trees of the other folds:
thresholds from a hundred held-out accounts would depend on the one that most resembles a sender.
See Stone, Cross-Validatory Choice and Assessment of Statistical Predictions (JRSS B 36, 1974);
Vovk, Cross-Conformal Predictors (Annals of Mathematics and Artificial Intelligence 74, 2015).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import lightgbm
import msgspec
import numpy as np
from numpy.typing import NDArray

from wavebreak.errors import TrainingError
from wavebreak.evaluation.label_votes import Key, Labels, ResolvedLabel
from wavebreak.evaluation.scoring_points import (
    Bools,
    Floats,
    Ints,
    Points,
    monotone_signs,
    to_catalog_columns,
)
from wavebreak.model import Model, baseline, from_booster
from wavebreak_lab.training import leakage, sample_weights, thresholds
from wavebreak_lab.training.abstention import fit_support
from wavebreak_lab.training.config import Settings
from wavebreak_lab.training.splits import Splits, assign_folds, assign_splits
from wavebreak_lab.training.thresholds import Threshold

Values = NDArray[np.float64]

_DETERMINISTIC: dict[str, Any] = {
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
    values: Values,
    labels: NDArray[np.uint8],
    weights: Values | None = None,
    *,
    names: Sequence[str],
    monotone: Mapping[str, int] | None = None,
    seed: int = 0,
    rounds: int = 200,
    leaves: int = 31,
    rate: float = 0.05,
    least: int = 20,
    ridge: float = 1.0,
    columns: float = 0.6,
    rows: float = 1.0,
    progress: Callable[[float], None] = lambda _: None,
) -> lightgbm.Booster:
    """Fit a binary classifier whose raw score is a log-odds.

    `values` are float64 (n, m), NaN where missing; `labels` uint8 (n,), 1 is abusive; `weights`
    (n,) are scaled to a mean of one. `monotone` gives by name the sign (-1, 1) in which a feature
    may move the score; `least` is the fewest rows of a leaf, `ridge` the L2 penalty, `columns` and
    `rows` the shares drawn for each tree. The same arguments give the same trees. Raises
    ValueError where shapes do not agree or a monotone name is not in `names`.

    >>> x = np.linspace(0.0, 1.0, 200)[:, None]
    >>> trees = fit_booster(x, (x[:, 0] > 0.5).astype(np.uint8), names=["x"], rounds=5)
    >>> bool(trees.predict(np.array([[0.9]]))[0] > trees.predict(np.array([[0.1]]))[0])
    True
    """
    signs = dict(monotone or {})
    if values.shape != (len(labels), len(names)) or not set(signs) <= set(names):
        raise ValueError("values, labels, names and monotone do not go together")
    parameters = _DETERMINISTIC | {
        "seed": seed,
        "num_leaves": leaves,
        "learning_rate": rate,
        "min_data_in_leaf": least,
        "lambda_l2": ridge,
        "feature_fraction": columns,
        "bagging_fraction": rows,
        "bagging_freq": int(rows < 1.0),
        "monotone_constraints": [signs.get(name, 0) for name in names],
    }
    scaled = None if weights is None else weights / weights.mean()
    table = lightgbm.Dataset(
        values, labels, weight=scaled, feature_name=list(names), params={"verbosity": -1}
    )
    return lightgbm.train(
        parameters, table, rounds, callbacks=[lambda now: progress((now.iteration + 1) / rounds)]
    )


def predict_margins(booster: lightgbm.Booster, values: Values) -> Values:
    """Raw scores (log-odds) of rows, float64 (n,)."""
    return np.asarray(booster.predict(values, raw_score=True, num_threads=1), np.float64)


STARTED = "started_chats"
"""The feature that counts whom an account has written to first."""


@dataclass(frozen=True)
class HoldoutScores:
    """Points that calibrate, as trees that never saw their accounts see them.

    `rows` (n,) of all points are meant; of those, in order: `margins`; `masked`, the margins of the
    same as masked streams show them; `partials` (abusive ones, blocks), sums after each block.
    """

    rows: Bools
    margins: Floats
    masked: Floats
    partials: Floats


def is_silent(points: Points) -> Bools:
    """Points at which the account has started no chat; (n,). None where that is no input."""
    if STARTED not in points.names:
        return np.zeros(len(points), np.bool_)
    return ~(points.values[:, points.names.index(STARTED)] >= 1)


def has_small_population(points: Points, benign: Bools, settings: Settings) -> bool:
    """Whether too few people calibrate: of `benign` points (n,), those with no chat started."""
    if settings.few is None:
        return False
    people = len(np.unique(points.account[benign & is_silent(points)]))
    return people < thresholds.points_needed(settings.few.silent, settings.tolerance.confidence)


def score_holdout(
    booster: Any, points: Points, shown: Floats, rows: Bools, bad: Bools, wide: Callable[..., Any]
) -> HoldoutScores:
    """Hold the points `rows` against the trees of a fit that saw none of their accounts.

    `shown` are the values of `rows` as masked streams show them, `bad` (n,) says which points are
    of abusive accounts, `wide` puts values into the catalog's columns.
    """
    partials = from_booster(booster, name="plain").partials(wide(points.select(rows & bad)))
    return HoldoutScores(
        rows,
        predict_margins(booster, points.values[rows]),
        predict_margins(booster, shown),
        partials,
    )


def cross_fit(
    fit: Callable[[Bools, int], Any],
    points: Points,
    shown: Floats,
    part: Ints,
    late: Bools,
    bad: Bools,
    blocks: int,
    wide: Callable[..., Any],
) -> HoldoutScores:
    """Hold every account that is in a part (accounts,) against trees of all other parts.

    `fit` makes trees of the points of a mask; its second argument is the fold left out. No fit uses
    `late` points. `blocks` are the columns of the partial sums; `shown` are of all points in a
    fold. The other arguments are those of `score_holdout`.
    """
    of, n = part[points.account], len(points)
    rows = np.asarray(of >= 0)
    margins, masked = np.full(n, np.nan), np.full(n, np.nan)
    partials = np.full((n, blocks), np.nan)
    for number in np.unique(of[rows]).tolist():
        out = of == number
        booster = fit(rows & ~out & ~late, number)
        mine = score_holdout(booster, points, shown[out[rows]], out, bad, wide)
        margins[out], masked[out] = mine.margins, mine.masked
        partials[out & bad] = _pad_columns(mine.partials, blocks)
    return HoldoutScores(rows, margins[rows], masked[rows], partials[rows & bad])


def _pad_columns(partials: Floats, blocks: int) -> Floats:
    """The same sums in `blocks` columns: a fit that ended early stays at its last sum.

    >>> _pad_columns(np.array([[1.0, 2.0]]), 3).tolist()
    [[1.0, 2.0, 2.0]]
    """
    at = np.minimum(np.arange(blocks), partials.shape[1] - 1)
    at[-1] = partials.shape[1] - 1
    return partials[:, at]


UNLABELLED, ASSUMED = "unlabelled", "assumed"
Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class AccountLabels:
    """What the accounts of some points are taken for; arrays by account.

    `abusive`, `family` (a number into `names`), `word` (its label's weight), `known` (labelled).
    """

    abusive: Bools
    family: Ints
    label_weight: Floats
    known: Bools
    names: tuple[str, ...]

    def family_names(self, abusive: bool) -> list[str]:
        """The family of each account of one label, "" for all others."""
        mine = self.known & (self.abusive == abusive)
        return [
            self.names[f].partition("/")[2] if m else ""
            for f, m in zip(self.family, mine, strict=True)
        ]


@dataclass(frozen=True)
class TrainingResult:
    """A model, and everything that was seen while it was made.

    `aucs` of each feature alone; `allowed` features that were let pass as too good; `left_out`
    counts points by reason. `few`: too few people calibrate for counts alone; `parts` then is how
    many parts were each held against the trees of the others (0: one side calibrates). `suspected`
    are accounts taken for benign on nobody's word that trees which never saw them call abusive,
    with their highest margin (log-odds), worst first.
    """

    model: Model
    settings: Settings
    spreads: dict[str, baseline.Distribution]
    thresholds: dict[str, Threshold]
    points: Points
    margins: Floats
    subjects: AccountLabels
    splits: Splits
    labels: Labels
    aucs: dict[str, float]
    allowed: tuple[str, ...]
    left_out: dict[str, int]
    small_population: bool = False
    folds: int = 0
    suspected: tuple[tuple[Key, float], ...] = ()


def account_labels(points: Points, resolved: dict[Key, ResolvedLabel]) -> AccountLabels:
    """Look up what each account is taken for."""
    found = [resolved.get(key) for key in points.accounts]
    names = sorted({_family(t) for t in found if t} | {""})
    number = {name: n for n, name in enumerate(names)}
    return AccountLabels(
        np.array([bool(t and t.abusive) for t in found], np.bool_),
        np.array([number[_family(t)] if t else 0 for t in found], np.int64),
        np.array([t.weight if t else 0.0 for t in found], np.float64),
        np.array([t is not None for t in found], np.bool_),
        tuple(names),
    )


def _family(truth: ResolvedLabel) -> str:
    return f"{'abusive' if truth.abusive else 'benign'}/{truth.family}"


def with_unlabelled(labels: Labels, points: Points) -> Labels:
    """Take every account without a label for benign, of a family of its own."""
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
    logged: dict[tuple[Key, str], int] | None = None,
    allow: Sequence[str] = (),
    notes: dict[str, Any] | None = None,
    progress: Progress = lambda *_: None,
) -> TrainingResult:
    """Learn a model from scoring points and labels.

    `calibrates` are runs (indexes) that only calibrate; `logged` when the log itself first gave a
    label; `allow` names features that may alone tell the labels apart; `notes` are kept with the
    model. Raises `TrainingError` for a leak, or where a side has too few accounts.
    """
    leakage.check_early_labels(points, labels.resolved, logged or {}, settings.leaks)
    later, acted = leakage.after_label(points, logged or {}), points.after_action()
    left_out = {
        "after the account's own label stood in the log": int(later.sum()),
        "after rules had restricted the account": int((acted & ~later).sum()),
    }
    points = points.select(~later & ~acted)
    splits = assign_splits(points, labels.resolved, seed, settings.split, calibrates)
    labelled = account_labels(points, labels.resolved)
    left_out["of accounts without a label"] = int((~labelled.known[points.account]).sum())
    _check_account_counts(points, labelled, splits)
    aucs, allowed = _check_features(points, labelled, splits, settings, allow)
    few, part = _choose_folds(points, labelled, labels, splits, settings, seed)
    part = None if calibrates else part
    booster, held = _fit_and_score(points, labelled, splits, part, settings, seed, progress)
    progress(0.8, "calibration and thresholds")
    margins = predict_margins(booster, points.values)
    model, found = _calibrate(booster, points, held, labelled, few, settings)
    fit, own = points.select(splits.fit(points)), points.select(held.rows)
    training = {"notes": notes or {}, "tolerance": {o: t.tolerance for o, t in found.items()}}
    model = replace(
        model,
        name=name,
        seed=seed,
        training=training,
        training_digest=training_digest(points, labels, settings, notes or {}),
        support=fit_support(fit, own, settings.abstention) if settings.abstention else None,
    )
    spreads = baseline.feature_baseline(
        points.names, points.values, margins, settings.baseline.bins
    )
    return TrainingResult(
        model,
        settings,
        spreads,
        found,
        points,
        margins,
        labelled,
        splits,
        labels,
        aucs,
        allowed,
        left_out,
        few,
        *((0, ()) if part is None else _suspected_accounts(points, part, held, labels)),
    )


def _check_account_counts(points: Points, labelled: AccountLabels, splits: Splits) -> None:
    for side in ("fit", "calibrate"):
        rows = getattr(splits, side)(points)
        seen = np.unique(points.account[rows])
        for label, count in (
            ("abusive", int(labelled.abusive[seen].sum())),
            ("benign", int((~labelled.abusive[seen]).sum())),
        ):
            if count < 2:
                raise TrainingError(
                    f"of the accounts on the side `{side}` {count or 'none'} are {label}",
                    fix="give more runs or labels: an operator is on one side alone, so a label "
                    "needs three operators at least (see also --calibrate)",
                )


def _check_features(
    points: Points,
    labelled: AccountLabels,
    splits: Splits,
    settings: Settings,
    allow: Sequence[str],
) -> tuple[dict[str, float], tuple[str, ...]]:
    held = np.flatnonzero(splits.calibrate(points) | splits.held_out(points))
    bare = replace(points, values=points.values[:, :0])
    sets = []
    for rows in (np.flatnonzero(splits.fit(points)), held):
        part = bare.select(rows)
        counted = sample_weights.point_weights(
            part, labelled.abusive, labelled.family, labelled.label_weight, settings.weights
        )
        sets.append((rows, labelled.abusive[part.account], counted))
    aucs = leakage.single_feature_aucs(points, sets[0], sets[1])
    seen = np.unique(points.account[held])
    bad = int(labelled.abusive[seen].sum())
    passed = leakage.check_single_features(aucs, (len(seen) - bad, bad), settings.leaks, allow)
    return aucs, tuple(passed)


def make_fit(
    points: Points,
    labelled: AccountLabels,
    settings: Settings,
    seed: int,
    fits: int,
    progress: Progress,
) -> Callable[[Bools, int], Any]:
    """Make trees of the points of a mask; the second argument says which of `fits` it is."""
    fit = settings.fit

    def fitted(rows: Bools, number: int) -> Any:
        part = points.select(
            rows & sample_weights.sampled_points(points.ordinals(), settings.weights)
        )
        counted = sample_weights.point_weights(
            part, labelled.abusive, labelled.family, labelled.label_weight, settings.weights
        )
        return fit_booster(
            sample_weights.mask_values(part, settings.coverage, seed),
            labelled.abusive[part.account].astype(np.uint8),
            counted,
            names=part.names,
            monotone=monotone_signs(part.names),
            seed=seed,
            rounds=fit.rounds,
            leaves=fit.leaves,
            rate=fit.rate,
            least=fit.least,
            ridge=fit.ridge,
            columns=fit.columns,
            rows=fit.rows,
            progress=lambda share: progress(0.1 + 0.7 * (number + share) / fits, "trees"),
        )

    return fitted


def _mask_rows(points: Points, rows: Bools, settings: Settings, seed: int) -> Floats:
    """The values of the points `rows`, each account as a masked stream shows it."""
    every = msgspec.structs.replace(settings.coverage, share=1.0)
    return sample_weights.mask_values(points.select(rows), every, seed)


def _choose_folds(
    points: Points,
    labelled: AccountLabels,
    labels: Labels,
    splits: Splits,
    settings: Settings,
    seed: int,
) -> tuple[bool, Ints | None]:
    """Whether people are few, and the parts (accounts,) that are then held against each other."""
    benign = splits.calibrate(points) & ~labelled.abusive[points.account]
    if settings.few is None or not has_small_population(points, benign, settings):
        return False, None
    return True, assign_folds(points, labels.resolved, seed, splits, settings.few.parts)


def _fit_and_score(
    points: Points,
    labelled: AccountLabels,
    splits: Splits,
    part: Ints | None,
    settings: Settings,
    seed: int,
    progress: Progress,
) -> tuple[Any, HoldoutScores]:
    """The trees, and what calibrates: one side, or each of the parts (accounts,) if there are."""
    bad = labelled.abusive[points.account]
    if part is None:
        booster = make_fit(points, labelled, settings, seed, 1, progress)(splits.fit(points), 0)
        rows = splits.calibrate(points)
        shown = _mask_rows(points, rows, settings, seed)
        return booster, score_holdout(booster, points, shown, rows, bad, to_catalog_columns)
    rows, count = np.asarray(part[points.account] >= 0), int(part.max()) + 1
    fit = make_fit(points, labelled, settings, seed, count + 1, progress)
    booster = fit(rows & ~splits.late, count)
    return booster, cross_fit(
        fit,
        points,
        _mask_rows(points, rows, settings, seed),
        part,
        splits.late,
        bad,
        from_booster(booster, name="plain").forest.blocks,
        to_catalog_columns,
    )


def _suspected_accounts(
    points: Points, part: Ints, held: HoldoutScores, labels: Labels
) -> tuple[int, tuple[tuple[Key, float], ...]]:
    """How many parts; whom nobody spoke of and who is more likely abusive, were half of them so."""
    highest = np.full(len(points.accounts), -np.inf)
    np.maximum.at(highest, points.account[held.rows], held.margins)
    found = [
        (points.accounts[n], round(float(highest[n]), 3))
        for n in np.flatnonzero(highest > 0).tolist()
        if labels.resolved[points.accounts[n]].source == ASSUMED
    ]
    return int(part.max()) + 1, tuple(sorted(found, key=lambda one: (-one[1], one[0])))


def _calibrate(
    booster: Any,
    points: Points,
    held: HoldoutScores,
    labelled: AccountLabels,
    few: bool,
    settings: Settings,
) -> tuple[Model, dict[str, Threshold]]:
    own = points.select(held.rows)
    bad = labelled.abusive[own.account]
    weight = thresholds.prevalence_weights(own, bad, settings.calibration.prevalence)
    counted = [len(np.unique(own.account[s])) for s in (~bad, bad)]
    benign = own.select(~bad)
    found = thresholds.find_thresholds(
        held.margins[~bad],
        benign.account,
        settings.tolerance,
        held.masked[~bad],
        silent=is_silent(benign) if few else None,
    )
    # All that calibrate together may be enough where one side alone was not.
    shown = not has_small_population(own, ~bad, settings)
    trace = thresholds.cascade_trace(
        held.partials, own.account[bad], found["observe"].at, settings.cascade.lost
    )
    # Rules take a score for a fact: where people are few it says no more than they show.
    beyond = -math.log1p(-settings.tolerance.confidence) if few else 0.5
    steps = thresholds.calibration_steps(
        held.margins, bad, weight, (counted[0], counted[1]), beyond
    )
    return replace(
        from_booster(booster, name="plain"),
        calibration=steps,
        cascade=trace,
        thresholds={outcome: t.at for outcome, t in found.items()},
        silent=None if shown or not settings.few else settings.few.most,
    ), found


def training_digest(
    points: Points, labels: Labels, settings: Settings, notes: dict[str, Any]
) -> str:
    """SHA-256 of all that a model follows from: rows, accounts, labels, settings, notes."""
    seen = hashlib.sha256(repr((points.names, sorted(notes.items()))).encode())
    for array in (points.values, points.account, points.ts, points.kind, points.run):
        seen.update(np.ascontiguousarray(array).tobytes())
    for key in points.accounts:
        # Version 0.1 called the class Truth: the digest of the same training data stays the same.
        label = repr(labels.resolved.get(key)).replace("ResolvedLabel(", "Truth(", 1)
        seen.update(f"({key!r}, {label})".encode())
    seen.update(settings.digested())
    return seen.hexdigest()
