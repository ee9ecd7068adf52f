"""When to let go of a row early: after each block of trees, a sum too low to come to anything.

Source: Bourdev & Brandt, "Robust object detection via soft cascade", CVPR 2005.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def rejection_trace(
    partials: Any, labels: Any, lost: float, *, slack: float = 0.0
) -> npt.NDArray[np.float64]:
    """Learn the sum, for each block of trees, below which a row is let go: float64[blocks].

    `partials` float64[n, blocks] are sums after each block (`Model.partials`) of rows that the
    trees were not fitted to; `labels` bool[n] says which rows must come through: the abusive ones
    whose margin leads to something. At most the share `lost` of them is let go, an equal part
    of it by each block but the last, which decides nothing early. `slack` (log-odds) is taken off
    every threshold. Without any row to keep nothing is let go.

    >>> sums = np.array([[-3.0, -4.0], [-1.0, 2.0], [1.0, 3.0]])
    >>> rejection_trace(sums, [False, True, True], lost=0.0).tolist()
    [-1.0, -inf]
    """
    sums = np.asarray(partials, np.float64)
    kept = sums[np.asarray(labels, bool)]
    trace = np.full(sums.shape[1], -np.inf)
    left, gone = np.ones(len(kept), bool), 0
    for block in range(sums.shape[1] - 1):
        if not left.any():
            break
        budget = int(lost * len(kept) * (block + 1) / (sums.shape[1] - 1) + 1e-9) - gone
        there = np.sort(kept[left, block])
        trace[block] = there[min(max(budget, 0), len(there) - 1)]
        left &= kept[:, block] >= trace[block]
        gone = len(kept) - int(left.sum())
    return trace - slack
