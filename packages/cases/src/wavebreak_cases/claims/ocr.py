"""Recognition of the text of pictures and scanned PDF pages, by Tesseract where it is installed.

    DIR/text.json     the words of each page that was recognised, with where they are

Tesseract runs as a process of its own: it gets pixels alone (never the file, nor an address), with
limits of time, memory and output, and in a network namespace of its own where the system allows
that. The text is stored once, when an exhibit is taken in, so that whoever reads the exhibit later
reads the same; a line of custody names the program. Without Tesseract a person reads the exhibit.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from wavebreak.errors import ClaimError
from wavebreak.extras import LazyModule
from wavebreak_cases.claims import exhibits
from wavebreak_cases.claims.config import OcrLimits, load_limits
from wavebreak_cases.claims.page_text import page_texts

if TYPE_CHECKING:
    from PIL import Image

    from wavebreak_cases.claims import pdf_pages, pictures
else:  # slow to import, and few exhibits are pictures
    pdf_pages = LazyModule("wavebreak_cases.claims.pdf_pages")
    pictures = LazyModule("wavebreak_cases.claims.pictures")

RECOGNIZED = "text.json"
INSTALL = "install Debian's tesseract-ocr with its languages heb, rus and ara, or let a person read"
_LIMITED = 'ulimit -v "$1" && ulimit -t "$2" && ulimit -f "$3" && shift 3 && exec "$@"'
_BLOCK = 512
_WORD_LEVEL = "5"
Share = tuple[float, float, float, float]


class RecognizedWord(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """A word: its text, its line on the page, and its box in thousandths of the page."""

    text: str
    line: int
    left: int
    top: int
    right: int
    bottom: int


class RecognizedPage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The words of a page by number, from 1."""

    page: int
    words: tuple[RecognizedWord, ...]

    @property
    def text(self) -> str:
        """The words, a line of the page in a line."""
        return "".join(text for text, _ in self._pieces())

    def character_boxes(self) -> list[Share | None]:
        """Return for each character of the text where its word is, as shares of the page."""
        boxes: list[Share | None] = []
        for text, word in self._pieces():
            box = None
            if word is not None:
                edges = (word.left - 3, word.top - 3, word.right + 3, word.bottom + 3)
                left, top, right, bottom = (edge / 1000 for edge in edges)
                box = (left, top, right, bottom)
            boxes += [box] * len(text)
        return boxes

    def _pieces(self) -> Iterator[tuple[str, RecognizedWord | None]]:
        last: RecognizedWord | None = None
        for word in self.words:
            if last is not None:
                yield ("\n" if word.line != last.line else " "), None
            yield word.text, word
            last = word


class RecognizedText(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was recognised: by which program, in which languages, page by page."""

    engine: str
    languages: tuple[str, ...]
    pages: tuple[RecognizedPage, ...]


class Tesseract(NamedTuple):
    """An installed Tesseract: its executable, version, and those languages that are read here."""

    path: str
    version: str
    languages: tuple[str, ...]


def needed_pages(directory: Path) -> list[int]:
    """Return the pages of an exhibit that have no text of their own; of a picture the page 1."""
    kept = exhibits.load_exhibit(directory).file("original")
    if kept is None:
        return []
    if kept.media.startswith("image/"):
        return [1]
    if kept.media != "application/pdf":
        return []
    return pages_without_text((directory / kept.path).read_bytes())


def pages_without_text(raw: bytes) -> list[int]:
    """Return the numbers of a PDF's pages that have no text."""
    return [n for n, text in enumerate(page_texts(exhibits.open_pdf(raw)), 1) if not text.strip()]


def read_recognized(directory: Path) -> RecognizedText | None:
    """Return what was recognised of an exhibit; None where nothing was."""
    path = directory / RECOGNIZED
    try:
        return msgspec.json.decode(path.read_bytes(), type=RecognizedText)
    except FileNotFoundError:
        return None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise ClaimError(f"{path} is malformed", fix="take the exhibit in again") from None


def recognize_exhibit(
    directory: Path, actor: exhibits.Actor, at: str, *, pictures_only: bool = False
) -> str:
    """Recognise the pages of an exhibit that have no text of their own, and store their words.

    Args:
        directory: The exhibit.
        actor: Who takes it in.
        at: When (RFC 3339).
        pictures_only: Leave PDFs out, which are drawn in this process and page by page.

    Returns:
        What was done or why it was not, for a person; "" where there is nothing to recognise.
    """
    if (directory / RECOGNIZED).exists() or not (pages := needed_pages(directory)):
        return describe_recognition(directory)
    kept = exhibits.load_exhibit(directory).file("original")
    limits = load_limits().ocr
    engine = find_tesseract(limits)
    if kept is None or (pictures_only and not kept.media.startswith("image/")):
        return describe_recognition(directory)
    if engine is None or not engine.languages or len(pages) > limits.pages:
        return describe_recognition(directory)
    raw = (directory / kept.path).read_bytes()
    try:
        found = tuple(
            RecognizedPage(number, tuple(_recognize(picture, engine, limits)))
            for number, picture in _page_pictures(raw, kept.media, pages)
        )
    except ClaimError as error:
        return f"not read, for a person: {error.what}"
    text = RecognizedText(engine.version, engine.languages, found)
    content = msgspec.json.encode(text) + b"\n"
    exhibits.write_file(directory, RECOGNIZED, content, "application/json", "")
    languages = ", ".join(engine.languages)
    exhibits.append_custody(
        directory,
        actor,
        at,
        f"text recognised by {engine.version} ({languages})",
        derived={RECOGNIZED: hashlib.sha256(content).hexdigest()},
    )
    return describe_recognition(directory)


def describe_recognition(directory: Path) -> str:
    """Return what was recognised of an exhibit, or why it was not; "" where nothing had to be."""
    known, limits = read_recognized(directory), load_limits().ocr
    if known is not None:
        words, languages = sum(len(p.words) for p in known.pages), ", ".join(known.languages)
        return f"{words:,} words recognised by {known.engine} ({languages}); recognition errs"
    if not (pages := needed_pages(directory)):
        return ""
    engine, why = find_tesseract(limits), "it was taken in without Tesseract: take it in again"
    if engine is None:
        why = f"Tesseract is not installed ({INSTALL})"
    elif not engine.languages:
        why = f"Tesseract has none of {', '.join(limits.languages)} ({INSTALL})"
    elif len(pages) > limits.pages:
        why = f"{len(pages):,} pages without text, over {limits.pages:,}"
    return f"not read, for a person: {why}"


def _page_pictures(raw: bytes, media: str, pages: list[int]) -> Iterator[tuple[int, Image.Image]]:
    if media.startswith("image/"):
        yield 1, pictures.open_picture(raw)
        return
    wanted = set(pages)
    for number, page in enumerate(pdf_pages.render_pages(raw, load_limits().upload.pages), 1):
        if number in wanted:
            yield number, page.picture


def find_tesseract(limits: OcrLimits | None = None) -> Tesseract | None:
    """Find Tesseract on the PATH, with those of the languages that it has; None: it is not there.

    Args:
        limits: Whose languages (None: the shipped ones).
    """
    path = shutil.which("tesseract")
    if path is None:
        return None
    limits = limits or load_limits().ocr
    try:
        version = _run([path, "--version"], b"", limits).decode("utf-8", "replace").split("\n")[0]
        listed = _run([path, "--list-langs"], b"", limits).decode("utf-8", "replace").split()
    except ClaimError:
        return None
    return Tesseract(path, version.strip()[:80], tuple(n for n in limits.languages if n in listed))


def _recognize(
    picture: Image.Image, engine: Tesseract, limits: OcrLimits
) -> Iterator[RecognizedWord]:
    """Recognise a picture's words, in the order of the page."""
    picture.thumbnail((limits.side, limits.side))
    held = io.BytesIO()
    picture.save(held, "PNG")
    command = [engine.path, "stdin", "stdout", "-l", "+".join(engine.languages), "tsv"]
    out = _run(command, held.getvalue(), limits).decode("utf-8", "replace")
    wide, high = picture.size
    lines: dict[tuple[str, ...], int] = {}
    for row in csv.DictReader(io.StringIO(out), delimiter="\t", quoting=csv.QUOTE_NONE):
        text = (row.get("text") or "").strip()
        if row.get("level") != _WORD_LEVEL or not text:
            continue
        line = tuple(str(row.get(name)) for name in ("block_num", "par_num", "line_num"))
        try:
            left, top, width, height = (int(row[n]) for n in ("left", "top", "width", "height"))
        except (KeyError, TypeError, ValueError):
            raise ClaimError("what Tesseract wrote is not understood") from None
        yield RecognizedWord(
            text[:200],
            lines.setdefault(line, len(lines)),
            max(0, 1000 * left // wide),
            max(0, 1000 * top // high),
            min(1000, 1 + 1000 * (left + width) // wide),
            min(1000, 1 + 1000 * (top + height) // high),
        )


@cache
def network_barrier() -> tuple[str, ...]:
    """The command that runs another one without a network; empty where the system has none."""
    path = shutil.which("unshare")
    if path is None:
        return ()
    barrier = (path, "--user", "--net")
    try:
        done = subprocess.run([*barrier, "true"], capture_output=True, timeout=10, check=False)  # noqa: S603 - a fixed command
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return barrier if done.returncode == 0 else ()


def _run(command: list[str], given: bytes, limits: OcrLimits) -> bytes:
    """Run Tesseract within limits; return what it wrote. Raises ClaimError."""
    bounds = (limits.memory_kb, limits.seconds, limits.output // _BLOCK + 1)
    environment = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "OMP_THREAD_LIMIT": "1"}
    if data := os.environ.get("TESSDATA_PREFIX"):
        environment["TESSDATA_PREFIX"] = data
    with tempfile.TemporaryDirectory(prefix="wavebreak-ocr-") as place:
        out = Path(place) / "out"
        whole = [
            "/bin/sh", "-c", _LIMITED, "sh", *map(str, bounds), *network_barrier(), *command,
        ]  # fmt: skip
        try:
            with out.open("wb") as sink:
                done = subprocess.run(  # noqa: S603 - the program on the PATH, and no value of a page
                    whole,
                    input=given,
                    stdout=sink,
                    stderr=subprocess.DEVNULL,
                    cwd=place,
                    env=environment,
                    timeout=2 * limits.seconds,
                    check=False,
                )
        except (OSError, subprocess.TimeoutExpired):
            raise ClaimError("Tesseract did not end within its time") from None
        if done.returncode != 0:
            raise ClaimError(f"Tesseract failed within its limits (exit code {done.returncode})")
        return out.read_bytes()[: limits.output]
