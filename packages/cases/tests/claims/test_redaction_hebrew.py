"""Redacted Hebrew: a name is in no text and no pixel of a copy, however its file holds letters."""

from __future__ import annotations

import io
import unicodedata
from pathlib import Path

import pypdf
import pytest
import typst
from PIL import Image

from wavebreak.errors import ClaimError
from wavebreak.reports import charts
from wavebreak_cases.claims import ocr, redaction
from wavebreak_cases.claims.exhibits import Actor, add_file, load_exhibit
from wavebreak_cases.claims.ocr import RecognizedPage, RecognizedWord
from wavebreak_cases.claims.redaction import Marks, Region, TextMark, check_copy, redact_exhibit
from wavebreak_cases.claims.term_search import find_term, fold_letters, hides_term

NOA = Actor("Noa", "here", "a customer, no party", "order 4")
AT = "2026-03-02T09:00:00Z"
NAME = TextMark("name", "דנה לוין")
PHONE = TextMark("phone", "050-1234567")
HEAD = '#set page(width: 300pt, height: 200pt, margin: 20pt)\n#set text(font: "DejaVu Sans")\n'


def pdf(directory: Path, body: str, head: str = HEAD) -> bytes:
    source = directory / "page.typ"
    source.write_text(head + body, "utf-8")
    return bytes(typst.compile(source, root=directory, font_paths=[charts.fonts()]))


def letters_apart(line: str, y: int, *, backwards: bool) -> str:
    """A line of Hebrew, each letter placed by itself, from right to left as a reader sees it."""
    placed = [
        f"#place(top + left, dx: {240 - 9 * n}pt, dy: {y}pt)[{letter}]"
        for n, letter in enumerate(line)
        if letter != " "
    ]
    return "\n".join(reversed(placed) if backwards else placed)


PAGES = {
    "as words": '#set text(lang: "he")\nהלקוחה שלנו דנה לוין הזמינה, טלפון 050-1234567.',
    "over two lines": '#set text(lang: "he")\nבברכה רבה, דנה\\ לוין הזמינה, 050-1234567',
    "letter by letter": letters_apart("שלנו דנה לוין", 0, backwards=False) + "\n\n\n050-1234567",
    "from left to right": letters_apart("שלנו דנה לוין", 0, backwards=True) + "\n\n\n050-1234567",
    "two lines backwards": letters_apart("שלנו דנה", 0, backwards=True)
    + "\n" + letters_apart("לוין הזמינה", 20, backwards=True)
    + "\n#place(top + left, dy: 90pt)[050-1234567]",
}  # fmt: skip


def added(directory: Path, raw: bytes) -> Path:
    place = directory / "original"
    add_file(raw, place, NOA, AT, source="a letter")
    return place


def left(place: Path) -> str:
    """All letters of a copy's words, with those backwards."""
    words = "".join(p.read_text("utf-8") for p in place.iterdir() if p.suffix in (".txt", ".json"))
    letters = fold_letters(words).letters
    return f"{letters} {letters[::-1]}"


def is_black(place: Path, box: tuple[int, int, int, int]) -> bool:
    """Whether a part of the first page, in points, has black from edge to edge."""
    page = pypdf.PdfReader(place / redaction.PDF).pages[0]
    shown = Image.open(io.BytesIO(page.images[0].data)).convert("L")
    scale = shown.width / 300
    crop = shown.crop(tuple(int(edge * scale) for edge in box))  # type: ignore[arg-type]
    dark = sum(pixel < 60 for pixel in crop.tobytes())
    return dark > 0.8 * crop.width * crop.height


@pytest.mark.parametrize("kind", PAGES)
def test_hebrew_name_is_in_no_word_of_a_copy(tmp_path: Path, kind: str) -> None:
    source = added(tmp_path, pdf(tmp_path, PAGES[kind]))
    made = redact_exhibit(source, tmp_path / "copy", Marks((NAME, PHONE)), NOA, AT)
    place = tmp_path / "copy"
    gone = left(place)
    for words in ("דנה", "לוינ", "1234567"):
        assert words not in gone, words
    assert made.covered == (1,)
    assert made.counts["name"] >= 1
    assert check_copy(place, made.counts, ()) == []


@pytest.mark.parametrize("backwards", [False, True])
def test_letters_of_a_name_are_black(tmp_path: Path, backwards: bool) -> None:
    source = added(tmp_path, pdf(tmp_path, letters_apart("שלנו דנה לוין", 0, backwards=backwards)))
    redact_exhibit(source, tmp_path / "copy", Marks((NAME,)), NOA, AT)
    # "דנה" begins 9 pt a letter after "שלנו ", at 20 + 240 - 45 pt from the left.
    assert is_black(tmp_path / "copy", (200, 21, 216, 28))
    assert not is_black(tmp_path / "copy", (230, 21, 266, 28))


def test_words_under_a_region_are_not_in_the_text(tmp_path: Path) -> None:
    source = added(tmp_path, pdf(tmp_path, "The price is 40. Ask Dana Levi.\n\nWe send bulk."))
    marks = Marks((), (Region(1, (0, 0, 1000, 180)),))
    redact_exhibit(source, tmp_path / "copy", marks, NOA, AT)
    text = (tmp_path / "copy" / redaction.TEXT).read_text()
    assert "Dana" not in text
    assert "We send bulk." in text
    assert redaction.REGION in text


def test_text_that_is_not_seen_is_not_copied(tmp_path: Path) -> None:
    hidden = "#text(fill: white)[Zohar Katz]\n\n#text(fill: rgb(0, 0, 0, 0))[Zohar Katz]\n\nBulk."
    source = added(tmp_path, pdf(tmp_path, hidden))
    with pytest.raises(ClaimError, match="text is behind a picture"):
        redact_exhibit(source, tmp_path / "copy", Marks((TextMark("text", "Bulk"),)), NOA, AT)
    marks = Marks((TextMark("text", "Bulk"),), pictures_seen=True)
    redact_exhibit(source, tmp_path / "copy", marks, NOA, AT)
    assert "zohar" not in left(tmp_path / "copy")


def test_scan_with_a_layer_of_text_has_to_be_looked_at(tmp_path: Path) -> None:
    Image.new("RGB", (600, 400), "white").save(tmp_path / "scan.png")
    layer = (
        '#place(top + left, image("scan.png", width: 260pt))\n'
        '#text(lang: "he", fill: rgb(0, 0, 0, 0))[דנה לוין]'
    )
    source = added(tmp_path, pdf(tmp_path, layer))
    with pytest.raises(ClaimError, match="no text that can be searched"):
        redact_exhibit(source, tmp_path / "copy", Marks((NAME,)), NOA, AT)
    made = redact_exhibit(source, tmp_path / "copy", Marks((NAME,), pictures_seen=True), NOA, AT)
    assert made.covered == (1,)
    assert {entry.path for entry in load_exhibit(tmp_path / "copy").files} == {redaction.PDF}
    assert check_copy(tmp_path / "copy", made.counts, ()) == []


def test_letters_that_run_on_leave_no_text(tmp_path: Path) -> None:
    source = added(tmp_path, pdf(tmp_path, "The television of Bob."))
    marks = Marks((TextMark("name", "Levi"), TextMark("name", "Bob")))
    with pytest.raises(ClaimError, match="run on without spaces"):
        redact_exhibit(source, tmp_path / "copy", marks, NOA, AT)
    second = tmp_path / "more"
    second.mkdir()
    again = added(second, pdf(tmp_path, "Levi of television."))
    with pytest.raises(ClaimError, match="run on without spaces"):
        redact_exhibit(again, tmp_path / "copy", Marks(marks.texts[:1]), NOA, AT)
    looked = Marks(marks.texts[:1], pictures_seen=True)
    made = redact_exhibit(again, tmp_path / "copy", looked, NOA, AT)
    assert not (tmp_path / "copy" / redaction.TEXT).exists()
    assert check_copy(tmp_path / "copy", made.counts, ()) == []


def test_recognised_words_of_a_region_are_not_kept() -> None:
    words = (RecognizedWord("דנה", 1, 800, 0, 900, 50), RecognizedWord("Bulk", 2, 0, 500, 99, 550))
    page = RecognizedPage(1, words)
    assert len(page.character_boxes()) == len(page.text)
    assert page.character_boxes()[:4] == [(0.797, -0.003, 0.903, 0.053)] * 3 + [None]
    assert ocr.RECOGNIZED


@pytest.mark.parametrize(
    "text",
    [
        "דנה לוין", "לוין דנה", "דנהלוין", "שלנודנהלויןביקשה", "ד נ ה  ל ו י ן", "ןיול הנד",
        "הנד ןיול", "דָּנָה לֵוִין", "\u202bדנה\u202c לו\u200fין", "לדנה לוין,", "דנה\nלוין", "דנה לוינ",
        unicodedata.normalize("NFC", "דנה ל\ufb4bין"),
    ],
)  # fmt: skip
def test_hebrew_name_is_found_however_it_is_written(tmp_path: Path, text: str) -> None:
    assert find_term(text, "דנה לוין")
    source = added(tmp_path, f"We send bulk. {text}".encode())
    redact_exhibit(source, tmp_path / "copy", Marks((NAME,)), NOA, AT)
    gone = left(tmp_path / "copy")
    assert "דנה" not in gone
    assert "לוינ" not in gone


@pytest.mark.parametrize("text", ["שהלוינציה", "דני לוין", "יולי", "לוי"])
def test_other_words_are_no_names(text: str) -> None:
    assert find_term(text, "דנה לוין") == []
    assert not hides_term(text, "דנה לוין")


def test_suggested_numbers_of_a_page_can_all_be_removed(tmp_path: Path) -> None:
    page = (
        "<html><body><p>Call 03-555-0100 or 03 555 0100 or (03) 5550100.</p><p>+972501234567, "
        "972501234567, +972 50-123-4567, 00972501234567</p><p>a.dana@x.example dana@x.example"
        "</p></body></html>"
    )
    source = added(tmp_path, page.encode())
    text = redaction.exhibit_text(source)
    suggested = redaction.suggest(text)
    assert len(suggested) >= 7
    marks = Marks(tuple(TextMark(each.what, each.text) for each in suggested))
    made = redact_exhibit(source, tmp_path / "copy", marks, NOA, AT)
    kept = (tmp_path / "copy" / redaction.TEXT).read_text()
    assert "123" not in kept
    assert "555" not in kept
    assert "dana" not in kept
    assert made.counts == {"phone": 7, "mail": 2}
    assert check_copy(tmp_path / "copy", made.counts, ()) == []
