"""Names and ids crafted against the hashes that they had before these were keyed."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

_FIRST, _SECOND = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)
_LENGTH = np.uint64(0x9E3779B97F4A7C15)
_LETTER = np.uint64(0x8080808080808080)
ACCOUNTS_SEED = 1
"""The seed that the hash of accounts' names had."""


def _inverse(odd: Any) -> Any:
    return np.uint64(pow(int(odd), -1, 1 << 64))


def one_place(count: int, seed: int = ACCOUNTS_SEED) -> list[str]:
    """Names of eight ASCII characters that the former hash put into one place, with one tag."""
    free = np.arange(300 * count, dtype=np.uint64)
    # The lowest six bits choose the table, the highest thirty the place and the tag.
    hashes = (np.uint64(0x2AAAAAAA) << np.uint64(34)) | (free << np.uint64(6)) | np.uint64(5)
    with np.errstate(over="ignore"):
        mixed = hashes ^ (hashes >> np.uint64(29)) ^ (hashes >> np.uint64(58))
        mixed *= _inverse(_SECOND)
        mixed ^= mixed >> np.uint64(32)
        words = (mixed * _inverse(_FIRST)) ^ np.uint64(seed) ^ (np.uint64(8) * _LENGTH)
    words = words[words & _LETTER == 0][:count]
    return [word.tobytes().decode("ascii") for word in words]


def former_hash(name: str, seed: int = ACCOUNTS_SEED) -> int:
    """The former hash of a name of whole words of eight bytes."""
    with np.errstate(over="ignore"):
        mixed = np.uint64(seed) ^ np.uint64(len(name)) * _LENGTH
        for word in np.frombuffer(name.encode(), np.uint64):
            mixed = (mixed ^ word) * _FIRST
            mixed ^= mixed >> np.uint64(32)
        mixed *= _SECOND
        return int(mixed ^ (mixed >> np.uint64(29)))


def same_under_half_the_seeds(stem: str, pieces: int = 1) -> list[str]:
    """Texts of 16 characters a piece, two for each: equal hashes under about half of all seeds.

    A difference in the highest bit but one of a word survives the multiplication as that bit, and
    the next word takes it out again.
    """
    one = (stem * 16)[:16].lower()
    flipped = "".join(chr(ord(c) ^ 0x40) if k in (7, 11, 15) else c for k, c in enumerate(one))
    return ["".join(some) for some in product((one, flipped), repeat=pieces)]


_ARROW = np.uint64(11400714785074694791), np.uint64(14029467366897019727)
"""The two multipliers of Arrow's hash of texts."""


def one_arrow_hash(count: int) -> list[str]:
    """Texts of 16 ASCII characters that Arrow's hash does not tell apart."""
    rng = np.random.default_rng(1)
    first = rng.integers(0, 1 << 63, 400 * count, dtype=np.uint64)
    first = first & np.uint64(0x5F5F5F5F5F5F5F5F) | np.uint64(0x2020202020202020)
    with np.errstate(over="ignore"):
        second = _inverse(_ARROW[0]) * (np.uint64(0x123456789ABCDEF) ^ (_ARROW[1] * first))
    ascii_only = second & _LETTER == 0
    words = np.stack([first[ascii_only], second[ascii_only]], axis=1)
    texts = dict.fromkeys(word.tobytes().decode("ascii") for word in words)
    return list(texts)[:count]
