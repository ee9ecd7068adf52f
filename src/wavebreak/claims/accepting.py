"""What a file is, by its content and never by its name, and whether it is sound.

WARC, WACZ, HTML, PDF, PNG, JPEG, GIF, WebP and plain UTF-8 text are taken. A container is read
through within its limits, so that a bomb or a path that leads outside is refused before it is kept.
"""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from typing import Literal, NamedTuple

import msgspec
from pypdf import PdfReader
from pypdf.errors import PyPdfError

from wavebreak.claims import archiving
from wavebreak.claims.limits import UploadLimits, limits
from wavebreak.errors import ClaimError

Form = Literal["warc", "wacz", "html", "pdf", "image", "text"]


class Sort(NamedTuple):
    """What a file is: its form, media type and the ending that it is kept under."""

    form: Form
    media: str
    ending: str


_IMAGES = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "image/png", ".png"),
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg", ".jpg"),
    (re.compile(rb"GIF8[79]a"), "image/gif", ".gif"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "image/webp", ".webp"),
)
_HTML = re.compile(rb"<(?:!doctype\s+html|html|head|body|title|meta|div|p|h[1-6])\b", re.IGNORECASE)
_FIX = "give a WARC, WACZ, HTML, PDF, image (PNG, JPEG, GIF, WebP) or UTF-8 text"


def sort_of(raw: bytes) -> Sort:
    """Tell what a file is; raises ClaimError for what is not taken.

    >>> sort_of(b"%PDF-1.7 ...").form, sort_of("<p>שלום".encode()).form, sort_of(b"hello").form
    ('pdf', 'html', 'text')
    """
    for pattern, media, ending in _IMAGES:
        if pattern.match(raw):
            return Sort("image", media, ending)
    if b"%PDF-" in raw[:1024]:
        return Sort("pdf", "application/pdf", ".pdf")
    if raw.startswith(b"PK\x03\x04"):
        return Sort("wacz", "application/wacz", ".wacz")
    if raw.startswith(b"WARC/1."):
        return Sort("warc", "application/warc", ".warc")
    if raw.startswith(b"\x1f\x8b"):
        if _first(raw).startswith(b"WARC/1."):
            return Sort("warc", "application/warc", ".warc.gz")
        raise ClaimError("a gzip file that holds no WARC", fix=_FIX)
    if b"\0" in raw or not raw.strip():
        raise ClaimError("the file is of no known form, or empty", fix=_FIX)
    if _HTML.search(raw[:4096]):
        return Sort("html", "text/html", ".html")
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        raise ClaimError("the file is of no known form", fix=_FIX) from None
    return Sort("text", "text/plain", ".txt")


def checked(raw: bytes, bounds: UploadLimits | None = None) -> Sort:
    """Tell what a file is and read it through; raises ClaimError if it is unsound or too big."""
    bounds = bounds or limits().upload
    if len(raw) > bounds.bytes:
        raise ClaimError(f"the file is over {bounds.bytes:,} bytes", fix="give a smaller one")
    sort = sort_of(raw)
    if sort.form in ("warc", "wacz"):
        for _ in pages_of(raw, sort, bounds):
            pass
    elif sort.form == "pdf":
        opened(raw, bounds)
    return sort


def pages_of(raw: bytes, sort: Sort, bounds: UploadLimits) -> Iterator[archiving.Page]:
    """Read the pages of a WARC, or of all the WARCs of a WACZ, whose fixity is checked."""
    if sort.form == "warc":
        yield from archiving.pages(raw, bounds)
        return
    found, left = False, bounds.unpacked
    for name, content in _members(raw, bounds):
        if name.startswith("archive/") and name.endswith((".warc", ".warc.gz")):
            found = True
            for page in archiving.pages(content, bounds):
                left -= len(page.body)
                if left < 0:
                    raise ClaimError("the WACZ unpacks to more than is read", fix="split it")
                yield page
    if not found:
        raise ClaimError("a zip file that is no WACZ: it has no WARC in archive/", fix=_FIX)


def opened(raw: bytes, bounds: UploadLimits | None = None) -> PdfReader:
    """Open a PDF; raises ClaimError if it is damaged, locked, or of too many pages."""
    bounds = bounds or limits().upload
    try:
        reader = PdfReader(io.BytesIO(raw))
        if reader.is_encrypted:
            raise ClaimError("the PDF is locked by a password", fix="give it without one")
        count = len(reader.pages)
    except (PyPdfError, ValueError, KeyError, TypeError, RecursionError, OSError):
        raise ClaimError("the PDF is damaged", fix="give a sound one") from None
    if count > bounds.pages:
        raise ClaimError(f"the PDF has more than {bounds.pages} pages", fix="give fewer")
    return reader


def _members(raw: bytes, bounds: UploadLimits) -> Iterator[tuple[str, bytes]]:
    left = bounds.unpacked
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            listed = [entry for entry in archive.infolist() if not entry.is_dir()]
            names = [entry.filename for entry in listed]
            if len(listed) > bounds.members or len(set(names)) < len(names):
                raise ClaimError("the WACZ has too many members, or one twice", fix="mend it")
            fixity = _fixity(archive)
            for entry in listed:
                name = entry.filename
                if name.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", name):
                    raise ClaimError("a member of the WACZ leads outside it", fix="mend it")
                with archive.open(entry) as file:
                    content = file.read(left + 1)
                left -= len(content)
                if left < 0:
                    raise ClaimError("the WACZ unpacks to more than is read", fix="split it")
                digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
                if name in fixity and fixity[name] != digest:
                    raise ClaimError(f"{name} of the WACZ is not what its package names")
                yield name, content
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError):
        raise ClaimError("the zip file is damaged, locked, or packed unusually") from None


def _fixity(archive: zipfile.ZipFile) -> dict[str, str]:
    """The SHA-256 of members as datapackage.json names them."""
    try:
        with archive.open("datapackage.json") as file:
            package = msgspec.json.decode(file.read(1 << 22))
        return {str(r["path"]): str(r["hash"]) for r in package["resources"] if "hash" in r}
    except (KeyError, TypeError, msgspec.MsgspecError, UnicodeDecodeError):
        raise ClaimError("a zip file without a sound datapackage.json is no WACZ", fix=_FIX) from (
            None
        )


def _first(raw: bytes) -> bytes:
    try:
        return zlib.decompressobj(47).decompress(raw[:4096], 64)
    except zlib.error:
        return b""
