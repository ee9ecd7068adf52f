"""What a benchmark gives: rows of figures beside published values, bars, and how it was done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from experiments.benchmarks.metrics import Estimate, Figures, Floats, Labels, figures

Measure = Literal["auc", "macro_f1", "recall at 1 % FPR"]


@dataclass(frozen=True)
class Row:
    """One method on one test set. `published` holds figures that others, or the README, state."""

    on: str
    method: str
    role: Literal["ours", "baseline", "published"]
    figures: Figures | None = None
    published: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Bar:
    """What was to be reached, and what was."""

    on: str
    measure: Measure
    least: float
    value: float

    @property
    def met(self) -> bool:
        """Whether the point estimate reaches the bar."""
        return self.value >= self.least


@dataclass(frozen=True)
class Result:
    """A benchmark's rows and bars; `protocol` and `notes` say in sentences what was done."""

    name: str
    protocol: tuple[str, ...]
    rows: tuple[Row, ...]
    bars: tuple[Bar, ...] = ()
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Give everything as plain values, bars with `met`."""
        values = asdict(self)
        for bar, said in zip(self.bars, values["bars"], strict=True):
            said["met"] = bar.met
        for row, said in zip(self.rows, values["rows"], strict=True):
            said["figures"] = row.figures and _plain(row.figures)
        return values


def _plain(figures: Figures) -> dict[str, Any]:
    def plain(value: Any) -> Any:
        if hasattr(value, "_asdict"):
            return {name: plain(part) for name, part in value._asdict().items()}
        return value

    return {name: plain(getattr(figures, name)) for name in figures.__dataclass_fields__}


def _figure(found: Figures, measure: Measure) -> Estimate:
    of = {"auc": found.auc, "macro_f1": found.macro_f1, "recall at 1 % FPR": found.at_few.share}
    estimate = of[measure]
    if estimate is None:
        raise ValueError("the row does not hold the figure")
    return estimate


def bar(row: Row, measure: Measure, least: float) -> Bar:
    """Hold a measured row against a bar. Raises ValueError for a row without that figure."""
    if row.figures is None:
        raise ValueError("the row does not hold the figure")
    return Bar(row.on, measure, least, _figure(row.figures, measure).value)


def repeated(
    on: str, method: str, labels: Labels, made: Sequence[Floats], measure: Measure, seed: int
) -> tuple[Row, Estimate, str]:
    """Give a row of repeated cross-validation, and what `measure` is in one of its repeats.

    `made` holds each repeat's scores (n,). The row measures their mean, and its interval is over
    accounts; the estimate is the mean of the repeats' figures, lowest and highest, as is the
    sentence that tells it.
    """
    row = Row(on, method, "ours", figures(labels, np.mean(made, axis=0), threshold=0.0, seed=seed))
    each = [
        _figure(figures(labels, one, threshold=0.0, resamples=0), measure).value for one in made
    ]
    found = Estimate(float(np.mean(each)), min(each), max(each))
    values = (
        f"{on}, {method}: {measure} in one of {len(each)} repeats is {found.value:.4f} "
        f"({found.low:.4f} to {found.high:.4f}); the table's row averages their scores"
    )
    return row, found, values


def published(on: str, method: str, **values: float) -> Row:
    """Give a row of stated values."""
    return Row(on, method, "published", None, values)
