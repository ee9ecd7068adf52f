"""Support of a model: where its training data lay, so that it abstains far from there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

NEVER_FAR = -1.0
"""The number of features allowed outside that a packed support without ranges begins with."""


@dataclass(frozen=True)
class Support:
    """Ranges of some features in training, and how many of them may be exceeded.

    A row with more than `most` features outside their range (`ranges`: lowest and highest value by
    name) is far from the training data, and gets the lowest score. A missing value is outside no
    range.

    `newcomers` is the largest share of newcomers among the active accounts of a platform on which
    the model says anything (0: any). See `features.newcomer_share`.
    """

    ranges: Mapping[str, tuple[float, float]]
    most: int
    newcomers: float = 0.0

    def packed(self, names: tuple[str, ...]) -> npt.NDArray[np.float64]:
        """Return `most`, the lowest and the highest value of each column: float64[1 + 2 n].

        >>> Support({"b": (0.0, 5.0)}, 1).packed(("a", "b")).tolist()
        [1.0, -inf, 0.0, inf, 5.0]
        """
        low, high = np.full(len(names), -np.inf), np.full(len(names), np.inf)
        for name, (lowest, highest) in self.ranges.items():
            low[names.index(name)], high[names.index(name)] = lowest, highest
        return np.concatenate([[float(self.most)], low, high])

    def as_json(self) -> dict[str, Any]:
        """Return the support as plain JSON values."""
        written = {"most": self.most, "ranges": {n: list(r) for n, r in self.ranges.items()}}
        return written | ({"newcomers": self.newcomers} if self.newcomers else {})

    @classmethod
    def from_json(cls, written: Mapping[str, Any] | None) -> Support | None:
        """Return the support that `as_json` wrote (None: none).

        Raises:
            TypeError, ValueError, KeyError: It is not well formed.

        >>> Support.from_json({"most": 1, "ranges": {"age_s": [0.0, 9.0]}})
        Support(ranges={'age_s': (0.0, 9.0)}, most=1, newcomers=0.0)
        """
        if written is None:
            return None
        ranges = {str(n): (float(low), float(high)) for n, (low, high) in written["ranges"].items()}
        newcomers = float(written.get("newcomers", 0.0))
        if not 0.0 <= newcomers <= 1.0:
            raise ValueError("newcomers is no share")
        return cls(ranges, int(written["most"]), newcomers)


def no_support(columns: int) -> npt.NDArray[np.float64]:
    """Return a packed support from which no row is far."""
    return np.full(1 + 2 * columns, NEVER_FAR)
