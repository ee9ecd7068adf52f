"""Words that speak for or against a claim, with weights learned from the project's own pages.

What no pattern foresaw, the choice of words often tells. `policy/claims/words.toml` holds each
word's first letters and its weight; the sum over the words of a page is one term of the score,
and its strongest words are given as a reason.
"""

from __future__ import annotations

import math
import re
import tomllib
from functools import cache
from importlib.resources import files
from pathlib import Path

import msgspec

from wavebreak.claims.folding import LETTERS
from wavebreak.errors import PolicyError

_WORD = re.compile(rf"[{LETTERS}]{{2,}}")
_LETTERS_KEPT = 6
_NAMED = 5


class Lexicon(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`base`, and the weight of each stem, in log odds."""

    base: float
    words: dict[str, float]


def stems(text: str) -> list[str]:
    """Cut the words of a folded text to their first letters; numbers count as one word.

    >>> stems("envio de 80 mensagens")
    ['envio', 'de', '0', 'mensag']
    """
    return ["0" if w[0].isdigit() else w[:_LETTERS_KEPT] for w in _WORD.findall(text)]


@cache
def lexicon(directory: Path | None = None) -> Lexicon:
    """Read the words, the shipped ones or those of another directory."""
    place = directory or files("wavebreak").joinpath("policy/claims")
    try:
        text = place.joinpath("words.toml").read_text("utf-8")
        return msgspec.convert(tomllib.loads(text), Lexicon)
    except (OSError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise PolicyError(f"words.toml of the claims' policy: {error}") from None


def weigh(text: str, known: Lexicon | None = None) -> tuple[float, list[str]]:
    """Give the log odds of a folded text's words, and the words that weigh most.

    >>> odds, words = weigh("")
    >>> words
    []
    """
    known = known or lexicon()
    present = {word: known.words[word] for word in set(stems(text)) if word in known.words}
    total = known.base + sum(present.values()) / math.sqrt(max(1, len(present)))
    strongest = sorted(present, key=lambda word: (-abs(present[word]), word))
    return total, strongest[:_NAMED]
