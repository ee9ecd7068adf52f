"""An exhibit beside what was read in it: text with the sentences relied on, image, custody, labels.

A captured page is somebody else's HTML: it is never rendered, and only its text or a picture of it
is shown. The reading is triage; a person reviews the evidence.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from wavebreak.errors import ClaimError, WavebreakError
from wavebreak_cases import claims
from wavebreak_cases.bundles import reproduction
from wavebreak_cases.bundles.case_tables import to_words
from wavebreak_cases.bundles.evidence_dates import party_names
from wavebreak_cases.bundles.workspace import check_exhibit_files
from wavebreak_cases.cases.case import Exhibit
from wavebreak_cases.claims.exhibits import CUSTODY, EXHIBIT, CustodyRecord, detect_type
from wavebreak_cases.pages.files import LoadedCase
from wavebreak_server.errors import ApiError
from wavebreak_server.texts import translate

MAX_IMAGE = 16 << 20
"""Bytes of a picture that a page shows."""
MAX_CHECKED = 64 << 20
"""Bytes of an exhibit whose files are hashed when its page is asked for."""
MAX_SHOWN = 200_000
"""Characters of an exhibit's text that a page shows."""
READINGS = 64
_CLAIM_KINDS = ("claim", "test_purchase", "partner_notice")


class Segment(NamedTuple):
    """A part of a line of text; `offers` names what is offered in a sentence relied on."""

    text: str
    relied: bool = False
    offers: tuple[str, ...] = ()


class ShownReading(NamedTuple):
    """A reading as a page shows it: lines of segments, facts, reasons, the verdict of triage."""

    verdict: str
    score: float
    lines: tuple[tuple[Segment, ...], ...]
    facts: tuple[tuple[str, str], ...]
    reasons: tuple[tuple[str, float], ...]
    relied: int
    cut: bool
    language: str


def exhibit_page(loaded: LoadedCase, exhibit: Exhibit) -> dict[str, Any]:
    """Return what the page of an exhibit shows at once."""
    place = loaded.path / exhibit.path
    facts: dict[str, Any] = {
        "source": "",
        "captured_by": "",
        "captured_at": "",
        "authority": "",
        "published": None,
        "details": (),
        "labels": (),
    }
    if (place / EXHIBIT).exists():
        about = claims.load_exhibit(place)
        details = {k: v for k, v in about.details.items() if v and v not in ("none", "complete")}
        facts |= {
            "source": about.source,
            "captured_by": about.actor.who.removeprefix("user:"),
            "captured_at": about.captured_at,
            "authority": about.actor.authority,
            "published": about.published,
            "details": tuple((to_words(k), v) for k, v in details.items()),
            "labels": tuple(claims.read_labels(place)),
        }
    return facts | {
        "files": _files(place, exhibit),
        "custody": _custody(place),
        "wrong": _wrong(loaded.path, place, exhibit),
        "image": _image_path(place, exhibit) is not None,
        "conduct": _conduct(place, exhibit),
        "readable": exhibit.kind != "platform_run",
    }


def _files(place: Path, exhibit: Exhibit) -> list[tuple[str, int, str]]:
    listed = []
    for name, digest in exhibit.sha256.items():
        path = place / name
        listed.append((name, path.stat().st_size if path.is_file() else 0, digest))
    return listed


def _custody(place: Path) -> list[CustodyRecord]:
    if (place / EXHIBIT).exists():
        return claims.read_custody(place)
    lines = (place / CUSTODY).read_bytes().splitlines() if (place / CUSTODY).exists() else []
    return [msgspec.json.decode(line, type=CustodyRecord) for line in lines]


def _wrong(root: Path, place: Path, exhibit: Exhibit) -> list[str] | None:
    """What is not as it was taken in; None where the exhibit is too large to hash for a page."""
    size = sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
    return None if size > MAX_CHECKED else check_exhibit_files(root, exhibit)


def _conduct(place: Path, exhibit: Exhibit) -> list[tuple[str, Any]]:
    """What the accounts of a run did, counted."""
    if exhibit.kind != "platform_run" or not (place / reproduction.NUMBERS).exists():
        return []
    raw = (place / reproduction.NUMBERS).read_bytes()
    counted = msgspec.json.decode(raw, type=dict[str, reproduction.Conduct])
    return [
        (account, {"counts": [(to_words(k), n) for k, n in c.counts.items() if n], "all": c})
        for account, c in counted.items()
    ]


def _image_path(place: Path, exhibit: Exhibit) -> Path | None:
    if not (place / EXHIBIT).exists():
        return None
    about = claims.load_exhibit(place)
    kept = about.file("screenshot") or about.file("original")
    if kept is None or not kept.media.startswith("image/") or kept.path not in exhibit.sha256:
        return None
    return place / kept.path


def image(loaded: LoadedCase, exhibit: Exhibit) -> tuple[bytes, str]:
    """Return the picture of an exhibit and its media type, by its content.

    Raises ApiError (404) where there is none, it is too large, or it is no picture.
    """
    path = _image_path(loaded.path / exhibit.path, exhibit)
    if path is None or not path.is_file() or path.stat().st_size > MAX_IMAGE:
        raise ApiError(
            404,
            translate("there is no picture that can be shown"),
            fix=translate("see the exhibit's files"),
        )
    raw = path.read_bytes()
    try:
        sort = detect_type(raw)
    except ClaimError:
        sort = None
    if sort is None or sort.form != "image":
        raise ApiError(
            404, translate("the file is no picture"), fix=translate("see the exhibit's files")
        )
    return raw, sort.media


@lru_cache(maxsize=READINGS)
def _read(place: Path, _digests: str, names: tuple[str, ...]) -> claims.Reading:
    at, documents = claims.load_exhibit(place).captured_at, claims.exhibit_documents(place)
    return claims.highest_scoring([claims.read(document, at, names) for document in documents])


def reading(loaded: LoadedCase, exhibit: Exhibit) -> ShownReading:
    """Read an exhibit; raises ClaimError where it holds no text that can be read."""
    digests, names = "".join(exhibit.sha256.values()), party_names(loaded.case)
    read = _read(loaded.path / exhibit.path, digests, names)
    judged = exhibit.kind in _CLAIM_KINDS or read.verdict != "benign"
    return ShownReading(
        read.verdict if judged else "",
        read.score,
        tuple(_lines(read)),
        tuple((name, value) for name, value in claims.describe_reading(read) if value and judged),
        tuple((r.name, r.adds) for r in read.reasons if abs(r.adds) >= 0.05) if judged else (),
        len(read.relied_on),
        len(read.text) > MAX_SHOWN,
        read.language,
    )


def _lines(read: claims.Reading) -> list[tuple[Segment, ...]]:
    r"""Return the text line by line, each line as segments; empty lines are left out.

    >>> from wavebreak_cases.claims import parse_file, read as read_page
    >>> page = parse_file(b"Hello.\nWe send bulk WhatsApp messages, 90,000 a day, no opt-in.")[0]
    >>> lines = _lines(read_page(page, "2026-01-01T00:00:00Z"))
    >>> [[segment.relied for segment in line] for line in lines]
    [[False], [True]]
    """
    pieces: list[Segment] = []
    last, text = 0, read.text[:MAX_SHOWN]
    for cited in read.relied_on:
        if cited.start >= len(text):
            break
        pieces.append(Segment(text[last : cited.start]))
        offers = tuple(to_words(offer) for offer in cited.offers) or ("its words",)
        pieces.append(Segment(text[cited.start : cited.end], True, offers))
        last = cited.end
    pieces.append(Segment(text[last:]))
    lines: list[list[Segment]] = [[]]
    for piece in pieces:
        parts = piece.text.split("\n")
        for number, part in enumerate(parts):
            if number:
                lines.append([])
            if part:
                lines[-1].append(piece._replace(text=part))
    return [tuple(line) for line in lines if any(segment.text.strip() for segment in line)]


def reading_or_reason(loaded: LoadedCase, exhibit: Exhibit) -> tuple[ShownReading | None, str]:
    """Return the reading of an exhibit, or why there is none."""
    try:
        return reading(loaded, exhibit), ""
    except WavebreakError as error:
        return None, error.what
