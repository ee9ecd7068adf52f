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

RECIPE: Recipe = {"rounds": 200, "rate": 0.05, "leaves": 31, "columns": 0.6}
FOLDS, REPEATS = 10, 4
_NOT_FEATURES = ("contributor", "bot", "label", "dataset")


class _Set(NamedTuple):
    on: str
    ids: list[str]
    columns: list[str]
    values: Floats
    labels: Labels


def _read(path: Path, on: str, label: str) -> _Set:
    found = table(path)
    columns = [c for c in found.column_names if c not in _NOT_FEATURES]
    labels = codes(found[label].to_pylist())
    return _Set(on, texts(found, "contributor"), columns, numbers(found, columns), labels)


def _joined(old: _Set, new: _Set) -> _Set:
    """Both maps of the same accounts side by side, NaN where an account is not in the new one."""
    places = {name: i for i, name in enumerate(new.ids)}
    at = np.array([places.get(name, -1) for name in old.ids])
    beside = np.where((at >= 0)[:, None], new.values[at], np.nan)
    values = np.hstack([old.values, beside])
    return _Set("both maps joined", old.ids, old.columns + new.columns, values, old.labels)


def run(
    directory: Path, *, test_labels: Path | None = None, repeats: int = REPEATS, seed: int = 0,
    progress: Progress = quiet,
) -> Result:  # fmt: skip
    """Cross-validate on both maps of train; score the test file where its labels are given."""
    old_path, new_path, test_path = present(
        directory / "github_bots", "train.csv.gz", "train_newmap.csv.gz", "test_unlabelled.csv.gz"
    )
    old, new = _read(old_path, "train", "bot"), _read(new_path, "train_newmap", "label")
    rows: list[Row] = []
    bars: list[Bar] = []
    for i, part in enumerate((old, new, _joined(old, new))):
        progress(i / 4, part.on)
        made = out_of_fold(
            part.values, part.labels, RECIPE, count=FOLDS, repeats=repeats, seed=seed
        )
        rows += _rows(part.on, part, (part.values, part.labels), made, seed)
        bars.append(_bar(part.on, rows))
    if test_labels:
        progress(0.75, "test")
        test = table(test_path)
        at, truth = matched(read_labels(test_labels), texts(test, "contributor"), test_labels)
        others = numbers(test, old.columns)[at]
        made = scores(old.values, old.labels, others, RECIPE, fits=repeats, seed=seed)
        rows += _rows("test", old, (others, truth), made, seed)
        bars.append(_bar("test", rows))
    return Result("github", _protocol(repeats), tuple(rows), tuple(bars), _NOTES)


def _protocol(repeats: int) -> tuple[str, ...]:
    return (
        f"{FOLDS}-fold cross-validation by account, {repeats} times over, each account's scores "
        "averaged; the test file (old map only) is scored by fits on the whole of train",
        "one recipe throughout; the threshold of F1 is a probability of 0.5",
        "both maps joined: two summaries of the same accounts' activity side by side",
    )


_NOTES = (
    "recall at 1 % FPR hangs on the six or so people of the set who look most like bots: mind its "
    "interval",
)


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
