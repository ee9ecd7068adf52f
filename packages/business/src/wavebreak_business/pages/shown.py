"""What pages show of portfolios: rows of the list, plots of quality, the words of codes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple, get_args

from wavebreak.durations import DAY_MS
from wavebreak_business.platform import kernel as k
from wavebreak_business.platform.events import Ground, TemplateStatus
from wavebreak_business.platform.laws import CATEGORIES
from wavebreak_business.platform.platform import Platform
from wavebreak_business.platform.portfolios import Portfolio
from wavebreak_business.service import views

GROUNDS: dict[Ground, str] = {
    "quality": "People want none of it",
    "consent": "Sent without consent",
    "templates": "Templates used for something else",
    "identity": "Not who it says it is",
    "law": "Law, or an order of an authority",
}
"""Grounds of a step by code."""
CHANGES = {
    "step": "The rules took a step",
    "set": "A person took a step",
    "lifted": "What was barred is lifted",
    "inherited": "Inherited from a barred business of the same owners",
    "appeal_opened": "An appeal was opened",
    "appeal_unchanged": "The appeal was refused",
    "appeal_reversed": "The appeal succeeded",
}
"""What becomes of a standing by code."""
BARS = {
    "nothing": "nothing barred",
    "outside_windows": "no templates outside windows",
    "all": "all sends barred",
}
"""What a step bars by code."""
_WORDS: dict[str, str] = {str(code): text for code, text in GROUNDS.items()} | CHANGES | BARS
CODES = (
    *GROUNDS.values(), *CHANGES.values(), *BARS.values(), *views.QUALITY, *views.PACE, *CATEGORIES,
    *get_args(TemplateStatus), "paused", "paused by pacing", "granted", "revoked", "none",
)  # fmt: skip
"""Words of codes that pages show."""
STATES = ("", "barred", "appeals")
"""What the list of portfolios may be restricted to."""
PLOT_WIDTH, PLOT_HEIGHT = 100, 10
_POINTS = 10_000
"""Points of one person who blocks, of full credibility."""


def words(code: str) -> str:
    """Return the words of a code, which a template translates.

    >>> words("outside_windows"), words("paused_by_pacing"), words("set")
    ('no templates outside windows', 'paused by pacing', 'A person took a step')
    """
    return _WORDS.get(code, code.replace("_", " "))


class PortfolioRow(NamedTuple):
    """A portfolio in the list."""

    name: str
    legal_name: str
    verified: bool
    numbers: int
    templates: int
    limit: views.LimitUse
    quality: str
    standing: views.PortfolioStanding


def matching(platform: Platform, text: str, state: str, now_ms: int) -> list[str]:
    """Return the names of portfolios that a text is in, of a state, in order.

    Args:
        platform: The platform.
        text: Part of a name, a legal name, an owner, or a number with its name; "": any.
        state: One of `STATES`.
        now_ms: The clock.
    """
    wanted = text.casefold()
    return sorted(
        portfolio.name
        for portfolio in platform.registry.portfolios.values()
        if _has_state(platform, portfolio, state, now_ms)
        and any(wanted in part.casefold() for part in _names(portfolio))
    )


def _names(portfolio: Portfolio) -> Iterable[str]:
    yield from (portfolio.name, portfolio.legal_name, *portfolio.owners)
    for number, record in portfolio.numbers.items():
        yield from (number, record.display_name)


def _has_state(platform: Platform, portfolio: Portfolio, state: str, now_ms: int) -> bool:
    if state == "appeals":
        return portfolio.appeal == "opened"
    if state == "barred":
        return platform.state.bars_of(portfolio.slot, now_ms) != k.BARS_NOTHING
    return True


def row_of(platform: Platform, name: str, now_ms: int) -> PortfolioRow:
    """Return a portfolio as the list shows it."""
    portfolio = platform.registry.portfolios[name]
    return PortfolioRow(
        name,
        portfolio.legal_name,
        portfolio.verified,
        len(portfolio.numbers),
        len(portfolio.templates),
        views.limit_use(platform, portfolio, now_ms),
        views.QUALITY[platform.state.rating_of(portfolio.slot)],
        views.standing_view(platform, portfolio, now_ms),
    )


class QualityDay(NamedTuple):
    """A day of a plot of quality: people written to, and how many of a hundred want none of it."""

    day: str
    people: int
    bad: float | None


class PlotBar(NamedTuple):
    """A bar of a plot, in hundredths of its width and tenths of its height."""

    x: float
    y: float
    height: float
    is_low: bool


class QualityPlot(NamedTuple):
    """A plot of the last days: a bar each that has a figure, and the newest of these figures."""

    days: list[QualityDay]
    bars: list[PlotBar]
    newest: float | None


def quality_plot(record: Any, low_share: float, now_ms: int) -> QualityPlot:
    """Return the quality of a portfolio or template over the days that count.

    Args:
        record: Its record.
        low_share: The share from which quality is low, which the plot has room for.
        now_ms: The clock.
    """
    today, last = now_ms // DAY_MS, int(record["day"])
    days = []
    for day in range(today - k.COUNTED_DAYS + 1, today + 1):
        known = last - k.DAYS < day <= last
        people = int(record["sent"][day & 7]) if known else 0
        points = int(record["points"][day & 7]) if known else 0
        bad = 100 * points / _POINTS / people if people else None
        name = datetime.fromtimestamp(day * DAY_MS / 1000, UTC).strftime("%d.%m.")
        days.append(QualityDay(name, people, bad))
    low = 100 * low_share
    top = max([2 * low, *(each.bad for each in days if each.bad is not None)])
    bars = []
    for n, each in enumerate(days):
        if each.bad is not None:
            height = max(PLOT_HEIGHT * each.bad / top, 1.0)
            x = PLOT_WIDTH * n / len(days)
            bars.append(
                PlotBar(round(x, 1), round(PLOT_HEIGHT - height, 1), height, each.bad >= low)
            )
    newest = next((each.bad for each in reversed(days) if each.bad is not None), None)
    return QualityPlot(days, bars, newest)


class TemplateRow(NamedTuple):
    """A template with its plot."""

    view: views.TemplateView
    plot: QualityPlot


def template_rows(
    platform: Platform, portfolio: Portfolio, after: str, count: int, now_ms: int
) -> list[TemplateRow]:
    """Return templates by name after one, each with its plot."""
    low = platform.settings.limits.quality.low
    return [
        TemplateRow(view, quality_plot(_record(platform, portfolio, view.template), low, now_ms))
        for view in views.templates_page(platform, portfolio, after, count, now_ms)
    ]


def _record(platform: Platform, portfolio: Portfolio, template: str) -> Any:
    return platform.state.templates.records[portfolio.templates[template].slot]
