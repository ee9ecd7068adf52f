"""From a page's text to a score, by features that a person can check one by one.

An offer (bulk sending, evasion of bans, sale of numbers …) counts by the sentence it stands in:
not at all where the sentence denies or forbids it, little where it is told of others, fought, or
stands among terms, duties of a job or findings. Then the page's manner counts: whether it sells,
and to what share it reports, complains, forbids, teaches. The score is a logistic sum of these;
every term is a reason with its weight.
"""

from __future__ import annotations

import math
import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import msgspec

from wavebreak.claims import figures
from wavebreak.claims.figures import Capacity, Price
from wavebreak.claims.folding import LETTERS, Folded
from wavebreak.claims.vocabulary import (
    LANGUAGES,
    OFFERS,
    STANCES,
    Vocabulary,
    languages,
    vocabulary,
)
from wavebreak.errors import PolicyError

_ENDS = re.compile(r"[^\n]*?(?:[.!?…।;]+(?=\s|$)|\n|$)")
_CLAUSE = re.compile(r"[,;:()–—]")
_REACH = 4
_QUOTED = re.compile(r'(?<![^\s(])["“„«][^"“”„«»\n]{12,400}["”“»](?!\w)')
_LONGEST = 600
_OFTEN = ("second", "minute", "hour", "day", "week")
_MANY = 100
_BESIDE = 60
_TOLD, _FORMAL = ("report", "victim", "defend"), ("legal", "hiring", "academic")
_SELLING = ("sell", "we")
_WITHOUT = ("evasion", "no_consent", "unofficial", "lists")
"""Offers that say "no" themselves: no bans, no opt-in, no approval, no list of your own needed."""
_REVERSED = {"denial", "consent", "sanctioned"}
AGAINST = (*_TOLD, *_FORMAL, "advice")


class Brands(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Names of messengers, and words of other channels."""

    messengers: tuple[str, ...]
    other: tuple[str, ...]


class Keeping(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is left of an offer by the manner of its sentence; `first`: how fast offers add up.

    `long` and `many` are counts of sentences: see reading.toml.
    """

    denied: float
    told: float
    formal: float
    advised: float
    first: float
    long: int
    many: int


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
    """One term of the score: a name, how strongly it is there (0 to 1), what it adds (log odds)."""

    name: str
    value: float
    adds: float


class Offer(NamedTuple):
    """An offer in a folded text: its group, its span, and what is left of it, from 0 to 1."""

    group: str
    start: int
    end: int
    keeps: float


@dataclass(frozen=True)
class Sentence:
    """A sentence of the folded text: its span, its cues, the offers in it."""

    start: int
    end: int
    cues: frozenset[str] = frozenset()
    offers: tuple[Offer, ...] = ()

    @property
    def denies(self) -> bool:
        """Whether it denies or forbids what it names."""
        return any(offer.keeps == 0 for offer in self.offers)


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
def weights(directory: Path | None = None) -> Weights:
    """Read the weights, the shipped ones or those of another directory.

    >>> sorted(weights().weights) == sorted(OFFERS)
    True
    """
    place = directory or files("wavebreak").joinpath("policy/claims")
    try:
        text = place.joinpath("reading.toml").read_text("utf-8")
        read = msgspec.convert(tomllib.loads(text), Weights)
    except (OSError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise PolicyError(f"reading.toml of the claims' policy: {error}") from None
    if set(read.weights) != set(OFFERS):
        raise PolicyError("reading.toml names other offers than there are", fix=", ".join(OFFERS))
    return read


def judge(
    folded: Folded, reachable: bool, words: Vocabulary | None = None, by: Weights | None = None
) -> Judged:
    """Judge a folded text; `reachable` says whether the page gives a way to reach a seller."""
    words, by = words or vocabulary(), by or weights()
    spoken = languages(folded.text, words)
    quoted = [match.span() for match in _QUOTED.finditer(folded.text)]
    sentences = [_read(folded.text, span, spoken, words, by, quoted) for span in split(folded.text)]
    one = min(1.0, math.sqrt(by.sentence.long / max(1, len(sentences))))
    offers = dict.fromkeys(OFFERS, 0.0)
    for sentence in sentences:
        for group in OFFERS:
            keeps = max((o.keeps for o in sentence.offers if o.group == group), default=0.0)
            offers[group] += (1 - offers[group]) * by.sentence.first * keeps * one
    messengers, others = (
        _named(folded.text, names) for names in (by.brands.messengers, by.brands.other)
    )
    manner = _manner(sentences, by.sentence)
    capacities = figures.capacities(folded.text, words)
    prices = figures.prices(folded.text, words)
    often = any(c.period in _OFTEN and c.quantity >= _MANY for c in capacities)
    commerce = 1 - by.commerce["always"]
    for name in ("sell", "we", "price", "contact"):
        share = by.commerce[name]
        told = {"price": bool(prices), "contact": reachable}
        commerce *= 1 - share * (manner[name] if name in manner else told[name])
    commerce = 1 - commerce
    values = {f"offers {name}": value * commerce for name, value in offers.items()} | manner
    values["capacity"] = float(often)
    values["capacity_for_sale"] = (
        often * commerce * (1 - max(manner["consent"], manner["sanctioned"]))
    )
    values["priced_by_volume"] = float(_priced_by_volume(capacities, prices))
    values["price"] = float(bool(prices))
    values["contact"] = float(reachable)
    values["another_channel"] = float(bool(others) and not messengers)
    reasons = [
        Reason(name, round(value, 4), round(value * _weight(name, by), 4))
        for name, value in values.items()
        if value > 0
    ]
    total = by.score["base"] + sum(reason.adds for reason in reasons)
    reasons.sort(key=lambda reason: -abs(reason.adds))
    score = 1 / (1 + math.exp(-max(-30.0, min(30.0, total))))
    language = spoken[0] if len(spoken) < len(LANGUAGES) else ""
    return Judged(sentences, offers, reasons, score, messengers, others, language)


def split(text: str) -> list[tuple[int, int]]:
    r"""Split a folded text into sentences; a long one without an end is cut.

    >>> split("one. two"), split("1.5 a day\nthree")
    ([(0, 4), (4, 8)], [(0, 10), (10, 15)])
    """
    found = []
    for match in _ENDS.finditer(text):
        for start in range(match.start(), match.end(), _LONGEST):
            end = min(start + _LONGEST, match.end())
            if text[start:end].strip():
                found.append((start, end))
    return found


def _weight(name: str, by: Weights) -> float:
    group = name.removeprefix("offers ")
    return by.weights[group] * by.score["offers"] if group != name else by.score[name]


def _read(
    text: str,
    span: tuple[int, int],
    spoken: list[str],
    words: Vocabulary,
    by: Weights,
    quoted: list[tuple[int, int]],
) -> Sentence:
    """Find a sentence's offers, in its language and in English, and its cues."""
    part = text[span[0] : span[1]]
    found = [
        (group, *match.span())
        for language in dict.fromkeys([*spoken, "en"])
        for group in OFFERS
        for match in words.groups[language][group].finditer(part)
    ]
    within = [(start, end) for _, start, end in found]
    cues, negations = set(), []
    for language in spoken:
        for name in STANCES:
            for match in words.groups[language][name].finditer(part):
                if name == "negation":
                    negations.append((*match.span(), language == "hi"))
                    continue
                if name not in _SELLING and _inside(
                    match.span(), within, touching=name in _REVERSED
                ):
                    continue
                cues.add(name)
    keeps = _kept(frozenset(cues), by.sentence)
    offers = []
    denied = False
    for group, start, end in sorted(found, key=lambda f: f[1:]):
        inside = group not in _WITHOUT
        denied = denied or any(
            _governs(part, n, start, end, inside)
            for n in negations
            if not any(s <= n[0] and n[1] <= e and (s, e) != (start, end) for s, e in within)
        )
        left = by.sentence.denied if denied else keeps
        first = span[0] + start
        if any(a < first < b for a, b in quoted):  # somebody else's words
            left = min(left, by.sentence.told)
        offers.append(Offer(group, first, span[0] + end, left))
    return Sentence(*span, frozenset(cues), tuple(offers))


def _inside(cue: tuple[int, int], within: list[tuple[int, int]], touching: bool) -> bool:
    """Whether a cue is an offer's own words ("no opt-in needed"); `touching`: or shares some."""
    if touching:
        return any(cue[0] < end and start < cue[1] for start, end in within)
    return any(start <= cue[0] and cue[1] <= end for start, end in within)


def _kept(cues: frozenset[str], keep: Keeping) -> float:
    if "denial" in cues:
        return keep.denied
    if cues & {*_TOLD}:
        return keep.told
    if cues & {*_FORMAL}:
        return keep.formal
    return keep.advised if "advice" in cues else 1.0


def _governs(
    part: str, negation: tuple[int, int, bool], start: int, end: int, inside: bool
) -> bool:
    """Whether a negation stands close before an offer, in Hindi also behind, in one clause.

    `inside`: a negation among the offer's own words denies it too.
    """
    before, after, follows = negation
    follows = follows and inside
    if before < end and start < after:
        return inside
    between = part[after:start] if after <= start else part[end:before] if follows else ","
    return len(between.split()) <= _REACH and not _CLAUSE.search(between)


def _priced_by_volume(capacities: list[Capacity], prices: list[Price]) -> bool:
    return any(
        c.what == "messages" and c.quantity >= _MANY and abs(c.start - p.start) <= _BESIDE
        for c in capacities
        for p in prices
    )


def _manner(sentences: list[Sentence], keep: Keeping) -> dict[str, float]:
    """How far a page sells, consents, denies, reports …, each from 0 to 1."""
    count = max(1, len(sentences))
    values = {}
    for name in (*_SELLING, "consent", "sanctioned", *AGAINST):
        having = sum(name in s.cues for s in sentences)
        # Whoever sells says so once or twice; whoever reports or forbids does so throughout.
        full = 1.6 if name in _SELLING else max(1.6, min(0.34 * count, keep.many))
        values[name] = min(1.0, having / full)
    denied = sum(s.denies for s in sentences)
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
