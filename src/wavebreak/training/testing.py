"""What a learned model does on operators that it never saw, beside simple baselines."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from wavebreak.features.catalog import INDEX
from wavebreak.model import fixed
from wavebreak.training import calibrating, leaks, measuring, weighing
from wavebreak.training.learning import Learned, wide
from wavebreak.training.measuring import Group, Measured
from wavebreak.training.points import Bools, Floats
from wavebreak.training.splitting import FIT, OUT, SIDES

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
        score, known = measuring.best(margins[rows], points.account[rows])
        _put(measured, name, score, who.abusive[known], prevalence)
    _put(measured, POINTS, margins[held], bad[held], prevalence)
    simple, scores = _simple(learned, held)
    own, known = measuring.best(margins[held], points.account[held])
    lines = {"model": own} | scores
    part = points.where(held)
    weight = calibrating.at_prevalence(part, bad[held], prevalence)
    said = learned.model.calibration.probability(fixed(margins[held]))
    return Tested(
        measured, simple, _poorer(learned, held),
        {n: measuring.curves(s, who.abusive[known]) for n, s in lines.items()} if simple else {},
        measuring.reliability(said, bad[held], weight) if bad[held].any() else [],
        _actions(learned, held),
        measuring.groups(part, margins[held], who.named(True), learned.thresholds),
        measuring.groups(part, margins[held], who.named(False), learned.thresholds),
        _counted(learned), learned.model.forest.gains(),
    )  # fmt: skip


def _put(
    into: dict[str, Measured], name: str, score: Floats, bad: Bools, prevalence: float
) -> None:
    if bad.any() and not bad.all():
        into[name] = measuring.measure(score, bad, prevalence)


def _simple(learned: Learned, held: Bools) -> tuple[dict[str, Measured], dict[str, Floats]]:
    """Counting alone, and the best single feature of those that calibration saw."""
    points, who = learned.points, learned.subjects
    fit = points.where(learned.sides.fit(points))
    counted = weighing.weights(fit, who.abusive, who.family, who.word, learned.settings.weights)
    simple: dict[str, Measured] = {}
    scores: dict[str, Floats] = {}
    for title, name in (
        (f"counting alone ({COUNT})", COUNT), ("one feature ({})", next(iter(learned.aucs))),
    ):  # fmt: skip
        column, title = points.names.index(name), title.format(name)
        score = leaks.encoded(
            fit.values[:, column], who.abusive[fit.account], counted, points.values[held, column]
        )
        top, known = measuring.best(score, points.account[held])
        _put(simple, title, top, who.abusive[known], learned.settings.calibration.prevalence)
        if title in simple:
            scores[title] = top
    return simple, scores


def _poorer(learned: Learned, held: Bools) -> dict[str, Measured]:
    """The same accounts, as a stream without typing and one of bare messages show them."""
    points, who = learned.points.where(held), learned.subjects
    everything = set(weighing.SOURCES)
    made: dict[str, Measured] = {}
    for name, carried, step in (
        ("no typing", everything - _TYPING, 1),
        ("no registrations", {s for s in everything if "registered" not in s}, 1),
        ("no reports or blocks", {s for s in everything if not s.startswith("user.")}, 1),
        ("messages alone, to the second", _MESSAGES, 1000),
    ):
        values = wide(points)
        lost = weighing.lacking(points.names, carried, step)
        at = np.array([INDEX[n] for n in points.names])[lost]
        values[:, at] = np.nan
        score, known = measuring.best(learned.model.margins(values), points.account)
        _put(made, name, score, who.abusive[known], learned.settings.calibration.prevalence)
    return made


def _actions(learned: Learned, held: Bools) -> dict[str, dict[str, int]]:
    points, bad = learned.points, learned.subjects.abusive[learned.points.account]
    scores, made = fixed(learned.margins), {}
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
