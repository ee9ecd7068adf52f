"""Help pages for everybody: unauthorised messaging, and the alternatives for companies.

`pages/*.md` is the English text. Each paragraph and each item of a list is one text to translate;
a link names a field of `PlatformLinks`. A paragraph with a value that the operator has not set is
left out, as is a link without an address.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import msgspec

from wavebreak.languages import Language
from wavebreak.notices.platform import Platform
from wavebreak.notices.texts import Link, Section, present_links

_DIRECTORY = Path(__file__).with_name("pages")
_HEADING = re.compile(r"(.+) \{#.+\}")
_LINK = re.compile(r"\[(?P<label>.+)\]\((?P<field>\w+)\)")
_VALUE = re.compile(r"\{(\w+)\}")


class HelpPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page: title, lead and sections in one language."""

    id: str
    language: str
    direction: str
    title: str
    lead: str
    sections: tuple[Section, ...]


def help_page(platform: Platform, language: Language) -> HelpPage:
    """Return the page on unauthorised automated and bulk messaging.

    >>> from wavebreak.languages import get_language
    >>> from wavebreak.notices.platform import load_platform
    >>> [section.id for section in help_page(load_platform(), get_language("he")).sections]
    ['not-allowed', 'why', 'detection', 'accounts', 'mistake', 'legal', 'businesses']
    """
    return _page("automated-and-bulk-messaging", platform, language)


def business_page(platform: Platform, language: Language) -> HelpPage:
    """Return the page for companies that would like to send in bulk.

    >>> from wavebreak.languages import get_language
    >>> from wavebreak.notices.platform import load_platform
    >>> business_page(load_platform(), get_language("en")).title
    'Messages to customers: what is allowed'
    """
    return _page("messages-to-customers", platform, language)


@cache
def _parts(page: str) -> list[list[str]]:
    """Return the blocks of a page by section; the first part is the title and the lead."""
    text = (_DIRECTORY / f"{page}.md").read_text("utf-8").removeprefix("# ")
    return [part.strip().split("\n\n") for part in text.split("\n## ")]


def _items(block: str) -> list[str]:
    """Return the items of a list; of a paragraph, the paragraph."""
    return block.removeprefix("- ").split("\n- ")


def help_texts() -> Iterator[str]:
    """Yield every text of the pages, for translation."""
    for path in sorted(_DIRECTORY.glob("*.md")):
        for part in _parts(path.stem):
            for block in part:
                match = _HEADING.fullmatch(block) or _LINK.fullmatch(block)
                texts = [match[1]] if match else _items(block)
                yield from (text for text in texts if not _VALUE.fullmatch(text))


def _page(page: str, platform: Platform, language: Language) -> HelpPage:
    values: dict[str, object] = {
        "name": platform.name_in(language),
        "contact": platform.contact_in(language),
        "n": language.format_number(platform.appeal_days),
    }
    if platform.notice_ms is not None and platform.continues_from_ms is not None:
        values["notice"] = language.format_day(platform.notice_ms)
        values["begins"] = language.format_day(platform.continues_from_ms)
    clauses = {f"{{{term}}}": platform.clause(term, language) for term in platform.terms}

    def translated(blocks: list[str]) -> tuple[str, ...]:
        return tuple(
            clauses.get(text) or language.gettext(text, **values)
            for text in blocks
            if text in clauses or values.keys() >= set(_VALUE.findall(text))
        )

    def section(head: str, *blocks: str) -> Section:
        heading, _, anchor = head.removesuffix("}").partition(" {#")
        links = [link for block in blocks if (link := _LINK.fullmatch(block))]
        texts = [block for block in blocks if not _LINK.fullmatch(block)]
        before = next((n for n, text in enumerate(texts) if text.startswith("- ")), len(texts))
        items = [item for text in texts[before : before + 1] for item in _items(text)]
        return Section(
            id=anchor,
            heading=language.gettext(heading),
            paragraphs=translated(texts[:before]),
            items=translated(items),
            closing=translated(texts[before + 1 :]),
            links=present_links(
                *(
                    Link(language.gettext(link["label"]), getattr(platform.links, link["field"]))
                    for link in links
                )
            ),
        )

    (title, lead), *sections = _parts(page)
    return HelpPage(
        id=page,
        language=language.code,
        direction=language.direction,
        title=language.gettext(title),
        lead=language.gettext(lead, **values),
        sections=tuple(section(*blocks) for blocks in sections),
    )
