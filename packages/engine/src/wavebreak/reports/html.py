"""Reports as HTML pages, through Jinja2 with autoescape.

A page is one file in the design of the console: style and charts are inside, the page loads no
other file, and the same report gives the same bytes. All text is escaped; only the `Markup` of
charts is inserted as is.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from wavebreak.errors import MissingExtraError
from wavebreak.reports import charts
from wavebreak.reports.report import Report, Text
from wavebreak.reports.tables import Table, cell_text

TEMPLATES = Path(__file__).resolve().parent / "templates"
CELL_WIDTHS = (("wide", 48), ("mid", 16))
"""Classes of cells that keep some width in a narrow window, and the characters of their lines."""
PAGE_COLOURS = {
    "#ffffff": "surface",
    "#000000": "text",
    charts.INK: "text",
    "#1b1f24": "text",
    charts.GREY: "text-muted",
    charts.EDGE: "border-strong",
    charts.GRID: "chart-grid",
    charts.BLUE: "chart-1",
    charts.ORANGE: "chart-2",
    charts.GREEN: "chart-5",
    charts.RED: "restrict",
    charts.PURPLE: "chart-3",
    "#b08800": "limit",
    "#b3261e": "suspend",
    "#7a0019": "ban",
}
"""The console's colour for each colour of a drawing, so that charts follow a dark page."""


def write_html(report: Report, path: Path) -> None:
    """Write a report as one self-contained page."""
    path.write_text(render_html(report), encoding="utf-8")


def render_html(report: Report) -> str:
    """Return a report as one self-contained page."""
    return _template().render(report=report) + "\n"


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.tests |= {
        "table": lambda block: isinstance(block, Table),
        "prose": lambda block: isinstance(block, Text),
    }
    environment.filters |= {"cell": cell_text, "width": _cell_width, "drawing": _drawing}
    return environment.get_template("page.html")


def _cell_width(cell: str) -> str:
    length = max(map(len, cell.split("\n")))
    return next((name for name, minimum in CELL_WIDTHS if length > minimum), "")


def _drawing(chart: charts.Chart) -> Markup:
    """Return the drawing of a chart, or a note where Matplotlib is not installed."""
    try:
        drawing = chart.svg()
    except MissingExtraError as error:
        note = Markup('<p class="note">No chart: {} (<code>{}</code>).</p>')
        return note.format(error.what, error.fix)
    colours = "|".join(PAGE_COLOURS)
    themed = re.sub(rf"({colours})\b", lambda match: f"var(--{PAGE_COLOURS[match[0]]})", drawing)
    # Only colours of the drawing, which is safe, were replaced.
    return Markup(themed)  # noqa: S704
