"""Counts and prices in a text: 80,000 a day, 80 mil, 1 lakh, 80 אלף, Rp 50 ribu.

Of a range (25-30k) the upper end is read. A count comes before its unit, with at most four words
and no other number between. No count of sends are the numbers of addresses, user names and ports,
of what is no message (reads, requests), and of a limit that the operator sets.

The time that a text takes grows with its length alone: patterns are built once, prices and limits
are looked up by their place, and of a page that is numbers throughout the first ones are read
(`figures` of capture.toml).
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import islice
from typing import NamedTuple

from wavebreak_cases.claims.config import load_limits
from wavebreak_cases.claims.lexicon import Vocabulary
from wavebreak_cases.claims.normalize import LETTERS

PERIODS = ("second", "minute", "hour", "day", "week", "month")
_SHORT = PERIODS[:4]
_SYMBOLS = {
    "$": "USD", "us$": "USD", "usd": "USD", "usdt": "USDT", "€": "EUR", "eur": "EUR", "euro": "EUR",
    "euros": "EUR", "£": "GBP", "gbp": "GBP", "₪": "ILS", "nis": "ILS", "ils": "ILS", 'ש"ח': "ILS",
    "שח": "ILS", "שקל": "ILS", "שקלים": "ILS", "r$": "BRL", "brl": "BRL", "reais": "BRL",
    "real": "BRL", "₹": "INR", "rs": "INR", "rs.": "INR", "inr": "INR", "रुपये": "INR",
    "रुपए": "INR", "रु": "INR", "rupees": "INR", "rupaye": "INR", "rp": "IDR", "rp.": "IDR",
    "idr": "IDR", "rupiah": "IDR", "mxn": "MXN", "mx$": "MXN", "ars": "ARS", "cop": "COP",
    "pesos": "MXN/ARS/COP", "soles": "PEN", "s/": "PEN", "dollars": "USD", "dolares": "USD",
    "btc": "BTC", "דולר": "USD", "bucks": "USD", "dolar": "USD", "quid": "GBP",
    "₽": "RUB", "rub": "RUB", "руб": "RUB", "руб.": "RUB", "рублеи": "RUB", "рубля": "RUB",
    "рубль": "RUB", "р.": "RUB", "ruble": "RUB", "rubles": "RUB", "rouble": "RUB", "roubles": "RUB",
    "rublos": "RUB", "₴": "UAH", "грн": "UAH", "uah": "UAH", "₸": "KZT", "тенге": "KZT",
    "₺": "TRY", "tl": "TRY", "lira": "TRY", "aed": "AED", "dhs": "AED",
    "dirham": "AED", "dirhams": "AED", "درهم": "AED/MAD", "sar": "SAR", "riyal": "SAR",
    "riyals": "SAR", "ريال": "SAR/QAR/YER", "egp": "EGP", "جنيه": "EGP", "دولار": "USD",
    "₦": "NGN", "ngn": "NGN", "naira": "NGN", "kes": "KES", "ksh": "KES", "zar": "ZAR",
    "pkr": "PKR", "৳": "BDT", "bdt": "BDT", "taka": "BDT", "myr": "MYR", "rm": "MYR",
    "ringgit": "MYR", "₱": "PHP", "₫": "VND", "vnd": "VND", "¥": "CNY/JPY",
    "元": "CNY", "cny": "CNY", "rmb": "CNY", "₩": "KRW", "clp": "CLP",
    "sgd": "SGD", "aud": "AUD", "cad": "CAD", "chf": "CHF", "pln": "PLN", "zl": "PLN",
}  # fmt: skip
_SYMBOL = "|".join(map(re.escape, sorted(_SYMBOLS, key=len, reverse=True)))
_BEFORE = re.compile(rf"(?<![{LETTERS}])({_SYMBOL})\s?$")
_BEHIND = re.compile(rf"\s?({_SYMBOL})(?![{LETTERS}])")
_MOST_DIGITS = 15
_MAX_DISTANCE_BEFORE = 40
_APART = r"[ \u00a0/()\"'+*-]"
_LETTER = r"[^\W\d_]|[\u0900-\u0963]|(?<=[^\W\d_])'"
"""A letter of a word, or an apostrophe in one: a run of apostrophes is no word of its own."""
_FEWEST, _ROUND = 10, 100
_FOR = re.compile(r"\s?(?:[-–—=:>→]{1,2}|for|por|a|x|@)?\s?")
_MIN_BARE_COUNT = 1000
"""A number in words is read from here: two or ten is said of anything."""
_PREFIX_SYMBOLS = {"$", "us$", "mx$", "r$", "₹", "rs", "rs.", "rp", "rp.", "£", "rm", "₦", "¥", "₱"}
_ADDRESS = re.compile(r"://|@|localhost|[a-z]\.[a-z]{2,24}[/:]|\d\.\d{1,3}:|[a-z_]/|[a-z_@#&=?]$")
"""What precedes a number, without a space, where it is part of an address, a path or a name."""
_MAX_ADDRESS = 80
_PORT = re.compile(r"\b(?:ports?|porta|puerto|порт|פורט|पोर्ट)\W{0,3}$")
_DIGIT = re.compile(r"\s?\d")
_RANGE = re.compile(r"\d[\d.,]*\s?(?:-|–|a|to|हजार|k)\s?$")
_BARE = re.compile(r"\d\s?(?:rb|ribu|jt|juta)$")
_COUNTED = re.compile(r"\s?[+%]|\s?(?:an|lebih)\b")
_YEARS = range(2010, 2036)
_CLAUSE_END = re.compile(r"[\n.!?;](?!\d)")
_CLAUSE = re.compile(r"[\n.!?;,:]")
_MAX_LIMIT_DISTANCE = 60
_MAX_FOR = 5
"""Characters that `_FOR` matches at most."""


class Number(NamedTuple):
    """A number in the folded text: its position and value."""

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


def parse_number(text: str) -> float | None:
    """Read digits with the separators of any country; None where they are no number.

    Three digits behind a single separator are thousands: nobody sends 80.125 messages.

    >>> [parse_number(text) for text in ("80,000", "80.000", "1.234.567", "9,99", "1,00,000")]
    [80000.0, 80000.0, 1234567.0, 9.99, 100000.0]
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


def find_numbers(text: str, words: Vocabulary) -> Iterator[Number]:
    """Find the numbers of a folded text, in digits or in words, with what multiplies them.

    Of very many the first ones are given.
    """
    return islice(_every_number(text, words), load_limits().reading.figures)


def _every_number(text: str, words: Vocabulary) -> Iterator[Number]:
    shape = _numbers(tuple(words.multipliers), tuple(words.numerals))
    for match in shape.finditer(text):
        value = parse_number(match["digits"]) if match["digits"] else words.numerals[match["word"]]
        if value is None:
            continue
        for name in (match["first"], match["second"]):
            value *= words.multipliers.get(name, 1) if name else 1
        if match["digits"] or value >= _MIN_BARE_COUNT:
            yield Number(match.start(), match.end(), value)


def find_capacities(text: str, words: Vocabulary) -> list[Capacity]:
    """Find counts of messages, people, accounts, with the time they are said to take.

    A round count beside a price is one too, as in 10,000 – $48. What is money is none, nor is what
    the module's description leaves out.
    """
    counts = _Counts(text, words)
    capacities = (counts.capacity(figure) for figure in find_numbers(text, words))
    return [capacity for capacity in capacities if capacity is not None]


class _Counts:
    """Tells which numbers of a text are capacities, by the words around them."""

    def __init__(self, text: str, words: Vocabulary) -> None:
        self.text = text
        self.money = _Spans((price.start, price.end) for price in find_prices(text, words))
        self.limits = _Spans(match.span() for match in words.limits.finditer(text))
        self.unit = _unit(("messages", "things"), words, 4)
        self.period, self.adjacent = _unit(PERIODS, words, 4), _adjacent_period(words)
        self.before = [(name, _period_words(name, words)) for name in ("day", "hour")]

    def capacity(self, figure: Number) -> Capacity | None:
        """Return a number as a capacity; None where it is none."""
        if not self._counts(figure):
            return None
        unit = self.unit.match(self.text, figure.end)
        end = unit.end() if unit else figure.end
        time = (self.period if unit else self.adjacent).match(self.text, end)
        if not time and self._is_small(figure):
            return None
        period = time.lastgroup if time else ""
        period = period or _period_before(self.text, figure.start, self.before)
        timed = period in _SHORT and (time or figure.value >= _ROUND)
        if unit or timed or self._sold(figure):
            end = time.end() if time else end
            counted = (unit.lastgroup if unit else "") or "sends"
            return Capacity(figure.start, end, round(figure.value), counted, period)
        return None

    def _counts(self, figure: Number) -> bool:
        """Whether a number may count at all: it is no money, name, address or limit."""
        if not 1 <= figure.value < 1e12 or self.money.touch(figure.start, figure.end):
            return False
        # Whether a number is part of a name or an address, or a port.
        before = self.text[max(0, figure.start - _MAX_ADDRESS) : figure.start]
        token = "" if not before or before[-1].isspace() else before.split()[-1]
        named = bool(_ADDRESS.search(token) or _PORT.search(before[-12:]))
        return not named and not _is_limit(self.text, figure.start, self.limits)

    def _is_small(self, figure: Number) -> bool:
        """Whether a number is a year, or too small to count without a time."""
        plain = self.text[figure.start : figure.end].strip().isdigit()
        return figure.value < _FEWEST or (plain and figure.value in _YEARS)

    def _sold(self, figure: Number) -> bool:
        """Whether a number is a round count beside a price."""
        rounded = figure.value >= _MIN_BARE_COUNT and not figure.value % _ROUND
        return rounded and _next_to_price(self.text, figure, self.money)


def find_unlimited(text: str, words: Vocabulary) -> list[tuple[int, int]]:
    """Find the places of a folded text that claim messages without end.

    >>> from wavebreak_cases.claims.lexicon import load_vocabulary
    >>> find_unlimited("send unlimited whatsapp messages", load_vocabulary())
    [(5, 32)]
    """
    named = _either(words.units["messages"])
    endless = _either(words.units["unlimited"])
    pattern = _unlimited(named, endless)
    return [match.span() for match in pattern.finditer(text)]


@cache
def _unlimited(named: str, endless: str) -> re.Pattern[str]:
    between = rf"{_APART}{{1,3}}(?:(?:{_LETTER}){{1,14}}{_APART}{{1,3}}){{0,2}}?"
    return re.compile(
        rf"(?<![{LETTERS}])(?:(?:{endless}){between}(?:{named})|(?:{named}){between}(?:{endless}))"
        rf"(?![{LETTERS}])"
    )


class _Spans:
    """Spans of a text that do not overlap, in its order, looked up by their place."""

    def __init__(self, spans: Iterable[tuple[int, int]]) -> None:
        self.spans = sorted(spans)
        self.starts = [start for start, _ in self.spans]
        self.ends = [end for _, end in self.spans]

    def between(self, start: int, end: int) -> list[tuple[int, int]]:
        """Return those that end at or after `start` and begin at or before `end`."""
        return self.spans[bisect_left(self.ends, start) : bisect_right(self.starts, end)]

    def touch(self, start: int, end: int) -> bool:
        """Whether one shares a character with a span."""
        return any(first < end and start < last for first, last in self.between(start, end))


def _is_limit(text: str, start: int, limits: _Spans) -> bool:
    """Whether the clause before a number says that the operator limits or allows so many."""
    return any(
        first < start and not _CLAUSE_END.search(text, last, start)
        for first, last in limits.between(start - _MAX_LIMIT_DISTANCE, start)
    )


def _next_to_price(text: str, figure: Number, money: _Spans) -> bool:
    """Whether a price is directly after or before a count."""
    near = money.between(figure.start - _MAX_FOR, figure.end + _MAX_FOR)
    return any(
        _FOR.fullmatch(text, figure.end, start)
        if figure.end <= start
        else _FOR.fullmatch(text, end, figure.start)
        if end <= figure.start
        else False
        for start, end in near
    )


def _period_before(text: str, start: int, periods: Sequence[tuple[str, re.Pattern[str]]]) -> str:
    """The period before a count in its clause: every day we reach 500 people."""
    ahead = _RANGE.sub("", text[max(0, start - _MAX_DISTANCE_BEFORE) : start])
    head = _CLAUSE.split(ahead)[-1]
    found = [(m.end(), name) for name, pattern in periods for m in pattern.finditer(head)]
    return max(found, default=(0, ""))[1]


def _period_words(name: str, words: Vocabulary) -> re.Pattern[str]:
    return _whole_words(tuple(word for word in _rate_words(words.units[name]) if word[0].isalpha()))


@cache
def _whole_words(words: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(rf"(?<![{LETTERS}])(?:{_either(words)})(?![{LETTERS}])(?![^\n]*\d)")


def _rate_words(words: tuple[str, ...]) -> tuple[str, ...]:
    """Words of a time that say "each" by themselves: per day and daily, but not the mere day."""
    return tuple(
        word
        for word in words
        if " " in word or not any(other.endswith((f" {word}", f"/{word}")) for other in words)
    )


def _adjacent_period(words: Vocabulary) -> re.Pattern[str]:
    return _units(tuple((name, _rate_words(words.units[name])) for name in PERIODS), 0)


def find_prices(text: str, words: Vocabulary) -> list[Price]:
    """Find amounts of money, the currency before or behind the number.

    Indonesian prices often name none: 75rb, 1,4jt.
    """
    prices = []
    counted, adjacent = _unit(("messages", "things"), words, 2), _adjacent_period(words)
    for figure in find_numbers(text, words):
        start, end = figure.start, figure.end
        before = _BEFORE.search(text[max(0, start - 8) : start])
        behind = _BEHIND.match(text, end)
        if before:
            prices.append(Price(start - len(before[0]), end, figure.value, _SYMBOLS[before[1]]))
        elif behind and not (behind[1] in _PREFIX_SYMBOLS and _DIGIT.match(text, behind.end())):
            prices.append(Price(start, behind.end(), figure.value, _SYMBOLS[behind[1]]))
        elif _BARE.search(text[start:end]) and not _COUNTED.match(text, end):
            unit = counted.match(text, end)
            when = adjacent.match(text, end)
            if not unit and not (when and when.lastgroup != "month"):
                prices.append(Price(start, end, figure.value, "IDR"))
    return prices


def _either(words: Sequence[str]) -> str:
    return "|".join(map(re.escape, words))


@cache
def _numbers(multipliers: tuple[str, ...], numerals: tuple[str, ...]) -> re.Pattern[str]:
    many = _either(sorted(multipliers, key=len, reverse=True))
    word = _either(sorted(numerals, key=len, reverse=True))
    parted = r"\d{1,3}(?:[.,' \u00a0]\d{2,3}(?!\d)){1,4}(?:[.,]\d{1,2}(?!\d))?"
    digits = rf"{parted}|\d{{1,12}}(?:[.,]\d{{1,2}}(?!\d))?"
    return re.compile(
        rf"(?:(?<![\d.,])(?P<digits>{digits})\s?|(?<![{LETTERS}])(?P<word>{word})(?![{LETTERS}])\s?)"
        rf"(?P<first>{many})?(?![{LETTERS}])(?:\s(?P<second>{many})(?![{LETTERS}]))?"
    )


def _unit(names: tuple[str, ...], words: Vocabulary, gap: int) -> re.Pattern[str]:
    return _units(
        tuple((name, words.units[name]) for name in names),
        gap,
        words.units["others"] if gap else (),
    )


@cache
def _units(
    units: tuple[tuple[str, tuple[str, ...]], ...], gap: int, others: tuple[str, ...] = ()
) -> re.Pattern[str]:
    """A word of one of the units, at most `gap` words behind; "12 paise per message" is a rate.

    None of the words between is one of `others`: 60 reads a minute from our users.
    """
    other = f"|(?:{_either(others)})(?![{LETTERS}])" if others else ""
    named = "|".join(f"(?P<{name}>{_either(words)})" for name, words in units)
    between = rf"(?:(?!(?:per|por|each|cada|प्रति)\b{other})(?:{_LETTER}){{1,14}}{_APART}{{1,3}})"
    return re.compile(rf"{_APART}{{0,3}}{between}{{0,{gap}}}?(?:{named})(?![{LETTERS}])")
