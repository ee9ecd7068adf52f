"""Text of pictures and scans: recognised by Tesseract within limits, or plainly not read."""

from __future__ import annotations

import io
import os
import shutil
from pathlib import Path

import msgspec
import pypdfium2
import pytest
from PIL import Image, ImageDraw, ImageFont

from wavebreak.errors import ClaimError
from wavebreak.reports import charts
from wavebreak_cases.claims import ocr, redaction
from wavebreak_cases.claims.config import load_limits
from wavebreak_cases.claims.exhibits import Actor, add_file, check_exhibit, read_custody
from wavebreak_cases.claims.page_text import parse_text
from wavebreak_cases.claims.reader import exhibit_documents, read
from wavebreak_cases.claims.redaction import Marks, TextMark, redact_exhibit

NOA = Actor("Noa", "here", "bulk sending", "order 4")
AT = "2026-03-02T09:00:00Z"
HEAD = (
    "level\tpage_num\tblock_num\tpar_num\tline_num\tword_num\tleft\ttop\twidth\theight\tconf\ttext"
)
FAKE = """#!/bin/sh
case "$1" in
  --version) echo "tesseract 5.0.fake"; echo " leptonica-1" ;;
  --list-langs) printf 'List of available languages:\\neng\\nheb\\n' ;;
  *) cat >/dev/null; echo "$@" >>"{log}"; env >>"{log}"; {act} ;;
esac
"""


def fake_tesseract(
    directory: Path, monkeypatch: pytest.MonkeyPatch, act: str, langs: str = ""
) -> Path:
    """Put a program on the PATH that behaves like Tesseract; return the log of its calls."""
    place = directory / "bin"
    place.mkdir()
    script = FAKE.format(log=directory / "calls", act=act)
    if langs:
        script = script.replace("eng\\nheb", langs)
    (place / "tesseract").write_text(script)
    (place / "tesseract").chmod(0o755)
    monkeypatch.setenv("PATH", f"{place}:{os.environ['PATH']}")
    return directory / "calls"


def words(*rows: tuple[int, int, int, str]) -> str:
    """Shell that prints words: line, left, top, text; each is 60 by 20 pixels."""
    lines = [
        f"5\t1\t1\t1\t{line}\t1\t{left}\t{top}\t60\t20\t90\t{text}"
        for line, left, top, text in rows
    ]
    return f"printf '%b\\n' {' '.join(repr(line) for line in [HEAD, *lines])}"


def picture(form: str = "PNG") -> bytes:
    held = io.BytesIO()
    Image.new("RGB", (600, 200), "white").save(held, form)
    return held.getvalue()


def added(directory: Path, raw: bytes) -> Path:
    place = directory / "exhibit"
    add_file(raw, place, NOA, AT, source="a chat")
    return place


OFFER = words(
    (1, 10, 10, "Bulk"), (1, 80, 10, "WhatsApp"), (1, 150, 10, "messages,"), (1, 220, 10, "80,000"),
    (1, 290, 10, "a"), (1, 300, 10, "day,"), (1, 330, 10, "no"), (1, 360, 10, "ban."),
    (2, 10, 60, "Ask"), (2, 80, 60, "Dana"), (2, 150, 60, "Levi"),
)  # fmt: skip


def test_picture_is_read_once_by_tesseract(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example")
    calls = fake_tesseract(tmp_path, monkeypatch, OFFER)
    place = added(tmp_path, picture())
    said = ocr.recognize_exhibit(place, NOA, AT)
    assert said == "11 words recognised by tesseract 5.0.fake (eng, heb); recognition errs"
    called = calls.read_text()
    assert called.splitlines()[0] == "stdin stdout -l eng+heb tsv"
    assert "proxy.example" not in called
    (document,) = exhibit_documents(place)
    assert document.text == "Bulk WhatsApp messages, 80,000 a day, no ban.\nAsk Dana Levi"
    reading = read(document, AT)
    assert reading.verdict != "benign"
    assert reading.capacities[0].count == 80_000
    assert reading.reasons[0].name == "text recognised in a picture, which errs: for a person"
    assert check_exhibit(place) == []
    line = read_custody(place)[-1]
    assert line.what == "text recognised by tesseract 5.0.fake (eng, heb)"
    assert list(line.made) == [ocr.RECOGNIZED]
    before = calls.read_text()
    assert ocr.recognize_exhibit(place, NOA, AT) == said
    assert calls.read_text() == before


def test_recognised_words_are_covered_where_marked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_tesseract(tmp_path, monkeypatch, OFFER)
    place = added(tmp_path, picture())
    ocr.recognize_exhibit(place, NOA, AT)
    marks = Marks((TextMark("name", "dana levi"),))
    with pytest.raises(ClaimError, match="no region of it is marked"):
        redact_exhibit(place, tmp_path / "copy", marks, NOA, AT)
    made = redact_exhibit(place, tmp_path / "copy", marks._replace(pictures_seen=True), NOA, AT)
    assert made.counts == {"name": 1}
    shown = Image.open(tmp_path / "copy" / redaction.PICTURE).convert("L")
    assert [shown.getpixel(at) for at in ((100, 70), (180, 70), (30, 70), (100, 20))] == [
        0, 0, 255, 255,
    ]  # fmt: skip


def test_scan_is_read_page_by_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_tesseract(tmp_path, monkeypatch, OFFER)
    place = added(tmp_path, picture("PDF"))
    assert ocr.needed_pages(place) == [1]
    with pytest.raises(ClaimError, match="a PDF without text, a scan"):
        exhibit_documents(place)
    ocr.recognize_exhibit(place, NOA, AT)
    assert exhibit_documents(place)[0].text.startswith("Bulk WhatsApp messages")


@pytest.mark.parametrize("missing", ["program", "languages"])
def test_without_tesseract_a_person_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    if missing == "program":
        monkeypatch.setenv("PATH", str(tmp_path))
        why = "Tesseract is not installed"
    else:
        fake_tesseract(tmp_path, monkeypatch, OFFER, langs="deu")
        why = "Tesseract has none of eng, heb, rus, ara"
    place = added(tmp_path, picture())
    said = ocr.recognize_exhibit(place, NOA, AT)
    assert said.startswith(f"not read, for a person: {why}")
    assert not (place / ocr.RECOGNIZED).exists()
    with pytest.raises(ClaimError, match="a picture whose text was not recognised"):
        exhibit_documents(place)


@pytest.mark.parametrize(
    "act", ["exit 3", "sleep 30", "printf 'level\\ttext\\n5\\tword\\n'", "kill -9 $$"]
)
def test_tesseract_that_fails_leaves_it_to_a_person(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    fake_tesseract(tmp_path, monkeypatch, act)
    quick = load_limits()
    place = added(tmp_path, picture())
    if act.startswith("sleep"):
        short = msgspec.structs.replace(quick, ocr=msgspec.structs.replace(quick.ocr, seconds=1))
        monkeypatch.setattr(ocr, "load_limits", lambda: short)
    said = ocr.recognize_exhibit(place, NOA, AT)
    assert said.startswith("not read, for a person: ")
    assert not (place / ocr.RECOGNIZED).exists()


def test_memory_and_output_of_tesseract_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = tmp_path / "blocks"
    script = f'ulimit -v; ulimit -t; ulimit -f >>"{blocks}"'
    calls = fake_tesseract(tmp_path, monkeypatch, script)
    limits = load_limits().ocr
    found = ocr.find_tesseract(limits)
    assert found is not None
    out = ocr._run([found.path, "stdin", "stdout"], b"", limits).split()
    assert out == [str(limits.memory_kb).encode(), str(limits.seconds).encode()]
    assert int(blocks.read_text("utf-8")) > 0
    assert calls.exists()


def test_page_without_text_in_a_pdf_is_named() -> None:
    document = parse_text("A page about gardens.")
    document.unread = (2, 3)
    reading = read(document, AT)
    assert reading.verdict == "unsure"
    assert reading.reasons[0].name == "pages without text, not read: 2, 3: for a person"


def test_real_tesseract_reads_a_drawn_offer(tmp_path: Path) -> None:
    drawn = Image.new("RGB", (1400, 200), "white")
    font = ImageFont.truetype(str(Path(charts.fonts()) / "DejaVuSans.ttf"), 44)
    ImageDraw.Draw(drawn).text((30, 60), "We send 80,000 messages a day", "black", font=font)
    held = io.BytesIO()
    drawn.save(held, "PDF", resolution=150)
    assert len(pypdfium2.PdfDocument(held.getvalue())) == 1
    place = added(tmp_path, held.getvalue())
    said = ocr.recognize_exhibit(place, NOA, AT)
    if shutil.which("tesseract") is None:
        # Most machines have no Tesseract: there the exhibit is plainly not read.
        assert said.startswith("not read, for a person: Tesseract is not installed")
        return
    assert "recognised by tesseract" in said
    assert "80,000 messages a day" in exhibit_documents(place)[0].text
