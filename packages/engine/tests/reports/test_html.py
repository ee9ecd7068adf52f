from __future__ import annotations

import io
import json
import re
from pathlib import Path

from wavebreak.languages import get_language
from wavebreak.reports import html
from wavebreak.reports.charts import Curves, Line
from wavebreak.reports.html import render_html, write_html
from wavebreak.reports.report import KeyFigure, Report, Section, Text, print_report, write_json
from wavebreak.reports.tables import Console, Table

HOSTILE = '<script>alert("1")</script>&\''
ESCAPED = "&lt;script&gt;alert(&#34;1&#34;)&lt;/script&gt;&amp;&#39;"
TOKENS = Path("frontend/src/styles/tokens.css")


def page(*blocks: Text | Table | Curves) -> str:
    return render_html(Report("Title", ["lead"], [Section("Heading", blocks)]))


def printed(report: Report) -> str:
    console = Console(width=80, record=True, file=io.StringIO())
    print_report(report, console)
    return console.export_text()


def test_every_text_of_a_page_is_escaped() -> None:
    table = Table(HOSTILE, (HOSTILE, HOSTILE), [(HOSTILE, HOSTILE)], HOSTILE, frozenset({0, 1}))
    prose = Text([HOSTILE], title=HOSTILE, anchor=HOSTILE)
    steps = Text([HOSTILE], "steps")
    sections = [Section(HOSTILE, [table, table, prose, steps])]
    figures = [KeyFigure(HOSTILE, HOSTILE, HOSTILE)]
    text = render_html(Report(HOSTILE, [HOSTILE], sections, figures, "act"))
    assert "<script" not in text
    assert text.count(ESCAPED) == 23


def test_page_has_its_language_and_direction() -> None:
    assert '<html lang="en">' in page()
    table = Table("t", ("name",), [("2026-11-30 14:02",)])
    hebrew = Report("T", [], [Section("", [table])], language=get_language("he"))
    assert '<html lang="he" dir="rtl">' in render_html(hebrew)
    assert "<bdi>2026-11-30 14:02</bdi>" in render_html(hebrew)
    assert "<bdi>" not in page(table)


def test_page_loads_nothing_and_ends_with_one_line_break(tmp_path: Path) -> None:
    chart = Curves("roc", "Recall", "A caption.", [Line("a", [0, 1], [0, 1])], "x", "y")
    report = Report("Title", ["lead"], [Section("Heading", [chart, Text(["text"])])])
    write_html(report, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text("utf-8")
    assert re.findall(r'(?:src|href)="(?!#)[^"]*"|@import|<script', text) == []
    assert text.startswith("<!doctype html>\n")
    assert text.endswith("</html>\n")
    assert not text.endswith("\n\n")


def test_charts_take_the_colours_of_the_page() -> None:
    chart = Curves("roc", "Recall", "A caption.", [Line("a", [0, 1], [0, 1])], "x", "y")
    text = page(chart)
    drawing = text[text.index("<svg") : text.index("</svg>")]
    assert "var(--chart-1)" in drawing
    assert re.findall(r"#[0-9a-f]{6}\b", drawing) == []
    assert 'aria-label="Recall"' in text
    assert "<figcaption>A caption.</figcaption>" in text


def test_colours_of_a_page_are_those_of_the_console() -> None:
    tokens = dict(re.findall(r"--([\w-]+): light-dark\(([^)]*)\)", TOKENS.read_text("utf-8")))
    style = (html.TEMPLATES / "style.css").read_text("utf-8")
    colours = dict(re.findall(r"--([\w-]+):\s*light-dark\(([^)]*)\)", style))
    assert {*html.PAGE_COLOURS.values(), *re.findall(r"var\(--([\w-]+)\)", style)} <= {*colours}
    for name, values in colours.items():
        assert values.replace(" ", "") == tokens[name].replace(" ", "")


def test_table_marks_row_heads_numbers_and_long_cells() -> None:
    rows = [("a\nof b", 1200, "x" * 60), ("c", None, "y")]
    text = page(Table("t", ("name", "count", "about"), rows, words=frozenset({0, 2})))
    assert '<th scope="row">a<span class="sub">of b</span></th>' in text
    assert '<td class="num">1,200</td>' in text
    assert '<td class="num">–</td>' in text
    assert f'<td class="wide">{"x" * 60}</td>' in text


def test_table_that_repeats_the_heading_has_no_caption() -> None:
    table = Table("People by name", ("name",), [("a",)])
    assert "<caption>People by name</caption>" in page(table)
    text = render_html(Report("Title", [], [Section("People", [table])]))
    assert "<caption>" not in text
    assert 'aria-label="People by name"' in text


def test_terminal_shows_prose_steps_and_tables_of_a_report() -> None:
    table = Table("People", ("name", "count"), [("a", 1200)])
    sections = [
        Section("Counts", [table]),
        Section("What next", [Text(["first", "second"], "steps")]),
        Section("Versions", [Text(["policy 1"], "note")], page_only=True),
        Section("Empty", []),
    ]
    text = printed(Report("Title", ["A lead."], sections))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    assert lines[:3] == ["Title", "A lead.", "People"]
    assert lines[-3:] == ["What next", "1. first", "2. second"]
    assert "a     1,200" in text


def test_terminal_escapes_control_characters_but_not_marks_of_direction() -> None:
    assert "a\\u001b[2J" in printed(Report("a\x1b[2J", [], []))
    assert "\\u2066b" in printed(Report("\u2066b", [], []))
    table = Table("\u2066t\u2069", ("\u2066c",), [("\u2066d",)])
    hebrew = Report("\u2066b\u2069", [], [Section("", [table])], language=get_language("he"))
    assert printed(hebrew).split() == ["b", "t", "c", "─", "d"]


def test_data_of_a_report_is_written_as_json(tmp_path: Path) -> None:
    write_json(Report("Title", [], [], data={"name": "שלום", "count": 1}), tmp_path / "a.json")
    text = (tmp_path / "a.json").read_text("utf-8")
    assert text.endswith("}\n")
    assert "שלום" in text
    assert json.loads(text) == {"name": "שלום", "count": 1}
