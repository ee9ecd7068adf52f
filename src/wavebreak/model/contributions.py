"""What each feature contributed to a margin: TreeSHAP, as LightGBM's `pred_contrib` gives it.

Source: Lundberg et al., "From local explanations to global understanding with explainable AI for
trees", 2020. A leaf is a game among the features on its path: the share of training rows that a
feature's splits would let through stands for its absence. Here each leaf is played by itself, and
the features whose splits the row fails, which all get the same, are played once.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import factorial
from typing import Any

import numpy as np
import numpy.typing as npt

from wavebreak.features.jit import compiled
from wavebreak.model.forest import ZERO, Forest, Tree


@dataclass(frozen=True)
class Paths:
    """The paths to all leaves of a forest, as flat arrays.

    Splits: `feature`, `cut`, `kind` (as LightGBM's decision_type). Leaves: `value`, and their
    players `first_player[k]:first_player[k + 1]`, features with the `share` of rows let through.
    Players: `player`, and their steps `first_step[k]:first_step[k + 1]`, a split and whether the
    path goes left there. `weight[d, k]` is k!(d-1-k)!/d!. `base` is the mean of the margins.
    """

    feature: npt.NDArray[np.int64]
    cut: npt.NDArray[np.float64]
    kind: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]
    first_player: npt.NDArray[np.int64]
    player: npt.NDArray[np.int64]
    share: npt.NDArray[np.float64]
    first_step: npt.NDArray[np.int64]
    split: npt.NDArray[np.int64]
    goes_left: npt.NDArray[np.bool_]
    weight: npt.NDArray[np.float64]
    base: float


@dataclass
class _Player:
    share: float
    steps: list[tuple[int, bool]]


def paths_of(forest: Forest) -> Paths:
    """Gather the paths of a forest."""
    leaves = [leaf for tree in forest.trees for leaf in _leaves(tree)]
    offsets = np.cumsum([0] + [tree.cut.size for tree in forest.trees])
    of_tree = np.repeat(offsets[:-1], [tree.leaf.size for tree in forest.trees]).tolist()
    players = [(f, p) for _, game in leaves for f, p in game.items()]
    steps = [
        (split + first, left)
        for first, (_, game) in zip(of_tree, leaves, strict=True)
        for p in game.values()
        for split, left in p.steps
    ]
    most = max((len(game) for _, game in leaves), default=0)
    trees = forest.trees
    return Paths(
        feature=np.concatenate([tree.feature for tree in trees]),
        cut=np.concatenate([tree.cut for tree in trees]),
        kind=np.concatenate([tree.kind for tree in trees]),
        value=np.array([value for value, _ in leaves]),
        first_player=np.cumsum([0] + [len(game) for _, game in leaves]),
        player=np.array([f for f, _ in players], np.int64),
        share=np.array([p.share for _, p in players], np.float64),
        first_step=np.cumsum([0] + [len(p.steps) for _, p in players]),
        split=np.array([split for split, _ in steps], np.int64),
        goes_left=np.array([left for _, left in steps], np.bool_),
        weight=_weights(most),
        base=sum(_mean(tree) for tree in trees),
    )


def _leaves(tree: Tree) -> list[tuple[float, dict[int, _Player]]]:
    """Value and players of each leaf of a tree."""
    found: list[tuple[float, dict[int, _Player]]] = []
    ahead: list[tuple[int, dict[int, _Player]]] = [(0 if tree.cut.size else -1, {})]
    while ahead:
        node, game = ahead.pop()
        if node < 0:
            found.append((float(tree.leaf[-1 - node]), game))
            continue
        f, whole = int(tree.feature[node]), float(tree.count[node])
        for child, left in ((int(tree.right[node]), False), (int(tree.left[node]), True)):
            part = float(tree.count[child] if child >= 0 else tree.leaf_count[-1 - child])
            before = game.get(f, _Player(1.0, []))
            share = before.share * (part / whole if whole else 0.0)
            ahead.append((child, game | {f: _Player(share, [*before.steps, (node, left)])}))
    return found


def _mean(tree: Tree) -> float:
    if not tree.cut.size:
        return float(tree.leaf[0])
    return float((tree.leaf * tree.leaf_count).sum() / tree.count[0])


def _weights(most: int) -> npt.NDArray[np.float64]:
    table = np.zeros((most + 1, most + 1))
    for d in range(1, most + 1):
        for k in range(d):
            table[d, k] = factorial(k) * factorial(d - 1 - k) / factorial(d)
    return table


@compiled(inline="always")
def _left(value: float, cut: float, kind: int) -> bool:
    missing, default_left = (kind >> 2) & 3, (kind & 2) != 0
    if value != value and missing != 2:
        value = 0.0
    zero = -ZERO <= value <= ZERO
    if (missing == 1 and zero) or (missing == 2 and value != value):
        return default_left
    return (0.0 if zero else value) <= cut


@compiled()
def _play(
    value: float, shares: Any, lets: Any, first: int, last: int, weight: Any, sums: Any,
    rest: Any,
) -> float:  # fmt: skip
    """Play one leaf: the worth of each player that lets the row through into `rest`.

    Returns the worth of each player that does not. `sums` is scratch: the coefficients of the
    product of (share + t) over the players that let through.
    """
    d, a, absent = last - first, 0, value
    sums[0] = 1.0
    for j in range(first, last):
        if lets[j - first]:
            sums[a + 1] = 0.0
            for k in range(a + 1, 0, -1):
                sums[k] = sums[k] * shares[j] + sums[k - 1]
            sums[0] *= shares[j]
            a += 1
        else:
            absent *= shares[j]
    for j in range(first, last):
        if lets[j - first]:
            part, worth = sums[a], weight[d, a - 1] * sums[a]
            for k in range(a - 1, 0, -1):
                part = sums[k] - shares[j] * part
                worth += weight[d, k - 1] * part
            rest[j - first] = absent * (1.0 - shares[j]) * worth
    worth = 0.0
    for k in range(min(a, d - 1) + 1):
        worth += weight[d, k] * sums[k]
    return float(-absent * worth)


@compiled()
def _contributions(
    feature: Any, cut: Any, kind: Any, value: Any, first_player: Any, player: Any, share: Any,
    first_step: Any, split: Any, goes_left: Any, weight: Any, row: Any, made: Any,
) -> None:  # fmt: skip
    most = weight.shape[0] + 1
    left = np.empty(cut.size, np.bool_)
    lets, sums, rest = np.empty(most, np.bool_), np.empty(most), np.empty(most)
    for s in range(cut.size):
        left[s] = _left(row[feature[s]], cut[s], kind[s])
    for leaf in range(value.size):
        first, last = first_player[leaf], first_player[leaf + 1]
        for j in range(first, last):
            through = True
            for step in range(first_step[j], first_step[j + 1]):
                through &= left[split[step]] == goes_left[step]
            lets[j - first] = through
        others = _play(value[leaf], share, lets, first, last, weight, sums, rest)
        for j in range(first, last):
            made[player[j]] += rest[j - first] if lets[j - first] else others


def contributions(paths: Paths, row: Any, columns: int) -> npt.NDArray[np.float64]:
    """What each column contributed to the margin of a row, float64[columns], in log-odds.

    They and the paths' `base` sum to the margin, but for rounding. The same row, the same bits.
    """
    p, made = paths, np.zeros(columns)
    _contributions(
        p.feature, p.cut, p.kind, p.value, p.first_player, p.player, p.share, p.first_step,
        p.split, p.goes_left, p.weight, np.ascontiguousarray(row, np.float64), made,
    )  # fmt: skip
    return made
