"""What is shown of the platform: portfolios with limits and standing, templates, consent."""

from __future__ import annotations

from itertools import islice
from typing import Literal

from wavebreak_business.platform import kernel as k
from wavebreak_business.platform.consents import Basis, Word
from wavebreak_business.platform.platform import Platform
from wavebreak_business.platform.portfolios import Portfolio, TemplateRecord, status_of
from wavebreak_business.service.standing_history import known_rows, version
from wavebreak_server.http.schemas import Response

SHOWN_CHANGES = 100
"""Changes of a standing that are shown."""

Quality = Literal["unknown", "high", "medium", "low"]
QUALITY: tuple[Quality, ...] = ("unknown", "high", "medium", "low")
"""Ratings by code."""
Pace = Literal["free", "counting", "holding"]
PACE: tuple[Pace, ...] = ("free", "counting", "holding")
"""Pacing by code."""
Bars = Literal["nothing", "outside_windows", "all"]
BARS: tuple[Bars, ...] = ("nothing", "outside_windows", "all")
"""What a portfolio may not do, by code."""


class PortfolioStanding(Response):
    """Where a portfolio stands on the ladder: what it may not do now, and until when.

    `step` 0 is none; `name` is that of the step, also of one that is over and still counts.
    `until_ms` is null where a person ends it, or nothing is barred. `appeal`: the last one.
    """

    step: int
    name: str
    bars: Bars
    begins_ms: int | None
    until_ms: int | None
    appeal: str


class StandingChangeView(Response):
    """A change of a standing: what, the step and what it bars until when, by whom and why.

    `actor` and `reason` are the messenger's own: a business reads neither. An act of the rules
    has neither.
    """

    number: int
    at_ms: int
    what: str
    step: int
    name: str
    bars: Bars
    begins_ms: int | None
    until_ms: int | None
    ground: str
    actor: str | None
    reason: str | None


class StandingHistory(Response):
    """Where a portfolio stands, and the newest hundred changes, the newest first.

    `version` is the number of the newest change (0: there was none): who acts names it.
    """

    portfolio: str
    version: int
    standing: PortfolioStanding
    changes: list[StandingChangeView]


class LimitUse(Response):
    """How many people may be written to outside windows in a span (null: any number), and were."""

    limit: int | None
    used: int
    span: str


class BusinessNumber(Response):
    """A number of a portfolio: the account that sends, and what people see."""

    number: str
    display_name: str
    throughput: str


class PortfolioView(Response):
    """A portfolio: who it is, its numbers, limit with use, quality, and standing.

    `pace`: `free`; `counting` while a batch goes out; `holding` while its people react. `linked`:
    barred portfolios of the same owners when it came.
    """

    portfolio: str
    legal_name: str
    verified: bool
    owners: list[str]
    numbers: list[BusinessNumber]
    limit: LimitUse
    quality: Quality
    pace: Pace
    standing: PortfolioStanding
    templates: int
    templates_paused: int
    linked: list[str]


class TemplateView(Response):
    """A template: its category, what the rules make of it, and its quality.

    `status` is `paused` for low quality until `until_ms`, `paused_by_pacing` until a person
    approves it. `registered`: the status that a person gave it.
    """

    template: str
    category: str
    language: str
    status: str
    registered: str
    quality: Quality
    until_ms: int | None


class ConsentWordView(Response):
    """A word on consent: what was said when, by what source, with the digest of its proof."""

    at_ms: int
    granted: bool
    category: str | None
    of_number: bool
    source: str
    proof: str | None
    counts: bool


class ConsentBasis(Response):
    """On what basis a message would be sent to a person: the state of consent, and the words.

    `words` are the newest hundred, in their order.
    """

    state: Literal["granted", "revoked", "none"]
    word: ConsentWordView | None
    words: list[ConsentWordView]


def portfolio_view(platform: Platform, portfolio: Portfolio, now_ms: int) -> PortfolioView:
    """Return a portfolio as of the later of its time and the clock."""
    state = platform.state
    p = state.ports.records[portfolio.slot]
    statuses = [
        int(state.templates.records[each.slot]["status"]) for each in portfolio.templates.values()
    ]
    return PortfolioView(
        portfolio=portfolio.name,
        legal_name=portfolio.legal_name,
        verified=portfolio.verified,
        owners=list(portfolio.owners),
        numbers=[
            BusinessNumber(number, each.display_name, each.throughput)
            for number, each in portfolio.numbers.items()
        ],
        limit=limit_use(platform, portfolio, now_ms),
        quality=QUALITY[state.rating_of(portfolio.slot)],
        pace=PACE[int(p["pace"])],
        standing=standing_view(platform, portfolio, now_ms),
        templates=len(statuses),
        templates_paused=sum(status in (k.PAUSED, k.PACED) for status in statuses),
        linked=list(portfolio.linked),
    )


def limit_use(platform: Platform, portfolio: Portfolio, now_ms: int) -> LimitUse:
    """Return how much of its limit a portfolio uses."""
    limit = int(platform.state.ports.records[portfolio.slot]["limit"])
    return LimitUse(
        limit if limit >= 0 else None,
        platform.state.used_of(portfolio.slot, now_ms),
        platform.settings.limits.limit.span,
    )


def standing_view(platform: Platform, portfolio: Portfolio, now_ms: int) -> PortfolioStanding:
    """Return where a portfolio stands on the ladder."""
    state = platform.state
    p = state.ports.records[portfolio.slot]
    step, until = int(p["step"]), int(p["until"])
    barred = state.bars_of(portfolio.slot, now_ms) != k.BARS_NOTHING
    return PortfolioStanding(
        step=step,
        name=platform.settings.limits.ladder.steps[step - 1].name if step else "",
        bars=BARS[state.bars_of(portfolio.slot, now_ms)],
        begins_ms=int(p["begins"]) if barred else None,
        until_ms=until if barred and until < k.ENDLESS else None,
        appeal=portfolio.appeal,
    )


def standing_history(
    platform: Platform, portfolio: Portfolio, now_ms: int, *, to_messenger: bool
) -> StandingHistory:  # fmt: skip
    """Return where a portfolio stands, and how it came there.

    `to_messenger`: whether it is the messenger who asks, who is told by whom and why too.
    """
    rows = known_rows(portfolio.name, SHOWN_CHANGES)
    return StandingHistory(
        portfolio=portfolio.name,
        version=version(portfolio.name),
        standing=standing_view(platform, portfolio, now_ms),
        changes=[
            StandingChangeView(
                number=row.id, at_ms=row.at_ms, what=row.what, step=row.step, name=row.name,
                bars=row.bars, begins_ms=row.begins_ms, until_ms=row.until_ms, ground=row.ground,
                actor=row.actor if to_messenger else None,
                reason=row.reason if to_messenger else None,
            )
            for row in rows
        ],
    )  # fmt: skip


def template_view(
    platform: Platform, name: str, record: TemplateRecord, now_ms: int
) -> TemplateView:  # fmt: skip
    """Return a template; a pause that ends by itself is over at its end."""
    t = platform.state.templates.records[record.slot]
    paused = int(t["status"]) == k.PAUSED and now_ms < int(t["until"])
    over = int(t["status"]) == k.PAUSED and not paused
    return TemplateView(
        template=name,
        category=record.category,
        language=record.language,
        status="approved" if over else status_of(t),
        registered=record.status,
        quality=QUALITY[platform.state.rating_of_template(record.slot)],
        until_ms=int(t["until"]) if paused else None,
    )


def templates_page(
    platform: Platform, portfolio: Portfolio, after: str, limit: int, now_ms: int
) -> list[TemplateView]:
    """Return templates by name after one, in order."""
    names = sorted(name for name in portfolio.templates if name > after)
    return [
        template_view(platform, name, portfolio.templates[name], now_ms)
        for name in islice(names, limit)
    ]


def consent_basis(
    platform: Platform, portfolio: Portfolio, person: int, number: str | None, category: str,
    before: int | None = None,
) -> ConsentBasis:  # fmt: skip
    """Return on what basis a message of a category would go to a person (-1: nobody known).

    Args:
        platform: The platform.
        portfolio: Who sends.
        person: To whom.
        number: Of the portfolio; None: what holds for all of them.
        category: Of the message.
        before: Position in the log up to which words are heard (None: all of them).
    """
    slot = portfolio.numbers[number].slot if number is not None else k.NONE
    basis = Basis("none")
    if person >= 0:
        basis = platform.consents.basis(portfolio.slot, person, slot, category, before)
    words = platform.consents.words(portfolio.slot, person) if person >= 0 else []
    if before is not None:
        words = [word for word in words if word.position < before]
    return ConsentBasis(
        state=basis.state,
        word=_word(basis.word) if basis.word else None,
        words=[_word(each) for each in words[-100:]],
    )


def _word(word: Word) -> ConsentWordView:
    return ConsentWordView(
        at_ms=word.at,
        granted=word.granted,
        category=word.category,
        of_number=word.number is not None,
        source=word.source,
        proof=word.proof,
        counts=word.counts,
    )
