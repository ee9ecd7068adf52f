"""Evaluation of a model on held-out operators: curves, recall, families, personas, baselines.

Accounts count once, at their highest score. Recall is given with its counts, and precision is
re-weighted to the stated prevalence.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from sklearn.metrics import (
    average_precision_score,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from wavebreak.evaluation.scoring_points import Bools, Floats, Ints, Points, to_catalog_columns
from wavebreak.features.catalog import INDEX
from wavebreak.model import to_fixed_point
from wavebreak.schema.event_kinds import KINDS
from wavebreak_lab.training import leakage, sample_weights, thresholds
from wavebreak_lab.training.splits import FIT, OUT, SPLITS
from wavebreak_lab.training.thresholds import Threshold, reaches
from wavebreak_lab.training.trainer import TrainingResult

FALSE_RATES = (0.001, 0.01)
REGISTERED = KINDS.index("registered")
_CURVE = 400
_NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Recall:
    """Share of abusive accounts above the score that so many of the benign ones reach.

    `precision` is re-weighted to the stated prevalence.
    """

    rate: float
    caught: int
    abusive: int
    false: int
    benign: int
    precision: float

    @property
    def share(self) -> float:
        """Recall, from 0 to 1."""
        return self.caught / self.abusive


@dataclass(frozen=True)
class ScoreMetrics:
    """One score against labels.

    `average_precision` is at the accounts' own share, `reweighted` at the stated prevalence.
    """

    auc: float
    average_precision: float
    reweighted: float
    recalls: tuple[Recall, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain values, rounded to what the counts carry."""
        return {
            "auc": round(self.auc, 6),
            "average_precision": round(self.average_precision, 6),
            "average_precision_reweighted": round(self.reweighted, 6),
            "recalls": [asdict(r) | {"precision": round(r.precision, 6)} for r in self.recalls],
        }


@dataclass(frozen=True)
class GroupMetrics:
    """One family or persona of those held out: accounts that reach each threshold, and how soon.

    `reached` by outcome; `first` at their registration, both for a restriction; `point` the median
    place of the first point that reaches it (from 1), None where none does.
    """

    name: str
    accounts: int
    points: int
    reached: dict[str, int]
    first: int
    point: float | None


def highest_margins(margins: Floats, account: Ints) -> tuple[Floats, Ints]:
    """Each account's highest margin, and the accounts, in order."""
    known, inverse = np.unique(account, return_inverse=True)
    highest = np.full(len(known), -np.inf)
    np.maximum.at(highest, inverse, margins)
    return highest, known


def measure(score: Floats, bad: Bools, prevalence: float) -> ScoreMetrics:
    """Measure a score of accounts (or rows), both kinds of which there must be."""
    weight = np.where(bad, prevalence / bad.sum(), (1 - prevalence) / (~bad).sum())
    return ScoreMetrics(
        float(roc_auc_score(bad, score)),
        float(average_precision_score(bad, score)),
        float(average_precision_score(bad, score, sample_weight=weight)),
        tuple(recall_at(score, bad, rate, prevalence) for rate in FALSE_RATES),
    )


def recall_at(score: Floats, bad: Bools, rate: float, prevalence: float) -> Recall:
    """Recall where at most the share `rate` of the benign ones is reached.

    >>> scores, bad = np.arange(10.0), np.arange(10) >= 5
    >>> recall_at(scores, bad, 0.2, 0.5).share
    1.0
    """
    benign = np.sort(score[~bad])[::-1]
    most = int(rate * len(benign))
    at = benign[most] if most < len(benign) else -np.inf
    hit, false = int((score[bad] > at).sum()), int((benign > at).sum())
    n = int(bad.sum())
    right, wrong = prevalence * hit / n, (1 - prevalence) * max(false, 1) / len(benign)
    return Recall(rate, hit, n, false, len(benign), right / (right + wrong) if hit else 0.0)


def curves(score: Floats, bad: Bools) -> dict[str, tuple[list[float], list[float]]]:
    """The ROC curve (false share, recall) and the PR curve (recall, precision), thinned."""
    false, true, _ = roc_curve(bad, score)
    precision, recall, _ = precision_recall_curve(bad, score)
    return {"roc": _thin_curve(false, true), "pr": _thin_curve(recall[::-1], precision[::-1])}


def _thin_curve(x: Floats, y: Floats) -> tuple[list[float], list[float]]:
    keep = np.unique(np.linspace(0, len(x) - 1, min(len(x), _CURVE)).astype(np.int64))
    return [round(float(v), 6) for v in x[keep]], [round(float(v), 6) for v in y[keep]]


def reliability(
    probability: Floats, bad: Bools, weight: Floats, bins: int = 12
) -> list[tuple[float, float, float]]:
    """Predicted and observed share in bins that hold alike many abusive points: (said, was, mass).

    Weights give the prevalence at which probabilities are stated.
    """
    order = np.argsort(probability, kind="stable")
    mass = np.cumsum(weight[order] * bad[order])
    cut = np.searchsorted(mass, np.linspace(0, 1, bins + 1)[1:-1] * mass[-1]) if len(mass) else []
    made = []
    for rows in np.split(order, np.unique(cut)):
        total = weight[rows].sum()
        if total > 0:
            said = float((weight[rows] * probability[rows]).sum() / total)
            made.append((said, float((weight[rows] * bad[rows]).sum() / total), float(total)))
    return made


def group_metrics(
    points: Points, margins: Floats, names: list[str], thresholds: dict[str, Threshold]
) -> list[GroupMetrics]:
    """Families or personas by name: `names` (accounts,) gives each account's, "" none."""
    at_restrict = reaches(margins, thresholds["restrict"].at)
    known, code = np.unique(np.array(names), return_inverse=True)
    place, code_of = points.ordinals(), code[points.account]
    made = []
    for number, name in enumerate(known.tolist()):
        rows = code_of == number
        if not name or not rows.any():
            continue
        mine, own = points.account[rows], margins[rows]
        hit = rows & at_restrict
        first = np.full(len(points.accounts), _NEVER)
        np.minimum.at(first, points.account[hit], place[hit])
        places = first[first < _NEVER]
        made.append(
            GroupMetrics(
                name,
                len(np.unique(mine)),
                int(rows.sum()),
                {o: len(np.unique(mine[reaches(own, t.at)])) for o, t in thresholds.items()},
                len(np.unique(points.account[hit & (points.kind == REGISTERED)])),
                float(np.median(places)) + 1 if len(places) else None,
            )
        )
    return made


COUNT_FEATURE = "sends_1d"
"""The baseline that only counts: messages a day."""

_MESSAGES = {"message.sent", "message.sent.size", "message.sent.media"}
_TYPING = {"typing.started"}


@dataclass(frozen=True)
class ModelEvaluation:
    """Measures of a model on its test.

    `measured` by the set and unit it was measured on; `simple` the baselines on held-out accounts;
    `masked` by what the stream lacks; `curves` of the accounts held out, the model's and the
    baselines'; `reliability` rows of (said, was, mass); `actions` by outcome: abusive and benign
    accounts and points that reach its threshold; `splits` counts accounts, operators and points.
    """

    measured: dict[str, ScoreMetrics]
    baselines: dict[str, ScoreMetrics]
    masked: dict[str, ScoreMetrics]
    curves: dict[str, dict[str, tuple[list[float], list[float]]]]
    reliability: list[tuple[float, float, float]]
    actions: dict[str, dict[str, int]]
    families: list[GroupMetrics]
    personas: list[GroupMetrics]
    splits: dict[str, dict[str, int]]
    gains: dict[str, float] = field(default_factory=dict)

    def headline(self) -> tuple[str, ScoreMetrics] | None:
        """The later time on held-out operators, or any time where that has few abusive accounts.

        None where a label is not there at all.
        """
        for name in (LATER, HELD_OUT):
            found = self.measured.get(name)
            if found and (name == HELD_OUT or found.recalls[0].abusive >= MIN_ABUSIVE_ACCOUNTS):
                return name, found
        return None


MIN_ABUSIVE_ACCOUNTS = 50
"""Abusive accounts from which on a measure is worth a headline."""
LATER = "other operators, later time"
HELD_OUT = "other operators, any time"
POINTS = "scoring points of other operators"


def evaluate_model(learned: TrainingResult) -> ModelEvaluation:
    """Measure a learned model. Empty measures where a side has accounts of one label alone."""
    points, margins, labelled = learned.points, learned.margins, learned.subjects
    held, late = learned.splits.held_out(points), learned.splits.test(points)
    prevalence = learned.settings.calibration.prevalence
    bad = labelled.abusive[points.account]
    measured: dict[str, ScoreMetrics] = {}
    for name, rows in ((LATER, late), (HELD_OUT, held)):
        score, known = highest_margins(margins[rows], points.account[rows])
        _add_metrics(measured, name, score, labelled.abusive[known], prevalence)
    _add_metrics(measured, POINTS, margins[held], bad[held], prevalence)
    simple, scores = _baselines(learned, held)
    own, known = highest_margins(margins[held], points.account[held])
    lines = {"model": own} | scores
    part = points.select(held)
    weight = thresholds.prevalence_weights(part, bad[held], prevalence)
    said = learned.model.calibration.probability(to_fixed_point(margins[held]))
    return ModelEvaluation(
        measured,
        simple,
        _with_missing_fields(learned, held),
        {n: curves(s, labelled.abusive[known]) for n, s in lines.items()} if simple else {},
        reliability(said, bad[held], weight) if bad[held].any() else [],
        _actions(learned, held),
        group_metrics(part, margins[held], labelled.family_names(True), learned.thresholds),
        group_metrics(part, margins[held], labelled.family_names(False), learned.thresholds),
        _count_splits(learned),
        learned.model.forest.gains(),
    )


def _add_metrics(
    into: dict[str, ScoreMetrics], name: str, score: Floats, bad: Bools, prevalence: float
) -> None:
    if bad.any() and not bad.all():
        into[name] = measure(score, bad, prevalence)


def _baselines(
    learned: TrainingResult, held: Bools
) -> tuple[dict[str, ScoreMetrics], dict[str, Floats]]:
    """Counting alone, and the best single feature of those that calibration saw."""
    points, labelled = learned.points, learned.subjects
    fit = points.select(learned.splits.fit(points))
    counted = sample_weights.point_weights(
        fit, labelled.abusive, labelled.family, labelled.label_weight, learned.settings.weights
    )
    simple: dict[str, ScoreMetrics] = {}
    scores: dict[str, Floats] = {}
    for title, name in (
        (f"counting alone ({COUNT_FEATURE})", COUNT_FEATURE),
        ("one feature ({})", next(iter(learned.aucs))),
    ):
        column, title = points.names.index(name), title.format(name)
        score = leakage.target_encode(
            fit.values[:, column],
            labelled.abusive[fit.account],
            counted,
            points.values[held, column],
        )
        top, known = highest_margins(score, points.account[held])
        _add_metrics(
            simple, title, top, labelled.abusive[known], learned.settings.calibration.prevalence
        )
        if title in simple:
            scores[title] = top
    return simple, scores


def _with_missing_fields(learned: TrainingResult, held: Bools) -> dict[str, ScoreMetrics]:
    """The same accounts, as a stream without typing and one of bare messages show them."""
    points, labelled = learned.points.select(held), learned.subjects
    everything = set(sample_weights.SOURCES)
    made: dict[str, ScoreMetrics] = {}
    for name, carried, step in (
        ("no typing", everything - _TYPING, 1),
        ("no registrations", {s for s in everything if "registered" not in s}, 1),
        ("no reports or blocks", {s for s in everything if not s.startswith("user.")}, 1),
        ("messages alone, to the second", _MESSAGES, 1000),
    ):
        values = to_catalog_columns(points)
        lost = sample_weights.missing_features(points.names, carried, step)
        at = np.array([INDEX[n] for n in points.names])[lost]
        values[:, at] = np.nan
        score, known = highest_margins(learned.model.margins(values), points.account)
        _add_metrics(
            made, name, score, labelled.abusive[known], learned.settings.calibration.prevalence
        )
    return made


def _actions(learned: TrainingResult, held: Bools) -> dict[str, dict[str, int]]:
    points, bad = learned.points, learned.subjects.abusive[learned.points.account]
    scores, made = to_fixed_point(learned.margins), {}
    for outcome, threshold in learned.thresholds.items():
        above = held & (scores >= threshold.at)
        made[outcome] = {
            "abusive points": int((above & bad).sum()),
            "abusive accounts": len(np.unique(points.account[above & bad])),
            "benign points": int((above & ~bad).sum()),
            "benign accounts": len(np.unique(points.account[above & ~bad])),
        }
    return made


def _count_splits(learned: TrainingResult) -> dict[str, dict[str, int]]:
    """Accounts, operators and points on each side."""
    points, labelled, splits = learned.points, learned.subjects, learned.splits
    seen = np.zeros(len(points.accounts), bool)
    seen[points.account] = True
    made: dict[str, dict[str, int]] = {}
    for side in range(OUT + 1):
        mine = seen & (splits.account == side)
        resolved = [
            learned.labels.resolved.get(points.accounts[n]) for n in np.flatnonzero(mine).tolist()
        ]
        operators: Counter[tuple[str, str]] = Counter(
            (points.accounts[n][0], t.operator)
            for n, t in zip(np.flatnonzero(mine).tolist(), resolved, strict=True)
            if t and t.operator
        )
        rows = mine[points.account]
        made[SPLITS[side]] = {
            "abusive accounts": int((mine & labelled.abusive).sum()),
            "benign accounts": int((mine & labelled.known & ~labelled.abusive).sum()),
            "operators": len(operators),
            "points": int(rows.sum()),
            "kept for later time": int((rows & splits.late).sum()) if side == FIT else 0,
        }
    return made


def as_json(learned: TrainingResult, tested: ModelEvaluation) -> dict[str, Any]:
    """What the command prints and the card shows, as plain values."""
    made: dict[str, Any] = {
        "measured": {name: m.as_json() for name, m in tested.measured.items()},
        "baselines": {name: m.as_json() for name, m in tested.baselines.items()},
        "masked streams": {name: m.as_json() for name, m in tested.masked.items()},
        "actions": tested.actions,
        "splits": tested.splits,
        "left out": learned.left_out,
    }
    if learned.small_population:
        made["few people"] = {
            "parts": learned.folds,
            "suspected": len(learned.suspected),
            "silent": learned.model.silent,
        }
    return made
