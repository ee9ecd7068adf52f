"""Eviction of idle accounts from a dumped state, at one position of its log.

An account is evicted that has done and met nothing since a time, and on which nothing is on record:
no outcome or period of grace, no strike, no label, no blame, no tie to an operator. With it go its
name, its counters, and the pairs in which it is known. Networks, devices and what they are worth
stay. An evicted account that comes back begins anew.

Slots stay in order, so that whatever is decided by their order is decided as before.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from wavebreak.features import layout
from wavebreak.features.interner import SUBTABLES

Arrays = dict[str, Any]
_ON_RECORD: Final = layout.LABEL_ABUSIVE | layout.LABEL_BENIGN | layout.BLAMED
_LOAD: Final = 0.6
_NAMES: Final = "fanout.accounts"


def evict(arrays: Arrays, idle_since_s: int) -> tuple[Arrays, int]:
    """Return a dump without the accounts that are idle since a time, and how many they were.

    Args:
        arrays: A dump that `state_check.check_state` accepts.
        idle_since_s: Seconds since 1970: accounts whose clock is at or before it are idle.
    """
    accounts = int(arrays["core.numbers"][1])
    rows = np.zeros(accounts, layout.ROW)
    for s in range(layout.SHARDS):
        rows[s :: layout.SHARDS] = arrays[f"core.rows{s}"]
    keep = np.ones(arrays[f"{_NAMES}.where"].size, np.bool_)
    keep[:accounts] = ~_is_idle(rows, arrays, idle_since_s)
    moves = _Moves(keep)
    left = dict(arrays)
    _move_names(left, keep)
    _move_rows(left, rows, keep[:accounts], moves)
    _move_pairs(left, arrays, moves)
    _move_shared(left, keep[:accounts], moves)
    _move_linking(left, moves)
    return left, int((~keep).sum())


def _is_idle(rows: Any, arrays: Arrays, idle_since_s: int) -> Any:
    """Which accounts are idle, with nothing on record."""
    idle = (rows["clock"] <= idle_since_s) & (rows["enforcement"] == 0) & (rows["until"] == 0)
    idle &= (rows["strikes"] == 0) & (rows["worst"] == 0) & (rows["tied"] == 0)
    idle &= rows["flags"] & _ON_RECORD == 0
    for name in ("marked", "states.at"):
        idle[arrays[f"linker.{name}"]] = False
    for name in ("hijacked", "waiting"):
        idle[arrays[f"linker.{name}"]["slot"]] = False
    return idle


class _Moves:
    """Where slots go; those that are evicted go nowhere."""

    def __init__(self, keep: Any) -> None:
        self.keep = keep
        self._new = np.cumsum(keep) - 1

    def slots(self, slots: Any, *, none: int = layout.NONE) -> Any:
        """Return the new slots of some that may be `NONE` or evicted (then `none`)."""
        known = slots.astype(np.int64)
        there = known < self.keep.size
        there[there] = self.keep[known[there]]
        moved = np.full(known.shape, none, np.int64)
        moved[there] = self._new[known[there]]
        return moved

    def plus_one(self, slots: Any) -> Any:
        """Return the new slots of some plus one (0: none), 0 for those evicted."""
        return (
            self.slots(slots.astype(np.int64) - 1 + (slots == 0) * (layout.NONE + 1), none=-1) + 1
        )

    def kept(self, slots: Any) -> Any:
        """Whether slots (all of accounts) stay."""
        return self.keep[slots.astype(np.int64)]


def _move_names(left: Arrays, keep: Any) -> None:
    where, lengths = left[f"{_NAMES}.where"], left[f"{_NAMES}.lengths"]
    begins = (np.cumsum(lengths) - lengths)[where >> 56] + (where & 0xFFFFFFFFFFFF)
    begins, sizes = begins[keep], ((where >> 48) & 255)[keep]
    ends = np.cumsum(sizes)
    text = np.arange(int(sizes.sum())) + np.repeat(begins - (ends - sizes), sizes)
    left[f"{_NAMES}.arenas"] = left[f"{_NAMES}.arenas"][text]
    # All into the first group: loading distributes them.
    left[f"{_NAMES}.where"] = (sizes << 48) | (ends - sizes)
    left[f"{_NAMES}.lengths"] = np.array([text.size] + [0] * (SUBTABLES - 1), np.int64)


def _move_rows(left: Arrays, rows: Any, keep: Any, moves: _Moves) -> None:
    shard = np.flatnonzero(keep) % layout.SHARDS
    rows = rows[keep]
    rows["typing_peer"] = moves.slots(rows["typing_peer"])
    rows["targets"] = moves.plus_one(rows["targets"])
    rares = [left[f"core.rares{s}"] for s in range(layout.SHARDS)]
    first = np.cumsum([0, *(part.size for part in rares)])
    # Joined by hand: NumPy's own concatenation would drop the padding of records from a file.
    whole = np.zeros(first[-1], layout.RARE)
    for begin, part in zip(first, rares, strict=False):
        whole[begin : begin + part.size] = part
    whole["reporters"] = moves.plus_one(whole["reporters"])
    whole["complainers"] = moves.plus_one(whole["complainers"])
    whole["blind_peer"] = moves.plus_one(whole["blind_peer"])
    at = first[shard] + rows["rare"] - 1
    for s in range(layout.SHARDS):
        mine = slice(s, None, layout.SHARDS)
        own, has = rows[mine], rows["rare"][mine] > 0
        left[f"core.rares{s}"] = whole[at[mine][has]]
        own["rare"][has] = np.arange(1, int(has.sum()) + 1)
        left[f"core.rows{s}"] = own.copy()
    if "core.sources0" in left:
        sources = _gathered(left, "core.sources", keep.size, layout.SOURCE)[keep]
        left |= {f"core.sources{s}": sources[s :: layout.SHARDS] for s in range(layout.SHARDS)}
    numbers = left["core.numbers"].copy()
    numbers[1] = rows.size
    left["core.numbers"] = numbers


def _move_pairs(left: Arrays, arrays: Arrays, moves: _Moves) -> None:
    owners, peers, values = [], [], []
    for s in range(layout.SHARDS):
        pairs = arrays[f"core.pairs{s}"]
        pairs = pairs[pairs["key"] > 0]
        key = pairs["key"] - np.uint64(1)
        owner = (key >> np.uint64(32)).astype(np.int64) * layout.SHARDS + s
        peer = (key & np.uint64(0xFFFFFFFF)).astype(np.int64)
        stay = moves.kept(owner) & moves.kept(peer)
        owners.append(moves.slots(owner[stay]))
        peers.append(moves.slots(peer[stay]))
        values.append(pairs["value"][stay])
    owner, peer, value = (np.concatenate(parts) for parts in (owners, peers, values))
    for s in range(layout.SHARDS):
        mine = owner % layout.SHARDS == s
        table = np.zeros(max(64, int(mine.sum() / _LOAD) + 1), layout.PAIR)
        local = (owner[mine] // layout.SHARDS).astype(np.uint64)
        count = local.size
        table["key"][:count] = (
            (local << np.uint64(32)) + peer[mine].astype(np.uint64) + np.uint64(1)
        )
        table["value"][:count] = value[mine]
        left[f"core.pairs{s}"] = table


def _move_shared(left: Arrays, keep: Any, moves: _Moves) -> None:
    people = left["core.people"][keep]
    people["friends"] = moves.plus_one(people["friends"])
    left["core.people"] = people
    newcomers = left["core.newcomers"].copy()
    newcomers["slots"] = moves.plus_one(newcomers["slots"])
    left["core.newcomers"] = newcomers
    touched = np.concatenate([left[f"core.touched{s}"] for s in range(layout.SHARDS)])
    touched = moves.slots(touched[moves.kept(touched)]).astype(touched.dtype)
    deltas = np.concatenate([left[f"core.deltas{s}"] for s in range(layout.SHARDS)])
    deltas = _moved_contributions(deltas, moves)
    # What an account alone writes stays with it, in its order; of all else any shard may be it.
    deltas["shard"] = deltas["key"] % layout.SHARDS
    for s in range(layout.SHARDS):
        left[f"core.touched{s}"] = touched[touched % layout.SHARDS == s]
        left[f"core.deltas{s}"] = deltas[deltas["shard"] == s]
    left["linker.facts"] = _moved_contributions(left["linker.facts"], moves)


def _gathered(left: Arrays, name: str, accounts: int, dtype: Any) -> Any:
    """Return what each account has in the shards' arrays of this name, by slot."""
    whole = np.zeros(accounts, dtype)
    for s in range(layout.SHARDS):
        whole[s :: layout.SHARDS] = left[f"{name}{s}"]
    return whole


def _moved_contributions(deltas: Any, moves: _Moves) -> Any:
    deltas = deltas.copy()
    of_account, joined = deltas["table"] > layout.LAST_OF_ENTITY, deltas["table"] == layout.JOINED
    of_pair = np.isin(deltas["table"], (layout.FRIEND, layout.MET, layout.MET_CONTACT))
    stay = np.ones(deltas.size, np.bool_)
    stay[of_account] = moves.kept(deltas["key"][of_account])
    stay[joined] &= moves.kept(deltas["amount"][joined] - 1)
    stay[of_pair] &= moves.kept(deltas["amount"][of_pair])
    deltas, of_account, joined, of_pair = (
        values[stay] for values in (deltas, of_account, joined, of_pair)
    )
    deltas["key"][of_account] = moves.slots(deltas["key"][of_account])
    deltas["amount"][joined] = moves.slots(deltas["amount"][joined] - 1) + 1
    deltas["amount"][of_pair] = moves.slots(deltas["amount"][of_pair])
    return deltas


def _move_linking(left: Arrays, moves: _Moves) -> None:
    edges = left["linker.edges"]
    low = (edges["key"] >> np.uint64(32)).astype(np.int64)
    high = (edges["key"] & np.uint64(0xFFFFFFFF)).astype(np.int64)
    stay = moves.kept(low) & moves.kept(high)
    edges = edges[stay].copy()
    moved = moves.slots(low[stay]).astype(np.uint64) << np.uint64(32)
    edges["key"] = moved | moves.slots(high[stay]).astype(np.uint64)
    left["linker.edges"] = edges
    left["linker.marked"] = moves.slots(left["linker.marked"])
    reached = left["linker.reached"]
    left["linker.reached"] = moves.slots(reached[moves.kept(reached)])
    for name in ("hijacked", "waiting"):
        records = left[f"linker.{name}"].copy()
        records["slot"] = moves.slots(records["slot"])
        left[f"linker.{name}"] = records
    for name in ("networks", "addresses", "chats"):
        left[f"linker.{name}"] = _moved_sightings(left[f"linker.{name}"], moves, name == "chats")
    at = left["linker.states.at"]
    stay = moves.kept(at)
    left["linker.states.at"] = moves.slots(at[stay])
    left["linker.states"] = left["linker.states"][stay]
    visitors = left["linker.devices"].copy()
    visitors["slot"] = moves.plus_one(visitors["slot"])
    visitors["epoch"][visitors["slot"] == 0] = 0
    left["linker.devices"] = visitors


def _moved_sightings(sightings: Any, moves: _Moves, of_accounts: bool) -> Any:
    """Return sightings of the accounts that stay; `of_accounts`: their places are accounts too."""
    place = (sightings["key"] >> np.uint64(32)).astype(np.int64)
    slot = (sightings["key"] & np.uint64(0xFFFFFFFF)).astype(np.int64)
    stay = moves.kept(slot) & (moves.kept(place) if of_accounts else True)
    place, slot, sightings = place[stay], moves.slots(slot[stay]), sightings[stay].copy()
    place = moves.slots(place) if of_accounts else place
    sightings["key"] = place.astype(np.uint64) << np.uint64(32) | slot.astype(np.uint64)
    return sightings
