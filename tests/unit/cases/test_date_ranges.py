"""Dates as people tell them, as the instants that they may mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavebreak.cases.date_ranges import (
    DateRange,
    Ternary,
    format_instant,
    parse_date,
    parse_instant,
)
from wavebreak.errors import CaseError

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
    ],
)
def test_a_date_means_these_instants(
    text: str, zone: str | None, earliest: str | None, latest: str | None
) -> None:
    span = parse_date(text, zone)
    ends = [None if end is None else format_instant(end) for end in (span.earliest, span.latest)]
    assert ends == [earliest, latest]
    assert span.said.startswith(text)


@pytest.mark.parametrize(
    "text",
    ["2019-13", "2019-02-30", "soon", "31/12/2019", "about", "2020 to 2019", "x" * 121,
     "about 0001", "9999", "mid November", "32 May 2019"],
)  # fmt: skip
def test_what_is_no_date_is_refused_with_a_fix(text: str) -> None:
    with pytest.raises(CaseError) as refused:
        parse_date(text, "UTC")
    assert refused.value.fix


def test_an_instant_needs_its_offset_and_a_zone_its_name() -> None:
    with pytest.raises(CaseError, match="offset"):
        parse_instant("2019-12-08T00:00:00")
    with pytest.raises(CaseError, match="instant"):
        parse_instant("yesterday")
    for name in ("Atlantis/Sunken", "../../etc/passwd", ""):
        with pytest.raises(CaseError, match="time zone"):
            parse_date("2019", name)


def test_the_day_of_the_notice_lies_on_both_sides_where_no_zone_is_known() -> None:
    beyond = parse_instant("2019-12-08T00:00:00Z")
    assert parse_date("2019-12-07").reaches(beyond) is Ternary.UNKNOWN
    assert parse_date("2019-12-07", "UTC").reaches(beyond) is Ternary.NO
    assert parse_date("2019-12-08", "UTC").reaches(beyond) is Ternary.YES
    assert parse_date("2019-12-08", "Pacific/Kiritimati").reaches(beyond) is Ternary.UNKNOWN
    assert parse_date("2019-12-07", "America/Los_Angeles").reaches(beyond) is Ternary.UNKNOWN


ends = st.none() | st.integers(-DAY, DAY)


@given(ends, ends, st.integers(-DAY, DAY), st.integers(-DAY, DAY))
def test_a_comparison_is_what_every_instant_of_the_interval_says(
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
