"""The words that claims are made of, by language: `policy/claims/<language>.toml`, compiled.

A pattern is words in folded form: `a|b` either phrase, `*` any letters, ` + ` follows at once,
` ~3 ` up to three words between. A Hebrew word may carry its one-letter prefixes.
"""

from __future__ import annotations

import re
from functools import cache

import msgspec

from wavebreak import sheets
from wavebreak.claims.folding import LETTERS, fold
from wavebreak.errors import PolicyError

LANGUAGES = ("en", "he", "pt", "es", "hi", "id")
OFFERS = ("bulk", "automation", "evasion", "no_consent", "unofficial", "numbers", "lists")
STANCES = (
    "sell", "we", "consent", "sanctioned", "negation", "denial", "report", "victim", "defend",
    "hiring", "academic", "legal", "advice",
)  # fmt: skip

_NEAR = 0.7
_WORD = rf"[{LETTERS}'\"]"
_BETWEEN = rf"[^{LETTERS}\n]{{1,3}}"
_HEBREW = re.compile(r"[\u05d0-\u05ea]")


class Units(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Words of counts: what is counted, the time it takes, what multiplies a number, numerals."""

    messages: tuple[str, ...]
    things: tuple[str, ...]
    day: tuple[str, ...]
    hour: tuple[str, ...]
    minute: tuple[str, ...]
    second: tuple[str, ...]
    week: tuple[str, ...]
    month: tuple[str, ...]
    multipliers: dict[str, int]
    numerals: dict[str, int]


class Words(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One language's file."""

    language: str
    stopwords: tuple[str, ...]
    offers: dict[str, tuple[str, ...]]
    stance: dict[str, tuple[str, ...]]
    units: Units


class Vocabulary(msgspec.Struct, frozen=True):
    """An expression for each language and group, and the stop words of each language."""

    groups: dict[str, dict[str, re.Pattern[str]]]
    stopwords: dict[str, frozenset[str]]
    units: dict[str, tuple[str, ...]]
    multipliers: dict[str, int]
    numerals: dict[str, int]


def languages(text: str, words: Vocabulary) -> list[str]:
    """Tell the languages of a folded text by their frequent words, the most frequent first.

    Those that come near the first are given too; all where there are too few words to tell.

    >>> languages("nao precisa de uma api", vocabulary()), languages("zzz", vocabulary())
    (['pt'], ['en', 'he', 'pt', 'es', 'hi', 'id'])
    """
    tokens = [token.strip(".,!?:;()") for token in text.split()[:5000]]
    counts = {
        language: sum(token in stop for token in tokens)
        for language, stop in words.stopwords.items()
    }
    most = max(counts.values())
    ranked = sorted(LANGUAGES, key=lambda language: -counts[language])
    return [name for name in ranked if counts[name] >= _NEAR * most] if most else list(LANGUAGES)


@cache
def vocabulary() -> Vocabulary:
    """Read and compile the shipped vocabulary.

    >>> bool(vocabulary().groups["pt"]["bulk"].search(fold("Disparo EM MASSA").text))
    True
    """
    spoken = [_read(language) for language in LANGUAGES]
    units = {
        unit: tuple(
            sorted({fold(w).text for words in spoken for w in getattr(words.units, unit)}, key=len)
        )[::-1]
        for unit in Units.__struct_fields__
        if unit not in ("multipliers", "numerals")
    }
    return Vocabulary(
        {words.language: _groups(words) for words in spoken},
        {words.language: frozenset(fold(w).text for w in words.stopwords) for words in spoken},
        units,
        {fold(w).text: n for words in spoken for w, n in words.units.multipliers.items()},
        {fold(w).text: n for words in spoken for w, n in words.units.numerals.items()},
    )


def _groups(words: Words) -> dict[str, re.Pattern[str]]:
    made = {}
    for name, patterns in (words.offers | words.stance).items():
        either = "|".join(_compiled(pattern, name) for pattern in patterns)
        made[name] = re.compile(rf"(?<!{_WORD})(?:{either})(?!{_WORD})")
    return made


def _read(language: str) -> Words:
    words = sheets.read(sheets.chosen(f"claims/{language}.toml"), Words)
    if set(words.offers) != set(OFFERS) or set(words.stance) != set(STANCES):
        raise PolicyError(
            f"{language}.toml of the claims' vocabulary lacks a group, or has another",
            fix=f"give [offers] {', '.join(OFFERS)} and [stance] {', '.join(STANCES)}",
        )
    return words


def _compiled(pattern: str, group: str) -> str:
    """Turn a pattern into a regular expression over folded text."""
    parts = re.split(r" (\+|~\d) ", pattern)
    made = _either(parts[0], group)
    for joint, part in zip(parts[1::2], parts[2::2], strict=True):
        most = 0 if joint == "+" else int(joint[1:])
        gap = rf"(?:{_WORD}{{1,30}}(?:[.,]\d+){{0,3}}{_BETWEEN}){{0,{most}}}"
        made += f"{_BETWEEN}{gap}{_either(part, group)}"
    return made


def _either(part: str, group: str) -> str:
    phrases = [p.strip() for p in part.split("|")]
    if not all(phrases):
        raise PolicyError(f"a pattern of the group {group} has an empty word: {part}")
    return f"(?:{'|'.join(map(_phrase, phrases))})"


def _phrase(phrase: str) -> str:
    return _BETWEEN.join(_word(fold(word).text) for word in phrase.split())


def _word(word: str) -> str:
    made = "".join(rf"{_WORD}{{0,20}}" if c == "*" else re.escape(c) for c in word)
    return rf"[והבכלמש]{{0,3}}{made}" if _HEBREW.match(word) else made
