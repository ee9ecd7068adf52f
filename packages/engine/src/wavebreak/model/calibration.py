"""Calibration: from a margin to a probability by a table of steps, equal on every processor."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from wavebreak.errors import ModelError

ONE = 1 << 16


def to_fixed_point(margins: Any) -> npt.NDArray[np.int64]:
    """Return margins in fixed point of 1/65,536: half to even, clipped to ±(2**31 - 1).

    >>> to_fixed_point([0.5, -1e9]).tolist()
    [32768, -2147483647]
    """
    bound = float((1 << 31) - 1)
    scaled = np.rint(np.asarray(margins, np.float64) * ONE)
    return np.clip(scaled, -bound, bound).astype(np.int64)


@dataclass(frozen=True, eq=False)
class Steps:
    """Monotone steps: a margin at or above `edges[i]`, below `edges[i + 1]`, has `levels[i + 1]`.

    `edges` int64 in fixed point, rising; `levels` float64 in 0–1, not falling, one more than edges.
    """

    edges: npt.NDArray[np.int64]
    levels: npt.NDArray[np.float64]

    def __post_init__(self) -> None:
        edges, levels = self.edges, self.levels
        good = levels.size == edges.size + 1 and (np.diff(edges) > 0).all()
        if not (good and (np.diff(levels) >= 0).all() and levels[0] >= 0 and levels[-1] <= 1):
            raise ModelError(
                "the calibration's edges or levels do not rise between 0 and 1",
                fix="give rising edges, and one more level than edges, rising within 0 and 1",
            )

    def probability(self, scores: Any) -> npt.NDArray[np.float64]:
        """Return the probabilities of margins in fixed point.

        >>> halves = Steps.of([0.0], [0.25, 0.75])
        >>> halves.probability([-1, 0, 1]).tolist()
        [0.25, 0.75, 0.75]
        """
        found: npt.NDArray[np.float64] = self.levels[np.searchsorted(self.edges, scores, "right")]
        return found

    @classmethod
    def of(cls, margins: Sequence[float], levels: Sequence[float]) -> Steps:
        """Return steps at margins in log-odds; edges equal in fixed point become one."""
        edges, first = np.unique(to_fixed_point(margins)[::-1], return_index=True)
        above = np.asarray(levels, np.float64)[1:][::-1][first]
        return cls(edges, np.concatenate([[float(levels[0])], above]))

    @classmethod
    def logistic(cls) -> Steps:
        """Return quarter steps of the logistic curve, for a model without calibration."""
        edges = [k / 4 for k in range(-40, 41)]
        levels = [round(1 / (1 + math.exp(-(m - 0.125))), 6) for m in [*edges, 10.25]]
        return cls.of(edges, levels)
