"""Banned crowd workers, from their profile and who worked on the same tasks.

Platonov et al., A critical look at the evaluation of GNNs under heterophily (ICLR 2023): ten
random splits of half, a quarter, a quarter; ROC AUC on the test quarter.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from experiments.benchmarks.datasets import present
from experiments.benchmarks.learners import Progress, Recipe, best_single, quiet, scores
from experiments.benchmarks.metrics import Floats, Labels, figures
from experiments.benchmarks.results import Bar, Result, Row, published
from wavebreak.errors import FileError, UsageError

RECIPE: Recipe = {"rounds": 300, "rate": 0.03, "leaves": 15, "columns": 0.4}


class _Graph(NamedTuple):
    """Every edge both ways: neighbour `b` of `a`; `degree` of each node."""

    a: NDArray[Any]
    b: NDArray[Any]
    degree: Floats


def _graph(edges: NDArray[Any], nodes: int) -> _Graph:
    a, b = np.r_[edges[:, 0], edges[:, 1]], np.r_[edges[:, 1], edges[:, 0]]
    return _Graph(a, b, np.bincount(a, minlength=nodes).astype(np.float64))


def _summed(graph: _Graph, values: Floats, weights: Floats) -> Floats:
    nodes = graph.degree.size
    columns = [np.bincount(graph.a, weights * column[graph.b], nodes) for column in values.T]
    return np.column_stack(columns)


def _means(graph: _Graph, values: Floats) -> Floats:
    whole = np.maximum(graph.degree, 1.0)
    return _summed(graph, values, np.ones(graph.a.size)) / whole[:, None]


def features(values: Floats, edges: NDArray[Any]) -> Floats:
    """Label-free features of each node: its own, those of its neighbourhood, its place in it.

    Own columns; means over neighbours and over theirs; the spread among neighbours; degrees, one
    and two steps on; sums where a busy neighbour counts less. (n, m) becomes (n, 5 m + 3).

    >>> features(np.array([[1.0], [3.0]]), np.array([[0, 1]])).shape
    (2, 8)
    """
    graph = _graph(edges, len(values))
    one = _means(graph, values)
    spread = np.sqrt(np.maximum(_means(graph, values**2) - one**2, 0.0))
    degree = np.log1p(graph.degree)[:, None]
    near = _means(graph, degree)
    calm = 1.0 / np.sqrt(graph.degree[graph.a] * graph.degree[graph.b])
    return np.hstack([
        values, one, _means(graph, one), spread, _summed(graph, values, calm),
        degree, near, _means(graph, near),
    ])  # fmt: skip


def run(
    directory: Path, *, test_labels: Path | None = None, splits: int = 10, seed: int = 0,
    progress: Progress = quiet,
) -> Result:  # fmt: skip
    """Train on each split's training half, measure on its test quarter."""
    if test_labels:
        raise UsageError(
            "tolokers holds the labels of its test parts", fix="leave out --test-labels"
        )
    (path,) = present(directory / "tolokers", "tolokers.npz")
    try:
        found = dict(np.load(path))
    except (OSError, ValueError) as error:
        raise FileError(f"{path} cannot be read", fix="fetch the file again") from error
    labels = found["node_labels"].astype(np.uint8)
    values = features(found["node_features"].astype(np.float64), found["edges"])
    degree = values[:, -3]
    own = found["node_features"].shape[1]
    rows: dict[str, list[Row]] = {}
    for k in range(splits):
        progress(k / splits, f"split {k + 1} of {splits}")
        train, test = found["train_masks"][k], found["test_masks"][k]
        made = scores(values[train], labels[train], values[test], RECIPE, fits=1, seed=seed)
        at, sign = best_single(values[train, :own], labels[train])
        for method, score in (
            ("Wavebreak's trainer", made),
            ("count only: shared tasks", degree[test]),
            ("one feature, the best in train", sign * values[test, at]),
        ):
            rows.setdefault(method, []).append(_row(k, method, labels[test], score, seed))
    return _result(rows, splits)


def _row(k: int, method: str, truth: Labels, score: Floats, seed: int) -> Row:
    role: Any = "ours" if method.startswith("Wavebreak") else "baseline"
    return Row("each split", f"{k + 1}: {method}", role, figures(truth, score, seed=seed))


def _mean(rows: list[Row]) -> tuple[float, float]:
    areas = [row.figures.auc.value for row in rows if row.figures]
    return float(np.mean(areas)), float(np.std(areas, ddof=1)) if len(areas) > 1 else 0.0


def _result(rows: dict[str, list[Row]], splits: int) -> Result:
    on = f"mean of {splits} splits"
    ours = rows["Wavebreak's trainer"]
    area, spread = _mean(ours)
    means = [
        published(on, "best GNN, published", auc=0.838),
        published(on, "LightGBM of the README", auc=0.851),
    ]
    for method, found in rows.items():
        mean, _ = _mean(found)
        means.append(Row(on, method, found[0].role, None, {"auc": mean}))
    return Result(
        "tolokers",
        (
            "ten splits as published: trained on each one's training half, measured on its test "
            "quarter; the validation quarter is not used",
            "features are free of labels: no neighbour's label is read, in train or test; the "
            "edges of all workers are (the published protocol is transductive)",
        ),
        tuple(means + [row for found in rows.values() for row in found]),
        (Bar(on, "auc", 0.85, area),),
        (f"standard deviation of our AUC over the splits: {spread:.4f}",),
    )
