"""Imprecise dates as intervals of instants, with a three-valued comparison.

A date is the interval of instants that it may mean. A comparison with a boundary is yes, no, or
unknown where the interval lies on both sides of it.

Dates are read in two notations: phrases ("about November 2019", "before 2020-03"), and EDTF
(ISO 8601-2, Extended Date/Time Format): `2019-11~` (approximate; also `?`, uncertain, and `%`,
both), `2019-1X` and `201X` (unspecified digits), `2019-11/2020-02`, `2019-11/..` and `../2020`
(intervals, open with `..` or nothing). Seasons, exponents and sets of EDTF are refused. The package
`edtf` is maintained, but was not taken: it brings a grammar library and a calendar library for a
notation of a few lines, knows neither time zones nor instants, and pads approximate dates by its
own rule.
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
_FIX = (
    "write it like 2019-11-20, 2019-11, November 2019, about 2019, before 2020-03, unknown, or in "
    "EDTF: 2019-11~, 2019-1X, 2019-11/2020-02, 2019-11/.."
)
_EDTF = re.compile(r"(\d[\dx]{3}(?:-[\dx]{2}){0,2})([~?%]?)")
"""A date of EDTF in lower case: unspecified digits are `x`; a qualifier may follow."""
# What "about" and the qualifiers of EDTF add on each side, by the precision of the date.
_APPROXIMATION = {
    "year": timedelta(days=183),
    "month": timedelta(days=31),
    "day": timedelta(days=3),
}
# Local time is at most 14 hours ahead of UTC and 12 behind it.
_AHEAD, _BEHIND = timedelta(hours=14), timedelta(hours=12)
AHEAD_MS, BEHIND_MS = _AHEAD // timedelta(milliseconds=1), _BEHIND // timedelta(milliseconds=1)
_BETWEEN = re.compile(r"(?:between|from)?\s*(.+?)(?:\s+to\s+|\s+and\s+|\s*\.\.\s*)(.+)")


class Ternary(StrEnum):
    """Yes, no, or not known."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


class DateRange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The instants that a date may mean: milliseconds since 1970 in UTC, both ends included.

    An end that is None is open. `said` is the date as it was given.
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

        >>> day = parse_date("2019-12-08", "UTC")
        >>> [str(day.reaches(parse_instant(f"2019-12-{d}T00:00:00Z"))) for d in ("08", "09")]
        ['yes', 'no']
        >>> parse_date("about 2019").reaches(parse_instant("2019-12-08T00:00:00Z"))
        <Ternary.UNKNOWN: 'unknown'>
        """
        if self.earliest is not None and self.earliest >= boundary:
            return Ternary.YES
        if self.latest is not None and self.latest < boundary:
            return Ternary.NO
        return Ternary.UNKNOWN


def parse_instant(text: str) -> int:
    """Return the milliseconds of an RFC 3339 instant with an offset; raises `CaseError`.

    >>> parse_instant("1970-01-01T01:00:00+01:00")
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
    """Return an instant as RFC 3339 in UTC.

    >>> format_instant(parse_instant("2019-12-08T00:00:00Z"))
    '2019-12-08T00:00:00Z'
    """
    at = _EPOCH + ms * _MS
    return at.isoformat(timespec="milliseconds" if ms % 1000 else "seconds").replace("+00:00", "Z")


def parse_date(text: str, zone: str | None = None) -> DateRange:
    """Parse a date as a phrase or in EDTF into the instants that it may mean.

    Args:
        text: An instant, day, month or year; with "about", "before", "by", "after", "since",
            "early", "mid" or "late"; "between X and Y", "X to Y", "unknown"; or EDTF (see the
            module).
        zone: The time zone of the date, by its IANA name; without one a local day may be anywhere
            on Earth, and the interval is as wide as that.

    Raises:
        CaseError: The text is in neither notation, or the time zone is not known.

    >>> dates = parse_date("November 2019", "UTC")
    >>> format_instant(dates.earliest), format_instant(dates.latest)
    ('2019-11-01T00:00:00Z', '2019-11-30T23:59:59.999Z')
    >>> format_instant(parse_date("2019-1X", "UTC").earliest)
    '2019-10-01T00:00:00Z'
    >>> format_instant(parse_date("2019-12-08", "Asia/Jerusalem").earliest)
    '2019-12-07T22:00:00Z'
    >>> parse_date("../2020-03", "UTC").earliest is None
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
    if said in ("", "unknown", "?", ".."):
        return None, None
    if "/" in said:
        return _parse_interval(said, zone)
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


def _parse_interval(said: str, zone: tzinfo | None) -> tuple[int | None, int | None]:
    """Ends of an EDTF interval; `..` or nothing leaves an end open."""
    first, _, last = said.partition("/")
    if "/" in last or {first, last} == {""}:
        raise CaseError(f"`{said[:40]}` is not a date that is understood", fix=_FIX)
    start = None if first in ("", "..") else _parse_single(first, zone)[0]
    end = None if last in ("", "..") else _parse_single(last, zone)[1]
    return start, end


def _parse_single(said: str, zone: tzinfo | None, *, about: bool = False) -> tuple[int, int]:
    """First and last millisecond of one instant, day, month or year."""
    if re.match(r"\d{4}-\d\d-\d\dt", said):
        return _parse_time(said.upper(), zone)
    if edtf := _EDTF.fullmatch(said):
        said, about = edtf[1], about or bool(edtf[2])
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
        raise CaseError(f"`{said[:40]}` is not a date that is understood", fix=_FIX) from None
    if at.tzinfo is not None:
        return (at - _EPOCH) // _MS, (at - _EPOCH) // _MS
    return _ms(at, zone, -_AHEAD), _ms(at, zone, _BEHIND)


def _ms(local: datetime, zone: tzinfo | None, without: timedelta) -> int:
    """Milliseconds of a local time; where no zone is known, moved by `without`."""
    at = local.replace(tzinfo=zone) if zone else local.replace(tzinfo=timezone.utc) + without  # noqa: UP017
    return (at.astimezone(UTC) - _EPOCH) // _MS


def _parse_days(said: str) -> tuple[date, date, str]:
    """First day, day after the last, and the precision."""
    if "x" in said and _EDTF.fullmatch(said):
        return _parse_unspecified(said)
    part, _, rest = said.partition(" ")
    if part in ("early", "mid", "late"):
        if not re.fullmatch(r"\d{4}", rest):
            raise CaseError(f"`{said[:40]}` is not a date that is understood", fix=_FIX)
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


def _parse_unspecified(said: str) -> tuple[date, date, str]:
    """First day, day after the last, and the precision of a date with unspecified digits."""
    year, *rest = said.split("-")
    first, last = int(year.replace("x", "0")), int(year.replace("x", "9"))
    precision = ("year", "month", "day")[len(rest)]
    try:
        if not rest:
            return date(first, 1, 1), date(last + 1, 1, 1), precision
        days = [_matching_days(which, rest) for which in (first, last)]
        start, end = days[0][0], days[1][-1]
        past = end + timedelta(1) if len(rest) == 2 else _next_month(end.year, end.month)
    except (ValueError, OverflowError, IndexError):
        raise CaseError(f"there is no day `{said[:40]}`", fix=_FIX) from None
    return start, past, precision


def _matching_days(year: int, rest: list[str]) -> list[date]:
    """Days of a year whose month, and day where given, match digits with `x` for any."""
    pattern = re.compile("-".join(rest).replace("x", r"\d") + (r"-01" if len(rest) == 1 else ""))
    first = date(year, 1, 1)
    every = (first + timedelta(n) for n in range(366))
    return [day for day in every if day.year == year and pattern.fullmatch(f"{day:%m-%d}")]


def _parse_year_month_day(said: str) -> tuple[int, int, int]:
    if match := re.fullmatch(r"(\d{4})(?:-(\d\d)(?:-(\d\d))?)?", said):
        year, month, day = match.groups()
        return int(year), int(month or 0), int(day or 0)
    if match := re.fullmatch(r"(?:(\d{1,2}) )?([a-z]+)\.?,? (\d{4})", said):
        day, name, year = match.groups()
    elif match := re.fullmatch(r"([a-z]+)\.? (\d{1,2}),? (\d{4})", said):
        name, day, year = match.groups()
    if not match or name not in _MONTHS:
        raise CaseError(f"`{said[:40]}` is not a date that is understood", fix=_FIX)
    return int(year), _MONTHS[name], int(day or 0)


def _next_month(year: int, month: int) -> date:
    return date(year + 1, 1, 1) if month == 12 else date(year, month + 1, 1)
