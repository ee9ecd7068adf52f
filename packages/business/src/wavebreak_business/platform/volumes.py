"""What a portfolio delivered in the last weeks: the way from the first limit to the second.

Counted by day and read when an epoch (a minute of the log's time) closes, so that the limit changes
at the same place of the log however it is cut.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from wavebreak.durations import DAY_MS
from wavebreak_business.settings import Limit

COUNT: Final = np.dtype([("portfolio", "u4"), ("day", "i4"), ("count", "i4")])


class Volumes:
    """Messages delivered outside windows, by portfolio and day.

    Args:
        limit: How many lead to the second step, within how many days.
    """

    def __init__(self, limit: Limit) -> None:
        self.most, self.days = limit.delivered, limit.delivered_days
        self._counts: dict[int, Counter[int]] = {}
        self._changed: set[int] = set()

    def note(self, portfolio: int, at: int, count: int) -> None:
        """Note messages accepted at a time; -1: one that failed."""
        if self.most:
            self._counts.setdefault(portfolio, Counter())[at // DAY_MS] += count
            self._changed.add(portfolio)

    def close(self, at: int) -> list[int]:
        """Close an epoch; return whose portfolios' messages have become enough in it."""
        oldest = at // DAY_MS - self.days
        reached = []
        for portfolio in sorted(self._changed):
            counts = self._counts[portfolio]
            for day in [day for day in counts if day <= oldest]:
                del counts[day]
            if counts.total() >= self.most:
                reached.append(portfolio)
        self._changed.clear()
        return reached

    def dump(self) -> dict[str, Any]:
        """Return the state as named arrays."""
        rows = [
            (portfolio, day, count)
            for portfolio, counts in sorted(self._counts.items())
            for day, count in sorted(counts.items())
        ]
        changed = np.array(sorted(self._changed), np.int64)
        return {"counts": np.array(rows, COUNT), "changed": changed}

    def load(self, arrays: Mapping[str, Any]) -> None:
        """Restore the state."""
        self._counts = {}
        for portfolio, day, count in arrays["counts"].tolist():
            self._counts.setdefault(portfolio, Counter())[day] = count
        self._changed = set(arrays["changed"].tolist())
