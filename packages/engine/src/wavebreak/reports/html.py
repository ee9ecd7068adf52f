"""HTML pages of reports: tables, figures and paragraphs, through Jinja2 with autoescape.

A page is one file: its style and figures are inside it, it loads nothing, and the same input gives
the same bytes. All text is escaped; only `Markup`, which these functions and `charts` return, is
inserted as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from wavebreak.languages import Direction
from wavebreak.reports.tables import Table

TEMPLATES = Path(__file__).resolve().parent / "templates"
_LONG = 48
"""Characters from which a line of words keeps some width in a narrow window."""


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.tests["long"] = lambda cell: max(map(len, cell.split("\n"))) > _LONG
    return environment


def render(template: str, **values: object) -> Markup:
    """Render a template of `reports/templates`; every value that is not `Markup` is escaped.

    Args:
        template: The file name of the template.
        values: The variables of the template.

    """
    return Markup(_environment().get_template(template).render(**values))  # noqa: S704


def html_table(table: Table, *, caption: bool = True) -> Markup:
    """Return a table as HTML that a screen reader can navigate; it scrolls in a narrow window.

    Args:
        table: The table.
        caption: Whether its title is shown; not below a heading that says the same.

    """
    return render("table.html", table=table, caption=caption)


def html_figure(svg: str, caption: str) -> Markup:
    """Return a chart with its caption; it scrolls in a narrow window to stay legible.

    Args:
        svg: What a function of `charts` returned.
        caption: The text below the chart.

    """
    return render("figure.html", svg=svg, caption=caption)


def paragraphs(lines: Iterable[str], kind: str = "") -> Markup:
    """Return lines of text as paragraphs.

    Args:
        lines: One paragraph a line.
        kind: The CSS classes of the paragraphs.

    >>> paragraphs(["1 < 2"]).strip()
    Markup('<p>1 &lt; 2</p>')

    """
    return render("paragraphs.html", lines=lines, kind=kind)


def join_html(parts: Iterable[str]) -> Markup:
    """Join pieces of HTML, one a line; pieces that are plain text are escaped."""
    return Markup("\n").join(parts)


def page(
    title: str,
    lead: Sequence[str],
    sections: Sequence[tuple[str, str]],
    *,
    language: str = "en",
    direction: Direction = "ltr",
    dark: bool = False,
) -> str:
    """Return one self-contained HTML page.

    Args:
        title: The title and main heading.
        lead: The first paragraphs, as text.
        sections: The heading and the HTML of each section; plain text is escaped.
        language: The code of the page's language.
        direction: The direction of its text.
        dark: Whether it follows a reader who prefers dark pages, charts too.

    """
    values = {"title": title, "lead": lead, "sections": sections, "dark": dark}
    return str(render("page.html", language=language, direction=direction, **values)) + "\n"
