"""Automation from timing and size alone, the whole way from a foreign trace to the trainer.

Bot-or-not sessions 30 (English) and 31 (French): posts of people and of bots that language models
drive, over two days. A trace is imported by its preset, goes through the engine under the shipped
policy, and an account is what the catalog says of it, and the rhythm of its life.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from experiments.benchmarks import timing_features
from experiments.benchmarks.datasets import matched, present, read_labels
from experiments.benchmarks.learners import Progress, Recipe, best_single, quiet, scores
from experiments.benchmarks.metrics import Floats, Labels, figures
from experiments.benchmarks.results import Bar, Result, Row, bar, published
from wavebreak import rules
from wavebreak.engine import Engine
from wavebreak.errors import UsageError
from wavebreak.features.catalog import INPUTS
from wavebreak.io import csv_import
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.schema import coverage

RECIPE: Recipe = {
    "rounds": 150, "rate": 0.04, "leaves": 6, "columns": 0.3, "least": 8, "rows": 0.7,
}  # fmt: skip
SETS = (30, 31)
_NO_SECRET = Pseudonymizer(b"wavebreak bench, no secret")


class Accounts(NamedTuple):
    """What is known of each account of a trace: posts, catalog features, rhythm; labels."""

    posts: Floats
    catalog: Floats
    rhythm: Floats
    labels: Labels

    @property
    def both(self) -> Floats:
        """Catalog and rhythm."""
        return np.hstack([self.catalog, self.rhythm])


def follow(events: Path, labels: Path) -> Accounts:
    """Import a trace, run it, and describe the accounts that `labels` names.

    Catalog features (n, 2 k) are those at the end of the trace, and their means over the scoring
    points before. Raises FileError for a trace or labels that cannot be read.
    """
    known = csv_import.PRESETS["botornot"]
    batches = list(csv_import.read_csv(events, types=known.types, unit=known.unit))
    logs = [_NO_SECRET.apply(batch) for batch in batches]
    engine = Engine(rules.load_policy(), coverage.measure(logs), record=True)
    for log in logs:
        engine.take(log)
    engine.finish()
    names = engine.fanout.accounts.texts(np.arange(engine.core.accounts)).to_pylist()
    posted = set(pa.Table.from_batches(batches)["account"].to_pylist())
    at, truth = matched(read_labels(labels), [n if n in posted else "" for n in names], labels)
    lives = _lives(batches)
    return Accounts(
        np.array([lives[names[slot]][0].size for slot in at], np.float64),
        _catalog(engine, at),
        np.array([timing_features.summary(*lives[names[slot]]) for slot in at]),
        truth,
    )


def _joined(one: Accounts, two: Accounts) -> Accounts:
    return Accounts(
        np.r_[one.posts, two.posts],
        np.vstack([one.catalog, two.catalog]),
        np.vstack([one.rhythm, two.rhythm]),
        np.r_[one.labels, two.labels],
    )


def _catalog(engine: Engine, slots: Any) -> Floats:
    points = engine.points()
    count = np.bincount(points["account"], minlength=engine.core.accounts)
    found = []
    for slot in slots.tolist():
        last = np.array(engine.core.values_of(slot), np.float64)[: len(INPUTS)]
        if count[slot]:
            seen = points["values"][points["account"] == slot][:, : len(INPUTS)]
            there = np.maximum((~np.isnan(seen)).sum(axis=0), 1)
            mean = np.where(np.isnan(seen).all(axis=0), np.nan, np.nansum(seen, axis=0) / there)
        else:
            mean = np.full(len(INPUTS), np.nan)
        found.append(np.r_[last, mean])
    return np.array(found)


def _lives(batches: list[pa.RecordBatch]) -> dict[str, tuple[Floats, Floats]]:
    table = pa.Table.from_batches(batches)
    names = np.array(table["account"].to_pylist())
    seconds = table["ts"].cast(pa.int64()).to_numpy() / 1000.0
    sizes = table["size"].cast(pa.float64()).fill_null(0.0).to_numpy()
    order = np.lexsort((seconds, names))
    distinct, first = np.unique(names[order], return_index=True)
    parts = np.split(order, first[1:])
    return {
        str(name): (seconds[part], sizes[part]) for name, part in zip(distinct, parts, strict=True)
    }


def run(
    directory: Path, *, test_labels: Path | None = None, events: Path | None = None, seed: int = 0,
    progress: Progress = quiet,
) -> Result:  # fmt: skip
    """30 → 31 and 31 → 30; with a third trace and its labels also both → that."""
    if (test_labels is None) != (events is None):
        raise UsageError(
            "botornot measures a third set by its trace and its labels",
            fix="give both --events TRACE.csv.gz and --test-labels LABELS.csv",
        )
    paths = present(
        directory / "traces",
        *(f"botornot_{k}{end}" for k in SETS for end in (".csv.gz", ".labels.csv")),
    )
    progress(0.0, "events")
    one, two = follow(paths[0], paths[1]), follow(paths[2], paths[3])
    plans = [("30 → 31", one, two), ("31 → 30", two, one)]
    if events and test_labels:
        both = _joined(one, two)
        plans.append(("30, 31 → given", both, follow(events, test_labels)))
    rows: list[Row] = []
    bars: list[Bar] = []
    for i, (on, train, test) in enumerate(plans):
        progress((i + 1) / (len(plans) + 1), on)
        rows += _rows(on, train, test, seed)
        bars.append(bar(rows[-4], "auc", 0.93))
    return Result("botornot", _PROTOCOL, tuple(rows), tuple(bars), _NOTES)


_PROTOCOL = (
    "import preset → engine under the shipped policy (shadow) → features → trainer; trained on "
    "one session, measured on the other, in another language",
    "an account is the catalog's features at the end of the trace and their means over its scoring "
    "points, and 40 numbers of its rhythm: gaps, hours of the day, sizes, over its whole life",
    "five fits are averaged; the threshold of F1 is a probability of 0.5",
)
_NOTES = (
    "published text-reading entries reach 95-100 % accuracy: they read what Wavebreak never sees",
    "the rhythm is computed here from the events, and is not in the catalog",
)


def _rows(on: str, train: Accounts, test: Accounts, seed: int) -> list[Row]:
    at, sign = best_single(train.rhythm, train.labels)

    def measured(method: str, role: Any, found: Floats, threshold: float | None = None) -> Row:
        return Row(on, method, role, figures(test.labels, found, threshold=threshold, seed=seed))

    def made(values: Floats, others: Floats) -> Floats:
        return scores(values, train.labels, others, RECIPE, fits=5, seed=seed)

    return [
        published(on, "timing and size alone, README, lowest set", auc=0.93),
        measured("catalog and rhythm", "ours", made(train.both, test.both), 0.0),
        measured("catalog alone", "ours", made(train.catalog, test.catalog), 0.0),
        measured("count only: posts", "baseline", test.posts),
        measured("one feature of rhythm, the best in train", "baseline",
                 sign * test.rhythm[:, at]),
    ]  # fmt: skip
