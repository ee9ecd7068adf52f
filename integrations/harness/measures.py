"""What a message costs: of arms that send in turn, times and the processor of their servers."""

from __future__ import annotations

import os
import statistics
from collections.abc import Sequence
from pathlib import Path


def percentile(values: Sequence[float], share: float) -> float:
    """Return a percentile of values, by rank.

    >>> percentile([3.0, 1.0, 2.0], 0.5)
    2.0
    """
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def median_of_pairs(values: Sequence[float], others: Sequence[float]) -> float:
    """Return the median of how much more each value is than the other one of its turn.

    What else the machine does in a turn meets both.

    >>> median_of_pairs([3.0, 9.0, 4.0], [2.0, 7.0, 3.5])
    1.0
    """
    return statistics.median(one - other for one, other in zip(values, others, strict=True))


def processor_s(pid: int) -> float:
    """Return how many seconds of processor a process has used, with its children that ended."""
    # The name in parentheses may have spaces; utime is the twelfth field after it.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
