from __future__ import annotations

import re

import pytest

from wavebreak import durations
from wavebreak.durations import DURATION_PATTERN, duration_ms, duration_seconds


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("15m", 900), ("24h", 86_400)])
def test_a_duration_is_a_count_and_a_unit(text: str, seconds: int) -> None:
    assert duration_seconds(text) == seconds
    assert duration_ms(text) == 1_000 * seconds


@pytest.mark.parametrize("text", ["", "0s", "5", "h", "1w", "-1d", "1_0d", "1234567s", "1d\n"])
def test_other_words_are_no_durations(text: str) -> None:
    assert not re.fullmatch(DURATION_PATTERN, text)


@pytest.mark.parametrize("unit", ["SECOND", "MINUTE", "HOUR", "DAY", "WEEK"])
def test_units_are_the_same_in_milliseconds_and_seconds(unit: str) -> None:
    seconds = {"SECOND": 1, "MINUTE": 60, "HOUR": 3_600, "DAY": 86_400, "WEEK": 604_800}[unit]
    assert getattr(durations, f"{unit}_MS") == 1_000 * seconds
    assert getattr(durations, f"{unit}_S", seconds) == seconds
