"""Pictures as inline SVG: shares with intervals, spreads, an account's timeline.

Every function takes finished numbers and returns one `<svg>` element, the same bytes for the
same input, with its words as text (they can be read aloud, searched and enlarged) and every
identifier prefixed by the picture's name, so that several can stand in one page. Without
Matplotlib (the extra `charts`) a paragraph stands in the picture's place and says what to install.
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
from numpy.typing import NDArray

from wavebreak.errors import MissingExtraError
from wavebreak.extras import Optional

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Times = NDArray[np.int64]
Drawn = ParamSpec("Drawn")

matplotlib: Any = Optional("matplotlib")
dates: Any = Optional("matplotlib.dates")
figures: Any = Optional("matplotlib.figure")
ticker: Any = Optional("matplotlib.ticker")

# Okabe and Ito's palette: told apart under every common colour blindness.
BLUE, ORANGE, GREEN, RED, PURPLE, GREY = (
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#d55e00",
    "#aa4499",
    "#57606a",
)
OUTCOME_COLOURS = {
    "allow": GREEN,
    "observe": GREY,
    "challenge": "#b08800",
    "limit": "#b08800",
    "restrict": RED,
    "suspend": "#b3261e",
    "ban": "#7a0019",
}
_WIDTH_IN = 7.4
_MARKS = 500  # a lane never holds more marks than a reader's screen has columns for it
_LABEL = 0.15  # share of a timeline's width that the name of an outcome takes
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
    """Where the fonts lie that pictures are drawn with; DejaVu Sans has Latin to Hebrew."""
    return Path(matplotlib.get_data_path()) / "fonts" / "ttf"


def _or_says_what_is_missing(draw: Callable[Drawn, str]) -> Callable[Drawn, str]:
    """Put a paragraph in the place of a picture that cannot be drawn here."""

    @wraps(draw)
    def drawn(*args: Drawn.args, **kwargs: Drawn.kwargs) -> str:
        try:
            return draw(*args, **kwargs)
        except MissingExtraError as error:
            fix = f"<code>{escape(error.fix)}</code>"
            return f'<p class="note">No picture: {escape(error.what)} ({fix}).</p>'

    return drawn


class Interval(NamedTuple):
    """A share with the ends of its interval (each 0 to 1) and the words beside it."""

    share: float
    low: float
    high: float
    words: str


class Spread(NamedTuple):
    """How a number is spread over accounts: five percentiles, the mean, the words beside it."""

    p10: float
    p25: float
    median: float
    p75: float
    p90: float
    mean: float
    words: str


def _svg(figure: Figure, name: str, title: str, about: str) -> str:
    """Write a figure as one accessible `<svg>` element without dates or fixed size."""
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
    return head + text[opening.end() :].rstrip()


def _rows(labels: Sequence[str], extra_in: float = 0.9) -> tuple[Figure, Axes]:
    """Open a figure with one row a label, first label on top."""
    figure = figures.Figure(
        figsize=(_WIDTH_IN, extra_in + 0.36 * len(labels)), layout="constrained"
    )
    axes = figure.subplots()
    axes.set_yticks(range(len(labels)), labels=list(labels))
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0, pad=9)
    axes.grid(axis="x")
    return figure, axes


def _beside(axes: Axes, row: float, words: str) -> None:
    axes.text(
        1.015, row, words, transform=axes.get_yaxis_transform(), va="center", color=GREY, size=9
    )


@_or_says_what_is_missing
def shares(
    name: str,
    title: str,
    labels: Sequence[str],
    series: Mapping[str, Sequence[Interval]],
    *,
    whole: bool = False,
) -> str:
    """Draw one row a label: each series' share as a mark with its interval as a line.

    `whole` keeps the axis at 0 to 100 %; otherwise it ends just above the highest interval.
    The words of the last series stand beside its row.
    """
    with matplotlib.rc_context(_STYLE):
        figure, axes = _rows(labels, 1.3 if len(series) > 1 else 0.9)
        looks = ((BLUE, "o"),) if len(series) == 1 else ((ORANGE, "D"), (RED, "o"))
        offsets = np.linspace(-0.16, 0.16, len(series)) if len(series) > 1 else np.zeros(1)
        for values, (colour, mark), offset in zip(series.values(), looks, offsets, strict=True):
            rows = np.arange(len(labels)) + offset
            axes.hlines(rows, [v.low for v in values], [v.high for v in values], colour, lw=2)
            axes.plot([v.share for v in values], rows, mark, color=colour, clip_on=False)
        last = list(series.values())[-1]
        for row, value in enumerate(last):
            _beside(axes, row, value.words)
        top = max((v.high for values in series.values() for v in values), default=0.0)
        axes.set_xlim(0, 1 if whole else min(1.0, max(0.02, 1.05 * top)))
        axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda x, _: f"{100 * x:g} %"))
        if len(series) > 1:
            marks = axes.get_lines()
            figure.legend(marks, list(series), loc="outside lower center", ncols=2, frameon=False)
        about = "; ".join(f"{label}: {v.words}" for label, v in zip(labels, last, strict=True))
        return _svg(figure, name, title, about)


@_or_says_what_is_missing
def spreads(name: str, title: str, labels: Sequence[str], values: Sequence[Spread]) -> str:
    """Draw one row a label: 10th to 90th percentile thin, quarters thick, median, mean.

    The axis is logarithmic above 1 and holds 0.
    """
    with matplotlib.rc_context(_STYLE):
        figure, axes = _rows(labels, 1.3)
        rows = np.arange(len(labels))
        axes.hlines(rows, [v.p10 for v in values], [v.p90 for v in values], BLUE, lw=1.5)
        axes.hlines(rows, [v.p25 for v in values], [v.p75 for v in values], BLUE, lw=6, alpha=0.45)
        axes.plot([v.median for v in values], rows, "o", color=BLUE, label="median", clip_on=False)
        axes.plot(
            [v.mean for v in values], rows, "D", ms=6, mfc="white", mec=RED, label="mean",
            clip_on=False,
        )  # fmt: skip
        for row, value in enumerate(values):
            _beside(axes, row, value.words)
        axes.set_xscale("symlog", linthresh=1)
        top = max((max(v.p90, v.mean) for v in values), default=1.0)
        axes.set_xlim(0, max(10.0, 1.3 * top))
        axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda x, _: f"{x:,.0f}"))
        figure.legend(loc="outside lower center", ncols=2, frameon=False)
        about = "; ".join(f"{label}: {v.words}" for label, v in zip(labels, values, strict=True))
        return _svg(figure, name, title, about)


class Line(NamedTuple):
    """One line of a plot: what it is, its points, and whether it is a mere guide (dashed, grey)."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    guide: bool = False


@_or_says_what_is_missing
def curves(
    name: str,
    title: str,
    lines: Sequence[Line],
    *,
    across: str,
    up: str,
    log: bool = False,
    marks: bool = False,
) -> str:
    """Draw lines over one pair of axes named `across` and `up`.

    `log` makes the axis `up` logarithmic (up to 2 it is linear); `marks` sets a mark on every
    point. Guides of one name share one entry of the legend. Where nothing is below nought the
    axis begins there, so that a small change looks small.
    """
    with matplotlib.rc_context(_STYLE):
        figure = figures.Figure(figsize=(_WIDTH_IN, 4.2), layout="constrained")
        axes = figure.subplots()
        colours = iter((BLUE, ORANGE, GREEN, PURPLE, RED, "#b08800", "#7a0019", "#1b1f24") * 4)
        guides = {line.label: k for k, line in reversed([*enumerate(lines)]) if line.guide}
        for k, line in enumerate(lines):
            colour = GREY if line.guide else next(colours)
            axes.plot(
                line.x, line.y, color=colour, ls="--" if line.guide else "-", lw=1.8,
                marker="o" if marks and not line.guide else "", ms=5,
                label=line.label if guides.get(line.label, k) == k else "_",
            )  # fmt: skip
        _scaled(axes, lines, log)
        axes.set_xlabel(across)
        axes.set_ylabel(up)
        axes.grid(True)
        figure.legend(loc="outside lower center", ncols=3, frameon=False)
        ends = [f"{v.label}: {v.y[-1]:.3g} at {v.x[-1]:.3g}" for v in lines if len(v.x)]
        return _svg(figure, name, title, "; ".join(ends))


def _scaled(axes: Axes, lines: Sequence[Line], log: bool) -> None:
    values = [float(y) for line in lines for y in line.y]
    if log:
        _logarithmic(axes, values)
    elif min(values, default=0.0) >= 0 < max(values, default=0.0):
        axes.set_ylim(-0.03 * max(values), 1.05 * max(values))
    if all(float(x).is_integer() for line in lines for x in line.x):
        axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))


def _logarithmic(axes: Axes, values: Sequence[float]) -> None:
    """Set a logarithmic axis with ticks enough to be read, be the values ever so close."""
    above = [value for value in values if value > 0]
    close = not above or max(above) < 30 * min(above)
    subs = (1, 1.5, 2, 3, 4, 6, 8) if close else (1, 2, 5)
    axes.set_yscale("symlog")
    axes.yaxis.set_major_locator(ticker.SymmetricalLogLocator(base=10, linthresh=2, subs=subs))
    axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:,g}"))


def _thin(times: Times, window: tuple[int, int]) -> Times:
    """Keep at most one mark a column of the picture."""
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
    # Lines often coincide (every send a first contact): the first is broad and pale below.
    looks = ((BLUE, 5.0, 0.4, "-"), (ORANGE, 1.8, 1.0, "-"), (GREEN, 1.8, 1.0, "--"))
    for (label, times), (colour, width, alpha, dash) in zip(lanes.items(), looks, strict=False):
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


@_or_says_what_is_missing
def timeline(
    name: str,
    title: str,
    lines: Mapping[str, Times],
    lanes: Mapping[str, Times],
    decisions: Sequence[tuple[int, str]],
    window: tuple[int, int],
) -> str:
    """Draw what happened to an account between two instants (milliseconds, UTC).

    Above, how many of each of `lines` since the first of the two; below, one lane a kind of event
    with a tick an event; `decisions` are (instant, outcome) and run as lines through both.
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
        figure.legend(*upper.get_legend_handles_labels(), loc="outside upper left",
                      ncols=3, frameon=False)  # fmt: skip
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
        colour = OUTCOME_COLOURS.get(outcome, GREY)
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
            outcome, (x, 1 - 0.11 * step), xycoords=upper.get_xaxis_transform(),
            xytext=(-5 if left else 5, -2), textcoords="offset points", va="top",
            ha="right" if left else "left", color=colour, weight="bold", size=9,
            bbox={"boxstyle": "square,pad=0.15", "fc": "white", "ec": "none", "alpha": 0.85},
        )  # fmt: skip
