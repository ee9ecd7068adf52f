"""Charts of a report as values, drawn as inline SVG: shares, distributions, curves, a timeline.

A drawing is one `<svg>` element, the same bytes for the same values. Text stays text, so that it
can be searched, enlarged and read aloud. Every identifier is prefixed with the name of the chart,
so that a page can hold several charts.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from wavebreak.durations import HOUR_MS
from wavebreak.extras import LazyModule
from wavebreak.outcomes import OUTCOMES, Tone, row_of
from wavebreak.reports.tables import moment

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Times = NDArray[np.int64]

matplotlib: Any = LazyModule("matplotlib")
dates: Any = LazyModule("matplotlib.dates")
figures: Any = LazyModule("matplotlib.figure")
ticker: Any = LazyModule("matplotlib.ticker")

# Okabe and Ito's palette: distinguishable under every common colour blindness.
BLUE, ORANGE, GREEN = "#0072b2", "#e69f00", "#009e73"
RED, PURPLE, GREY = "#d55e00", "#aa4499", "#57606a"
INK, EDGE, GRID = "#1f2328", "#8c959f", "#e4e8ec"
TONE_COLOURS: dict[Tone, str] = {
    "allow": GREEN,
    "observe": GREY,
    "challenge": "#b08800",
    "limit": "#b08800",
    "restrict": RED,
    "suspend": "#b3261e",
    "ban": "#7a0019",
}
WIDTH_IN = 7.4
MAX_MARKS = 500
"""Marks of a lane: more than a screen can show would only enlarge the page."""
NAME_WIDTH, NUMBER_WIDTH = 0.15, 0.035
"""Widths of an outcome's name and of a decision's number, as shares of a timeline."""
BARS = " ▁▂▃▄▅▆▇█"
BAR_COLUMNS = 52
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "wavebreak",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": EDGE,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "timezone": "UTC",
}


def fonts() -> Path:
    """Return the directory of the charts' fonts; DejaVu Sans covers Latin to Hebrew."""
    return Path(matplotlib.get_data_path()) / "fonts" / "ttf"


class Interval(NamedTuple):
    """A share with the ends of its interval (each 0 to 1) and the text beside it."""

    share: float
    low: float
    high: float
    words: str


class Spread(NamedTuple):
    """A distribution over accounts: five percentiles, the mean, the text beside it."""

    p10: float
    p25: float
    median: float
    p75: float
    p90: float
    mean: float
    words: str


class Line(NamedTuple):
    """A line of a chart: its label, its points, and whether it is a guide (dashed, grey)."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    guide: bool = False


@dataclass(frozen=True)
class Chart:
    """A chart of a report.

    Attributes:
        name: Prefix of all identifiers in the drawing.
        title: The accessible title.
        caption: The text below the chart.
    """

    name: str
    title: str
    caption: str

    def figure(self) -> Figure:
        """Draw the chart as a figure of Matplotlib, in the charts' style."""
        with matplotlib.rc_context(STYLE):
            return self._draw()[0]

    def svg(self) -> Markup:
        """Draw the chart. Raises MissingExtraError without Matplotlib (the extra `charts`)."""
        with matplotlib.rc_context(STYLE):
            return _svg(*self._draw(), self.name, self.title)

    def terminal_lines(self) -> list[str]:
        """Return the chart as lines for a terminal; most charts have none."""
        return []

    def _draw(self) -> tuple[Figure, str]:
        raise NotImplementedError


@dataclass(frozen=True)
class Shares(Chart):
    """Shares with their intervals, one row for each label.

    Attributes:
        labels: Names of the rows.
        series: One or two named series with a share for each label. The texts of the last series
            are printed beside the rows.
        whole: Let the axis run from 0 to 100 %; otherwise it ends above the highest interval.
    """

    labels: Sequence[str]
    series: Mapping[str, Sequence[Interval]]
    whole: bool = False

    def _draw(self) -> tuple[Figure, str]:
        pair = len(self.series) > 1
        figure, axes = _row_figure(self.labels, 1.3 if pair else 0.9)
        styles = ((ORANGE, "D", -0.16), (RED, "o", 0.16)) if pair else ((BLUE, "o", 0.0),)
        for values, (colour, mark, offset) in zip(self.series.values(), styles, strict=True):
            rows = np.arange(len(self.labels)) + offset
            axes.hlines(rows, [v.low for v in values], [v.high for v in values], colour, lw=2)
            axes.plot([v.share for v in values], rows, mark, color=colour, clip_on=False)
        texts = [value.words for value in list(self.series.values())[-1]]
        _write_beside(axes, texts)
        top = max((v.high for values in self.series.values() for v in values), default=0.0)
        axes.set_xlim(0, 1 if self.whole else min(1.0, max(0.02, 1.05 * top)))
        axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda x, _: f"{100 * x:g} %"))
        if pair:
            figure.legend(
                axes.get_lines(), list(self.series), loc="outside lower center", ncols=2,
                frameon=False,
            )  # fmt: skip
        return figure, _pairs_text(self.labels, texts)


@dataclass(frozen=True)
class Spreads(Chart):
    """Distributions, one row for each label.

    A thin line is the 10th to 90th percentile, a thick one the middle half; median and mean are
    marks. The axis is logarithmic above 1 and includes 0.
    """

    labels: Sequence[str]
    values: Sequence[Spread]

    def _draw(self) -> tuple[Figure, str]:
        p10, p25, median, p75, p90, mean, texts = zip(*self.values, strict=True)
        figure, axes = _row_figure(self.labels, 1.3)
        rows = np.arange(len(self.labels))
        axes.hlines(rows, p10, p90, BLUE, lw=1.5)
        axes.hlines(rows, p25, p75, BLUE, lw=6, alpha=0.45)
        axes.plot(median, rows, "o", color=BLUE, label="median", clip_on=False)
        axes.plot(mean, rows, "D", ms=6, mfc="white", mec=RED, label="mean", clip_on=False)
        _write_beside(axes, texts)
        axes.set_xscale("symlog", linthresh=1)
        axes.set_xlim(0, max(10.0, 1.3 * max(*p90, *mean)))
        axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda x, _: f"{x:,.0f}"))
        figure.legend(loc="outside lower center", ncols=2, frameon=False)
        return figure, _pairs_text(self.labels, texts)


@dataclass(frozen=True)
class Curves(Chart):
    """Lines over one pair of axes. Guides with the same label share one entry of the legend.

    The vertical axis starts at 0 where no value is negative, so that a small change looks small.

    Attributes:
        across: Label of the horizontal axis.
        up: Label of the vertical axis.
        log: Make the vertical axis logarithmic (linear up to 2).
        marks: Mark every point.
    """

    lines: Sequence[Line]
    across: str
    up: str
    log: bool = False
    marks: bool = False

    def _draw(self) -> tuple[Figure, str]:
        figure = figures.Figure(figsize=(WIDTH_IN, 4.2), layout="constrained")
        axes = figure.subplots()
        colours = iter((BLUE, ORANGE, GREEN, PURPLE, RED, "#b08800", "#7a0019", "#1b1f24") * 4)
        first = {line.label: k for k, line in reversed([*enumerate(self.lines)]) if line.guide}
        for k, line in enumerate(self.lines):
            axes.plot(
                line.x,
                line.y,
                color=GREY if line.guide else next(colours),
                ls="--" if line.guide else "-",
                lw=1.8,
                marker="o" if self.marks and not line.guide else "",
                ms=5,
                label=line.label if first.get(line.label, k) == k else "_",
            )
        self._set_scale(axes)
        axes.set_xlabel(self.across)
        axes.set_ylabel(self.up)
        axes.grid(True)
        figure.legend(loc="outside lower center", ncols=3, frameon=False)
        ends = [f"{v.label}: {v.y[-1]:.3g} at {v.x[-1]:.3g}" for v in self.lines if len(v.x)]
        return figure, "; ".join(ends)

    def _set_scale(self, axes: Axes) -> None:
        values = [float(y) for line in self.lines for y in line.y]
        if self.log:
            positive = [value for value in values if value > 0]
            # Close values need more ticks between the powers of ten.
            close = not positive or max(positive) < 30 * min(positive)
            subs = (1, 1.5, 2, 3, 4, 6, 8) if close else (1, 2, 5)
            locator = ticker.SymmetricalLogLocator(base=10, linthresh=2, subs=subs)
            axes.set_yscale("symlog")
            axes.yaxis.set_major_locator(locator)
            axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:,g}"))
        elif min(values, default=0.0) >= 0 < max(values, default=0.0):
            axes.set_ylim(-0.03 * max(values), 1.05 * max(values))
            if max(values) >= 1_000:
                axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda y, _: f"{y:,.0f}"))
        if all(float(x).is_integer() for line in self.lines for x in line.x):
            axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))


@dataclass(frozen=True)
class Timeline(Chart):
    """The events of an account and the decisions about it.

    Attributes:
        lines: Instants by kind; the upper part shows their running counts.
        lanes: Instants by kind; the lower part has a lane for each, with a tick for each event.
        decisions: Instant and outcome of each decision, drawn as lines through both parts.
        window: First and last instant (milliseconds, UTC).
    """

    lines: Mapping[str, Times]
    lanes: Mapping[str, Times]
    decisions: Sequence[tuple[int, str]]
    window: tuple[int, int]

    def _draw(self) -> tuple[Figure, str]:
        rows = len(self.lanes) + 1
        figure, upper, lower = _timeline_figure(
            self.lines, self.lanes, self.window, (3.1 + 0.34 * rows, 2.0, 0.34 * rows, 11, 1.2)
        )
        lower.set_yticks(range(rows), labels=[*self.lanes, "decisions"])
        lower.tick_params(axis="y", length=0)
        lower.grid(axis="y")
        self._draw_decisions(upper, lower)
        lower.set_xlim(*_dates(np.array(self.window)))
        locator = dates.AutoDateLocator(minticks=3, maxticks=7)
        lower.xaxis.set_major_locator(locator)
        lower.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))
        figure.legend(
            *upper.get_legend_handles_labels(), loc="outside upper left", ncols=3, frameon=False
        )
        return figure, _lanes_text(self.lanes, len(self.decisions))

    def _draw_decisions(self, upper: Axes, lower: Axes) -> None:
        """Mark every decision, and name the first decision of each outcome."""
        start, end = self.window
        name_places: list[float] = []
        named_outcomes: set[str] = set()
        for time_ms, outcome in self.decisions:
            if not start <= time_ms <= end:
                continue
            x = _dates(np.array([time_ms]))[0]
            colour = TONE_COLOURS[row_of(outcome).tone] if outcome in OUTCOMES else GREY
            lower.plot([x], [len(self.lanes)], "v", color=colour, ms=8, clip_on=False)
            if outcome in named_outcomes:
                continue
            named_outcomes.add(outcome)
            for axes in (upper, lower):
                axes.axvline(x, color=colour, lw=1.2, ls="--")
            place = (time_ms - start) / max(1, end - start)
            # Names that would overlap are written below each other.
            step = sum(1 for other in name_places if abs(other - place) < NAME_WIDTH)
            name_places.append(place)
            is_near_end = place > 1 - NAME_WIDTH
            upper.annotate(
                outcome,
                (x, 1 - 0.11 * step),
                xycoords=upper.get_xaxis_transform(),
                xytext=(-5 if is_near_end else 5, -2),
                textcoords="offset points",
                va="top",
                ha="right" if is_near_end else "left",
                color=colour,
                weight="bold",
                size=9,
                bbox={"boxstyle": "square,pad=0.15", "fc": "white", "ec": "none", "alpha": 0.85},
            )

    def terminal_lines(self) -> list[str]:
        """Return the lanes as rows of bars, each scaled to its own maximum."""
        start, end = self.window
        lines = [f"From {moment(start)} to {moment(end)}:"]
        for label, times in self.lanes.items():
            counts, _ = np.histogram(times, bins=BAR_COLUMNS, range=self.window)
            top = max(1, int(counts.max()))
            bars = "".join(BARS[-(-int(count) * (len(BARS) - 1) // top)] for count in counts)
            lines.append(f"{label:>16} │{bars}│ {int(counts.sum()):,}")
        row = [" "] * BAR_COLUMNS
        for time_ms, outcome in self.decisions:
            if start <= time_ms <= end:
                column = (time_ms - start) * BAR_COLUMNS // (end - start)
                row[min(BAR_COLUMNS - 1, column)] = outcome[0].upper()
        return [*lines, f"{'decisions':>16} │{''.join(row)}│"]


class TimelineText(NamedTuple):
    """Texts of a numbered timeline: labels of both axes and of the lane of decisions."""

    across: str
    up: str
    decisions: str


def numbered_timeline(
    name: str,
    title: str,
    lines: Mapping[str, Times],
    lanes: Mapping[str, Times],
    decisions: Sequence[int],
    window: tuple[int, int],
    words: TimelineText,
) -> Markup:
    """Draw an account's events for print, with decisions numbered from 1, in neutral colours.

    Args:
        name: Prefix of all identifiers in the chart.
        title: The accessible title.
        lines: Instants by kind; the upper part shows their running totals, at most three.
        lanes: Instants by kind; the lower part has a lane for each, with a tick for each event.
        decisions: The instant of each decision. A number is left out where it would touch another.
        window: First and last instant (milliseconds, UTC).
        words: Labels.
    """
    rows = len(lanes) + 1
    with matplotlib.rc_context(STYLE):
        figure, upper, lower = _timeline_figure(
            lines, lanes, window, (2.6 + 0.24 * rows, 1.9, 0.27 * rows, 8, 1.0)
        )
        upper.set_ylabel(words.up, size=9)
        lower.set_yticks(range(rows), labels=[*lanes, words.decisions], size=9)
        lower.tick_params(axis="y", length=0)
        lower.grid(axis="y")
        _draw_numbers(upper, lower, decisions, window, len(lanes))
        lower.set_xlim(*_dates(np.array(window)))
        lower.xaxis.set_major_locator(dates.AutoDateLocator(minticks=3, maxticks=7))
        lower.xaxis.set_major_formatter(dates.DateFormatter(_tick_format(window)))
        lower.set_xlabel(words.across, size=9)
        figure.legend(
            *upper.get_legend_handles_labels(), loc="outside upper left", ncols=3, frameon=False,
            fontsize=9,
        )  # fmt: skip
        return _svg(figure, _lanes_text(lanes, len(decisions)), name, title)


def _draw_numbers(
    upper: Axes, lower: Axes, decisions: Sequence[int], window: tuple[int, int], row: int
) -> None:
    """Draw decisions as thin lines; those with room beside the one before get their number."""
    length, previous_place = max(1, window[1] - window[0]), -1.0
    for number, time_ms in enumerate(decisions, 1):
        if not window[0] <= time_ms <= window[1]:
            continue
        x, place = _dates(np.array([time_ms]))[0], (time_ms - window[0]) / length
        lower.plot([x], [row], "|", color=INK, ms=8, mew=1.2, clip_on=False)
        if place - previous_place < NUMBER_WIDTH:
            continue
        previous_place = place
        for axes in (upper, lower):
            axes.axvline(x, color=GREY, lw=0.8, ls=":")
        upper.annotate(
            str(number),
            (x, 1.0),
            xycoords=upper.get_xaxis_transform(),
            xytext=(0, -2),
            textcoords="offset points",
            va="top",
            ha="center",
            color=INK,
            size=8,
            bbox={"boxstyle": "circle,pad=0.2", "fc": "white", "ec": GREY, "lw": 0.8},
        )


def _tick_format(window: tuple[int, int]) -> str:
    """Return the format of an axis' ticks, as fine as its length needs."""
    hours = (window[1] - window[0]) / HOUR_MS
    if hours < 0.5:
        return "%H:%M:%S"
    return "%H:%M" if hours <= 26 else "%d %b %H:%M" if hours <= 24 * 7 else "%d %b %Y"


def _timeline_figure(
    lines: Mapping[str, Times],
    lanes: Mapping[str, Times],
    window: tuple[int, int],
    sizes: tuple[float, float, float, float, float],
) -> tuple[Figure, Axes, Axes]:
    """Return a figure with running counts above and lanes of ticks below.

    `sizes` are the height in inches, the ratio of both parts, and length and width of a tick.
    """
    height, upper_ratio, lower_ratio, tick_length, tick_width = sizes
    figure = figures.Figure(figsize=(WIDTH_IN, height), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[upper_ratio, lower_ratio])
    _draw_counts(upper, lines, window)
    for row, times in enumerate(lanes.values()):
        marks = _thin(times, window)
        lower.plot(
            _dates(marks), np.full(len(marks), row), "|", color=BLUE, ms=tick_length, mew=tick_width
        )
    lower.set_ylim(len(lanes) + 0.6, -0.7)
    return figure, upper, lower


def _draw_counts(axes: Axes, lines: Mapping[str, Times], window: tuple[int, int]) -> None:
    top = 0
    # Lines often coincide (every send a first contact): the first is wide, pale and below.
    styles = ((BLUE, 5.0, 0.4, "-"), (ORANGE, 1.8, 1.0, "-"), (GREEN, 1.8, 1.0, "--"))
    for (label, times), (colour, width, alpha, dash) in zip(lines.items(), styles, strict=False):
        ordered = np.sort(times)
        x = np.concatenate([[window[0]], _thin(ordered, window), [window[1]]])
        earlier = np.searchsorted(ordered, window[0], side="left")
        y = np.searchsorted(ordered, x, side="right") - earlier
        y[0] = 0
        top = max(top, int(y[-1]))
        axes.step(
            _dates(x), y, where="post", color=colour, lw=width, alpha=alpha, ls=dash, label=label
        )
    axes.set_ylim(0, max(1.0, 1.28 * top))  # room for the names of outcomes
    axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda y, _: f"{y:,.0f}"))
    axes.yaxis.set_major_locator(ticker.MaxNLocator(5, integer=True))
    axes.set_ylabel("so far")
    axes.grid(axis="y")


def _thin(times: Times, window: tuple[int, int]) -> Times:
    """Keep at most one mark in each column of the chart."""
    inside = times[(times >= window[0]) & (times <= window[1])]
    if len(inside) <= MAX_MARKS:
        return inside
    column = (inside - window[0]) * MAX_MARKS // max(1, window[1] - window[0])
    return inside[np.unique(column, return_index=True)[1]]


def _dates(times: Times) -> NDArray[np.float64]:
    return np.asarray(dates.date2num(times.astype("datetime64[ms]")), dtype=np.float64)


def _row_figure(labels: Sequence[str], extra_in: float) -> tuple[Figure, Axes]:
    """Return a figure with one row for each label, the first on top."""
    height = extra_in + 0.36 * len(labels)
    figure = figures.Figure(figsize=(WIDTH_IN, height), layout="constrained")
    axes = figure.subplots()
    axes.set_yticks(range(len(labels)), labels=list(labels))
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0, pad=9)
    axes.grid(axis="x")
    return figure, axes


def _write_beside(axes: Axes, texts: Sequence[str]) -> None:
    place = axes.get_yaxis_transform()
    for row, text in enumerate(texts):
        axes.text(1.015, row, text, transform=place, va="center", color=GREY, size=9)


def _pairs_text(labels: Sequence[str], texts: Sequence[str]) -> str:
    return "; ".join(f"{label}: {text}" for label, text in zip(labels, texts, strict=True))


def _lanes_text(lanes: Mapping[str, Times], decisions: int) -> str:
    counts = "; ".join(f"{label}: {len(times):,}" for label, times in lanes.items())
    return f"{counts}; decisions: {decisions:,}"


def _svg(figure: Figure, description: str, name: str, title: str) -> Markup:
    """Return a figure as one accessible `<svg>` element without dates or fixed size."""
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text[text.index("<svg") :], flags=re.S)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r"url\(#", f"url(#{name}-", text)
    text = re.sub(r'href="#', f'href="#{name}-', text)
    opening = re.search(r"<svg[^>]*>", text)
    viewbox = re.search(r'viewBox="[^"]*"', text)
    if opening is None or viewbox is None:  # pragma: no cover
        raise AssertionError("matplotlib wrote no svg element")
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'{viewbox[0]} role="img" aria-labelledby="{name}-title {name}-about">'
        f'<title id="{name}-title">{escape(title)}</title>'
        f'<desc id="{name}-about">{escape(description)}</desc>'
    )
    # Matplotlib escapes the text that it writes; title and description are escaped above.
    return Markup(head + text[opening.end() :].rstrip())  # noqa: S704
