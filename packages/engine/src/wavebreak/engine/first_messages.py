"""First messages that enforcement refused: of each account, to how many people.

A person whom an account writes to first, or asks for contact, counts once, however often the
account tries; whether it got through later, or what was refused was a retry, changes nothing. In
shadow mode what would have been refused counts. Kept by runs over a file, not by the service: it
remembers each refused pair.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from wavebreak.features.layout import OPENED, WITHHELD


class FirstMessages:
    """Pairs of accounts whose first message was refused, and those that never got through."""

    def __init__(self) -> None:
        self._refused = set[int]()
        self._waiting = set[int]()

    def note(self, events: Any) -> None:
        """Note the first messages of a segment (dtype EVENT) that the kernel has processed."""
        seen = OPENED | WITHHELD if self._waiting else WITHHELD
        found = events[np.flatnonzero(events["opens"] & seen)]
        pairs = found["account"].astype(np.int64) << 32 | found["peer"]
        for pair, opens in zip(pairs.tolist(), found["opens"].tolist(), strict=True):
            if opens & WITHHELD:
                self._refused.add(pair)
                self._waiting.add(pair)
            if opens & OPENED:
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
