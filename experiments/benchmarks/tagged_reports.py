"""Credibility of reports on abuse reports of a social network with known outcomes.

Fakhraei, Foulds, Shashanka, Getoor: Collective Spammer Detection in Evolving Multi-Relational
Social Networks (KDD 2015). Nearly two thirds of the reported are abusive.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.benchmarks.datasets import matched, present, read_labels, table
from experiments.benchmarks.learners import Progress, Recipe, folds, quiet, scores
from experiments.benchmarks.metrics import Floats, Labels, figures
from experiments.benchmarks.reporter_credibility import (
    UNKNOWN,
    Reports,
    dependent,
    live,
    settled,
    structure,
)
from experiments.benchmarks.results import Bar, Result, Row, bar, published
from wavebreak.errors import FileError

RECIPE: Recipe = {"rounds": 200, "rate": 0.05, "leaves": 15, "least": 50, "columns": 0.6}
OURS = "settled records, independent witnesses"


def read_reports(path: Path) -> Reports:
    """Read reporter→reported pairs of numbered accounts. Raises FileError."""
    found = table(path)
    try:
        by, of = (found[c].to_numpy().astype(np.int64) for c in ("reporter", "reported"))
    except (KeyError, ValueError) as error:
        raise FileError(
            f"{path} does not hold numbered reporters and reported",
            fix="give a CSV file with the columns reporter,reported",
        ) from error
    return Reports(by, of, int(max(by.max(), of.max())) + 1)


def _fold(path: Path, reports: Reports) -> tuple[NDArray[np.int64], Labels]:
    reported = np.unique(reports.of).astype(str).tolist()
    at, labels = matched(read_labels(path), reported, path)
    return np.unique(reports.of)[at], labels


def run(
    directory: Path, *, test_labels: Path | None = None, trained: bool = True, seed: int = 0,
    progress: Progress = quiet,
) -> Result:  # fmt: skip
    """Fold 1 → 2 and 2 → 1; with a third fold's labels also folds 1 and 2 → that.

    `trained` adds LightGBM on the report graph, the slow part.
    """
    paths = present(
        directory / "tagged_reports", "reports.csv.gz", "labels_fold1.csv", "labels_fold2.csv"
    )
    reports = read_reports(paths[0])
    one, two = _fold(paths[1], reports), _fold(paths[2], reports)
    plans = [("fold 1 → 2", [one], two), ("fold 2 → 1", [two], one)]
    if test_labels:
        plans.append(("folds 1, 2 → given", [one, two], _third(test_labels, reports, one, two)))
    apart = dependent(reports)
    rows: list[Row] = []
    bars: list[Bar] = []
    for i, (on, train, test) in enumerate(plans):
        progress(i / len(plans), on)
        known = np.full(reports.accounts, UNKNOWN)
        for accounts, labels in train:
            known[accounts] = labels
        made = _rows(on, reports, known, apart, test, trained, seed)
        rows += made
        bars.append(bar(next(row for row in made if row.method == OURS), "auc", 0.80))
    return Result("tagged", _protocol(reports, apart), tuple(rows), tuple(bars))


def _third(path: Path, reports: Reports, *others: tuple[NDArray[np.int64], Labels]) -> Any:
    found = _fold(path, reports)
    if any(np.isin(found[0], accounts).any() for accounts, _ in others):
        raise FileError(
            f"{path} labels accounts of folds 1 or 2", fix="give the labels of another fold"
        )
    return found


def _protocol(reports: Reports, apart: Floats) -> tuple[str, ...]:
    return (
        f"{reports.by.size:,} reports of {np.unique(reports.of).size:,} accounts by "
        f"{np.unique(reports.by).size:,}; records come from the training fold's labels alone, the "
        "reports of all accounts are seen (as published)",
        "reports bear no time; each is taken as proven, since who wrote to whom is not in the data",
        f"{int((apart > 1).sum()):,} reports come from reporters of one account who share another "
        "target; a report's weight, and the prior of records, are those of the live formula, which "
        "knows nothing of these folds' test sides but was chosen with both folds at hand",
        "the trainer's features are folded out: ten parts, each by the labels of the other nine",
    )


def _rows(
    on: str, reports: Reports, known: NDArray[np.int64], apart: Floats,
    test: tuple[NDArray[np.int64], Labels], trained: bool, seed: int,
) -> list[Row]:  # fmt: skip
    accounts, truth = test
    count = np.maximum(reports.per(reports.of), 1.0)
    right = reports.per(reports.by, known[reports.of] == 1)
    wrong = reports.per(reports.by, known[reports.of] == 0)
    share = (right + 1) / (right + wrong + 2)

    def measured(method: str, role: Any, found: Floats) -> Row:
        return Row(on, method, role, figures(truth, found, seed=seed))

    rows = [
        published(on, "reporters' track record, published", auc=0.807),
        published(on, "LightGBM of the README", auc=0.816),
        measured("count only: reports", "baseline", count[accounts]),
        measured(
            "one feature: mean share of right reports", "baseline",
            (reports.per(reports.of, share[reports.by]) / count)[accounts],
        ),
        measured("the live kernel's weights", "ours", live(reports, known)[accounts]),
        measured(OURS, "ours", settled(reports, known, apart)[accounts]),
    ]  # fmt: skip
    if trained:
        made = _trained(reports, known, apart, accounts, seed)
        rows.append(measured("Wavebreak's trainer on the report graph", "ours", made))
    return rows


def _trained(
    reports: Reports, known: NDArray[np.int64], apart: Floats, accounts: NDArray[np.int64],
    seed: int,
) -> Floats:  # fmt: skip
    mine = np.flatnonzero(known != UNKNOWN)
    labels = known[mine].astype(np.uint8)
    values = np.zeros((mine.size, 12))
    for _, held in folds(labels, 10, seed):
        hidden = known.copy()
        hidden[mine[held]] = UNKNOWN
        values[held] = structure(reports, hidden, apart)[mine[held]]
    others = structure(reports, known, apart)[accounts]
    return scores(values, labels, others, RECIPE, fits=2, seed=seed)
