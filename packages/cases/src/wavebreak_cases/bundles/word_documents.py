"""Documents for a word processor (DOCX), from left to right or from right to left."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import docx
from docx.oxml import OxmlElement
from docx.oxml.ns import qn
from docx.shared import Pt

from wavebreak.languages import get_language
from wavebreak_cases.cases.notices import Language


class WordDocument:
    """A document that is written from top to bottom.

    >>> document = WordDocument("he", "Letter")
    >>> document.paragraph("שלום")
    >>> document.encode()[:2]
    b'PK'
    """

    def __init__(self, language: Language, title: str, at_ms: int = 0) -> None:
        self.right_to_left = get_language(language).direction == "rtl"
        self._document = docx.Document()
        style: Any = self._document.styles["Normal"]
        style.font.name, style.font.size = "Arial", Pt(10.5)
        about = self._document.core_properties
        about.title, about.author, about.comments = title, "", ""
        about.created = about.modified = datetime.fromtimestamp(at_ms / 1000, UTC)

    def heading(self, words: str, level: int = 1) -> None:
        """Write a heading."""
        self._directed(self._document.add_heading(words, level))

    def paragraph(self, words: str, *, bold: bool = False) -> None:
        """Write a paragraph."""
        written = self._document.add_paragraph()
        written.add_run(words).bold = bold
        self._directed(written)

    def table(self, head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Write a table, whose head is repeated on each page."""
        made = self._document.add_table(rows=1, cols=len(head))
        made.style = "Table Grid"
        if self.right_to_left:
            made._tblPr.append(OxmlElement("w:bidiVisual"))
        first = made.rows[0]
        first._tr.get_or_add_trPr().append(OxmlElement("w:tblHeader"))
        for cells, row, bold in [
            (first.cells, head, True),
            *((made.add_row().cells, row, False) for row in rows),
        ]:
            for cell, words in zip(cells, row, strict=True):
                run = cell.paragraphs[0].add_run(words)
                run.bold, run.font.size = bold, Pt(9)
                self._directed(cell.paragraphs[0])

    def _directed(self, paragraph: Any) -> None:
        """Set a paragraph and its runs from right to left, where the language is."""
        if not self.right_to_left:
            return
        paragraph._p.get_or_add_pPr().append(OxmlElement("w:bidi"))
        for run in paragraph.runs:
            marked = OxmlElement("w:rtl")
            marked.set(qn("w:val"), "1")
            run._r.get_or_add_rPr().append(marked)

    def encode(self) -> bytes:
        """Return the document's file."""
        sink = io.BytesIO()
        self._document.save(sink)
        return sink.getvalue()
