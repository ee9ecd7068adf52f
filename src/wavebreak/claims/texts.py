"""What a person would read on a page: its text, and what its markup says of dates and names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec
from bs4 import BeautifulSoup, Tag
from bs4.element import CData, NavigableString
from pypdf.errors import PyPdfError

from wavebreak.claims.accepting import opened
from wavebreak.claims.limits import limits

_UNSEEN = {"script", "style", "noscript", "template", "svg", "head", "iframe", "object", "math"}
_INLINE = {
    "a", "abbr", "b", "bdi", "bdo", "big", "cite", "code", "em", "font", "i", "kbd", "label",
    "mark", "q", "s", "small", "span", "strong", "sub", "sup", "time", "tt", "u", "var", "wbr",
}  # fmt: skip
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_DIVIDED = re.compile(r"(?<=[^\W\d_])-\n(?=[^\W\d_])")
"""A word divided at the end of a line."""
_DATES = (
    "article:published_time", "article:modified_time", "og:updated_time", "date", "dc.date",
    "dcterms.created", "datepublished", "datemodified", "pubdate", "last-modified",
)  # fmt: skip
_MAX_DEPTH = 500
_MAX_NODES = 300_000


@dataclass
class Document:
    """A page as text, one block a line.

    `dates` are what the markup says (name, value), `names` the site's or organisation's, `links`
    the targets of links.
    """

    text: str
    title: str = ""
    language: str = ""
    dates: list[tuple[str, str]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)


def from_html(html: bytes | str) -> Document:
    r"""Read a page; what is hidden by markup is left out.

    >>> from_html("<title>T</title><p>One <b>two</b><script>x</script><p hidden>no<li>three").text
    'T\nOne two\nthree'
    """
    soup = BeautifulSoup(html, "lxml")
    title = soup.title.get_text(" ", strip=True)[:300] if soup.title else ""
    found = Document("", title, str(soup.html.get("lang", "")) if soup.html else "")
    summary = ""
    for meta in soup.find_all("meta")[:200]:
        name = str(meta.get("property") or meta.get("name") or meta.get("itemprop") or "").lower()
        content = str(meta.get("content") or "")[:500]
        if name in _DATES:
            found.dates.append((name, content))
        elif name in ("og:site_name", "author", "application-name"):
            found.names.append(content)
        elif name == "description":
            summary = content
    for time in soup.find_all("time", datetime=True)[:50]:
        found.dates.append(("time", str(time["datetime"])[:64]))
    for script in soup.find_all("script", type="application/ld+json")[:20]:
        _linked(script.get_text()[:200_000], found)
    found.links = [str(a["href"])[:2048] for a in soup.find_all("a", href=True)[:2000]]
    lines = list(_blocks(soup.body or soup))
    lines = [line for line in (title, summary) if line and line not in lines] + lines
    found.text = "\n".join(lines)[: limits().reading.characters]
    return found


def from_pdf(raw: bytes) -> Document:
    """Read a PDF's text; a page that cannot be read is left out. Raises ClaimError as `opened`."""
    reader = opened(raw)
    pages, told = [], reader.metadata
    for page in reader.pages:
        try:
            pages.append(page.extract_text())
        except (PyPdfError, ValueError, KeyError, TypeError, RecursionError, AttributeError):
            continue
    joined = _DIVIDED.sub("", "\n".join(pages))
    text = "\n".join(_lines(joined))[: limits().reading.characters]
    found = Document(text, (told.title or "")[:300] if told else "")
    if told and told.creation_date_raw:
        found.dates.append(("pdf creation", told.creation_date_raw[:64]))
    return found


def from_text(text: str) -> Document:
    """Take plain text as it is, one line a block."""
    return Document("\n".join(_lines(text))[: limits().reading.characters])


def _lines(text: str) -> Iterator[str]:
    for line in text.splitlines():
        if short := re.sub(r"[^\S\n]+", " ", line).strip():
            yield short


def _blocks(top: Tag) -> Iterator[str]:
    """The visible text, a block a line; walked without recursion, since pages nest as they like."""
    waiting: list[tuple[Tag | NavigableString | None, int]] = [(top, 0)]
    line: list[str] = []
    seen = 0
    while waiting and seen < _MAX_NODES:
        node, depth = waiting.pop()
        seen += 1
        if node is None:
            yield from _lines("".join(line))
            line = []
        elif isinstance(node, Tag):
            if node.name in _UNSEEN or depth > _MAX_DEPTH or _invisible(node):
                continue
            if node.name == "br":
                line.append("\n")
                continue
            block = node.name not in _INLINE
            below = [(child, depth + 1) for child in node.children]
            waiting += [(None, 0)] * block
            waiting += reversed(below)  # type: ignore[arg-type]
            waiting += [(None, 0)] * block
            if node.name == "img" and node.get("alt"):
                line.append(f" {str(node['alt'])[:300]} ")
        elif type(node) in (NavigableString, CData):
            line.append(re.sub(r"\s+", " ", str(node)))
    yield from _lines("".join(line))


def _invisible(node: Tag) -> bool:
    return node.has_attr("hidden") or bool(_HIDDEN.search(str(node.get("style") or "")))


def _linked(text: str, found: Document) -> None:
    """Take dates and names from JSON-LD, wherever they stand in it."""
    try:
        waiting = [msgspec.json.decode(text)]
    except (msgspec.DecodeError, RecursionError):
        return
    for _ in range(2000):
        if not waiting:
            return
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            waiting += [v for v in value.values() if isinstance(v, dict | list)]
            for key in ("datePublished", "dateModified", "dateCreated"):
                if isinstance(value.get(key), str):
                    found.dates.append((key, value[key][:64]))
            if value.get("@type") in ("Organization", "LocalBusiness", "Product", "WebSite"):
                found.names += [str(value["name"])[:200]] if value.get("name") else []
