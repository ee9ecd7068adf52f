"""Windows that people open, and the limit of people a day outside them.

A window ends exactly `window` after a person's last message: a send at that very millisecond lies
outside. Windows and limit are of the portfolio.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np

from wavebreak.durations import DAY_MS, duration_ms
from wavebreak_business.answers import Day, LimitUse, Options
from wavebreak_business.messages import TEXT, Ints, Mask, Messages, known_ms, last_before
from wavebreak_business.record_table import NO_TIME, Columns, RecordTable
from wavebreak_business.settings import Settings

MAX_DAYS = 400
TREND_DAYS = 14
HORIZON_DAYS = 30


def outside_windows(
    messages: Messages, inbound: Columns, persons: Ints, settings: Settings
) -> tuple[Mask, Mask]:
    """Return which delivered messages count towards the limit, and which lie in a window."""
    arrived = messages.delivered & (messages.sent > NO_TIME) & (messages.category != TEXT)
    wrote = inbound.of((inbound.ts > NO_TIME) & (inbound.category != TEXT))
    window = duration_ms(settings.limits.window)
    writers = persons[wrote.person] if wrote.ts.size else wrote.person
    last = last_before(messages.person, messages.sent, writers, wrote.ts)
    opened = wrote.ts[last] if wrote.ts.size else np.zeros_like(last)
    inside = messages.inside | ((last >= 0) & (messages.sent - opened < window))
    return arrived & ~inside, arrived & inside


@dataclass(frozen=True)
class Steps:
    """Use of the limit over time: its value from each time on."""

    at_ms: Ints
    people: Ints

    def at(self, ms: int) -> int:
        """Return the use at an instant."""
        place = int(np.searchsorted(self.at_ms, ms, "right")) - 1
        return int(self.people[place]) if place >= 0 else 0

    def peak(self, start: int, end: int) -> int:
        """Return the highest use from `start` up to before `end`."""
        low, high = np.searchsorted(self.at_ms, (start, end), "left")
        inside = self.people[low:high]
        return max(self.at(start), int(inside.max()) if inside.size else 0)


def count_distinct(person: Ints, at_ms: Ints, span_ms: int) -> Steps:
    """Return how many people were counted in the span before each instant, each once.

    A person counted at one instant leaves exactly `span_ms` later.

    >>> steps = count_distinct(np.array([1, 2, 1]), np.array([0, 5, 8]), 10)
    >>> steps.at_ms.tolist(), steps.people.tolist()
    ([0, 5, 15, 18], [1, 2, 1, 0])
    """
    order = np.lexsort((at_ms, person))
    who, at = person[order], at_ms[order]
    # A stretch begins where the person was not counted already, and ends a span after its last.
    starts = np.ones(at.size, np.bool_)
    starts[1:] = (who[1:] != who[:-1]) | (at[1:] - at[:-1] >= span_ms)
    ends = np.ones(at.size, np.bool_)
    ends[:-1] = starts[1:]
    times = np.concatenate((at[starts], at[ends] + span_ms))
    change = np.concatenate(
        (np.ones(int(starts.sum()), np.int64), -np.ones(int(ends.sum()), np.int64))
    )
    instants, place = np.unique(times, return_inverse=True)
    total = np.zeros(instants.size, np.int64)
    np.add.at(total, place, change)
    return Steps(instants, np.cumsum(total))


def limit_use(
    table: RecordTable, messages: Messages, counted: Mask, inside: Mask, settings: Settings,
    options: Options, last_ms: int | None,
) -> tuple[LimitUse, Steps]:  # fmt: skip
    """Return the use of the limit with its forecast, and its course.

    Args:
        table: The records, which may announce the limit.
        messages: The messages.
        counted: Which of them count.
        inside: Which lie in a window, and so do not.
        settings: The platform's limits.
        options: The limit that the business gives.
        last_ms: The end of the logs.
    """
    rules = settings.limits.limit
    person, at = messages.person[counted], messages.sent[counted]
    steps = count_distinct(person, at, duration_ms(rules.span))
    limit, told_ms = options.limit, None
    if limit is None and table.limits:
        told = max(table.limits, key=lambda event: event.at_ms)
        limit, told_ms = told.people, known_ms(told.at_ms)
    highest = int(np.argmax(steps.people)) if steps.people.size else -1
    since = (last_ms or 0) - rules.raise_days * DAY_MS
    distinct = int(np.unique(person[at > since]).size)
    unbounded = LimitUse(
        limit=limit,
        told_ms=told_ms,
        peak=int(steps.people[highest]) if highest >= 0 else 0,
        peak_ms=int(steps.at_ms[highest]) if highest >= 0 else None,
        now=steps.at(last_ms or 0),
        days_left=None,
        distinct=distinct,
        next_limit=None,
        raise_reached=False,
        inside=int(inside.sum()),
    )
    bound = unbounded.bound
    if bound is None:
        return unbounded, steps
    use = msgspec.structs.replace(
        unbounded,
        days_left=_days_left(steps, bound, last_ms),
        next_limit=settings.limits.step_above(bound) or -1,
        raise_reached=distinct >= rules.raise_share * bound,
    )
    return use, steps


def _days_left(steps: Steps, limit: int, last_ms: int | None) -> int | None:
    """Return the days until the limit by the line through the last daily peaks."""
    if last_ms is None or not steps.people.size:
        return None
    today = last_ms // DAY_MS
    first = max(int(steps.at_ms[0]) // DAY_MS, today - TREND_DAYS + 1)
    peaks = [steps.peak(d * DAY_MS, (d + 1) * DAY_MS) for d in range(first, today + 1)]
    if peaks[-1] >= limit:
        return 0
    if len(peaks) < 3:
        return None
    slope, start = np.polyfit(np.arange(len(peaks)), peaks, 1)
    if slope <= 0:
        return None
    days = (limit - (start + slope * (len(peaks) - 1))) / slope
    return max(1, int(np.ceil(days))) if days <= HORIZON_DAYS else None


def days_of(messages: Messages, steps: Steps) -> tuple[Day, ...]:
    """Return the last days (UTC) on which there were messages."""
    timed = messages.sent > NO_TIME
    day = messages.sent // DAY_MS
    found, row = np.unique(day[timed], return_inverse=True)
    sent = np.bincount(row, minlength=found.size)
    failed = np.bincount(row, messages.failed[timed], minlength=found.size).astype(np.int64)
    return tuple(
        Day(n * DAY_MS, int(sent[k]), int(failed[k]), steps.peak(n * DAY_MS, (n + 1) * DAY_MS))
        for k, n in list(enumerate(found.tolist()))[-MAX_DAYS:]
    )
