"""The cap per person over all businesses: how often they have written to each, taken together.

Portfolios lie in shards that share nothing, so a send reads what all had sent when the last epoch
(a minute of the log's time) closed, and what it adds is read from the next on. So within one epoch
more may be accepted than the cap allows, and never later: the same for any number of workers, any
cut and any restart. Only an operator can have this cap, since ids of people are of one portfolio.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from wavebreak.durations import duration_ms
from wavebreak_business.platform.laws import categories_mask
from wavebreak_business.settings import Cap

_NEVER: Final = -(1 << 62)
SENT_TO: Final = np.dtype([("person", "u4"), ("at", "i8")])
"""A send that the open epoch has accepted."""


class Caps:
    """Who was written to how often.

    Args:
        cap: How often, in which stretch, and what counts.
    """

    def __init__(self, cap: Cap) -> None:
        self.most, self.span = cap.most, duration_ms(cap.span)
        self.categories = categories_mask(cap.categories)
        self.epoch = -1
        self._times = np.full((0, cap.most), _NEVER, np.int64)
        """Of each person the newest `most` sends, as of the last epoch, oldest first."""
        self._open: list[tuple[int, int]] = []

    def counts(self, category: int) -> bool:
        """Whether templates of a category count."""
        return bool(self.most and self.categories >> category & 1)

    def opens_at(self, person: int, at: int) -> int:
        """Return when the next send to a person would not be over the cap; `at`: it is not now."""
        if not self.most or person >= len(self._times):
            return at
        return max(at, int(self._times[person, 0]) + self.span)

    def note(self, person: int, at: int) -> None:
        """Note a send that was accepted; it counts from the next epoch on."""
        self._open.append((person, at))

    def close(self, epoch: int) -> None:
        """Open an epoch: what those before it accepted counts."""
        self.epoch = epoch
        if not self._open:
            return
        sent = np.array(self._open, SENT_TO)
        self._open.clear()
        self._fit(int(sent["person"].max()))
        # One of each person at a time, since each moves the others along.
        while sent.size:
            people, first = np.unique(sent["person"], return_index=True)
            both = np.concatenate([self._times[people], sent["at"][first][:, None]], axis=1)
            self._times[people] = np.sort(both, axis=1)[:, 1:]
            sent = np.delete(sent, first)

    def _fit(self, person: int) -> None:
        if person >= len(self._times):
            room = max(person + 1, 2 * len(self._times)) - len(self._times)
            more = np.full((room, self.most), _NEVER, np.int64)
            self._times = np.concatenate([self._times, more])

    def people(self) -> Any:
        """Return the people who were written to."""
        closed = np.flatnonzero((self._times != _NEVER).any(axis=1))
        return np.concatenate([closed, np.array([person for person, _ in self._open], np.int64)])

    def merge_people(self, kept: int, gone: int) -> None:
        """Let two people be one: what was sent to either was sent to `kept`."""
        self._open = [(kept if person == gone else person, at) for person, at in self._open]
        if gone < len(self._times):
            self._fit(kept)
            both = np.sort(np.concatenate([self._times[kept], self._times[gone]]))
            self._times[kept], self._times[gone] = both[both.size - self.most :], _NEVER

    def dump(self) -> dict[str, Any]:
        """Return the state as named arrays."""
        return {
            "times": self._times.copy(),
            "open": np.array(self._open, SENT_TO),
            "epoch": np.array([self.epoch], np.int64),
        }

    def load(self, arrays: Mapping[str, Any]) -> None:
        """Restore the state; from one with another cap the newest sends that both remember."""
        held = arrays["times"]
        self._times = np.full((len(held), self.most), _NEVER, np.int64)
        shared = min(self.most, held.shape[1])
        if shared:
            self._times[:, self.most - shared :] = held[:, held.shape[1] - shared :]
        self._open = [(int(person), int(at)) for person, at in arrays["open"].tolist()]
        (self.epoch,) = arrays["epoch"].tolist()
