"""Estimate of wrong actions: decisions that a review, an appeal or a second look overturned.

Counted by decision, over the last 90 days. None of these is a random sample of all decisions: the
queue shows what is doubtful, and people appeal what they think wrong; second looks are one of what
was reviewed. So each way is shown for itself, with its exact 95 % interval, and all together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from django.db.models import Exists, F, OuterRef

from wavebreak.console.models import Appeal, PersonAct, Review
from wavebreak.evaluation.intervals import exact_interval

DAYS = 90
DAY_MS = 86_400_000
UNDO_MS = 60_000
"""An act belongs to a review of the same person that is stored within this time."""


class Estimate(NamedTuple):
    """How many decisions were looked at in one way, and how many of them were found wrong."""

    way: str
    looked_at: int
    wrong: int

    @property
    def share(self) -> float | None:
        """The share that was wrong (None: nothing was looked at)."""
        return self.wrong / self.looked_at if self.looked_at else None

    @property
    def low(self) -> float:
        """The lower end of the share's interval."""
        return exact_interval(self.wrong, self.looked_at)[0]

    @property
    def high(self) -> float:
        """The upper end of the share's interval."""
        return exact_interval(self.wrong, self.looked_at)[1]


def wrong_actions(now_ms: int) -> tuple[Estimate, list[Estimate]]:
    """Return the estimate over all ways, each decision once, and that of each way."""
    since = now_ms - DAYS * DAY_MS
    ways = {
        "first reviews: said benign": _reviewed(since),
        "appeals decided: reversed, at least in part": _appealed(since),
        "blind second looks: said benign": _looked_at_twice(since),
    }
    found: dict[int, bool] = defaultdict(bool)
    for decisions in ways.values():
        for number, wrong in decisions.items():
            found[number] |= wrong
    return _estimate("any of these", found), [_estimate(*way) for way in ways.items()]


def _estimate(way: str, decisions: dict[int, bool]) -> Estimate:
    return Estimate(way, len(decisions), sum(decisions.values()))


def _any(rows: Iterable[tuple[int, bool]]) -> dict[int, bool]:
    found: dict[int, bool] = defaultdict(bool)
    for number, wrong in rows:
        found[number] |= wrong
    return found


def _reviewed(since: int) -> dict[int, bool]:
    """First reviews, without those of batches and those that were undone."""
    undone = PersonAct.objects.filter(
        account=OuterRef("case__account"),
        by=OuterRef("reviewer"),
        verdict=OuterRef("verdict"),
        undone_ms__isnull=False,
        at_ms__range=(OuterRef("at_ms") - UNDO_MS, OuterRef("at_ms") + UNDO_MS),
    )
    rows = Review.objects.filter(kind=Review.FIRST, batch="", at_ms__gte=since)
    rows = rows.exclude(Exists(undone)).annotate(number=F("case__decision"))
    return _any((n, v == "benign") for n, v in rows.values_list("number", "verdict"))


def _appealed(since: int) -> dict[int, bool]:
    rows = Appeal.objects.filter(state=Appeal.DECIDED, decided_ms__gte=since)
    return _any((n, r != Appeal.UNCHANGED) for n, r in rows.values_list("number", "result"))


def _looked_at_twice(since: int) -> dict[int, bool]:
    rows = Review.objects.filter(kind=Review.BLIND, at_ms__gte=since)
    return _any((n, v == "benign") for n, v in rows.values_list("case__decision", "verdict"))
