"""A checkup as people read it: what moved, whether the score's word holds, what to do."""

from __future__ import annotations

from pathlib import Path

from wavebreak.charts import Line, curves
from wavebreak.evaluation import exact_interval
from wavebreak.pages import (
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
from wavebreak.watching.drift import Checkup, Drift, worst

LISTED = 12
"""Features shown; the JSON holds all."""

_ADVICE = {
    "steady": "The score lies where it lay in training: nothing to do.",
    "shifted": "The score has shifted: look at the features below, and at false actions in a "
    "replay, before trusting its thresholds.",
    "moved": "The score has moved far: set the model to shadow, or train again on this stream "
    "(`wavebreak train`).",
}


def headline(found: Checkup) -> list[str]:
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


def _features(found: Checkup) -> Table:
    listed: list[Drift] = [found.score, *found.features[:LISTED]]
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


def _calibration(found: Checkup) -> Table:
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


def print_checkup(found: Checkup, console: Console) -> None:
    """Print a checkup: sentences and tables."""
    print_lines(headline(found), console)
    print_table(_features(found), console)
    if found.calibration:
        print_table(_calibration(found), console)


def write_checkup(found: Checkup, path: Path) -> None:
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
