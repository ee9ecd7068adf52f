"""When something was, as far as is known: an interval of instants, and three-valued comparison.

A date that people tell ("about November 2019") is the interval of instants that it may mean. A
comparison with a boundary is yes, no, or unknown where the interval lies on both sides of it.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from enum import StrEnum
from zoneinfo import ZoneInfo

import msgspec

from wavebreak.errors import CaseError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
_MONTHS = {"sept": 9} | {
    name: number
    for number, full in enumerate(
        (
            *("january", "february", "march", "april", "may", "june"),
            *("july", "august", "september", "october", "november", "december"),
        ),
        1,
    )
    for name in (full, full[:3])
}
_FIX = "write it like 2019-11-20, 2019-11, November 2019, about 2019, before 2020-03, unknown"
# What "about" adds on each side, by how exactly the date was told.
_APPROXIMATION = {
    "year": timedelta(days=183),
    "month": timedelta(days=31),
    "day": timedelta(days=3),
}
# Local time is at most 14 hours ahead of UTC and 12 behind it.
_AHEAD, _BEHIND = timedelta(hours=14), timedelta(hours=12)
_BETWEEN = re.compile(r"(?:between|from)?\s*(.+?)(?:\s+to\s+|\s+and\s+|\s*\.\.\s*)(.+)")


class Ternary(StrEnum):
    """Yes, no, or not known."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


class DateRange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The instants that a date may mean: milliseconds since 1970 in UTC, both ends included.

    An end that is None is open. `said` is the date as it was told.
    """

    earliest: int | None = None
    latest: int | None = None
    said: str = "unknown"

    def __post_init__(self) -> None:
        """Refuse a span that ends before it begins."""
        if None not in (self.earliest, self.latest) and self.earliest > self.latest:  # type: ignore[operator]
            raise CaseError(f"the date `{self.said[:80]}` ends before it begins", fix=_FIX)

    def reaches(self, boundary: int) -> Ternary:
        """Whether the instant meant is at or after `boundary` (ms).

        >>> day = told("2019-12-08", "UTC")
        >>> [day.reaches(instant(t)) for t in ("2019-12-08T00:00:00Z", "2019-12-09T00:00:00Z")]
        [<Answer.YES: 'yes'>, <Answer.NO: 'no'>]
        >>> told("about 2019").reaches(instant("2019-12-08T00:00:00Z"))
        <Answer.UNKNOWN: 'unknown'>
        """
        if self.earliest is not None and self.earliest >= boundary:
            return Ternary.YES
        if self.latest is not None and self.latest < boundary:
            return Ternary.NO
        return Ternary.UNKNOWN


def parse_instant(text: str) -> int:
    """Give the milliseconds of an RFC 3339 instant with an offset; raises `CaseError`.

    >>> instant("1970-01-01T01:00:00+01:00")
    0
    """
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise CaseError(f"`{text[:40]}` is no instant", fix="write 2019-12-08T00:00:00Z") from None
    if at.tzinfo is None:
        raise CaseError(f"`{text[:40]}` has no offset", fix="write 2019-12-08T00:00:00Z")
    return (at - _EPOCH) // _MS


def format_instant(ms: int) -> str:
    """Write an instant as RFC 3339 in UTC.

    >>> shown(instant("2019-12-08T00:00:00Z"))
    '2019-12-08T00:00:00Z'
    """
    at = _EPOCH + ms * _MS
    return at.isoformat(timespec="milliseconds" if ms % 1000 else "seconds").replace("+00:00", "Z")


def parse_date(text: str, zone: str | None = None) -> DateRange:
    """Read a date as people tell it into the instants that it may mean.

    `zone` is the time zone that it was told in, by its IANA name; without one a local day may lie
    anywhere on Earth, and the interval is as wide as that. Understood are instants, days, months,
    years, "about", "before", "by", "after", "since", "early", "mid", "late", "between X and Y",
    "X to Y", "unknown". Raises `CaseError` for anything else.

    >>> span = told("November 2019", "UTC")
    >>> shown(span.earliest), shown(span.latest)
    ('2019-11-01T00:00:00Z', '2019-11-30T23:59:59.999Z')
    >>> shown(told("2019-12-08", "Asia/Jerusalem").earliest)
    '2019-12-07T22:00:00Z'
    >>> told("before 2020-03", "UTC").earliest is None
    True
    """
    said = " ".join(text.split())
    if len(said) > 120:
        raise CaseError("a date of more than 120 characters", fix=_FIX)
    start, end = _parse_phrase(said.lower(), _zone(zone))
    return DateRange(start, end, said if zone is None else f"{said} ({zone})")


def _zone(name: str | None) -> tzinfo | None:
    if name is None:
        return None
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        raise CaseError(f"there is no time zone `{name[:40]}`", fix="e.g. Asia/Jerusalem") from None


def _parse_phrase(said: str, zone: tzinfo | None) -> tuple[int | None, int | None]:
    if said in ("", "unknown", "?"):
        return None, None
    first, _, rest = said.partition(" ")
    match first:
        case "about" | "around" | "circa" | "ca.":
            return _parse_single(rest, zone, about=True)
        case "before":
            return None, _parse_single(rest, zone)[0] - 1
        case "by" | "until":
            return None, _parse_single(rest, zone)[1]
        case "after":
            return _parse_single(rest, zone)[1] + 1, None
        case "since":
            return _parse_single(rest, zone)[0], None
    between = _BETWEEN.fullmatch(said)
    if between:
        return _parse_single(between[1], zone)[0], _parse_single(between[2], zone)[1]
    return _parse_single(said, zone)


def _parse_single(said: str, zone: tzinfo | None, *, about: bool = False) -> tuple[int, int]:
    """First and last millisecond of one instant, day, month or year."""
    if re.match(r"\d{4}-\d\d-\d\dt", said):
        return _parse_time(said.upper(), zone)
    first, past, exact = _parse_days(said)
    slack = _APPROXIMATION[exact] if about else timedelta()
    start, end = (datetime(d.year, d.month, d.day) for d in (first, past))
    try:
        return _ms(start - slack, zone, -_AHEAD), _ms(end + slack, zone, _BEHIND) - 1
    except OverflowError:
        raise CaseError(f"the date `{said}` is out of range", fix=_FIX) from None


def _parse_time(said: str, zone: tzinfo | None) -> tuple[int, int]:
    try:
        at = datetime.fromisoformat(said)
    except ValueError:
        raise CaseError(f"`{said[:40]}` is no date that is understood", fix=_FIX) from None
    if at.tzinfo is not None:
        return (at - _EPOCH) // _MS, (at - _EPOCH) // _MS
    return _ms(at, zone, -_AHEAD), _ms(at, zone, _BEHIND)


def _ms(local: datetime, zone: tzinfo | None, without: timedelta) -> int:
    """Milliseconds of a local time; where no zone is known, moved by `without`."""
    at = local.replace(tzinfo=zone) if zone else local.replace(tzinfo=timezone.utc) + without  # noqa: UP017
    return (at.astimezone(UTC) - _EPOCH) // _MS


def _parse_days(said: str) -> tuple[date, date, str]:
    """First day, day past the last, and how exactly it was told."""
    part, _, rest = said.partition(" ")
    if part in ("early", "mid", "late"):
        if not re.fullmatch(r"\d{4}", rest):
            raise CaseError(f"`{said[:40]}` is no date that is understood", fix=_FIX)
        month = {"early": 1, "mid": 5, "late": 9}[part]
        return date(int(rest), month, 1), _next_month(int(rest), month + 3), "month"
    year, month, day = _parse_year_month_day(said)
    try:
        if not month:
            return date(year, 1, 1), date(year + 1, 1, 1), "year"
        if not day:
            return date(year, month, 1), _next_month(year, month), "month"
        return date(year, month, day), date(year, month, day) + timedelta(1), "day"
    except (ValueError, OverflowError):
        raise CaseError(f"there is no day `{said[:40]}`", fix=_FIX) from None


def _parse_year_month_day(said: str) -> tuple[int, int, int]:
    """Year, month and day, 0 where not told."""
    if found := re.fullmatch(r"(\d{4})(?:-(\d\d)(?:-(\d\d))?)?", said):
        year, month, day = found.groups()
        return int(year), int(month or 0), int(day or 0)
    if found := re.fullmatch(r"(?:(\d{1,2}) )?([a-z]+)\.?,? (\d{4})", said):
        day, name, year = found.groups()
    elif found := re.fullmatch(r"([a-z]+)\.? (\d{1,2}),? (\d{4})", said):
        name, day, year = found.groups()
    if not found or name not in _MONTHS:
        raise CaseError(f"`{said[:40]}` is no date that is understood", fix=_FIX)
    return int(year), _MONTHS[name], int(day or 0)


def _next_month(year: int, month: int) -> date:
    return date(year + 1, 1, 1) if month == 12 else date(year, month + 1, 1)
