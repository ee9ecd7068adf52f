"""Splits by account, operator and time: all accounts of an operator are in one split."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wavebreak.evaluation.labels import Key, ResolvedLabel
from wavebreak.evaluation.scoring_points import Bools, Points
from wavebreak.schema.event_kinds import KINDS
from wavebreak_lab.training.config import Split

FIT, CALIBRATE, TEST, OUT = 0, 1, 2, 3
SPLITS = ("fit", "calibrate", "test", "left out")
_REGISTERED = KINDS.index("registered")


@dataclass(frozen=True)
class Splits:
    """The split of each account and point.

    `account` (accounts,) is a side; `late` (points,) marks the last share of each run's activity;
    `calibrates` (runs,) are runs that only calibrate.
    """

    account: NDArray[np.int64]
    late: Bools

    def fit(self, points: Points) -> Bools:
        """Points of the fit: its operators, and before the later time."""
        return np.asarray((self.account[points.account] == FIT) & ~self.late)

    def calibrate(self, points: Points) -> Bools:
        """Points of calibration and thresholds: their operators, at any time."""
        return np.asarray(self.account[points.account] == CALIBRATE)

    def held_out(self, points: Points) -> Bools:
        """Points of the test's operators, at any time."""
        return np.asarray(self.account[points.account] == TEST)

    def test(self, points: Points) -> Bools:
        """Points of the test: its operators, at the later time."""
        return np.asarray(self.held_out(points) & self.late)


def hash_to_unit(seed: int, *words: str) -> float:
    """A number in [0, 1) that follows from a seed and words alone."""
    text = "\0".join((str(seed), *words)).encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") / 2.0**64


def _assign_groups(groups: list[str], family: str, seed: int, split: Split) -> dict[str, int]:
    """Give each group of a family its side.

    The first three by hash go to the fit and, in an order drawn for the family, to calibration and
    the test, so that few operators are on every side; each other goes by its own hash. An operator
    alone stays in the fit.
    """
    ordered = sorted(groups, key=lambda g: (hash_to_unit(seed, "order", family, g), g))
    test_order = (
        (CALIBRATE, TEST) if hash_to_unit(seed, "second", family) < 0.5 else (TEST, CALIBRATE)
    )
    splits = dict(zip(ordered, (FIT, *test_order), strict=False))
    for group in ordered[3:]:
        share = hash_to_unit(seed, "side", group)
        splits[group] = FIT if share < split.fit else CALIBRATE if share < 1 - split.test else TEST
    return splits


def assign_splits(
    points: Points,
    resolved: dict[Key, ResolvedLabel],
    seed: int,
    split: Split,
    calibrates: frozenset[int] = frozenset(),
) -> Splits:
    """Assign accounts to splits, whole operators at a time; unlabelled accounts are left out.

    An account without an operator is an operator of its own. The points of the runs `calibrates`
    (indexes) only calibrate.
    """
    families: dict[tuple[bool, str], dict[str, list[int]]] = {}
    side = np.full(len(points.accounts), OUT, np.int64)
    is_calibration_only = np.zeros(len(points.accounts), bool)
    if calibrates:
        is_calibration_only[np.unique(points.account[np.isin(points.run, sorted(calibrates))])] = (
            True
        )
    is_present = np.zeros(len(points.accounts), bool)
    is_present[points.account] = True
    for index, key in enumerate(points.accounts):
        truth = resolved.get(key)
        if truth is None or not is_present[index]:
            continue
        if is_calibration_only[index]:
            side[index] = CALIBRATE
            continue
        group = f"{key[0]}\0{truth.operator}" if truth.operator else f"{key[0]}\0\0{key[1]}"
        kind = families.setdefault((truth.abusive, truth.family), {})
        kind.setdefault(group, []).append(index)
    side_of: dict[str, int] = {}
    for (_, family), groups in sorted(families.items()):
        # An operator of several families keeps the side that the first of them was dealt.
        dealt = _assign_groups([g for g in groups if g not in side_of], family, seed, split)
        side_of |= dealt
        for group, members in groups.items():
            side[members] = side_of[group]
    return Splits(side, _late_points(points, split.later))


def _late_points(points: Points, share: float) -> Bools:
    """Points of the last share of their run's time.

    Time runs from when accounts act: a log may begin with a backlog of registrations, years older
    than its first message.
    """
    late = np.zeros(len(points), bool)
    active = points.kind != _REGISTERED
    for run_number in np.unique(points.run):
        rows = points.run == run_number
        times = points.ts[rows & active] if (rows & active).any() else points.ts[rows]
        # A share of what was done, since old sessions may precede the messages as well.
        late[rows] = points.ts[rows] > np.quantile(times, 1.0 - share, method="lower")
    return late
