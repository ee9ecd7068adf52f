"""What a client says about itself; nothing in it names an account."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Health:
    """The health of a client, without asking anybody.

    Attributes:
        ok: Whether there is no problem.
        problems: What is wrong, each with its fix.
        states_fresh: Whether the cache of enforcement states is current.
        states_number: The decision up to which it is.
        states: How many accounts are not allow.
        queued: How many events wait.
        queued_bytes: Their size in JSON.
        breaker: closed, open or half_open.
        unauthorized: Whether the service refuses the key.
        clock_offset_ms: What to add to this machine's time to have the service's.
        counts: What happened so far: taken, accepted, late, duplicates, refused, dropped_full,
            dropped_rejected, dropped_at_close, retries, asked, answered, no_answer, skipped,
            rejected, spool_failures.

    """

    ok: bool
    problems: tuple[str, ...]
    states_fresh: bool
    states_number: int
    states: int
    queued: int
    queued_bytes: int
    breaker: str
    unauthorized: bool
    clock_offset_ms: int
    counts: Mapping[str, int]


COUNTS = (
    "taken",
    "accepted",
    "late",
    "duplicates",
    "refused",
    "dropped_full",
    "dropped_rejected",
    "dropped_at_close",
    "retries",
    "asked",
    "answered",
    "no_answer",
    "skipped",
    "rejected",
    "spool_failures",
)
