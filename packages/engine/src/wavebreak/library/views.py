"""Views: reports and pictures, which show themselves in notebooks, and print and save."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from wavebreak.errors import MissingExtraError, UsageError
from wavebreak.reports import charts, html, report, tables

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class Picture:
    """A chart, shown in a notebook; `figure` and `axes` are Matplotlib's, for changes.

    The figure does not belong to `pyplot`, so no figure has to be closed.

    Attributes:
        chart: The values that are drawn.

    Example:
        >>> picture = result.plot("a-17")           # doctest: +SKIP
        >>> picture.axes[0].set_title("My sender")  # doctest: +SKIP
        >>> picture.save("sender.png")              # doctest: +SKIP
    """

    def __init__(self, chart: charts.Chart) -> None:
        self.chart = chart
        self._figure: Figure | None = None

    @property
    def figure(self) -> Figure:
        """The figure of Matplotlib.

        Raises:
            Error: Matplotlib is not installed (the extra `charts`).
        """
        if self._figure is None:
            self._figure = self.chart.figure()
        return self._figure

    @property
    def axes(self) -> list[Axes]:
        """The axes of the figure, from the top."""
        return self.figure.axes

    @property
    def caption(self) -> str:
        """The caption in words."""
        return self.chart.caption

    def save(self, path: str | Path) -> None:
        """Write the picture; the name gives the format: .svg, .png or .pdf."""
        self.figure.savefig(Path(path))

    def _repr_svg_(self) -> str:
        if self._figure is None:
            return str(self.chart.svg())
        text = StringIO()
        self._figure.savefig(text, format="svg")
        return text.getvalue()

    def __repr__(self) -> str:
        return f"<Picture: {self.chart.title}>"


class Report:
    """A result in words, tables and charts. `print` gives the text, a notebook shows the page.

    Attributes:
        full: The report of the page.
        brief: The report of a terminal.
    """

    def __init__(self, full: report.Report, brief: report.Report | None = None) -> None:
        self.full, self.brief = full, brief or full

    @property
    def html(self) -> str:
        """The report as one self-contained page."""
        return html.render_html(self.full)

    @property
    def pictures(self) -> list[Picture]:
        """The charts of the report, in order."""
        blocks = (block for section in self.full.sections for block in section.blocks)
        return [Picture(block) for block in blocks if isinstance(block, charts.Chart)]

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON values, which the command prints with `--json`."""
        return dict(self.full.data or {})

    def save(self, path: str | Path) -> None:
        """Write the report; the name gives the format: .html or .json.

        Raises:
            Error: The name has another ending.
        """
        path = Path(path)
        if path.suffix == ".json":
            report.write_json(self.full, path)
        elif path.suffix in (".html", ".htm"):
            html.write_html(self.full, path)
        else:
            raise UsageError(f"{path.name}: no format", fix="name it .html or .json")

    def __str__(self) -> str:
        return report.report_text(self.brief)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return render_fragment(self.full)


def render_fragment(contents: report.Report) -> str:
    """Return a report as plain HTML without styles, for a cell of a notebook."""
    parts = [Markup("<h3>{}</h3>").format(contents.title)]
    parts += [Markup("<p>{}</p>").format(line) for line in contents.lead]
    for section in contents.sections:
        if section.title and section.blocks:
            parts.append(Markup("<h4>{}</h4>").format(section.title))
        for block in section.blocks:
            if isinstance(block, tables.Table):
                parts.append(_table_html(block))
            elif isinstance(block, charts.Chart):
                parts.append(_chart_html(block))
            else:
                parts += [Markup("<p>{}</p>").format(line) for line in block.lines]
    return Markup("\n").join(parts)


def _table_html(table: tables.Table) -> Markup:
    heads = Markup("").join(Markup("<th>{}</th>").format(name) for name in table.columns)
    rows = Markup("\n").join(
        Markup("<tr>{}</tr>").format(
            Markup("").join(Markup("<td>{}</td>").format(tables.cell_text(c)) for c in row)
        )
        for row in table.rows
    )
    note = Markup("<p><small>{}</small></p>").format(table.note) if table.note else ""
    return Markup(
        "<table><caption>{}</caption><thead><tr>{}</tr></thead><tbody>{}</tbody></table>{}"
    ).format(table.title, heads, rows, note)


def _chart_html(chart: charts.Chart) -> Markup:
    try:
        drawing = chart.svg()
    except MissingExtraError as error:
        return Markup("<p>No chart: {} (<code>{}</code>).</p>").format(error.what, error.fix)
    return Markup("<figure>{}<figcaption>{}</figcaption></figure>").format(drawing, chart.caption)
