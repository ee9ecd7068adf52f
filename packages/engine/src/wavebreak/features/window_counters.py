"""Counters over hopping windows, generated from the declarations of windowed features.

A windowed feature is one `WindowedCount` in `message_features` or `account_features`. From it come
the ring buffer's type in `layout`, and here the compiled functions that empty old buckets, count
an event and read the total. The functions are written out as source, since compiled code cannot
look up a field by a name that it is given.

The code that sees an event counts it: `count_event("send")` is the function that does, for every
window declared over that event.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, Final, NamedTuple

from wavebreak.compiled.numba_runtime import compiled, int64
from wavebreak.durations import duration_seconds
from wavebreak.features.catalog import INDEX, WINDOWED
from wavebreak.features.windows import add_to_bucket, advance_ring, ring_total

ROW_EVENTS: Final = (
    "send", "first_contact", "distinct_peer", "reply", "stranger_contact", "known_stranger",
    "trial", "trial_answer", "stranger_answer",
)  # fmt: skip
"""Events counted in the row that every account has."""
RARE_EVENTS: Final = (
    "group_send", "group_created", "member_added", "stranger_added", "member_left", "lookup",
    "lookup_hit", "undeliverable", "report", "report_weight", "unproven_report", "block",
    "block_weight", "mass_mention", "mentioned", "group_report", "trap_contact",
)  # fmt: skip
"""Events counted in the rare row, which is made at the first of them. `report_weight` and
`block_weight` count by weight, `lookup` and `lookup_hit` by numbers looked up, `mentioned` by
people."""


def bucket_seconds(window: str) -> int:
    """Length of a bucket: a fifteenth of the window.

    >>> bucket_seconds("15s"), bucket_seconds("1h"), bucket_seconds("7d")
    (1, 240, 40320)
    """
    return duration_seconds(window) // 15


class Counter(NamedTuple):
    """A ring buffer that counts one event over one window; `feature` is its feature's index."""

    field: str
    counts: str
    window: str
    bucket_max: int
    feature: int | None = None
    name: str = ""
    per: int = 1

    @property
    def bucket_s(self) -> int:
        """Seconds a bucket."""
        return bucket_seconds(self.window)


_PARTS: Final = (
    Counter("added_1d", "member_added", "1d", 65_535),
    Counter("hits_1d", "lookup_hit", "1d", 65_535),
    Counter("tried_1d", "trial", "1d", 255),
    Counter("tried_answered_1d", "trial_answer", "1d", 255),
)
"""Counters without a feature: parts of scoring points, of `lookup_hit_share_1d` and of the
sequential tests."""

COUNTERS: Final = _PARTS + tuple(
    Counter(
        declared.field or declared.feature.name, declared.counts, declared.feature.window,
        declared.bucket_max, INDEX[declared.feature.name], declared.feature.name, declared.per,
    )
    for declared in WINDOWED
)  # fmt: skip


def _counters_of(events: tuple[str, ...]) -> list[Counter]:
    """Counters of some events, by length of bucket."""
    return sorted((c for c in COUNTERS if c.counts in events), key=lambda c: c.bucket_s)


ROW_COUNTERS: Final = _counters_of(ROW_EVENTS)
RARE_COUNTERS: Final = _counters_of(RARE_EVENTS)


def _check() -> None:
    for counter in COUNTERS:
        if counter.counts not in ROW_EVENTS + RARE_EVENTS:
            raise ValueError(f"{counter.field} counts {counter.counts!r}, which nothing counts")
    lengths = sorted({counter.bucket_s for counter in COUNTERS})
    for shorter, longer in pairwise(lengths):
        if longer % shorter:
            raise ValueError(f"buckets of {longer} s are no whole number of buckets of {shorter} s")


def _advance(name: str, counters: list[Counter]) -> Iterator[str]:
    """Source of the function that empties the buckets entered between two times.

    Lengths of buckets divide each other: where one clock has not moved, no longer one has.
    """
    yield f"def {name}(record, old, now):"
    bucket_s = 1
    for counter in counters:
        if counter.bucket_s != bucket_s:
            bucket_s = counter.bucket_s
            yield f"    if now // {bucket_s} == old // {bucket_s}:"
            yield "        return"
        yield f"    advance_ring(record.{counter.field}, old // {bucket_s}, now // {bucket_s})"


def _count(event: str) -> Iterator[str]:
    yield f"def count_{event}(record, now, amount):"
    yield "    clock = int64(record.clock)"
    for counter in COUNTERS:
        if counter.counts == event:
            bucket_s, most = counter.bucket_s, counter.bucket_max
            at, newest = f"now // {bucket_s}", f"clock // {bucket_s}"
            yield f"    add_to_bucket(record.{counter.field}, {at}, {newest}, amount, {most})"


def _read(counter: Counter) -> Iterator[str]:
    yield f"def {counter.name}(record):"
    yield f"    return ring_total(record.{counter.field})" + (
        f" / {counter.per}" * (counter.per > 1)
    )


def _read_all(name: str, counters: list[Counter]) -> Iterator[str]:
    yield f"def {name}(record, out):"
    yield "    pass"
    for counter in counters:
        if counter.feature is not None:
            yield f"    out[{counter.feature}] = {counter.name}(record)"


def _source() -> str:
    """Source of all functions: advance, count and read."""
    lines = [*_advance("advance_row", ROW_COUNTERS), *_advance("advance_rare", RARE_COUNTERS)]
    for event in ROW_EVENTS + RARE_EVENTS:
        lines += _count(event)
    for counter in COUNTERS:
        lines += _read(counter) if counter.name else []
    lines += [*_read_all("read_row", ROW_COUNTERS), *_read_all("read_rare", RARE_COUNTERS)]
    return "\n".join("@compiled()\n" + line if line.startswith("def ") else line for line in lines)


def _functions() -> dict[str, Callable[..., Any]]:
    """Compile the source, under this module's name, so that the machine code is cached."""
    _check()
    names: dict[str, Any] = {
        "__name__": __name__, "compiled": compiled, "int64": int64,
        "advance_ring": advance_ring, "add_to_bucket": add_to_bucket, "ring_total": ring_total,
    }  # fmt: skip
    # The source is made of declarations of this package alone.
    exec(compile(_source(), __file__, "exec"), names)  # noqa: S102
    return names


_MADE = _functions()

advance_row_counters: Callable[..., None] = _MADE["advance_row"]
"""In compiled code: `(row, old, now)` empties the buckets of a row entered between two seconds."""
advance_rare_counters: Callable[..., None] = _MADE["advance_rare"]
"""The same of a rare row."""
read_row_counters: Callable[..., None] = _MADE["read_row"]
"""In compiled code: `(row, values)` writes the totals of a row's windows to their features."""
read_rare_counters: Callable[..., None] = _MADE["read_rare"]
"""The same of a rare row."""
READERS: dict[str, Callable[..., float]] = {c.name: _MADE[c.name] for c in COUNTERS if c.name}
"""By name of a windowed feature the compiled function that reads it from its record."""
RARE_FEATURES: tuple[str, ...] = tuple(c.name for c in RARE_COUNTERS if c.name)
"""Windowed features read from the rare row: 0 for an account without one."""


def count_event(event: str) -> Callable[..., None]:
    """Return the compiled function `(record, now, amount)` that counts an event at `now` (s).

    The record's windows must stand at its clock; what is older than a window changes nothing.
    """
    made: Callable[..., None] = _MADE[f"count_{event}"]
    return made
