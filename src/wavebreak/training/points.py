"""Scoring points of replays: what a model sees of an account, and when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from wavebreak.features.state import RESTRICT
from wavebreak.training.labelling import Key

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Points:
    """Scoring points in log order, run after run.

    `values` (n, m) of the features `names`; `account` (n,) indexes `accounts`; `ts` event time in
    ms; `kind` the kind of fact; `standing` the outcome in force before; `run` which run.
    """

    names: tuple[str, ...]
    values: Floats
    account: Ints
    ts: Ints
    kind: NDArray[np.uint8]
    standing: NDArray[np.uint8]
    run: Ints
    accounts: tuple[Key, ...]

    def __len__(self) -> int:
        return len(self.ts)

    def where(self, rows: Bools | Ints) -> Points:
        """The points of some rows; `accounts` stay as they are."""
        return replace(
            self, values=self.values[rows], account=self.account[rows], ts=self.ts[rows],
            kind=self.kind[rows], standing=self.standing[rows], run=self.run[rows],
        )  # fmt: skip

    def place(self) -> Ints:
        """Which of its account's points each is, from 0; (n,)."""
        order = np.argsort(self.account, kind="stable")
        accounts = self.account[order]
        starts = np.flatnonzero(np.diff(accounts, prepend=-1))
        lengths = np.diff(starts, append=len(accounts))
        place = np.empty(len(self), np.int64)
        place[order] = np.arange(len(accounts)) - np.repeat(starts, lengths)
        return place

    def acted(self) -> Bools:
        """Points from the first on at which their account stood restricted or worse; (n,).

        From there on rules have spoken: a reputation that our own action moved would only tell
        the model what the rules did.
        """
        first = np.full(len(self.accounts), len(self), np.int64)
        at = np.flatnonzero(self.standing >= RESTRICT)
        np.minimum.at(first, self.account[at], at)
        return np.asarray(np.arange(len(self)) >= first[self.account], np.bool_)


def joined(parts: Sequence[Points]) -> Points:
    """Points of several runs as one; an account that several runs saw is one account."""
    index: dict[Key, int] = {}
    accounts = []
    for part in parts:
        own = [index.setdefault(key, len(index)) for key in part.accounts]
        accounts.append(np.array(own, np.int64)[part.account])
    return Points(
        parts[0].names,
        np.concatenate([p.values for p in parts]),
        np.concatenate(accounts),
        np.concatenate([p.ts for p in parts]),
        np.concatenate([p.kind for p in parts]),
        np.concatenate([p.standing for p in parts]),
        np.concatenate([np.full(len(p), r, np.int64) for r, p in enumerate(parts)]),
        tuple(index),
    )
