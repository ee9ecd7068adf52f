"""Text of a page as a reader sees it, with the dates, names and contacts that it states.

A page is parsed from HTML, PDF or plain text. The publication date is an interval from what the
page states itself, with its basis. Contacts are those of a business, published by itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

import dateparser
import msgspec
from bs4 import BeautifulSoup, Tag
from bs4.element import CData, NavigableString
from pypdf import PdfReader

from wavebreak_cases.claims.config import load_limits
from wavebreak_cases.claims.exhibits import DAMAGED_PDF, Published, open_pdf
from wavebreak_cases.claims.lexicon import LANGUAGES

_INVISIBLE_TAGS = {
    "script",
    "style",
    "noscript",
    "template",
    "svg",
    "head",
    "iframe",
    "object",
    "math",
}
_INLINE = {
    "a", "abbr", "b", "bdi", "bdo", "big", "cite", "code", "em", "font", "i", "kbd", "label",
    "mark", "q", "s", "small", "span", "strong", "sub", "sup", "time", "tt", "u", "var", "wbr",
}  # fmt: skip
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_HYPHENATED = re.compile(r"(?<=[^\W\d_])-\n(?=[^\W\d_])")
"""A word divided at the end of a line."""
_DATES = (
    "article:published_time", "article:modified_time", "og:updated_time", "date", "dc.date",
    "dcterms.created", "datepublished", "datemodified", "pubdate", "last-modified",
)  # fmt: skip
MAX_DEPTH = 500
MAX_NODES = 300_000


@dataclass
class Document:
    """A page as text, one block a line.

    `dates` are what the markup says (name, value), `names` the site's or organisation's, `links`
    the targets of links. `unread` are pages without text, `recognized` says that text was
    recognised in a picture. `left_out` counts the pages of its archive beyond those that are read.
    """

    text: str
    title: str = ""
    language: str = ""
    dates: list[tuple[str, str]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    unread: tuple[int, ...] = ()
    recognized: bool = False
    left_out: int = 0


def parse_html(html: bytes | str) -> Document:
    r"""Read a page; what is hidden by markup is left out.

    >>> parse_html("<title>T</title><p>One <b>two</b><script>x</script><p hidden>no<li>three").text
    'T\nOne two\nthree'
    """
    soup = BeautifulSoup(html, "lxml")
    title = soup.title.get_text(" ", strip=True)[:300] if soup.title else ""
    document = Document("", title, str(soup.html.get("lang", "")) if soup.html else "")
    summary = _read_metas(soup, document)
    for time in soup.find_all("time", datetime=True)[:50]:
        document.dates.append(("time", str(time["datetime"])[:64]))
    for script in soup.find_all("script", type="application/ld+json")[:20]:
        _read_json_ld(script.get_text()[:200_000], document)
    document.links = [str(a["href"])[:2048] for a in soup.find_all("a", href=True)[:2000]]
    lines = list(_blocks(soup.body or soup))
    lines = [line for line in (title, summary) if line and line not in lines] + lines
    document.text = "\n".join(lines)[: load_limits().reading.characters]
    return document


def _read_metas(soup: BeautifulSoup, document: Document) -> str:
    """Read dates and names of a page's meta elements; return its description."""
    summary = ""
    for meta in soup.find_all("meta")[:200]:
        name = str(meta.get("property") or meta.get("name") or meta.get("itemprop") or "").lower()
        content = str(meta.get("content") or "")[:500]
        if name in _DATES:
            document.dates.append((name, content))
        elif name in ("og:site_name", "author", "application-name"):
            document.names.append(content)
        elif name == "description":
            summary = content
    return summary


def page_texts(reader: PdfReader) -> list[str]:
    """Return the text of each page of a PDF; "" of one that cannot be read."""
    pages = []
    for page in reader.pages:
        try:
            pages.append(page.extract_text())
        except DAMAGED_PDF:
            pages.append("")
    return pages


def parse_pdf(raw: bytes, recognized: Mapping[int, str] | None = None) -> Document:
    """Read a PDF's text; a page without text is named as not read. Raises ClaimError as `opened`.

    Args:
        raw: The PDF.
        recognized: By page, the text that was recognised of pages without their own.
    """
    reader = open_pdf(raw)
    pages, (title, created) = page_texts(reader), _metadata(reader)
    unread = [n for n, text in enumerate(pages, 1) if not text.strip()]
    for n, text in (recognized or {}).items():
        pages[n - 1] = text
    joined = _HYPHENATED.sub("", "\n".join(pages))
    text = "\n".join(_lines(joined))[: load_limits().reading.characters]
    document = Document(text, title[:300])
    document.unread = tuple(n for n in unread if not (recognized or {}).get(n, "").strip())
    document.recognized = bool(recognized)
    if created:
        document.dates.append(("pdf creation", created[:64]))
    return document


def _metadata(reader: PdfReader) -> tuple[str, str]:
    """Return what a PDF says of its title and of when it was made; "" where it cannot be read."""
    try:
        metadata = reader.metadata
        if metadata is None:
            return "", ""
        return metadata.title or "", metadata.creation_date_raw or ""
    except DAMAGED_PDF:
        return "", ""


def parse_text(text: str) -> Document:
    """Take plain text as it is, one line a block."""
    return Document("\n".join(_lines(text))[: load_limits().reading.characters])


def _lines(text: str) -> Iterator[str]:
    for line in text.splitlines():
        if short := re.sub(r"[^\S\n]+", " ", line).strip():
            yield short


def _blocks(top: Tag) -> Iterator[str]:
    """The visible text, a block a line; walked without recursion, since pages nest as they like."""
    waiting: list[tuple[Tag | NavigableString | None, int]] = [(top, 0)]
    line: list[str] = []
    seen = 0
    while waiting and seen < MAX_NODES:
        node, depth = waiting.pop()
        seen += 1
        if node is None:
            yield from _lines("".join(line))
            line = []
        elif isinstance(node, Tag):
            if node.name in _INVISIBLE_TAGS or depth > MAX_DEPTH or _invisible(node):
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


def _read_json_ld(text: str, document: Document) -> None:
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
                    document.dates.append((key, value[key][:64]))
            if value.get("@type") in ("Organization", "LocalBusiness", "Product", "WebSite"):
                document.names += [str(value["name"])[:200]] if value.get("name") else []


_PUBLISHED = re.compile(
    r"(?:published|posted|updated|last updated|publicado|atualizado|actualizado|publicada|"
    r"diterbitkan|diperbarui|dipublikasikan|tayang|פורסם|עודכן|פורסם בתאריך|प्रकाशित|अपडेट)"
    r"[^\n\d]{0,25}((?:[^\W\d_]{3,12}\.? )?\d{1,4}[^\n]{0,22}\d{4}|\d{4}-\d\d-\d\d)",
    re.IGNORECASE,
)
_COPYRIGHT = re.compile(r"(?:©|\(c\)|copyright)\s*(\d{4})", re.IGNORECASE)
_DAY = timedelta(days=1, seconds=-1)


def find_publication(document: Document, at: str) -> Published | None:
    """Give the interval between the first and last date that the page gives of itself.

    `at` is when it was taken (RFC 3339): later dates are not believed. Dates of the markup count
    before those of the text, a year of copyright only where there is nothing else.
    """
    now = datetime.fromisoformat(at)
    for basis, dates in (
        ("dates in the page's markup", _markup_dates(document)),
        ("dates in the page's text", _text_dates(document.text)),
    ):
        known = sorted(d for d in dates if datetime(1995, 1, 1, tzinfo=UTC) <= d < now)
        if known:
            return Published(_format_time(known[0]), _format_time(known[-1]), basis)
    years = sorted(int(y) for y in _COPYRIGHT.findall(document.text) if 1995 <= int(y) <= now.year)
    if years:
        last = min(now, datetime(years[-1] + 1, 1, 1, tzinfo=UTC) - timedelta(seconds=1))
        first = datetime(years[0], 1, 1, tzinfo=UTC)
        return Published(_format_time(first), _format_time(last), "the year of its copyright")
    return None


def _markup_dates(document: Document) -> Iterator[datetime]:
    for _, value in document.dates[:50]:
        stamp = re.sub(r"^D:(\d{4})(\d\d)(\d\d).*", r"\1-\2-\3", value.strip())
        try:
            read = datetime.fromisoformat(stamp)
        except ValueError:
            continue
        read = read if read.tzinfo else read.replace(tzinfo=UTC)
        yield read
        if len(stamp) <= 10:  # a day without a time: all of it
            yield read + _DAY


def _text_dates(text: str) -> Iterator[datetime]:
    for match in list(_PUBLISHED.finditer(text))[:5]:
        read = dateparser.parse(
            match[1].strip(" .,"),
            languages=list(LANGUAGES),
            settings={"TIMEZONE": "UTC", "RETURN_AS_TIMEZONE_AWARE": True, "DATE_ORDER": "DMY"},
        )
        if read:
            yield read
            yield read + _DAY


def _format_time(at: datetime) -> str:
    return at.astimezone(UTC).replace(microsecond=0).isoformat().replace("+00:00", "Z")


_MAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,5}[a-z]{2,24}(?![\w@])", re.I)
_PHONE = re.compile(r"(?<![\w.,])(?:\+|00)?\(?\d[\d\-\s().]{6,18}\d(?![\w%])")
_HANDLE = re.compile(r"(?<![\w@./])@[A-Za-z][\w.]{3,31}(?![\w@])")
_SITE = re.compile(
    r"(?<![\w@./-])(?:https?://)?((?:[a-z0-9-]{1,63}\.){1,4}[a-z]{2,24})(?![\w-]|\.\w)"
    r"(?:/[^\s<>\"']{0,200})?",
    re.I,
)
_DIRECT = re.compile(
    r"(?<![\w.-])(?:wa\.me/|api\.whatsapp\.com/send|t\.me/|m\.me/|mailto:|tel:|viber://)[^\s<>\"']{2,120}",
    re.I,
)
_ENDINGS = {
    "com", "net", "org", "io", "app", "shop", "store", "me", "co", "br", "in", "id", "il", "es",
    "mx", "example", "online", "site", "xyz", "info", "ai", "pro", "cc", "ru", "ae", "sa", "eg",
    "tr", "ng", "za", "pk", "ph", "cl", "pt", "uk", "fr", "eu", "biz", "dev", "vip", "kz", "ua",
}  # fmt: skip
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060\ufeff]")
_NEXT_SENTENCE = re.compile(r"[a-z]\.[A-Z][a-z]*$")
"""A full stop without a space behind it: "no bans.In stock"."""
_CHATS = {"t.me", "wa.me", "m.me"}
_MAX_CONTACTS = 50


def find_contacts(text: str, links: Iterable[str] = ()) -> dict[str, tuple[str, ...]]:
    """Find mails, phones, handles, sites and direct links, each once, in the order of the page.

    >>> find_contacts("Write to sales@shop.example or +55 (11) 95555-0123, Telegram @bulk_shop")
    {'mails': ('sales@shop.example',), 'phones': ('+5511955550123',), 'handles': ('@bulk_shop',)}
    """
    text, joined = _INVISIBLE.sub("", text), "\n".join(links)
    direct = [m[0] for m in _DIRECT.finditer(f"{text}\n{joined}")]
    mails = [m[0].lower() for m in _MAIL.finditer(f"{text}\n{joined}")]
    phones = [_phone(m[0]) for m in _PHONE.finditer(text)]
    sites = [
        m[1].lower()
        for m in _SITE.finditer(text)
        if m[1].rpartition(".")[2].lower() in _ENDINGS and not _NEXT_SENTENCE.search(m[1])
    ]
    sites = [site for site in sites if site not in _CHATS]
    contacts = {
        "mails": mails,
        "phones": [p for p in phones if p],
        "handles": [m[0] for m in _HANDLE.finditer(text)],
        "sites": [s for s in sites if not any(m.endswith(f"@{s}") for m in mails)],
        "direct": direct,
    }
    return {name: tuple(dict.fromkeys(v))[:_MAX_CONTACTS] for name, v in contacts.items() if v}


def find_contact_details(text: str) -> Iterator[tuple[Literal["mail", "phone"], int, int]]:
    """Find mails and phone numbers of a text where they are, in its order.

    >>> [found[0] for found in find_contact_details("dana@shop.example, 03-555-0100, 2024-01-02")]
    ['mail', 'phone']
    """
    found: list[tuple[int, int, Literal["mail", "phone"]]] = [
        (*m.span(), "mail") for m in _MAIL.finditer(text)
    ]
    found += [(*m.span(), "phone") for m in _PHONE.finditer(text) if _phone(m[0])]
    for start, end, what in sorted(found):
        yield what, start, end


def _phone(raw: str) -> str:
    """Digits of what is a phone number by its look: an international prefix, or 9 to 12 digits."""
    if re.match(r"\d{4}-\d\d-\d\d|\d\d?[./-]\d\d?[./-]\d{4}", raw):  # a date
        return ""
    digits = re.sub(r"\D", "", raw)
    if raw.startswith(("+", "00")):
        return f"+{digits.removeprefix('00')}" if 8 <= len(digits) <= 17 else ""
    apart = re.search(r"[\s\-()]", raw) or raw.startswith("0")
    return digits if apart and 9 <= len(digits) <= 12 else ""
