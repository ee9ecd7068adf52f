"""From a page's text to a score, by features that a person can check one by one.

An offer (bulk sending, evasion of bans, sale of numbers …) counts by the sentence it stands in:
not at all where the sentence denies or forbids it, little where it is told of others, fought, or
stands among terms, duties of a job or findings. Then the page's manner counts: whether it sells,
and to what share it reports, complains, forbids, teaches; and last the choice of words, learned.
The score is a logistic sum of these; every term is a reason with its weight.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cache

import msgspec

from wavebreak import sheets
from wavebreak.claims import figures
from wavebreak.claims.figures import Capacity, Price
from wavebreak.claims.folding import LETTERS, Folded
from wavebreak.claims.learned import weigh
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
from wavebreak.errors import PolicyError

_OFTEN = ("second", "minute", "hour", "day", "week")
_MANY = 100
_BESIDE = 60
AGAINST = (*TOLD, *FORMAL, "advice")


class Brands(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Names of messengers, and words of other channels."""

    messengers: tuple[str, ...]
    other: tuple[str, ...]


class Verdicts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Scores from which a page is called a claim, or one that a person should look at."""

    claim: float
    unsure: float


class Weights(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`policy/claims/reading.toml`."""

    brands: Brands
    weights: dict[str, float]
    score: dict[str, float]
    commerce: dict[str, float]
    sentence: Keeping
    verdict: Verdicts


class Reason(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One term of the score: a name, how strongly it is there, what it adds (log odds).

    The value is from 0 to 1; of the learned words it is their log odds.
    """

    name: str
    value: float
    adds: float


@dataclass
class Judged:
    """Sentences, reasons by size, and the score from 0 to 1."""

    sentences: list[Sentence]
    offers: dict[str, float]
    reasons: list[Reason]
    score: float
    messengers: list[str]
    others: list[str]
    language: str


@cache
def weights() -> Weights:
    """Read the shipped weights.

    >>> sorted(weights().weights) == sorted(OFFERS)
    True
    """
    read = sheets.read(sheets.chosen("claims/reading.toml"), Weights)
    if set(read.weights) != set(OFFERS):
        raise PolicyError("reading.toml names other offers than there are", fix=", ".join(OFFERS))
    return read


def judge(
    folded: Folded, reachable: bool, words: Vocabulary | None = None, by: Weights | None = None
) -> Judged:
    """Judge a folded text; `reachable` says whether the page gives a way to reach a seller."""
    words, by = words or vocabulary(), by or weights()
    spoken = languages(folded.text, words)
    found = sentences(folded.text, spoken, words, by.sentence)
    offers = _offers(found, by.sentence)
    messengers, others = (
        _named(folded.text, names) for names in (by.brands.messengers, by.brands.other)
    )
    values = _values(folded.text, found, offers, reachable, words, by)
    values["another_channel"] = float(bool(others) and not messengers)
    reasons = [
        Reason(name, round(value, 4), round(value * _weight(name, by), 4))
        for name, value in values.items()
        if value > 0
    ]
    odds, strongest = weigh(folded.text)
    named = f"words: {', '.join(strongest)}" if strongest else "words"
    reasons.append(Reason(named, round(odds, 4), round(odds * by.score["words"], 4)))
    total = by.score["base"] + sum(reason.adds for reason in reasons)
    reasons.sort(key=lambda reason: -abs(reason.adds))
    score = 1 / (1 + math.exp(-max(-30.0, min(30.0, total))))
    language = spoken[0] if len(spoken) < len(LANGUAGES) else ""
    return Judged(found, offers, reasons, score, messengers, others, language)


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


def _weight(name: str, by: Weights) -> float:
    group = name.removeprefix("offers ")
    return by.weights[group] * by.score["offers"] if group != name else by.score[name]


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


def _named(text: str, names: tuple[str, ...]) -> list[str]:
    found = _either(names).findall(text)
    return list(dict.fromkeys(found))


@cache
def _either(names: tuple[str, ...]) -> re.Pattern[str]:
    longest = sorted({*names}, key=len, reverse=True)
    either = "|".join(map(re.escape, longest))
    return re.compile(rf"(?<![{LETTERS}])[והבכלמש]{{0,2}}({either})(?![{LETTERS}])")
