"""Measure how well reports, weighted by the record of their reporters, find abusive accounts.

    python -m experiments.reporter_credibility DIR

DIR holds `reports.csv.gz` (reporter, reported), `labels_fold1.csv` and `labels_fold2.csv` (account,
label): abuse reports of a social network with known outcomes, from Fakhraei, Foulds, Shashanka and
Getoor, Collective Spammer Detection in Evolving Multi-Relational Social Networks (KDD 2015). The
labels of one fold give the reporters' records, and those of the other are predicted: by the number
of reports, and by the weights of `report_weight` of the engine. Reports have no time and no chat in
these data, so each counts as proven.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pc_csv
from sklearn.metrics import roc_auc_score

from wavebreak.features.shared_state import WEIGHT_ONE, report_weight

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

UNKNOWN = -1
"""Label of an account without one."""

RESAMPLES = 1_000


@dataclass(frozen=True)
class Score:
    """The area under the ROC curve of one method, with its 95 % bootstrap interval."""

    method: str
    auc: float
    low: float
    high: float


def _read(path: Path, *columns: str) -> list[Ints]:
    table: pa.Table = pc_csv.read_csv(path)
    return [table.column(name).to_numpy().astype(np.int64) for name in columns]


def live_weights(reporters: Ints, reported: Ints, labels: Ints) -> Floats:
    """Return for each account the summed weights of its reports.

    Args:
        reporters: The reporter of each report.
        reported: The account of each report.
        labels: By account: 1, 0 or UNKNOWN.

    >>> reporters, reported = np.array([0, 0, 1, 1]), np.array([2, 3, 4, 5])
    >>> labels = np.array([-1, -1, 1, -1, 0, -1])
    >>> live_weights(reporters, reported, labels)[[3, 5]].tolist()
    [1.05859375, 0.19921875]
    """
    size = len(labels)
    right = np.bincount(reporters, labels[reported] == 1, size)
    wrong = np.bincount(reporters, labels[reported] == 0, size)
    weight = np.zeros(size)
    for reporter in np.unique(reporters).tolist():
        record = int(2 * right[reporter]), int(2 * wrong[reporter])
        weight[reporter] = report_weight(*record, True, False, False, 0)
    return np.bincount(reported, weight[reporters], size).astype(np.float64) / WEIGHT_ONE


def measure(method: str, labels: Ints, scores: Floats, seed: int = 0) -> Score:
    """Return the area under the ROC curve, with an interval over resampled accounts."""
    rng = np.random.default_rng(seed)
    areas = [
        roc_auc_score(labels[rows], scores[rows])
        for rows in rng.integers(0, len(labels), (RESAMPLES, len(labels)))
    ]
    low, high = np.percentile(areas, (2.5, 97.5))
    return Score(method, float(roc_auc_score(labels, scores)), float(low), float(high))


def run(directory: Path) -> dict[str, list[Score]]:
    """Predict each fold from the labels of the other; return the scores by direction."""
    reporters, reported = _read(directory / "reports.csv.gz", "reporter", "reported")
    folds = [_read(directory / f"labels_fold{n}.csv", "account", "label") for n in (1, 2)]
    size = 1 + max(int(column.max()) for column in (reporters, reported, folds[0][0], folds[1][0]))
    counts = np.bincount(reported, minlength=size).astype(np.float64)
    results = dict[str, list[Score]]()
    for number, (train, test) in enumerate((folds, folds[::-1]), 1):
        labels = np.full(size, UNKNOWN)
        labels[train[0]] = train[1]
        reported_rows = counts[test[0]] > 0
        accounts, truth = test[0][reported_rows], test[1][reported_rows]
        weights = live_weights(reporters, reported, labels)[accounts]
        results[f"{number} → {3 - number}"] = [
            measure("number of reports", truth, counts[accounts]),
            measure("the engine's weights", truth, weights),
        ]
    return results


def main() -> None:
    """Print the scores."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("directory", type=Path)
    for direction, scores in run(parser.parse_args().directory).items():
        for score in scores:
            interval = f"{score.low:.3f}-{score.high:.3f}"
            print(f"{direction}  {score.method}: AUC {score.auc:.3f} ({interval})")


if __name__ == "__main__":
    main()
