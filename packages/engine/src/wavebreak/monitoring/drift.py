"""Drift of a stream from a model's training data: features, score and calibration.

The drift of a feature is the population stability index of its scoring points against the model's
baseline. Siddiqi (Credit Risk Scorecards, 2006) calls 0.1 a shift and 0.25 a large one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wavebreak import model as models
from wavebreak.evaluation import exact_interval, read_labels, scoring_points
from wavebreak.evaluation.scoring_points import Floats, Ints, Points, to_catalog_columns
from wavebreak.model import baseline
from wavebreak.reports.charts import Curves, Line
from wavebreak.reports.report import Report, Section
from wavebreak.reports.tables import Table, count_of, number, percent, stamp
from wavebreak.rules import Policy

SHIFTED, MOVED = 0.1, 0.25
VERDICTS = ("steady", "shifted", "moved")
SLICES = 8
"""Intervals of equal length into which a log is split to measure calibration over time."""
SCORE = "score"


@dataclass(frozen=True)
class FeatureDrift:
    """Drift of one feature or the score: index, verdict, shares missing in training and now."""

    name: str
    psi: float
    verdict: str
    missing_then: float
    missing_now: float


@dataclass(frozen=True)
class CalibrationInterval:
    """Calibration in one interval of the log, over labelled accounts with a scoring point in it.

    Attributes:
        accounts: Labelled accounts.
        expected: Abusive accounts expected from their highest calibrated scores, adjusted to the
            share of abusive accounts in the whole log.
        observed: Abusive accounts by label.
    """

    start_ms: int
    accounts: int
    expected: float
    observed: int


@dataclass(frozen=True)
class DriftReport:
    """The result of `wavebreak drift`; `features` are sorted by drift, largest first."""

    model: str
    points: int
    accounts: int
    score: FeatureDrift
    features: list[FeatureDrift]
    calibration: list[CalibrationInterval]
    bins: dict[str, list[float]]

    @property
    def verdict(self) -> str:
        """The verdict on the score: steady, shifted or moved."""
        return self.score.verdict

    def as_json(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        return asdict(self) | {"verdict": self.verdict}


def measure_drift(
    directory: Path,
    run: Path,
    policy: Policy,
    *,
    shifted: float = SHIFTED,
    moved: float = MOVED,
    progress: Callable[[float, int], None] = lambda _, __: None,
) -> DriftReport:
    """Replay a run, and compare its scoring points with a model's training data.

    Args:
        directory: The model's directory.
        run: What `run -o` or `simulate -o` wrote, or a file of events. Labels beside it are used
            where there are any.
        policy: The policy of the replay.
        shifted: Index from which a feature has shifted.
        moved: Index from which a feature has moved.
        progress: Called with the completed share and the number of events read.
    """
    model, spreads = models.load(directory), baseline.load(directory)
    opened = scoring_points.open_run(run)
    points = scoring_points.replay(opened, policy, progress=progress).points
    # As in training: after the first restriction, a shadow replay contains events that
    # enforcement would have prevented.
    points = points.select(~points.after_action())
    margins = model.margins(to_catalog_columns(points))

    def drift(name: str, values: Floats) -> FeatureDrift:
        then = spreads[name]
        index = baseline.population_stability_index(then, values)
        verdict = int(index >= shifted) + int(index >= moved)
        return FeatureDrift(
            name,
            round(index, 4),
            VERDICTS[verdict],
            then.shares[-1],
            float(np.isnan(values).mean()),
        )

    features = [
        drift(name, points.values[:, column])
        for column, name in enumerate(points.names)
        if name in spreads
    ]
    score = spreads[SCORE]
    bins = {
        "edges": list(score.edges),
        "then": list(score.shares),
        "now": [float(s) for s in baseline.bin_shares(margins, score.edges)],
    }
    known = _label_codes(opened, points)
    chances = model.calibration.probability(models.to_fixed_point(margins))
    calibration = [] if known is None else _calibration_over_time(points, chances, known)
    return DriftReport(
        model.version,
        len(points),
        len(points.accounts),
        drift(SCORE, margins),
        sorted(features, key=lambda one: (-one.psi, one.name)),
        calibration,
        bins,
    )


def _label_codes(run: scoring_points.Run, points: Points) -> Ints | None:
    """Return by account: 1 abusive, 0 benign, -1 unlabelled; None where one label is missing."""
    if run.labels is None:
        return None
    abusive = {label.account: label.label == "abusive" for label in read_labels(run.labels)}
    known = [abusive.get(name, -1) for _, name in points.accounts]
    codes = np.array(known, np.int64)
    return codes if {0, 1} <= set(codes.tolist()) else None


def _calibration_over_time(
    points: Points, chances: Floats, known: Ints
) -> list[CalibrationInterval]:
    """Return expected and observed abusive accounts, interval by interval."""
    begin, end = int(points.ts.min()), int(points.ts.max()) + 1
    slot = (points.ts - begin) * SLICES // (end - begin)
    intervals = []
    best = [_highest_chances(points, chances, known, slot == k) for k in range(SLICES)]
    whole = _highest_chances(points, chances, known, np.ones(len(points), np.bool_))
    shift = _prevalence_shift(whole[1], float(np.mean(known[whole[0]] == 1)))
    for k, (accounts, chance) in enumerate(best):
        if len(accounts):
            start = begin + k * (end - begin) // SLICES
            expected = float(_shift_log_odds(chance, shift).sum())
            intervals.append(
                CalibrationInterval(
                    start, len(accounts), round(expected, 2), int((known[accounts] == 1).sum())
                )
            )
    return intervals


def _highest_chances(
    points: Points, chances: Floats, known: Ints, rows: Any
) -> tuple[Ints, Floats]:
    """Return the labelled accounts with a point among `rows`, and the highest chance of each."""
    mine = rows & (known[points.account] >= 0)
    highest = np.full(len(points.accounts), -1.0)
    np.maximum.at(highest, points.account[mine], chances[mine])
    accounts = np.flatnonzero(highest >= 0)
    return accounts, highest[accounts]


def _shift_log_odds(chances: Floats, shift: float) -> Floats:
    """Return chances with their log-odds shifted."""
    clipped = np.clip(chances, 1e-9, 1 - 1e-9)
    return np.asarray(1 / (1 + (1 - clipped) / clipped * np.exp(-shift)), np.float64)


def _prevalence_shift(chances: Floats, share: float) -> float:
    """Return the shift of log-odds that makes the mean chance equal a share (prior correction)."""
    low, high = -30.0, 30.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (
            (middle, high) if _shift_log_odds(chances, middle).mean() < share else (low, middle)
        )
    return (low + high) / 2


def worst(features: Sequence[FeatureDrift], least: str = "shifted") -> list[FeatureDrift]:
    """Return the features with at least this verdict."""
    return [one for one in features if VERDICTS.index(one.verdict) >= VERDICTS.index(least)]


LISTED = 12
"""Features in the table; the JSON has all."""

_ADVICE = {
    "steady": "The score is distributed as in training: nothing to do.",
    "shifted": "The score has shifted: check the features below, and false actions in a replay, "
    "before you rely on its thresholds.",
    "moved": "The score has moved: set the model to shadow mode, or train again on this stream "
    "(`wavebreak train`).",
}


def headline(report: DriftReport) -> list[str]:
    """Describe in sentences how far the stream has drifted."""
    moved = worst(report.features, "moved")
    lines = [
        f"{count_of(report.points, 'scoring point')} of {count_of(report.accounts, 'account')} "
        f"against the baseline of {report.model}: the score's index is "
        f"{number(report.score.psi, 3)} ({report.score.verdict}).",
        _ADVICE[report.verdict],
    ]
    gone = [d.name for d in report.features if d.missing_now > 0.999 and d.missing_then < 0.9]
    if gone:
        lines.append(
            f"{count_of(len(gone), 'feature')} of the training data are missing from this stream: "
            + ", ".join(gone[:6])
            + ("…" if len(gone) > 6 else "")
            + "."
        )
    if moved:
        named = ", ".join(d.name for d in moved[:6]) + ("…" if len(moved) > 6 else "")
        lines.append(f"{count_of(len(moved), 'feature')} moved: {named}.")
    return lines


def drift_report(report: DriftReport) -> Report:
    """Return the drift as a report."""
    bins = [float(k) for k in range(len(report.bins["edges"]) + 1)]
    score = Curves(
        "score",
        "Distribution of the score, by the deciles of training",
        "Share of scoring points in each bin, in training and now.",
        [
            Line("in training", bins, report.bins["then"][:-1]),
            Line("now", bins, report.bins["now"][:-1]),
        ],
        across="bin of the score in training, lowest first",
        up="share of scoring points",
        marks=True,
    )
    sections = [Section("Drift", [score, _features_table(report)])]
    if report.calibration:
        hours = [(c.start_ms - report.calibration[0].start_ms) / 3.6e6 for c in report.calibration]
        counts = Curves(
            "held",
            "Abusive accounts, expected and observed",
            "Labelled accounts in each interval of the log: abusive by score, and by label.",
            [
                Line("expected", hours, [c.expected for c in report.calibration]),
                Line("observed", hours, [float(c.observed) for c in report.calibration]),
            ],
            across="hours since the first scoring point",
            up="accounts",
            marks=True,
        )
        sections.append(Section("Calibration over time", [counts, _calibration_table(report)]))
    return Report("Drift", headline(report), sections, data=report.as_json())


def _features_table(report: DriftReport) -> Table:
    return Table(
        "Drift by feature",
        ("feature", "index", "verdict", "missing\nin training", "missing\nnow"),
        [
            (d.name, number(d.psi, 3), d.verdict, percent(d.missing_then), percent(d.missing_now))
            for d in [report.score, *report.features[:LISTED]]
        ],
        "Population stability index over scoring points: from 0.1 shifted, from 0.25 moved "
        "(Siddiqi 2006). The score comes first, then the features with the largest drift.",
        words=frozenset({0, 2}),
    )


def _calibration_table(report: DriftReport) -> Table:
    rows = []
    for c in report.calibration:
        low, high = exact_interval(c.observed, c.accounts)
        inside = low * c.accounts <= c.expected <= high * c.accounts
        verdict = "holds" if inside else ("too low" if c.expected < c.observed else "too high")
        rows.append((stamp(c.start_ms), c.accounts, c.expected, c.observed, verdict))
    return Table(
        "Calibration over time",
        ("from (UTC)", "labelled", "abusive\nexpected", "abusive\nobserved", "the score"),
        rows,
        "Expected from the highest calibrated score of each labelled account in the interval, "
        "adjusted to the share of abusive accounts in the whole log. The score holds where the "
        "95 % interval of the observed count (Clopper-Pearson) contains the expected count.",
        words=frozenset({0, 4}),
    )
