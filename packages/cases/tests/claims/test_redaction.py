"""Redacted copies: what was marked is in no byte, text, pixel or metadata of them."""

from __future__ import annotations

import io
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pypdf
import pypdfium2
import pytest
import typst
from PIL import Image, PngImagePlugin

from wavebreak.errors import ClaimError
from wavebreak_cases.claims import redaction
from wavebreak_cases.claims.exhibits import (
    Actor,
    add_file,
    append_custody,
    check_exhibit,
    load_exhibit,
    read_custody,
)
from wavebreak_cases.claims.reader import exhibit_documents
from wavebreak_cases.claims.redaction import Marks, Region, TextMark, check_copy, redact_exhibit
from wavebreak_cases.claims.review import add_label, read_labels

NOA = Actor("Noa", "here", "a customer, no party", "order 4")
ADDED = Actor("Noa", "here", "complaint of Dana Levi", "order 4")
AT = "2026-03-02T09:00:00Z"
DANA = (
    TextMark("name", "Dana Levi"),
    TextMark("phone", "+972 50-123-4567"),
    TextMark("mail", "dana.levi@home.example"),
)
SECRETS = ("dana", "levi", "1234567", "123-4567", "home.example")
LETTER = """
#set document(title: "Answer of Dana Levi", author: "Dana Levi")
#set page(width: 210mm, height: 297mm)
Bulk Co answers: we send 80,000 messages a day.

Our customer Dana Levi, +972 50-123-4567, dana.levi\\@home.example, ordered it.

Yours, DANA LEVI
"""


def exhibit(directory: Path, raw: bytes, **given: Any) -> Path:
    place = directory / "original"
    add_file(raw, place, ADDED, AT, source="from Dana Levi", **given)
    return place


def redact(source: Path, *texts: TextMark, **given: Any) -> Path:
    place = source.parent / "copy"
    redact_exhibit(source, place, Marks(texts, **given), NOA, AT)
    return place


def letter(directory: Path, text: str = LETTER) -> bytes:
    source = directory / "letter.typ"
    source.write_text(text, "utf-8")
    return bytes(typst.compile(source))


def everything(place: Path) -> str:
    """All that a reader could find in a directory: bytes, inflated streams, extracted text."""
    words = []
    for path in place.iterdir():
        raw = path.read_bytes()
        words += [raw.decode("latin-1"), raw.decode("utf-16-le", "ignore")]
        for stream in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", raw, re.DOTALL):
            try:
                words.append(zlib.decompress(stream).decode("latin-1"))
            except zlib.error:
                words.append(stream.decode("latin-1"))
        if path.suffix == ".pdf":
            reader = pypdf.PdfReader(io.BytesIO(raw))
            words += [page.extract_text() for page in reader.pages]
            words.append(str(reader.metadata))
            pages = pypdfium2.PdfDocument(raw)
            words += [page.get_textpage().get_text_range() for page in pages]
            words.append(str(pages.get_metadata_dict()))
    return "\n".join(words).casefold()


def assert_gone(place: Path) -> None:
    found = everything(place)
    assert [secret for secret in SECRETS if secret in found] == []
    assert check_exhibit(place) == []


def black(picture: Image.Image, box: tuple[float, float, float, float]) -> bool:
    wide, high = picture.size
    part = picture.convert("L").crop(
        (int(box[0] * wide), int(box[1] * high), int(box[2] * wide), int(box[3] * high))
    )
    return part.getextrema()[1] < 40  # type: ignore[operator]


def test_redacted_text_holds_marks_in_place_of_words(tmp_path: Path) -> None:
    text = (
        "We send 80,000 a day. Ask dana  levi (972-50) or +972 (50) 1234567,\n"
        "דנה dana.levi@home.example"
    )
    source = exhibit(tmp_path, text.encode())
    add_label(source, "claim", NOA, AT, "Dana Levi says so")
    made = redact_exhibit(source, tmp_path / "copy", Marks(DANA), NOA, AT)
    place = tmp_path / "copy"
    assert made.counts == {"name": 1, "phone": 1, "mail": 1}
    assert_gone(place)
    assert "80,000 a day. Ask [redacted: name]" in exhibit_documents(place)[0].text
    assert read_labels(place)[0].reason == "[redacted: name] says so"
    assert load_exhibit(place).source == "from [redacted: name]"
    assert [line.what for line in read_custody(place)] == [
        "of the original: taken in: upload",
        "of the original: confirmed as a claim",
        "redacted copy made",
    ]
    assert check_copy(place, made.counts, ()) == []
    assert check_exhibit(source) == []


def test_custody_of_a_copy_names_nothing_removed(tmp_path: Path) -> None:
    source = exhibit(tmp_path, b"80,000 a day, by Dana Levi")
    append_custody(source, NOA, AT, "shown to Dana Levi", "none, says Dana Levi")
    place = redact(source, DANA[0])
    assert_gone(place)
    told = [(line.what, line.changes) for line in read_custody(place)]
    assert ("of the original: shown to [redacted: name]", "none, says [redacted: name]") in told


def test_redacted_page_holds_no_markup(tmp_path: Path) -> None:
    page = (
        "<html><head><title>Bulk</title><meta name=author content='Dana Levi'></head><body data-x="
        "'dana.levi@home.example'><p hidden>Dana Levi</p><p>80,000 a day, by Dana Levi</p></body>"
    )
    place = redact(exhibit(tmp_path, page.encode()), DANA[0])
    assert_gone(place)
    assert "<" not in (place / redaction.TEXT).read_text()


def test_redacted_pdf_holds_neither_text_nor_pixels(tmp_path: Path) -> None:
    raw = letter(tmp_path)
    assert "dana levi" in str(pypdf.PdfReader(io.BytesIO(raw)).metadata).casefold()
    source = exhibit(tmp_path, raw)
    made = redact_exhibit(source, tmp_path / "copy", Marks(DANA), NOA, AT)
    place = tmp_path / "copy"
    assert_gone(place)
    assert made.counts == {"name": 2, "phone": 1, "mail": 1}
    assert check_copy(place, made.counts, ()) == []
    (page,) = pypdf.PdfReader(place / redaction.PDF).pages
    shown = Image.open(io.BytesIO(page.images[0].data)).convert("L")
    before = pypdfium2.PdfDocument(raw)[0]
    text = before.get_textpage()
    found = text.search("dana.levi@home.example").get_next()
    assert found is not None
    high = before.get_height()
    for index in range(found[0], found[0] + found[1]):
        left, bottom, right, top = text.get_charbox(index)
        scale = shown.width / before.get_width()
        middle = (int((left + right) / 2 * scale), int((high - (top + bottom) / 2) * scale))
        assert shown.getpixel(middle) < 40, index  # type: ignore[operator]
    assert "80,000 messages a day" in exhibit_documents(place)[0].text


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_redacted_page_that_is_turned_is_covered(tmp_path: Path, turn: int) -> None:
    writer = pypdf.PdfWriter()
    writer.append(io.BytesIO(letter(tmp_path)))
    writer.pages[0].rotate(turn)
    held = io.BytesIO()
    writer.write(held)
    place = redact(exhibit(tmp_path, held.getvalue()), *DANA)
    assert_gone(place)
    (page,) = pypdf.PdfReader(place / redaction.PDF).pages
    shown = Image.open(io.BytesIO(page.images[0].data)).convert("L").rotate(turn, expand=True)
    assert shown.height > shown.width
    dark = np.asarray(shown) < 40
    runs = [
        max(map(len, "".join("x" if d else " " for d in row).split()), default=0) for row in dark
    ]
    assert sum(run > 100 for run in runs) > 20


def test_redacted_picture_has_black_region_and_no_metadata(tmp_path: Path) -> None:
    picture, notes = Image.new("RGB", (400, 200), (250, 250, 250)), PngImagePlugin.PngInfo()
    picture.paste((10, 20, 200), (100, 50, 300, 150))
    notes.add_text("Author", "Dana Levi")
    held = io.BytesIO()
    picture.save(held, "PNG", pnginfo=notes, exif=Image.Exif())
    source = exhibit(tmp_path, held.getvalue())
    region = Region(1, (200, 200, 800, 800))
    made = redact_exhibit(source, tmp_path / "copy", Marks(DANA[:1], (region,)), NOA, AT)
    place = tmp_path / "copy"
    assert_gone(place)
    shown = Image.open(place / redaction.PICTURE)
    assert shown.info == {}
    assert black(shown, (0.2, 0.2, 0.8, 0.8))
    assert (10, 20, 200) not in {colour for _, colour in shown.getcolors() or ()}
    assert check_copy(place, made.counts, made.regions) == []
    other = (Region(1, (0, 0, 500, 1000)),)
    assert check_copy(place, {}, other) == ["redacted.png: a region of page 1 is not blank"]


def test_picture_turned_by_its_metadata_is_marked_as_it_is_seen(tmp_path: Path) -> None:
    picture, exif = Image.new("RGB", (200, 400), "white"), Image.Exif()
    picture.paste("red", (0, 0, 100, 400))
    exif[0x0112] = 6
    held = io.BytesIO()
    picture.save(held, "JPEG", exif=exif)
    place = redact(exhibit(tmp_path, held.getvalue()), regions=(Region(1, (0, 0, 1000, 500)),))
    shown = Image.open(place / redaction.PICTURE)
    assert shown.size == (400, 200)
    assert black(shown, (0, 0, 1, 0.48))


def test_marks_that_are_nowhere_are_refused(tmp_path: Path) -> None:
    source = exhibit(tmp_path, b"We send 80,000 a day.")
    for marks, words in (
        (Marks((TextMark("name", "Omer"),)), "nowhere in the text"),
        (Marks((), (Region(1, (0, 0, 10, 10)),)), "no page 1 with pixels"),
        (Marks((TextMark("text", "text"),)), "word of the marks themselves"),
        (Marks((TextMark("text", "no party"),)), "names what is to be removed"),
    ):
        with pytest.raises(ClaimError, match=words):
            redact_exhibit(source, tmp_path / "copy", marks, NOA, AT)
        assert not (tmp_path / "copy").exists()


def test_page_without_text_has_to_be_looked_at(tmp_path: Path) -> None:
    held = io.BytesIO()
    Image.new("RGB", (300, 400), "white").save(held, "PDF")
    source = exhibit(tmp_path, held.getvalue())
    with pytest.raises(ClaimError, match="page 1, which has no text that can be searched"):
        redact_exhibit(source, tmp_path / "copy", Marks(), NOA, AT)
    place = redact(source, pictures_seen=True)
    assert check_copy(place, {}, ()) == []


def test_copy_that_holds_more_is_found(tmp_path: Path) -> None:
    place = redact(exhibit(tmp_path, letter(tmp_path)), *DANA)
    (place / redaction.PDF).write_bytes(letter(tmp_path))
    wrong = check_copy(place, {"name": 3}, ())
    assert wrong[0] == "redacted.txt has 2 marks of a removed name, not 3"
    assert any("holds text or metadata" in each for each in wrong)


@pytest.mark.parametrize("kind", ["tEXt", "iTXt"])
def test_picture_of_a_copy_that_holds_more_is_found(tmp_path: Path, kind: str) -> None:
    held = io.BytesIO()
    Image.new("RGB", (30, 40), "white").save(held, "PNG")
    place = redact(exhibit(tmp_path, held.getvalue()), pictures_seen=True)
    raw = (place / redaction.PICTURE).read_bytes()
    body = b"place\0" + b"32.08 N"
    chunk = kind.encode() + body
    more = len(body).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")
    (place / redaction.PICTURE).write_bytes(raw[:-12] + more + raw[-12:])
    assert check_copy(place, {}, ()) == [f"redacted.png holds more than pixels: {kind.encode()!r}"]


def test_suggestions_are_mails_phones_and_given_names() -> None:
    text = "Ask Dana Levi or DANA LEVI: 03-555-0100, dana@home.example. On 2024-03-02: 80,000 a day"
    found = redaction.suggest(text, ["dana levi", "Omer"])
    assert found == [
        ("phone", "03-555-0100", 1), ("mail", "dana@home.example", 1), ("name", "dana levi", 2),
    ]  # fmt: skip
    with pytest.raises(ClaimError, match="is no region"):
        redaction.read_region("1:500,0,400,10")
