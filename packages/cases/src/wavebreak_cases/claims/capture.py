"""Capture of a page with its redirects and requisites, within a budget of bytes and seconds.

Requisites are what a browser needs to render the page: images, styles, scripts, frames. The SSRF
guard checks each redirect and each requisite. What could not be fetched is recorded as a gap.
"""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from urllib.parse import urldefrag, urljoin

from bs4 import BeautifulSoup, Tag

from wavebreak.errors import ClaimError
from wavebreak.ssrf_guard import ForbiddenAddressError, Resolver, resolve_host, resolve_target
from wavebreak_cases.claims.config import CaptureLimits, load_limits
from wavebreak_cases.claims.warc import Exchange, fetch_exchange, normalize_url

_CSS = re.compile(
    r"""url\(\s*['"]?([^'")\s]{1,2048})|@import\s+['"]([^'"]{1,2048})""", re.IGNORECASE
)
_SOURCES = {
    "img": "src", "script": "src", "iframe": "src", "frame": "src", "source": "src",
    "input": "src", "embed": "src", "object": "data", "video": "poster", "body": "background",
}  # fmt: skip
_LINKS = {"stylesheet", "icon", "preload", "apple-touch-icon", "manifest"}


def page_requisites(html: bytes, url: str) -> list[str]:
    """Return the absolute URLs that a page's HTML makes a browser request, in order, each once.

    >>> page_requisites(b'<img src=a.png><p style="background:url(b.gif)"><a href=c>', "http://s.example/x/")
    ['http://s.example/x/a.png', 'http://s.example/x/b.gif']
    """
    soup = BeautifulSoup(html, "lxml")
    base = soup.find("base", href=True)
    return _absolute_urls(_referenced_urls(soup), urljoin(url, str(base["href"])) if base else url)


def stylesheet_requisites(css: bytes, url: str) -> list[str]:
    """Return the absolute URLs that a style sheet refers to.

    >>> stylesheet_requisites(b"@import 'more.css'; p { background: url(x.png) }", "http://s.example/a/b.css")
    ['http://s.example/a/more.css', 'http://s.example/a/x.png']
    """
    return _absolute_urls(_css_urls(css.decode("utf-8", "replace")), url)


def _referenced_urls(soup: BeautifulSoup) -> Iterator[str]:
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
            yield from _css_urls(tag.get_text())
        if value := tag.get("style"):
            yield from _css_urls(str(value))


def _css_urls(css: str) -> Iterator[str]:
    for match in _CSS.finditer(css):
        yield match[1] or match[2]


def _absolute_urls(asked: Iterator[str], base: str) -> list[str]:
    urls: dict[str, None] = {}
    for value in asked:
        try:
            url = urldefrag(urljoin(base, value.strip())).url
        except ValueError:
            continue
        if url.startswith(("http://", "https://")):
            urls[url] = None
    return list(urls)


_MIN_RESPONSE = 4096
"""Bytes of the budget below which no further request is made."""


@dataclass
class CaptureResult:
    """The exchanges of a capture in order, and `gaps`: URLs not fetched, with the reason."""

    url: str
    exchanges: list[Exchange] = field(default_factory=list)
    gaps: dict[str, str] = field(default_factory=dict)

    def page(self) -> Exchange:
        """Return the exchange at the end of the redirects of the page's URL."""
        exchange = self.follow(self.url)
        if exchange is None:
            raise ClaimError("nothing was captured", fix="check that the page opens in a browser")
        return exchange

    def follow(self, url: str) -> Exchange | None:
        """Follow the redirects that were captured from a URL to what they ended at."""
        by_url = {exchange.url: exchange for exchange in self.exchanges}
        seen: set[str] = set()
        while (
            (exchange := by_url.get(normalize_url(url))) and exchange.location and url not in seen
        ):
            seen.add(url)
            url = urljoin(exchange.url, exchange.location)
        return exchange


@dataclass(frozen=True)
class CaptureEnvironment:
    """The environment of a capture: name resolution, clock, TLS context.

    `now` returns the time as RFC 3339 in UTC. `allow_private` lets it reach private addresses.
    """

    now: Callable[[], str]
    resolver: Resolver = resolve_host
    allow_private: bool = False
    context: Callable[[], ssl.SSLContext] = ssl.create_default_context


class PageCapture:
    """A capture in progress; `captured` is its result so far.

    `fetch_page` fetches the page, `fetch_requisites` more URLs. All calls share one budget.
    """

    def __init__(
        self, url: str, outside: CaptureEnvironment, bounds: CaptureLimits | None = None
    ) -> None:
        self.captured = CaptureResult(normalize_url(url))
        self._outside = outside
        self._bounds = bounds or load_limits().capture
        self._until = time.monotonic() + self._bounds.seconds
        self._bytes = 0
        self._requisites = 0

    def fetch_page(self) -> CaptureResult:
        """Fetch the page, its redirects and its requisites.

        Raises ReachError where an address of the chain must not be reached, ClaimError where there
        is no response, or too many redirects.
        """
        self._follow(self.captured.url, self._bounds.page_bytes)
        page = self.captured.page()
        if page.media in ("text/html", "application/xhtml+xml", ""):
            self.fetch_requisites(page_requisites(page.body, page.url))
        return self.captured

    def fetch_requisites(self, urls: Iterable[str]) -> int:
        """Fetch requisites, and those of style sheets among them; return how many were fetched."""
        before, waiting, seen = len(self.captured.exchanges), list(urls), self._known()
        for asked in waiting:  # grows in the loop: style sheets add their requisites
            if (url := normalize_url(asked)) in seen:
                continue
            seen.add(url)
            if reason := self._spent():
                self.captured.gaps[url] = reason
                continue
            self._requisites += 1
            try:
                self._follow(url, self._bounds.requisite_bytes)
            except (ForbiddenAddressError, ClaimError) as error:
                self.captured.gaps[url] = error.what
                continue
            exchange = self.captured.follow(url)
            if exchange is not None and exchange.media == "text/css":
                waiting += stylesheet_requisites(exchange.body, exchange.url)
        return len(self.captured.exchanges) - before

    def _known(self) -> set[str]:
        return {exchange.url for exchange in self.captured.exchanges} | set(self.captured.gaps)

    def _spent(self) -> str:
        if self._requisites >= self._bounds.requisites:
            return f"more than {self._bounds.requisites} requisites"
        if self._bytes > self._bounds.total_bytes - _MIN_RESPONSE:
            return f"more than {self._bounds.total_bytes:,} bytes in all"
        if time.monotonic() >= self._until:
            return f"more than {self._bounds.seconds:g} s in all"
        return ""

    def _follow(self, url: str, most: int) -> None:
        """Fetch a URL and what it redirects to; what is there already is not fetched again."""
        for _ in range(self._bounds.redirects + 1):
            url = normalize_url(url)
            exchange = next((e for e in self.captured.exchanges if e.url == url), None)
            if exchange is None:
                exchange = self._one(url, most)
                self.captured.exchanges.append(exchange)
            if exchange.location is None:
                return
            url = urljoin(exchange.url, exchange.location)
        raise ClaimError(f"more than {self._bounds.redirects} redirects, or a redirect loop")

    def _one(self, url: str, most: int) -> Exchange:
        target = resolve_target(
            url, resolver=self._outside.resolver, allow_private=self._outside.allow_private
        )
        until = min(self._until, time.monotonic() + self._bounds.seconds_a_request)
        most = max(1, min(most, self._bounds.total_bytes - self._bytes))
        exchange = fetch_exchange(
            url,
            target,
            at=self._outside.now(),
            until=until,
            most=most,
            agent=self._bounds.agent,
            context=self._outside.context,
        )
        self._bytes += len(exchange.response)
        if exchange.cut:
            self.captured.gaps[url] = f"not whole: {exchange.cut}"
        return exchange
