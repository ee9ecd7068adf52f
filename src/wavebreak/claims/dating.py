"""When a page was made public, from what it says itself: an interval, and on what it rests."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dateparser

from wavebreak.claims.exhibits import Published
from wavebreak.claims.texts import Document

_SAID = re.compile(
    r"(?:published|posted|updated|last updated|publicado|atualizado|actualizado|publicada|"
    r"diterbitkan|diperbarui|dipublikasikan|tayang|פורסם|עודכן|פורסם בתאריך|प्रकाशित|अपडेट)"
    r"[^\n\d]{0,25}((?:[^\W\d_]{3,12}\.? )?\d{1,4}[^\n]{0,22}\d{4}|\d{4}-\d\d-\d\d)",
    re.IGNORECASE,
)
_RIGHTS = re.compile(r"(?:©|\(c\)|copyright)\s*(\d{4})", re.IGNORECASE)
_DAY = timedelta(days=1, seconds=-1)
_LANGUAGES = ["en", "he", "pt", "es", "hi", "id"]


def published(document: Document, at: str) -> Published | None:
    """Give the interval between the first and last date that the page gives of itself.

    `at` is when it was taken (RFC 3339): later dates are not believed. Dates of the markup count
    before those of the text, a year of copyright only where there is nothing else.
    """
    now = datetime.fromisoformat(at)
    for basis, dates in (
        ("dates in the page's markup", _marked(document)),
        ("dates in the page's text", _written(document.text)),
    ):
        known = sorted(d for d in dates if datetime(1995, 1, 1, tzinfo=UTC) <= d < now)
        if known:
            return Published(_as_text(known[0]), _as_text(known[-1]), basis)
    years = sorted(int(y) for y in _RIGHTS.findall(document.text) if 1995 <= int(y) <= now.year)
    if years:
        last = min(now, datetime(years[-1] + 1, 1, 1, tzinfo=UTC) - timedelta(seconds=1))
        first = datetime(years[0], 1, 1, tzinfo=UTC)
        return Published(_as_text(first), _as_text(last), "the year of its copyright")
    return None


def _marked(document: Document) -> Iterator[datetime]:
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


def _written(text: str) -> Iterator[datetime]:
    for found in list(_SAID.finditer(text))[:5]:
        read = dateparser.parse(
            found[1].strip(" .,"),
            languages=_LANGUAGES,
            settings={"TIMEZONE": "UTC", "RETURN_AS_TIMEZONE_AWARE": True, "DATE_ORDER": "DMY"},
        )
        if read:
            yield read
            yield read + _DAY


def _as_text(at: datetime) -> str:
    return at.astimezone(UTC).replace(microsecond=0).isoformat().replace("+00:00", "Z")
