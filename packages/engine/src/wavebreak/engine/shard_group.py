"""Shards of one process: their accounts, and replicas of what all shards share.

Groups of shards in several processes do the same in the same order. Each closes an epoch by itself,
says what its shards contribute, and opens the next one with what all of them said: shared state and
links are then the same in each group, and nobody coordinates. One group alone is the engine of one
machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np

from wavebreak.engine.exchange import Exchange, group_of
from wavebreak.features.facts import Segment
from wavebreak.features.layout import DELTA
from wavebreak.features.shards import Contributions, ShardedKernel
from wavebreak.linking import Linker, Operator
from wavebreak.linking.account_rows import PROFILE, LocalRows

ROUNDS: Final = 256
"""Rounds of one epoch; those of its close come first, then `QUERIES`."""
QUERIES: Final = 128
"""The first round of a question to all groups between two segments."""
_COUNTS: Final = 16


class _Rounds:
    """The rounds of one epoch, numbered; see `exchange.Exchange.all`."""

    def __init__(self, exchange: Exchange, epoch: int, first: int = 0) -> None:
        self.exchange = exchange
        self._numbers = iter(range(epoch * ROUNDS + first, (epoch + 1) * ROUNDS))

    def all(self, row: bytes) -> list[bytes]:
        return list(self.exchange.all(next(self._numbers), row))


class SharedRows:
    """The rows of all accounts, each asked for where it is (`account_rows.AccountRows`).

    Args:
        rounds: The rounds in which the groups ask each other.
    """

    def __init__(self, local: LocalRows, rounds: _Rounds) -> None:
        self._local, self._rounds = local, rounds

    @property
    def accounts(self) -> int:
        """How many accounts there are."""
        return self._local.accounts

    @property
    def entities(self) -> int:
        """For how many entities there is room."""
        return self._local.entities

    def profiles(self, slots: Any) -> Any:
        """Return what linking reads of accounts (dtype PROFILE)."""
        return self._gathered(slots, self._local.profiles, PROFILE)

    def standings(self, slots: Any) -> Any:
        """Return what accounts are by their trials (uint8)."""
        return self._gathered(slots, self._local.standings, np.dtype(np.uint8))

    def wrote(self, slots: Any, others: Any, now_s: int) -> Any:
        """Return whether one of two accounts has written to the other, by pairs (bool)."""
        own = self._is_own(slots)
        return self._gathered(
            slots, lambda mine: self._local.wrote(mine, others[own], now_s), np.dtype(np.bool_)
        )

    def mark(self, marks: Any) -> Any:
        """Write marks (dtype MARK) into rows; return the slots that changed."""
        changed = self._local.mark(marks[self._is_own(marks["slot"])])
        said = self._rounds.all(changed.astype(np.int64).tobytes())
        return np.concatenate([np.frombuffer(row, np.int64) for row in said])

    def _is_own(self, slots: Any) -> Any:
        exchange = self._rounds.exchange
        return group_of(slots, exchange.groups) == exchange.group

    def _gathered(self, slots: Any, local: Callable[[Any], Any], dtype: np.dtype[Any]) -> Any:
        """Return records of accounts, of which each group says those of its own."""
        out = np.zeros(slots.size, dtype)
        if not slots.size:
            return out
        said = self._rounds.all(local(slots[self._is_own(slots)]).tobytes())
        groups = group_of(slots, len(said))
        for group, row in enumerate(said):
            out[groups == group] = np.frombuffer(row, dtype)
        return out


class ShardGroup:
    """The shards of one process, with replicas of the shared state and of the linker.

    Args:
        core: The shards and the shared state.
        exchange: What the groups say to each other.
    """

    def __init__(self, core: ShardedKernel, linker: Linker, exchange: Exchange) -> None:
        self.core, self.linker, self.exchange = core, linker, exchange

    @property
    def epoch(self) -> int:
        """The open epoch (-1: none yet)."""
        return self.core.epoch

    def turn(self, epoch: int) -> Any | None:
        """Open a segment's epoch if it is not open; return the hits of the close, if there is one.

        To be called before `advance`, in every group, with each segment of the log.
        """
        if self.core.epoch < 0:
            self.core.start(epoch)
        return None if epoch == self.core.epoch else self.close(epoch)

    def advance(self, segment: Segment) -> Any:
        """Process a segment's account events of these shards; return their hits."""
        return self.core.advance(segment)

    def close(self, following: int) -> Any:
        """Close the open epoch, together with the other groups, and open another.

        Returns the hits of this group's accounts that are evaluated anew.
        """
        closed = self.core.epoch
        rounds = _Rounds(self.exchange, closed)
        said = rounds.all(_packed(self.core.close()))
        contributed = [_unpacked(row) for row in said]
        deltas = [part for each in contributed for part in each.deltas]
        rows = SharedRows(LocalRows(self.core), rounds)
        linked = self.linker.close(deltas, rows, closed, following)
        return self.core.open(following, contributed, linked)

    def operators(
        self, names: Callable[[Any], list[str]], place: int | None = None
    ) -> list[Operator]:
        """Return the operators that the accounts seem to have.

        Asked in all groups alike, at one place of the log, and once an epoch: the rounds of a
        second question would have the numbers of the first.

        Args:
            names: Returns names of accounts, by slot.
            place: A number in place of the epoch's, for questions that are not of the log.
        """
        rounds = _Rounds(
            self.exchange, max(self.core.epoch, 0) if place is None else place, QUERIES
        )
        return self.linker.operators(SharedRows(LocalRows(self.core), rounds), names)

    def dump(self) -> dict[str, Any]:
        """Return the state as named arrays, also within an epoch.

        Arrays of shards are those of this group; all others are the same in every group.
        """
        return dict(_under("core.", self.core.dump())) | dict(_under("linker.", self.linker.dump()))

    def load(self, arrays: dict[str, Any]) -> None:
        """Restore the state from dumps that hold this group's shards."""
        self.core.load(below("core.", arrays))
        self.linker.load(below("linker.", arrays))


def _packed(contributions: Contributions) -> bytes:
    counts = np.array([contributions.active, contributions.newcomers], np.int64)
    return b"".join([counts.tobytes(), *(part.tobytes() for part in contributions.deltas)])


def _unpacked(row: bytes) -> Contributions:
    active, newcomers = np.frombuffer(row, np.int64, 2).tolist()
    return Contributions([np.frombuffer(row, DELTA, offset=_COUNTS)], active, newcomers)


def _under(prefix: str, arrays: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    return ((f"{prefix}{name}", array) for name, array in arrays.items())


def below(prefix: str, arrays: dict[str, Any]) -> dict[str, Any]:
    """Return the arrays whose names begin so, by the rest of their names."""
    return {name[len(prefix) :]: a for name, a in arrays.items() if name.startswith(prefix)}
