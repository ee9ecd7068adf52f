"""A model's reasons in words."""

from __future__ import annotations

import re

_WINDOW = re.compile(r"_(\d+)(s|m|h|d)$")
_UNITS = {"s": "s", "m": "min", "h": "h", "d": "d"}


def named(feature: str) -> str:
    """Name a feature in words, with its window; its unit is the value's.

    >>> named("first_contacts_1h"), named("gap_sd"), named("age_s")
    ('first contacts in 1 h', 'gap sd', 'age')
    """
    window = _WINDOW.search(feature)
    name = _WINDOW.sub("", feature.removesuffix("_s")).replace("_", " ")
    return f"{name} in {window[1]} {_UNITS[window[2]]}" if window else name


def speaks(contribution: float) -> str:
    """Say for what a contribution speaks.

    >>> speaks(1.5), speaks(-0.2)
    ('speaks for abuse', 'speaks against abuse')
    """
    return f"speaks {'for' if contribution > 0 else 'against'} abuse"


def in_words(feature: str, value: str, contribution: float) -> str:
    """Say what a feature's value contributed; `value` is already in words.

    >>> in_words("first_contacts_1h", "31", 1.5)
    'first contacts in 1 h: 31 (speaks for abuse)'
    """
    return f"{named(feature)}: {value} ({speaks(contribution)})"
