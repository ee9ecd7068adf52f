"""The walk: from the values of a row to its margin, to the last bit what LightGBM gives.

Eight trees (or, in a batch, eight rows) are walked at once, since a step waits for memory and not
for arithmetic; a step has no branch. Leaves are added in the order of the trees.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from wavebreak.errors import ModelError
from wavebreak.features.jit import (
    Callback,
    address_as_void_pointer,
    callback,
    carray,
    compiled,
    int64,
)
from wavebreak.model.forest import BLOCK, NODE, Forest

ONE: Final = 1 << 16
"""A margin of 1 in fixed point."""
GREATEST: Final = (1 << 31) - 1
REJECTED: Final = -(1 << 31)
"""The margin in fixed point of a row that the cascade rejected: below every other."""

# The model's numbers for the callback: int64 each; addresses of the arrays after them.
NODES, NODE_N, ROOTS, LEAF_BIT, CASCADE, BLOCKS, FEATURES = range(7)
NUMBERS: Final = 8


@compiled(inline="always")
def _next(nodes: Any, root: int, at: int, values: Any) -> int:
    node = nodes[root + at]
    value, word = values[node.word & 0xFFFF], node.word
    right = (value > node.cut) | ((value != value) & (word >> 48 != 0))
    return int64((word >> (16 + 16 * int64(right))) & 0xFFFF)


@compiled()
def _block(nodes: Any, roots: Any, leaf_bit: Any, block: int, values: Any, total: float) -> float:
    """Add the leaves of eight trees that one row falls into."""
    k = block * BLOCK
    r0, r1, r2, r3 = roots[k], roots[k + 1], roots[k + 2], roots[k + 3]
    r4, r5, r6, r7 = roots[k + 4], roots[k + 5], roots[k + 6], roots[k + 7]
    b0, b1, b2, b3 = leaf_bit[k], leaf_bit[k + 1], leaf_bit[k + 2], leaf_bit[k + 3]
    b4, b5, b6, b7 = leaf_bit[k + 4], leaf_bit[k + 5], leaf_bit[k + 6], leaf_bit[k + 7]
    n0 = n1 = n2 = n3 = n4 = n5 = n6 = n7 = int64(0)
    while not (
        (n0 & b0 != 0) & (n1 & b1 != 0) & (n2 & b2 != 0) & (n3 & b3 != 0)
        & (n4 & b4 != 0) & (n5 & b5 != 0) & (n6 & b6 != 0) & (n7 & b7 != 0)
    ):  # fmt: skip
        n0, n1 = _next(nodes, r0, n0, values), _next(nodes, r1, n1, values)
        n2, n3 = _next(nodes, r2, n2, values), _next(nodes, r3, n3, values)
        n4, n5 = _next(nodes, r4, n4, values), _next(nodes, r5, n5, values)
        n6, n7 = _next(nodes, r6, n6, values), _next(nodes, r7, n7, values)
    total += nodes[r0 + n0].cut
    total += nodes[r1 + n1].cut
    total += nodes[r2 + n2].cut
    total += nodes[r3 + n3].cut
    total += nodes[r4 + n4].cut
    total += nodes[r5 + n5].cut
    total += nodes[r6 + n6].cut
    total += nodes[r7 + n7].cut
    return total


@compiled()
def _batch(nodes: Any, roots: Any, leaf_bit: Any, values: Any, sums: Any) -> None:
    for row in range(values.shape[0]):
        total = 0.0
        for block in range(roots.size // BLOCK):
            total = _block(nodes, roots, leaf_bit, block, values[row], total)
        sums[row] = total


@compiled()
def _cascaded(nodes: Any, roots: Any, leaf_bit: Any, cascade: Any, values: Any) -> int:
    """The margin of one row in fixed point, REJECTED as soon as the cascade lets go of it."""
    total = 0.0
    for block in range(roots.size // BLOCK):
        total = _block(nodes, roots, leaf_bit, block, values, total)
        if total < cascade[block]:
            return REJECTED
    return _fixed(total)


@compiled()
def _fixed(margin: float) -> int:
    scaled = np.rint(margin * ONE)
    return int64(min(max(scaled, float(-GREATEST)), float(GREATEST)))


@compiled()
def _batch_cascaded(
    nodes: Any, roots: Any, leaf_bit: Any, cascade: Any, values: Any, scores: Any
) -> None:
    for row in range(values.shape[0]):
        scores[row] = _cascaded(nodes, roots, leaf_bit, cascade, values[row])


@compiled()
def _partials(nodes: Any, roots: Any, leaf_bit: Any, values: Any, sums: Any) -> None:
    for row in range(values.shape[0]):
        total = 0.0
        for block in range(roots.size // BLOCK):
            total = _block(nodes, roots, leaf_bit, block, values[row], total)
            sums[row, block] = total


def _score(model: int, values: int) -> int:
    """Score one row: the C function of the kernel."""
    numbers = carray(address_as_void_pointer(model), (NUMBERS,), np.int64)
    trees = numbers[BLOCKS] * BLOCK
    nodes = carray(address_as_void_pointer(numbers[NODES]), (numbers[NODE_N],), NODE)
    roots = carray(address_as_void_pointer(numbers[ROOTS]), (trees,), np.int64)
    leaf_bit = carray(address_as_void_pointer(numbers[LEAF_BIT]), (trees,), np.int64)
    cascade = carray(address_as_void_pointer(numbers[CASCADE]), (numbers[BLOCKS],), np.float64)
    row = carray(address_as_void_pointer(values), (numbers[FEATURES],), np.float64)
    answer: int = _cascaded(nodes, roots, leaf_bit, cascade, row)
    return answer


@cache
def scorer() -> Callback:
    """The C function `int64 score(int64 model, int64 values)`."""
    return callback(_score, 2)


def margins(forest: Forest, values: Any) -> npt.NDArray[np.float64]:
    """Margins of rows: float64[n] of float64[n, columns]."""
    rows, sums = _rows(forest, values), np.zeros(len(values))
    _batch(forest.nodes, forest.roots, forest.leaf_bit, rows, sums)
    return sums


def partials(forest: Forest, values: Any) -> npt.NDArray[np.float64]:
    """Sums after each block of eight trees: float64[n, blocks]."""
    rows, sums = _rows(forest, values), np.zeros((len(values), forest.blocks))
    _partials(forest.nodes, forest.roots, forest.leaf_bit, rows, sums)
    return sums


def scores(forest: Forest, cascade: Any, values: Any) -> npt.NDArray[np.int64]:
    """Margins in fixed point through a cascade: int64[n]."""
    rows, made = _rows(forest, values), np.zeros(len(values), np.int64)
    _batch_cascaded(forest.nodes, forest.roots, forest.leaf_bit, cascade, rows, made)
    return made


def _rows(forest: Forest, values: Any) -> npt.NDArray[np.float64]:
    rows = np.ascontiguousarray(values, np.float64)
    if rows.ndim != 2 or rows.shape[1] != len(forest.names):
        raise ModelError(
            f"rows of {rows.shape[-1]} values were given to a model over {len(forest.names)}",
            fix="give one column a feature, in the model's order",
        )
    return rows
