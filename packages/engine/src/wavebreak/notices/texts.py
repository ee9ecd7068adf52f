"""Texts to account holders by subject (`texts.toml`), and the sections of a page without markup.

Texts of rules are in `reasons`. No text names a threshold or another person.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from wavebreak import config
from wavebreak.languages import Language

TEXTS: Mapping[str, Mapping[str, str]] = config.load_config(
    Path(__file__).resolve().with_name("texts.toml"), dict[str, dict[str, str]]
)
"""Texts in English by subject and name."""

PUBLIC_REASONS = ("unclear", "my_case", "disagree", "person")
"""Reasons that a reader whom a help page did not help may choose."""


def public_text(language: Language, name: str, **values: object) -> str:
    """Return a text of the public pages.

    >>> from wavebreak.languages import get_language
    >>> public_text(get_language("en"), "received")
    'Your appeal was received'
    """
    return language.gettext(TEXTS["public"][name], **values)


def public_texts(language: Language) -> dict[str, str]:
    """Return the texts that need no value, by name.

    >>> from wavebreak.languages import get_language
    >>> public_texts(get_language("en"))["yes"]
    'Yes'
    """
    texts = TEXTS["public"].items()
    return {name: language.gettext(text) for name, text in texts if "{" not in text}


class Link(msgspec.Struct, frozen=True):
    """A link with a label; a page leaves out links with an empty `url`."""

    label: str
    url: str


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """One headed part of a page.

    Attributes:
        id: A stable name, for anchors and for programs: the same in every language.
        paragraphs: Text before the list.
        items: The list; empty where there is none.
        closing: Text after the list.
        links: Where to go from here.
    """

    id: str
    heading: str
    paragraphs: tuple[str, ...] = ()
    items: tuple[str, ...] = ()
    closing: tuple[str, ...] = ()
    links: tuple[Link, ...] = ()

    def lines(self) -> list[str]:
        """Return all text of the section, heading first.

        >>> Section(id="facts", heading="Why", paragraphs=("One.",), items=("Two.",)).lines()
        ['Why', 'One.', 'Two.']
        """
        return [
            self.heading,
            *self.paragraphs,
            *self.items,
            *self.closing,
            *(link.label for link in self.links),
        ]


def present_links(*links: Link) -> tuple[Link, ...]:
    """Return the links that lead somewhere.

    >>> present_links(Link("Appeal", ""), Link("Help", "https://help.example"))
    (Link(label='Help', url='https://help.example'),)
    """
    return tuple(link for link in links if link.url)
