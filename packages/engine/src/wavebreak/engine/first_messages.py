"""First messages that enforcement refused: of each account, to how many people.

A person whom an account writes to first, or asks for contact, counts once, however often the
account tries; whether it got through later, or what was refused was a retry, changes nothing. In
shadow mode what would have been refused counts. Kept by runs over a file, not by the service: it
remembers each refused pair.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from wavebreak.features.facts import Segment
from wavebreak.features.layout import OPENS, WITHHELD


class FirstMessages:
    """Pairs of accounts whose first message was refused, and those that never got through."""

    def __init__(self) -> None:
        self._refused = set[int]()
        self._waiting = set[int]()

    def note(self, segment: Segment) -> None:
        """Note the first messages of a segment that the kernel has processed."""
        at = np.flatnonzero(segment.results & (OPENS | WITHHELD if self._waiting else WITHHELD))
        found, results = segment.events[at], segment.results[at]
        pairs = found["account"].astype(np.int64) << 32 | found["peer"]
        for pair, result in zip(pairs.tolist(), results.tolist(), strict=True):
            if result & WITHHELD:
                self._refused.add(pair)
                self._waiting.add(pair)
            if result & OPENS:
                self._waiting.discard(pair)

    def refused(self, slots: Any) -> Any:
        """Return to how many people a first message of each account was refused (int64)."""
        return _by_account(self._refused, slots)

    def waiting(self, slots: Any) -> Any:
        """Return to how many of these none got through since."""
        return _by_account(self._waiting, slots)


def _by_account(pairs: set[int], slots: Any) -> Any:
    accounts = np.sort(np.fromiter(pairs, np.int64, len(pairs)) >> 32)
    return np.searchsorted(accounts, slots, "right") - np.searchsorted(accounts, slots, "left")
