"""How far a stream has moved from what a model was trained on, and whether its word still holds.

A feature's move is the population stability index of its scoring points against the model's
baseline; Siddiqi (Credit Risk Scorecards, 2006) calls 0.1 a shift and 0.25 a large one.

A checkup as people read it: what moved, whether the score's word holds, what to do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wavebreak import model as models
from wavebreak.evaluation import exact_interval, read_labels
from wavebreak.model import baseline
from wavebreak.reports.charts import Line, curves
from wavebreak.reports.tables import (
    Console,
    Table,
    count_of,
    html_figure,
    html_table,
    number,
    page,
    percent,
    print_lines,
    print_table,
    stamp,
)
from wavebreak.rules import Policy
from wavebreak.training import dataset
from wavebreak.training.dataset import Floats, Ints, Points
from wavebreak.training.trainer import wide

SHIFTED, MOVED = 0.1, 0.25
VERDICTS = ("steady", "shifted", "moved")
SLICES = 8
"""Stretches of equal length into which a log is cut to look at calibration in time."""
SCORE = "score"


@dataclass(frozen=True)
class FeatureDrift:
    """One feature (or the score): its index, what that is called, shares missing then and now."""

    name: str
    psi: float
    verdict: str
    missing_then: float
    missing_now: float


@dataclass(frozen=True)
class CalibrationInterval:
    """Calibration in one stretch of the log: labelled accounts with a point in it.

    `expected` abusive ones by their highest calibrated score there, brought to the share of
    abusive accounts in the whole log; `observed` by their labels.
    """

    start_ms: int
    accounts: int
    expected: float
    observed: int


@dataclass(frozen=True)
class DriftReport:
    """What `wavebreak doctor` found. `features` are in order of how far they moved."""

    model: str
    points: int
    accounts: int
    score: FeatureDrift
    features: list[FeatureDrift]
    calibration: list[CalibrationInterval]
    bins: dict[str, list[float]]

    @property
    def verdict(self) -> str:
        """The worse of what the score and its calibration say, in one word."""
        return self.score.verdict

    def as_json(self) -> dict[str, Any]:
        """Give the checkup as plain JSON values."""
        return asdict(self) | {"verdict": self.verdict}


def measure_drift(
    directory: Path, run: Path, policy: Policy, *, shifted: float = SHIFTED, moved: float = MOVED,
    progress: Callable[[float, int], None] = lambda _, __: None,
) -> DriftReport:  # fmt: skip
    """Replay a run and hold its scoring points against what a model was trained on.

    `directory` is the model's; `run` what `run -o` or `simulate -o` wrote, or a file of events.
    Labels are those beside the run, where there are any.
    """
    model, spreads = models.load(directory), baseline.load(directory)
    opened = dataset.open_run(run)
    points = dataset.replay(opened, policy, progress=progress).points
    # As in training: from the first restriction on, a replay in shadow shows what would not be.
    points = points.where(~points.acted())
    margins = model.margins(wide(points))

    def drift(name: str, values: Floats) -> FeatureDrift:
        then = spreads[name]
        index = baseline.psi(then, values)
        step = int(index >= shifted) + int(index >= moved)
        return FeatureDrift(
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
    return DriftReport(
        model.version, len(points), len(points.accounts), drift(SCORE, margins),
        sorted(features, key=lambda one: (-one.psi, one.name)), calibration, bins,
    )  # fmt: skip


def _known(run: dataset.Run, points: Points) -> Ints | None:
    """By account: 1 abusive, 0 benign, -1 not labelled; None where nothing is labelled."""
    if run.labels is None:
        return None
    said = {label.account: label.label == "abusive" for label in read_labels(run.labels)}
    known = [said.get(name, -1) for _, name in points.accounts]
    found = np.array(known, np.int64)
    return found if {0, 1} <= set(found.tolist()) else None


def _in_time(points: Points, chances: Floats, known: Ints) -> list[CalibrationInterval]:
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
                CalibrationInterval(
                    start, len(accounts), round(expected, 2), int((known[accounts] == 1).sum())
                )
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


def worst(features: Sequence[FeatureDrift], least: str = "shifted") -> list[FeatureDrift]:
    """The features that moved at least so far."""
    return [one for one in features if VERDICTS.index(one.verdict) >= VERDICTS.index(least)]


LISTED = 12
"""Features shown; the JSON holds all."""

_ADVICE = {
    "steady": "The score lies where it lay in training: nothing to do.",
    "shifted": "The score has shifted: look at the features below, and at false actions in a "
    "replay, before trusting its thresholds.",
    "moved": "The score has moved far: set the model to shadow, or train again on this stream "
    "(`wavebreak train`).",
}


def headline(found: DriftReport) -> list[str]:
    """Say in sentences how far the stream has moved."""
    moved = worst(found.features, "moved")
    lines = [
        f"{count_of(found.points, 'scoring point')} of {count_of(found.accounts, 'account')} "
        f"against the baseline of {found.model}: the score's index is "
        f"{number(found.score.psi, 3)} ({found.score.verdict}).",
        _ADVICE[found.verdict],
    ]
    gone = [d.name for d in found.features if d.missing_now > 0.999 and d.missing_then < 0.9]
    if gone:
        lines.append(
            f"{count_of(len(gone), 'feature')} that training saw are missing from this stream: "
            + ", ".join(gone[:6]) + ("…" if len(gone) > 6 else "") + "."
        )  # fmt: skip
    if moved:
        named = ", ".join(d.name for d in moved[:6]) + ("…" if len(moved) > 6 else "")
        lines.append(f"{count_of(len(moved), 'feature')} moved far: {named}.")
    return lines


def _features(found: DriftReport) -> Table:
    listed: list[FeatureDrift] = [found.score, *found.features[:LISTED]]
    return Table(
        "How far features moved",
        ("feature", "index", "verdict", "missing\nin training", "missing\nnow"),
        [
            (
                one.name, number(one.psi, 3), one.verdict, percent(one.missing_then),
                percent(one.missing_now),
            )
            for one in listed
        ],
        "Population stability index over scoring points: from 0.1 shifted, from 0.25 moved "
        "(Siddiqi 2006). The score stands first, then what moved most.",
        words=frozenset({0, 2}),
    )  # fmt: skip


def _calibration(found: DriftReport) -> Table:
    rows = []
    for one in found.calibration:
        low, high = exact_interval(one.observed, one.accounts)
        inside = low * one.accounts <= one.expected <= high * one.accounts
        rows.append((
            stamp(one.start_ms), number(one.accounts), number(one.expected), number(one.observed),
            "holds" if inside else ("says too little" if one.expected < one.observed
                                    else "says too much"),
        ))  # fmt: skip
    return Table(
        "Calibration in time",
        ("from (UTC)", "labelled", "abusive\nexpected", "abusive\nobserved", "the score"),
        rows,
        "Expected from the highest calibrated score of each labelled account in the stretch, "
        "brought to the share of abusive accounts in the whole log; the score holds where the "
        "observed count's 95 % interval (Clopper-Pearson) holds the expected one.",
        words=frozenset({0, 4}),
    )


def print_drift(found: DriftReport, console: Console) -> None:
    """Print a checkup: sentences and tables."""
    print_lines(headline(found), console)
    print_table(_features(found), console)
    if found.calibration:
        print_table(_calibration(found), console)


def write_drift(found: DriftReport, path: Path) -> None:
    """Write a checkup as one self-contained page; the same one gives the same bytes."""
    edges = found.bins["edges"]
    across = [float(k) for k in range(len(edges) + 1)]
    score = curves(
        "score", "Where scoring points lie, by the deciles of training",
        [
            Line("in training", across, found.bins["then"][:-1]),
            Line("now", across, found.bins["now"][:-1]),
        ],
        across="bin of the score in training, lowest first", up="share of scoring points",
        marks=True,
    )  # fmt: skip
    moved = html_figure(score, "Share of scoring points in each bin, in training and now.")
    sections = [("What moved", moved + html_table(_features(found)))]
    if found.calibration:
        hours = [(c.start_ms - found.calibration[0].start_ms) / 3.6e6 for c in found.calibration]
        drawn = curves(
            "held", "Abusive accounts, expected and observed",
            [
                Line("expected", hours, [c.expected for c in found.calibration]),
                Line("observed", hours, [float(c.observed) for c in found.calibration]),
            ],
            across="hours since the first scoring point", up="accounts", marks=True,
        )  # fmt: skip
        words = "Labelled accounts in each stretch of the log: abusive by the score, and by label."
        sections.append(("In time", html_figure(drawn, words) + html_table(_calibration(found))))
    path.write_text(page("Doctor", headline(found), sections), encoding="utf-8")
