"""Answers to "Did this answer your question?": counts of a day, and their trend."""

from __future__ import annotations

from typing import Any

from django.db.models import F

from wavebreak.durations import DAY_MS
from wavebreak_server.slices.help.models import HelpAnswer

TREND_DAYS = 90


def count_answer(now_ms: int, page: str, language: str, helped: bool, reason: str = "") -> None:
    """Count an answer; nothing else about it is stored."""
    row, _ = HelpAnswer.objects.get_or_create(
        day=now_ms // DAY_MS, page=page, language=language, helped=helped, reason=reason
    )
    HelpAnswer.objects.filter(id=row.id).update(count=F("count") + 1)


def help_trend(now_ms: int, days: int = TREND_DAYS) -> list[dict[str, Any]]:
    """Return for each page and language the answers of each day, oldest first.

    Returns:
        A row for each page and language: `yes` and `no` in all, the `share` that was helped,
        `reasons` of who was not, and `days` as `(day_ms, yes, no)`.
    """
    since = now_ms // DAY_MS - days
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for answer in HelpAnswer.objects.filter(day__gt=since).order_by("page", "language", "day"):
        row = rows.setdefault(
            (answer.page, answer.language),
            {"page": answer.page, "language": answer.language, "yes": 0, "no": 0, "reasons": {},
             "daily": {}},
        )  # fmt: skip
        row["yes" if answer.helped else "no"] += answer.count
        counted = row["daily"].setdefault(answer.day, [0, 0])
        counted[not answer.helped] += answer.count
        if answer.reason:
            row["reasons"][answer.reason] = row["reasons"].get(answer.reason, 0) + answer.count
    for row in rows.values():
        row["days"] = [(day * DAY_MS, yes, no) for day, (yes, no) in row.pop("daily").items()]
        row["share"] = row["yes"] / (row["yes"] + row["no"])
    return list(rows.values())
