"""Baseline of a model that was learned at home: distributions of features and score in training.

Population stability index: Siddiqi, Credit Risk Scorecards (2006): 0.1 is a shift, 0.25 a large
one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wavebreak.errors import FileError
from wavebreak.features.catalog import current_name

Floats = NDArray[np.float64]

FILE = "baseline.json"
_LEAST = 1e-4
"""Least share of a bin: an empty one would make the index infinite."""


@dataclass(frozen=True)
class Distribution:
    """Distribution of a feature: `shares` of the bins between `edges`, then of missing values."""

    edges: tuple[float, ...]
    shares: tuple[float, ...]


def distribution(values: Floats, bins: int) -> Distribution:
    """Return quantile bins of values with their shares; equal edges become one.

    >>> distribution(np.array([1.0, 2.0, 3.0, np.nan]), 2)
    Distribution(edges=(2.0,), shares=(0.25, 0.5, 0.25))
    """
    there = values[~np.isnan(values)]
    levels = np.linspace(0, 1, bins + 1)[1:-1]
    cuts = np.unique(np.quantile(there, levels)).tolist() if len(there) else []
    edges = tuple(float(edge) for edge in cuts)
    return Distribution(edges, tuple(round(float(s), 9) for s in bin_shares(values, edges)))


def bin_shares(values: Floats, edges: tuple[float, ...]) -> Floats:
    """Return the share of values in each bin, last that of missing values."""
    where = np.searchsorted(np.asarray(edges, np.float64), values, side="right")
    where = np.where(np.isnan(values), len(edges) + 1, where)
    counted = np.bincount(where, minlength=len(edges) + 2)
    return np.asarray(counted / max(1, len(values)), np.float64)


def population_stability_index(then: Distribution, values: Floats) -> float:
    """Return the population stability index of values against a distribution: 0 for no drift.

    >>> before = distribution(np.arange(1000.0), 10)
    >>> round(population_stability_index(before, np.arange(1000.0)), 6)
    0.0
    >>> population_stability_index(before, np.arange(1000.0) + 500) > 0.25
    True
    """
    old = np.maximum(np.asarray(then.shares), _LEAST)
    new = np.maximum(bin_shares(values, then.edges), _LEAST)
    return float(((new - old) * np.log(new / old)).sum())


def feature_baseline(
    names: tuple[str, ...], values: Floats, margins: Floats, bins: int
) -> dict[str, Distribution]:
    """Return the distribution of every feature, and of the margin as `score`."""
    made = {name: distribution(values[:, column], bins) for column, name in enumerate(names)}
    return made | {"score": distribution(margins, bins)}


def save(spreads: Mapping[str, Distribution], directory: Path) -> None:
    """Write a baseline into a model's directory."""
    document = {name: {"edges": s.edges, "shares": s.shares} for name, s in spreads.items()}
    (directory / FILE).write_text(json.dumps(document, indent=0, sort_keys=True) + "\n", "utf-8")


def load(directory: Path) -> dict[str, Distribution]:
    """Load the baseline from a model's directory; raises `FileError` where there is none."""
    try:
        document = json.loads((directory / FILE).read_text("utf-8"))
        return {
            current_name(name): Distribution(tuple(s["edges"]), tuple(s["shares"]))
            for name, s in document.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise FileError(
            f"{directory / FILE} is missing or unreadable",
            fix="learn again: `wavebreak learn`",
        ) from None
