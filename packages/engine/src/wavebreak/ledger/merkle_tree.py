"""The Merkle tree of a ledger, read from its stored nodes: roots and proofs (RFC 9162, 2.1).

Nodes are the hashes of all full subtrees in post-order: appending a leaf appends it and the
subtrees that it fills, so one file that only grows holds them, and any of them is one read away.
"""

from __future__ import annotations

from collections.abc import Callable

from wavebreak.ledger.verifier import EMPTY, NODE, hash_node

Node = Callable[[int], bytes]
"""Reads a node by its number in post-order."""


def leaf_index(position: int) -> int:
    """Give the number of an entry's leaf among all nodes; as many nodes belong to those before it.

    >>> [leaf_index(position) for position in range(6)]
    [0, 1, 3, 4, 7, 8]
    """
    return 2 * position - position.bit_count()


def peaks(node: Node, size: int) -> list[bytes]:
    """Hashes of the full subtrees of a tree of `size` entries, largest first."""
    nodes, low = [], 0
    for level in reversed(range(size.bit_length())):
        if size >> level & 1:
            low += 1 << level
            nodes.append(node(leaf_index(low - 1) + level))
    return nodes


def subtree(node: Node, low: int, high: int) -> bytes:
    """Hash of entries `low` to before `high`, a range that some subtree of the tree covers."""
    width = high - low
    if width & (width - 1) == 0:
        return node(leaf_index(high - 1) + width.bit_length() - 1) if width else EMPTY
    middle = low + _split(width)
    return hash_node(NODE, subtree(node, low, middle) + subtree(node, middle, high))


def _split(width: int) -> int:
    """Largest power of two below `width`."""
    return 1 << ((width - 1).bit_length() - 1)


def inclusion_proof(node: Node, position: int, size: int) -> list[bytes]:
    """Hashes that prove entry `position` to be among `size`, from the leaf's sibling up."""
    path, low, high = [], 0, size
    while high - low > 1:
        middle = low + _split(high - low)
        if position < middle:
            path.append(subtree(node, middle, high))
            high = middle
        else:
            path.append(subtree(node, low, middle))
            low = middle
    return path[::-1]


def consistency_proof(node: Node, old: int, new: int) -> list[bytes]:
    """Hashes that prove the tree of `new` entries to continue that of `old`."""
    if old in (0, new):
        return []
    path, low, high = [], 0, new
    while old != high:
        middle = low + _split(high - low)
        if old <= middle:
            path.append(subtree(node, middle, high))
            high = middle
        else:
            path.append(subtree(node, low, middle))
            low = middle
    return [*([subtree(node, low, high)] if low else []), *path[::-1]]
