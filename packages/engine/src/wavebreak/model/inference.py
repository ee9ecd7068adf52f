"""Tree inference: from the values of a row to its margin, bit-identical with LightGBM.

Eight trees (or, in a batch, eight rows) are evaluated at once, since a step waits for memory and
not for arithmetic; a step has no branch. Leaves are added in the order of the trees.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from wavebreak.compiled.numba_runtime import (
    Callback,
    address_as_void_pointer,
    callback,
    carray,
    compiled,
    int64,
)
from wavebreak.errors import ModelError
from wavebreak.model.trees import BLOCK, NODE, Forest

ONE: Final = 1 << 16
"""A margin of 1 in fixed point."""
FIXED_MAX: Final = (1 << 31) - 1
REJECTED: Final = -(1 << 31)
"""The margin in fixed point of a row that the cascade rejected, or that lies far from the training
data: below every other."""

# The packed model for the callback: int64 each; of arrays the address.
NODES, NODE_N, ROOTS, LEAF_BIT, CASCADE, BLOCKS, COLUMNS, SUPPORT = range(8)
NUMBERS: Final = 8

ROWS: Final = 16
"""Rows evaluated at once in a batch: their values fit into the first-level cache."""

# Unsigned, since a signed index is checked each time for counting from the end.
_unsigned: Any = np.uint64
_NUMBER, _SIXTEEN, _COLUMN = _unsigned(0xFFFF), _unsigned(16), _unsigned(32)
_NO, _ONE = _unsigned(0), _unsigned(1)


@compiled(inline="always")
def _next(nodes: Any, at: Any, row: Any) -> Any:
    node = nodes[at]
    word = node.word
    # A shift by 0 or 16, and not a choice of two, which would be compiled to a branch.
    right = not (row[word >> _COLUMN] <= node.cut)
    return (word >> (_SIXTEEN * _unsigned(right))) & _NUMBER


@compiled()
def _expand_missing(values: Any, row: Any) -> None:
    """Write the values of a row twice, the second time with -inf for missing."""
    columns = values.size
    for column in range(columns):
        value = values[column]
        row[column] = value
        row[column + columns] = value if value == value else -np.inf


@compiled()
def _block(nodes: Any, roots: Any, leaf_bit: Any, block: int, row: Any, total: float) -> float:
    """Add the leaves of eight trees for one row."""
    k = _unsigned(block * BLOCK)
    n0, n1, n2, n3 = roots[k], roots[k + _ONE], roots[k + _unsigned(2)], roots[k + _unsigned(3)]
    k += _unsigned(4)
    n4, n5, n6, n7 = roots[k], roots[k + _ONE], roots[k + _unsigned(2)], roots[k + _unsigned(3)]
    while (n0 & n1 & n2 & n3 & n4 & n5 & n6 & n7 & leaf_bit) == _NO:
        n0, n1 = _next(nodes, n0, row), _next(nodes, n1, row)
        n2, n3 = _next(nodes, n2, row), _next(nodes, n3, row)
        n4, n5 = _next(nodes, n4, row), _next(nodes, n5, row)
        n6, n7 = _next(nodes, n6, row), _next(nodes, n7, row)
    total += nodes[n0].cut
    total += nodes[n1].cut
    total += nodes[n2].cut
    total += nodes[n3].cut
    total += nodes[n4].cut
    total += nodes[n5].cut
    total += nodes[n6].cut
    total += nodes[n7].cut
    return total


@compiled()
def _tree(nodes: Any, root: Any, leaf_bit: Any, rows: Any, sums: Any, first: int) -> None:
    """Add the leaves of one tree for eight rows."""
    k = _unsigned(first)
    r0, r1, r2, r3 = rows[k], rows[k + _ONE], rows[k + _unsigned(2)], rows[k + _unsigned(3)]
    k += _unsigned(4)
    r4, r5, r6, r7 = rows[k], rows[k + _ONE], rows[k + _unsigned(2)], rows[k + _unsigned(3)]
    n0 = n1 = n2 = n3 = n4 = n5 = n6 = n7 = root
    while (n0 & n1 & n2 & n3 & n4 & n5 & n6 & n7 & leaf_bit) == _NO:
        n0, n1 = _next(nodes, n0, r0), _next(nodes, n1, r1)
        n2, n3 = _next(nodes, n2, r2), _next(nodes, n3, r3)
        n4, n5 = _next(nodes, n4, r4), _next(nodes, n5, r5)
        n6, n7 = _next(nodes, n6, r6), _next(nodes, n7, r7)
    sums[first] += nodes[n0].cut
    sums[first + 1] += nodes[n1].cut
    sums[first + 2] += nodes[n2].cut
    sums[first + 3] += nodes[n3].cut
    sums[first + 4] += nodes[n4].cut
    sums[first + 5] += nodes[n5].cut
    sums[first + 6] += nodes[n6].cut
    sums[first + 7] += nodes[n7].cut


@compiled()
def _batch(nodes: Any, roots: Any, leaf_bit: Any, values: Any, made: Any) -> None:
    rows, sums = np.zeros((ROWS, 2 * values.shape[1])), np.zeros(ROWS)
    for start in range(0, values.shape[0], ROWS):
        n = min(ROWS, values.shape[0] - start)
        for k in range(n):
            _expand_missing(values[start + k], rows[k])
        sums[:] = 0.0
        for root in roots:
            for first in range(0, n, 8):
                _tree(nodes, root, leaf_bit, rows, sums, first)
        made[start : start + n] = sums[:n]


@compiled()
def _one(nodes: Any, roots: Any, leaf_bit: Any, values: Any) -> float:
    row, total = np.empty(2 * values.size), 0.0
    _expand_missing(values, row)
    for block in range(roots.size // BLOCK):
        total = _block(nodes, roots, leaf_bit, block, row, total)
    return total


@compiled()
def _partials(nodes: Any, roots: Any, leaf_bit: Any, values: Any, sums: Any) -> None:
    row = np.empty(2 * values.shape[1])
    for k in range(values.shape[0]):
        _expand_missing(values[k], row)
        total = 0.0
        for block in range(roots.size // BLOCK):
            total = _block(nodes, roots, leaf_bit, block, row, total)
            sums[k, block] = total


@compiled()
def _to_fixed_point(margin: float) -> int:
    scaled = np.rint(margin * ONE)
    return int64(min(max(scaled, float(-FIXED_MAX)), float(FIXED_MAX)))


@compiled()
def _is_far(support: Any, values: Any) -> bool:
    """Whether more features of a row lie outside their ranges in training than may (`Support`)."""
    if support[0] < 0.0:
        return False
    columns, outside = values.size, 0
    for column in range(columns):
        value = values[column]
        outside += int64(value < support[1 + column]) + int64(value > support[1 + columns + column])
    return bool(outside > support[0])


@compiled()
def _cascaded(
    nodes: Any, roots: Any, leaf_bit: Any, cascade: Any, support: Any, values: Any
) -> int:
    """Return the margin of one row in fixed point.

    REJECTED where the row is far from the training data, or as soon as the cascade rejects it.
    """
    if _is_far(support, values):
        return REJECTED
    row, total = np.empty(2 * values.size), 0.0
    _expand_missing(values, row)
    for block in range(roots.size // BLOCK):
        total = _block(nodes, roots, leaf_bit, block, row, total)
        if total < cascade[block]:
            return REJECTED
    return _to_fixed_point(total)


@compiled()
def _scores(
    nodes: Any, roots: Any, leaf_bit: Any, cascade: Any, support: Any, values: Any, made: Any
) -> None:
    for k in range(values.shape[0]):
        made[k] = _cascaded(nodes, roots, leaf_bit, cascade, support, values[k])


def _score(model: int, values: int) -> int:
    """Score one row: the C function of the kernel."""
    numbers = carray(address_as_void_pointer(model), (NUMBERS,), np.int64)
    trees = numbers[BLOCKS] * BLOCK
    nodes = carray(address_as_void_pointer(numbers[NODES]), (numbers[NODE_N],), NODE)
    roots = carray(address_as_void_pointer(numbers[ROOTS]), (trees,), np.uint64)
    cascade = carray(address_as_void_pointer(numbers[CASCADE]), (numbers[BLOCKS],), np.float64)
    columns = numbers[COLUMNS]
    support = carray(address_as_void_pointer(numbers[SUPPORT]), (1 + 2 * columns,), np.float64)
    row = carray(address_as_void_pointer(values), (columns,), np.float64)
    answer: int = _cascaded(nodes, roots, _unsigned(numbers[LEAF_BIT]), cascade, support, row)
    return answer


def pack_model(forest: Forest, cascade: Any, support: Any) -> npt.NDArray[np.int64]:
    """Pack a model for the C function (int64); its arrays must live as long as it is used.

    `support` is packed (`Support.packed`, `no_support`).
    """
    made = np.zeros(NUMBERS, np.int64)
    made[NODES], made[NODE_N] = forest.nodes.ctypes.data, forest.nodes.size
    made[ROOTS], made[LEAF_BIT] = forest.roots.ctypes.data, forest.leaf_bit
    made[CASCADE], made[BLOCKS] = cascade.ctypes.data, forest.blocks
    made[COLUMNS], made[SUPPORT] = len(forest.names), support.ctypes.data
    return made


@cache
def scorer() -> Callback:
    """Return the C function `int64 score(int64 model, int64 values)`."""
    return callback(_score, 2)


def margins(forest: Forest, values: Any) -> npt.NDArray[np.float64]:
    """Return margins of rows: float64[n] of float64[n, columns]."""
    rows, made = _rows(forest, values), np.zeros(len(values))
    _batch(forest.nodes, forest.roots, _unsigned(forest.leaf_bit), rows, made)
    return made


def margin(forest: Forest, values: Any) -> float:
    """Return the margin of one row, float64[columns]: bit-identical with `margins`."""
    row = _rows(forest, values[None, :])[0]
    return float(_one(forest.nodes, forest.roots, _unsigned(forest.leaf_bit), row))


def partials(forest: Forest, values: Any) -> npt.NDArray[np.float64]:
    """Return sums after each block of eight trees: float64[n, blocks]."""
    rows, sums = _rows(forest, values), np.zeros((len(values), forest.blocks))
    _partials(forest.nodes, forest.roots, _unsigned(forest.leaf_bit), rows, sums)
    return sums


def scores(forest: Forest, cascade: Any, support: Any, values: Any) -> npt.NDArray[np.int64]:
    """Return margins in fixed point through support and cascade: int64[n]."""
    rows, made = _rows(forest, values), np.zeros(len(values), np.int64)
    _scores(forest.nodes, forest.roots, _unsigned(forest.leaf_bit), cascade, support, rows, made)
    return made


def _rows(forest: Forest, values: Any) -> npt.NDArray[np.float64]:
    rows = np.ascontiguousarray(values, np.float64)
    if rows.ndim != 2 or rows.shape[1] != len(forest.names):
        raise ModelError(
            f"the rows have {rows.shape[-1]} values, the model reads {len(forest.names)}",
            fix="give one column per feature of the catalog, in its order",
        )
    return rows
