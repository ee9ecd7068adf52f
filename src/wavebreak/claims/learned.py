"""Words that speak for or against a claim, with weights learned from the project's own pages.

What no pattern foresaw, the choice of words often tells, and more so what they are about: see
`concepts`. `policy/claims/words.toml` holds the weights of word beginnings, of concepts, and of
pairs of concepts within a sentence. Their sum is one term of the score, and those that weigh most
are given as a reason.
"""

from __future__ import annotations

import math
import re
from functools import cache

import msgspec

from wavebreak import sheets
from wavebreak.claims.concepts import WORD, concepts, pairs
from wavebreak.claims.sentences import split

FEWEST = {"stems": 10, "concepts": 8, "pairs": 8}
"""The kinds of marks; a page with fewer of one is weighed as if it had so many."""
_PLAIN = ("messenger", "price", "contact", "figure")
_LETTERS_KEPT = 6
_NAMED = 5
_BAR = re.compile("[·•|›]")
_LINKS = 3
"""Marks between words from which a line is a navigation bar and tells nothing."""


class Lexicon(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`base`, and the weight of each mark by kind, in log odds."""

    base: float
    stems: dict[str, float]
    concepts: dict[str, float]
    pairs: dict[str, float]


def stems(text: str) -> list[str]:
    """Cut the words of a folded text to their first letters; numbers count as one word.

    >>> stems("envio de 80 mensagens")
    ['envio', 'de', '0', 'mensag']
    """
    return ["0" if w[0].isdigit() else w[:_LETTERS_KEPT] for w in WORD.findall(text)]


def marks(text: str) -> dict[str, set[str]]:
    """Give what of a folded text is weighed: stems, concepts, and pairs within a sentence."""
    parts = [text[start:end] for start, end in split(text)]
    parts = [part for part in parts if len(_BAR.findall(part)) < _LINKS]
    said = [concepts(part) for part in parts]
    named = set().union(*said)
    return {
        "stems": {stem for part in parts for stem in stems(part)},
        "concepts": named | {f"no {name}" for name in _PLAIN if name not in named},
        "pairs": set().union(*map(pairs, said)),
    }


@cache
def lexicon() -> Lexicon:
    """Read the shipped words."""
    return sheets.read(sheets.chosen("claims/words.toml"), Lexicon)


def weigh(text: str, known: Lexicon | None = None) -> tuple[float, list[str]]:
    """Give the log odds of a folded text's words, and the marks that weigh most.

    Each kind is divided by the root of how many of it are known, so that length does not count.

    >>> odds, strongest = weigh("we send bulk messages from our own accounts, $40")
    >>> odds > weigh("the police closed a school")[0], len(strongest)
    (True, 5)
    """
    known = known or lexicon()
    weighed: dict[str, float] = {}
    for kind, present in marks(text).items():
        table = getattr(known, kind)
        having = [mark for mark in present if mark in table]
        root = math.sqrt(max(FEWEST[kind], len(having)))
        weighed |= {mark: table[mark] / root for mark in having}
    total = known.base + math.fsum(weighed.values())
    strongest = sorted(weighed, key=lambda mark: (-abs(weighed[mark]), mark))
    return total, strongest[:_NAMED]
