"""Scoring points: when a model scores an account, and the record of it for training.

A point is a registration; a session with a new network, device or companion; a first contact, an
added member or a send by which their count comes to a step (1, 2, 3, 5, 8, 13, …; of sends from 8
on, of an old account's first contacts from 5 on); a report or block received; for a young account
an epoch's close at which the reputation of one of its entities changed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from wavebreak.compiled.numba_runtime import call_int64, compiled, int64
from wavebreak.features.layout import LINKED
from wavebreak.features.memory import covered_of, points_of, rares_of, values_of
from wavebreak.features.row_values import NAN
from wavebreak.features.shared_state import is_young
from wavebreak.features.values import (
    COARSE_BITS,
    COARSE_MAX,
    MARGIN_MAX,
    ONE_MARGIN,
    SIZE,
    At,
    bounded_margin,
    probability,
)
from wavebreak.features.windows import ring_total
from wavebreak.schema import event_kinds


def _steps(most: int) -> Any:
    marks = np.zeros(most, np.uint8)
    a, b = 1, 2
    while a < most:
        marks[a] = 1
        a, b = b, a + b
    return marks


STEPS = _steps(65_536)
FIRST_SENDS, FIRST_OPENED = 8, 5
"""The first sends are nearly all first contacts, which are points of their own. A few new chats a
day are no reason to score an account that is not young."""


@compiled(inline="always")
def is_step(count: int) -> bool:
    """Whether a count is a step: 1, 2, 3, 5, 8, 13, and so on, each the sum of the two before.

    >>> [n for n in range(100) if is_step(n)]
    [1, 2, 3, 5, 8, 13, 21, 34, 55, 89]
    """
    return bool(0 < count < STEPS.size and STEPS[count] == 1)


@compiled(inline="always")
def progress(row: Any, role: int, kind: int) -> int:
    """Counts that an actor's event may change: chats started and sends, or network and device."""
    if role == 1:
        return int64(0)
    if kind == event_kinds.SESSION:
        return (int64(row.network) << 32) | int64(row.device)
    return (int64(row.started) << 32) | int64(row.sends)


@compiled()
def is_scoring_point(sh: Any, row: Any, ev: Any, role: int, kind: int, was: int) -> bool:
    """Whether an account is scored after an account event; `was` is `progress` before it."""
    if kind in (event_kinds.REGISTERED, event_kinds.REPORTED_BY, event_kinds.BLOCKED_BY):
        return True
    if role == 1:
        return False
    is_now = progress(row, role, kind)
    if kind == event_kinds.SESSION:
        return bool(is_now != was or (ev.flags & LINKED) != 0)
    if kind in (
        event_kinds.SENT,
        event_kinds.SENT_GROUP,
        event_kinds.REQUESTED,
        event_kinds.CALLED,
    ):
        if (is_now >> 32) != (was >> 32):
            opened = ring_total(row.first_1d)
            if is_step(opened) and (opened >= FIRST_OPENED or is_young(row)):
                return True
        if kind in (event_kinds.REQUESTED, event_kinds.CALLED):
            return False
        return is_now != was and row.sends >= FIRST_SENDS and is_step(int64(row.sends))
    if kind == event_kinds.MEMBER_ADDED:
        return is_step(ring_total(rares_of(sh)[int64(row.rare) - 1].added_1d))
    return False


@compiled()
def score_account(w: Any, row: Any, kind: int) -> None:
    """Score the current feature values and store the score in the row; the lowest in abstention."""
    margin = int64(-MARGIN_MAX)
    if w.abstains == 0:
        margin = int64(call_int64(w.score, w.model, w.values))
    row.score = bounded_margin(margin, MARGIN_MAX)
    if kind == event_kinds.REGISTERED:
        row.registration_score = bounded_margin(margin >> COARSE_BITS, COARSE_MAX)
    out, covered = values_of(w, SIZE), covered_of(w, SIZE)
    out[At.score] = probability(w, int64(row.score)) + covered[At.score]
    early = probability(w, int64(row.registration_score) << COARSE_BITS)
    out[At.registration_score] = early + covered[At.registration_score]


@compiled()
def record_point(
    w: Any, row: Any, position: int, at: int, account: int, role: int, kind: int
) -> None:
    """Record a scoring point for training."""
    p = points_of(w)[w.points_n]
    w.points_n += 1
    p.position = position
    p.ts = at
    p.account = account
    p.role = role
    p.kind = kind
    p.enforcement = row.enforcement
    p.score = last_margin(row)
    values = values_of(w, SIZE)
    for j in range(SIZE):
        p.values[j] = values[j]


@compiled(inline="always")
def last_margin(row: Any) -> float:
    """Return the account's last score (log-odds); NaN before the first."""
    return int64(row.score) / ONE_MARGIN if row.score != 0 else NAN
