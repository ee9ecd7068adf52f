"""Languages of notices: plurals, direction, dates, negotiation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavebreak.languages import LANGUAGES, get_language, negotiate


def test_english_comes_first_and_hebrew_runs_from_right_to_left() -> None:
    assert LANGUAGES[0] == "en"
    directions = [get_language(code).direction for code in ("en", "he")]
    assert directions == ["ltr", "rtl"]


@pytest.mark.parametrize(
    ("n", "text"),
    [
        (1, "אחד השיב"),
        (2, "שניים השיבו"),
        (3, "3 השיבו"),
        (11, "11 השיבו"),
        (20, "20 השיבו"),
        (1200, "1,200 השיבו"),
    ],
)
def test_hebrew_plural_has_a_dual(n: int, text: str) -> None:
    assert get_language("he").ngettext("{n} answered", "{n} answered", n) == text


@pytest.mark.parametrize(
    ("zone", "text"),
    [
        ("UTC", "26 November 2026, 14:02 UTC"),
        ("Asia/Jerusalem", "26 November 2026, 16:02 Israel Standard Time"),
        ("no/such zone", "26 November 2026, 14:02 UTC"),
        ("../etc/passwd", "26 November 2026, 14:02 UTC"),
    ],
)
def test_instant_names_its_zone(zone: str, text: str) -> None:
    assert get_language("en").format_instant(1_795_701_720_000, zone) == text


def test_instant_in_hebrew_summer_and_winter() -> None:
    hebrew = get_language("he")
    winter = hebrew.format_instant(1_795_701_720_000, "Asia/Jerusalem")
    assert winter == "26 בנובמבר 2026, 16:02 שעון ישראל (חורף)"
    summer = hebrew.format_instant(1_795_701_720_000 + 180 * 86_400_000, "Asia/Jerusalem")
    assert summer == "25 במאי 2027, 17:02 שעון ישראל (קיץ)"


def test_durations_in_hebrew() -> None:
    hours = [get_language("he").format_duration(n * 3_600_000) for n in (1, 2, 3, 24, 48, 72)]
    assert hours == ["1 שעה", "שעתיים", "3 שעות", "1 יום", "יומיים", "3 ימים"]


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("he", "he"),
        ("he-IL,he;q=0.9,en-US;q=0.8", "he"),
        ("iw-IL", "he"),
        ("en-GB,he;q=0.5", "en"),
        ("fr,he;q=0.1", "he"),
        ("fr", "en"),
        ("*", "en"),
        ("he;q=0", "en"),
        ("he;q=oops,en;q=0.1", "en"),
        ("", "en"),
    ],
)
def test_negotiate_takes_the_best_offered(header: str, code: str) -> None:
    assert negotiate(header) == code


@given(st.text(max_size=300))
def test_negotiate_of_any_header_is_offered(header: str) -> None:
    assert negotiate(header) in LANGUAGES


def test_negotiate_without_match_is_the_platform_default() -> None:
    assert negotiate("de", default="he") == "he"


def test_unknown_language_is_english() -> None:
    for code in ("tlh", "", "../he", "x" * 500):
        assert get_language(code).code == "en"


def test_empty_text_stays_empty() -> None:
    assert get_language("he").gettext("") == ""


def test_foreign_name_is_isolated_in_hebrew_only() -> None:
    text = "You can reach us here: {contact}"
    assert "\u2068a@b.example\u2069" in get_language("he").gettext(text, contact="a@b.example")
    assert "\u2068" not in get_language("en").gettext(text, contact="a@b.example")


def test_braces_in_a_value_stay_as_they_are() -> None:
    text = get_language("en").gettext("You can reach us here: {contact}", contact="{x} %s")
    assert text == "You can reach us here: {x} %s"
