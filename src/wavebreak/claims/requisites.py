"""What a page needs to be seen as it was: images, styles, scripts, frames."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urldefrag, urljoin

from bs4 import BeautifulSoup, Tag

_CSS = re.compile(
    r"""url\(\s*['"]?([^'")\s]{1,2048})|@import\s+['"]([^'"]{1,2048})""", re.IGNORECASE
)
_SOURCES = {
    "img": "src", "script": "src", "iframe": "src", "frame": "src", "source": "src",
    "input": "src", "embed": "src", "object": "data", "video": "poster", "body": "background",
}  # fmt: skip
_LINKS = {"stylesheet", "icon", "preload", "apple-touch-icon", "manifest"}


def of_page(html: bytes, url: str) -> list[str]:
    """Give the absolute URLs that a page's HTML asks a browser for, in its order, each once.

    >>> of_page(b'<img src=a.png><p style="background:url(b.gif)"><a href=c>', "http://s.example/x/")
    ['http://s.example/x/a.png', 'http://s.example/x/b.gif']
    """
    soup = BeautifulSoup(html, "lxml")
    base = soup.find("base", href=True)
    return _absolute(_asked(soup), urljoin(url, str(base["href"])) if base else url)


def of_style(css: bytes, url: str) -> list[str]:
    """Give the absolute URLs that a style sheet asks for.

    >>> of_style(b"@import 'more.css'; p { background: url(x.png) }", "http://s.example/a/b.css")
    ['http://s.example/a/more.css', 'http://s.example/a/x.png']
    """
    return _absolute(_in_css(css.decode("utf-8", "replace")), url)


def _asked(soup: BeautifulSoup) -> Iterator[str]:
    for tag in soup.find_all(True):
        if not isinstance(tag, Tag):
            continue
        if (name := _SOURCES.get(tag.name)) and (value := tag.get(name)):
            yield str(value)
        if value := tag.get("srcset"):
            yield from (part.split()[0] for part in str(value).split(", ") if part.split())
        if tag.name == "link" and _LINKS & set(map(str.lower, tag.get_attribute_list("rel"))):
            yield str(tag.get("href") or "")
        if tag.name == "style":
            yield from _in_css(tag.get_text())
        if value := tag.get("style"):
            yield from _in_css(str(value))


def _in_css(css: str) -> Iterator[str]:
    for found in _CSS.finditer(css):
        yield found[1] or found[2]


def _absolute(asked: Iterator[str], base: str) -> list[str]:
    found: dict[str, None] = {}
    for value in asked:
        try:
            url = urldefrag(urljoin(base, value.strip())).url
        except ValueError:
            continue
        if url.startswith(("http://", "https://")):
            found[url] = None
    return list(found)
