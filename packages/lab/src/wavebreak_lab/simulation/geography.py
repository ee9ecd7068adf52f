"""Countries: time zones, day curve, phone number ranges, network address ranges.

Number prefixes are valid for mobile phones according to libphonenumber; address ranges are
announced by consumer providers of the country. No number or address belongs to anyone on purpose.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wavebreak.durations import DAY_MS, HOUR_MS
from wavebreak_lab.simulation.log import Floats, Ints

_HOURS_OF_DAY = 24


@dataclass(frozen=True, slots=True)
class Country:
    """One country: `share` of the people, `zone` hours ahead of UTC (whole hours are enough).

    `mobile` holds (prefix, digits that follow); `homes` and `carriers` the first two octets of
    consumer lines and of the carrier's shared (NAT) addresses.
    """

    name: str
    share: float
    zone: int
    mobile: tuple[tuple[str, int], ...]
    homes: tuple[str, ...]
    carriers: tuple[str, ...]


# fmt: off
COUNTRIES = (
    Country("IN", 0.25, 5,
            (("+9198", 8), ("+9199", 8), ("+9197", 8), ("+9170", 8), ("+9190", 8)),
            ("117.192", "117.196", "122.160", "59.88"), ("49.32", "106.192")),
    Country("BR", 0.2, -3, (("+55119", 8), ("+55219", 8), ("+55319", 8)),
            ("177.32", "179.208", "187.64"), ("177.24", "191.240")),
    Country("US", 0.15, -5,
            (("+12125", 6), ("+16464", 6), ("+14156", 6), ("+13107", 6), ("+17138", 6)),
            ("73.32", "98.192", "24.16"), ("172.56", "174.192")),
    Country("GB", 0.1, 0, (("+4474", 8), ("+4479", 8), ("+44785", 7), ("+44771", 7)),
            ("81.128", "86.128", "82.0"), ("92.40", "148.252")),
    Country("DE", 0.1, 1, (("+49151", 8), ("+49176", 8), ("+49170", 7), ("+49160", 7)),
            ("79.192", "87.128", "91.0"), ("80.187", "109.40")),
    Country("FR", 0.1, 1, (("+336", 8), ("+337", 8)),
            ("90.0", "92.128", "82.64"), ("37.160", "92.184")),
    Country("IL", 0.1, 2, (("+97250", 7), ("+97252", 7), ("+97253", 7), ("+97254", 7)),
            ("79.176", "84.108", "109.64"), ("2.52", "176.12")),
)
# fmt: on

HOMES = tuple(home for country in COUNTRIES for home in country.homes)
"""Address ranges of consumer lines of all countries."""

CONSUMERS = tuple(octets for country in COUNTRIES for octets in country.homes + country.carriers)
"""Address ranges of consumer lines and carriers of all countries."""

MOBILES = tuple(block for country in COUNTRIES for block in country.mobile)
"""Ranges of mobile phone numbers of all countries."""

VIRTUAL = (("+4456", 8), ("+339", 8), ("+97277", 7))
"""Ranges that libphonenumber calls VoIP: what a virtual-number shop sells."""

HOSTING = ("5.188", "45.155", "91.214", "185.220", "193.32", "194.26")
"""First two octets of server hosts, where an operator rents its machines."""

# fmt: off
DAY_CURVE: Floats = np.array([
    2.2, 1.2, 0.6, 0.4, 0.3, 0.5, 1.3, 3.0, 4.6, 5.0, 5.2, 5.4,
    5.8, 5.6, 5.2, 5.3, 5.8, 6.3, 6.7, 6.9, 7.0, 6.6, 5.4, 3.7,
])
# fmt: on
"""Shares of a person's messages by local hour from midnight: quiet nights, busy evenings."""


class Clock:
    """Turns shares of activity into times of day, for one time zone.

    >>> clock = Clock(zone=0)
    >>> clock.share(0, DAY_MS)
    1.0
    """

    def __init__(self, zone: int) -> None:
        shares = DAY_CURVE / DAY_CURVE.sum()
        self._shift = zone * HOUR_MS
        self._steps = np.concatenate([[0.0], np.cumsum(shares)])
        self._hours = np.arange(_HOURS_OF_DAY + 1, dtype=np.float64)

    def _done(self, ts: Floats) -> Floats:
        days, rest = np.divmod(ts + self._shift, DAY_MS)
        return np.asarray(days + np.interp(rest / HOUR_MS, self._hours, self._steps))

    def share(self, low: int, high: int) -> float:
        """Return the activity between two times, in days' worth."""
        ends = self._done(np.array([low, high], np.float64))
        return float(ends[1] - ends[0])

    def times(self, rng: np.random.Generator, low: int, high: int, count: int) -> Ints:
        """Draw times between two times (milliseconds) as the day curve goes, unsorted."""
        ends = self._done(np.array([low, high], np.float64))
        days, rest = np.divmod(rng.uniform(ends[0], ends[1], count), 1.0)
        ts = days * DAY_MS + np.interp(rest, self._steps, self._hours) * HOUR_MS - self._shift
        return np.clip(ts.astype(np.int64), low, high - 1)


def local_hour(ts: Ints, zone: Ints) -> Ints:
    """Return the hour of the day (0-23) where the account lives."""
    return (ts // HOUR_MS + zone) % _HOURS_OF_DAY


def draw_phone_numbers(
    rng: np.random.Generator, ranges: tuple[tuple[str, int], ...], count: int
) -> list[str]:
    """Draw phone numbers in E.164 from ranges of (prefix, digits that follow)."""
    range_index = rng.integers(0, len(ranges), count)
    rest = rng.random(count)
    return [
        f"{ranges[k][0]}{int(r * 10 ** ranges[k][1]):0{ranges[k][1]}d}"
        for k, r in zip(range_index.tolist(), rest.tolist(), strict=True)
    ]


def draw_number_block(
    rng: np.random.Generator, block: tuple[str, int], count: int, width: int
) -> list[str]:
    """Draw distinct numbers from one narrow block: within `width` numbers of each other."""
    prefix, digits = block
    first = int(rng.integers(0, 10**digits - max(width, count)))
    picks = rng.choice(max(width, count), count, replace=False) + first
    return [f"{prefix}{pick:0{digits}d}" for pick in picks.tolist()]


def draw_addresses(rng: np.random.Generator, ranges: tuple[str, ...], count: int) -> list[str]:
    """Draw IPv4 addresses from ranges given by their first two octets."""
    range_index = rng.integers(0, len(ranges), count).tolist()
    third = rng.integers(0, 256, count).tolist()
    fourth = rng.integers(1, 255, count).tolist()
    return [f"{ranges[a]}.{b}.{c}" for a, b, c in zip(range_index, third, fourth, strict=True)]
