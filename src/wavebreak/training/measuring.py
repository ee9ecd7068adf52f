"""How well a score tells accounts apart: curves, recall at few false ones, by family and persona.

Protocol of the data README: accounts count once, at their highest score; recall with its counts;
precision re-weighted to the stated prevalence.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from sklearn.metrics import (
    average_precision_score,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from wavebreak.features.catalog import KINDS
from wavebreak.training.points import Bools, Floats, Ints, Points
from wavebreak.training.tolerating import Threshold, caught

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
class Measured:
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
class Group:
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


def best(margins: Floats, account: Ints) -> tuple[Floats, Ints]:
    """Each account's highest margin, and the accounts, in order."""
    known, inverse = np.unique(account, return_inverse=True)
    highest = np.full(len(known), -np.inf)
    np.maximum.at(highest, inverse, margins)
    return highest, known


def measure(score: Floats, bad: Bools, prevalence: float) -> Measured:
    """Measure a score of accounts (or rows), both kinds of which there must be."""
    weight = np.where(bad, prevalence / bad.sum(), (1 - prevalence) / (~bad).sum())
    return Measured(
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
    return {"roc": _thin(false, true), "pr": _thin(recall[::-1], precision[::-1])}


def _thin(x: Floats, y: Floats) -> tuple[list[float], list[float]]:
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


def groups(
    points: Points, margins: Floats, names: list[str], thresholds: dict[str, Threshold]
) -> list[Group]:
    """Families or personas by name: `names` (accounts,) gives each account's, "" none."""
    at_restrict = caught(margins, thresholds["restrict"].at)
    known, code = np.unique(np.array(names), return_inverse=True)
    place, code_of = points.place(), code[points.account]
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
        made.append(Group(
            name, len(np.unique(mine)), int(rows.sum()),
            {o: len(np.unique(mine[caught(own, t.at)])) for o, t in thresholds.items()},
            len(np.unique(points.account[hit & (points.kind == REGISTERED)])),
            float(np.median(places)) + 1 if len(places) else None,
        ))  # fmt: skip
    return made
