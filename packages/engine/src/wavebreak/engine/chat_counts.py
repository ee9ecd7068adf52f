"""Strangers that an account wrote to first, from the engine's exact table of known pairs."""

from __future__ import annotations

from typing import NamedTuple

from wavebreak.features.layout import BUCKETS, REPLIED, SHARDS, STRANGER
from wavebreak.features.pair_table import pairs_of_owner
from wavebreak.features.shards import ShardedKernel

BUCKET_S = 5_760
CYCLE_S = BUCKETS * BUCKET_S


class ChatCounts(NamedTuple):
    """Strangers written to first in a cycle: all, those who answered, the oldest who did not."""

    opened: int
    answered: int
    oldest_s: int | None


def count_chats(core: ShardedKernel, slot: int, now_s: int) -> ChatCounts:
    """Count strangers whom account `slot` wrote to in the cycle that ends at `now_s` (log time).

    There are none of an account that has no row yet.
    """
    if not 0 <= slot < core.accounts:
        return ChatCounts(0, 0, None)
    flags, first = pairs_of_owner(core.pairs[slot % SHARDS], slot // SHARDS)
    opened = ((flags & STRANGER) > 0) & (first > now_s // BUCKET_S - BUCKETS)
    waits = opened & ((flags & REPLIED) == 0)
    oldest = int(first[waits].min()) * BUCKET_S if waits.any() else None
    return ChatCounts(int(opened.sum()), int((opened & ~waits).sum()), oldest)
