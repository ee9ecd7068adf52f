"""What a business is told of its standing, in each language: what it may not do, why, until when.

The webhook carries the same text that a person has read before the act.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from wavebreak_business.platform.portfolios import Portfolio
from wavebreak_business.service.models import StandingRow
from wavebreak_business.service.standing_history import STEPS_TAKEN
from wavebreak_business.texts import Words, offered_languages


class StandingNotice(NamedTuple):
    """A notice in a language."""

    language: str
    direction: str
    paragraphs: tuple[str, ...]


def standing_notices(portfolio: Portfolio, row: StandingRow, now_ms: int) -> list[StandingNotice]:
    """Return what a business is told of a change of its standing."""
    notices = []
    for code in offered_languages():
        words = Words(code)
        paragraphs = tuple(_paragraphs(words, portfolio, row, now_ms))
        notices.append(StandingNotice(code, words.language.direction, paragraphs))
    return notices


def _paragraphs(
    words: Words, portfolio: Portfolio, row: StandingRow, now_ms: int
) -> list[str]:  # fmt: skip
    told = [words.say("standing.set", business=portfolio.legal_name or portfolio.name)]
    if row.what == "lifted":
        return [*told, words.say("standing.lifted")]
    if row.what not in STEPS_TAKEN:
        return [*told, words.say(f"standing.appeals.{row.what.removeprefix('appeal_')}")]
    told.append(words.say(f"standing.bars.{row.bars}"))
    begins = row.begins_ms or now_ms
    if begins > now_ms:
        told.append(words.say("standing.until_then", begins=_moment(begins)))
    if row.until_ms is None:
        told.append(words.say("standing.endless", begins=_moment(begins)))
    else:
        times = {"begins": _moment(begins), "ends": _moment(row.until_ms)}
        told.append(words.say("standing.until", **times))
    told.append(words.say(f"standing.grounds.{row.ground}"))
    if row.what == "inherited":
        told.append(words.say("standing.inherited"))
    told.append(words.say("standing.appeal", path=f"POST /v1/business/{portfolio.name}/appeal"))
    return told


def _moment(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")
