"""What a reading names (offers, capacities, prices, contacts …), beside what a page says.

A page's label may say these, each as words parted by semicolons: `capacities` as count/period
(`80000/day`, or `500` where no time is said), `prices` as amount and currency (`40 USD`),
`contacts` as they are written, `channels` that it names (`whatsapp`), `brands`, `offers` (`bulk`,
`numbers` …), and `published` as a day (`2024-03-01`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from wavebreak.claims.reading import Reading

FIELDS = ("offers", "capacities", "prices", "contacts", "channels", "brands", "published")
_LINK = re.compile(r"^(?:https?://)?(?:www\.)?|/$")
_NUMBER = re.compile(r"^[+\d() .-]+$")


class Found(NamedTuple):
    """Of one field: how many are said, how many are read, how many are both."""

    said: int
    read: int
    both: int


def compare(said: Mapping[str, Iterable[str]], made: Reading) -> dict[str, Found]:
    """Count what is read against what is said; a field that the label leaves out is not counted.

    >>> from wavebreak.claims.reading import read
    >>> from wavebreak.claims.texts import from_text
    >>> made = read(from_text("We send 500 WhatsApp messages a day, $40"), "2026-01-01T00:00:00Z")
    >>> compare({"capacities": ["500/day"], "prices": ["40 USD", "9 USD"]}, made)["prices"]
    Found(said=2, read=1, both=1)
    """
    return {name: _counted(name, set(said[name]), made) for name in FIELDS if name in said}


def _counted(name: str, said: set[str], made: Reading) -> Found:
    if name == "published":
        known = made.published
        first, last = (
            ((known.earliest or "")[:10], (known.latest or "9")[:10]) if known else ("9", "")
        )
        return Found(len(said), int(known is not None), sum(first <= day <= last for day in said))
    if name == "prices":  # a word like peso leaves the currency open
        read = {(money.amount, money.currency) for money in made.prices}
        both = sum(
            any(amount == float(one) and code in several.split("/") for amount, several in read)
            for one, code in (price.split() for price in said)
        )
        return Found(len(said), len(read), both)
    if name == "contacts":
        told, keys = (
            {contact(c) for c in said},
            {contact(c) for v in made.contacts.values() for c in v},
        )
        return Found(len(told), len(keys), len(told & keys))
    read_ones = {
        "offers": set(made.offers),
        "channels": set(made.channels),
        "brands": set(made.brands),
        "capacities": {f"{c.count}/{c.period}".rstrip("/") for c in made.capacities},
    }[name]
    return Found(len(said), len(read_ones), len(said & read_ones))


def contact(written: str) -> str:
    """Bring a way of contact to one form, however it is written.

    >>> contact("+55 (11) 9000-1"), contact("https://T.me/Shop/"), contact("@Shop")
    ('551190001', 't.me/shop', '@shop')
    """
    text = written.strip().lower()
    if _NUMBER.match(text):
        return re.sub(r"\D", "", text).removeprefix("00")
    return _LINK.sub("", text).removeprefix("mailto:").removeprefix("tel:")


def added(counts: Iterable[Mapping[str, Found]]) -> dict[str, Found]:
    """Add up the counts of several pages, by field."""
    total: dict[str, Found] = {}
    for page in counts:
        for name, found in page.items():
            old = total.get(name, Found(0, 0, 0))
            total[name] = Found(*(a + b for a, b in zip(old, found, strict=True)))
    return {name: total[name] for name in FIELDS if name in total}
