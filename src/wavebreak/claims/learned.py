"""What speaks for or against a claim, weighed by what was learned from the project's own pages.

`policy/claims/learned.toml` holds one linear model: weights of a page's manner (see `judging`), of
what its words are about (`concepts`), of two such within a sentence, and of runs of four letters,
which know a word by its stem in any of the languages. Their sum is the score in log odds; each of
the manner's terms is a reason, and so are the concepts and the letters as a whole.
"""

from __future__ import annotations

import math
import re
from functools import cache

import msgspec

from wavebreak import sheets
from wavebreak.claims.concepts import WORD, concepts, pairs
from wavebreak.claims.sentences import split

FEWEST = {"concepts": 8, "pairs": 24, "grams": 60}
"""The kinds of marks; a page with fewer of one is weighed as if it had so many."""
_PLAIN = ("messenger", "price", "contact", "figure")
_GRAM = 4
_NAMED = 5
_BAR = re.compile("[·•|›]")
_DIGITS = re.compile(r"\d+")
_LINKS = 3
"""Marks between words from which a line is a navigation bar and tells nothing."""
_MOST_WORDS = 4000
"""Different words of a page that are looked at, the first ones: a longer page repeats itself."""


class Reason(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One term of the score: a name, how strongly it is there, what it adds (log odds).

    The value is from 0 to 1; of words it is what they add.
    """

    name: str
    value: float
    adds: float


class Learned(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`base`, and weights in log odds: of manner by name, of other marks the marks by weight."""

    base: float
    manner: dict[str, float]
    concepts: dict[str, str]
    pairs: dict[str, str]
    grams: dict[str, str]


class Lexicon(msgspec.Struct, frozen=True):
    """`base`, the weights of the manner, and those of marks by kind, in log odds."""

    base: float
    manner: dict[str, float]
    marks: dict[str, dict[str, float]]


def grams(text: str) -> set[str]:
    """Give the runs of four letters of a folded text's words; `_` is a word's edge, 0 any number.

    >>> sorted(grams("80 mensal"))
    ['_0_', '_men', 'ensa', 'mens', 'nsal', 'sal_']
    """
    words = dict.fromkeys(WORD.findall(_DIGITS.sub("00", text.replace("_", " "))))
    found: set[str] = set()
    for word in list(words)[:_MOST_WORDS]:
        edged = f"_{word.replace('00', '0')}_"
        found |= {edged[at : at + _GRAM] for at in range(max(1, len(edged) - _GRAM + 1))}
    return found


def marks(text: str) -> dict[str, set[str]]:
    """Give what of a folded text is weighed: concepts, their pairs within a sentence, grams."""
    parts = [text[start:end] for start, end in split(text)]
    parts = [part for part in parts if len(_BAR.findall(part)) < _LINKS]
    said = [concepts(part) for part in parts]
    named = set().union(*said)
    return {
        "concepts": named | {f"no_{name}" for name in _PLAIN if name not in named},
        "pairs": set().union(*map(pairs, said)),
        "grams": grams("\n".join(parts)),
    }


@cache
def lexicon() -> Lexicon:
    """Read the shipped weights."""
    read = sheets.read(sheets.chosen("claims/learned.toml"), Learned)
    return Lexicon(read.base, read.manner, {kind: _by_mark(getattr(read, kind)) for kind in FEWEST})


def _by_mark(rows: dict[str, str]) -> dict[str, float]:
    return {mark: float(weight) for weight, row in rows.items() for mark in row.split()}


def weigh(
    text: str, manner: dict[str, float], known: Lexicon | None = None
) -> tuple[float, list[Reason]]:
    """Give the log odds of a folded text in a manner (values from 0 to 1), and their reasons.

    Marks of a kind are divided by the root of how many the text has, so that length counts little.

    >>> odds, reasons = weigh("we send bulk messages from our own accounts, $40", {"sell": 1.0})
    >>> odds > weigh("the police closed a school", {"report": 1.0})[0], reasons[0].name
    (True, 'sell')
    """
    known = known or lexicon()
    reasons = [
        Reason(name, round(value, 4), round(value * known.manner.get(name, 0.0), 4))
        for name, value in manner.items()
        if value > 0
    ]
    weighed: dict[str, dict[str, float]] = {}
    for kind, present in marks(text).items():
        root = math.sqrt(max(FEWEST[kind], len(present)))
        table = known.marks[kind]
        weighed[kind] = {mark: table[mark] / root for mark in present if mark in table}
    subjects = weighed["concepts"] | weighed["pairs"]
    strongest = sorted(subjects, key=lambda mark: (-abs(subjects[mark]), mark))[:_NAMED]
    for name, terms in (
        (f"words: {', '.join(strongest)}", subjects),
        ("choice of words", weighed["grams"]),
    ):
        adds = round(math.fsum(terms.values()), 4)
        reasons.append(Reason(name, adds, adds))
    return known.base + math.fsum(reason.adds for reason in reasons), reasons


def subject(sentence: str, known: Lexicon | None = None) -> float:
    """Give how far what a folded sentence is about speaks for a claim: a sum to rank sentences by.

    >>> subject("we send it from our own accounts, $40") > subject("the police closed a school")
    True
    """
    known, said = known or lexicon(), concepts(sentence)
    named, paired = known.marks["concepts"], known.marks["pairs"]
    return math.fsum(named.get(mark, 0.0) for mark in said) + math.fsum(
        paired.get(mark, 0.0) for mark in pairs(said)
    )
