"""Acts of people on the ladder, and their audit.

An act is a turn. It names the newest row of the history that who acts has read: where there is a
newer one, nothing is done. An appeal is decided by somebody else than who took the step.
"""

from __future__ import annotations

from typing import NamedTuple

from wavebreak_business.platform import events
from wavebreak_business.platform.platform import Platform
from wavebreak_business.service.live_platform import Refused, Turn
from wavebreak_business.service.models import StandingRow
from wavebreak_business.service.sends import portfolio_of
from wavebreak_business.service.standing_history import Author, newest, took_step, version
from wavebreak_server.errors import ApiError
from wavebreak_server.http.app_context import write_audit_entry


class Act(NamedTuple):
    """An act on a standing: a step by its name (None lifts what is barred), and its ground."""

    step: str | None
    ground: events.Ground | None = None


def set_standing(turn: Turn, portfolio: str, act: Act, author: Author, seen: int) -> StandingRow:
    """Put a portfolio on a step, or lift what its step bars; return what the history says of it.

    Raises:
        ApiError: There is no such portfolio (404), its standing changed meanwhile, or there is
            nothing to lift (409).
    """
    _check_seen(turn.platform, portfolio, seen)
    event = events.StandingSet(
        ts=turn.now_ms, id=change_id(turn), business=portfolio, step=act.step, ground=act.ground
    )
    action = "lift_standing" if act.step is None else "set_standing"
    target = portfolio if act.step is None else f"{portfolio}/{act.step}"
    apply_change(turn, event, author, action, target)
    return newest(portfolio)[0]


def appeal(
    turn: Turn, portfolio: str, word: events.Appeal, author: Author, seen: int | None = None
) -> StandingRow:  # fmt: skip
    """Open an appeal, or decide it; return what the history says of it.

    Raises:
        ApiError: There is no such portfolio (404), its standing changed meanwhile, no appeal is
            possible (409), or who decides took the step (403).
    """
    _check_seen(turn.platform, portfolio, seen)
    if word != "opened" and took_step(portfolio, author.actor):
        raise ApiError(
            403, "you took the step that this appeal is against",
            fix="let a colleague decide it who did not",
        )  # fmt: skip
    event = events.PortfolioUpdated(
        ts=turn.now_ms, id=change_id(turn), business=portfolio, appeal=word
    )  # fmt: skip
    apply_change(turn, event, author, f"appeal_{word}", portfolio)
    return newest(portfolio)[0]


def _check_seen(platform: Platform, portfolio: str, seen: int | None) -> None:
    portfolio_of(platform, portfolio)
    if seen is not None and version(portfolio) != seen:
        raise ApiError(
            409, "its standing changed while you read it",
            fix="read what is new, then decide",
        )  # fmt: skip


def change_id(turn: Turn) -> str:
    """Return an id for a change, which no other one has."""
    return f"change-{turn.platform.position}"


def apply_change(
    turn: Turn, event: events.PortfolioUpdated | events.TemplateUpdated | events.StandingSet,
    author: Author, action: str, target: str,
) -> None:  # fmt: skip
    """Change the registry, and audit it; raises ApiError (409) for what the registry refuses."""
    for _, error in turn.take([event], author).refused:
        raise Refused(error)
    write_audit_entry(turn.now_ms, author.actor, action, target, author.reason)
