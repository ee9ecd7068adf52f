"""Days of business: weekends and holidays are not counted, and calendars end somewhere."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from wavebreak.errors import CaseError
from wavebreak_cases.cases.business_days import business_deadline, load_calendar


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 1000


@pytest.mark.parametrize(
    ("name", "start", "days", "last"),
    [
        ("monday-to-friday", "2026-02-27T12:00:00+00:00", 1, "2026-03-02"),
        ("monday-to-friday", "2026-02-28T12:00:00+00:00", 1, "2026-03-02"),  # on a Saturday
        ("monday-to-friday", "2026-03-02T12:00:00+00:00", 10, "2026-03-16"),
        ("united-states", "2026-07-02T12:00:00-04:00", 1, "2026-07-06"),  # the 3rd is observed
        ("united-states", "2026-12-24T23:30:00-05:00", 1, "2026-12-28"),
        ("israel", "2026-04-01T12:00:00+03:00", 1, "2026-04-05"),  # Passover, then a weekend
        ("israel", "2026-02-26T12:00:00+02:00", 1, "2026-03-01"),  # Thursday, then Sunday
    ],
)
def test_deadline_counts_days_of_business_only(name: str, start: str, days: int, last: str) -> None:
    calendar = load_calendar(name)
    end = business_deadline(calendar, ms(start), days)
    there = datetime.fromtimestamp(end / 1000, UTC).astimezone(ZoneInfo(calendar.zone))
    assert there.isoformat()[:19] == f"{last}T23:59:59"


def test_deadline_past_the_calendar_is_refused() -> None:
    with pytest.raises(CaseError, match="known until 2029-12-31 only"):
        business_deadline(load_calendar("israel"), ms("2029-12-30T12:00:00+02:00"), 5)


def test_calendar_that_is_unknown_names_those_known() -> None:
    with pytest.raises(CaseError) as error:
        load_calendar("mars")
    assert "israel" in (error.value.fix or "")
