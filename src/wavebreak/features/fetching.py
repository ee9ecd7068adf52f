"""Memory asked for ahead: what the kernel waits for most is rows, pairs and entities to arrive.

Nothing here changes anything: a hint that comes too late, or for the wrong place, costs time only.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from wavebreak.features.memory import pairs_of, rows_of, touched_of
from wavebreak.features.pairs import home
from wavebreak.features.state import ENTITY, EVENT, NONE, PAIR, PERSON, RARE, ROW, SHARD_BITS
from wavebreak.jit import compiled, prefetch

AHEAD: Final = 6
"""Facts (or accounts, at an epoch's close) ahead of the one at work."""
SOON: Final = 2
"""The same, for what lies where a row says, by when the row has come."""
ROW_BYTES, RARE_BYTES, PAIR_BYTES = ROW.itemsize, RARE.itemsize, PAIR.itemsize
PERSON_BYTES: Final = PERSON.itemsize
EVENT_BYTES, ENTITY_BYTES = EVENT.itemsize, ENTITY.itemsize
_FIELDS: Any = ROW.fields
_SURROUNDINGS = _FIELDS["network"][1]


@compiled()
def _row_and_pair(shards: Any, w: Any, ev: Any, role: int) -> None:
    account, other = np.int64(ev.account), np.int64(ev.peer)
    if role == 1:
        account, other = other, account
    sh = shards[account & (shards.size - 1)]
    local = account >> SHARD_BITS
    address = sh.rows + local * ROW_BYTES
    # A counterpart's fact needs the head of the row, an actor's all of it.
    for line in range(0, 64 if role == 1 else ROW_BYTES, 64):
        prefetch(address + line)
    if other != NONE:
        at = home(pairs_of(sh), sh.pair_capacity, local, other)
        prefetch(sh.pairs + at * PAIR_BYTES)
        prefetch(w.people + other * PERSON_BYTES)


@compiled()
def _rare(shards: Any, ev: Any) -> None:
    sh = shards[np.int64(ev.account) & (shards.size - 1)]
    rare = np.int64(rows_of(sh)[np.int64(ev.account) >> SHARD_BITS].rare)
    if rare > 0:
        prefetch(sh.rares + (rare - 1) * RARE_BYTES)


@compiled()
def fetch_facts(shards: Any, w: Any, events: Any, codes: Any, i: int) -> None:
    """Ask for what the facts after the `i`-th need; there are 2 · AHEAD of them at least.

    They may be of the next shard: a small batch has few facts in each.
    """
    code = np.int64(codes[i + 2 * AHEAD])
    prefetch(events.ctypes.data + (code >> 1) * EVENT_BYTES)
    code = np.int64(codes[i + AHEAD])
    _row_and_pair(shards, w, events[code >> 1], code & 1)
    code = np.int64(codes[i + SOON])
    if code & 1 == 0:
        _rare(shards, events[code >> 1])


@compiled()
def fetch_touched(shards: Any, w: Any) -> None:
    """Ask for where the accounts stand that an epoch's close comes to after this one."""
    touched = touched_of(w)
    if w.at_fact + 2 * AHEAD >= w.touched_n:
        return
    account = np.int64(touched[w.at_fact + 2 * AHEAD])
    rows = shards[account & (shards.size - 1)].rows
    address = rows + (account >> SHARD_BITS) * ROW_BYTES
    prefetch(address)
    prefetch(address + _SURROUNDINGS)
    account = np.int64(touched[w.at_fact + AHEAD])
    row = rows_of(shards[account & (shards.size - 1)])[account >> SHARD_BITS]
    for entity in (row.network, row.block, row.device, row.client):
        if entity > 0:
            prefetch(w.entities + (np.int64(entity) - 1) * ENTITY_BYTES)
