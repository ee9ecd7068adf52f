"""Help pages in both languages: the same structure, the operator's dates and links."""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec
import pytest

from wavebreak.notices import (
    LANGUAGES,
    HelpPage,
    Language,
    Platform,
    business_page,
    get_language,
    help_page,
    load_platform,
)

Build = Callable[[Platform, Language], HelpPage]


def text(page: HelpPage) -> str:
    return "\n".join([page.title, page.lead, *(ln for s in page.sections for ln in s.lines())])


@pytest.mark.parametrize("build", [help_page, business_page])
def test_pages_have_the_same_structure_in_every_language(build: Build) -> None:
    pages = [build(load_platform(), get_language(code)) for code in LANGUAGES]
    shapes = [
        [(s.id, len(s.paragraphs), len(s.items), len(s.closing), len(s.links)) for s in p.sections]
        for p in pages
    ]
    assert shapes[0] == shapes[1]
    assert [page.direction for page in pages[:2]] == ["ltr", "rtl"]
    assert not re.search(r"[<>{}]", text(pages[0]) + text(pages[1]))


@pytest.mark.parametrize("build", [help_page, business_page])
def test_hebrew_page_holds_no_english(build: Build) -> None:
    page = text(build(load_platform(), get_language("he")))
    assert set(re.findall(r"[A-Za-z]+", page)) <= {"UTC"}


def test_help_page_names_the_operators_dates() -> None:
    english = text(help_page(load_platform(), get_language("en")))
    assert "On 7 December 2019 we gave public notice" in english
    assert "on 8 December 2019 or later (UTC)" in english
    hebrew = text(help_page(load_platform(), get_language("he")))
    assert "ב־7 בדצמבר 2019" in hebrew
    assert "ב־8 בדצמבר 2019 או לאחר מכן (UTC)" in hebrew


def test_help_page_without_a_notice_names_no_date() -> None:
    platform = msgspec.structs.replace(load_platform(), notice_date=None, continues_from=None)
    page = text(help_page(platform, get_language("en")))
    assert not re.search(r"\b(?:19|20)\d\d\b", page)
    assert "evidence from elsewhere" not in page
    assert "legal action" in page


def test_help_page_quotes_terms_and_links_to_business_tools() -> None:
    links = msgspec.structs.replace(
        load_platform().links, business_app="https://app.example", terms="https://terms.example"
    )
    platform = msgspec.structs.replace(load_platform(), links=links)
    page = help_page(platform, get_language("en"))
    urls = {link.url for section in page.sections for link in section.links}
    assert urls == {"https://app.example", "https://terms.example"}
    assert platform.terms["bulk"]["en"] in page.sections[0].items


def test_days_of_an_appeal_are_the_operators() -> None:
    platform = msgspec.structs.replace(load_platform(), appeal_days=365)
    assert "at least 365 days" in text(help_page(platform, get_language("en")))
    assert "לפחות 365 ימים" in text(help_page(platform, get_language("he")))


def test_no_page_names_a_threshold() -> None:
    for code in LANGUAGES:
        for build in (help_page, business_page):
            page = text(build(load_platform(), get_language(code)))
            assert set(re.findall(r"\d+", page)) <= {"7", "8", "2019", "180"}
