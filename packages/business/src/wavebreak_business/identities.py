"""Pseudonyms of people, senders, messages and labels: what stays of an identifier.

A phone number becomes the same pseudonym as in the engine under the same key, in whatever form a
provider writes it. Nothing of this module keeps what it was given.
"""

from __future__ import annotations

import re
from functools import lru_cache

from wavebreak.privacy.pseudonymizer import pseudonyms

MAX_ID = 1024
"""Characters of an id, a code or a word that are read: a longer one is none of these."""
_CACHED = 1 << 16
_CHANNEL = re.compile(r"^(?:whatsapp|sms|rcs|messenger|tel):", re.IGNORECASE)
_SEPARATORS = re.compile(r"[\s().\-]")
_NUMBER = re.compile(r"\+?[1-9][0-9]{6,14}")
_PLAIN_NAME = re.compile(r"[a-z][a-z0-9_]{0,79}")
MANY_DIGITS = re.compile(r"[0-9]{5}")
"""What may be a part of a phone number, and is not shown; a date such as 2026-11-30 has none."""


def normalize_number(text: str) -> str | None:
    """Return a phone number in E.164, however a provider writes it; None where it is none.

    >>> [normalize_number(n) for n in ("15550100200", "whatsapp:+1 555-010-0200", "US.12ab")]
    ['+15550100200', '+15550100200', None]
    """
    plain = _SEPARATORS.sub("", _CHANNEL.sub("", text.strip()))
    return f"+{plain.removeprefix('+')}" if _NUMBER.fullmatch(plain) else None


class Identities:
    """Pseudonyms under one key.

    Args:
        key: At least 16 bytes; equal keys give equal pseudonyms.
    """

    def __init__(self, key: bytes) -> None:
        self._number, self._user = pseudonyms(key, "number"), pseudonyms(key, "business-user")
        self._message, self._label = pseudonyms(key, "message"), pseudonyms(key, "label")
        self._shape = pseudonyms(key, "shape")
        self.person = lru_cache(_CACHED)(self._person)

    def _person(self, text: str) -> str:
        """Return the pseudonym of a phone number or of a user id.

        >>> ids = Identities(bytes(range(16)))
        >>> ids.person("15550100200") == ids.person("whatsapp:+15550100200")
        True
        """
        number = normalize_number(text)
        return self._number(number) if number else self._user(_CHANNEL.sub("", text.strip()))

    def message(self, text: str) -> int:
        """Return a message id as a number: ids of some providers hold the phone number."""
        return short_number(self._message(text))

    def label(self, text: str) -> str:
        """Return the pseudonym of a template's name, or of what a business attached to a send."""
        return self._label(text)

    def shape(self, text: str) -> str:
        """Return a short name of an unknown shape."""
        return self._shape(text)[:8]


def short_number(pseudonym: str) -> int:
    """Return the first 63 bits of a pseudonym, for a column of numbers.

    >>> short_number("ff" * 16) == 2**63 - 1
    True
    """
    return int(pseudonym[:16], 16) >> 1


def plain_name(text: str) -> str | None:
    """Return a template's name where it can be shown; None where it may hold a number or a text.

    >>> plain_name("spring_sale_2"), plain_name("code_15550100200"), plain_name("Dear Dana")
    ('spring_sale_2', None, None)
    """
    return text if _PLAIN_NAME.fullmatch(text) and not MANY_DIGITS.search(text) else None
