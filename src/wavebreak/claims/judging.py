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
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path

import msgspec

from wavebreak.claims import figures
from wavebreak.claims.folding import LETTERS, Folded
from wavebreak.claims.vocabulary import OFFERS, Vocabulary, vocabulary
from wavebreak.errors import PolicyError

_ENDS = re.compile(r"[^\n]*?(?:[.!?…।;]+(?=\s|$)|\n|$)")
_LONGEST = 600
_TOLD, _FORMAL = ("report", "victim", "defend"), ("legal", "hiring", "academic")
AGAINST = (*_TOLD, *_FORMAL, "advice")


class Brands(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Names of messengers, and words of other channels."""

    messengers: tuple[str, ...]
    other: tuple[str, ...]


class Keeping(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is left of an offer by the manner of its sentence; `first`: how fast offers add up."""

    denied: float
    told: float
    formal: float
    advised: float
    first: float


class Verdicts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Scores from which a page is called a claim, or one that a person should look at."""

    claim: float
    unsure: float


class Weights(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`policy/claims/reading.toml`."""

    brands: Brands
    weights: dict[str, float]
    score: dict[str, float]
    sentence: Keeping
    verdict: Verdicts


class Reason(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One term of the score: a name, how strongly it is there (0 to 1), what it adds (log odds)."""

    name: str
    value: float
    adds: float


@dataclass
class Sentence:
    """A sentence of the folded text: where it stands, its `cues`, the offers in it.

    `keeps` is what is left of its offers, from 0 to 1.
    """

    start: int
    end: int
    cues: frozenset[str] = frozenset()
    offers: list[tuple[str, int, int]] = field(default_factory=list)
    keeps: float = 1.0


@dataclass
class Judged:
    """Sentences, reasons by size, and the score from 0 to 1."""

    sentences: list[Sentence]
    offers: dict[str, float]
    reasons: list[Reason]
    score: float
    messengers: list[str]
    others: list[str]


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
    sentences = [_read(folded.text, s, words, by) for s in split(folded.text)]
    told = [s for s in sentences if s.cues or s.offers]
    offers = {}
    for group in OFFERS:
        rest = 1.0
        for s in told:
            if any(name == group for name, _, _ in s.offers):
                rest *= 1 - by.sentence.first * s.keeps
        offers[group] = 1 - rest
    messengers, others = (
        _named(folded.text, names) for names in (by.brands.messengers, by.brands.other)
    )
    values = {f"offers {name}": value for name, value in offers.items()}
    values |= _manner(sentences, by)
    capacity = figures.capacities(folded.text, words)
    values["capacity"] = 1.0 if any(c.period and c.quantity >= 100 for c in capacity) else 0.0
    values["price"] = 1.0 if figures.prices(folded.text, words) else 0.0
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
    return Judged(sentences, offers, reasons, score, messengers, others)


def split(text: str) -> list[Sentence]:
    """Split a folded text into sentences; a long one without an end is cut."""
    found = []
    for match in _ENDS.finditer(text):
        for start in range(match.start(), match.end(), _LONGEST):
            end = min(start + _LONGEST, match.end())
            if text[start:end].strip():
                found.append(Sentence(start, end))
    return found


def _weight(name: str, by: Weights) -> float:
    group = name.removeprefix("offers ")
    return by.weights[group] * by.score["offers"] if group != name else by.score[name]


def _read(text: str, sentence: Sentence, words: Vocabulary, by: Weights) -> Sentence:
    part = text[sentence.start : sentence.end]
    for group in OFFERS:
        for found in words.groups[group].finditer(part):
            start, end = found.span()
            sentence.offers.append((group, sentence.start + start, sentence.start + end))
    # Words inside an offer ("no opt-in needed") deny nothing.
    outside = list(part)
    for _, start, end in sentence.offers:
        for index in range(start - sentence.start, end - sentence.start):
            outside[index] = "\0"
    rest = "".join(outside)
    cues = {name for name in words.groups if name not in OFFERS and words.groups[name].search(rest)}
    sentence.cues = frozenset(cues)
    keep = by.sentence
    if "denial" in cues:
        sentence.keeps = keep.denied
    elif cues & {*_TOLD}:
        sentence.keeps = keep.told
    elif cues & {*_FORMAL}:
        sentence.keeps = keep.formal
    elif "advice" in cues:
        sentence.keeps = keep.advised
    return sentence


def _manner(sentences: list[Sentence], by: Weights) -> dict[str, float]:
    """How far a page sells, consents, denies, reports …: each by its share of sentences."""
    count = max(1, len(sentences))
    values = {}
    for name in ("sell", "we", "consent", "sanctioned", *AGAINST):
        having = sum(name in s.cues for s in sentences)
        values[name] = min(1.0, having / max(2.0, 0.34 * count))
    denied = sum("denial" in s.cues and bool(s.offers) for s in sentences)
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
