"""Exports of a case for other programs, and documents for a word processor (DOCX).

exhibits.csv, exhibits.docx        every file under its control number
chronology.csv, chronology.docx    the facts, each with its source
deadlines.ics                      answers to notices and tasks that are due (RFC 5545)
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import docx
from docx.oxml import OxmlElement
from docx.oxml.ns import qn
from docx.shared import Inches, Mm, Pt
from icalendar import Alarm, Calendar, Event

from wavebreak import __version__, csv_files
from wavebreak.languages import get_language
from wavebreak_cases.bundles.chronology import list_facts
from wavebreak_cases.bundles.exhibit_list import exhibit_rows, list_exhibits
from wavebreak_cases.bundles.report_sections import stale_facts
from wavebreak_cases.bundles.report_text import ReportText
from wavebreak_cases.cases.case import Case
from wavebreak_cases.cases.date_ranges import format_instant
from wavebreak_cases.cases.notices import Language

_PAPERS = {"a4": (Mm(210), Mm(297)), "us-letter": (Inches(8.5), Inches(11))}


class WordDocument:
    """A document that is written from top to bottom.

    >>> document = WordDocument("he", "Letter")
    >>> document.paragraph("שלום")
    >>> document.encode()[:2]
    b'PK'
    """

    def __init__(self, language: Language, title: str, at_ms: int = 0, paper: str = "a4") -> None:
        self.right_to_left = get_language(language).direction == "rtl"
        self._document = docx.Document()
        for section in self._document.sections:
            section.page_width, section.page_height = _PAPERS[paper]
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


class Deadline(NamedTuple):
    """Something that is due: its number in the case, when (ms), what, in words."""

    id: str
    at: int
    what: str


EXPORTS = ("exhibits.csv", "exhibits.docx", "chronology.csv", "chronology.docx", "deadlines.ics")


def export_case(directory: Path, case: Case, out: Path, language: Language) -> list[Path]:
    """Write a case's exhibit list, chronology and deadlines into a directory.

    Args:
        directory: The case's directory.
        case: The case.
        out: Where the files go; those of an earlier export are replaced.
        language: Their language.

    Returns:
        The files.
    """
    files = export_files(directory, case, language)
    out.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (out / name).write_bytes(content)
    return [out / name for name in files]


def export_files(directory: Path, case: Case, language: Language) -> dict[str, bytes]:
    """Return a case's exhibit list, chronology and deadlines as files by name: `EXPORTS`."""
    words = ReportText(language)
    facts = list_facts(directory, case, words)
    tables: dict[str, tuple[list[str], list[list[str]]]] = {
        "exhibits": (
            [words(key) for key in ("control_numbers", "exhibit", "kind_of", "title", "source",
                                    "taken", "file")] + ["SHA-256"],
            [list(row) for row in exhibit_rows(list_exhibits(directory, case), words)],
        ),
        "chronology": (
            ["UTC", words("at"), words("fact"), words("source")],
            [[format_instant(f.at), f.when, f.what, f.source] for f in facts],
        ),
    }  # fmt: skip
    written = dict[str, bytes]()
    for name, (head, rows) in tables.items():
        title = words("header", case=case.id, title=case.title)
        document = WordDocument(language, title, case.steps[-1].at)
        for label, said in stale_facts(case, words):
            document.paragraph(f"{label}: {said}", bold=True)
        document.heading(words(name))
        document.paragraph(title)
        document.paragraph(words("times"))
        document.table(head, rows)
        written[f"{name}.csv"] = encode_csv([head, *rows])
        written[f"{name}.docx"] = document.encode()
    written["deadlines.ics"] = encode_deadlines(case, list_deadlines(case, words))
    return written


def encode_csv(rows: Iterable[Sequence[str]]) -> bytes:
    r"""Write rows as CSV that spreadsheets open as text (UTF-8 with a mark, RFC 4180).

    What a page or a party has named cannot become a formula: it begins with an apostrophe then.

    >>> encode_csv([["=1+1", "C-7"]]).decode("utf-8-sig")
    "'=1+1,C-7\r\n"
    """
    return csv_files.encode_csv(rows).encode("utf-8-sig")


def list_deadlines(case: Case, words: ReportText) -> list[Deadline]:
    """Return what is still due: answers to notices that nobody answered, and open tasks."""
    return sorted(_deadlines(case, words), key=lambda due: (due.at, due.id))


def _deadlines(case: Case, words: ReportText) -> Iterator[Deadline]:
    answered = {reply.notice for reply in case.replies}
    for notice in case.notices.values():
        if notice.id not in answered and notice.due is not None:
            party = case.parties[notice.party].name
            what = words("due_answer", notice=notice.id, party=party)
            yield Deadline(notice.id, notice.due, what)
    for task in case.open_tasks():
        if task.due is not None:
            yield Deadline(task.id, task.due, task.what)


def encode_deadlines(case: Case, deadlines: Iterable[Deadline]) -> bytes:
    """Write deadlines as a calendar file, with an alarm a day before each."""
    calendar = Calendar()
    calendar.add("prodid", f"-//Wavebreak//Wavebreak {__version__}//EN")
    calendar.add("version", "2.0")
    for due in deadlines:
        event = Event()
        event.add("uid", f"{case.id}-{due.id}.wavebreak")
        event.add("dtstamp", _time(case.steps[-1].at))
        event.add("dtstart", _time(due.at))
        event.add("summary", f"{case.id}: {due.what}")
        alarm = Alarm()
        alarm.add("action", "DISPLAY")
        alarm.add("description", due.what)
        alarm.add("trigger", timedelta(days=-1))
        event.add_component(alarm)
        calendar.add_component(event)
    return bytes(calendar.to_ical())


def _time(ms: int) -> datetime:
    return datetime.fromtimestamp(ms // 1000, UTC)
