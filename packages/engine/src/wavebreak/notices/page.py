"""Structured content of a page: headed sections of paragraphs, lists and links, without markup."""

from __future__ import annotations

import msgspec


class Link(msgspec.Struct, frozen=True):
    """A link with its label; a page shows it only where `url` is not empty."""

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
