"""Charts as inline SVG: shares with intervals, distributions, curves, an account's timeline.

Every function returns one `<svg>` element, the same bytes for the same input. Text stays text, so
that it can be searched, enlarged and read aloud. Every identifier has the chart's name as a prefix,
so that one page can hold several charts. Without Matplotlib (the extra `charts`) a note takes the
place of the chart and names what to install.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from wavebreak.durations import HOUR_MS
from wavebreak.errors import MissingExtraError
from wavebreak.extras import LazyModule
from wavebreak.outcomes import OUTCOMES, Tone, row_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Times = NDArray[np.int64]
Arguments = ParamSpec("Arguments")

matplotlib: Any = LazyModule("matplotlib")
dates: Any = LazyModule("matplotlib.dates")
figures: Any = LazyModule("matplotlib.figure")
ticker: Any = LazyModule("matplotlib.ticker")

# Okabe and Ito's palette: distinguishable under every common colour blindness.
BLUE, ORANGE, GREEN, RED, PURPLE, GREY = (
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#d55e00",
    "#aa4499",
    "#57606a",
)
TONE_COLOURS: dict[Tone, str] = {
    "allow": GREEN,
    "observe": GREY,
    "challenge": "#b08800",
    "limit": "#b08800",
    "restrict": RED,
    "suspend": "#b3261e",
    "ban": "#7a0019",
}
_WIDTH_IN = 7.4
_MARKS = 500  # marks in a lane: more than a screen can show would only enlarge the page
_NUMBER = 0.035  # width of a decision's number, as a share of the timeline
INK = "#1f2328"
_LABEL = 0.15  # width of an outcome's name, as a share of the timeline
_STYLE: dict[Any, Any] = {
    "svg.hashsalt": "wavebreak",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8c959f",
    "axes.axisbelow": True,
    "grid.color": "#e4e8ec",
    "timezone": "UTC",
}


def fonts() -> Path:
    """Return the directory of the charts' fonts; DejaVu Sans covers Latin to Hebrew."""
    return Path(matplotlib.get_data_path()) / "fonts" / "ttf"


def _require_matplotlib(draw: Callable[Arguments, Markup]) -> Callable[Arguments, Markup]:
    """Return a note instead of the chart where Matplotlib is not installed."""

    @wraps(draw)
    def draw_or_note(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Markup:
        try:
            return draw(*args, **kwargs)
        except MissingExtraError as error:
            note = Markup('<p class="note">No chart: {} (<code>{}</code>).</p>')
            return note.format(error.what, error.fix)

    return draw_or_note


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


def _svg(figure: Figure, name: str, title: str, about: str) -> Markup:
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
        f'<desc id="{name}-about">{escape(about)}</desc>'
    )
    # Matplotlib escapes the text that it writes; title and description are escaped above.
    return Markup(head + text[opening.end() :].rstrip())  # noqa: S704


def _row_figure(labels: Sequence[str], extra_in: float = 0.9) -> tuple[Figure, Axes]:
    """Return a figure with one row for each label, the first on top."""
    figure = figures.Figure(
        figsize=(_WIDTH_IN, extra_in + 0.36 * len(labels)), layout="constrained"
    )
    axes = figure.subplots()
    axes.set_yticks(range(len(labels)), labels=list(labels))
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0, pad=9)
    axes.grid(axis="x")
    return figure, axes


def _write_beside(axes: Axes, row: float, words: str) -> None:
    axes.text(
        1.015, row, words, transform=axes.get_yaxis_transform(), va="center", color=GREY, size=9
    )


@_require_matplotlib
def shares(
    name: str,
    title: str,
    labels: Sequence[str],
    series: Mapping[str, Sequence[Interval]],
    *,
    whole: bool = False,
) -> Markup:
    """Draw shares with their intervals, one row for each label.

    Args:
        name: Prefix of all identifiers in the chart.
        title: The accessible title.
        labels: Names of the rows.
        series: One or two named series with a share for each label. The texts of the last one
            are printed beside the rows.
        whole: Let the axis run from 0 to 100 %; otherwise it ends above the highest interval.

    """
    with matplotlib.rc_context(_STYLE):
        figure, axes = _row_figure(labels, 1.3 if len(series) > 1 else 0.9)
        styles = ((BLUE, "o"),) if len(series) == 1 else ((ORANGE, "D"), (RED, "o"))
        offsets = np.linspace(-0.16, 0.16, len(series)) if len(series) > 1 else np.zeros(1)
        for values, (colour, mark), offset in zip(series.values(), styles, offsets, strict=True):
            rows = np.arange(len(labels)) + offset
            axes.hlines(rows, [v.low for v in values], [v.high for v in values], colour, lw=2)
            axes.plot([v.share for v in values], rows, mark, color=colour, clip_on=False)
        last = list(series.values())[-1]
        for row, value in enumerate(last):
            _write_beside(axes, row, value.words)
        top = max((v.high for values in series.values() for v in values), default=0.0)
        axes.set_xlim(0, 1 if whole else min(1.0, max(0.02, 1.05 * top)))
        axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda x, _: f"{100 * x:g} %"))
        if len(series) > 1:
            marks = axes.get_lines()
            figure.legend(marks, list(series), loc="outside lower center", ncols=2, frameon=False)
        about = "; ".join(f"{label}: {v.words}" for label, v in zip(labels, last, strict=True))
        return _svg(figure, name, title, about)


@_require_matplotlib
def spreads(name: str, title: str, labels: Sequence[str], values: Sequence[Spread]) -> Markup:
    """Draw distributions, one row for each label.

    A thin line is the 10th to 90th percentile, a thick one the middle half; median and mean are
    marks. The axis is logarithmic above 1 and includes 0.
    """
    with matplotlib.rc_context(_STYLE):
        figure, axes = _row_figure(labels, 1.3)
        rows = np.arange(len(labels))
        axes.hlines(rows, [v.p10 for v in values], [v.p90 for v in values], BLUE, lw=1.5)
        axes.hlines(rows, [v.p25 for v in values], [v.p75 for v in values], BLUE, lw=6, alpha=0.45)
        axes.plot([v.median for v in values], rows, "o", color=BLUE, label="median", clip_on=False)
        axes.plot(
            [v.mean for v in values],
            rows,
            "D",
            ms=6,
            mfc="white",
            mec=RED,
            label="mean",
            clip_on=False,
        )
        for row, value in enumerate(values):
            _write_beside(axes, row, value.words)
        axes.set_xscale("symlog", linthresh=1)
        top = max((max(v.p90, v.mean) for v in values), default=1.0)
        axes.set_xlim(0, max(10.0, 1.3 * top))
        axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda x, _: f"{x:,.0f}"))
        figure.legend(loc="outside lower center", ncols=2, frameon=False)
        about = "; ".join(f"{label}: {v.words}" for label, v in zip(labels, values, strict=True))
        return _svg(figure, name, title, about)


class Line(NamedTuple):
    """One line of a chart: its label, its points, and whether it is a guide (dashed, grey)."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    guide: bool = False


@_require_matplotlib
def curves(
    name: str,
    title: str,
    lines: Sequence[Line],
    *,
    across: str,
    up: str,
    log: bool = False,
    marks: bool = False,
) -> Markup:
    """Draw lines over one pair of axes.

    Where no value is negative, the vertical axis starts at 0, so that a small change styles small.

    Args:
        name: Prefix of all identifiers in the chart.
        title: The accessible title.
        lines: The lines. Guides with the same label share one entry of the legend.
        across: Label of the horizontal axis.
        up: Label of the vertical axis.
        log: Make the vertical axis logarithmic (linear up to 2).
        marks: Mark every point.

    """
    with matplotlib.rc_context(_STYLE):
        figure = figures.Figure(figsize=(_WIDTH_IN, 4.2), layout="constrained")
        axes = figure.subplots()
        colours = iter((BLUE, ORANGE, GREEN, PURPLE, RED, "#b08800", "#7a0019", "#1b1f24") * 4)
        guides = {line.label: k for k, line in reversed([*enumerate(lines)]) if line.guide}
        for k, line in enumerate(lines):
            colour = GREY if line.guide else next(colours)
            axes.plot(
                line.x,
                line.y,
                color=colour,
                ls="--" if line.guide else "-",
                lw=1.8,
                marker="o" if marks and not line.guide else "",
                ms=5,
                label=line.label if guides.get(line.label, k) == k else "_",
            )
        _set_scale(axes, lines, log)
        axes.set_xlabel(across)
        axes.set_ylabel(up)
        axes.grid(True)
        figure.legend(loc="outside lower center", ncols=3, frameon=False)
        ends = [f"{v.label}: {v.y[-1]:.3g} at {v.x[-1]:.3g}" for v in lines if len(v.x)]
        return _svg(figure, name, title, "; ".join(ends))


def _set_scale(axes: Axes, lines: Sequence[Line], log: bool) -> None:
    values = [float(y) for line in lines for y in line.y]
    if log:
        _set_log_scale(axes, values)
    elif min(values, default=0.0) >= 0 < max(values, default=0.0):
        axes.set_ylim(-0.03 * max(values), 1.05 * max(values))
    if all(float(x).is_integer() for line in lines for x in line.x):
        axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))


def _set_log_scale(axes: Axes, values: Sequence[float]) -> None:
    """Set a logarithmic axis with enough ticks, even where the values are close."""
    above = [value for value in values if value > 0]
    close = not above or max(above) < 30 * min(above)
    subs = (1, 1.5, 2, 3, 4, 6, 8) if close else (1, 2, 5)
    axes.set_yscale("symlog")
    axes.yaxis.set_major_locator(ticker.SymmetricalLogLocator(base=10, linthresh=2, subs=subs))
    axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:,g}"))


def _thin(times: Times, window: tuple[int, int]) -> Times:
    """Keep at most one mark in each column of the chart."""
    inside = times[(times >= window[0]) & (times <= window[1])]
    if len(inside) <= _MARKS:
        return inside
    column = (inside - window[0]) * _MARKS // max(1, window[1] - window[0])
    return inside[np.unique(column, return_index=True)[1]]


def _dates(times: Times) -> NDArray[np.float64]:
    days = dates.date2num(times.astype("datetime64[ms]"))
    return np.asarray(days, dtype=np.float64)


def _cumulative(axes: Axes, lanes: Mapping[str, Times], window: tuple[int, int]) -> None:
    most = 0
    # Lines often coincide (every send a first contact): the first is wide, pale and below.
    styles = ((BLUE, 5.0, 0.4, "-"), (ORANGE, 1.8, 1.0, "-"), (GREEN, 1.8, 1.0, "--"))
    for (label, times), (colour, width, alpha, dash) in zip(lanes.items(), styles, strict=False):
        ordered = np.sort(times)
        at = _thin(ordered, window)
        x = np.concatenate([[window[0]], at, [window[1]]])
        before = np.searchsorted(ordered, window[0], side="left")
        y = np.searchsorted(ordered, x, side="right") - before
        y[0] = 0
        most = max(most, int(y[-1]))
        axes.step(
            _dates(x), y, where="post", color=colour, lw=width, alpha=alpha, ls=dash, label=label
        )
    axes.set_ylim(0, max(1.0, 1.28 * most))  # room for the names of outcomes
    axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda y, _: f"{y:,.0f}"))
    axes.yaxis.set_major_locator(ticker.MaxNLocator(5, integer=True))
    axes.set_ylabel("so far")
    axes.grid(axis="y")


@_require_matplotlib
def timeline(
    name: str,
    title: str,
    lines: Mapping[str, Times],
    lanes: Mapping[str, Times],
    decisions: Sequence[tuple[int, str]],
    window: tuple[int, int],
) -> Markup:
    """Draw the events of an account and the decisions about it.

    Args:
        name: Prefix of all identifiers in the chart.
        title: The accessible title.
        lines: Instants by kind; the upper part shows their running counts.
        lanes: Instants by kind; the lower part has a lane for each, with a tick for each event.
        decisions: Instant and outcome of each decision, drawn as lines through both parts.
        window: First and last instant (milliseconds, UTC).

    """
    with matplotlib.rc_context(_STYLE):
        figure = figures.Figure(
            figsize=(_WIDTH_IN, 3.1 + 0.34 * (len(lanes) + 1)), layout="constrained"
        )
        upper, lower = figure.subplots(
            2, 1, sharex=True, height_ratios=[2.0, 0.34 * (len(lanes) + 1)]
        )
        _cumulative(upper, lines, window)
        for row, times in enumerate(lanes.values()):
            at = _thin(times, window)
            lower.plot(_dates(at), np.full(len(at), row), "|", color=BLUE, ms=11, mew=1.2)
        lower.set_yticks(range(len(lanes) + 1), labels=[*lanes, "decisions"])
        lower.set_ylim(len(lanes) + 0.6, -0.7)
        lower.tick_params(axis="y", length=0)
        lower.grid(axis="y")
        _decision_lines(upper, lower, decisions, window, len(lanes))
        lower.set_xlim(*_dates(np.array(window)))
        locator = dates.AutoDateLocator(minticks=3, maxticks=7)
        lower.xaxis.set_major_locator(locator)
        clock = dates.ConciseDateFormatter(locator)
        lower.xaxis.set_major_formatter(clock)
        figure.legend(
            *upper.get_legend_handles_labels(), loc="outside upper left", ncols=3, frameon=False
        )
        about = "; ".join(f"{label}: {len(times):,}" for label, times in lanes.items())
        return _svg(figure, name, title, f"{about}; decisions: {len(decisions):,}")


def _decision_lines(
    upper: Axes,
    lower: Axes,
    decisions: Sequence[tuple[int, str]],
    window: tuple[int, int],
    row: int,
) -> None:
    inside = [(at, outcome) for at, outcome in decisions if window[0] <= at <= window[1]]
    length = max(1, window[1] - window[0])
    labelled: list[float] = []
    seen: set[str] = set()
    for at, outcome in inside:
        x = _dates(np.array([at]))[0]
        colour = TONE_COLOURS[row_of(outcome).tone] if outcome in OUTCOMES else GREY
        lower.plot([x], [row], "v", color=colour, ms=8, clip_on=False)
        if outcome in seen:
            continue
        seen.add(outcome)
        upper.axvline(x, color=colour, lw=1.2, ls="--")
        lower.axvline(x, color=colour, lw=1.2, ls="--")
        place = (at - window[0]) / length
        step = sum(1 for other in labelled if abs(other - place) < _LABEL)
        labelled.append(place)
        left = place > 1 - _LABEL
        upper.annotate(
            outcome,
            (x, 1 - 0.11 * step),
            xycoords=upper.get_xaxis_transform(),
            xytext=(-5 if left else 5, -2),
            textcoords="offset points",
            va="top",
            ha="right" if left else "left",
            color=colour,
            weight="bold",
            size=9,
            bbox={"boxstyle": "square,pad=0.15", "fc": "white", "ec": "none", "alpha": 0.85},
        )


class TimelineText(NamedTuple):
    """Words of a timeline: labels of both axes, of the lane of decisions; direction of the text."""

    across: str
    up: str
    decisions: str


@_require_matplotlib
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
    with matplotlib.rc_context(_STYLE):
        figure = figures.Figure(
            figsize=(_WIDTH_IN, 2.6 + 0.24 * (len(lanes) + 1)), layout="constrained"
        )
        upper, lower = figure.subplots(
            2, 1, sharex=True, height_ratios=[1.9, 0.27 * (len(lanes) + 1)]
        )
        _cumulative(upper, lines, window)
        upper.set_ylabel(words.up, size=9)
        for row, times in enumerate(lanes.values()):
            at = _thin(times, window)
            lower.plot(_dates(at), np.full(len(at), row), "|", color=BLUE, ms=8, mew=1.0)
        lower.set_yticks(range(len(lanes) + 1), labels=[*lanes, words.decisions], size=9)
        lower.set_ylim(len(lanes) + 0.6, -0.7)
        lower.tick_params(axis="y", length=0)
        lower.grid(axis="y")
        _decision_numbers(upper, lower, decisions, window, len(lanes))
        lower.set_xlim(*_dates(np.array(window)))
        locator = dates.AutoDateLocator(minticks=3, maxticks=7)
        lower.xaxis.set_major_locator(locator)
        lower.xaxis.set_major_formatter(dates.DateFormatter(_clock(window)))
        lower.set_xlabel(words.across, size=9)
        figure.legend(
            *upper.get_legend_handles_labels(), loc="outside upper left", ncols=3, frameon=False,
            fontsize=9,
        )  # fmt: skip
        about = "; ".join(f"{label}: {len(times):,}" for label, times in lanes.items())
        return _svg(figure, name, title, f"{about}; decisions: {len(decisions):,}")


def _clock(window: tuple[int, int]) -> str:
    """Return the format of an axis' ticks, as fine as its length needs."""
    hours = (window[1] - window[0]) / HOUR_MS
    if hours < 0.5:
        return "%H:%M:%S"
    return "%H:%M" if hours <= 26 else "%d %b %H:%M" if hours <= 24 * 7 else "%d %b %Y"


def _decision_numbers(
    upper: Axes, lower: Axes, decisions: Sequence[int], window: tuple[int, int], row: int
) -> None:
    """Draw decisions as thin lines; those with room beside the one before get their number."""
    length, last = max(1, window[1] - window[0]), -1.0
    for number, at in enumerate(decisions, 1):
        if not window[0] <= at <= window[1]:
            continue
        x, place = _dates(np.array([at]))[0], (at - window[0]) / length
        lower.plot([x], [row], "|", color=INK, ms=8, mew=1.2, clip_on=False)
        if place - last < _NUMBER:
            continue
        last = place
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
