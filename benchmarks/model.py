"""The model: rows per second in a batch, one row, reasons, compared with LightGBM's predict."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import lightgbm
import numpy as np

from benchmarks.engine_stages import Cost, engine, feed, held, warmed
from benchmarks.figures import Figure, figure
from benchmarks.load_streams import log_batch
from wavebreak import model
from wavebreak.engine import Engine
from wavebreak.features.catalog import MODEL_INPUTS, NAMES

NAME = "model"
TREES, LEAVES = 200, 31


def bench(quick: bool) -> list[Figure]:
    """Every way of scoring, in turns, so that noise meets all alike.

    What is counted is this thread's time on a processor: the figures are of one core.
    """
    rows, rounds = (4_000, 3) if quick else (40_000, 9)
    values, booster = _trained(6_000 if quick else 20_000)
    values = values[:rows]
    trees = model.from_booster(booster, name="speed")
    ways: dict[str, tuple[Callable[[], Any], int]] = {
        "batch": (lambda: trees.margins(values), rows),
        "one": (lambda: trees.scores(values), rows),
        "reasons": (lambda: [trees.reasons(row) for row in values[:100]], 100),
        "lightgbm": (lambda: _predict(booster, values[: rows // 4]), rows // 4),
        "lightgbm one": (lambda: [_predict(booster, values[k : k + 1]) for k in range(200)], 200),
        "lightgbm reasons": (
            lambda: booster.predict(values[:100, : len(MODEL_INPUTS)], pred_contrib=True),
            100,
        ),
    }
    for run, _ in ways.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, (run, n) in ways.items():
            began = time.thread_time()
            run()
            seconds[name].append((time.thread_time() - began) / n)
    exact = np.array_equal(trees.margins(values), _predict(booster, values))
    return [*_figures(seconds, exact), *_in_the_path(trees, quick)]


def _trained(rows: int) -> tuple[Any, Any]:
    """Rows over the catalog, many values missing or 0, and trees that suspect one row in ten."""
    rng = np.random.default_rng(5)
    values = rng.lognormal(0, 2, (max(rows, 40_000), len(NAMES)))
    values[rng.random(values.shape) < 0.2] = np.nan
    values[rng.random(values.shape) < 0.3] = 0.0
    values[:, len(MODEL_INPUTS) :] = np.nan
    target = np.log1p(np.nan_to_num(values)) @ rng.normal(size=values.shape[1])
    labels = target + rng.normal(0, target.std(), target.size) > np.quantile(target, 0.9)
    inputs = lightgbm.Dataset(
        values[:rows, : len(MODEL_INPUTS)], labels[:rows], feature_name=list(MODEL_INPUTS)
    )
    settings = {"objective": "binary", "num_leaves": LEAVES, "num_threads": 1, "verbose": -1}
    return values, lightgbm.train(settings, inputs, TREES)


def _predict(booster: Any, values: Any) -> Any:
    return booster.predict(values[:, : len(MODEL_INPUTS)], raw_score=True, num_threads=1)


def _figures(seconds: dict[str, list[float]], exact: bool) -> list[Figure]:
    def rate(name: str) -> list[float]:
        return [1 / s for s in seconds[name]]

    def micros(name: str) -> list[float]:
        return [1e6 * s for s in seconds[name]]

    same = "equal to LightGBM to the last bit" if exact else "NOT EQUAL to LightGBM"
    size = f"{TREES} trees of {LEAVES} leaves, time on one core"
    pairs = zip(seconds["batch"], seconds["lightgbm"], strict=True)
    return [
        figure(NAME, "a batch, eight rows at once", "rows/s", rate("batch"), target=2e5,
               note=f"{size}; {same}"),
        figure(NAME, "LightGBM predict", "rows/s", rate("lightgbm"), note="one thread"),
        figure(NAME, "a batch ÷ LightGBM", "times", [theirs / ours for ours, theirs in pairs]),
        figure(NAME, "one row, eight trees at once", "µs", micros("one"), target=25.0,
               better="less", note="as the kernel calls it"),
        figure(NAME, "LightGBM predict of one row", "µs", micros("lightgbm one"), better="less"),
        figure(NAME, "reasons of one row", "µs", micros("reasons"), better="less",
               note="TreeSHAP, only for decisions above observe"),
        figure(NAME, "LightGBM pred_contrib of a row", "µs", micros("lightgbm reasons"),
               better="less", note="in batches of 100"),
    ]  # fmt: skip


def _in_the_path(trees: model.Model, quick: bool) -> list[Figure]:
    """Measure the kernel with a model asked at scoring points, and without, in turns."""
    what = f"kernel, rules, all features, a model of {TREES} trees"
    accounts, each, rounds = (50_000, 200_000, 3) if quick else (1_000_000, 1_000_000, 7)
    costs: dict[str, list[Cost]] = {}
    running: dict[str, Engine] = {what: engine(model=trees), "the same without a model": engine()}
    clocks = {name: warmed(to, accounts, 2 * each) for name, to in running.items()}
    for _ in range(rounds):
        for name, to in running.items():
            cost = feed(to, log_batch(clocks[name].next(each)))
            costs.setdefault(name, []).append(cost)
    return [
        figure(NAME, name, "events/s", [c.kernel_rate for c in found],
               target=1.5e6 if name == what else None,
               note=f"{sum(c.hits for c in found):,} hits; {held(found)}")
        for name, found in costs.items()
    ]  # fmt: skip
