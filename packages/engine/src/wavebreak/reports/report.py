"""Reports as values: a title, sentences, key figures, and sections of prose, tables and charts.

A command builds one `Report`. `print_report` renders the report on a terminal, `write_json` its
data as JSON, and `html.write_html` a self-contained page.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.text import Text as StyledText

from wavebreak.languages import ENGLISH, Language
from wavebreak.reports.tables import Console, Table, print_table, visible

if TYPE_CHECKING:
    from wavebreak.reports.charts import Chart

Tone = Literal["", "neutral", "mild", "act"]
STYLES = {"": "", "note": "dim", "warning": "yellow", "steps": ""}
TEXT_WIDTH = 100
"""Columns of a report as plain text."""
ISOLATES = str.maketrans("", "", "\u2066\u2067\u2068\u2069")
"""Marks around values that run against the text: a terminal would show escapes in their place."""


@dataclass(frozen=True)
class Text:
    """Prose: one paragraph a line.

    Attributes:
        lines: The paragraphs.
        kind: Plain paragraphs, a note in small print, a warning, or numbered steps.
        title: A heading below the heading of the section.
        anchor: The identifier of the heading in a page.
    """

    lines: Sequence[str]
    kind: Literal["", "note", "warning", "steps"] = ""
    title: str = ""
    anchor: str = ""


@dataclass(frozen=True)
class KeyFigure:
    """A number that a page shows first, with its label and an explanation below."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Section:
    """A part of a report. Charts and parts for the page alone are left out on a terminal.

    Attributes:
        title: The heading. A terminal shows the heading above prose alone: a table has a title.
        blocks: Prose, tables and charts in their order.
        page_only: Whether a terminal leaves the section out.
    """

    title: str
    blocks: Sequence[Text | Table | Chart]
    page_only: bool = False


@dataclass(frozen=True)
class Report:
    """A report.

    Attributes:
        title: The title and main heading.
        lead: The first paragraphs: the result in a few sentences.
        sections: The parts; a section without blocks is left out.
        figures: The key figures of a page.
        tone: Shows the lead as a state of this severity; empty for plain paragraphs.
        data: The report for programs, as plain JSON values.
        language: The language of the text, and with it the direction.
    """

    title: str
    lead: Sequence[str]
    sections: Sequence[Section]
    figures: Sequence[KeyFigure] = ()
    tone: Tone = ""
    data: Mapping[str, Any] | None = None
    language: Language = ENGLISH


def print_report(report: Report, console: Console) -> None:
    """Print a report on a terminal: title, lead, and the prose and tables of each section."""
    if report.language.direction == "rtl":
        report = _without_isolates(report)
    console.print()
    console.print(StyledText(visible(report.title, line=True), style="bold"))
    _print_text(Text(report.lead), console, "bold" if report.tone else "")
    for section in report.sections:
        if section.page_only:
            continue
        for index, block in enumerate(section.blocks):
            if isinstance(block, Table):
                print_table(block, console)
            elif isinstance(block, Text):
                if section.title and index == 0:
                    console.print(StyledText(visible(section.title), style="bold"))
                _print_text(block, console, STYLES[block.kind])
            elif lines := block.terminal_lines():
                _print_text(Text(lines), console)


def report_text(report: Report) -> str:
    """Return a report as plain text of TEXT_WIDTH columns."""
    text = StringIO()
    print_report(report, Console(file=text, width=TEXT_WIDTH, color_system=None))
    return text.getvalue().strip("\n")


def _print_text(text: Text, console: Console, style: str = "") -> None:
    if text.title:
        console.print(StyledText(visible(text.title), style="bold"))
    for number, line in enumerate(text.lines, 1):
        prefix = f"{number}. " if text.kind == "steps" else ""
        console.print(StyledText(prefix + visible(line), style=style))
    console.print()


def _without_isolates(value: Any) -> Any:
    """Return a report, or a part of a report, without marks of direction."""
    if isinstance(value, str):
        return value.translate(ISOLATES)
    if isinstance(value, tuple | list):
        return type(value)(map(_without_isolates, value))
    if isinstance(value, Report | Section | Table | Text):
        names = ("title", "lead", "sections", "blocks", "columns", "rows", "note", "lines")
        parts = {name: getattr(value, name) for name in names if hasattr(value, name)}
        return replace(value, **{name: _without_isolates(part) for name, part in parts.items()})
    return value


def write_json(report: Report, path: Path) -> None:
    """Write the report for programs, as the option `--json` prints it."""
    text = json.dumps(report.data, indent=1, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
