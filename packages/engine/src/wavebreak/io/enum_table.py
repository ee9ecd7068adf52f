"""Perfect-hash tables of enumeration words and field names, for compiled code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wavebreak.compiled.numba_runtime import compiled, int64

_PLACES = 1024


class EnumTable(NamedTuple):
    """Perfect-hash table: the slot of a word follows from its length and four letters."""

    factors: NDArray[np.int64]
    at: NDArray[np.int16]
    spelt: NDArray[np.uint8]
    sizes: NDArray[np.int64]


def build_enum_table(words: Sequence[str]) -> EnumTable:
    """Build the table of distinct ASCII words for `find_word`.

    Raises ValueError for words that the hashed letters do not distinguish.
    """
    letters = [word.encode() for word in words]
    hashed = np.array(
        [[len(w), w[0], w[len(w) // 3], w[2 * len(w) // 3], w[-1]] for w in letters], np.int64
    )
    alike: dict[tuple[int, ...], str] = {}
    for word, letters_of in zip(words, map(tuple, hashed.tolist()), strict=True):
        if letters_of in alike:
            pair = f"{alike[letters_of]} and {word}"
            raise ValueError(f"{pair} have equal length and hashed letters")
        alike[letters_of] = word
    draw = np.random.default_rng(0)
    while True:
        factors = draw.integers(1, _PLACES, hashed.shape[1:])
        places = (hashed @ factors) % _PLACES
        if len(np.unique(places)) == len(words):
            break
    at = np.full(_PLACES, -1, np.int16)
    at[places] = np.arange(len(words))
    longest = max(map(len, letters))
    spelt = np.array([list(w.ljust(longest, b"\0")) for w in letters], np.uint8)
    return EnumTable(factors, at, spelt, np.array(list(map(len, letters)), np.int64))


@compiled(inline="always")
def find_word(text: Any, at: Any, size: Any, words: Any) -> Any:
    """In compiled code: return the index of the word of `size` letters at `at`, or -1."""
    if size < 1 or size > words.spelt.shape[1]:
        return int64(-1)
    hashed = words.factors[0] * size + words.factors[1] * text[at]
    hashed += words.factors[2] * text[at + size // 3]
    hashed += words.factors[3] * text[at + 2 * size // 3] + words.factors[4] * text[at + size - 1]
    word = int64(words.at[hashed % _PLACES])
    if word < 0 or words.sizes[word] != size:
        return int64(-1)
    for k in range(size):
        if words.spelt[word, k] != text[at + k]:
            return int64(-1)
    return word
