"""Pages of a PDF as pictures, each with its characters and where they are, by PDFium."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pypdfium2
import pypdfium2.raw as pdfium
from PIL import Image

from wavebreak.errors import ClaimError

DPI = 150
MAX_SIDE = 6_000
"""Pixels of a page's longer side; a larger page is drawn coarser."""
_MAX_CHARACTERS = 200_000
_INVISIBLE_MODES = (pdfium.FPDF_TEXTRENDERMODE_INVISIBLE, pdfium.FPDF_TEXTRENDERMODE_CLIP)
_LEAST_CONTRAST = 12
_Share = tuple[float, float, float, float]


class RenderedPage(NamedTuple):
    """A page: its picture, its size in points, its characters, and the box of each (or none).

    `seen` are the places of the characters that are drawn: not those that are invisible, or of the
    colour of what is around them. `behind` says that the page has text that is not drawn, as a scan
    has, of which a person sees a picture.
    """

    picture: Image.Image
    size: tuple[float, float]
    text: str
    character_boxes: tuple[_Share | None, ...]
    seen: frozenset[int]
    behind: bool


def render_pages(raw: bytes, most: int) -> Iterator[RenderedPage]:
    """Draw each page of a PDF; raises ClaimError where it is damaged or has more than `most`."""
    with _opened(raw, most) as document:
        for number in range(len(document)):
            yield _render(document[number])


def draw_page(raw: bytes, number: int, most: int) -> Image.Image:
    """Return the picture of one page of a PDF, by its number from 1; raises ClaimError."""
    with _opened(raw, most) as document:
        if not 1 <= number <= len(document):
            raise ClaimError(f"the PDF has no page {number}", fix="give a page that is")
        return _draw(document[number - 1])


@contextmanager
def _opened(raw: bytes, most: int) -> Iterator[pypdfium2.PdfDocument]:
    try:
        document = pypdfium2.PdfDocument(raw)
    except pypdfium2.PdfiumError:
        raise ClaimError("the PDF is damaged, or locked", fix="give a sound one") from None
    try:
        if len(document) > most:
            raise ClaimError(f"the PDF has more than {most:,} pages", fix="split it")
        if document.get_formtype():
            document.init_forms()
        yield document
    except pypdfium2.PdfiumError:
        raise ClaimError("a page of the PDF is damaged", fix="give a sound one") from None
    finally:
        document.close()


def _draw(page: pypdfium2.PdfPage) -> Image.Image:
    bitmap = page.render(scale=min(DPI / 72, MAX_SIDE / max(page.get_size())))
    picture: Image.Image = bitmap.to_pil().convert("RGB")
    bitmap.close()
    return picture


def _render(page: pypdfium2.PdfPage) -> RenderedPage:
    wide, high = page.get_size()
    picture = _draw(page)
    textpage = page.get_textpage()
    count = min(textpage.count_chars(), _MAX_CHARACTERS)
    letters, boxes = [], []
    drawn, hidden = set[int](), 0
    pixels = picture.convert("L")
    for index in range(count):
        code = pdfium.FPDFText_GetUnicode(textpage, index)
        letters.append(chr(code) if 0 < code < 0xD800 or 0xDFFF < code < 0x110000 else "\ufffd")
        boxes.append(_box(page, textpage, index, picture.size))
        if boxes[-1] is None or letters[-1].isspace():
            continue
        if _is_drawn(textpage, index) and _has_shape(pixels, boxes[-1]):
            drawn.add(index)
        else:
            hidden += 1
    textpage.close()
    page.close()
    behind = hidden > 0
    return RenderedPage(
        picture, (wide, high), "".join(letters), tuple(boxes), frozenset(drawn), behind
    )


def _is_drawn(textpage: pypdfium2.PdfTextPage, index: int) -> bool:
    """Whether a character is drawn at all: a scan's layer of text is invisible (mode 3)."""
    owner = pdfium.FPDFText_GetTextObject(textpage, index)
    if not owner:
        return True
    if pdfium.FPDFTextObj_GetTextRenderMode(owner) in _INVISIBLE_MODES:
        return False
    red, green, blue, alpha = (ctypes.c_uint() for _ in range(4))
    known = pdfium.FPDFPageObj_GetFillColor(owner, red, green, blue, alpha)
    return not known or alpha.value > 0


def _has_shape(pixels: Image.Image, box: _Share) -> bool:
    """Whether something is seen where a character is: its pixels are not of one colour."""
    wide, high = pixels.size
    left, top = int(box[0] * wide), int(box[1] * high)
    right, bottom = max(int(box[2] * wide), left + 1), max(int(box[3] * high), top + 1)
    lightest: Any = pixels.crop((left, top, right, bottom)).getextrema()
    return bool(lightest[1] - lightest[0] > _LEAST_CONTRAST)


def _box(
    page: pypdfium2.PdfPage, textpage: pypdfium2.PdfTextPage, index: int, size: tuple[int, int]
) -> _Share | None:
    """The box of a character on the drawn page; none for one without a shape."""
    ends = textpage.get_charbox(index, loose=True)
    if ends[0] == ends[2] or ends[1] == ends[3]:
        return None
    corners = [_device(page, x, y, size) for x in (ends[0], ends[2]) for y in (ends[1], ends[3])]
    across, down = [x for x, _ in corners], [y for _, y in corners]
    wide, high = size
    return min(across) / wide, min(down) / high, max(across) / wide, max(down) / high


def _device(page: pypdfium2.PdfPage, x: float, y: float, size: tuple[int, int]) -> tuple[int, int]:
    """A point of the page in pixels of its picture, whatever the page's rotation."""
    across, down = ctypes.c_int(), ctypes.c_int()
    pdfium.FPDF_PageToDevice(page, 0, 0, *size, 0, x, y, across, down)
    return across.value, down.value
