"""Classifier of page texts: features of offers, manner and words, weighed by a logistic model.

An offer (bulk sending, evasion of bans, sale of numbers …) counts by its sentence: not at all where
the sentence denies or forbids it, little where it is reported, fought, or part of terms, job
duties or research. Then the page's manner counts: whether it sells, and what share of it reports,
complains, forbids, teaches. Then its words: what they are about (`concepts`), two such in one
sentence (`pairs`), and runs of four letters (`grams`), which recognize a stem in any of the
languages. Then the meaning of its sentences (`wavebreak_cases.claims.embeddings`). These are
learned from pages that the project wrote. Last, the runs of letters of the page's beginning, whose
weights (`pages.toml`) are learned from real pages too.

Sellers disclaim: they answer for nothing, or ask for contacts who opted in. On a page that names an
offer and is no channel that an operator approved, sentences that only disclaim are left out: they
lower nothing.

All are terms of one sum in log odds, whose weights are learned (`policy/claims/learned.toml`, by
`experiments/claims_corpus`). Each term of the manner is a reason that a person can check; so are
the concepts, the letters and the meaning, each as a whole.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

import msgspec

from wavebreak import config
from wavebreak_cases.claims import embeddings, lexicon, quantities
from wavebreak_cases.claims.normalize import LETTERS, Folded, fold
from wavebreak_cases.claims.quantities import Capacity, Price
from wavebreak_cases.claims.sentences import (
    FORMAL,
    REPORTED,
    SELLING,
    OfferWeights,
    Sentence,
    find_sentences,
    split_sentences,
)

MIN_OFFER = 0.3
"""Strength from which an offer is named."""
LETTERS_OF_PAGES = "letters as in real pages"
MIN_FEATURES = {"concepts": 8, "pairs": 24, "grams": 60}
"""The kinds of marks; a page with fewer of one is weighed as if it had so many."""
_PLAIN = ("messenger", "price", "contact", "figure")
_GRAM = 4
_MAX_NAMED = 5
_BAR = re.compile("[·•|›]")
_DIGITS = re.compile(r"\d+")
_MIN_BARS = 3
"""Marks between words from which a line is a navigation bar and tells nothing."""
_LEADING = 4000
"""Characters of a page whose letters are compared with real pages: an offer stands there, and what
follows in long pages (code, licences, lists) says less."""
_MAX_WORDS = 4000
"""Different words of a page that are looked at, the first ones: a longer page repeats itself."""


class Reason(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One term of the score: a name, how strongly it is there, what it adds (log odds).

    The value is from 0 to 1; of words it is what they add.
    """

    name: str
    value: float
    adds: float


class LearnedWeights(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`base`, and weights in log odds: of manner by name, of other marks the marks by weight."""

    base: float
    manner: dict[str, float]
    concepts: dict[str, str]
    pairs: dict[str, str]
    grams: dict[str, str]


class PageWeights(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`pages.toml`: what is added to every page, and the runs of four letters by weight."""

    base: float
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
    words = dict.fromkeys(lexicon.WORD.findall(_DIGITS.sub("00", text.replace("_", " "))))
    pieces: set[str] = set()
    for word in list(words)[:_MAX_WORDS]:
        edged = f"_{word.replace('00', '0')}_"
        pieces |= {edged[at : at + _GRAM] for at in range(max(1, len(edged) - _GRAM + 1))}
    return pieces


def text_features(text: str) -> dict[str, set[str]]:
    """Give what of a folded text is weighed: concepts, their pairs within a sentence, grams."""
    parts = [text[start:end] for start, end in split_sentences(text)]
    parts = [part for part in parts if len(_BAR.findall(part)) < _MIN_BARS]
    said = [lexicon.find_concepts(part) for part in parts]
    named = set().union(*said)
    return {
        "concepts": named | {f"no_{name}" for name in _PLAIN if name not in named},
        "pairs": set().union(*map(lexicon.concept_pairs, said)),
        "grams": grams("\n".join(parts)),
    }


@cache
def load_lexicon() -> Lexicon:
    """Read the shipped weights."""
    read = config.load_config(config.resolve_path("claims/learned.toml"), LearnedWeights)
    return Lexicon(
        read.base,
        read.manner,
        {kind: _weights_by_feature(getattr(read, kind)) for kind in MIN_FEATURES},
    )


def _weights_by_feature(rows: dict[str, str]) -> dict[str, float]:
    return {mark: float(weight) for weight, row in rows.items() for mark in row.split()}


@cache
def load_page_weights() -> tuple[float, dict[str, float]]:
    """Read the shipped weights of real pages: the base, and those of runs of letters."""
    read = config.load_config(config.resolve_path("claims/pages.toml"), PageWeights)
    return read.base, _weights_by_feature(read.grams)


def leading_grams(text: str) -> set[str]:
    """Give the runs of four letters of a folded text's beginning, which real pages are told by."""
    return grams(text[:_LEADING])


def score_letters(text: str) -> float:
    """Give what the letters of a folded text add, compared with real pages (log odds).

    >>> offer = "disparador em massa para whatsapp, envio ilimitado"
    >>> score_letters(offer) > score_letters("lembretes de consultas para pacientes da clinica")
    True
    """
    base, table = load_page_weights()
    present = leading_grams(text)
    weighed = math.fsum(table[mark] for mark in present if mark in table)
    return round(base + weighed / math.sqrt(max(MIN_FEATURES["grams"], len(present))), 4)


def score_text(
    text: str, manner: dict[str, float], known: Lexicon | None = None
) -> tuple[float, list[Reason]]:
    """Give the log odds of a folded text in a manner (values from 0 to 1), and their reasons.

    Marks of a kind are divided by the root of how many the text has, so that length counts little.

    >>> text = "we send bulk messages from our own accounts, $40"
    >>> odds, reasons = score_text(text, {"sell": 1.0})
    >>> odds > score_text("the police closed a school", {"report": 1.0})[0], reasons[0].name
    (True, 'sell')
    """
    known = known or load_lexicon()
    reasons = [
        Reason(name, round(value, 4), round(value * known.manner.get(name, 0.0), 4))
        for name, value in manner.items()
        if value > 0
    ]
    weighed: dict[str, dict[str, float]] = {}
    for kind, present in text_features(text).items():
        root = math.sqrt(max(MIN_FEATURES[kind], len(present)))
        table = known.marks[kind]
        weighed[kind] = {mark: table[mark] / root for mark in present if mark in table}
    subjects = weighed["concepts"] | weighed["pairs"]
    strongest = sorted(subjects, key=lambda mark: (-abs(subjects[mark]), mark))[:_MAX_NAMED]
    for name, terms in (
        (f"words: {', '.join(strongest)}", subjects),
        ("choice of words", weighed["grams"]),
    ):
        adds = round(math.fsum(terms.values()), 4)
        reasons.append(Reason(name, adds, adds))
    return known.base + math.fsum(reason.adds for reason in reasons), reasons


def subject_score(sentence: str, known: Lexicon | None = None) -> float:
    """Give how far what a folded sentence is about speaks for a claim: a sum to rank sentences by.

    >>> score = subject_score("we send it from our own accounts, $40")
    >>> score > subject_score("the police closed a school")
    True
    """
    known, said = known or load_lexicon(), lexicon.find_concepts(sentence)
    named, paired = known.marks["concepts"], known.marks["pairs"]
    return math.fsum(named.get(mark, 0.0) for mark in said) + math.fsum(
        paired.get(mark, 0.0) for mark in lexicon.concept_pairs(said)
    )


_SHORT_PERIODS = ("second", "minute", "hour", "day", "week")
_MIN_BULK = 100
_MAX_PRICE_DISTANCE = 60
AGAINST = (*REPORTED, *FORMAL, "advice")


class Brands(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Messengers and other channels, each with the words that name it."""

    messengers: dict[str, tuple[str, ...]]
    other: dict[str, tuple[str, ...]]


class Verdicts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Scores from which a page with a cited offer is called a claim, and any is for a person."""

    claim: float
    unsure: float


class ReaderSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`policy/claims/reading.toml`."""

    brands: Brands
    commerce: dict[str, float]
    sentence: OfferWeights
    verdict: Verdicts


@dataclass
class Classification:
    """Sentences, the page's manner (values from 0 to 1), reasons by size, the score (0 to 1).

    `text` is the folded text without disclaimers that lower nothing, `weighed` its sentences, and
    `meant` how far the meaning of the first of them speaks for a claim.
    """

    sentences: list[Sentence]
    offers: dict[str, float]
    manner: dict[str, float]
    messengers: list[str]
    others: list[str]
    language: str
    text: str = ""
    weighed: list[Sentence] = field(default_factory=list)
    reasons: list[Reason] = field(default_factory=list)
    score: float = 0.0
    meant: list[float] = field(default_factory=list)

    @property
    def cites_offer(self) -> bool:
        """Whether there is a sentence to cite that offers something, and does not deny it."""
        return any(offer.keeps > 0 for sentence in self.sentences for offer in sentence.offers)

    @property
    def named(self) -> dict[str, float]:
        """The offers that are named, with their strength."""
        return {name: value for name, value in self.offers.items() if value >= MIN_OFFER}


@cache
def load_settings() -> ReaderSettings:
    """Read the shipped weights.

    >>> 0 < load_settings().verdict.unsure < load_settings().verdict.claim < 1
    True
    """
    return config.load_config(config.resolve_path("claims/reading.toml"), ReaderSettings)


def classify(
    text: str, folded: Folded, reachable: bool, known: Lexicon | None = None
) -> Classification:
    """Judge a text and its folded form; `reachable` says whether it gives a way to reach a seller.

    `known` are other weights than those that are shipped.
    """
    classification = extract_features(folded, reachable)
    words, reasons = score_text(classification.text, classification.manner, known)
    meant, classification.meant = embeddings.score_meaning(
        original_sentences(text, folded, classification.weighed), classification.language
    )
    letters = score_letters(classification.text)
    reasons += [
        Reason("meaning of sentences", meant, meant),
        Reason(LETTERS_OF_PAGES, letters, letters),
    ]
    classification.reasons = sorted(reasons, key=lambda reason: -abs(reason.adds))
    odds = words + meant + letters
    classification.score = 1 / (1 + math.exp(-max(-30.0, min(30.0, odds))))
    return classification


def extract_features(folded: Folded, reachable: bool) -> Classification:
    """Look at a folded text without weighing it: sentences, offers, manner, names, language."""
    words, by = lexicon.load_vocabulary(), load_settings()
    spoken = lexicon.detect_languages(folded.text, words)
    sentences = find_sentences(folded.text, spoken, words, by.sentence)
    weighed = _without_disclaimers(sentences, by.sentence)
    text = _blank(folded.text, sentences, weighed)
    offers = _offer_strengths(weighed, by.sentence)
    messengers, others = (
        _find_brands(folded.text, names) for names in (by.brands.messengers, by.brands.other)
    )
    manner = _manner_features(text, weighed, offers, reachable, words, by)
    manner["another_channel"] = float(bool(others) and not messengers)
    language = spoken[0] if len(spoken) < len(lexicon.LANGUAGES) else ""
    return Classification(sentences, offers, manner, messengers, others, language, text, weighed)


def _without_disclaimers(sentences: list[Sentence], keep: OfferWeights) -> list[Sentence]:
    """The sentences that are weighed: see the module's description."""
    if max(_offer_strengths(sentences, keep).values()) < MIN_OFFER:
        return sentences
    disclaim = ["disclaimer" in s.cues and not _offers_more(s) for s in sentences]
    if any("sanctioned" in s.cues for s, only in zip(sentences, disclaim, strict=True) if not only):
        return sentences
    return [
        s
        for s, only in zip(sentences, disclaim, strict=True)
        if not only and ("consent" not in s.cues or _offers_more(s))
    ]


def _offers_more(sentence: Sentence) -> bool:
    """Whether a sentence offers anything that a disclaimer's own words are not taken for.

    "No responsibility for bans" has the words of an evasion.
    """
    return any(o.keeps > 0 and o.group not in ("evasion", "no_consent") for o in sentence.offers)


def _blank(text: str, sentences: list[Sentence], weighed: list[Sentence]) -> str:
    """A text with blanks for the sentences that are not weighed: positions stay."""
    if len(weighed) == len(sentences):
        return text
    kept = {s.start for s in weighed}
    pieces, last = [], 0
    for s in sentences:
        if s.start not in kept:
            pieces += [text[last : s.start], " " * (s.end - s.start)]
            last = s.end
    return "".join([*pieces, text[last:]])


def original_sentences(text: str, folded: Folded, sentences: Sequence[Sentence]) -> list[str]:
    """Give sentences of a folded text as they stand in the original."""
    return [text[slice(*folded.origin(one.start, one.end))].strip() for one in sentences]


def _offer_strengths(sentences: list[Sentence], keep: OfferWeights) -> dict[str, float]:
    """How strongly each group is offered: sentences add up, in a long page each weighs less."""
    one = min(1.0, math.sqrt(keep.long / max(1, len(sentences))))
    offers = dict.fromkeys(lexicon.OFFERS, 0.0)
    for sentence in sentences:
        for group in lexicon.OFFERS:
            keeps = max((o.keeps for o in sentence.offers if o.group == group), default=0.0)
            offers[group] += (1 - offers[group]) * keep.first * keeps * one
    return offers


def _manner_features(
    text: str,
    sentences: list[Sentence],
    offers: dict[str, float],
    reachable: bool,
    words: lexicon.Vocabulary,
    by: ReaderSettings,
) -> dict[str, float]:
    """The terms of the score, each from 0 to 1."""
    manner = _manner(sentences, by.sentence)
    capacities, prices = (
        quantities.find_capacities(text, words),
        quantities.find_prices(text, words),
    )
    signs = manner | {"price": float(bool(prices)), "contact": float(reachable)}
    keeps_to_itself = 1 - by.commerce["always"]
    for name in ("sell", "we", "price", "contact"):
        keeps_to_itself *= 1 - by.commerce[name] * signs[name]
    commerce = 1 - keeps_to_itself
    often = float(any(c.period in _SHORT_PERIODS and c.quantity >= _MIN_BULK for c in capacities))
    asked_for = max(manner["consent"], manner["sanctioned"])
    return signs | {
        **{f"offers {name}": value * commerce for name, value in offers.items()},
        "capacity": often,
        "capacity_for_sale": often * commerce * (1 - asked_for),
        "priced_by_volume": float(_priced_by_volume(capacities, prices)),
    }


def _priced_by_volume(capacities: list[Capacity], prices: list[Price]) -> bool:
    return any(
        c.what == "messages"
        and c.quantity >= _MIN_BULK
        and abs(c.start - p.start) <= _MAX_PRICE_DISTANCE
        for c in capacities
        for p in prices
    )


def _manner(sentences: list[Sentence], keep: OfferWeights) -> dict[str, float]:
    """How far a page sells, consents, denies, reports …, each from 0 to 1."""
    count = max(1, len(sentences))
    values = {}
    for name in (*SELLING, "consent", "sanctioned", *AGAINST):
        having = sum(name in s.cues for s in sentences)
        # Whoever sells says so once or twice; whoever reports or forbids does so throughout.
        full = 1.6 if name in SELLING else max(1.6, min(0.34 * count, keep.many))
        values[name] = min(1.0, having / full)
    denied = sum(s.denies for s in sentences)
    values["denied"] = min(1.0, denied / max(1.0, 0.25 * count))
    return values


def _find_brands(text: str, names: dict[str, tuple[str, ...]]) -> list[str]:
    called = {fold(word).text: name for name, words in names.items() for word in words}
    mentions = _brand_pattern(tuple(called)).findall(text)
    return list(dict.fromkeys(called[word] for word in mentions))


@cache
def _brand_pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    longest = sorted(words, key=len, reverse=True)
    either = "|".join(map(re.escape, longest))
    return re.compile(rf"(?<![{LETTERS}])[והבכלמש]{{0,2}}({either})(?![{LETTERS}])")
