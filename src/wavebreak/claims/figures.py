"""Counts and prices as people write them: 80,000 a day, 80 mil, 1 lakh, 80 אלף, Rp 50 ribu."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

from wavebreak.claims.folding import LETTERS
from wavebreak.claims.vocabulary import Vocabulary

PERIODS = ("second", "minute", "hour", "day", "week", "month")
_SYMBOLS = {
    "$": "USD", "us$": "USD", "usd": "USD", "usdt": "USDT", "€": "EUR", "eur": "EUR", "euro": "EUR",
    "euros": "EUR", "£": "GBP", "gbp": "GBP", "₪": "ILS", "nis": "ILS", "ils": "ILS", 'ש"ח': "ILS",
    "שח": "ILS", "שקל": "ILS", "שקלים": "ILS", "r$": "BRL", "brl": "BRL", "reais": "BRL",
    "real": "BRL", "₹": "INR", "rs": "INR", "rs.": "INR", "inr": "INR", "रुपये": "INR",
    "रुपए": "INR", "रु": "INR", "rupees": "INR", "rupaye": "INR", "rp": "IDR", "rp.": "IDR",
    "idr": "IDR", "rupiah": "IDR", "mxn": "MXN", "mx$": "MXN", "ars": "ARS", "cop": "COP",
    "pesos": "MXN/ARS/COP", "soles": "PEN", "s/": "PEN", "dollars": "USD", "dolares": "USD",
    "btc": "BTC", "דולר": "USD",
}  # fmt: skip
_SYMBOL = "|".join(map(re.escape, sorted(_SYMBOLS, key=len, reverse=True)))
_BEFORE = re.compile(rf"(?<![{LETTERS}])({_SYMBOL})\s?$")
_BEHIND = re.compile(rf"\s?({_SYMBOL})(?![{LETTERS}])")
_MOST_DIGITS = 15
_AHEAD, _SHORT = 20, 2


class Figure(NamedTuple):
    """A number in the folded text: where it stands and what it comes to."""

    start: int
    end: int
    value: float


class Capacity(NamedTuple):
    """A count of messages or things, and the time it is said to take (empty: none is said)."""

    start: int
    end: int
    quantity: int
    what: str
    period: str


class Price(NamedTuple):
    """An amount of money; the currency is a code, or several where the word leaves it open."""

    start: int
    end: int
    amount: float
    currency: str


def number(text: str) -> float | None:
    """Read digits with the separators of any country; None where they are no number.

    Three digits behind a single separator are thousands: nobody sends 80.125 messages.

    >>> number("80,000"), number("80.000"), number("1.234.567"), number("9,99"), number("1,00,000")
    (80000.0, 80000.0, 1234567.0, 9.99, 100000.0)
    """
    digits = re.sub(r"[ \u00a0']", "", text)
    marks = re.findall(r"[.,]", digits)
    if not digits or len(digits) > _MOST_DIGITS:
        return None
    tail = re.split(r"[.,]", digits)[-1]
    if marks and (len(tail) != 3 or len(set(marks)) == 2) and len(tail) <= 2:
        head = re.sub(r"[.,]", "", digits[: -len(tail) - 1])
        return float(f"{head or 0}.{tail or 0}")
    return float(re.sub(r"[.,]", "", digits))


def figures(text: str, words: Vocabulary) -> Iterator[Figure]:
    """Find the numbers of a folded text, with the words that multiply them."""
    for found in _numbers(tuple(words.multipliers)).finditer(text):
        value = number(found["digits"]) if found["digits"] else 1.0
        if value is None:
            continue
        for name in (found["first"], found["second"]):
            value *= words.multipliers.get(name, 1) if name else 1
        yield Figure(found.start(), found.end(), value)


def capacities(text: str, words: Vocabulary) -> list[Capacity]:
    """Find counts of messages, numbers, accounts, with the time they are said to take."""
    found = []
    for figure in figures(text, words):
        if not 1 <= figure.value < 1e12:
            continue
        what = _unit(("messages", "things"), words, 4).match(text, figure.end)
        end = what.end() if what else figure.end
        when = _unit(PERIODS, words, 4 if what else 0).match(text, end)
        if what or (when and when.lastgroup in ("second", "minute", "hour", "day")):
            end = when.end() if when else end
            counted = (what.lastgroup if what else "") or "sends"
            period = (when.lastgroup if when else "") or _before(text, figure.start, words)
            found.append(Capacity(figure.start, end, round(figure.value), counted, period))
    return found


def _before(text: str, start: int, words: Vocabulary) -> str:
    """The time that stands before a count: roz 80 hazaar, every day 80,000."""
    head = text[max(0, start - _AHEAD) : start].rpartition("\n")[2]
    for period in ("day", "hour"):
        if _ending(words.units[period]).search(head):
            return period
    return ""


@cache
def _ending(words: tuple[str, ...]) -> re.Pattern[str]:
    longer = _either([word for word in words if len(word) > _SHORT])
    return re.compile(rf"(?<![{LETTERS}])(?:{longer})[^{LETTERS}\n.!?]{{1,3}}$")


def prices(text: str, words: Vocabulary) -> list[Price]:
    """Find amounts of money, the currency before or behind the number."""
    found = []
    for figure in figures(text, words):
        before = _BEFORE.search(text[max(0, figure.start - 8) : figure.start])
        behind = _BEHIND.match(text, figure.end)
        if before:
            start = figure.start - len(before[0])
            found.append(Price(start, figure.end, figure.value, _SYMBOLS[before[1]]))
        elif behind:
            found.append(Price(figure.start, behind.end(), figure.value, _SYMBOLS[behind[1]]))
    return found


def _either(words: Sequence[str]) -> str:
    return "|".join(map(re.escape, words))


@cache
def _numbers(multipliers: tuple[str, ...]) -> re.Pattern[str]:
    many = _either(sorted(multipliers, key=len, reverse=True))
    parted = r"\d{1,3}(?:[.,' \u00a0]\d{2,3}(?!\d)){1,4}(?:[.,]\d{1,2}(?!\d))?"
    digits = rf"{parted}|\d{{1,12}}(?:[.,]\d{{1,2}}(?!\d))?"
    return re.compile(
        rf"(?<![\d.,])(?P<digits>{digits})\s?(?P<first>{many})?(?![{LETTERS}])"
        rf"(?:\s(?P<second>{many})(?![{LETTERS}]))?"
    )


def _unit(names: tuple[str, ...], words: Vocabulary, gap: int) -> re.Pattern[str]:
    return _units(tuple((name, words.units[name]) for name in names), gap)


@cache
def _units(units: tuple[tuple[str, tuple[str, ...]], ...], gap: int) -> re.Pattern[str]:
    """A word of one of the units, at most `gap` words behind."""
    mark = rf"[^{LETTERS}\n.!?]{{0,3}}"
    named = "|".join(f"(?P<{name}>{_either(words)})" for name, words in units)
    return re.compile(
        rf"{mark}(?:[{LETTERS}'+]{{1,14}}{mark}){{0,{gap}}}?(?:{named})(?![{LETTERS}])"
    )
