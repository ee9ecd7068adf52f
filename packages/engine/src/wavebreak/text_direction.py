"""The direction in which a text is written, by its letters (Unicode Standard Annex 9)."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import Literal

Direction = Literal["ltr", "rtl"]

_STRONG: dict[str, Direction] = {"L": "ltr", "R": "rtl", "AL": "rtl"}
_ISOLATE, _END = "\u2068", "\u2069"


def letter_directions(text: str) -> Iterator[Direction]:
    """Yield the directions of the characters that have one of their own: letters, not digits.

    >>> list(letter_directions("a1 שb"))
    ['ltr', 'rtl', 'ltr']
    """
    for char in text:
        if direction := _STRONG.get(unicodedata.bidirectional(char)):
            yield direction


def text_direction(text: str, default: Direction = "ltr") -> Direction:
    """Return the direction of a text, which is that of its first letter.

    >>> text_direction("7 שלום"), text_direction("Dana"), text_direction("12", "rtl")
    ('rtl', 'ltr', 'rtl')
    """
    return next(letter_directions(text), default)


def is_right_to_left(text: str) -> bool:
    """Whether a text has a letter that is written from right to left.

    >>> is_right_to_left("Dana שלום"), is_right_to_left("Dana")
    (True, False)
    """
    return "rtl" in letter_directions(text)


def isolate(text: str) -> str:
    """Return a text between marks that keep its direction from what stands around it."""
    return f"{_ISOLATE}{text}{_END}"
