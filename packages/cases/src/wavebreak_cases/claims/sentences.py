"""Sentences of a folded text: what each one offers, and whether it sells, reports or forbids it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from wavebreak_cases.claims.config import load_limits
from wavebreak_cases.claims.lexicon import OFFERS, STANCES, Vocabulary

_ENDS = re.compile(r"[^\n]*?(?:[.!?…।;]+(?=\s|$)|\n|$)")
_CLAUSE = re.compile(r"[,;:()–—]")
_QUOTED = re.compile(r'(?<![^\s(])["“„«][^"“”„«»\n]{12,400}["”“»](?!\w)')
_MAX_NEGATION_DISTANCE = 4
_MAX_SENTENCE = 600
SELLING = ("sell", "we")
REPORTED, FORMAL = ("report", "victim", "defend"), ("legal", "hiring", "academic")
_NEGATIVE_OFFERS = ("evasion", "no_consent", "unofficial", "lists")
"""Offers that contain a negation: no bans, no opt-in, no approval, no list of your own needed."""
_REVERSING = {"denial", "consent", "sanctioned"}

Span = tuple[int, int]


class OfferWeights(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is left of an offer by the manner of its sentence; `first`: how fast offers add up.

    `long` and `many` are counts of sentences: see reading.toml.
    """

    denied: float
    reported: float
    formal: float
    advised: float
    first: float
    long: int
    many: int


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


class _Negation(NamedTuple):
    """A negating word: its position, and whether it may follow what it negates."""

    start: int
    end: int
    follows: bool


def find_sentences(
    text: str, spoken: list[str], words: Vocabulary, keep: OfferWeights
) -> list[Sentence]:
    """Read the sentences of a folded text, in the languages it is written in and in English."""
    quoted = [match.span() for match in _QUOTED.finditer(text)]
    sentences = []
    for span in split_sentences(text):
        part = text[span[0] : span[1]]
        hits = [
            (group, *match.span())
            for language in dict.fromkeys([*spoken, "en"])
            for group in OFFERS
            for match in words.groups[language][group].finditer(part)
        ]
        cues = _cues(part, spoken, words, [(start, end) for _, start, end in hits])
        kept = [
            Offer(group, span[0] + start, span[0] + end, left)
            for group, start, end, left in _weigh_offers(part, hits, cues, spoken, words, keep)
        ]
        offers = tuple(_weigh_quotation(offer, quoted, keep) for offer in kept)
        sentences.append(Sentence(*span, cues, offers))
    return sentences


def _weigh_quotation(offer: Offer, quoted: list[Span], keep: OfferWeights) -> Offer:
    """Somebody else's words, in quotation marks, count as reported."""
    if any(start < offer.start < end for start, end in quoted):
        return offer._replace(keeps=min(offer.keeps, keep.reported))
    return offer


def split_sentences(text: str) -> list[tuple[int, int]]:
    r"""Split a folded text into sentences, up to a limit; a long one without an end is cut.

    >>> split_sentences("one. two"), split_sentences("1.5 a day\nthree")
    ([(0, 4), (4, 8)], [(0, 10), (10, 15)])
    """
    spans: list[Span] = []
    most = load_limits().reading.sentences
    for match in _ENDS.finditer(text):
        for start in range(match.start(), match.end(), _MAX_SENTENCE):
            end = min(start + _MAX_SENTENCE, match.end())
            if text[start:end].strip():
                spans.append((start, end))
        if len(spans) >= most:
            break
    return spans


def _cues(part: str, spoken: list[str], words: Vocabulary, within: list[Span]) -> frozenset[str]:
    return frozenset(
        name
        for language in spoken
        for name in STANCES
        if name != "negation"
        for match in words.groups[language][name].finditer(part)
        if name in (*SELLING, "disclaimer")
        or not _within(match.span(), within, touching=name in _REVERSING)
    )


def _weigh_offers(
    part: str,
    hits: list[tuple[str, int, int]],
    cues: frozenset[str],
    spoken: list[str],
    words: Vocabulary,
    keep: OfferWeights,
) -> list[tuple[str, int, int, float]]:
    """What is left of each offer; once one of a sentence is denied, so are those behind it."""
    negations = [
        _Negation(*match.span(), language == "hi")
        for language in spoken
        for match in words.groups[language]["negation"].finditer(part)
    ]
    denied, offers, whole = False, [], _cue_weight(cues, keep)
    for group, start, end in sorted(hits, key=lambda hit: hit[1:]):
        others = [(s, e) for _, s, e in hits if (s, e) != (start, end)]
        free = [n for n in negations if not _within(n[:2], others, touching=False)]
        denied = denied or any(
            _governs(part, n, start, end, group not in _NEGATIVE_OFFERS) for n in free
        )
        offers.append((group, start, end, keep.denied if denied else whole))
    return offers


def _within(cue: Span, within: list[Span], touching: bool) -> bool:
    """Whether a cue is an offer's own words ("no opt-in needed"); `touching`: or shares some."""
    if touching:
        return any(cue[0] < end and start < cue[1] for start, end in within)
    return any(start <= cue[0] and cue[1] <= end for start, end in within)


def _cue_weight(cues: frozenset[str], keep: OfferWeights) -> float:
    if "denial" in cues:
        return keep.denied
    if cues & {*REPORTED}:
        return keep.reported
    if cues & {*FORMAL}:
        return keep.formal
    return keep.advised if "advice" in cues else 1.0


def _governs(part: str, negation: _Negation, start: int, end: int, inside: bool) -> bool:
    """Whether a negation is close before an offer, in Hindi also after it, in one clause.

    `inside`: a negation among the offer's own words denies it too.
    """
    before, after, follows = negation
    follows = follows and inside
    if before < end and start < after:
        return inside
    between = part[after:start] if after <= start else part[end:before] if follows else ","
    return len(between.split()) <= _MAX_NEGATION_DISTANCE and not _CLAUSE.search(between)
