"""Stored scores: margins in fixed point, and their calibrated probabilities.

A margin (log-odds) is a whole number of 1/65,536. In a row zero means "none yet", so the margin
zero is stored as one; that at registration is stored in 1/1,024, from -32 to 32.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from wavebreak.compiled.numba_runtime import address_as_void_pointer, carray, compiled, int64

MARGIN_MAX = 2**31 - 1
COARSE_BITS, COARSE_MAX = 6, 2**15 - 1
ONE_MARGIN = 65_536.0
NAN = float("nan")


@compiled(inline="always")
def bounded_margin(margin: int, most: int) -> int:
    """Return a margin as a row stores it: within bounds, and never zero.

    >>> bounded_margin(0, 99), bounded_margin(-1000, 99)
    (1, -99)
    """
    bounded = min(max(int64(margin), -most), most)
    return int64(1) if bounded == 0 else bounded


@compiled()
def probability(w: Any, margin: int) -> float:
    """Return the calibrated probability of a margin; NaN for "none yet".

    There is one level more than edges: the first applies below all edges.
    """
    if margin == 0 or w.score == 0:
        return NAN
    margins = carray(address_as_void_pointer(w.margins), (w.steps,), np.int64)
    chances = carray(address_as_void_pointer(w.chances), (w.steps + 1,), np.float64)
    low, high = int64(0), int64(w.steps)
    while low < high:
        middle = (low + high) // 2
        if margins[middle] <= margin:
            low = middle + 1
        else:
            high = middle
    return float(chances[low])
