"""Exhibits: captured pages and added files, each with its custody record.

    DIR/exhibit.json     what it is: the Exhibit below as JSON, keys sorted, one line
    DIR/custody.jsonl    one CustodyRecord a line, appended; each has the SHA-256 of the line before
    DIR/...              the files that exhibit.json lists with their SHA-256, never rewritten

`exhibit.json` is written once: its `id` is the SHA-256 of the rest of it, so an exhibit cannot be
changed and keep its id. Files made from it later are not part of it: they are named in the custody
record of whoever made them. Another program needs only JSON and SHA-256 to check it.

Custody follows ISO/IEC 27037: what, who, when, where, why, by what authority, and the changes
that could not be avoided. Field names are the stored format of version 1.

A file's type is detected by its content, never by its name: WARC, WACZ, HTML, PDF, PNG, JPEG, GIF,
WebP and plain UTF-8 text. A container is read through within limits, so that a decompression bomb
or a path that leads outside is refused before anything is stored.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from datetime import UTC
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec
from pypdf import PdfReader
from pypdf.errors import PyPdfError

from wavebreak import __version__
from wavebreak.durable_files import create_file, sync_file
from wavebreak.errors import ClaimError
from wavebreak_cases.claims.capture import CaptureEnvironment, CaptureResult, PageCapture
from wavebreak_cases.claims.config import Limits, UploadLimits, load_limits
from wavebreak_cases.claims.screenshot import Rendering, render
from wavebreak_cases.claims.warc import ArchivedPage, encode_warc, read_warc

VERSION = 1
EXHIBIT, CUSTODY = "exhibit.json", "custody.jsonl"
_FIRST = "0" * 64
_MAX_JSON = 1 << 20
_MAX_CUSTODY = 100_000

Kind = Literal["capture", "upload", "test_purchase", "partner_notice"]


class Actor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who acts: `who`, `where` (the machine), `why`, and by what authority."""

    who: str
    where: str
    why: str = "not stated"
    authority: str = "not stated"


class ExhibitFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of an exhibit: path inside the directory, SHA-256 (hex), bytes, media type, role.

    Roles: `warc`, `screenshot`, `rendered` (the page as the browser left it), `original` (an
    upload as it came), `text` (the words of a redacted copy).
    """

    path: str
    sha256: str
    size: int
    media: str
    role: str


class Published(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When what is shown was made public: between two RFC 3339 times, either of them unknown.

    `basis` says from what it is known, in words.
    """

    earliest: str | None = None
    latest: str | None = None
    basis: str = ""


class Exhibit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was captured or added: kind, source, time (RFC 3339, UTC), publication, files.

    `details` are further words, by kind: of a capture its software, address and gaps; of a test
    purchase `when`, `by`, `ordered`, `price`, `account` (a pseudonym) and `result`; of a partner's
    notice `when`, `from` and `about`.
    """

    kind: Kind
    source: str
    captured_at: str
    files: tuple[ExhibitFile, ...]
    actor: Actor
    published: Published | None = None
    details: dict[str, str] = {}
    version: int = VERSION

    @property
    def id(self) -> str:
        """The SHA-256 of the exhibit, in hex: what it is cited by."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()

    def file(self, role: str) -> ExhibitFile | None:
        """Give the first file of a role."""
        return next((kept for kept in self.files if kept.role == role), None)


class CustodyRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of custody.

    `changes` are those that could not be avoided, `made` the SHA-256 of files made from it,
    `exhibit` is the exhibit's id and `previous` the SHA-256 of the line before (64 zeros in the
    first).
    """

    at: str
    what: str
    who: str
    where: str
    why: str
    authority: str
    changes: str
    exhibit: str
    previous: str
    made: dict[str, str] = {}


def write_file(directory: Path, name: str, content: bytes, media: str, role: str) -> ExhibitFile:
    """Write a file once, synced to the disk, and give what exhibit.json says of it."""
    path = directory / name
    try:
        create_file(path, content)
    except FileExistsError:
        raise ClaimError(f"{path} is there already", fix="give a new directory") from None
    return ExhibitFile(name, hashlib.sha256(content).hexdigest(), len(content), media, role)


def write_exhibit(directory: Path, exhibit: Exhibit, what: str, changes: str) -> None:
    """Write exhibit.json and the first line of custody."""
    write_manifest(directory, exhibit)
    append_custody(directory, exhibit.actor, exhibit.captured_at, what, changes)


def write_manifest(directory: Path, exhibit: Exhibit) -> None:
    """Write exhibit.json."""
    body = msgspec.to_builtins(exhibit) | {"id": exhibit.id}
    write_file(directory, EXHIBIT, msgspec.json.encode(body, order="sorted") + b"\n", "", "")


def load_exhibit(directory: Path) -> Exhibit:
    """Read exhibit.json; raises ClaimError if it is absent, malformed, or not what its id names."""
    try:
        raw = _read_bounded(directory / EXHIBIT)
        body = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
        named = msgspec.json.decode(body.pop("id"), type=str)
        exhibit = msgspec.json.decode(msgspec.json.encode(body), type=Exhibit)
    except FileNotFoundError:
        raise ClaimError(
            f"{directory} holds no {EXHIBIT}",
            fix="give the directory of a page that was captured or added",
            code="no-exhibit",
        ) from None
    except (msgspec.MsgspecError, UnicodeDecodeError, KeyError) as error:
        raise ClaimError(f"{directory / EXHIBIT} is malformed: {error}") from None
    if exhibit.version != VERSION:
        raise ClaimError(f"{directory} is of version {exhibit.version}", fix="update wavebreak")
    if named != exhibit.id:
        raise ClaimError(f"{directory / EXHIBIT} is not what its id names: it was changed")
    return exhibit


def append_custody(
    directory: Path,
    actor: Actor,
    at: str,
    what: str,
    changes: str = "none",
    derived: dict[str, str] | None = None,
) -> CustodyRecord:
    """Append a line of custody, chained to the last; several processes may do so at once."""
    exhibit = load_exhibit(directory).id
    with (directory / CUSTODY).open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        lines = file.read().splitlines()
        last = hashlib.sha256(lines[-1]).hexdigest() if lines else _FIRST
        line = CustodyRecord(
            at,
            what,
            actor.who,
            actor.where,
            actor.why,
            actor.authority,
            changes,
            exhibit,
            last,
            derived or {},
        )
        file.write(msgspec.json.encode(line, order="sorted") + b"\n")
        sync_file(file)
    return line


def read_custody(directory: Path) -> list[CustodyRecord]:
    """Read the lines of custody; raises ClaimError where the chain or a line is broken."""
    exhibit, last, records = load_exhibit(directory).id, _FIRST, []
    lines = (
        _read_bounded(directory / CUSTODY).splitlines() if (directory / CUSTODY).exists() else []
    )
    if len(lines) > _MAX_CUSTODY:
        raise ClaimError(f"{directory / CUSTODY} has more than {_MAX_CUSTODY:,} lines")
    for number, line in enumerate(lines, 1):
        try:
            read = msgspec.json.decode(line, type=CustodyRecord)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise ClaimError(f"line {number} of {CUSTODY} is malformed") from None
        if read.previous != last or read.exhibit != exhibit:
            raise ClaimError(f"line {number} of {CUSTODY} does not follow the line before it")
        records.append(read)
        last = hashlib.sha256(line).hexdigest()
    return records


def check_exhibit(directory: Path) -> list[str]:
    """Check every file and the custody of an exhibit; return what is wrong, a sentence each."""
    exhibit, wrong = load_exhibit(directory), []
    for kept in exhibit.files:
        path = directory / kept.path
        if path.resolve().parent != directory.resolve() or path.is_symlink():
            wrong.append(f"{kept.path} does not lie in the directory")
        elif not path.is_file():
            wrong.append(f"{kept.path} is absent")
        elif _digest(path) != kept.sha256:
            wrong.append(f"{kept.path} is not what was taken: its SHA-256 differs")
    try:
        if not read_custody(directory):
            wrong.append(f"{CUSTODY} is absent or empty")
    except ClaimError as error:
        wrong.append(error.what)
    return wrong


def _read_bounded(path: Path) -> bytes:
    most = _MAX_JSON if path.name == EXHIBIT else 256 * _MAX_JSON
    if path.stat().st_size > most:
        raise ClaimError(f"{path} is over {most:,} bytes")
    return path.read_bytes()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


Form = Literal["warc", "wacz", "html", "pdf", "image", "text"]


class FileType(NamedTuple):
    """A file type: its form, media type and file name extension."""

    form: Form
    media: str
    ending: str


_IMAGES = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "image/png", ".png"),
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg", ".jpg"),
    (re.compile(rb"GIF8[79]a"), "image/gif", ".gif"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "image/webp", ".webp"),
)
_STARTS = {
    b"PK\x03\x04": FileType("wacz", "application/wacz", ".wacz"),
    b"WARC/1.": FileType("warc", "application/warc", ".warc"),
}
_HTML = re.compile(rb"<(?:!doctype\s+html|html|head|body|title|meta|div|p|h[1-6])\b", re.IGNORECASE)
_FIX = "give a WARC, WACZ, HTML, PDF, image (PNG, JPEG, GIF, WebP) or UTF-8 text"


def detect_type(raw: bytes) -> FileType:
    """Return the type of a file by its content; raises ClaimError for other types.

    >>> [detect_type(raw).form for raw in (b"%PDF-1.7 ...", "<p>שלום".encode(), b"hello")]
    ['pdf', 'html', 'text']
    """
    for pattern, media, ending in _IMAGES:
        if pattern.match(raw):
            return FileType("image", media, ending)
    if b"%PDF-" in raw[:1024]:
        return FileType("pdf", "application/pdf", ".pdf")
    for start, known in _STARTS.items():
        if raw.startswith(start):
            return known
    if raw.startswith(b"\x1f\x8b"):
        if _decompress_start(raw).startswith(b"WARC/1."):
            return FileType("warc", "application/warc", ".warc.gz")
        raise ClaimError("a gzip file that holds no WARC", fix=_FIX)
    return _detect_text(raw)


def _detect_text(raw: bytes) -> FileType:
    if b"\0" in raw or not raw.strip():
        raise ClaimError("the file is of no known form, or empty", fix=_FIX)
    if _HTML.search(raw[:4096]):
        return FileType("html", "text/html", ".html")
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        raise ClaimError("the file is of no known form", fix=_FIX) from None
    return FileType("text", "text/plain", ".txt")


def validate_file(raw: bytes, bounds: UploadLimits | None = None) -> FileType:
    """Return a file's type and read it through; raises ClaimError if it is damaged or too big."""
    bounds = bounds or load_limits().upload
    if len(raw) > bounds.bytes:
        raise ClaimError(f"the file is over {bounds.bytes:,} bytes", fix="give a smaller one")
    sort = detect_type(raw)
    if sort.form in ("warc", "wacz"):
        for _ in archive_pages(raw, sort, bounds):
            pass
    elif sort.form == "pdf":
        open_pdf(raw, bounds)
    return sort


def archive_pages(raw: bytes, sort: FileType, bounds: UploadLimits) -> Iterator[ArchivedPage]:
    """Read the pages of a WARC, or of all the WARCs of a WACZ, whose fixity is checked."""
    if sort.form == "warc":
        yield from read_warc(raw, bounds)
        return
    any_page, left = False, bounds.unpacked
    for name, content in _members(raw, bounds):
        if name.startswith("archive/") and name.endswith((".warc", ".warc.gz")):
            any_page = True
            for page in read_warc(content, bounds):
                left -= len(page.body)
                if left < 0:
                    raise ClaimError("the WACZ unpacks to more than is read", fix="split it")
                yield page
    if not any_page:
        raise ClaimError("a zip file that is no WACZ: it has no WARC in archive/", fix=_FIX)


DAMAGED_PDF = (
    PyPdfError, ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError,
    OSError,
)  # fmt: skip
"""What pypdf raises where a PDF is damaged."""


def open_pdf(raw: bytes, bounds: UploadLimits | None = None) -> PdfReader:
    """Open a PDF; raises ClaimError if it is damaged, locked, or of too many pages."""
    bounds = bounds or load_limits().upload
    try:
        reader = PdfReader(io.BytesIO(raw))
        if reader.is_encrypted:
            raise ClaimError("the PDF is locked by a password", fix="give it without one")
        count = len(reader.pages)
    except DAMAGED_PDF:
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
                raise ClaimError(
                    "the WACZ has too many members, or one twice",
                    fix="give a sound WACZ: its software can write it again",
                )
            fixity = _fixity(archive)
            for entry in listed:
                name = entry.filename
                if name.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", name):
                    raise ClaimError(
                        "a member of the WACZ leads outside it",
                        fix="give a sound WACZ: its software can write it again",
                    )
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


def _decompress_start(raw: bytes) -> bytes:
    try:
        return zlib.decompressobj(47).decompress(raw[:4096], 64)
    except zlib.error:
        return b""


SOFTWARE = f"wavebreak/{__version__}"
_CAPTURE_CHANGES = (
    "the page was requested anew for this capture: its server saw the request, and may have "
    "answered others otherwise"
)


def capture_page(
    url: str,
    directory: Path,
    actor: Actor,
    outside: CaptureEnvironment,
    *,
    browser: Path | None = None,
    bounds: Limits | None = None,
) -> Exhibit:
    """Capture a page into a new directory: page.warc.gz, screenshot.png, rendered.html.

    `browser` is Chromium's executable, or None for no screenshot. Raises ReachError, ClaimError;
    nothing is written then.
    """
    bounds = bounds or load_limits()
    at = outside.now()
    page_capture = PageCapture(url, outside, bounds.capture)
    captured = page_capture.fetch_page()
    rendering = render(captured, browser, bounds.render)
    for _ in range(bounds.capture.rounds - 1):
        if not rendering.missing or not page_capture.fetch_requisites(rendering.missing):
            break
        rendering = render(captured, browser, bounds.render)
    directory = _new_directory(directory)
    page = captured.page()
    about = {
        "software": SOFTWARE,
        "operator": actor.who,
        "isPartOf": captured.url,
        "description": actor.why,
        "robots": "not followed: evidence is taken as people see it",
    }
    warc = encode_warc(captured.exchanges, about, at)
    files = [write_file(directory, "page.warc.gz", warc, "application/warc", "warc")]
    files += _write_rendering(directory, rendering)
    exhibit = Exhibit(
        "capture",
        captured.url,
        at,
        tuple(files),
        actor,
        _last_modified(captured),
        _details(captured, rendering) | {"led_to": page.url, "status": str(page.status)},
    )
    write_exhibit(directory, exhibit, "captured from the network", _CAPTURE_CHANGES)
    return exhibit


def add_file(
    raw: bytes,
    directory: Path,
    actor: Actor,
    at: str,
    *,
    kind: Kind = "upload",
    source: str = "",
    published: Published | None = None,
    details: dict[str, str] | None = None,
    bounds: Limits | None = None,
) -> Exhibit:
    """Add a file unchanged in a new directory, under a name with the extension of its type.

    `source` is where it is from, in words. Raises ClaimError if its form is not taken or it is
    unsound; nothing is written then.
    """
    sort = validate_file(raw, (bounds or load_limits()).upload)
    directory = _new_directory(directory)
    kept = write_file(directory, f"original{sort.ending}", raw, sort.media, "original")
    about = {"form": sort.form, "software": SOFTWARE} | (details or {})
    exhibit = Exhibit(kind, source, at, (kept,), actor, published, about)
    write_exhibit(directory, exhibit, f"taken in: {kind}", "none: the file is kept as it came")
    return exhibit


def _new_directory(directory: Path) -> Path:
    if directory.exists() and any(directory.iterdir()):
        raise ClaimError(f"{directory} is not empty", fix="give a new directory")
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def _write_rendering(directory: Path, rendering: Rendering) -> list[ExhibitFile]:
    if not rendering.screenshot:
        return []
    html = rendering.html.encode("utf-8", "replace")
    return [
        write_file(directory, "screenshot.png", rendering.screenshot, "image/png", "screenshot"),
        write_file(directory, "rendered.html", html, "text/html", "rendered"),
    ]


def _last_modified(captured: CaptureResult) -> Published | None:
    """What the server says of the page's age: it was there then at the latest, if that is true."""
    said = captured.page().headers.get("last-modified", "")
    try:
        at = parsedate_to_datetime(said).astimezone(UTC)
    except ValueError:
        return None
    return Published(None, at.isoformat().replace("+00:00", "Z"), "the server's Last-Modified")


def _details(captured: CaptureResult, rendering: Rendering) -> dict[str, str]:
    gaps = [f"{url[:200]}: {why}" for url, why in list(captured.gaps.items())[:50]]
    details = {
        "software": SOFTWARE,
        "address": captured.page().address,
        "exchanges": str(len(captured.exchanges)),
        "gaps": "; ".join(gaps) or "none",
        "screenshot": rendering.note or "complete",
    }
    missed = [url[:200] for url in rendering.missing][:20]
    return details | ({"asked_for_and_refused": " ".join(missed)} if missed else {})
