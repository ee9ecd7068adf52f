"""TreeSHAP: contributions of features to a margin, as LightGBM's `pred_contrib`, and in words.

Source: Lundberg et al., "From local explanations to global understanding with explainable AI for
trees", 2020. A leaf is a game among the features on its path: a feature's absence is modelled by
the share of training rows that its splits would let through. Each leaf is computed by itself; the
features whose splits the row fails all get the same and are computed once.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import factorial
from typing import Any

import numpy as np
import numpy.typing as npt

from wavebreak.compiled.numba_runtime import compiled, int64
from wavebreak.model.trees import ZERO, Forest, Tree

# Unsigned, since a signed index is checked each time for counting from the end.
_unsigned: Any = np.uint64
_ONE = _unsigned(1)


@dataclass(frozen=True)
class Paths:
    """The paths to all leaves of a forest, as flat arrays.

    Splits: `feature`, `cut`, `kind` (as LightGBM's decision_type). Leaves: `value`, and their
    players, features with the `share` of rows let through, up to `last_player`. Players: `player`,
    and their steps, a `split` and whether the path goes left there, up to `ends`.
    `weight[d, k]` is k!(d-1-k)!/d!. `base` is the mean of the margins.
    """

    feature: npt.NDArray[np.int64]
    cut: npt.NDArray[np.float64]
    kind: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]
    last_player: npt.NDArray[np.uint64]
    player: npt.NDArray[np.uint64]
    share: npt.NDArray[np.float64]
    ends: npt.NDArray[np.uint64]
    split: npt.NDArray[np.uint64]
    goes_left: npt.NDArray[np.bool_]
    weight: npt.NDArray[np.float64]
    base: float


@dataclass
class _Player:
    share: float
    steps: list[tuple[int, bool]]


def paths_of(forest: Forest) -> Paths:
    """Return the paths of a forest."""
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
        last_player=np.cumsum([len(game) for _, game in leaves], dtype=np.uint64),
        player=np.array([f for f, _ in players], np.uint64),
        share=np.array([p.share for _, p in players], np.float64),
        ends=np.cumsum([len(p.steps) for _, p in players], dtype=np.uint64),
        split=np.array([split for split, _ in steps], np.uint64),
        goes_left=np.array([left for _, left in steps], np.bool_),
        weight=_weights(most),
        base=sum(_mean(tree) for tree in trees),
    )


def _leaves(tree: Tree) -> list[tuple[float, dict[int, _Player]]]:
    """Return value and players of each leaf of a tree."""
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
def _product(shares: Any, a: int, sums: Any) -> None:
    """The coefficients of the product of (share + t) over the first `a` shares."""
    sums[0] = 1.0
    for j in range(a):
        share = shares[j]
        sums[j + 1] = 1.0
        for k in range(j, 0, -1):
            sums[k] = sums[k] * share + sums[k - 1]
        sums[0] *= share


@compiled()
def _play(
    absent: float, a: int, d: int, weight: Any, shares: Any, sums: Any, passed: Any, made: Any
) -> float:
    """Add contributions of a leaf with `d` players of which `a` let the row through.

    `absent` is the leaf's value times the shares of the others. Returns the contribution of each
    of those.
    """
    _product(shares, a, sums)
    for j in range(a):
        share, part = shares[j], 1.0
        worth = weight[d, a - 1]
        for k in range(a - 1, 0, -1):
            part = sums[k] - share * part
            worth += weight[d, k - 1] * part
        made[passed[j]] += absent * (1.0 - share) * worth
    worth = 0.0
    for k in range(min(a, d - 1) + 1):
        worth += weight[d, k] * sums[k]
    return float(-absent * worth)


@compiled()
def _contributions(
    left: Any, value: Any, player: Any, share: Any, ends: Any, split: Any, goes_left: Any,
    last_player: Any, weight: Any, made: Any,
) -> None:  # fmt: skip
    most = weight.shape[0] + 1
    shares, sums = np.empty(most), np.empty(most + 1)
    passed, failed = np.empty(most, np.uint64), np.empty(most, np.uint64)
    j = step = _unsigned(0)
    for leaf in range(value.size):
        a, u, absent = int64(0), int64(0), value[leaf]
        while j < last_player[leaf]:
            through = _unsigned(1)
            while step < ends[j]:
                through &= _unsigned(left[split[step]] == goes_left[step])
                step += _ONE
            # Written in both places, kept in one: a branch would often be mispredicted.
            shares[a], passed[a], failed[u] = share[j], player[j], player[j]
            a += int64(through)
            u += 1 - int64(through)
            absent *= 1.0 if through else share[j]
            j += _ONE
        others = _play(absent, a, a + u, weight, shares, sums, passed, made)
        for k in range(u):
            made[failed[k]] += others


@compiled()
def _ways(feature: Any, cut: Any, kind: Any, row: Any, left: Any) -> None:
    for s in range(cut.size):
        left[s] = _left(row[feature[s]], cut[s], kind[s])


def contributions(paths: Paths, row: Any, columns: int) -> npt.NDArray[np.float64]:
    """Return each column's contribution to the margin of a row, float64[columns], in log-odds.

    With the paths' `base` they sum to the margin up to rounding. Deterministic.
    """
    p, made = paths, np.zeros(columns)
    left = np.zeros(p.cut.size, np.bool_)
    _ways(p.feature, p.cut, p.kind, np.ascontiguousarray(row, np.float64), left)
    _contributions(
        left, p.value, p.player, p.share, p.ends, p.split, p.goes_left, p.last_player, p.weight,
        made,
    )  # fmt: skip
    return made
