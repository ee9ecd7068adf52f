"""Reporting periods: days in UTC, split into calendar months or years."""

from __future__ import annotations

from datetime import UTC, date, datetime

import msgspec

from wavebreak.errors import UsageError


class Period(msgspec.Struct, frozen=True):
    """A period from the beginning of the day `start` up to, not with, the day `end` (UTC).

    >>> january = Period(date(2026, 1, 1), date(2026, 2, 1))
    >>> january.contains(january.start_ms), january.contains(january.end_ms), january.last_day
    (True, False, datetime.date(2026, 1, 31))
    """

    start: date
    end: date

    @property
    def start_ms(self) -> int:
        """The first millisecond."""
        return _milliseconds(self.start)

    @property
    def end_ms(self) -> int:
        """The first millisecond after it."""
        return _milliseconds(self.end)

    @property
    def last_day(self) -> date:
        """The last day that belongs to it."""
        return date.fromordinal(self.end.toordinal() - 1)

    def contains(self, ms: int) -> bool:
        """Whether an instant (ms) lies in it."""
        return self.start_ms <= ms < self.end_ms

    def __str__(self) -> str:
        return f"{self.start} to {self.last_day}"


def _milliseconds(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000


def parse_day(text: str, option: str) -> date:
    """Read a day.

    Args:
        text: The day, as 2026-01-31.
        option: The option that it was given with, for the error.

    Returns:
        The day.

    Raises:
        UsageError: The text is not a day.

    >>> parse_day("2026-01-31", "--from")
    datetime.date(2026, 1, 31)
    """
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"{option}: {text!r} is not a day", fix="write year, month and day: 2026-01-31"
        ) from None


def split_period(period: Period, months: int) -> list[tuple[str, Period]]:
    """Split a period into calendar months (`months` 1) or years (12), each with its name.

    Args:
        period: The period; it begins and ends with one of these months or years.
        months: 1 or 12.

    Returns:
        The name (2026-01, or 2026) and the period of each part, in order.

    Raises:
        UsageError: The period begins or ends within a month, or a year.

    >>> half = Period(date(2025, 12, 1), date(2026, 2, 1))
    >>> [name for name, _ in split_period(half, 1)]
    ['2025-12', '2026-01']
    """
    unit = "month" if months == 1 else "year"
    for option, day in (("--from", period.start), ("--to", period.end)):
        if day != _first_day(day, months):
            raise UsageError(
                f"{option}: {day} is not the first day of a {unit}",
                fix=f"give {_first_day(day, months)}, or leave --{unit}ly out",
            )
    parts, start = list[tuple[str, Period]](), period.start
    while start < period.end:
        total = start.year * 12 + start.month - 1 + months
        end = date(total // 12, total % 12 + 1, 1)
        parts.append((str(start)[: 7 if months == 1 else 4], Period(start, end)))
        start = end
    return parts


def _first_day(day: date, months: int) -> date:
    return day.replace(day=1) if months == 1 else day.replace(month=1, day=1)
