"""The trees of a model as numbers: read from LightGBM's own text, walked without LightGBM."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from wavebreak.errors import ModelError

BLOCK: Final = 8
"""Trees walked together; a forest is filled up to whole blocks with trees that add 0."""
ZERO: Final = float(np.float32(1e-35))
"""LightGBM takes a value of this size or less for 0."""
MAX_NODES: Final = 1 << 14
_CATEGORICAL, _DEFAULT_LEFT = 1, 2
_AS_ZERO, _ZERO_IS_MISSING, _NAN_IS_MISSING = 0, 1, 2

NODE = np.dtype([("cut", "f8"), ("word", "i8")])
"""A node or a leaf. `word` is feature | left << 16 | right << 32, and bit 48 where a missing value
goes right; children are counted from the tree's root. A leaf is its own child; its `cut` is its
value. In a tree, leaves stand from its `leaf_bit` on, which no inner node's number has."""
MISSING_RIGHT: Final = 48


@dataclass(frozen=True)
class Tree:
    """One tree as LightGBM writes it. Children below 0 are leaves: leaf k is -1 - k."""

    feature: npt.NDArray[np.int64]
    cut: npt.NDArray[np.float64]
    kind: npt.NDArray[np.int64]
    left: npt.NDArray[np.int64]
    right: npt.NDArray[np.int64]
    count: npt.NDArray[np.float64]
    gain: npt.NDArray[np.float64]
    leaf: npt.NDArray[np.float64]
    leaf_count: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Forest:
    """Trees over the columns `names`, of which they read `inputs`, and the same as flat arrays.

    `nodes` (dtype NODE), `roots` and `leaf_bit` (int64, one a tree, whole blocks).
    """

    names: tuple[str, ...]
    inputs: tuple[str, ...]
    trees: tuple[Tree, ...]
    nodes: npt.NDArray[Any]
    roots: npt.NDArray[np.int64]
    leaf_bit: npt.NDArray[np.int64]

    @property
    def blocks(self) -> int:
        """Number of blocks of eight trees."""
        return self.roots.size // BLOCK

    def gains(self) -> dict[str, float]:
        """Total gain of the splits on each feature that has any, largest first."""
        total = np.zeros(len(self.names))
        for tree in self.trees:
            np.add.at(total, tree.feature, tree.gain)
        order = sorted(np.flatnonzero(total).tolist(), key=lambda f: (-total[f], f))
        return {self.names[f]: float(total[f]) for f in order}


def parse(text: str, columns: Mapping[str, int] | None = None) -> Forest:
    """Read a model text of LightGBM: binary or regression, numeric splits, constant leaves.

    `columns` says in which column of the values each feature stands, in the order of the columns
    (None: as it was trained).
    Raises `ModelError` for what is not such a text.
    """
    try:
        head, *parts = text.split("\n\nTree=")
        told = _fields(head)
        names = tuple(told["feature_names"].split())
        _refuse(told, head)
        at = [columns[n] for n in names] if columns is not None else list(range(len(names)))
        trees = tuple(_tree(_fields(part.partition("\n\n")[0]), at) for part in parts)
    except (KeyError, ValueError, IndexError) as error:
        raise ModelError(
            "the trees cannot be read as a model text of LightGBM",
            fix="take the file from `wavebreak train`, whole",
        ) from error
    columns_of = columns if columns is not None else names
    return _flat(tuple(columns_of), names, trees)


def _fields(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def _refuse(told: Mapping[str, str], head: str) -> None:
    if told["num_class"] != "1" or told["num_tree_per_iteration"] != "1":
        raise ModelError("the model has more than two classes", fix="train on two: benign, abusive")
    if "average_output" in head.splitlines():
        raise ModelError("the model is a random forest", fix='train with "boosting": "gbdt"')


def _tree(told: Mapping[str, str], at: Sequence[int]) -> Tree:
    if int(told["num_cat"]):
        raise ModelError("the model has categorical splits", fix="train on numeric features")
    if told.get("is_linear", "0") != "0":
        raise ModelError("the model has linear leaves", fix="train with linear_tree=False")
    leaf = np.array(told["leaf_value"].split(), np.float64)
    if not leaf.size == int(told["num_leaves"]) <= MAX_NODES // 4:
        raise ValueError(told["num_leaves"])
    inner = leaf.size - 1

    def row(name: str, kind: Any, size: int = inner) -> Any:
        values = np.array(told[name].split() if inner else [], kind)
        if values.size != (size if inner else 0):
            raise ValueError(name)
        return values

    tree = Tree(
        feature=np.array([at[f] for f in row("split_feature", np.int64)], np.int64),
        cut=row("threshold", np.float64),
        kind=row("decision_type", np.int64),
        left=row("left_child", np.int64),
        right=row("right_child", np.int64),
        count=row("internal_count", np.float64),
        gain=row("split_gain", np.float64),
        leaf=leaf,
        leaf_count=row("leaf_count", np.float64, leaf.size),
    )
    if (tree.kind & _CATEGORICAL).any():
        raise ModelError("the model has categorical splits", fix="train on numeric features")
    # The walk trusts its nodes: each must have one parent, so that it ends and stays inside.
    children = np.sort(np.concatenate([tree.left, tree.right]))
    expected = [*range(-leaf.size, 0), *range(1, inner)] if inner else []
    if not np.array_equal(children, expected):
        raise ValueError("children")
    return tree


class _Writer:
    """Writes one tree as nodes; a split that takes 0 for missing may need up to three."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.inner: list[tuple[float, int, int, int, int]] = []

    def link(self, child: int, placed: Mapping[int, int]) -> int:
        """The number of a child: an inner node's, or -1 - k for leaf k."""
        return placed[child] if child >= 0 else child

    def nodes(self) -> tuple[npt.NDArray[Any], int]:
        """The tree's nodes and its leaf bit."""
        tree = self.tree
        # Three places a split at most: its own and two of the detour round zero.
        placed, n = {}, 0
        for k in range(tree.cut.size):
            placed[k] = n
            n += 3 if _detour(tree.cut[k], tree.kind[k]) else 1
        for k in range(tree.cut.size):
            left, right = (
                self.link(int(tree.left[k]), placed),
                self.link(int(tree.right[k]), placed),
            )
            self._split(k, left, right)
        return self._written()

    def _split(self, k: int, left: int, right: int) -> None:
        cut, kind, feature = float(self.tree.cut[k]), int(self.tree.kind[k]), self.tree.feature[k]
        default_left = bool(kind & _DEFAULT_LEFT)
        at, f = len(self.inner), int(feature)
        missing = kind >> 2 & 3
        if not _detour(cut, kind):
            to_left = default_left if missing == _NAN_IS_MISSING else bool(cut >= 0)
            self.inner.append((_about_zero(cut), f, left, right, int(not to_left)))
        elif default_left:  # the cut is below 0, and 0 goes left all the same
            self.inner.append((_about_zero(cut), f, left, at + 1, 0))
            self.inner.append((_BELOW_ZERO, f, right, at + 2, 0))
            self.inner.append((ZERO, f, left, right, 0))
        else:  # the cut is 0 or above, and 0 goes right all the same
            self.inner.append((_about_zero(cut), f, at + 1, right, 1))
            self.inner.append((_BELOW_ZERO, f, left, at + 2, 1))
            self.inner.append((ZERO, f, right, left, 1))

    def _written(self) -> tuple[npt.NDArray[Any], int]:
        leaves, inner = self.tree.leaf, len(self.inner)
        leaf_bit = 1
        while leaf_bit < max(leaves.size, inner):
            leaf_bit *= 2
        nodes = np.zeros(leaf_bit + leaves.size, NODE)
        if not inner:
            nodes[0] = 0.0, leaf_bit << 16 | leaf_bit << 32
        for k, (cut, feature, left, right, missing_right) in enumerate(self.inner):
            left, right = (c if c >= 0 else leaf_bit - 1 - c for c in (left, right))
            nodes[k] = cut, feature | left << 16 | right << 32 | missing_right << MISSING_RIGHT
        for k, value in enumerate(leaves.tolist()):
            own = leaf_bit + k
            nodes[own] = value, own << 16 | own << 32
        return nodes, leaf_bit


_BELOW_ZERO = float(np.nextafter(-ZERO, -np.inf))


def _detour(cut: float, kind: int) -> bool:
    """Whether a split sends 0 the other way than its cut would."""
    goes_left = bool(kind & _DEFAULT_LEFT)
    return (int(kind) >> 2 & 3) == _ZERO_IS_MISSING and goes_left != bool(cut >= 0)


def _about_zero(cut: float) -> float:
    """A cut so near to 0 that LightGBM, which makes such values 0, sees them all on one side."""
    if abs(cut) > ZERO:
        return cut
    return ZERO if cut >= 0 else _BELOW_ZERO


def _flat(names: tuple[str, ...], inputs: tuple[str, ...], trees: tuple[Tree, ...]) -> Forest:
    written = [_Writer(tree).nodes() for tree in trees]
    nothing = np.zeros(2, NODE)
    nothing["word"] = 1 << 16 | 1 << 32
    written += [(nothing, 1)] * (-len(trees) % BLOCK)
    if not written:
        raise ModelError("the model has no trees", fix="train with more rounds")
    sizes = np.array([nodes.size for nodes, _ in written], np.int64)
    return Forest(
        names=names,
        inputs=inputs,
        trees=trees,
        nodes=np.concatenate([nodes for nodes, _ in written]),
        roots=np.cumsum(sizes) - sizes,
        leaf_bit=np.array([bit for _, bit in written], np.int64),
    )
