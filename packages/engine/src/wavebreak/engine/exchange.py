"""Exchange between the groups of shards: what each of them says in a round, to all of them.

A round is one step of an epoch's close, or of a question to all groups. What a group says in it is
a function of the log: said again after a restart, it is the same bytes, and other bytes are an
error that stops the group.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from wavebreak.features.layout import SHARDS


class ExchangeConflictError(RuntimeError):
    """A group has said something else in a round before: it does not follow from the log alone."""


class Exchange(Protocol):
    """The groups among which the shards are divided, as one of them sees it."""

    @property
    def groups(self) -> int:
        """How many there are."""
        ...

    @property
    def group(self) -> int:
        """Which of them it is, from 0 on."""
        ...

    def all(self, number: int, row: bytes, /) -> Sequence[bytes]:
        """Say something in a round; return what each group says in it, by group.

        Waits for the others. All groups take part in the same rounds, in the same order.

        Args:
            number: The round's.
            row: What this group says. It is written once, and compared if it is there already.

        Raises:
            ExchangeConflictError: This group has said something else in this round.
        """
        ...


class Alone:
    """The exchange of a group that holds every shard."""

    groups = 1
    group = 0

    def all(self, _number: int, row: bytes, /) -> Sequence[bytes]:
        """Return what the group itself says."""
        return (row,)


def group_of(slots: Any, groups: int) -> Any:
    """Return the group that holds each account, by its slot.

    >>> group_of(np.array([0, 1, 5, 64, 65]), 3).tolist()
    [0, 1, 2, 0, 1]
    """
    return slots % SHARDS % groups


def shards_of(group: int, groups: int) -> Any:
    """Return which shards a group holds (bool, SHARDS).

    >>> int(shards_of(1, 3).sum())
    21
    """
    return group_of(np.arange(SHARDS), groups) == group
