"""Re-evaluation at an epoch's close, over the merged shared state."""

from __future__ import annotations

from typing import Any

import numpy as np

from wavebreak.compiled.numba_runtime import compiled, int64
from wavebreak.features.kernel import (
    evaluate_account,
    expire_enforcement,
    has_room,
    select_terms,
)
from wavebreak.features.layout import SHARD_BITS, STEPS
from wavebreak.features.memory import (
    account_row,
    entities_of,
    prefetch_touched,
    rows_of,
    touched_accounts_of,
)
from wavebreak.features.message_updates import advance_clock
from wavebreak.features.shared_state import is_young, was_young
from wavebreak.schema.event_kinds import EPOCH

_TOUCHED, _NEWCOMERS, _LINKED = range(1, len(STEPS))


@compiled()
def _reputation_moved(w: Any, row: Any, closed: int) -> bool:
    """Whether the reputation of one of the account's entities changed in the closed epoch."""
    entities = entities_of(w)
    for entity in (row.network, row.block, row.device, row.client, row.origin):
        if entity > 0 and entities[np.int64(entity) - 1].epoch == closed:
            return True
    return False


@compiled(inline="always")
def _is_re_evaluated(w: Any, row: Any) -> bool:
    """Whether a rule or the model evaluates the account at an epoch's close."""
    return bool((w.wake >> EPOCH) & 1 or (w.scoring > 0 and is_young(row)))


@compiled()
def count_active(shards: Any, w: Any) -> None:
    """Count the accounts of this platform that a worker touched, and the newcomers among them."""
    w.at_fact, w.active_n, w.newcomers_n = 0, 0, 0
    while w.at_fact < w.touched_n:
        prefetch_touched(shards, w)
        row = account_row(shards, np.int64(touched_accounts_of(w)[w.at_fact]))
        if row.origin == 0:
            w.active_n += 1
            w.newcomers_n += int64(is_young(row))
        w.at_fact += 1


@compiled()
def re_evaluate_touched(shards: Any, w: Any, closed: int) -> bool:
    """Re-evaluate the accounts that a worker touched whose entities' reputation changed.

    The contributions of the epoch `closed` are merged by now. `w.at_fact` is the position of the
    pass. Returns False when a buffer must grow first, like `kernel.process_segment`.
    """
    w.step = _TOUCHED
    while w.at_fact < w.touched_n:
        prefetch_touched(shards, w)
        account = np.int64(touched_accounts_of(w)[w.at_fact])
        w.at_shard = account & (shards.size - 1)
        sh = shards[w.at_shard]
        if not has_room(w, sh):
            return False
        row = rows_of(sh)[account >> SHARD_BITS]
        select_terms(w, account)
        if _is_re_evaluated(w, row) and _reputation_moved(w, row, closed):
            at, newest = np.int64(row.clock) * 1000, np.int64(row.newest)
            position = w.first + (newest >> 1)
            point = w.scoring > 0 and is_young(row)
            evaluate_account(w, sh, row, position, at, account, newest & 1, EPOCH, point)
        w.at_fact += 1
    return True


@compiled()
def re_evaluate_linked(shards: Any, w: Any, slots: Any, closed: int, position: int) -> bool:
    """Re-evaluate accounts whose operator changed in `closed`, by the rules alone.

    Their clocks move to its end, and `position`, its last event, is their trigger. `w.at_fact` is
    the position of the pass. Returns False when a buffer must grow first, like
    `kernel.process_segment`.
    """
    now = np.int64(closed) * 60 + 59
    w.step = _LINKED
    while w.at_fact < slots.size:
        account = np.int64(slots[w.at_fact])
        w.at_shard = account & (shards.size - 1)
        sh = shards[w.at_shard]
        if not has_room(w, sh):
            return False
        row = rows_of(sh)[account >> SHARD_BITS]
        select_terms(w, account)
        advance_clock(row, now)
        expire_enforcement(w, sh, row)
        evaluate_account(w, sh, row, position, now * 1000, account, 0, EPOCH, False)
        w.at_fact += 1
    return True


@compiled()
def re_evaluate_newcomers(shards: Any, w: Any, slots: Any, closed: int, position: int) -> bool:
    """Re-evaluate young accounts on an entity whose other account was restricted in `closed`.

    `re_evaluate_touched` has done those touched in it; the clocks of the others move to its end,
    and `position`, its last event, is their trigger. `w.at_fact` is the position of the pass.
    Returns False when a buffer must grow first, like `kernel.process_segment`.
    """
    now = np.int64(closed) * 60 + 59
    w.step = _NEWCOMERS
    while w.at_fact < slots.size:
        account = np.int64(slots[w.at_fact])
        w.at_shard = account & (shards.size - 1)
        sh = shards[w.at_shard]
        if not has_room(w, sh):
            return False
        row = rows_of(sh)[account >> SHARD_BITS]
        if row.touched != closed + 1 and was_young(row, now):
            select_terms(w, account)
            advance_clock(row, now)
            expire_enforcement(w, sh, row)
            evaluate_account(w, sh, row, position, now * 1000, account, 0, EPOCH, w.scoring > 0)
        w.at_fact += 1
    return True
