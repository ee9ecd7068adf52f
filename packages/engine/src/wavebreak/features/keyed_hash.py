"""Keyed hashes for tables whose keys a sender chooses: SipHash-1-3 (Aumasson and Bernstein, 2012).

Who knows a table's hash function can choose names that all fall into one place, and each of them is
then compared with all the others. Under a secret key that a sender cannot know, chosen names fall
like random ones. Each process draws its own secret (`random_secret`): no result depends on it,
since tables are exact, slots are numbered in the order of the log, and a snapshot holds names and
pairs, from which loading builds the tables anew. Nothing has to be kept, and nothing can leak.

The duplicate filter alone keeps hashes instead of names, so its key is part of its state.
"""

from __future__ import annotations

import hashlib
import os
from typing import Any, NamedTuple

import numpy as np

from wavebreak.compiled.numba_runtime import (
    address_as_void_pointer,
    carray,
    compiled,
    int64,
    load_u64,
)

SECRET_BYTES = 16
_C0, _C1 = np.uint64(0x736F6D6570736575), np.uint64(0x646F72616E646F6D)
_C2, _C3 = np.uint64(0x6C7967656E657261), np.uint64(0x7465646279746573)
_LAST, _LAST_OF_TWO, _SECOND = np.uint64(0xFF), np.uint64(0xEE), np.uint64(0xDD)


class HashKey(NamedTuple):
    """A key of SipHash: two words of 64 bits (NumPy's uint64, as compiled code takes them)."""

    low: Any
    high: Any


def random_secret() -> bytes:
    """Return a new secret, from which the keys of tables are derived."""
    return os.urandom(SECRET_BYTES)


def table_key(secret: bytes, table: str) -> HashKey:
    """Return the key of one table.

    >>> table_key(bytes(16), "accounts") == table_key(bytes(16), "entities")
    False
    """
    derived = hashlib.blake2b(table.encode(), key=secret, digest_size=16).digest()
    return HashKey(*np.frombuffer(derived, np.uint64))


def pair_salts(secret: bytes, table: str = "pairs") -> tuple[Any, Any, Any]:
    """Return the three secret words of `hash_pair` for a table (uint64); the last is odd."""
    one, two = table_key(secret, table), table_key(secret, f"{table}, spread")
    return one.low, one.high, two.low | np.uint64(1)


@compiled(inline="always")
def _rotated(word: Any, bits: int) -> Any:
    return (word << np.uint64(bits)) | (word >> np.uint64(64 - bits))


@compiled()
def _round(v0: Any, v1: Any, v2: Any, v3: Any) -> tuple[Any, Any, Any, Any]:
    """One round of SipHash."""
    v0 += v1
    v2 += v3
    v1 = _rotated(v1, 13) ^ v0
    v3 = _rotated(v3, 16) ^ v2
    v0 = _rotated(v0, 32)
    v2 += v1
    v0 += v3
    v1 = _rotated(v1, 17) ^ v2
    v3 = _rotated(v3, 21) ^ v0
    return v0, v1, _rotated(v2, 32), v3


@compiled(inline="always")
def rest_of(at: int, size: int) -> Any:
    """Return the last bytes of a text, fewer than eight, as a number; reads nothing outside it."""
    if size >= 8:
        return (load_u64(at + size - 8) >> np.uint64(8)) >> np.uint64(56 - 8 * (size & 7))
    word, text = np.uint64(0), carray(address_as_void_pointer(at), (size,), np.uint8)
    for k in range(size):
        word |= np.uint64(text[k]) << np.uint64(8 * k)
    return word


@compiled(inline="always")
def _absorbed(
    at: int, size: int, v0: Any, v1: Any, v2: Any, v3: Any
) -> tuple[Any, Any, Any, Any]:  # fmt: skip
    """The state after the bytes at an address and their length."""
    for k in range(0, size & ~7, 8):
        word = load_u64(at + k)
        v0, v1, v2, v3 = _round(v0, v1, v2, v3 ^ word)
        v0 ^= word
    word = rest_of(at, size) | np.uint64(size) << np.uint64(56)
    v0, v1, v2, v3 = _round(v0, v1, v2, v3 ^ word)
    return v0 ^ word, v1, v2, v3


@compiled(inline="always")
def _three_rounds(v0: Any, v1: Any, v2: Any, v3: Any) -> tuple[Any, Any, Any, Any]:
    v0, v1, v2, v3 = _round(v0, v1, v2, v3)
    v0, v1, v2, v3 = _round(v0, v1, v2, v3)
    return _round(v0, v1, v2, v3)


@compiled()
def hash_bytes(at: int, size: int, low: Any, high: Any) -> Any:
    """Return the 64-bit hash of `size` bytes at an address under the key `low`, `high` (uint64)."""
    v0, v1, v2, v3 = _absorbed(at, size, low ^ _C0, high ^ _C1, low ^ _C2, high ^ _C3)
    v0, v1, v2, v3 = _three_rounds(v0, v1, v2 ^ _LAST, v3)
    return v0 ^ v1 ^ v2 ^ v3


@compiled()
def hash_bytes_128(at: int, size: int, low: Any, high: Any) -> tuple[Any, Any]:
    """Return the 128-bit hash of `size` bytes at an address under a key, as two uint64."""
    v1 = high ^ _C1 ^ _LAST_OF_TWO
    v0, v1, v2, v3 = _absorbed(at, size, low ^ _C0, v1, low ^ _C2, high ^ _C3)
    v0, v1, v2, v3 = _three_rounds(v0, v1, v2 ^ _LAST_OF_TWO, v3)
    first = v0 ^ v1 ^ v2 ^ v3
    v0, v1, v2, v3 = _three_rounds(v0, v1 ^ _SECOND, v2, v3)
    return first, v0 ^ v1 ^ v2 ^ v3


@compiled(inline="always")
def hash_pair(first: Any, second: Any, salts: Any) -> Any:
    """Return the 32-bit hash of two slots (uint64, below 2^32) under three secret words.

    Two pairs that a sender chooses collide with a probability of 3 in 2^32 at most, whichever they
    are: by the first multiplication (Thorup, "High speed hashing for integers and strings", 2015)
    in its upper half with 1, and by the second one, which spreads regular sequences, with 2.
    """
    mixed = (salts[0] + second) * (salts[1] + first)
    mixed ^= mixed >> np.uint64(32)
    return (mixed * salts[2]) >> np.uint64(32)


@compiled()
def hash_all(at: Any, sizes: Any, low: Any, high: Any, out: Any) -> None:
    """Write the 64-bit hashes of many texts by address and length (int64) to `out` (uint64)."""
    for i in range(out.size):
        out[i] = hash_bytes(int64(at[i]), int64(sizes[i]), low, high)
