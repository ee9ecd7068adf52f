"""Quota of new chats: NONE, FIRST_WARNING, SECOND_WARNING, CAPPED.

Counted from the engine's exact table of known pairs: chats that the account opened in the last
sixteen buckets of 96 minutes and that were not answered. An answer frees the chat's place.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from msgspec import Meta, Struct

from wavebreak import sheets
from wavebreak.features.core import Core
from wavebreak.features.pairs import of_owner
from wavebreak.features.state import BUCKETS, REPLIED, SHARDS, STARTED

BUCKET_S = 5_760
CYCLE_S = BUCKETS * BUCKET_S

State = Literal["NONE", "FIRST_WARNING", "SECOND_WARNING", "CAPPED"]


class Terms(Struct, frozen=True, forbid_unknown_fields=True):
    """What `quota.toml` says: shares at which an account is warned, chats given once a cycle."""

    first_warning: Annotated[float, Meta(gt=0, le=1)]
    second_warning: Annotated[float, Meta(gt=0, le=1)]
    extension: Annotated[int, Meta(ge=0, le=100_000)]


class _Sheet(Struct, frozen=True, forbid_unknown_fields=True):
    """All of `quota.toml`."""

    quota: Terms


class Quota(Struct, frozen=True, kw_only=True):
    """How an account stands to its quota: chats of the cycle that are not answered yet."""

    state: State
    used: int | None
    limit: Annotated[int, Meta(description="the quota, with an extension")] | None
    left: int | None
    cycle_s: int = CYCLE_S
    next_free_ms: Annotated[int, Meta(description="when the oldest chat leaves the cycle")] | None
    extension: Literal["none", "available", "used"]


class Chats(NamedTuple):
    """Chats that an account opened in its cycle: how many, how many answered, the oldest open."""

    opened: int
    answered: int
    oldest_s: int | None


def load_terms(local: Path | None = None) -> Terms:
    """Load the shipped terms, or those of a local policy that has its own `quota.toml`.

    Raises PolicyError for a file that cannot be read or does not hold what it must.

    >>> load_terms().first_warning
    0.5
    """
    return sheets.read(sheets.chosen("quota.toml", local), _Sheet).quota


def chats(core: Core, slot: int, now_s: int) -> Chats:
    """Count the chats that account `slot` opened in the cycle that ends at `now_s` (event time)."""
    flags, first = of_owner(core.pairs[slot % SHARDS], slot // SHARDS)
    opened = ((flags & STARTED) > 0) & (first > now_s // BUCKET_S - BUCKETS)
    waits = opened & ((flags & REPLIED) == 0)
    oldest = int(first[waits].min()) * BUCKET_S if waits.any() else None
    return Chats(int(opened.sum()), int((opened & ~waits).sum()), oldest)


def quota(terms: Terms, limit: int | None, found: Chats | None, extended: bool) -> Quota:
    """Say how an account stands: `limit` is its quota (None, as `found`: it is not limited).

    >>> terms = Terms(0.5, 0.8, 5)
    >>> [quota(terms, 10, Chats(n, 0, 0), False).state for n in (4, 5, 8, 10)]
    ['NONE', 'FIRST_WARNING', 'SECOND_WARNING', 'CAPPED']
    >>> quota(terms, 10, Chats(10, 4, 0), False).left, quota(terms, 10, Chats(10, 0, 0), True).left
    (4, 5)
    """
    if limit is None or found is None:
        return Quota(state="NONE", used=None, limit=None, left=None, next_free_ms=None,
                     extension="none")  # fmt: skip
    used = found.opened - found.answered
    frees = None if found.oldest_s is None else (found.oldest_s + CYCLE_S) * 1000
    whole = limit + terms.extension * extended
    steps: tuple[tuple[State, float], ...] = (
        ("CAPPED", whole), ("SECOND_WARNING", terms.second_warning * whole),
        ("FIRST_WARNING", terms.first_warning * whole),
    )  # fmt: skip
    state: State = next((name for name, at in steps if used >= at), "NONE")
    return Quota(state=state, used=used, limit=whole, left=max(0, whole - used),
                 next_free_ms=frees, extension="used" if extended else "available")  # fmt: skip
