"""Evaluation of a model on held-out operators: recall, families and personas.

Accounts count once, at their highest score. Recall is given with its counts, and precision is
re-weighted to the stated prevalence.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.metrics import (
    average_precision_score,
    precision_recall_curve,
    roc_auc_score,
)

from wavebreak.evaluation.scoring_points import Bools, Floats
from wavebreak.model import to_fixed_point
from wavebreak_lab.training.splits import FIT, OUT, SPLITS
from wavebreak_lab.training.trainer import TrainingResult

FALSE_RATES = (0.001, 0.01)
MAX_CURVE_POINTS = 400
MIN_ABUSIVE_ACCOUNTS = 50
"""Abusive accounts from which on a measure is worth a headline."""
LATER = "other operators, later time"
HELD_OUT = "other operators, any time"


@dataclass(frozen=True)
class Recall:
    """Share of abusive accounts above the score that at most a share of the benign ones reaches.

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
    """Measures of a score against labels.

    `average_precision` is at the accounts' own share, `reweighted` at the stated prevalence.
    """

    auc: float
    average_precision: float
    reweighted: float
    recalls: tuple[Recall, ...]


@dataclass(frozen=True)
class GroupMetrics:
    """Accounts of one held-out family or persona, and those that reach each threshold."""

    name: str
    accounts: int
    points: int
    reached: dict[str, int]


@dataclass(frozen=True)
class ModelEvaluation:
    """Measures of a model on its test.

    Attributes:
        measured: Metrics by set of accounts.
        curve: Recall and precision of the held-out accounts; None where a label is absent.
        actions: By outcome, the abusive and benign accounts and points that reach its threshold.
        families: Abusive families, held out.
        personas: Benign personas, held out.
        splits: Accounts, operators and points of each side.
    """

    measured: dict[str, ScoreMetrics]
    curve: tuple[list[float], list[float]] | None
    actions: dict[str, dict[str, int]]
    families: list[GroupMetrics]
    personas: list[GroupMetrics]
    splits: dict[str, dict[str, int]]

    def headline(self) -> tuple[str, ScoreMetrics] | None:
        """Return the later time on held-out operators, or any time if few are abusive there.

        None where a label is absent.
        """
        for name in (LATER, HELD_OUT):
            metrics = self.measured.get(name)
            if metrics and (name == HELD_OUT or metrics.recalls[0].abusive >= MIN_ABUSIVE_ACCOUNTS):
                return name, metrics
        return None


def measure(score: Floats, abusive: Bools, prevalence: float) -> ScoreMetrics:
    """Measure a score of accounts, some of which are abusive and some benign."""
    weight = np.where(abusive, prevalence / abusive.sum(), (1 - prevalence) / (~abusive).sum())
    return ScoreMetrics(
        float(roc_auc_score(abusive, score)),
        float(average_precision_score(abusive, score)),
        float(average_precision_score(abusive, score, sample_weight=weight)),
        tuple(recall_at(score, abusive, rate, prevalence) for rate in FALSE_RATES),
    )


def recall_at(score: Floats, abusive: Bools, rate: float, prevalence: float) -> Recall:
    """Return the recall where at most the share `rate` of the benign ones is reached.

    >>> scores, abusive = np.arange(10.0), np.arange(10) >= 5
    >>> recall_at(scores, abusive, 0.2, 0.5).share
    1.0
    """
    benign = np.sort(score[~abusive])[::-1]
    max_false = int(rate * len(benign))
    threshold = benign[max_false] if max_false < len(benign) else -np.inf
    true_positives, false = int((score[abusive] > threshold).sum()), int((benign > threshold).sum())
    n = int(abusive.sum())
    right, wrong = prevalence * true_positives / n, (1 - prevalence) * max(false, 1) / len(benign)
    precision = right / (right + wrong) if true_positives else 0.0
    return Recall(rate, true_positives, n, false, len(benign), precision)


def evaluate_model(result: TrainingResult) -> ModelEvaluation:
    """Measure a model; empty measures where a side has accounts of one label alone."""
    points, margins, accounts = result.points, result.margins, result.accounts
    test = result.splits.held_out(points)
    prevalence = result.settings.calibration.prevalence
    evaluation: dict[str, ScoreMetrics] = {}
    curve = None
    for name, rows in ((LATER, result.splits.test(points)), (HELD_OUT, test)):
        highest = np.full(len(points.accounts), -np.inf)
        np.maximum.at(highest, points.account[rows], margins[rows])
        present = np.unique(points.account[rows])
        labels = accounts.abusive[present]
        if labels.any() and not labels.all():
            evaluation[name] = measure(highest[present], labels, prevalence)
            precision, recall, _ = precision_recall_curve(labels, highest[present])
            curve = _thin_curve(recall[::-1], precision[::-1])
    return ModelEvaluation(
        evaluation,
        curve,
        _count_actions(result, test),
        _group_metrics(result, test, accounts.family_names(True)),
        _group_metrics(result, test, accounts.family_names(False)),
        _count_splits(result),
    )


def _thin_curve(x: Floats, y: Floats) -> tuple[list[float], list[float]]:
    keep = np.unique(np.linspace(0, len(x) - 1, min(len(x), MAX_CURVE_POINTS)).astype(np.int64))
    return [round(float(v), 6) for v in x[keep]], [round(float(v), 6) for v in y[keep]]


def _group_metrics(result: TrainingResult, test: Bools, names: list[str]) -> list[GroupMetrics]:
    scores, account = to_fixed_point(result.margins), result.points.account
    groups, code = np.unique(np.array(names), return_inverse=True)
    metrics = []
    for number, name in enumerate(groups.tolist()):
        rows = test & (code[account] == number)
        if name and rows.any():
            reached_counts = {
                outcome: len(np.unique(account[rows & (scores >= t.margin)]))
                for outcome, t in result.thresholds.items()
            }
            members = len(np.unique(account[rows]))
            metrics.append(GroupMetrics(name, members, int(rows.sum()), reached_counts))
    return metrics


def _count_actions(result: TrainingResult, test: Bools) -> dict[str, dict[str, int]]:
    points, scores = result.points, to_fixed_point(result.margins)
    abusive = result.accounts.abusive[points.account]
    counts: dict[str, dict[str, int]] = {}
    for outcome, threshold in result.thresholds.items():
        is_above = test & (scores >= threshold.margin)
        counts[outcome] = {}
        for label, rows in (("abusive", is_above & abusive), ("benign", is_above & ~abusive)):
            counts[outcome][f"{label} points"] = int(rows.sum())
            counts[outcome][f"{label} accounts"] = len(np.unique(points.account[rows]))
    return counts


def _count_splits(result: TrainingResult) -> dict[str, dict[str, int]]:
    points, accounts, splits = result.points, result.accounts, result.splits
    is_present = np.zeros(len(points.accounts), bool)
    is_present[points.account] = True
    counts: dict[str, dict[str, int]] = {}
    for side in range(OUT + 1):
        members = is_present & (splits.account == side)
        keys = [points.accounts[n] for n in np.flatnonzero(members).tolist()]
        labels = [(world, result.labels.resolved.get((world, name))) for world, name in keys]
        operators = {(world, label.operator) for world, label in labels if label and label.operator}
        rows = members[points.account]
        counts[SPLITS[side]] = {
            "abusive accounts": int((members & accounts.abusive).sum()),
            "benign accounts": int((members & accounts.known & ~accounts.abusive).sum()),
            "operators": len(operators),
            "points": int(rows.sum()),
            "kept for later time": int((rows & splits.late).sum()) if side == FIT else 0,
        }
    return counts
