"""Bots among GitHub accounts from when and where they act (BIMBAS and its successor).

Chidambaram, Mens, Decan: A Bot Identification Model and Tool based on GitHub Activity Sequences
(JSS 2025). Two feature maps of much the same accounts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from wavebreak.benchmarks.learning import (
    Progress,
    Recipe,
    best_single,
    out_of_fold,
    quiet,
    scores,
)
from wavebreak.benchmarks.measuring import Floats, Labels, figures
from wavebreak.benchmarks.reading import (
    codes,
    matched,
    numbers,
    present,
    read_labels,
    table,
    texts,
)
from wavebreak.benchmarks.results import Bar, Result, Row, bar, published

RECIPE: Recipe = {
    "rounds": 300, "rate": 0.05, "leaves": 31, "columns": 0.4, "rows": 0.7, "ridge": 5.0,
}  # fmt: skip
FOLDS, FITS = 10, 6
_NOT_FEATURES = ("contributor", "bot", "label", "dataset")


class _Set(NamedTuple):
    name: str
    columns: list[str]
    values: Floats
    labels: Labels


def _read(path: Path, name: str, label: str) -> _Set:
    found = table(path)
    columns = [c for c in found.column_names if c not in _NOT_FEATURES]
    return _Set(name, columns, numbers(found, columns), codes(found[label].to_pylist()))


def run(
    directory: Path, *, test_labels: Path | None = None, fits: int = FITS, seed: int = 0,
    progress: Progress = quiet,
) -> Result:  # fmt: skip
    """Cross-validate on both maps of train; score the test file where its labels are given."""
    old, new, test_path = present(
        directory / "github_bots", "train.csv.gz", "train_newmap.csv.gz", "test_unlabelled.csv.gz"
    )
    rows: list[Row] = []
    bars: list[Bar] = []
    first = _read(old, "train, cross-validated", "bot")
    for i, part in enumerate((first, _read(new, "train_newmap, cross-validated", "label"))):
        progress(i / 3, part.name)
        made = out_of_fold(part.values, part.labels, RECIPE, count=FOLDS, fits=fits, seed=seed)
        rows += _rows(part.name, part, (part.values, part.labels), made, seed)
        bars.append(_bar(part.name, rows))
    if test_labels:
        progress(2 / 3, "test")
        test = table(test_path)
        at, truth = matched(read_labels(test_labels), texts(test, "contributor"), test_labels)
        others = numbers(test, first.columns)[at]
        made = scores(first.values, first.labels, others, RECIPE, fits=fits, seed=seed)
        rows += _rows("test", first, (others, truth), made, seed)
        bars.append(_bar("test", rows))
    return Result(
        "github",
        (
            f"{FOLDS}-fold cross-validation on train, {fits} fits averaged in each fold; the "
            "test file is scored by fits on the whole of train",
            "one recipe for both maps; the threshold of F1 is a probability of 0.5",
        ),
        tuple(rows), tuple(bars),
        ("recall at 1 % FPR hangs on the six or so worst people of the set: mind its interval",),
    )  # fmt: skip


def _bar(on: str, rows: list[Row]) -> Bar:
    ours = next(row for row in rows if row.on == on and row.role == "ours")
    return bar(ours, "recall at 1 % FPR", 0.55)


def _rows(
    on: str, train: _Set, test: tuple[Floats, Labels], made: Floats, seed: int
) -> list[Row]:  # fmt: skip
    others, truth = test
    at, sign = best_single(train.values, train.labels)

    def measured(method: str, role: Any, found: Floats, threshold: float | None = None) -> Row:
        return Row(on, method, role, figures(truth, found, threshold=threshold, seed=seed))

    return [
        published(on, "gradient boosting, published", weighted_f1=0.899),
        published(on, "LightGBM of the README", weighted_f1=0.9035, auc=0.970, recall_few=0.55),
        measured("Wavebreak's trainer", "ours", made, 0.0),
        measured("count only: activities", "baseline", np.nan_to_num(others[:, 0])),
        measured(f"one feature: {train.columns[at]}", "baseline", sign * others[:, at]),
    ]
