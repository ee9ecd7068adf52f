"""Messages of people, and the words by which they opt out or in.

A text is matched in memory and not kept. Where a provider says itself that somebody opted out, its
word counts.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from importlib import resources
from typing import Any

import msgspec

from wavebreak_business.record_table import Kind, RecordTable

MAX_WORD = 64
"""Characters of a text that may be a word; a longer one says more than that."""


class _Words(msgspec.Struct, forbid_unknown_fields=True):
    language: str
    stop: list[str]
    start: list[str]
    only: str = ""


class _File(msgspec.Struct, forbid_unknown_fields=True):
    words: list[_Words]


def _plain(text: str) -> str:
    """Return a text in small letters, without accents, marks of direction and punctuation.

    >>> _plain("  ARRÊT! "), _plain("Stop."), _plain("opt-out")
    ('arret', 'stop', 'opt out')
    """
    parts = unicodedata.normalize("NFKD", text)
    kept = (c for c in parts if unicodedata.category(c)[:1] != "M" and c.isprintable())
    return " ".join("".join(c if c.isalnum() else " " for c in kept).casefold().split())


@cache
def _kinds() -> dict[tuple[str, str], Kind]:
    """Return what each word says, by the provider ("": any) and the word."""
    path = resources.files("wavebreak_business") / "policy" / "opt_out_words.toml"
    table = msgspec.toml.decode(path.read_bytes(), type=_File)
    return {
        (row.only, _plain(word)): kind
        for row in table.words
        for kind, words in ((Kind.STOP, row.stop), (Kind.RESUME, row.start))
        for word in words
    }


def find_word(text: Any, provider: str = "") -> Kind | None:
    """Return what a text says, if it is a word of opting out or in and nothing else.

    >>> find_word("Stopp"), find_word("הסר"), find_word("stop by at five"), find_word(None)
    (<Kind.STOP: 6>, <Kind.STOP: 6>, None, None)
    >>> find_word("YES", "twilio"), find_word("YES")
    (<Kind.RESUME: 7>, None)
    """
    if not isinstance(text, str) or len(text) > MAX_WORD:
        return None
    plain = _plain(text)
    return _kinds().get(("", plain)) or _kinds().get((provider, plain))


def add_inbound(
    records: RecordTable,
    at_ms: int | None,
    *texts: Any,
    flag: Kind | None = None,
    word_category: str = "",
    provider: str,
    category: str = "",
    **known: Any,
) -> None:
    """Add a person's message, and that the person opted out or in by it.

    Args:
        records: What takes the records.
        at_ms: When it was sent.
        *texts: Its text, and what a button of it says; they are not kept.
        flag: What the provider itself says of opting out or in; it comes before a word.
        word_category: The category that a word is about ("": that of the message).
        provider: Whose message it is.
        category: The category of the message.
        **known: Further fields of both records, as of `RecordTable.add`.
    """
    found = (kind for text in texts if (kind := find_word(text, provider)) is not None)
    kind = next(found, None) if flag is None else flag
    if kind is not None:
        about = word_category or category
        records.add(kind, at_ms, provider=provider, category=about, **known)
    records.add(Kind.INBOUND, at_ms, provider=provider, category=category, **known)
