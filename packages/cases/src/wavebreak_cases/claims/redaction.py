"""Redacted copies of exhibits: text without what a person marked, pages and pictures without it.

A copy is made anew and never by covering: of a page or a text its words alone, of a picture its
pixels alone, of a PDF a picture of each page. So nothing of the original is under a black box, in
a layer of text, in metadata, or in an earlier revision of the file. What was not copied is named.

    DIR/redacted.txt     the words, with a mark in place of each removal; of a PDF or a picture
                         those that are still seen there, and none where that is in doubt
    DIR/redacted.pdf     pictures of the pages
    DIR/redacted.png     a picture
"""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from html import unescape
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args
from urllib.parse import unquote

import msgspec
from PIL import Image, ImageDraw
from pypdf import PdfReader, PdfWriter
from pypdf.generic import (
    ArrayObject,
    DecodedStreamObject,
    DictionaryObject,
    FloatObject,
    NameObject,
    NumberObject,
    StreamObject,
)

from wavebreak.errors import ClaimError
from wavebreak.languages import is_right_to_left, letter_directions
from wavebreak_cases.claims import exhibits, ocr, pdf_pages, term_search
from wavebreak_cases.claims.page_text import page_texts
from wavebreak_cases.claims.personal_data import find_personal_data
from wavebreak_cases.claims.pictures import open_picture
from wavebreak_cases.claims.reader import exhibit_documents
from wavebreak_cases.claims.review import LABELS, read_labels

TEXT, PICTURE, PDF = "redacted.txt", "redacted.png", "redacted.pdf"
REGION = "[redacted: region]"
MAX_PAGES = 200
SOFT = 8
"""Pixels along the edges of a region that are not checked: JPEG blurs them."""
UNIFORM = 24
"""How far the pixels of a removed region may differ, by the same reason."""
_MIN_DIGITS = 5
"""From how many digits a number is searched in any grouping."""

What = Literal["phone", "mail", "identity", "address", "name", "text"]
MARK = re.compile(rf"\[redacted: ({'|'.join(get_args(What))})\]")
Share = tuple[float, float, float, float]
"""Left, top, right, bottom as shares of a page's or picture's width and height."""
Box = tuple[int, int, int, int]
"""Left, top, right, bottom in thousandths of a page's or picture's width and height."""


class TextMark(NamedTuple):
    """Words to remove wherever they are, in any case and spacing; a number in any grouping."""

    what: What
    text: str


class Region(NamedTuple):
    """A part of a page to remove; of a picture the page is 1."""

    page: int
    box: Box


def read_region(said: str) -> Region:
    """Read a region as a person writes it: page, then left, top, right, bottom in thousandths.

    >>> read_region("2:100,200,400,260")
    Region(page=2, box=(100, 200, 400, 260))
    """
    found = re.fullmatch(r"(\d{1,4}):(\d{1,4}),(\d{1,4}),(\d{1,4}),(\d{1,4})", said.strip())
    page, left, top, right, bottom = map(int, found.groups()) if found else (0,) * 5
    if not page or not (left < right <= 1000 and top < bottom <= 1000):
        raise ClaimError(
            f"{said[:40]} is no region",
            fix="write PAGE:LEFT,TOP,RIGHT,BOTTOM in thousandths, like 1:100,200,400,260",
        )
    return Region(page, (left, top, right, bottom))


class Suggestion(NamedTuple):
    """What may be personal data: its kind, the words, and how often they are there."""

    what: What
    text: str
    times: int


class Marks(NamedTuple):
    """What a person marked.

    `pictures_seen` says that a person looked at the pictures and pages that cannot be searched, and
    that they show nothing to remove but the regions.
    """

    texts: tuple[TextMark, ...] = ()
    regions: tuple[Region, ...] = ()
    pictures_seen: bool = False


class RedactedCopy(NamedTuple):
    """What was removed: words by kind, regions; and the files of the original without a copy.

    `covered` are the numbers of the pages and pictures of which a part is black.
    """

    counts: dict[What, int]
    regions: tuple[Region, ...]
    left_out: tuple[str, ...]
    covered: tuple[int, ...] = ()


_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")


def mark_pattern(mark: TextMark) -> re.Pattern[str]:
    r"""Return what finds a mark in a text.

    >>> bool(mark_pattern(TextMark("phone", "03-555-0100")).search("call +972 (3) 5550100"))
    False
    >>> bool(mark_pattern(TextMark("phone", "03-555-0100")).search("call 03 555 0100."))
    True
    >>> bool(mark_pattern(TextMark("name", "Dana Levi")).search("DANA\n LEVI"))
    True
    """
    if _is_number(mark):
        digits = re.sub(r"\D", "", mark.text)
        if digits:
            start = r"(?:\+|(?<!\d))\(?" if mark.text.strip().startswith("+") else r"(?<!\d)\(?"
            return re.compile(start + r"[\s().\-‑–]*".join(digits) + r"(?!\d)")
    words = [re.escape(word) for word in mark.text.split()]
    if not words:
        raise ClaimError("an empty mark", fix="give the words to remove")
    # In Hebrew and Arabic prepositions are written together with a name.
    first, last = mark.text.strip()[0], mark.text.strip()[-1]
    joined = is_right_to_left(first)
    before = r"(?<!\w)" if first.isalnum() and not joined else ""
    after = r"(?!\w)" if last.isalnum() else ""
    pattern = re.compile(before + r"\s+".join(words) + after, re.IGNORECASE)
    if any(pattern.search(f"[redacted: {what}]") for what in get_args(What)):
        raise ClaimError(f"“{mark.text}” is a word of the marks themselves", fix="mark more words")
    return pattern


def find_mark(
    mark: TextMark, text: str, folded: term_search.FoldedText | None = None
) -> list[tuple[int, int]]:
    """Return where a mark is in a text: by its pattern, and however it is written there.

    >>> find_mark(TextMark("name", "דנה לוין"), "מאת ןיול הנד")
    [(4, 12)]
    """
    found = [match.span() for match in mark_pattern(mark).finditer(text)]
    return sorted(
        {*found, *term_search.find_term(folded or text, mark.text, number=_is_number(mark))}
    )


def _is_number(mark: TextMark) -> bool:
    """Whether only the digits of a mark count, in any grouping."""
    digits = len(re.sub(r"\D", "", mark.text))
    return digits >= _MIN_DIGITS and (
        mark.what == "phone" or (mark.what == "identity" and not re.search(r"[^\W\d_]", mark.text))
    )


def names_mark(marks: Iterable[TextMark], text: str) -> bool:
    """Whether a text holds one of the marks, also as addresses, HTML and JSON encode characters.

    >>> mark = TextMark("mail", "dana@home.example")
    >>> names_mark([mark], "?to=dana%40home.example"), names_mark([mark], "dana&#64;home.example")
    (True, True)
    """
    known = tuple(marks)
    for form in dict.fromkeys((text, unquote(text), unescape(text), _ESCAPE.sub(_unescaped, text))):
        folded = term_search.FoldedText.of(form)
        if any(find_mark(mark, form, folded) for mark in known):
            return True
    return False


def _unescaped(escape: re.Match[str]) -> str:
    return chr(int(escape[1], 16))


def suggest(text: str, names: Iterable[str] = ()) -> list[Suggestion]:
    """Return what may be personal data in a text, and where names are that are given.

    >>> suggest("Ask Dana: dana@shop.example or 03-555-0100", ["dana"])[0]
    Suggestion(what='mail', text='dana@shop.example', times=1)
    """
    found: dict[tuple[What, str], int] = {}
    for what, start, end in find_personal_data(text):
        key: tuple[What, str] = (what, text[start:end])
        found[key] = found.get(key, 0) + 1
    for name in names:
        spans = find_mark(TextMark("name", name), text)
        count = len(term_search.merge_spans((*span, "name") for span in spans))
        if count:
            found["name", name] = count
    return [Suggestion(what, words, count) for (what, words), count in found.items()]


def exhibit_text(directory: Path) -> str:
    """Return all that can be read of an exhibit; "" where nothing can."""
    try:
        return "\n\n".join(document.text for document in exhibit_documents(directory))
    except ClaimError:
        return ""


class PagePictures(NamedTuple):
    """The pages of an exhibit that can be drawn: how many, and which have no text to search."""

    total: int
    without_text: tuple[int, ...]


def page_pictures(directory: Path) -> PagePictures:
    """Return which pages of an exhibit can be drawn; of a picture or a screenshot the page 1."""
    kept = _drawn_file(directory)
    if kept is None:
        return PagePictures(0, ())
    if kept.media != "application/pdf":
        return PagePictures(1, (1,))
    texts = page_texts(exhibits.open_pdf((directory / kept.path).read_bytes()))
    bare = tuple(number for number, text in enumerate(texts, 1) if not text.strip())
    return PagePictures(len(texts), bare)


def draw_page(directory: Path, number: int) -> bytes:
    """Return a page of an exhibit as a PNG picture, as a redacted copy draws it.

    Args:
        directory: The exhibit.
        number: The page, from 1.

    Raises:
        ClaimError: There is no such page, or it cannot be drawn.
    """
    kept = _drawn_file(directory)
    if kept is None or (kept.media != "application/pdf" and number != 1):
        raise ClaimError(f"the exhibit has no page {number} with pixels", fix="give a page that is")
    raw = (directory / kept.path).read_bytes()
    if kept.media == "application/pdf":
        return _encode(pdf_pages.draw_page(raw, number, MAX_PAGES), "PNG")
    return _encode(open_picture(raw), "PNG")


def _drawn_file(directory: Path) -> exhibits.ExhibitFile | None:
    for entry in exhibits.load_exhibit(directory).files:
        is_picture = entry.media.startswith("image/") and entry.role in ("original", "screenshot")
        if is_picture or (entry.media == "application/pdf" and entry.role == "original"):
            return entry
    return None


def copy_pictures(directory: Path, numbers: Iterable[int]) -> dict[int, tuple[bytes, str]]:
    """Return pages of a redacted copy as it holds them: by number, a picture and its media type."""
    if (directory / PICTURE).exists():
        raw = (directory / PICTURE).read_bytes()
        return {1: (raw, "image/png")} if 1 in set(numbers) else {}
    if not (directory / PDF).exists():
        return {}
    pages = PdfReader(io.BytesIO((directory / PDF).read_bytes())).pages
    return {n: (pages[n - 1].images[0].data, "image/jpeg") for n in numbers if n <= len(pages)}


def redact_exhibit(
    source: Path, target: Path, marks: Marks, actor: exhibits.Actor, at: str
) -> RedactedCopy:
    """Make a redacted copy of an exhibit in a new directory.

    Args:
        source: The exhibit. It is not changed.
        target: The new directory.
        marks: What a person marked.
        actor: Who redacts.
        at: When (RFC 3339).

    Returns:
        What was removed.

    Raises:
        ClaimError: A mark is nowhere in it, a picture was not looked at, or the copy still holds
            what was to be removed.
    """
    for said in (actor.who, actor.where, actor.why, actor.authority):
        if names_mark(marks.texts, said):
            raise ClaimError(
                f"“{said[:80]}” names what is to be removed", fix="say why without naming it"
            )
    original = exhibits.load_exhibit(source)
    worker = _Redactor(source, original, marks)
    contents = worker.make()
    target.mkdir(parents=True)
    try:
        files = tuple(
            exhibits.write_file(target, name, content, media, role)
            for name, (content, media, role) in contents.items()
        )
        _write_about(source, target, original, files, worker, actor, at)
        check_absent(target, marks.texts)
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise
    kept = {entry.path for entry in original.files if entry.role in worker.copied}
    left_out = tuple(entry.path for entry in original.files if entry.path not in kept)
    covered = tuple(sorted(worker.covered))
    return RedactedCopy(worker.counts, marks.regions, left_out, covered)


class _PageText(NamedTuple):
    """The characters of a page with the box of each, and which of them are black in the copy."""

    text: str
    boxes: Sequence[Share | None]
    kinds: dict[int, What]

    def covered(self) -> list[Share]:
        """Return where marked characters are: a word is one box, which shows no letter's width."""
        boxes = [box for n in self.kinds if (box := self.boxes[n]) is not None]
        joined: list[Share] = []
        for left, top, right, bottom in sorted(boxes, key=lambda box: (box[1] + box[3], box[0])):
            for n, (first, high, last, low) in enumerate(joined):
                reach, level = bottom - top, min(low, bottom) - max(high, top)
                near = first - reach <= right and left <= last + reach
                if near and level > 0.5 * reach:
                    joined[n] = (
                        min(first, left),
                        min(high, top),
                        max(last, right),
                        max(low, bottom),
                    )
                    break
            else:
                joined.append((left, top, right, bottom))
        return joined


class _Redactor:
    """Makes the files of one redacted copy, and counts what it removes."""

    def __init__(self, source: Path, original: exhibits.Exhibit, marks: Marks) -> None:
        self.source, self.original, self.marks = source, original, marks
        for mark in marks.texts:
            mark_pattern(mark)  # one that cannot be searched is refused before all else
        self.counts: dict[What, int] = {}
        self.found: set[TextMark] = set()
        self.used: set[Region] = set()
        self.copied: set[str] = set()
        self.covered: set[int] = set()
        self.seen: list[str] = []
        self.doubtful = False
        recognized = ocr.read_recognized(source)
        self.recognized = {page.page: page for page in recognized.pages} if recognized else {}

    def make(self) -> dict[str, tuple[bytes, str, str]]:
        """Return the files by name: content, media type, role."""
        made: dict[str, tuple[bytes, str, str]] = {}
        pictures = list(self._pictures())
        text = self._text(pictures=any(role == "original" for *_, role in pictures))
        if text:
            made[TEXT] = (text.encode(), "text/plain", "text")
            if any(entry.role in ("rendered", "warc") for entry in self.original.files):
                self.copied.add("rendered")
            elif not pictures:
                self.copied.add("original")
        for name, content, media, role in pictures:
            made[name] = (content, media, role)
            self.copied.add(role)
        lines = exhibits.read_custody(self.source)
        for said in (self.original.source, *(f"{line.what}\n{line.why}" for line in lines)):
            self.clean(said)
        self._require_all_found()
        if not made:
            raise ClaimError(
                "nothing of the exhibit can be copied",
                fix="it has no text and no picture: leave it out of the case",
            )
        return made

    def _text(self, *, pictures: bool) -> str:
        """The text of the copy: of pages and pictures what is still seen, else the cleaned words.

        A file may hold its text in another order than it shows it, or text that it does not show.
        """
        if not pictures and self.covered and not self.marks.texts:
            return ""  # what a region of a screenshot hides is in its page's words, too
        if not pictures:
            return self.clean(exhibit_text(self.source), count=True)
        text = "\n\n".join(filter(None, self.seen))
        if self.doubtful or names_mark(self.marks.texts, text):
            return ""
        return text

    def _require_all_found(self) -> None:
        missing = [mark for mark in self.marks.texts if mark not in self.found]
        if missing and not (self.marks.pictures_seen or self.marks.regions):
            raw = exhibit_text(self.source)
            if any(find_mark(mark, raw) for mark in missing):
                raise _not_seen(f"“{missing[0].text[:60]}”, which the file's text holds somewhere,")
        elif missing:
            raw = exhibit_text(self.source)
            missing = [mark for mark in missing if not find_mark(mark, raw)]
        if missing:
            raise ClaimError(
                f"“{missing[0].text[:60]}” is nowhere in the text of the exhibit",
                fix="correct it; where it is in a picture, mark its region",
                code="mark-not-found",
            )
        if unused := [region for region in self.marks.regions if region not in self.used]:
            raise ClaimError(
                f"the exhibit has no page {unused[0].page} with pixels", fix="give a page that is"
            )

    def _spans(self, text: str) -> list[tuple[int, int, str]]:
        """Where marks are in a text, each searched in the text as it is."""
        folded, spans = term_search.FoldedText.of(text), list[tuple[int, int, str]]()
        for mark in self.marks.texts:
            found = find_mark(mark, text, folded)
            if found:
                self.found.add(mark)
            spans += [(*span, mark.what) for span in found]
        return term_search.merge_spans(spans)

    def clean(self, text: str, *, count: bool = False) -> str:
        """Return a text without what is marked; `count` counts it as of the exhibit's text."""
        pieces, last = [], 0
        for start, end, what in self._spans(text):
            pieces += [text[last:start], f"[redacted: {what}]"]
            last = end
            if count:
                self._count(what)
        return "".join([*pieces, text[last:]])

    def _count(self, what: Any) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1

    def _pictures(self) -> Iterator[tuple[str, bytes, str, str]]:
        for entry in self.original.files:
            path = self.source / entry.path
            if entry.role == "original" and entry.media == "application/pdf":
                yield PDF, self._pdf(path.read_bytes()), "application/pdf", "original"
            elif entry.media.startswith("image/") and entry.role in ("original", "screenshot"):
                regions = [region for region in self.marks.regions if region.page == 1]
                if not regions and not self.marks.pictures_seen:
                    if entry.role == "screenshot":
                        continue
                    raise _not_seen("the picture")
                self.used.update(regions)
                boxes = [_share(region.box) for region in regions]
                if entry.role == "original":
                    boxes += self._recognized(1, boxes)
                self.covered |= {1} if boxes else set()
                picture = _encode(_cover(open_picture(path.read_bytes()), boxes), "PNG")
                yield PICTURE, picture, "image/png", entry.role

    def _recognized(self, number: int, regions: Sequence[Share]) -> list[Share]:
        """Where recognised words of a page are that are marked; keeps the words that are seen."""
        known = self.recognized.get(number)
        if known is None:
            return []
        page = self._mark(known.text, known.character_boxes())
        self.doubtful |= self._keep_seen(page, [*regions, *page.covered()])
        return page.covered()

    def _mark(self, text: str, boxes: Sequence[Share | None]) -> _PageText:
        """Find marks on a page: in the order of its file, and as its characters stand."""
        kinds: dict[int, What] = {}
        for start, end, what in self._spans(text):
            kinds |= dict.fromkeys(range(start, end), what)  # type: ignore[arg-type]
        for mark in self.marks.texts:
            for reading in self._readings(mark, text, boxes):
                for start, end in find_mark(mark, reading.text):
                    self.found.add(mark)
                    for place in reading.places[start:end]:
                        if place >= 0:
                            kinds.setdefault(place, mark.what)
        return _PageText(text, boxes, kinds)

    def _readings(self, mark: TextMark, text: str, boxes: Sequence[Share | None]) -> Iterator[Any]:
        """The readings in which a mark can be: a word of Hebrew is read from right to left."""
        leftward = is_right_to_left(mark.text)
        if leftward:
            yield from term_search.visual_readings(text, boxes, leftward=True)
        if not leftward or "ltr" in letter_directions(mark.text):
            yield from term_search.visual_readings(text, boxes, leftward=False)

    def _keep_seen(self, page: _PageText, black: Sequence[Share]) -> bool:
        """Keep the text of a page that is still seen; return whether a mark may be hidden in it."""
        pieces: list[str] = []
        kept: list[int] = []
        last = ""
        for n, char in enumerate(page.text):
            cover = _cover_of(page, n, black)
            if cover is None:
                continue
            if not cover:
                kept.append(n)
                pieces.append(char)
            elif cover == REGION and last != REGION:
                pieces.append(REGION)
            elif cover not in (REGION, last):
                pieces.append(f"[redacted: {cover}]")
                self._count(cover)
            last = cover if cover or not char.isspace() else last
        self.seen.append(_tidy("".join(pieces)))
        words = "".join(page.text[n] for n in kept)
        boxes = [page.boxes[n] for n in kept]
        return any(
            term_search.hides_term(text, mark.text, number=_is_number(mark))
            for mark in self.marks.texts
            for text in (words, *(r.text for r in self._readings(mark, words, boxes)))
        )

    def _pdf(self, raw: bytes) -> bytes:
        pages = []
        for number, page in enumerate(pdf_pages.render_pages(raw, MAX_PAGES), 1):
            own = [region for region in self.marks.regions if region.page == number]
            self.used.update(own)
            regions = [_share(region.box) for region in own]
            looked = bool(own) or self.marks.pictures_seen
            boxes = regions + self._recognized(number, regions)
            marked = self._mark(page.text, page.character_boxes)
            boxes += marked.covered()
            # Where the file's text is not what is drawn, only a person can say what a page shows.
            if not page.seen and not looked:
                raise _not_seen(f"page {number}, which has no text that can be searched,")
            if page.behind and not looked:
                raise _not_seen(f"page {number}, whose text is behind a picture,")
            if page.seen:
                seen = [box if n in page.seen else None for n, box in enumerate(marked.boxes)]
                hidden = self._keep_seen(marked._replace(boxes=seen), boxes)
                self.doubtful = self.doubtful or hidden
                if hidden and not looked:
                    raise _not_seen(f"page {number}, on which a mark may run on without spaces,")
            self.covered |= {number} if boxes else set()
            pages.append((_cover(page.picture, boxes), page.size))
        return _picture_pdf(pages)


def _cover_of(page: _PageText, n: int, black: Sequence[Share]) -> str | None:
    """Return what covers a character: its kind of mark, `REGION`, "", or None: it has no shape."""
    box = page.boxes[n]
    if n in page.kinds:
        return page.kinds[n]
    if box is not None and any(_holds(each, box) for each in black):
        return REGION
    return "" if box is not None or page.text[n].isspace() else None


def _holds(outer: Share, box: Share) -> bool:
    """Whether the middle of a character is in a part that is black."""
    across, down = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return outer[0] <= across <= outer[2] and outer[1] <= down <= outer[3]


def _tidy(text: str) -> str:
    lines = (" ".join(line.split()) for line in text.splitlines())
    return "\n".join(line for line in lines if line)


def _not_seen(what: str) -> ClaimError:
    return ClaimError(
        f"{what} cannot be searched, and no region of it is marked",
        fix="mark regions; or say that a person looked and it shows nothing more to remove",
        code="pictures-not-seen",
    )


def _share(box: Box) -> Share:
    left, top, right, bottom = (value / 1000 for value in box)
    return left, top, right, bottom


def _cover(picture: Image.Image, boxes: Iterable[tuple[float, float, float, float]]) -> Image.Image:
    wide, high = picture.size
    draw = ImageDraw.Draw(picture)
    for left, top, right, bottom in boxes:
        corner = (int(left * wide) - 1, int(top * high) - 1)
        draw.rectangle((*corner, int(right * wide) + 1, int(bottom * high) + 1), fill="black")
    return picture


def _encode(picture: Image.Image, form: str) -> bytes:
    held = io.BytesIO()
    picture.save(held, form, **({"quality": 85} if form == "JPEG" else {}))
    return held.getvalue()


def _picture_pdf(pages: Sequence[tuple[Image.Image, tuple[float, float]]]) -> bytes:
    """A PDF of pictures alone: no text, no metadata, the same bytes for the same pictures."""
    writer = PdfWriter()
    writer.metadata = None
    for picture, (wide, high) in pages:
        page = writer.add_blank_page(wide, high)
        image: Any = StreamObject()
        image.set_data(_encode(picture, "JPEG"))
        image.update(
            {
                NameObject("/Type"): NameObject("/XObject"),
                NameObject("/Subtype"): NameObject("/Image"),
                NameObject("/Width"): NumberObject(picture.width),
                NameObject("/Height"): NumberObject(picture.height),
                NameObject("/ColorSpace"): NameObject("/DeviceRGB"),
                NameObject("/BitsPerComponent"): NumberObject(8),
                NameObject("/Filter"): NameObject("/DCTDecode"),
            }
        )
        content = DecodedStreamObject()
        content.set_data(f"q {wide:.2f} 0 0 {high:.2f} 0 0 cm /P Do Q".encode())
        named = DictionaryObject({NameObject("/P"): writer._add_object(image)})
        page[NameObject("/Resources")] = DictionaryObject({NameObject("/XObject"): named})
        page[NameObject("/Contents")] = writer._add_object(content)
        page[NameObject("/MediaBox")] = ArrayObject(
            [NumberObject(0), NumberObject(0), FloatObject(wide), FloatObject(high)]
        )
    held = io.BytesIO()
    writer.write(held)
    return held.getvalue()


def _write_about(
    source: Path,
    target: Path,
    original: exhibits.Exhibit,
    files: tuple[exhibits.ExhibitFile, ...],
    worker: _Redactor,
    actor: exhibits.Actor,
    at: str,
) -> None:
    """Write exhibit.json, the reviews and the custody of the copy, which goes on from before."""
    form = exhibits.detect_type((target / files[0].path).read_bytes()).form
    cleaned: dict[str, Any] = {
        name: worker.clean(getattr(original.actor, name)) for name in msgspec.structs.asdict(actor)
    }
    copy = exhibits.Exhibit(
        original.kind,
        worker.clean(original.source),
        original.captured_at,
        files,
        exhibits.Actor(**cleaned),
        original.published,
        {"form": form, "redacted": at},
    )
    exhibits.write_manifest(target, copy)
    labels = [
        msgspec.structs.replace(label, exhibit=copy.id, reason=worker.clean(label.reason))
        for label in read_labels(source)
    ]
    if labels:
        lines = b"".join(msgspec.json.encode(label, order="sorted") + b"\n" for label in labels)
        (target / LABELS).write_bytes(lines)
    for line in exhibits.read_custody(source):
        who = exhibits.Actor(*map(worker.clean, (line.who, line.where, line.why, line.authority)))
        what = worker.clean(f"of the original: {line.what}")
        exhibits.append_custody(target, who, line.at, what, worker.clean(line.changes))
    exhibits.append_custody(
        target,
        actor,
        at,
        "redacted copy made",
        "what a person marked was removed; layers of text, metadata and markup are not copied",
        {entry.path: entry.sha256 for entry in files},
    )


def check_absent(directory: Path, marks: Sequence[TextMark]) -> None:
    """Check that no file of a copy holds what was marked; raises ClaimError."""
    for path in sorted(directory.iterdir()):
        raw = path.read_bytes()
        wrong: list[str] = []
        if path.suffix == ".pdf":
            wrong = _check_pdf(raw, ())
        elif path.suffix == ".png":
            wrong = list(_check_chunks(raw))
        else:
            text = raw.decode("utf-8")
            wrong = ["text"] if names_mark(marks, text) else []
        if wrong:
            raise ClaimError(
                f"{path.name} still holds what was to be removed", fix="report this as a fault"
            )


def pdf_text(raw: bytes) -> str:
    """Return all text that can be extracted of a PDF, with its metadata."""
    reader = PdfReader(io.BytesIO(raw))
    pages = [page.extract_text() for page in reader.pages]
    return "\n".join([*pages, *(str(value) for value in (reader.metadata or {}).values())])


def check_copy(directory: Path, counts: dict[What, int], regions: Sequence[Region]) -> list[str]:
    """Check what can be checked of a redacted copy without its original.

    Args:
        directory: The copy.
        counts: How many words of each kind were removed, as the case says.
        regions: The regions that were removed, as the case says.

    Returns:
        What is wrong, a sentence each.
    """
    exhibit = exhibits.load_exhibit(directory)
    names = {entry.path for entry in exhibit.files}
    wrong = [f"{name} is no file of a redacted copy" for name in names - {TEXT, PICTURE, PDF}]
    there: dict[str, int] = {}
    if TEXT in names:
        for found in MARK.finditer((directory / TEXT).read_text("utf-8")):
            there[found[1]] = there.get(found[1], 0) + 1
    # Of pages whose text was in doubt there is none, and their marks are in the pictures alone.
    worded = TEXT in names or not {PDF, PICTURE} & names
    wrong += [
        f"{TEXT} has {there.get(what, 0)} marks of a removed {what}, not {count}"
        for what, count in counts.items()
        if worded and there.get(what, 0) != count
    ]
    if PICTURE in names:
        raw = (directory / PICTURE).read_bytes()
        wrong += _check_chunks(raw)
        wrong += _check_regions({1: open_picture(raw)}, regions, PICTURE)
    if PDF in names:
        wrong += _check_pdf((directory / PDF).read_bytes(), regions)
    return wrong


def _check_chunks(raw: bytes) -> Iterator[str]:
    at, kinds = 8, set[bytes]()
    while at < len(raw):
        size = int.from_bytes(raw[at : at + 4])
        kinds.add(raw[at + 4 : at + 8])
        at += size + 12
    if more := kinds - {b"IHDR", b"IDAT", b"IEND"}:
        yield f"{PICTURE} holds more than pixels: {', '.join(sorted(map(str, more)))}"
    if raw[-8:-4] != b"IEND" or at != len(raw):
        yield f"{PICTURE} has bytes after its end"


def _check_pdf(raw: bytes, regions: Sequence[Region]) -> list[str]:
    reader = PdfReader(io.BytesIO(raw))
    wrong = []
    if pdf_text(raw).strip() or reader.metadata:
        wrong.append(f"{PDF} holds text or metadata beside its pictures")
    root: Any = reader.trailer["/Root"]
    if raw.count(b"%%EOF") != 1 or set(root.get_object()) - {"/Type", "/Pages"}:
        wrong.append(f"{PDF} holds more than its pages, or an earlier revision")
    pictures = {}
    for number, page in enumerate(reader.pages, 1):
        if "/Annots" in page or len(page.images) != 1:
            wrong.append(f"page {number} of {PDF} is no single picture")
        elif any(region.page == number for region in regions):
            pictures[number] = open_picture(page.images[0].data)
    return wrong + list(_check_regions(pictures, regions, PDF))


def _check_regions(
    pictures: dict[int, Image.Image], regions: Sequence[Region], name: str
) -> Iterator[str]:
    for region in regions:
        picture = pictures.get(region.page)
        if picture is None:
            yield f"{name} has no page {region.page}, of which a region was removed"
            continue
        wide, high = picture.size
        left, top, right, bottom = region.box
        inner = (
            left * wide // 1000 + SOFT, top * high // 1000 + SOFT,
            right * wide // 1000 - SOFT, bottom * high // 1000 - SOFT,
        )  # fmt: skip
        if inner[0] >= inner[2] or inner[1] >= inner[3]:
            continue
        extrema: Any = picture.crop(inner).getextrema()
        if any(most > UNIFORM for _, most in extrema):
            yield f"{name}: a region of page {region.page} is not blank"
