"""Values of payloads, whose types are taken on no trust: what is of another type is absent."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from wavebreak_business.identities import MAX_ID

MAX_LIST = 10_000
"""Entries of a list in one payload that are read."""


def text(value: Any) -> str:
    """Return a short text or a whole number as text, else an empty one.

    >>> text("a"), text(131050), text(True), text({"b": 1})
    ('a', '131050', '', '')
    """
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**30:
        return str(value)
    return value.strip() if isinstance(value, str) and len(value) <= MAX_ID else ""


def table(value: Any) -> dict[str, Any]:
    """Return a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def tables(value: Any) -> list[dict[str, Any]]:
    """Return the JSON objects of a list, else none."""
    if not isinstance(value, list):
        return []
    return [each for each in value[:MAX_LIST] if isinstance(each, dict)]


def seconds_ms(value: Any) -> int | None:
    """Return a time in seconds since 1970, as a number or text, in milliseconds.

    >>> seconds_ms("1790000000"), seconds_ms(1790000000), seconds_ms("soon"), seconds_ms(True)
    (1790000000000, 1790000000000, None, None)
    """
    plain = text(value)
    return int(plain) * 1000 if plain.isascii() and plain.isdigit() and len(plain) < 12 else None


def instant_ms(value: Any) -> int | None:
    """Return a time in milliseconds: ISO 8601, or seconds or milliseconds since 1970.

    >>> instant_ms("2026-11-01T10:00:00.250+0000"), instant_ms("2026-11-01T10:00:00Z")
    (1793527200250, 1793527200000)
    >>> instant_ms(1793527200), instant_ms(1793527200000), instant_ms("soon")
    (1793527200000, 1793527200000, None)
    """
    plain = text(value)
    if plain.isascii() and plain.isdigit() and len(plain) < 15:
        return int(plain) * (1000 if len(plain) < 12 else 1)
    try:
        at = datetime.fromisoformat(plain)
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        return (at - _EPOCH) // _MILLISECOND
    except (ValueError, OverflowError):
        return None


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = datetime(1970, 1, 1, 0, 0, 0, 1000) - datetime(1970, 1, 1)


def number(value: Any) -> float | None:
    """Return a finite number, also one in a text.

    >>> number(0.05), number("-0.0075"), number("a"), number(True), number("inf")
    (0.05, -0.0075, None, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if abs(found) < 1e12 else None
