"""Businesses: the list, a portfolio with its standing, acts on the ladder, and words on consent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

from asgiref.sync import async_to_sync
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as translate

from wavebreak_business.pages import shown
from wavebreak_business.platform.events import Appeal
from wavebreak_business.platform.laws import CATEGORIES
from wavebreak_business.platform.platform import Change, Platform
from wavebreak_business.platform.portfolios import Portfolio
from wavebreak_business.service import standing_history
from wavebreak_business.service import views as service_views
from wavebreak_business.service.live_platform import LivePlatform, Turn, live_platform, position_at
from wavebreak_business.service.models import StandingRow
from wavebreak_business.service.notices import standing_notices
from wavebreak_business.service.standing import Act, appeal, set_standing
from wavebreak_server.console import pages
from wavebreak_server.errors import ApiError, fix_for

T = TypeVar("T")
MAX_SEARCH = 128
SHOWN_ROWS, SHOWN_NUMBERS = 50, 100
"""Rows of the history, and numbers, that a page shows."""
LIFT = "lift"
"""The choice that ends what a step bars."""
RESULTS: tuple[Appeal, ...] = ("reversed", "unchanged")
"""What may become of an appeal."""


def _live(console: pages.Console) -> LivePlatform:
    return live_platform(console.context.app, console.service)


def _read(console: pages.Console, work: Callable[[Platform], T]) -> T:
    answer: T = async_to_sync(_live(console).read)(work)
    return answer


def _turn(console: pages.Console, work: Callable[[Turn], T]) -> T:
    answer: T = async_to_sync(_live(console).turn)(work)
    return answer


def _absent() -> ApiError:
    """Return the error of a page whose business there is not, in the reader's language."""
    return ApiError(
        404, translate("there is no such business"), fix=translate("choose one of the list")
    )


def _known(platform: Platform, name: str, absent: ApiError) -> Portfolio:
    found = platform.portfolio(name)
    if found is None:
        raise absent
    return found


def portfolios_of(request: HttpRequest, accounts: Sequence[str]) -> list[tuple[str, str]]:
    """Return which accounts are numbers of which portfolios."""
    numbers = _read(pages.console_of(request), lambda platform: dict(platform.registry.numbers))
    return [(account, numbers[account]) for account in accounts if account in numbers]


# Pages.


@pages.page("view_appeals")
def portfolios(request: HttpRequest) -> HttpResponse:
    """List portfolios by name: all of them, those that are barred, or those with an appeal."""
    console = pages.console_of(request)
    now_ms, text = console.now_ms, request.GET.get("q", "").strip()[:MAX_SEARCH]
    state = request.GET.get("state", "")
    state = state if state in shown.STATES else ""
    after = request.GET.get("after", "")

    def load(platform: Platform) -> tuple[list[shown.PortfolioRow], dict[str, int]]:
        found = {each: shown.matching(platform, text, each, now_ms) for each in shown.STATES}
        names = [name for name in found[state] if name > after][: pages.PAGE_SIZE + 1]
        rows = [shown.row_of(platform, name, now_ms) for name in names]
        return rows, {each: len(names) for each, names in found.items()}

    rows, counts = _read(console, load)
    return pages.show(
        request,
        "console/portfolios.html",
        rows=pages.keyset(request, rows, lambda row: row.name),
        counts=counts,
        state=state,
        text=text,
        registered=bool(counts[""]) or bool(text),
    )


@pages.page("view_appeals")
def portfolio(request: HttpRequest, portfolio: str) -> HttpResponse:
    """Show a portfolio."""
    return _show(request, portfolio)


def _show(
    request: HttpRequest, name: str, error: ApiError | None = None
) -> HttpResponse:  # fmt: skip
    """Show a portfolio; after a form that was refused, with what was written in it."""
    console, after = pages.console_of(request), request.GET.get("after", "")
    now_ms, absent = console.now_ms, _absent()

    def load(platform: Platform) -> dict[str, Any]:
        known = _known(platform, name, absent)
        record = platform.state.ports.records[known.slot]
        limits = platform.settings.limits
        return {
            "portfolio": service_views.portfolio_view(platform, known, now_ms),
            "plot": shown.quality_plot(record, limits.quality.low, now_ms),
            "templates": shown.template_rows(platform, known, after, pages.PAGE_SIZE + 1, now_ms),
            "steps": [
                (n, each.name, each.bars) for n, each in enumerate(limits.ladder.steps, start=1)
            ],
            "history": standing_history.known_rows(name, SHOWN_ROWS),
            "seen": standing_history.version(name),
            "own_step": standing_history.took_step(name, console.user.actor),
            "successors": [each.name for each in platform.registry.linked_to(name)],
        }

    found = _read(console, load)
    rows = found.pop("templates")
    view = found["portfolio"]
    response = pages.show(
        request,
        "console/portfolio.html",
        **found,
        numbers=view.numbers[:SHOWN_NUMBERS],
        parties=[view.legal_name, *view.owners],
        templates=pages.keyset(request, rows, lambda row: row.view.template),
        grounds=shown.GROUNDS,
        lift=LIFT,
        results=RESULTS,
        written=request.POST,
        error=error,
        error_fix=fix_for(error, "page") if error else "",
        now=now_ms,
    )
    response.status_code = error.status if error else 200
    return response


@pages.page("act_on_many")
def preview(request: HttpRequest, portfolio: str) -> HttpResponse:
    """Show what an act would bar and until when, and what the business would read."""
    console, absent = pages.console_of(request), _absent()
    chosen = _act_of(request.GET)
    if chosen is None:
        return pages.show(request, "console/parts/portfolio_preview.html", row=None)

    def load(platform: Platform) -> dict[str, Any]:
        known = _known(platform, portfolio, absent)
        standing = service_views.standing_view(platform, known, console.now_ms)
        steps = [each.name for each in platform.settings.limits.ladder.steps]
        if chosen.step is not None and chosen.step not in steps:
            return {"row": None}
        row = _expected_row(platform, known, chosen, console.now_ms)
        notices = standing_notices(known, row, console.now_ms)
        lowers = chosen.step is not None and row.step <= standing.step
        return {"row": row, "standing": standing, "notices": notices, "lowers": lowers}

    return pages.show(
        request, "console/parts/portfolio_preview.html", **_read(console, load), now=console.now_ms
    )


def _expected_row(
    platform: Platform, portfolio: Portfolio, chosen: Act, now_ms: int
) -> StandingRow:  # fmt: skip
    """Return what the history would say of an act at a time."""
    record = platform.state.ports.records[portfolio.slot]
    step, what = int(record["step"]), "lifted"
    if chosen.step is not None:
        names = [each.name for each in platform.settings.limits.ladder.steps]
        step, what = names.index(chosen.step) + 1, "set"
    change = Change(max(now_ms, int(record["clock"])), portfolio.name, what, None, step)
    return standing_history.row_of(platform, change, standing_history.Author(), chosen.ground)


def _act_of(fields: Mapping[str, Any]) -> Act | None:
    """Return the act that a form describes; None where a choice is missing."""
    step, ground = str(fields.get("step", "")), str(fields.get("ground", ""))
    if step == LIFT:
        return Act(None)
    if not step or ground not in shown.GROUNDS:
        return None
    return Act(step[:32], ground)


@pages.page("act_on_many", "POST")
def act(request: HttpRequest, portfolio: str) -> HttpResponse:
    """Put a portfolio on a step of the ladder, or lift what its step bars."""
    console = pages.console_of(request)

    def do(author: standing_history.Author, seen: int) -> StandingRow:
        chosen = _act_of(request.POST)
        if chosen is None:
            raise ApiError(
                422, translate("a step or its ground is missing"), fix=translate("choose both")
            )
        return _turn(console, lambda turn: set_standing(turn, portfolio, chosen, author, seen))

    return _done(request, portfolio, do)


@pages.page("act_on_many", "POST")
def decide_appeal(request: HttpRequest, portfolio: str) -> HttpResponse:
    """Answer an appeal; who took the step is refused."""
    console = pages.console_of(request)

    def do(author: standing_history.Author, seen: int) -> StandingRow:
        word = request.POST.get("appeal", "")
        if word not in RESULTS:
            raise ApiError(422, translate("an answer is missing"), fix=translate("choose one"))
        return _turn(
            console, lambda turn: appeal(turn, portfolio, cast("Appeal", word), author, seen)
        )

    return _done(request, portfolio, do)


def _done(
    request: HttpRequest, portfolio: str, do: Callable[[standing_history.Author, int], StandingRow]
) -> HttpResponse:  # fmt: skip
    """Do what a form asks for, and say what changed; show it again where it is refused."""
    console = pages.console_of(request)
    seen = pages.number_of(request.POST.get("seen"), 0, 2**62, 2**62)
    absent = _absent()
    _read(console, lambda platform: _known(platform, portfolio, absent))
    try:
        row = do(standing_history.Author(console.user.actor, pages.reason_of(request)), seen)
    except ApiError as error:
        return _show(request, portfolio, error)
    said = translate("{change}. It is on step {step} now: {bars}.")
    bars = row.bars if row.what == "set" else "nothing"
    pages.say(
        request,
        said.format(
            change=translate(shown.words(row.what)),
            step=row.step,
            bars=translate(shown.words(bars)),
        ),
    )
    return redirect("portfolio", portfolio)


# Consent.


@pages.page("view_appeals", "GET", "POST")
def consents(request: HttpRequest) -> HttpResponse:
    """Answer on what basis a message was sent; whom it is about stands in no address."""
    console, fields = pages.console_of(request), request.POST or request.GET
    values: dict[str, Any] = {"categories": CATEGORIES, "written": fields, "asked": False}
    if request.method == "POST":
        try:
            values |= _basis(console, fields)
        except ApiError as error:
            values |= {"error": error, "error_fix": fix_for(error, "page")}
    response = pages.show(request, "console/portfolio_consents.html", **values)
    response.status_code = values["error"].status if "error" in values else 200
    return response


def _basis(console: pages.Console, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the basis of a message that a form describes; raises ApiError for what is wrong."""
    name, person, number, category, at = (
        str(fields.get(field, "")).strip()[:255]
        for field in ("portfolio", "person", "number", "category", "at")
    )
    if not name or not person or category not in CATEGORIES:
        raise ApiError(
            422, translate("the person, the business or the category is missing"),
            fix=translate("fill in all three"),
        )  # fmt: skip
    at_ms, live, absent = _time_of(at), _live(console), _absent()
    strange = ApiError(
        404, translate("it is no number of this business"),
        fix=translate("leave it out: then what holds for all numbers is shown"),
    )  # fmt: skip

    gone = ApiError(
        410, translate("the log no longer reaches back to this time"),
        fix=translate("leave the time out: then what holds now is shown"),
    )  # fmt: skip

    def load(platform: Platform) -> dict[str, Any]:
        known = _known(platform, name, absent)
        if number and number not in known.numbers:
            raise strange
        before = position_at(at_ms) if at_ms is not None else None
        if at_ms is not None and before is None:
            raise gone
        who = platform.known_person(person)
        if who < 0:
            who = platform.known_person(live.person(person))
        required = int(platform.state.laws["required"]) >> CATEGORIES.index(category) & 1
        basis = service_views.consent_basis(
            platform, known, who, number or None, category, before
        )  # fmt: skip
        return {"basis": basis, "required": bool(required), "known": who >= 0, "asked": True}

    return _read(console, load) | {"at_ms": at_ms, "portfolio": name, "category": category}


def _time_of(text: str) -> int | None:
    """Return the time of a field, in UTC; None where it is empty.

    >>> _time_of("1970-01-01T00:01"), _time_of("")
    (60000, None)
    """
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text).replace(tzinfo=UTC)
        return int(at.timestamp() * 1000)
    except ValueError:
        raise ApiError(
            422, translate("the time cannot be read"),
            fix=translate("write it as 2026-11-30T14:05, in UTC"),
        ) from None  # fmt: skip
