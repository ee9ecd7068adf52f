"""Days of business by a named calendar of `cases/calendars.toml`: weekdays without holidays."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Meta

from wavebreak import config
from wavebreak.errors import CaseError
from wavebreak.extras import LazyModule

np: Any = LazyModule("numpy")  # of all that a case does, only a notice counts days


class BusinessCalendar(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A calendar: `weekdays` with a 1 for each day of business (Monday first), and holidays.

    `until` is the last day for which the holidays are given; days end at midnight in `zone`.
    """

    about: str
    zone: str
    weekdays: Annotated[str, Meta(pattern="^(?=.*1)[01]{7}$")]
    until: date
    holidays: tuple[date, ...]


def load_calendar(name: str, policy: Path | None = None) -> BusinessCalendar:
    """Read a calendar by its name; raises `CaseError` where there is none.

    >>> load_calendar("israel").weekdays
    '1111001'
    """
    path = config.resolve_path("cases/calendars.toml", policy)
    known = config.load_config(path, dict[str, dict[str, BusinessCalendar]]).get("calendar", {})
    if name not in known:
        raise CaseError(
            f"there is no calendar {name[:60]}",
            fix=f"one of: {', '.join(known)}; or add it to cases/calendars.toml of your policy",
        )
    return known[name]


def end_of_day(at_ms: int, zone: str = "UTC") -> int:
    """Return the last second of the day of a time, in a zone (ms).

    >>> end_of_day(1_772_193_600_000) - 1_772_193_600_000  # from noon
    43199000
    """
    there = datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(ZoneInfo(zone)).date()
    midnight = datetime.combine(there + timedelta(days=1), time(), ZoneInfo(zone))
    return int(midnight.timestamp()) * 1000 - 1000


def business_deadline(calendar: BusinessCalendar, start_ms: int, days: int) -> int:
    """Return the end of the last of some days of business (ms).

    Args:
        calendar: The calendar.
        start_ms: When the time begins: the first day counted is the next one of business.
        days: How many.

    Raises:
        CaseError: The calendar does not reach so far.

    >>> friday = 1_772_193_600_000  # 27 February 2026, noon
    >>> end = business_deadline(load_calendar("monday-to-friday"), friday, 1)
    >>> datetime.fromtimestamp(end / 1000, UTC).isoformat()
    '2026-03-02T23:59:59+00:00'
    """
    zone = ZoneInfo(calendar.zone)
    first = datetime.fromtimestamp(start_ms / 1000, UTC).astimezone(zone).date()
    last = np.busday_offset(
        np.datetime64(first),
        days,
        roll="backward",
        weekmask=calendar.weekdays,
        holidays=np.array(calendar.holidays, "datetime64[D]"),
    ).astype(date)
    if last > calendar.until:
        raise CaseError(
            f"the calendar's holidays are known until {calendar.until} only",
            fix="add the following years to cases/calendars.toml of your policy",
        )
    noon = datetime.combine(last, time(12), zone)
    return end_of_day(int(noon.timestamp()) * 1000, calendar.zone)
