"""How well a score tells accounts apart: curves, recall at few false ones, by family and persona.

Protocol of the data README: accounts count once, at their highest score; recall with its counts;
precision re-weighted to the stated prevalence.

What a learned model does on operators that it never saw, beside simple baselines.
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

from wavebreak.features.catalog import INDEX
from wavebreak.features.fact_kinds import KINDS
from wavebreak.model import to_fixed_point
from wavebreak.training import leakage, sample_weights, thresholds
from wavebreak.training.dataset import Bools, Floats, Ints, Points
from wavebreak.training.splits import FIT, OUT, SIDES
from wavebreak.training.thresholds import Threshold, caught
from wavebreak.training.trainer import Learned, wide

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


COUNT = "sends_1d"
"""The baseline that only counts: messages a day."""

_MESSAGES = {"message.sent", "message.sent.size", "message.sent.media"}
_TYPING = {"typing.started"}


@dataclass(frozen=True)
class Tested:
    """Measures of a model on its test.

    `measured` by the set and unit it was measured on; `simple` the baselines on held-out accounts;
    `poorer` by what the stream lacks; `curves` of the accounts held out, the model's and the
    baselines'; `reliability` rows of (said, was, mass); `actions` by outcome: abusive and benign
    accounts and points that reach its threshold; `sides` counts accounts, operators and points.
    """

    measured: dict[str, Measured]
    simple: dict[str, Measured]
    poorer: dict[str, Measured]
    curves: dict[str, dict[str, tuple[list[float], list[float]]]]
    reliability: list[tuple[float, float, float]]
    actions: dict[str, dict[str, int]]
    families: list[Group]
    personas: list[Group]
    sides: dict[str, dict[str, int]]
    gains: dict[str, float] = field(default_factory=dict)

    def headline(self) -> tuple[str, Measured] | None:
        """The later time on held-out operators, or any time where that has few abusive accounts.

        None where a label is not there at all.
        """
        for name in (LATER, HELD):
            found = self.measured.get(name)
            if found and (name == HELD or found.recalls[0].abusive >= ENOUGH):
                return name, found
        return None


ENOUGH = 50
"""Abusive accounts from which on a measure is worth a headline."""
LATER = "other operators, later time"
HELD = "other operators, any time"
POINTS = "scoring points of other operators"


def tested(learned: Learned) -> Tested:
    """Measure a learned model. Empty measures where a side has accounts of one label alone."""
    points, margins, who = learned.points, learned.margins, learned.subjects
    held, late = learned.sides.held(points), learned.sides.test(points)
    prevalence = learned.settings.calibration.prevalence
    bad = who.abusive[points.account]
    measured: dict[str, Measured] = {}
    for name, rows in ((LATER, late), (HELD, held)):
        score, known = best(margins[rows], points.account[rows])
        _put(measured, name, score, who.abusive[known], prevalence)
    _put(measured, POINTS, margins[held], bad[held], prevalence)
    simple, scores = _simple(learned, held)
    own, known = best(margins[held], points.account[held])
    lines = {"model": own} | scores
    part = points.where(held)
    weight = thresholds.at_prevalence(part, bad[held], prevalence)
    said = learned.model.calibration.probability(to_fixed_point(margins[held]))
    return Tested(
        measured, simple, _poorer(learned, held),
        {n: curves(s, who.abusive[known]) for n, s in lines.items()} if simple else {},
        reliability(said, bad[held], weight) if bad[held].any() else [],
        _actions(learned, held),
        groups(part, margins[held], who.named(True), learned.thresholds),
        groups(part, margins[held], who.named(False), learned.thresholds),
        _counted(learned), learned.model.forest.gains(),
    )  # fmt: skip


def _put(
    into: dict[str, Measured], name: str, score: Floats, bad: Bools, prevalence: float
) -> None:
    if bad.any() and not bad.all():
        into[name] = measure(score, bad, prevalence)


def _simple(learned: Learned, held: Bools) -> tuple[dict[str, Measured], dict[str, Floats]]:
    """Counting alone, and the best single feature of those that calibration saw."""
    points, who = learned.points, learned.subjects
    fit = points.where(learned.sides.fit(points))
    counted = sample_weights.weights(
        fit, who.abusive, who.family, who.word, learned.settings.weights
    )
    simple: dict[str, Measured] = {}
    scores: dict[str, Floats] = {}
    for title, name in (
        (f"counting alone ({COUNT})", COUNT), ("one feature ({})", next(iter(learned.aucs))),
    ):  # fmt: skip
        column, title = points.names.index(name), title.format(name)
        score = leakage.encoded(
            fit.values[:, column], who.abusive[fit.account], counted, points.values[held, column]
        )
        top, known = best(score, points.account[held])
        _put(simple, title, top, who.abusive[known], learned.settings.calibration.prevalence)
        if title in simple:
            scores[title] = top
    return simple, scores


def _poorer(learned: Learned, held: Bools) -> dict[str, Measured]:
    """The same accounts, as a stream without typing and one of bare messages show them."""
    points, who = learned.points.where(held), learned.subjects
    everything = set(sample_weights.SOURCES)
    made: dict[str, Measured] = {}
    for name, carried, step in (
        ("no typing", everything - _TYPING, 1),
        ("no registrations", {s for s in everything if "registered" not in s}, 1),
        ("no reports or blocks", {s for s in everything if not s.startswith("user.")}, 1),
        ("messages alone, to the second", _MESSAGES, 1000),
    ):
        values = wide(points)
        lost = sample_weights.lacking(points.names, carried, step)
        at = np.array([INDEX[n] for n in points.names])[lost]
        values[:, at] = np.nan
        score, known = best(learned.model.margins(values), points.account)
        _put(made, name, score, who.abusive[known], learned.settings.calibration.prevalence)
    return made


def _actions(learned: Learned, held: Bools) -> dict[str, dict[str, int]]:
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


def _counted(learned: Learned) -> dict[str, dict[str, int]]:
    """Accounts, operators and points on each side."""
    points, who, sides = learned.points, learned.subjects, learned.sides
    seen = np.zeros(len(points.accounts), bool)
    seen[points.account] = True
    made: dict[str, dict[str, int]] = {}
    for side in range(OUT + 1):
        mine = seen & (sides.account == side)
        truths = [
            learned.labels.truths.get(points.accounts[n]) for n in np.flatnonzero(mine).tolist()
        ]
        operators: Counter[tuple[str, str]] = Counter(
            (points.accounts[n][0], t.operator)
            for n, t in zip(np.flatnonzero(mine).tolist(), truths, strict=True)
            if t and t.operator
        )
        rows = mine[points.account]
        made[SIDES[side]] = {
            "abusive accounts": int((mine & who.abusive).sum()),
            "benign accounts": int((mine & who.known & ~who.abusive).sum()),
            "operators": len(operators),
            "points": int(rows.sum()),
            "kept for later time": int((rows & sides.late).sum()) if side == FIT else 0,
        }
    return made


def as_json(learned: Learned, tested: Tested) -> dict[str, Any]:
    """What the command prints and the card shows, as plain values."""
    made: dict[str, Any] = {
        "measured": {name: m.as_json() for name, m in tested.measured.items()},
        "baselines": {name: m.as_json() for name, m in tested.simple.items()},
        "poorer streams": {name: m.as_json() for name, m in tested.poorer.items()},
        "actions": tested.actions,
        "sides": tested.sides,
        "left out": learned.left_out,
    }
    if learned.few:
        made["few people"] = {
            "parts": learned.parts, "doubted": len(learned.doubted), "silent": learned.model.silent,
        }  # fmt: skip
    return made
