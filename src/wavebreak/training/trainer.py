"""The fit: gradient-boosted trees by LightGBM, the same bytes for the same input.

Ke et al., LightGBM: A Highly Efficient Gradient Boosting Decision Tree (NeurIPS 2017).

Where people are few all of them calibrate: each part by trees that never saw it.

A fifth of a small platform's people is a hundred accounts or two, and what stands just above them
stands wherever the one happens to lie who is most like a sender. Trees that left an account out say
of it what they would say of a stranger, so that every account but the test's may count.

Stone, Cross-Validatory Choice and Assessment of Statistical Predictions (JRSS B 36, 1974); Vovk,
Cross-Conformal Predictors (Annals of Mathematics and Artificial Intelligence 74, 2015).

From points and labels to a model with all that its card says. Values in, values out.
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
from wavebreak.features.catalog import FEATURES, INDEX
from wavebreak.model import Model, baseline, from_booster
from wavebreak.training import leakage, sample_weights, splits, thresholds
from wavebreak.training.config import Settings
from wavebreak.training.dataset import Bools, Floats, Ints, Points, signs
from wavebreak.training.labels import Key, Labels, Truth
from wavebreak.training.splits import Sides
from wavebreak.training.thresholds import Threshold

Values = NDArray[np.float64]

_STEADY: dict[str, Any] = {
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
    values: Values, labels: NDArray[np.uint8], weights: Values | None = None, *,
    names: Sequence[str], monotone: Mapping[str, int] | None = None, seed: int = 0,
    rounds: int = 200, leaves: int = 31, rate: float = 0.05, least: int = 20, ridge: float = 1.0,
    columns: float = 0.6, rows: float = 1.0, progress: Callable[[float], None] = lambda _: None,
) -> lightgbm.Booster:  # fmt: skip
    """Fit a binary classifier whose raw score is a log-odds.

    `values` are float64 (n, m), NaN where missing; `labels` uint8 (n,), 1 is abusive; `weights`
    (n,) are scaled to a mean of one. `monotone` gives by name the sign (-1, 1) in which a feature
    may move the score; `least` is the fewest rows of a leaf, `ridge` the L2 penalty, `columns` and
    `rows` the shares drawn for each tree. The same arguments give the same trees. Raises
    ValueError where shapes do not agree or a monotone name is not in `names`.

    >>> x = np.linspace(0.0, 1.0, 200)[:, None]
    >>> trees = fit(x, (x[:, 0] > 0.5).astype(np.uint8), names=["x"], rounds=5)
    >>> bool(trees.predict(np.array([[0.9]]))[0] > trees.predict(np.array([[0.1]]))[0])
    True
    """
    signs = dict(monotone or {})
    if values.shape != (len(labels), len(names)) or not set(signs) <= set(names):
        raise ValueError("values, labels, names and monotone do not go together")
    parameters = _STEADY | {
        "seed": seed, "num_leaves": leaves, "learning_rate": rate, "min_data_in_leaf": least,
        "lambda_l2": ridge, "feature_fraction": columns, "bagging_fraction": rows,
        "bagging_freq": int(rows < 1.0),
        "monotone_constraints": [signs.get(name, 0) for name in names],
    }  # fmt: skip
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
class Held:
    """Points that calibrate, as trees that never saw their accounts see them.

    `rows` (n,) of all points are meant; of those, in order: `margins`; `poorer`, the margins of the
    same as poorer streams show them; `partials` (abusive ones, blocks), sums after each block.
    """

    rows: Bools
    margins: Floats
    poorer: Floats
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
    return people < thresholds.needed(settings.few.silent, settings.tolerance.confidence)


def assign_folds(
    booster: Any, points: Points, shown: Floats, rows: Bools, bad: Bools, wide: Callable[..., Any]
) -> Held:  # fmt: skip
    """Hold the points `rows` against the trees of a fit that saw none of their accounts.

    `shown` are the values of `rows` as poorer streams show them, `bad` (n,) says which points are
    of abusive accounts, `wide` puts values into the catalog's columns.
    """
    partials = from_booster(booster, name="plain").partials(wide(points.where(rows & bad)))
    return Held(
        rows, predict_margins(booster, points.values[rows]),
        predict_margins(booster, shown), partials,
    )  # fmt: skip


def cross_fit(
    fit: Callable[[Bools, int], Any], points: Points, shown: Floats, part: Ints, late: Bools,
    bad: Bools, blocks: int, wide: Callable[..., Any],
) -> Held:  # fmt: skip
    """Hold every account that is in a part (accounts,) against trees of all other parts.

    `fit` makes trees of the points of a mask, told which part is left out; no fit sees `late`
    points. `blocks` are the columns of the partial sums; `shown` are of all points in a part, and
    the rest is as in `apart`.
    """
    of, n = part[points.account], len(points)
    rows = np.asarray(of >= 0)
    margins, poorer = np.full(n, np.nan), np.full(n, np.nan)
    partials = np.full((n, blocks), np.nan)
    for number in np.unique(of[rows]).tolist():
        out = of == number
        booster = fit(rows & ~out & ~late, number)
        mine = assign_folds(booster, points, shown[out[rows]], out, bad, wide)
        margins[out], poorer[out] = mine.margins, mine.poorer
        partials[out & bad] = _columns(mine.partials, blocks)
    return Held(rows, margins[rows], poorer[rows], partials[rows & bad])


def _columns(partials: Floats, blocks: int) -> Floats:
    """The same sums in `blocks` columns: a fit that ended early stays at its last sum.

    >>> _columns(np.array([[1.0, 2.0]]), 3).tolist()
    [[1.0, 2.0, 2.0]]
    """
    at = np.minimum(np.arange(blocks), partials.shape[1] - 1)
    at[-1] = partials.shape[1] - 1
    return partials[:, at]


UNLABELLED, ASSUMED = "unlabelled", "assumed"
Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Subjects:
    """What the accounts of some points are taken for; arrays by account.

    `abusive`, `family` (a number into `names`), `word` (its label's weight), `known` (labelled).
    """

    abusive: Bools
    family: Ints
    word: Floats
    known: Bools
    names: tuple[str, ...]

    def named(self, abusive: bool) -> list[str]:
        """The family of each account of one label, "" for all others."""
        mine = self.known & (self.abusive == abusive)
        return [
            self.names[f].partition("/")[2] if m else ""
            for f, m in zip(self.family, mine, strict=True)
        ]


@dataclass(frozen=True)
class Learned:
    """A model, and everything that was seen while it was made.

    `aucs` of each feature alone; `allowed` features that were let pass as too good; `left_out`
    counts points by reason. `few`: too few people calibrate for counts alone; `parts` then is how
    many parts were each held against the trees of the others (0: one side calibrates). `doubted`
    are accounts taken for benign on nobody's word that trees which never saw them call abusive,
    with their highest margin (log-odds), worst first.
    """

    model: Model
    settings: Settings
    spreads: dict[str, baseline.Distribution]
    thresholds: dict[str, Threshold]
    points: Points
    margins: Floats
    subjects: Subjects
    sides: Sides
    labels: Labels
    aucs: dict[str, float]
    allowed: tuple[str, ...]
    left_out: dict[str, int]
    few: bool = False
    parts: int = 0
    doubted: tuple[tuple[Key, float], ...] = ()


def subjects(points: Points, truths: dict[Key, Truth]) -> Subjects:
    """Look up what each account is taken for."""
    found = [truths.get(key) for key in points.accounts]
    names = sorted({_family(t) for t in found if t} | {""})
    number = {name: n for n, name in enumerate(names)}
    return Subjects(
        np.array([bool(t and t.abusive) for t in found], np.bool_),
        np.array([number[_family(t)] if t else 0 for t in found], np.int64),
        np.array([t.weight if t else 0.0 for t in found], np.float64),
        np.array([t is not None for t in found], np.bool_),
        tuple(names),
    )


def _family(truth: Truth) -> str:
    return f"{'abusive' if truth.abusive else 'benign'}/{truth.family}"


def with_unlabelled(labels: Labels, points: Points) -> Labels:
    """Take every account without a label for benign, of a family of its own."""
    assumed = {
        key: Truth(False, UNLABELLED, "", ASSUMED, 1.0, -1)
        for key in points.accounts
        if key not in labels.truths
    }
    return replace(labels, truths=labels.truths | assumed)


def learn(
    points: Points, labels: Labels, settings: Settings, *, name: str, seed: int,
    calibrates: frozenset[int] = frozenset(), logged: dict[tuple[Key, str], int] | None = None,
    allow: Sequence[str] = (), notes: dict[str, Any] | None = None,
    progress: Progress = lambda *_: None,
) -> Learned:  # fmt: skip
    """Learn a model from scoring points and labels.

    `calibrates` are runs (indexes) that only calibrate; `logged` when the log itself first gave a
    label; `allow` names features that may alone tell the labels apart; `notes` are kept with the
    model. Raises `TrainingError` for a leak, or where a side has too few accounts.
    """
    leakage.labelled_before(points, labels.truths, logged or {}, settings.leaks)
    later, acted = leakage.after_label(points, logged or {}), points.acted()
    left_out = {
        "after the account's own label stood in the log": int(later.sum()),
        "after rules had restricted the account": int((acted & ~later).sum()),
    }
    points = points.where(~later & ~acted)
    sides = splits.sides(points, labels.truths, seed, settings.split, calibrates)
    who = subjects(points, labels.truths)
    left_out["of accounts without a label"] = int((~who.known[points.account]).sum())
    _enough(points, who, sides)
    aucs, allowed = _alone(points, who, sides, settings, allow)
    few, part = _parts(points, who, labels, sides, settings, seed)
    part = None if calibrates else part
    booster, held = _held(points, who, sides, part, settings, seed, progress)
    progress(0.8, "calibration and thresholds")
    margins = predict_margins(booster, points.values)
    model, found = _model(booster, points, held, who, few, settings)
    told = {"notes": notes or {}, "tolerance": {o: t.tolerance for o, t in found.items()}}
    model = replace(
        model, name=name, seed=seed, training=told,
        training_digest=training_digest(points, labels, settings, notes or {}),
    )  # fmt: skip
    spreads = baseline.feature_baseline(
        points.names, points.values, margins, settings.baseline.bins
    )
    return Learned(
        model, settings, spreads, found, points, margins, who, sides, labels, aucs, allowed,
        left_out, few, *((0, ()) if part is None else _named(points, part, held, labels)),
    )  # fmt: skip


def _enough(points: Points, who: Subjects, sides: Sides) -> None:
    for side in ("fit", "calibrate"):
        rows = getattr(sides, side)(points)
        seen = np.unique(points.account[rows])
        for label, count in (
            ("abusive", int(who.abusive[seen].sum())), ("benign", int((~who.abusive[seen]).sum())),
        ):  # fmt: skip
            if count < 2:
                raise TrainingError(
                    f"of the accounts on the side `{side}` {count or 'none'} are {label}",
                    fix="give more runs or labels: an operator is on one side alone, so a label "
                        "needs three operators at least (see also --calibrate)",
                )  # fmt: skip


def _alone(
    points: Points, who: Subjects, sides: Sides, settings: Settings, allow: Sequence[str]
) -> tuple[dict[str, float], tuple[str, ...]]:
    held = np.flatnonzero(sides.calibrate(points) | sides.held(points))
    bare = replace(points, values=points.values[:, :0])
    sets = []
    for rows in (np.flatnonzero(sides.fit(points)), held):
        part = bare.where(rows)
        counted = sample_weights.weights(part, who.abusive, who.family, who.word, settings.weights)
        sets.append((rows, who.abusive[part.account], counted))
    aucs = leakage.alone(points, sets[0], sets[1])
    seen = np.unique(points.account[held])
    bad = int(who.abusive[seen].sum())
    passed = leakage.too_good(aucs, (len(seen) - bad, bad), settings.leaks, allow)
    return aucs, tuple(passed)


def _fitter(
    points: Points, who: Subjects, settings: Settings, seed: int, fits: int, progress: Progress
) -> Callable[[Bools, int], Any]:
    """Make trees of the points of a mask; the second argument says which of `fits` it is."""
    fit = settings.fit

    def fitted(rows: Bools, number: int) -> Any:
        part = points.where(rows & sample_weights.kept(points.place(), settings.weights))
        counted = sample_weights.weights(part, who.abusive, who.family, who.word, settings.weights)
        return fit_booster(
            sample_weights.shown(part, settings.coverage, seed),
            who.abusive[part.account].astype(np.uint8), counted,
            names=part.names, monotone=signs(part.names), seed=seed, rounds=fit.rounds,
            leaves=fit.leaves, rate=fit.rate, least=fit.least, ridge=fit.ridge,
            columns=fit.columns, rows=fit.rows,
            progress=lambda share: progress(0.1 + 0.7 * (number + share) / fits, "trees"),
        )  # fmt: skip

    return fitted


def _poorer(points: Points, rows: Bools, settings: Settings, seed: int) -> Floats:
    """The values of the points `rows`, each account as a poorer stream shows it."""
    every = msgspec.structs.replace(settings.coverage, share=1.0)
    return sample_weights.shown(points.where(rows), every, seed)


def _parts(
    points: Points, who: Subjects, labels: Labels, sides: Sides, settings: Settings, seed: int
) -> tuple[bool, Ints | None]:
    """Whether people are few, and the parts (accounts,) that are then held against each other."""
    benign = sides.calibrate(points) & ~who.abusive[points.account]
    if settings.few is None or not has_small_population(points, benign, settings):
        return False, None
    return True, splits.parts(points, labels.truths, seed, sides, settings.few.parts)


def _held(
    points: Points, who: Subjects, sides: Sides, part: Ints | None, settings: Settings, seed: int,
    progress: Progress,
) -> tuple[Any, Held]:  # fmt: skip
    """The trees, and what calibrates: one side, or each of the parts (accounts,) if there are."""
    bad = who.abusive[points.account]
    if part is None:
        booster = _fitter(points, who, settings, seed, 1, progress)(sides.fit(points), 0)
        rows = sides.calibrate(points)
        shown = _poorer(points, rows, settings, seed)
        return booster, assign_folds(booster, points, shown, rows, bad, wide)
    rows, count = np.asarray(part[points.account] >= 0), int(part.max()) + 1
    fit = _fitter(points, who, settings, seed, count + 1, progress)
    booster = fit(rows & ~sides.late, count)
    return booster, cross_fit(
        fit, points, _poorer(points, rows, settings, seed), part, sides.late, bad,
        from_booster(booster, name="plain").forest.blocks, wide,
    )  # fmt: skip


def _named(
    points: Points, part: Ints, held: Held, labels: Labels
) -> tuple[int, tuple[tuple[Key, float], ...]]:
    """How many parts; whom nobody spoke of and who is more likely abusive, were half of them so."""
    highest = np.full(len(points.accounts), -np.inf)
    np.maximum.at(highest, points.account[held.rows], held.margins)
    found = [
        (points.accounts[n], round(float(highest[n]), 3))
        for n in np.flatnonzero(highest > 0).tolist()
        if labels.truths[points.accounts[n]].source == ASSUMED
    ]
    return int(part.max()) + 1, tuple(sorted(found, key=lambda one: (-one[1], one[0])))


def _model(
    booster: Any, points: Points, held: Held, who: Subjects, few: bool, settings: Settings
) -> tuple[Model, dict[str, Threshold]]:
    own = points.where(held.rows)
    bad = who.abusive[own.account]
    weight = thresholds.at_prevalence(own, bad, settings.calibration.prevalence)
    counted = [len(np.unique(own.account[s])) for s in (~bad, bad)]
    benign = own.where(~bad)
    found = thresholds.thresholds(
        held.margins[~bad],
        benign.account,
        settings.tolerance,
        held.poorer[~bad],
        silent=is_silent(benign) if few else None,
    )
    # All that calibrate together may be enough where one side alone was not.
    shown = not has_small_population(own, ~bad, settings)
    trace = thresholds.cascade(
        held.partials, own.account[bad], found["observe"].at, settings.cascade.lost
    )
    # Rules take a score for a fact: where people are few it says no more than they show.
    beyond = -math.log1p(-settings.tolerance.confidence) if few else 0.5
    steps = thresholds.steps(held.margins, bad, weight, (counted[0], counted[1]), beyond)
    return replace(
        from_booster(booster, name="plain"), calibration=steps, cascade=trace,
        thresholds={outcome: t.at for outcome, t in found.items()},
        silent=None if shown or not settings.few else settings.few.most,
    ), found  # fmt: skip


def wide(points: Points) -> Floats:
    """Values in the catalog's columns, float64 (n, catalog); what is no input is missing."""
    values = np.full((len(points), len(FEATURES)), np.nan)
    values[:, [INDEX[name] for name in points.names]] = points.values
    return values


def training_digest(
    points: Points, labels: Labels, settings: Settings, notes: dict[str, Any]
) -> str:
    """SHA-256 of all that a model follows from: rows, accounts, labels, settings, notes."""
    seen = hashlib.sha256(repr((points.names, sorted(notes.items()))).encode())
    for array in (points.values, points.account, points.ts, points.kind, points.run):
        seen.update(np.ascontiguousarray(array).tobytes())
    for key in points.accounts:
        seen.update(repr((key, labels.truths.get(key))).encode())
    seen.update(settings.digested())
    return seen.hexdigest()
