"""From a page's text to a score, by features that a person can check one by one.

An offer (bulk sending, evasion of bans, sale of numbers …) counts by the sentence it stands in:
not at all where the sentence denies or forbids it, little where it is told of others, fought, or
stands among terms, duties of a job or findings. Then the page's manner counts: whether it sells,
and to what share it reports, complains, forbids, teaches; then the choice of words, and what the
sentences mean. All are terms of one logistic sum whose weights are learned: see `learned` and
`meaning`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

import msgspec

from wavebreak import sheets
from wavebreak.claims import figures, meaning
from wavebreak.claims.figures import Capacity, Price
from wavebreak.claims.folding import LETTERS, Folded, fold
from wavebreak.claims.learned import Lexicon, Reason, weigh
from wavebreak.claims.sentences import (
    FORMAL,
    SELLING,
    TOLD,
    Keeping,
    Sentence,
    sentences,
)
from wavebreak.claims.vocabulary import (
    LANGUAGES,
    OFFERS,
    Vocabulary,
    languages,
    vocabulary,
)

_OFTEN = ("second", "minute", "hour", "day", "week")
_MANY = 100
_BESIDE = 60
AGAINST = (*TOLD, *FORMAL, "advice")


class Brands(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Messengers and other channels, each with the words that name it."""

    messengers: dict[str, tuple[str, ...]]
    other: dict[str, tuple[str, ...]]


class Verdicts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Scores from which a page is called a claim, or one that a person should look at."""

    claim: float
    unsure: float


class Weights(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`policy/claims/reading.toml`."""

    brands: Brands
    commerce: dict[str, float]
    sentence: Keeping
    verdict: Verdicts


@dataclass
class Judged:
    """Sentences, the page's manner (values from 0 to 1), reasons by size, the score (0 to 1).

    `meant` is how far the meaning of the first sentences speaks for a claim.
    """

    sentences: list[Sentence]
    offers: dict[str, float]
    manner: dict[str, float]
    messengers: list[str]
    others: list[str]
    language: str
    reasons: list[Reason] = field(default_factory=list)
    score: float = 0.0
    meant: list[float] = field(default_factory=list)


@cache
def weights() -> Weights:
    """Read the shipped weights.

    >>> 0 < weights().verdict.unsure < weights().verdict.claim < 1
    True
    """
    return sheets.read(sheets.chosen("claims/reading.toml"), Weights)


def judge(text: str, folded: Folded, reachable: bool, known: Lexicon | None = None) -> Judged:
    """Judge a text and its folded form; `reachable` says whether it gives a way to reach a seller.

    `known` are other weights than those that are shipped.
    """
    made = look(folded, reachable)
    words, reasons = weigh(folded.text, made.manner, known)
    meant, made.meant = meaning.weigh(said(text, folded, made.sentences), made.language)
    reasons.append(Reason("meaning of sentences", meant, meant))
    made.reasons = sorted(reasons, key=lambda reason: -abs(reason.adds))
    made.score = 1 / (1 + math.exp(-max(-30.0, min(30.0, words + meant))))
    return made


def look(folded: Folded, reachable: bool) -> Judged:
    """Look at a folded text without weighing it: sentences, offers, manner, names, language."""
    words, by = vocabulary(), weights()
    spoken = languages(folded.text, words)
    found = sentences(folded.text, spoken, words, by.sentence)
    offers = _offers(found, by.sentence)
    messengers, others = (
        _named(folded.text, names) for names in (by.brands.messengers, by.brands.other)
    )
    manner = _values(folded.text, found, offers, reachable, words, by)
    manner["another_channel"] = float(bool(others) and not messengers)
    language = spoken[0] if len(spoken) < len(LANGUAGES) else ""
    return Judged(found, offers, manner, messengers, others, language)


def said(text: str, folded: Folded, found: Sequence[Sentence]) -> list[str]:
    """Give sentences of a folded text as they stand in the original."""
    return [text[slice(*folded.origin(one.start, one.end))].strip() for one in found]


def _offers(found: list[Sentence], keep: Keeping) -> dict[str, float]:
    """How strongly each group is offered: sentences add up, in a long page each weighs less."""
    one = min(1.0, math.sqrt(keep.long / max(1, len(found))))
    offers = dict.fromkeys(OFFERS, 0.0)
    for sentence in found:
        for group in OFFERS:
            keeps = max((o.keeps for o in sentence.offers if o.group == group), default=0.0)
            offers[group] += (1 - offers[group]) * keep.first * keeps * one
    return offers


def _values(
    text: str,
    found: list[Sentence],
    offers: dict[str, float],
    reachable: bool,
    words: Vocabulary,
    by: Weights,
) -> dict[str, float]:
    """The terms of the score, each from 0 to 1."""
    manner = _manner(found, by.sentence)
    capacities, prices = figures.capacities(text, words), figures.prices(text, words)
    signs = manner | {"price": float(bool(prices)), "contact": float(reachable)}
    keeps_to_itself = 1 - by.commerce["always"]
    for name in ("sell", "we", "price", "contact"):
        keeps_to_itself *= 1 - by.commerce[name] * signs[name]
    commerce = 1 - keeps_to_itself
    often = float(any(c.period in _OFTEN and c.quantity >= _MANY for c in capacities))
    asked_for = max(manner["consent"], manner["sanctioned"])
    return signs | {
        **{f"offers {name}": value * commerce for name, value in offers.items()},
        "capacity": often,
        "capacity_for_sale": often * commerce * (1 - asked_for),
        "priced_by_volume": float(_priced_by_volume(capacities, prices)),
    }


def _priced_by_volume(capacities: list[Capacity], prices: list[Price]) -> bool:
    return any(
        c.what == "messages" and c.quantity >= _MANY and abs(c.start - p.start) <= _BESIDE
        for c in capacities
        for p in prices
    )


def _manner(found: list[Sentence], keep: Keeping) -> dict[str, float]:
    """How far a page sells, consents, denies, reports …, each from 0 to 1."""
    count = max(1, len(found))
    values = {}
    for name in (*SELLING, "consent", "sanctioned", *AGAINST):
        having = sum(name in s.cues for s in found)
        # Whoever sells says so once or twice; whoever reports or forbids does so throughout.
        full = 1.6 if name in SELLING else max(1.6, min(0.34 * count, keep.many))
        values[name] = min(1.0, having / full)
    denied = sum(s.denies for s in found)
    values["denied"] = min(1.0, denied / max(1.0, 0.25 * count))
    return values


def _named(text: str, names: dict[str, tuple[str, ...]]) -> list[str]:
    """The names of what is named, in the order of the text."""
    called = {fold(word).text: name for name, words in names.items() for word in words}
    found = _either(tuple(called)).findall(text)
    return list(dict.fromkeys(called[word] for word in found))


@cache
def _either(words: tuple[str, ...]) -> re.Pattern[str]:
    longest = sorted(words, key=len, reverse=True)
    either = "|".join(map(re.escape, longest))
    return re.compile(rf"(?<![{LETTERS}])[והבכלמש]{{0,2}}({either})(?![{LETTERS}])")
