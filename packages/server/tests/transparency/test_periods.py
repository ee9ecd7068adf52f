"""Reporting periods."""

from __future__ import annotations

from datetime import date
from itertools import pairwise

import pytest

from wavebreak.errors import UsageError
from wavebreak_server.transparency import Period, parse_day, split_period


def test_months_cover_the_period_once() -> None:
    year = Period(date(2025, 7, 1), date(2026, 7, 1))
    parts = split_period(year, 1)
    assert len(parts) == 12
    assert parts[0][1].start == year.start
    assert parts[-1][1].end == year.end
    assert all(a.end == b.start for (_, a), (_, b) in pairwise(parts))


def test_years_are_named_by_their_number() -> None:
    parts = split_period(Period(date(2025, 1, 1), date(2027, 1, 1)), 12)
    assert [name for name, _ in parts] == ["2025", "2026"]


@pytest.mark.parametrize(
    ("start", "end", "months", "option"),
    [
        (date(2026, 1, 2), date(2026, 2, 1), 1, "--from"),
        (date(2026, 1, 1), date(2026, 2, 15), 1, "--to"),
        (date(2026, 1, 1), date(2026, 2, 1), 12, "--to"),
    ],
)
def test_period_within_a_month_is_not_split(
    start: date, end: date, months: int, option: str
) -> None:
    with pytest.raises(UsageError, match=option):
        split_period(Period(start, end), months)


def test_text_that_is_no_day_is_refused() -> None:
    with pytest.raises(UsageError, match=r"--from: '2026-13-01' is not a day"):
        parse_day("2026-13-01", "--from")
