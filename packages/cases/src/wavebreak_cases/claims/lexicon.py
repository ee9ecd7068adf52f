"""Vocabulary of the claims reader, by language, and the concepts that its words belong to.

`policy/claims/<language>.toml` has patterns in folded form: `a|b` either phrase, `*` any letters,
` + ` directly followed by, ` ~3 ` up to three words between. A Hebrew word may have its one-letter
prefixes. `policy/claims/concepts.toml` has the concepts, whatever the language: two of them in one
sentence show what is offered together, an account and a price, a message and a count.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache, lru_cache

import msgspec

from wavebreak import config
from wavebreak.errors import PolicyError
from wavebreak.languages import registered_languages
from wavebreak_cases.claims.normalize import LETTERS, fold

LANGUAGES = tuple(code for code, entry in registered_languages().items() if entry.claims)
"""Codes of the languages in which claims are read, in the order of the registry."""
OFFERS = ("bulk", "automation", "evasion", "no_consent", "unofficial", "numbers", "lists")
STANCES = (
    "sell", "we", "consent", "sanctioned", "negation", "denial", "report", "victim", "defend",
    "hiring", "academic", "legal", "advice", "disclaimer", "limit",
)  # fmt: skip

_MIN_SHARE = 0.7
_MAX_SMALL = 5000
"""Words of a page by which its language is recognized, the first ones."""
_WORD = rf"[{LETTERS}'\"]"
_BETWEEN = rf"[^{LETTERS}\n]{{1,3}}"
_HEBREW = re.compile(r"[\u05d0-\u05ea]")


class Units(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Words of counts: what is counted, the time it takes, what multiplies a number, numerals.

    `unlimited` are words for a count without end, `others` what is counted and is no message.
    """

    messages: tuple[str, ...]
    things: tuple[str, ...]
    day: tuple[str, ...]
    hour: tuple[str, ...]
    minute: tuple[str, ...]
    second: tuple[str, ...]
    week: tuple[str, ...]
    month: tuple[str, ...]
    unlimited: tuple[str, ...]
    others: tuple[str, ...]
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
    """An expression for each language and group, and the stop words of each language.

    `limits` finds in any language what an operator allows or limits.
    """

    groups: Mapping[str, dict[str, re.Pattern[str]]]
    limits: re.Pattern[str]
    stopwords: dict[str, frozenset[str]]
    units: dict[str, tuple[str, ...]]
    multipliers: dict[str, int]
    numerals: dict[str, int]


def detect_languages(text: str, words: Vocabulary) -> list[str]:
    """Detect the languages of a folded text by their frequent words, the most frequent first.

    Languages close to the first are returned too; all where there are too few words.

    >>> [detect_languages(text, load_vocabulary()) for text in ("nao precisa de uma api", "zzz")]
    [['pt'], ['en', 'he', 'pt', 'es', 'hi', 'id']]
    """
    tokens = [token.strip(".,!?:;()") for token in text.split()[:5000]]
    counts = {
        language: sum(token in stop for token in tokens)
        for language, stop in words.stopwords.items()
    }
    most = max(counts.values())
    ranked = sorted(LANGUAGES, key=lambda language: -counts[language])
    return (
        [name for name in ranked if counts[name] >= _MIN_SHARE * most] if most else list(LANGUAGES)
    )


class SmallWords(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`languages.toml`: small words of the languages that are read, by code, and of others."""

    read: dict[str, str]
    other: dict[str, str]


UNRECOGNIZED = "not recognised"
_MIN_SMALL, _MIN_WORDS = 3, 5
_CLEARLY = 1.5
"""How many times as many small words another language needs as the best one that is read: pages
name their subject in English, and neighbours share words."""
_LATIN_WORD = re.compile(r"[a-z']{2,}")


@cache
def _small_words() -> tuple[dict[str, frozenset[str]], dict[str, frozenset[str]]]:
    stored = config.load_config(config.resolve_path("claims/languages.toml"), SmallWords)
    read, other = (
        {name: frozenset(fold(row).text.split()) for name, row in table.items()}
        for table in (stored.read, stored.other)
    )
    return read, other


def unread_language(text: str) -> str:
    """Name the language of a folded text if it is none that is read, by its small words.

    A text in Latin letters without a small word of any language that is read is not recognised.

    >>> unread_language("50 000 messages whatsapp par jour, sans consentement, pour tous")
    'French'
    >>> unread_language("we send it from our own accounts"), unread_language("bulk sender")
    ('', '')
    >>> unread_language("zzz yyy xxx www vvv")
    'not recognised'
    """
    words = re.findall(rf"[{LETTERS}']+", text[: 40 * _MAX_SMALL])[:_MAX_SMALL]
    read, other = _small_words()
    counts = [
        {name: sum(word in small for word in words) for name, small in table.items()}
        for table in (read, other)
    ]
    best = max(counts[0].values())
    name = max(counts[1], key=lambda name: counts[1][name])
    if counts[1][name] >= max(_MIN_SMALL, _CLEARLY * best):
        return name
    latin = sum(bool(_LATIN_WORD.fullmatch(word)) for word in words)
    return UNRECOGNIZED if not best and 2 * latin > len(words) >= _MIN_WORDS else ""


@cache
def load_vocabulary() -> Vocabulary:
    """Read and compile the shipped vocabulary.

    >>> bool(load_vocabulary().groups["pt"]["bulk"].search(fold("Disparo EM MASSA").text))
    True
    """
    spoken = [_read_language(language) for language in LANGUAGES]
    units = {
        unit: tuple(
            sorted({fold(w).text for words in spoken for w in getattr(words.units, unit)}, key=len)
        )[::-1]
        for unit in Units.__struct_fields__
        if unit not in ("multipliers", "numerals")
    }
    groups = {words.language: _group_expressions(words) for words in spoken}
    return Vocabulary(
        _CompiledGroups(groups),
        re.compile("|".join(group["limit"] for group in groups.values())),
        {words.language: frozenset(fold(w).text for w in words.stopwords) for words in spoken},
        units,
        {fold(w).text: n for words in spoken for w, n in words.units.multipliers.items()},
        {fold(w).text: n for words in spoken for w, n in words.units.numerals.items()},
    )


class _CompiledGroups(dict[str, dict[str, re.Pattern[str]]]):
    """Compiles a language's expressions for its first page: all six take a second."""

    def __init__(self, expressions: dict[str, dict[str, str]]) -> None:
        super().__init__()
        self._expressions = expressions

    def __missing__(self, language: str) -> dict[str, re.Pattern[str]]:
        expressions = self._expressions[language]
        self[language] = {name: re.compile(text) for name, text in expressions.items()}
        return self[language]


def _group_expressions(words: Words) -> dict[str, str]:
    expressions = {}
    for name, patterns in (words.offers | words.stance).items():
        either = "|".join(_compile_pattern(pattern, name) for pattern in patterns)
        expressions[name] = rf"(?<!{_WORD})(?:{either})(?!{_WORD})"
    return expressions


def _read_language(language: str) -> Words:
    words = config.load_config(config.resolve_path(f"claims/{language}.toml"), Words)
    if set(words.offers) != set(OFFERS) or set(words.stance) != set(STANCES):
        raise PolicyError(
            f"{language}.toml of the claims' vocabulary lacks a group, or has another",
            fix=f"give [offers] {', '.join(OFFERS)} and [stance] {', '.join(STANCES)}",
        )
    return words


def _compile_pattern(pattern: str, group: str) -> str:
    """Turn a pattern into a regular expression over folded text."""
    parts = re.split(r" (\+|~\d) ", pattern)
    expression = _compile_alternatives(parts[0], group)
    for joint, part in zip(parts[1::2], parts[2::2], strict=True):
        most = 0 if joint == "+" else int(joint[1:])
        gap = rf"(?:{_WORD}{{1,30}}(?:[.,]\d+){{0,3}}{_BETWEEN}){{0,{most}}}"
        expression += f"{_BETWEEN}{gap}{_compile_alternatives(part, group)}"
    return expression


def _compile_alternatives(part: str, group: str) -> str:
    phrases = [p.strip() for p in part.split("|")]
    if not all(phrases):
        raise PolicyError(f"a pattern of the group {group} has an empty word: {part}")
    return f"(?:{'|'.join(map(_compile_phrase, phrases))})"


def _compile_phrase(phrase: str) -> str:
    return _BETWEEN.join(_compile_word(fold(word).text) for word in phrase.split())


def _compile_word(word: str) -> str:
    pattern = "".join(rf"{_WORD}{{0,20}}" if c == "*" else re.escape(c) for c in word)
    return rf"[והבכלמש]{{0,3}}{pattern}" if _HEBREW.match(word) else pattern


WORD = re.compile(rf"[{LETTERS}]{{2,}}")
_CONTACT = re.compile(
    r"\+\d[\d ()-]{6,}|(?<![\d.,])0\d[\d -]{7,}\d|(?<![\d.,])\d{10,12}(?![\d.,])|@\w|https?://|\bwww\."
    r"|\b(?:t|wa|m)\.me/|\w\.(?:example|com|net|org|io|app|shop|store|online|site|xyz|br|in|id|il|mx)\b"
)
_MONEY = re.compile(
    r"[$€£₪₹₽₺₴₸₦₫₱₩¥৳]|(?<!\w)(?:rp|rs|usdt?|reais|pesos|dollars?|dolares|euros?|rupees|rupiah|inr|שקל|שקלים"
    r"|דולר|ש\"ח|रुपये|रुपए|rub|rubles?|roubles?|rublos|руб|рублеи|рубля|aed|sar|egp|dirhams?|riyals?"
    r"|naira|ngn|pkr|bdt|taka|ringgit|lira|درهم|ريال|جنيه)(?!\w)"
)
_PREFIXES, _MAX_PREFIX = 3, 40
_FIGURE = re.compile(r"\d")
_PREFIX = re.compile("^[והבכלמש](?=.{3})")


class Concepts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Concepts of what is sold, and of what else such words stand among; each a text of words."""

    sold: dict[str, str]
    around: dict[str, str]


@cache
def _load_concepts() -> tuple[dict[str, set[str]], frozenset[str]]:
    """Beginnings (whole words end in a full stop) with their concepts, and the concepts sold."""
    read = config.load_config(config.resolve_path("claims/concepts.toml"), Concepts)
    starts: dict[str, set[str]] = {}
    for name, words in (read.sold | read.around).items():
        for word in words.split():
            starts.setdefault(fold(word).text, set()).add(name)
    return starts, frozenset(read.sold) | {"price", "contact", "figure", "no_consent"}


@lru_cache(maxsize=65536)
def _word_concepts(word: str) -> frozenset[str]:
    """The concepts of a word, else of what is left without one to three Hebrew prefixes."""
    starts, _ = _load_concepts()
    for _ in range(1 + _PREFIXES):
        concepts = set(starts.get(f"{word}.", ()))
        for end in range(2, min(len(word), _MAX_PREFIX) + 1):
            concepts |= starts.get(word[:end], set())
        if concepts or not _PREFIX.match(word):
            return frozenset(concepts)
        word = word[1:]
    return frozenset()


def find_concepts(sentence: str) -> frozenset[str]:
    """Name the concepts of a folded sentence, with `price`, `contact`, `figure`, `no_consent`.

    >>> sorted(find_concepts("we send 500 messages, $40"))
    ['figure', 'message', 'ours', 'price', 'send']
    """
    concepts = {name for word in WORD.findall(sentence) for name in _word_concepts(word)}
    concepts |= {"contact"} if _CONTACT.search(sentence) else set()
    concepts |= {"price"} if _MONEY.search(sentence) else set()
    concepts |= {"figure"} if _FIGURE.search(_CONTACT.sub("", sentence)) else set()
    if {"without", "consent"} <= concepts:
        concepts = concepts - {"consent"} | {"no_consent"}
    return frozenset(concepts)


def concept_pairs(concepts: frozenset[str]) -> set[str]:
    """Name the pairs of a sentence's concepts of which one at least is sold.

    >>> sorted(concept_pairs(frozenset({"account", "price", "school", "police"})))
    ['account+police', 'account+price', 'account+school', 'police+price', 'price+school']
    """
    _, sold = _load_concepts()
    ranked = sorted(concepts)
    return {
        f"{one}+{other}"
        for place, one in enumerate(ranked)
        for other in ranked[place + 1 :]
        if one in sold or other in sold
    }
