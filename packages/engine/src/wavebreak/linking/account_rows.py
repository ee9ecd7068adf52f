"""What linking reads of accounts' rows and writes into them: by slots, wherever the rows are.

Rows are held by shards, and shards by one process or several. Linking asks for those of many
accounts at a time, and only once an hour of the log's time.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

import numpy as np

from wavebreak.compiled.numba_runtime import compiled, int64
from wavebreak.features.layout import REACHED_TRIALS, REPLIED, ROW, SHARD_BITS, WROTE
from wavebreak.features.memory import account_row
from wavebreak.features.message_updates import pair_flags
from wavebreak.features.shards import ShardedKernel

CLEARED, OTHER, SENDER, COMPLAINED = 1, 2, 3, 4
"""What an account is to a tie: found benign by a person, no sender, a sender, and one of whom
somebody complained."""
REACHES: Final = 8
"""Bit of a standing: the account still has REACHED_TRIALS trials."""

_READ: Final = (
    "block", "network", "device", "registered", "mutual", "trials", "trials_answered",
    "complaints", "contacted", "matured", "answered", "reactions", "talks", "complaint_bits",
    "reaction_bits", "later_bits",
)  # fmt: skip
PROFILE: Final = np.dtype([(name, ROW[name].base, ROW[name].shape) for name in _READ])
"""The fields of an account's row that linking reads: where it is, and the counts of its tests."""
MARK: Final = np.dtype(
    [("slot", "i8"), ("tied", "u1"), ("found", "u1"), ("unanswered", "u1"), ("complaints", "u1")]
)
"""What linking writes into an account's row."""


class AccountRows(Protocol):
    """The rows of all accounts, as linking needs them; slots are int64."""

    @property
    def accounts(self) -> int:
        """How many accounts there are."""
        ...

    @property
    def entities(self) -> int:
        """For how many entities there is room."""
        ...

    def profiles(self, slots: Any) -> Any:
        """Return what linking reads of accounts (dtype PROFILE)."""
        ...

    def standings(self, slots: Any) -> Any:
        """Return what accounts are by their trials (uint8): OTHER to COMPLAINED, and REACHES."""
        ...

    def wrote(self, slots: Any, others: Any, now_s: int) -> Any:
        """Return whether one of two accounts has written to the other, by pairs (bool)."""
        ...

    def mark(self, marks: Any) -> Any:
        """Write marks (dtype MARK) into rows; return the slots that changed, in their order."""
        ...


@compiled()
def _copy_profiles(shards: Any, slots: Any, out: Any) -> None:
    for i in range(slots.size):
        row, to = account_row(shards, int64(slots[i])), out[i]
        to.block, to.network, to.device = row.block, row.network, row.device
        to.registered, to.mutual = row.registered, row.mutual
        to.trials, to.trials_answered = row.trials, row.trials_answered
        to.complaints, to.contacted = row.complaints, row.contacted
        to.reactions, to.talks = row.reactions, row.talks
        for h in range(2):
            to.matured[h], to.answered[h] = row.matured[h], row.answered[h]
        for j in range(3):
            to.complaint_bits[j] = row.complaint_bits[j]
            to.reaction_bits[j] = row.reaction_bits[j]
            to.later_bits[j] = row.later_bits[j]


@compiled()
def _fill_standings(shards: Any, slots: Any, out: Any) -> None:
    for i in range(slots.size):
        row = account_row(shards, int64(slots[i]))
        reached, answers = int64(row.trials), int64(row.trials_answered)
        standing = int64(OTHER)
        if reached >= REACHED_TRIALS and 5 * answers < 2 * reached:
            if row.complaints > 0:
                standing = int64(COMPLAINED)
            elif reached >= 8 and 20 * answers <= 3 * reached:
                standing = int64(SENDER)
        out[i] = standing | (REACHES if reached >= REACHED_TRIALS else 0)


@compiled()
def _mark(shards: Any, marks: Any) -> int:
    """Write marks into the accounts' rows; those that change are moved to the front."""
    changed = int64(0)
    for i in range(marks.size):
        m = marks[i]
        row = account_row(shards, m.slot)
        if (
            row.tied == m.tied
            and row.tied_found == m.found
            and row.tied_unanswered == m.unanswered
            and row.tied_complaints == m.complaints
        ):
            continue
        row.tied = m.tied
        row.tied_found = m.found
        row.tied_unanswered = m.unanswered
        row.tied_complaints = m.complaints
        marks[changed].slot = m.slot
        changed += 1
    return changed


class LocalRows:
    """The rows of one core (`AccountRows`), which is asked for accounts of its own shards only."""

    def __init__(self, core: ShardedKernel) -> None:
        self._core = core

    @property
    def accounts(self) -> int:
        """How many accounts there are."""
        return self._core.accounts

    @property
    def entities(self) -> int:
        """For how many entities there is room."""
        return len(self._core.entities)

    def profiles(self, slots: Any) -> Any:
        """Return what linking reads of accounts (dtype PROFILE)."""
        out = np.zeros(slots.size, PROFILE)
        _copy_profiles(self._core.shards, slots, out)
        return out

    def standings(self, slots: Any) -> Any:
        """Return what accounts are by their trials (uint8): OTHER to COMPLAINED, and REACHES."""
        out = np.zeros(slots.size, np.uint8)
        _fill_standings(self._core.shards, slots, out)
        return out

    def wrote(self, slots: Any, others: Any, now_s: int) -> Any:
        """Return whether one of two accounts has written to the other, by pairs (bool)."""
        shards, found = self._core.shards, np.zeros(slots.size, np.bool_)
        for i, (slot, other) in enumerate(zip(slots.tolist(), others.tolist(), strict=True)):
            sh = shards[slot & (shards.size - 1)]
            found[i] = pair_flags(sh, slot >> SHARD_BITS, other, now_s) & (WROTE | REPLIED)
        return found

    def mark(self, marks: Any) -> Any:
        """Write marks (dtype MARK) into rows; return the slots that changed, in their order."""
        return marks["slot"][: _mark(self._core.shards, marks)].copy()
