"""What words are about, whatever their language: `policy/claims/concepts.toml`.

A concept that is known in one language tells something in the others; two of them in one sentence
tell what is offered together: an account and a price, a message and a count.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache

import msgspec

from wavebreak import sheets
from wavebreak.claims.folding import LETTERS, fold

WORD = re.compile(rf"[{LETTERS}]{{2,}}")
_CONTACT = re.compile(
    r"\+\d[\d ()-]{6,}|(?<![\d.,])0\d[\d -]{7,}\d|(?<![\d.,])\d{10,12}(?![\d.,])|@\w|https?://|\bwww\."
    r"|\b(?:t|wa|m)\.me/|\w\.(?:example|com|net|org|io|app|shop|store|online|site|xyz|br|in|id|il|mx)\b"
)
_MONEY = re.compile(
    r"[$€£₪₹]|(?<!\w)(?:rp|rs|usdt?|reais|pesos|dollars?|dolares|euros?|rupees|rupiah|inr|שקל|שקלים"
    r"|דולר|ש\"ח|रुपये|रुपए)(?!\w)"
)
_PREFIXES, _LONGEST = 3, 40
_FIGURE = re.compile(r"\d")
_PREFIX = re.compile("^[והבכלמש](?=.{3})")


class Concepts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Concepts of what is sold, and of what else such words stand among; each a text of words."""

    sold: dict[str, str]
    around: dict[str, str]


@cache
def _known() -> tuple[dict[str, set[str]], frozenset[str]]:
    """Beginnings (whole words end in a full stop) with their concepts, and the concepts sold."""
    read = sheets.read(sheets.chosen("claims/concepts.toml"), Concepts)
    starts: dict[str, set[str]] = {}
    for name, words in (read.sold | read.around).items():
        for word in words.split():
            starts.setdefault(fold(word).text, set()).add(name)
    return starts, frozenset(read.sold) | {"price", "contact", "figure", "no_consent"}


@lru_cache(maxsize=65536)
def _of_word(word: str) -> frozenset[str]:
    """The concepts of a word, else of what is left without one to three Hebrew prefixes."""
    starts, _ = _known()
    for _ in range(1 + _PREFIXES):
        found = set(starts.get(f"{word}.", ()))
        for end in range(2, min(len(word), _LONGEST) + 1):
            found |= starts.get(word[:end], set())
        if found or not _PREFIX.match(word):
            return frozenset(found)
        word = word[1:]
    return frozenset()


def concepts(sentence: str) -> frozenset[str]:
    """Name the concepts of a folded sentence, with `price`, `contact`, `figure`, `no_consent`.

    >>> sorted(concepts("we send 500 messages, $40"))
    ['figure', 'message', 'ours', 'price', 'send']
    """
    found = {name for word in WORD.findall(sentence) for name in _of_word(word)}
    found |= {"contact"} if _CONTACT.search(sentence) else set()
    found |= {"price"} if _MONEY.search(sentence) else set()
    found |= {"figure"} if _FIGURE.search(_CONTACT.sub("", sentence)) else set()
    if {"without", "consent"} <= found:
        found = found - {"consent"} | {"no_consent"}
    return frozenset(found)


def pairs(found: frozenset[str]) -> set[str]:
    """Name the pairs of a sentence's concepts of which one at least is sold.

    >>> sorted(pairs(frozenset({"account", "price", "school", "police"})))
    ['account+police', 'account+price', 'account+school', 'police+price', 'price+school']
    """
    _, sold = _known()
    ranked = sorted(found)
    return {
        f"{one}+{other}"
        for place, one in enumerate(ranked)
        for other in ranked[place + 1 :]
        if one in sold or other in sold
    }
