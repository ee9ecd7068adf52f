"""Hash table of known pairs: who wrote to whom, first and last, in sixteen bytes.

Open addressing over any capacity (a multiply instead of a mask), so that a table grows by a
quarter at a time. Senders choose who writes to whom, and so the keys: the hash has secret salts. A
pair without messages for 180 days expires by rule, not by the table's fill level; growing drops
expired pairs.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from wavebreak.compiled.numba_runtime import compiled, int64
from wavebreak.features.keyed_hash import hash_pair
from wavebreak.features.layout import FORGET_BUCKETS, PAIR

FULL = 0.85
"""Load at which a table grows."""
GROWTH = 1.25
FLAGS = 511
LAST_BUCKET = (1 << 19) - 1
"""Greatest bucket of 5,760 s that an entry holds; later ones, from 2065 on, are taken for it."""


@compiled(inline="always")
def salts_of(sh: Any) -> tuple[Any, Any, Any]:
    """Return the salts of a shard's pairs."""
    return sh.salt_a, sh.salt_b, sh.salt_c


@compiled(inline="always")
def _home(owner: int, peer: int, capacity: int, salts: Any) -> int:
    mixed = hash_pair(np.uint64(owner), np.uint64(peer), salts)
    return int64((mixed * np.uint64(capacity)) >> np.uint64(32))


@compiled()
def find(pairs: Any, capacity: int, salts: Any, owner: int, peer: int) -> int:
    """Return the index of a pair's entry; if absent, minus one minus the index to insert it at."""
    key = (np.uint64(owner) << np.uint64(32)) + np.uint64(peer) + np.uint64(1)
    at = _home(owner, peer, capacity, salts)
    while True:
        held = pairs[at].key
        if held == key:
            return at
        if held == np.uint64(0):
            return -1 - at
        at += 1
        if at == capacity:
            at = 0


@compiled()
def start_index(capacity: int, salts: Any, owner: int, peer: int) -> int:
    """Return the index at which the search for a pair begins (for prefetching)."""
    return _home(owner, peer, capacity, salts)


@compiled()
def insert(pairs: Any, at: int, owner: int, peer: int) -> int:
    """Insert an entry at the index that `find` returned for an absent pair."""
    pairs[at].key = (np.uint64(owner) << np.uint64(32)) + np.uint64(peer) + np.uint64(1)
    pairs[at].value = np.uint64(0)
    return at


@compiled(inline="always")
def flags_of(value: Any) -> int:
    """The nine flags of an entry's value."""
    return int64(value & np.uint64(FLAGS))


@compiled(inline="always")
def first_bucket(value: Any) -> int:
    """Bucket (5,760 s) of the first send that opened the chat."""
    return int64((value >> np.uint64(9)) & np.uint64(LAST_BUCKET))


@compiled(inline="always")
def last_bucket(value: Any) -> int:
    """Bucket (5,760 s) of the last send."""
    return int64((value >> np.uint64(28)) & np.uint64(LAST_BUCKET))


@compiled(inline="always")
def touch_bucket(value: Any) -> int:
    """Bucket (40,320 s) of the last touch."""
    return int64(value >> np.uint64(47))


@compiled(inline="always")
def pack(flags: int, first: int, last: int, touched: int) -> Any:
    """An entry's value from its parts."""
    return (
        np.uint64(flags)
        | (np.uint64(min(int64(first), LAST_BUCKET)) << np.uint64(9))
        | (np.uint64(min(int64(last), LAST_BUCKET)) << np.uint64(28))
        | (np.uint64(touched) << np.uint64(47))
    )


@compiled(inline="always")
def with_flags(value: Any, flags: int) -> Any:
    """An entry's value with other flags."""
    return pack(flags, first_bucket(value), last_bucket(value), touch_bucket(value))


@compiled()
def rehash(old: Any, old_capacity: int, new: Any, salts: Any, oldest: int) -> int:
    """Move entries touched at or after bucket `oldest` into an empty table; return how many."""
    kept = 0
    capacity = new.size
    for i in range(old_capacity):
        key = old[i].key
        if key == np.uint64(0) or touch_bucket(old[i].value) < oldest:
            continue
        pair = key - np.uint64(1)
        at = _home(pair >> np.uint64(32), pair & np.uint64(0xFFFFFFFF), capacity, salts)
        while new[at].key != np.uint64(0):
            at += 1
            if at == capacity:
                at = 0
        new[at].key = key
        new[at].value = old[i].value
        kept += 1
    return kept


def pairs_of_owner(pairs: Any, owner: int) -> tuple[Any, Any]:
    """Return flags (int64) of an owner's entries and buckets (int64) of the sends that opened them.

    Scans the whole table: for rare requests.
    """
    held = pairs[(pairs["key"] > 0) & ((pairs["key"] - np.uint64(1)) >> np.uint64(32) == owner)]
    value = held["value"].astype(np.int64)
    return value & FLAGS, (value >> 9) & LAST_BUCKET


def grow_table(old: Any, salts: Any, now: int) -> tuple[Any, int]:
    """Return a table a quarter larger with the pairs that have not expired, and their number.

    `now` is in seconds; one bucket more is kept, for late events.
    """
    new = np.zeros(max(64, int(old.size * GROWTH) + 1), PAIR)
    return new, rehash(old, old.size, new, salts, now // 40320 - FORGET_BUCKETS - 1)


@compiled()
def _load(old: Any, new: Any, salts: Any, owners: int, peers: int) -> int:
    """Move all entries into an empty table; return how many, -1 if one is not a pair, or double."""
    kept = int64(0)
    for i in range(old.size):
        key = old[i].key
        if key == np.uint64(0):
            continue
        owner = int64((key - np.uint64(1)) >> np.uint64(32))
        peer = int64((key - np.uint64(1)) & np.uint64(0xFFFFFFFF))
        if owner >= owners or peer >= peers or kept + 1 >= new.size:
            return int64(-1)
        at = find(new, new.size, salts, owner, peer)
        if at >= 0:
            return int64(-1)
        new[-1 - at].key = key
        new[-1 - at].value = old[i].value
        kept += 1
    return kept


def load_table(dumped: Any, salts: Any, owners: int, peers: int) -> tuple[Any, int]:
    """Return a table with the pairs of a dumped one, under other salts, and their number.

    Raises ValueError where an entry is not a pair of one of `owners` slots and one of `peers`.
    """
    if dumped.dtype != PAIR or dumped.ndim != 1:
        raise ValueError("pairs have another type")
    table = np.zeros(max(64, dumped.size), PAIR)
    kept = int(_load(dumped, table, salts, owners, peers))
    if kept < 0 or kept > FULL * table.size + 1:
        raise ValueError("a table of pairs holds what is no pair, a pair twice, or too many")
    return table, kept
