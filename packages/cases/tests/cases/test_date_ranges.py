"""Imprecise dates: phrases and EDTF as intervals, and their comparison."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavebreak.errors import CaseError
from wavebreak_cases.cases.date_ranges import (
    DateRange,
    Ternary,
    format_instant,
    parse_date,
    parse_instant,
)

DAY = 86_400_000


@pytest.mark.parametrize(
    ("text", "zone", "earliest", "latest"),
    [
        ("2019-12-07", "UTC", "2019-12-07T00:00:00Z", "2019-12-07T23:59:59.999Z"),
        ("7 December 2019", "UTC", "2019-12-07T00:00:00Z", "2019-12-07T23:59:59.999Z"),
        ("Dec 7, 2019", "UTC", "2019-12-07T00:00:00Z", "2019-12-07T23:59:59.999Z"),
        ("2019-12-07", "Asia/Jerusalem", "2019-12-06T22:00:00Z", "2019-12-07T21:59:59.999Z"),
        ("2019-12-07", "America/Sao_Paulo", "2019-12-07T03:00:00Z", "2019-12-08T02:59:59.999Z"),
        ("2019-12-07", None, "2019-12-06T10:00:00Z", "2019-12-08T11:59:59.999Z"),
        ("2019", "UTC", "2019-01-01T00:00:00Z", "2019-12-31T23:59:59.999Z"),
        ("2020-02", "UTC", "2020-02-01T00:00:00Z", "2020-02-29T23:59:59.999Z"),
        ("about November 2019", "UTC", "2019-10-01T00:00:00Z", "2019-12-31T23:59:59.999Z"),
        ("around 2019-12-07", "UTC", "2019-12-04T00:00:00Z", "2019-12-10T23:59:59.999Z"),
        ("about 2019", "UTC", "2018-07-02T00:00:00Z", "2020-07-01T23:59:59.999Z"),
        ("before 2020-03", "UTC", None, "2020-02-29T23:59:59.999Z"),
        ("by 2020-03", "UTC", None, "2020-03-31T23:59:59.999Z"),
        ("after 2019", "UTC", "2020-01-01T00:00:00Z", None),
        ("since March 2018", "UTC", "2018-03-01T00:00:00Z", None),
        ("early 2019", "UTC", "2019-01-01T00:00:00Z", "2019-04-30T23:59:59.999Z"),
        ("late 2019", "UTC", "2019-09-01T00:00:00Z", "2019-12-31T23:59:59.999Z"),
        ("between 2018 and March 2019", "UTC", "2018-01-01T00:00:00Z", "2019-03-31T23:59:59.999Z"),
        ("2018-05 to 2019-06-02", "UTC", "2018-05-01T00:00:00Z", "2019-06-02T23:59:59.999Z"),
        ("2018..2019", "UTC", "2018-01-01T00:00:00Z", "2019-12-31T23:59:59.999Z"),
        ("2019-12-08T00:30+02:00", None, "2019-12-07T22:30:00Z", "2019-12-07T22:30:00Z"),
        ("unknown", None, None, None),
        ("2019-11~", "UTC", "2019-10-01T00:00:00Z", "2019-12-31T23:59:59.999Z"),
        ("2019-12-07?", "UTC", "2019-12-04T00:00:00Z", "2019-12-10T23:59:59.999Z"),
        ("2019%", "UTC", "2018-07-02T00:00:00Z", "2020-07-01T23:59:59.999Z"),
        ("2019-1X", "UTC", "2019-10-01T00:00:00Z", "2019-12-31T23:59:59.999Z"),
        ("201X", "UTC", "2010-01-01T00:00:00Z", "2019-12-31T23:59:59.999Z"),
        ("2019-XX", "UTC", "2019-01-01T00:00:00Z", "2019-12-31T23:59:59.999Z"),
        ("2020-02-XX", "UTC", "2020-02-01T00:00:00Z", "2020-02-29T23:59:59.999Z"),
        ("2019-XX-31", "UTC", "2019-01-31T00:00:00Z", "2019-12-31T23:59:59.999Z"),
        ("2019-11/2020-02", "UTC", "2019-11-01T00:00:00Z", "2020-02-29T23:59:59.999Z"),
        ("2019-11-20~/2020", "UTC", "2019-11-17T00:00:00Z", "2020-12-31T23:59:59.999Z"),
        ("../2020-03", "UTC", None, "2020-03-31T23:59:59.999Z"),
        ("2019-11/..", "UTC", "2019-11-01T00:00:00Z", None),
        ("2019-11/", "UTC", "2019-11-01T00:00:00Z", None),
        ("..", None, None, None),
    ],
)
def test_parse_date_returns_interval_of_instants(
    text: str, zone: str | None, earliest: str | None, latest: str | None
) -> None:
    span = parse_date(text, zone)
    ends = [None if end is None else format_instant(end) for end in (span.earliest, span.latest)]
    assert ends == [earliest, latest]
    assert span.said.startswith(text)


@pytest.mark.parametrize(
    "text",
    ["2019-13", "2019-02-30", "soon", "31/12/2019", "about", "2020 to 2019", "x" * 121,
     "about 0001", "9999", "mid November", "32 May 2019", "2019-2X", "2019-02-3X", "/", "2019-21",
     "2018/2019/2020", "2020/2019", "X019", "2019-11-20T00:00:00/~"],
)  # fmt: skip
def test_parse_date_with_invalid_text_is_refused(text: str) -> None:
    with pytest.raises(CaseError) as refused:
        parse_date(text, "UTC")
    assert refused.value.fix


def test_parse_without_offset_or_known_zone_is_refused() -> None:
    with pytest.raises(CaseError, match="offset"):
        parse_instant("2019-12-08T00:00:00")
    with pytest.raises(CaseError, match="instant"):
        parse_instant("yesterday")
    for name in ("Atlantis/Sunken", "../../etc/passwd", ""):
        with pytest.raises(CaseError, match="time zone"):
            parse_date("2019", name)


def test_notice_day_without_zone_compares_as_unknown() -> None:
    beyond = parse_instant("2019-12-08T00:00:00Z")
    assert parse_date("2019-12-07").reaches(beyond) is Ternary.UNKNOWN
    assert parse_date("2019-12-07", "UTC").reaches(beyond) is Ternary.NO
    assert parse_date("2019-12-08", "UTC").reaches(beyond) is Ternary.YES
    assert parse_date("2019-12-08", "Pacific/Kiritimati").reaches(beyond) is Ternary.UNKNOWN
    assert parse_date("2019-12-07", "America/Los_Angeles").reaches(beyond) is Ternary.UNKNOWN


ends = st.none() | st.integers(-DAY, DAY)


@given(ends, ends, st.integers(-DAY, DAY), st.integers(-DAY, DAY))
def test_comparison_agrees_with_every_instant_in_interval(
    earliest: int | None, latest: int | None, boundary: int, meant: int
) -> None:
    if earliest is not None and latest is not None and earliest > latest:
        earliest, latest = latest, earliest
    answer = DateRange(earliest, latest).reaches(boundary)
    low = -DAY - 1 if earliest is None else earliest
    high = DAY + 1 if latest is None else latest
    meant = min(max(meant, low), high)
    if answer is not Ternary.UNKNOWN:
        assert (meant >= boundary) is (answer is Ternary.YES)
    else:
        assert low < boundary <= high
