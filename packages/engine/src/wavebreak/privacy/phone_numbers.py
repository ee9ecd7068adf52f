"""Phone numbers as ids: several spellings of a number are one account."""

from __future__ import annotations

import re

import phonenumbers
import pyarrow as pa

from wavebreak.schema.distinct_values import encode_distinct

_SEPARATORS = re.compile(r"[\s\-().\u2010-\u2015/]+")
_E164 = re.compile(r"\+[1-9]\d{6,14}")


class Spellings:
    """Phone numbers in one spelling (E.164), and what was found of others."""

    def __init__(self, country: str, *, numbers: bool) -> None:
        self._country, self._numbers = country, numbers
        self._known: dict[str, str] = {}
        self._spelt: dict[str, str] = {}
        self._unified = set[str]()
        self._unread = set[str]()

    def normalize(self, column: pa.Array, name: str) -> pa.Array:
        """Return a column with each number in one spelling, if it is declared to have some."""
        if not (self._numbers or name == "phone"):
            return column
        encoded = encode_distinct(column)
        words = [self._one(word) for word in encoded.dictionary.to_pylist()]
        return pa.array(words, pa.string()).take(encoded.indices)

    def _one(self, text: str) -> str:
        known = self._known.get(text)
        if known is None:
            known = self._known[text] = number_of(text, self._country) or text
            if known is text and not _E164.fullmatch(text):
                self._unread.add(text)
            if self._spelt.setdefault(known, text) != text:
                self._unified.add(known)
        return known

    def notes(self) -> list[str]:
        """Say how many numbers had several spellings, and how many values are no numbers."""
        notes = list[str]()
        if self._unified:
            notes.append(
                f"{len(self._unified):,} phone numbers had several spellings; each is one account"
            )
        if self._unread:
            fix = "" if self._country else "; say --country, such as IL"
            notes.append(f"{len(self._unread):,} values could not be read as phone numbers{fix}")
        return notes


def number_of(text: str, country: str = "") -> str | None:
    """Return a phone number in E.164, or None for a text that is none.

    >>> number_of("+972 (54) 123-4567"), number_of("054-123-4567", "IL"), number_of("ann")
    ('+972541234567', '+972541234567', None)
    """
    plain = _SEPARATORS.sub("", text)
    plain = f"+{plain[2:]}" if plain.startswith("00") else plain
    if _E164.fullmatch(plain) and "(0)" not in text:
        return plain
    if not plain.removeprefix("+").isdigit():
        return None
    try:
        parsed = phonenumbers.parse(plain, country.upper() or None)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(parsed):
        return None
    return str(phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164))


def is_country(code: str) -> bool:
    """Return whether two letters are a country with phone numbers.

    >>> is_country("il"), is_country("XX")
    (True, False)
    """
    return code.upper() in phonenumbers.SUPPORTED_REGIONS
