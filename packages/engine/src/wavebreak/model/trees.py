"""Trees of a model as flat arrays, parsed from LightGBM's model text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from wavebreak.errors import ModelError

BLOCK: Final = 8
"""Trees evaluated together; a forest is padded to whole blocks with trees that add 0."""
ZERO: Final = float(np.float32(1e-35))
"""LightGBM treats a value of this magnitude or less as 0."""
MAX_LEAVES: Final = 1 << 15
"""Leaves, and splits, that a forest may have: a node's number has sixteen bits."""
_CATEGORICAL, _DEFAULT_LEFT = 1, 2
_AS_ZERO, _ZERO_IS_MISSING, _NAN_IS_MISSING = 0, 1, 2

NODE = np.dtype([("cut", "f8"), ("word", "u8")])
"""A split or a leaf. `word` is left | right << 16 | column << 32 with the children's numbers; a
missing value fails every comparison and so goes right, and where it should go left the column is
of the second half of the row, in which missing is -inf. A leaf is its own child, and its `cut` is
its value. Splits come first; a leaf's number has the forest's `leaf_bit`, no split's has."""


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

    `nodes` has dtype NODE; `roots` (uint64) one number a tree, in whole blocks.
    """

    names: tuple[str, ...]
    inputs: tuple[str, ...]
    trees: tuple[Tree, ...]
    nodes: npt.NDArray[Any]
    roots: npt.NDArray[np.uint64]
    leaf_bit: int

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


def parse_trees(text: str, columns: Mapping[str, int] | None = None) -> Forest:
    """Parse a model text of LightGBM: binary or regression, numeric splits, constant leaves.

    Args:
        text: The model text.
        columns: Column of the values for each feature, in the order of the columns (None: the
            order of training).

    Raises:
        ModelError: The text is no such model.
    """
    try:
        head, *parts = text.split("\n\nTree=")
        fields = _fields(head)
        names = tuple(fields["feature_names"].split())
        _check_supported(fields, head)
        at = [columns[n] for n in names] if columns is not None else list(range(len(names)))
        trees = tuple(_tree(_fields(part.partition("\n\n")[0]), at) for part in parts)
    except (KeyError, ValueError, IndexError) as error:
        raise ModelError(
            "booster.txt cannot be parsed as a model text of LightGBM",
            fix="copy the whole file that `wavebreak train` wrote",
        ) from error
    # Two names may have one column, a feature's own and a former one: the first is the column's.
    by_column: dict[int, str] = {}
    for name, column in (columns or {n: k for k, n in enumerate(names)}).items():
        by_column.setdefault(column, name)
    ordered = tuple(by_column[column] for column in sorted(by_column))
    return _flatten(ordered, names, trees)


def _fields(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def _check_supported(fields: Mapping[str, str], head: str) -> None:
    if fields["num_class"] != "1" or fields["num_tree_per_iteration"] != "1":
        raise ModelError("the model has more than two classes", fix="train on two: benign, abusive")
    if "average_output" in head.splitlines():
        raise ModelError("the model is a random forest", fix='train with "boosting": "gbdt"')


def _tree(fields: Mapping[str, str], at: Sequence[int]) -> Tree:
    if int(fields["num_cat"]):
        raise ModelError("the model has categorical splits", fix="train on numeric features")
    if fields.get("is_linear", "0") != "0":
        raise ModelError("the model has linear leaves", fix="train with linear_tree=False")
    leaf = np.array(fields["leaf_value"].split(), np.float64)
    if leaf.size != int(fields["num_leaves"]):
        raise ValueError(fields["num_leaves"])
    inner = leaf.size - 1

    def row(name: str, kind: Any, size: int = inner) -> Any:
        values = np.array(fields[name].split() if inner else [], kind)
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
    # Inference trusts its nodes: with one parent each, it ends and stays inside the array.
    children = np.sort(np.concatenate([tree.left, tree.right]))
    expected = [*range(-leaf.size, 0), *range(1, inner)] if inner else []
    if not np.array_equal(children, expected):
        raise ValueError("children")
    return tree


_BELOW_ZERO = float(np.nextafter(-ZERO, -np.inf))


def _detour(cut: float, kind: int) -> bool:
    """Whether a split sends 0 the other way than its cut would."""
    goes_left = bool(kind & _DEFAULT_LEFT)
    return (int(kind) >> 2 & 3) == _ZERO_IS_MISSING and goes_left != bool(cut >= 0)


def _about_zero(cut: float) -> float:
    """Return a cut near 0 moved so that all values that LightGBM treats as 0 are on one side."""
    if abs(cut) > ZERO:
        return cut
    return ZERO if cut >= 0 else _BELOW_ZERO


@dataclass(frozen=True, slots=True)
class _Split:
    cut: float
    column: int
    left: int
    right: int
    missing_right: bool


def _splits(tree: Tree, first: int, first_leaf: int) -> list[_Split]:
    """Return the splits of a tree, numbered from `first`; one may become up to three."""
    wide = [3 if _detour(c, k) else 1 for c, k in zip(tree.cut, tree.kind, strict=True)]
    at = first + np.cumsum([0, *wide])
    if not wide:
        return [_Split(0.0, 0, first_leaf, first_leaf, True)]

    def number(child: int) -> int:
        return int(at[child]) if child >= 0 else first_leaf - 1 - child

    return [
        split
        for k in range(len(wide))
        for split in _encode_split(
            tree, k, int(at[k]), number(int(tree.left[k])), number(int(tree.right[k]))
        )
    ]


def _encode_split(tree: Tree, k: int, at: int, left: int, right: int) -> list[_Split]:
    cut, kind, f = float(tree.cut[k]), int(tree.kind[k]), int(tree.feature[k])
    default_left, missing = bool(kind & _DEFAULT_LEFT), kind >> 2 & 3
    edge = _about_zero(cut)
    if not _detour(cut, kind):
        missing_left = default_left if missing == _NAN_IS_MISSING else cut >= 0
        return [_Split(edge, f, left, right, not missing_left)]
    if default_left:  # the cut is below 0, and 0 goes left all the same
        return [
            _Split(edge, f, left, at + 1, False),
            _Split(_BELOW_ZERO, f, right, at + 2, False),
            _Split(ZERO, f, left, right, False),
        ]
    return [  # the cut is 0 or above, and 0 goes right all the same
        _Split(edge, f, at + 1, right, True),
        _Split(_BELOW_ZERO, f, left, at + 2, True),
        _Split(ZERO, f, right, left, True),
    ]


def _zero_tree() -> Tree:
    """Return a tree that adds 0."""
    none, nought = np.zeros(0, np.int64), np.zeros(0)
    return Tree(none, nought, none, none, none, nought, nought, np.zeros(1), np.zeros(1))


def _flatten(names: tuple[str, ...], inputs: tuple[str, ...], trees: tuple[Tree, ...]) -> Forest:
    if not trees:
        raise ModelError("the model has no trees", fix="train with more rounds")
    filled = [*trees, *[_zero_tree()] * (-len(trees) % BLOCK)]
    leaves = np.concatenate([tree.leaf for tree in filled])
    splits: list[_Split] = []
    roots, first_leaf = [], 0
    for tree in filled:
        roots.append(len(splits))
        splits += _splits(tree, len(splits), first_leaf + _LEAVES)
        first_leaf += tree.leaf.size
    leaf_bit = 1 << (max(len(splits), leaves.size) - 1).bit_length()
    if leaf_bit > MAX_LEAVES:
        raise ModelError(
            f"the model has {leaves.size} leaves, more than the {MAX_LEAVES} supported",
            fix="train with fewer trees or leaves",
        )
    nodes = np.zeros(leaf_bit + leaves.size, NODE)
    nodes["cut"][: len(splits)] = [split.cut for split in splits]
    nodes["cut"][leaf_bit:] = leaves
    nodes["word"][: len(splits)] = [_pack_node(split, leaf_bit, len(names)) for split in splits]
    own = np.arange(leaf_bit, leaf_bit + leaves.size, dtype=np.uint64)
    nodes["word"][leaf_bit:] = own | own << np.uint64(16)
    return Forest(names, inputs, trees, nodes, np.array(roots, np.uint64), leaf_bit)


_LEAVES: Final = 1 << 20
"""Added to a leaf's number until the number of splits before the leaves is known."""


def _pack_node(split: _Split, leaf_bit: int, columns: int) -> int:
    left, right = (
        child if child < _LEAVES else child - _LEAVES + leaf_bit
        for child in (split.left, split.right)
    )
    column = split.column if split.missing_right else split.column + columns
    return left | right << 16 | column << 32
