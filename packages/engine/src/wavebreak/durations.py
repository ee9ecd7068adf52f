"""Lengths of time: the units in milliseconds and seconds, and durations such as `15m`."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

SECOND_MS: Final = 1_000
MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 86_400_000
WEEK_MS: Final = 604_800_000

MINUTE_S: Final = 60
HOUR_S: Final = 3_600
DAY_S: Final = 86_400
WEEK_S: Final = 604_800

DURATION_PATTERN: Final = "^[1-9][0-9]{0,5}[smhd]$"
"""A count of seconds, minutes, hours or days."""
Duration = Annotated[str, Meta(pattern=DURATION_PATTERN)]

_SECONDS: Final = {"s": 1, "m": MINUTE_S, "h": HOUR_S, "d": DAY_S}


def duration_seconds(duration: str) -> int:
    """Convert a duration such as `15m` to seconds.

    >>> duration_seconds("15m"), duration_seconds("7d")
    (900, 604800)
    """
    return int(duration[:-1]) * _SECONDS[duration[-1]]


def duration_ms(duration: str) -> int:
    """Convert a duration such as `15m` to milliseconds.

    >>> duration_ms("15m")
    900000
    """
    return duration_seconds(duration) * SECOND_MS
