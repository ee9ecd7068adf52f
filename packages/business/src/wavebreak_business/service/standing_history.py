"""History of the ladder: who put a portfolio where, when, why, and what became of an appeal.

Its rows are written in the transaction of what they tell of; none names a person of a business's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from wavebreak_business.platform import kernel as k
from wavebreak_business.platform.events import Ground, StandingSet
from wavebreak_business.platform.platform import STANDING, Change, Platform
from wavebreak_business.service.models import StandingRow
from wavebreak_server.storage.authentic_rows import authentic, checked

STEPS_TAKEN = ("step", "set", "inherited")
"""What of the history an appeal is against."""


class Author(NamedTuple):
    """Who makes a change, as the audit names them, and why ("": the rules themselves)."""

    actor: str = ""
    reason: str = ""


def version(portfolio: str) -> int:
    """Return the number of the newest row of a portfolio's history (0: it has none)."""
    row = StandingRow.objects.filter(portfolio=portfolio).order_by("-id").only("id").first()
    return row.id if row is not None else 0


def newest(portfolio: str, count: int = 1) -> list[StandingRow]:
    """Return the newest rows of a portfolio's history, the newest first.

    Raises:
        DomainError: A row was changed in the database.
    """
    return checked(StandingRow.objects.filter(portfolio=portfolio).order_by("-id")[:count])


def took_step(portfolio: str, actor: str) -> bool:
    """Whether somebody took the last step of a portfolio."""
    rows = StandingRow.objects.filter(portfolio=portfolio, what__in=STEPS_TAKEN).order_by("-id")
    return any(row.actor == actor for row in checked(rows[:1]))


def known_rows(portfolio: str, count: int) -> list[StandingRow]:
    """Return the newest rows to show; one that was changed in the database is left out."""
    rows = StandingRow.objects.filter(portfolio=portfolio).order_by("-id")
    return list(authentic(rows[:count]))


def rows_of(
    platform: Platform, events: Iterable[Any], changes: Sequence[Change], author: Author
) -> list[StandingRow]:  # fmt: skip
    """Return what events made of standings, as rows that are not written yet."""
    grounds = {each.business: each.ground for each in events if isinstance(each, StandingSet)}
    return [
        row_of(platform, change, author, grounds.get(change.portfolio))
        for change in changes
        if change.what in STANDING
    ]


def row_of(
    platform: Platform, change: Change, author: Author, ground: Ground | None
) -> StandingRow:  # fmt: skip
    """Return a change of a standing as a row that is not written yet."""
    step = platform.settings.limits.ladder.steps[change.value - 1] if change.value else None
    begins, until = _times(platform, change)
    by_rules = change.what == "step"
    return StandingRow(
        portfolio=change.portfolio,
        at_ms=change.at,
        what=change.what,
        step=change.value,
        name=step.name if step else "",
        bars=step.bars if step and change.what in STEPS_TAKEN else "nothing",
        begins_ms=begins,
        until_ms=until,
        ground=_ground_of(change.what, ground),
        actor="" if by_rules else author.actor,
        reason="" if by_rules else author.reason,
    )


def _ground_of(what: str, ground: Ground | None) -> str:
    """Return the ground of a change of standing.

    >>> _ground_of("step", None), _ground_of("set", "law"), _ground_of("lifted", None)
    ('quality', 'law', '')
    """
    return {"step": "quality", "inherited": "identity"}.get(what, ground or "")


def _times(platform: Platform, change: Change) -> tuple[int | None, int | None]:
    """Return when a step that was taken begins and ends (None: never, or none was taken)."""
    if change.what == "inherited":
        portfolio = platform.registry.portfolios[change.portfolio]
        p = platform.state.ports.records[portfolio.slot]
        until = int(p["until"])
        return int(p["begins"]), until if until < k.ENDLESS else None
    if change.what in STEPS_TAKEN:
        return platform.step_times(change.value, change.at)
    return None, None
