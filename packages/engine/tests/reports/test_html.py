from __future__ import annotations

from markupsafe import Markup

from wavebreak.reports.html import html_figure, html_table, join_html, page, paragraphs
from wavebreak.reports.tables import Table

HOSTILE = '<script>alert("1")</script>&\''
ESCAPED = "&lt;script&gt;alert(&#34;1&#34;)&lt;/script&gt;&amp;&#39;"


def test_every_text_of_a_page_is_escaped() -> None:
    table = Table(HOSTILE, (HOSTILE, HOSTILE), [(HOSTILE, HOSTILE)], HOSTILE, frozenset({0, 1}))
    content = html_table(table) + paragraphs([HOSTILE], HOSTILE) + html_figure(HOSTILE, HOSTILE)
    text = page(HOSTILE, [HOSTILE], [(HOSTILE, content), ("plain", HOSTILE)])
    assert "<script" not in text
    assert text.count(ESCAPED) == 17


def test_page_has_its_language_direction_and_dark_colours_only_where_asked() -> None:
    plain = page("T", [], [])
    assert '<html lang="en">' in plain
    assert "prefers-color-scheme" not in plain
    turned = page("T", [], [], language="he", direction="rtl", dark=True)
    assert '<html lang="he" dir="rtl">' in turned
    assert "@media (prefers-color-scheme:dark)" in turned


def test_markup_of_a_chart_is_inserted_as_it_is() -> None:
    assert "<svg></svg>" in html_figure(Markup("<svg></svg>"), "a chart")
    assert join_html([Markup("<p>a</p>"), "b < c"]) == "<p>a</p>\nb &lt; c"


def test_page_loads_nothing_and_ends_with_one_line_break() -> None:
    text = page("Title", ["lead"], [("Heading", paragraphs(["text"]))])
    assert "src=" not in text
    assert "href=" not in text
    assert text.startswith("<!doctype html>\n")
    assert text.endswith("</html>\n")
    assert not text.endswith("\n\n")


def test_table_marks_row_heads_words_and_long_cells() -> None:
    table = Table("t", ("name", "count", "about"), [("a", "1", "x" * 60)], words=frozenset({0, 2}))
    text = html_table(table)
    assert '<th scope="row">a</th>' in text
    assert "<td>1</td>" in text
    assert f'<td class="word long">{"x" * 60}</td>' in text


def test_table_below_a_heading_of_its_name_has_no_caption() -> None:
    table = Table("People", ("name",), [("a",)])
    assert "<caption>People</caption>" in html_table(table)
    below = html_table(table, caption=False)
    assert "caption" not in below
    assert 'aria-label="People"' in below


def test_column_without_a_heading_keeps_no_width() -> None:
    text = html_table(Table("t", ("", "about"), [("1", "x")], words=frozenset({0, 1})))
    assert text.count('class="bare"') == 2
    assert "th.bare{min-width:0}" in page("Title", [], [])
