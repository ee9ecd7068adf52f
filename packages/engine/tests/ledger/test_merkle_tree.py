"""The Merkle tree: the known roots of RFC 6962, an independent oracle, proofs of every size."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavebreak.ledger import merkle_tree
from wavebreak.ledger.verifier import (
    LEAF,
    Checkpoint,
    VerifierError,
    add_leaf,
    check_consistency,
    check_inclusion,
    hash_node,
    root_hash,
)

KNOWN = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
"""Trees of the first so many leaves, as the tests of Certificate Transparency have them."""
MOST = 300


def grown(leaves: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    """All nodes in post-order, and the root at each size."""
    peaks: list[bytes] = []
    nodes: list[bytes] = []
    roots = [root_hash(peaks)]
    for size, leaf in enumerate(leaves):
        nodes += add_leaf(peaks, size, hash_node(LEAF, leaf))
        roots.append(root_hash(peaks))
    return nodes, roots


def oracle(leaves: list[bytes]) -> bytes:
    """The root as RFC 9162 defines it, from the leaves alone."""
    if len(leaves) < 2:
        return hashlib.sha256(b"\0" + leaves[0] if leaves else b"").digest()
    half = 1
    while half * 2 < len(leaves):
        half *= 2
    told = b"\1" + oracle(leaves[:half]) + oracle(leaves[half:])
    return hashlib.sha256(told).digest()


LEAVES = [b"entry %d" % k for k in range(MOST)]
NODES, TREE_ROOTS = grown(LEAVES)


def node(index: int) -> bytes:
    return NODES[index]


def note(size: int) -> Checkpoint:
    return Checkpoint("log", size, TREE_ROOTS[size], "", ())


def test_known_roots_are_reproduced() -> None:
    _, roots = grown([bytes.fromhex(leaf) for leaf in KNOWN])
    assert [root.hex() for root in roots] == ROOTS


def test_known_proofs_are_reproduced() -> None:
    nodes, roots = grown([bytes.fromhex(leaf) for leaf in KNOWN])
    path = merkle_tree.inclusion_proof(nodes.__getitem__, 0, 8)
    assert [each.hex() for each in path] == [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ]
    assert merkle_tree.consistency_proof(nodes.__getitem__, 8, 8) == []
    assert merkle_tree.subtree(nodes.__getitem__, 0, 8) == roots[8]


def test_the_root_of_every_size_is_that_of_the_definition() -> None:
    assert [oracle(LEAVES[:size]) for size in range(MOST + 1)] == TREE_ROOTS
    for size in range(MOST + 1):
        assert root_hash(merkle_tree.peaks(node, size)) == TREE_ROOTS[size]
        assert merkle_tree.subtree(node, 0, size) == TREE_ROOTS[size]


def test_every_entry_of_every_tree_is_proved() -> None:
    for size in range(1, MOST + 1, 7):
        for at in range(size):
            path = merkle_tree.inclusion_proof(node, at, size)
            check_inclusion(hash_node(LEAF, LEAVES[at]), at, path, size, TREE_ROOTS[size])
    assert len(merkle_tree.inclusion_proof(node, 0, MOST)) == 9


def test_consistency_proof_holds_for_every_smaller_tree() -> None:
    counted = 0
    for old in range(MOST + 1):
        for new in range(old, MOST + 1, 11):
            check_consistency(note(old), note(new), merkle_tree.consistency_proof(node, old, new))
            counted += 1
    assert counted > 4000


@given(st.data())
def test_inclusion_proof_fails_for_other_entry_size_or_root(source: st.DataObject) -> None:
    size = source.draw(st.integers(2, MOST))
    at = source.draw(st.integers(0, size - 1))
    path = merkle_tree.inclusion_proof(node, at, size)
    other = source.draw(st.integers(0, MOST - 1).filter(lambda k: k != at))
    larger = source.draw(st.integers(1, MOST).filter(lambda k: k != size))
    leaf = hash_node(LEAF, LEAVES[at])
    for wrong in (
        (hash_node(LEAF, LEAVES[other]), at, path, size, TREE_ROOTS[size]),
        (leaf, other, path, size, TREE_ROOTS[size]),
        (leaf, at, path, size, TREE_ROOTS[larger]),
        (leaf, at, path[:-1], size, TREE_ROOTS[size]),
        (leaf, at, [*path, leaf], size, TREE_ROOTS[size]),
    ):
        with pytest.raises(VerifierError):
            check_inclusion(*wrong)


@given(st.data())
def test_consistency_proof_fails_for_other_history(source: st.DataObject) -> None:
    new = source.draw(st.integers(3, MOST))
    old = source.draw(st.integers(1, new - 1))
    path = merkle_tree.consistency_proof(node, old, new)
    other = Checkpoint("log", old, hash_node(LEAF, b"other"), "", ())
    forked = Checkpoint("log", new, hash_node(LEAF, b"other"), "", ())
    for wrong in (
        (other, note(new), path),
        (note(old), forked, path),
        (note(old), note(new), path[:-1]),
        (note(old), note(new), [*path, path[0]]),
        (note(new), note(old), path),
    ):
        with pytest.raises(VerifierError):
            check_consistency(*wrong)


@given(st.integers(1, 1 << 40), st.data())
def test_proof_in_large_tree_has_expected_length(size: int, source: st.DataObject) -> None:
    at = source.draw(st.integers(0, size - 1))

    def empty(index: int) -> bytes:
        return hash_node(LEAF, index.to_bytes(8))

    path = merkle_tree.inclusion_proof(empty, at, size)
    inner = (at ^ (size - 1)).bit_length()
    assert len(path) == inner + (at >> inner).bit_count()
    assert len(path) <= size.bit_length()
