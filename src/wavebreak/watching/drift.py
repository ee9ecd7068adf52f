"""How far a stream has moved from what a model was trained on, and whether its word still holds.

A feature's move is the population stability index of its scoring points against the model's
baseline; Siddiqi (Credit Risk Scorecards, 2006) calls 0.1 a shift and 0.25 a large one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wavebreak import model as models
from wavebreak.evaluation import read_labels
from wavebreak.rules import Policy
from wavebreak.training import baseline, gathering
from wavebreak.training.learning import wide
from wavebreak.training.points import Floats, Ints, Points

SHIFTED, MOVED = 0.1, 0.25
VERDICTS = ("steady", "shifted", "moved")
SLICES = 8
"""Stretches of equal length into which a log is cut to look at calibration in time."""
SCORE = "score"


@dataclass(frozen=True)
class Drift:
    """One feature (or the score): its index, what that is called, shares missing then and now."""

    name: str
    psi: float
    verdict: str
    missing_then: float
    missing_now: float


@dataclass(frozen=True)
class Stretch:
    """Calibration in one stretch of the log: labelled accounts with a point in it.

    `expected` abusive ones by their highest calibrated score there, brought to the share of
    abusive accounts in the whole log; `observed` by their labels.
    """

    start_ms: int
    accounts: int
    expected: float
    observed: int


@dataclass(frozen=True)
class Checkup:
    """What `wavebreak doctor` found. `features` are in order of how far they moved."""

    model: str
    points: int
    accounts: int
    score: Drift
    features: list[Drift]
    calibration: list[Stretch]
    bins: dict[str, list[float]]

    @property
    def verdict(self) -> str:
        """The worse of what the score and its calibration say, in one word."""
        return self.score.verdict

    def as_json(self) -> dict[str, Any]:
        """Give the checkup as plain JSON values."""
        return asdict(self) | {"verdict": self.verdict}


def examine(
    directory: Path, run: Path, policy: Policy, *, shifted: float = SHIFTED, moved: float = MOVED,
    progress: Callable[[float, int], None] = lambda _, __: None,
) -> Checkup:  # fmt: skip
    """Replay a run and hold its scoring points against what a model was trained on.

    `directory` is the model's; `run` what `run -o` or `simulate -o` wrote, or a file of events.
    Labels are those beside the run, where there are any.
    """
    model, spreads = models.load(directory), baseline.load(directory)
    opened = gathering.open_run(run)
    points = gathering.replay(opened, policy, progress=progress).points
    # As in training: from the first restriction on, a replay in shadow shows what would not be.
    points = points.where(~points.acted())
    margins = model.margins(wide(points))

    def drift(name: str, values: Floats) -> Drift:
        then = spreads[name]
        index = baseline.psi(then, values)
        step = int(index >= shifted) + int(index >= moved)
        return Drift(
            name, round(index, 4), VERDICTS[step], then.shares[-1], float(np.isnan(values).mean())
        )

    features = [
        drift(name, points.values[:, column])
        for column, name in enumerate(points.names)
        if name in spreads
    ]
    score = spreads[SCORE]
    bins = {"edges": list(score.edges), "then": list(score.shares),
            "now": [float(s) for s in baseline.shares(margins, score.edges)]}  # fmt: skip
    known = _known(opened, points)
    chances = model.calibration.probability(models.fixed(margins))
    calibration = [] if known is None else _in_time(points, chances, known)
    return Checkup(
        model.version, len(points), len(points.accounts), drift(SCORE, margins),
        sorted(features, key=lambda one: (-one.psi, one.name)), calibration, bins,
    )  # fmt: skip


def _known(run: gathering.Run, points: Points) -> Ints | None:
    """By account: 1 abusive, 0 benign, -1 not labelled; None where nothing is labelled."""
    if run.labels is None:
        return None
    said = {label.account: label.label == "abusive" for label in read_labels(run.labels)}
    known = [said.get(name, -1) for _, name in points.accounts]
    found = np.array(known, np.int64)
    return found if {0, 1} <= set(found.tolist()) else None


def _in_time(points: Points, chances: Floats, known: Ints) -> list[Stretch]:
    """Expected against observed abusive accounts, stretch by stretch."""
    begin, end = int(points.ts.min()), int(points.ts.max()) + 1
    slot = (points.ts - begin) * SLICES // (end - begin)
    made = []
    best = [_best(points, chances, known, slot == k) for k in range(SLICES)]
    whole = _best(points, chances, known, np.ones(len(points), np.bool_))
    shift = _shift(whole[1], float(np.mean(known[whole[0]] == 1)))
    for k, (accounts, chance) in enumerate(best):
        if len(accounts):
            start = begin + k * (end - begin) // SLICES
            expected = float(_moved(chance, shift).sum())
            made.append(
                Stretch(start, len(accounts), round(expected, 2), int((known[accounts] == 1).sum()))
            )
    return made


def _best(points: Points, chances: Floats, known: Ints, rows: Any) -> tuple[Ints, Floats]:
    """Labelled accounts with a point among `rows`, and the highest chance of each."""
    mine = rows & (known[points.account] >= 0)
    highest = np.full(len(points.accounts), -1.0)
    np.maximum.at(highest, points.account[mine], chances[mine])
    accounts = np.flatnonzero(highest >= 0)
    return accounts, highest[accounts]


def _moved(chances: Floats, shift: float) -> Floats:
    """Chances with their log-odds moved."""
    held = np.clip(chances, 1e-9, 1 - 1e-9)
    return np.asarray(1 / (1 + (1 - held) / held * np.exp(-shift)), np.float64)


def _shift(chances: Floats, share: float) -> float:
    """The shift of log-odds that brings the mean chance to a share: prevalence, not calibration."""
    low, high = -30.0, 30.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _moved(chances, middle).mean() < share else (low, middle)
    return (low + high) / 2


def worst(features: Sequence[Drift], least: str = "shifted") -> list[Drift]:
    """The features that moved at least so far."""
    return [one for one in features if VERDICTS.index(one.verdict) >= VERDICTS.index(least)]
