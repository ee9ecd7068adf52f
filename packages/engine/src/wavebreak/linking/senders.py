"""Ties between senders: networks and addresses that few others use, and rings that chat together.

A sender is an account that few of the strangers it reached have answered: at least five, fewer than
two in five answered, and one complained, or at least eight and hardly any answered. Whoever a
person found benign is none, and counts among the honest of a place. What a tie rests on is read
anew each hour: it ends when honest people come to the place, or the account is answered.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from wavebreak.compiled.numba_runtime import compiled, int64
from wavebreak.durations import DAY_S
from wavebreak.linking.account_rows import CLEARED, COMPLAINED, OTHER, REACHES, SENDER
from wavebreak.linking.edges import EDGE, Kind, edge_keys

MAX_ON_NETWORK: Final = 40
"""A network or address with more accounts is a crowd (a carrier's, a campus) and ties nobody."""
MOST_CHATS: Final = 16
"""Chats of one account that a ring is looked for in: its newest."""
_DEVICE, _BLOCK, _NETWORK = int(Kind.DEVICE), int(Kind.BLOCK), int(Kind.NETWORK)
_SENDERS, _RING, _ADDRESS = int(Kind.SENDERS), int(Kind.RING), int(Kind.ADDRESS)
KNOWN, CONTACT = 1, 2
"""Marks of a chat: the account wrote to the other as to a contact, or the other opened the chat;
and it was one of contacts."""
NEWCOMER_S: Final = 3 * DAY_S


FRIENDLESS, REGISTERED = 1, 2
"""Bits of what is known of an account at a place: it registered within days, and has no chat that
goes both ways; and it registered here at all."""


def traits(profiles: Any, epoch: int) -> Any:
    """Return FRIENDLESS and REGISTERED of accounts by their profiles, as bits (uint8)."""
    born = profiles["registered"].astype(np.int64)
    fresh = (born > 0) & (epoch * 60 - (born - 1) < NEWCOMER_S) & (profiles["mutual"] == 0)
    return (fresh * FRIENDLESS | (born > 0) * REGISTERED).astype(np.uint8)


@compiled()
def _is_of_senders(senders: int, newcomers: int, all_there: int) -> bool:
    """Whether a network is used mainly by senders."""
    together = senders + newcomers
    return senders >= 2 and 5 * together >= 3 * all_there and 5 * senders >= 2 * all_there


@compiled()
def _end_of(sightings: Any, begin: int) -> int:
    end = begin
    while end < sightings.size and sightings[end].key >> np.uint64(32) == sightings[
        begin
    ].key >> np.uint64(32):
        end += 1
    return int64(end)


@compiled()
def _senders_between(sightings: Any, begin: int, end: int, roles: Any) -> int:
    """How many senders were on a network, unless it is a crowd's."""
    senders = int64(0)
    for i in range(begin, end if end - begin <= MAX_ON_NETWORK else begin):
        senders += roles[int64(sightings[i].key & np.uint64(0xFFFFFFFF))] >= SENDER
    return senders


@compiled()
def _beside_senders(sightings: Any, roles: Any, out: Any) -> int:
    """Fill in the accounts on networks where two senders or more were."""
    n, begin = int64(0), int64(0)
    while begin < sightings.size:
        end = _end_of(sightings, begin)
        if _senders_between(sightings, begin, end, roles) >= 2:
            for i in range(begin, end):
                out[n] = int64(sightings[i].key & np.uint64(0xFFFFFFFF))
                n += 1
        begin = end
    return n


def beside_senders(networks: Any, roles: Any) -> Any:
    """Return the accounts whose traits `sender_ties` asks for (slots, int64, rising)."""
    out = np.zeros(networks.size, np.int64)
    return np.unique(out[: _beside_senders(networks, roles, out)])


@compiled()
def _is_suspect_pair(
    sightings: Any, begin: int, end: int, roles: Any, traits: Any, registered: bool
) -> bool:  # fmt: skip
    """Whether strangers complained of both senders of a place and, if asked, both registered here.

    Two neighbours of a network who both write to strangers are no wonder; two such newcomers are.
    """
    for i in range(begin, end):
        account = int64(sightings[i].key & np.uint64(0xFFFFFFFF))
        is_registered = (traits[account] & REGISTERED) != 0
        if roles[account] == SENDER:
            return False
        if roles[account] == COMPLAINED and registered and not is_registered:
            return False
    return True


@compiled()
def _place_ties(
    sightings: Any, roles: Any, known: Any, registered: bool, at: Any, to: Any
) -> int:  # fmt: skip
    """Tie the accounts of each place of senders to the two that follow; fill in positions."""
    n, begin, members = int64(0), int64(0), np.zeros(MAX_ON_NETWORK, np.int64)
    while begin < sightings.size:
        end = _end_of(sightings, begin)
        senders = _senders_between(sightings, begin, end, roles)
        if senders < 2 or (
            senders == 2 and not _is_suspect_pair(sightings, begin, end, roles, known, registered)
        ):
            begin = end
            continue
        tied = int64(0)
        for i in range(begin, end):
            account = int64(sightings[i].key & np.uint64(0xFFFFFFFF))
            role = roles[account]
            if role >= SENDER or (role != CLEARED and (known[account] & FRIENDLESS) != 0):
                members[tied] = i
                tied += 1
        if _is_of_senders(senders, tied - senders, end - begin):
            for i in range(tied):
                for j in range(i + 1, min(i + 3, tied)):
                    at[n], to[n] = members[i], members[j]
                    n += 1
        begin = end
    return n


@compiled()
def _begin_of(sightings: Any, owner: int) -> int:
    """Where the chats of an account begin."""
    low, high = int64(0), int64(sightings.size)
    while low < high:
        middle = (low + high) // 2
        if int64(sightings[middle].key >> np.uint64(32)) < owner:
            low = middle + 1
        else:
            high = middle
    return low


@compiled()
def _weigh_circles(sightings: Any, roles: Any, circles: Any) -> None:
    """For each sender: 1 if three in five of whom it knows are senders, 2 if two thirds are."""
    begin = int64(0)
    while begin < sightings.size:
        owner, end = int64(sightings[begin].key >> np.uint64(32)), _end_of(sightings, begin)
        if roles[owner] >= SENDER:
            known, senders = int64(0), int64(0)
            for i in range(begin, end):
                if int64(sightings[i].marks) & KNOWN:
                    other = int64(sightings[i].key & np.uint64(0xFFFFFFFF))
                    known += 1
                    senders += roles[other] >= SENDER
            if known > 0 and 5 * senders >= 3 * known:
                circles[owner] = 2 if 3 * senders >= 2 * known else 1
        begin = end


@compiled()
def _have_common(sightings: Any, a: int, a_end: int, b: int, b_end: int, circles: Any) -> bool:
    """Whether two accounts chat with the same third one that is of such a circle."""
    while a < a_end and b < b_end:
        one = int64(sightings[a].key & np.uint64(0xFFFFFFFF))
        other = int64(sightings[b].key & np.uint64(0xFFFFFFFF))
        if one == other and circles[one] > 0:
            return True
        a += one <= other
        b += other <= one
    return False


@compiled()
def _ring_ties(sightings: Any, circles: Any, at: Any) -> int:
    """Positions of the chats that are ties of a ring, each once."""
    n, begin = int64(0), int64(0)
    while begin < sightings.size:
        owner, end = int64(sightings[begin].key >> np.uint64(32)), _end_of(sightings, begin)
        for i in range(begin, end if circles[owner] > 0 else begin):
            other = int64(sightings[i].key & np.uint64(0xFFFFFFFF))
            if other <= owner or circles[other] == 0:
                continue
            contacts = (int64(sightings[i].marks) & CONTACT) != 0
            contacts = contacts and min(int64(circles[owner]), int64(circles[other])) == 2
            there = _begin_of(sightings, other)
            if contacts or _have_common(
                sightings, begin, end, there, _end_of(sightings, there), circles
            ):
                at[n] = i
                n += 1
        begin = end
    return n


def roles_by(reached: Any, standings: Any, found: Any, reversals: Any) -> Any:
    """Return what accounts are to a tie (uint8, by slot).

    Args:
        reached: Slots of the accounts that may be senders (int64).
        standings: What these are by their trials (`AccountRows.standings`).
        found: Of each account whether outside evidence found it abusive.
        reversals: Of each account how often a person found it benign.

    """
    roles = np.full(found.size, OTHER, np.uint8)
    roles[reached] = standings & ~np.uint8(REACHES)
    roles[found > 0] = COMPLAINED
    roles[reversals > 0] = CLEARED
    return roles


def _ties_of_places(
    sightings: Any, roles: Any, known: Any, kind: Kind, *, registered: bool
) -> Any:  # fmt: skip
    at, to = np.zeros(2 * sightings.size, np.int64), np.zeros(2 * sightings.size, np.int64)
    count = _place_ties(sightings, roles, known, registered, at, to)
    ends, slots = (sightings[at[:count]], sightings[to[:count]]), np.uint64(0xFFFFFFFF)
    ties = np.zeros(count, EDGE)
    ties["key"] = edge_keys(ends[0]["key"] & slots, ends[1]["key"] & slots)
    ties["first"] = np.minimum(ends[0]["epoch"], ends[1]["epoch"])
    ties["last"] = np.maximum(ends[0]["epoch"], ends[1]["epoch"])
    ties["counts"][:, kind] = 1
    return ties


def sender_ties(roles: Any, known: Any, networks: Any, addresses: Any, chats: Any) -> Any:
    """Return the current ties between senders (dtype EDGE).

    Args:
        roles: Roles of accounts (`roles_by`).
        known: Traits of accounts by slot (`traits`), at least of `beside_senders`.
        networks: Accounts by network (dtype SIGHTING).
        addresses: Accounts by exact address (dtype SIGHTING).
        chats: Chats of accounts, both ways (dtype SIGHTING, with marks).

    """
    circles, at = np.zeros(roles.size, np.uint8), np.zeros(chats.size, np.int64)
    _weigh_circles(chats, roles, circles)
    ring_chats = chats[at[: _ring_ties(chats, circles, at)]]
    rings = np.zeros(ring_chats.size, EDGE)
    rings["key"] = ring_chats["key"]
    rings["first"] = rings["last"] = ring_chats["epoch"]
    rings["counts"][:, Kind.RING] = 1
    return np.concatenate([
        _ties_of_places(networks, roles, known, Kind.SENDERS, registered=True),
        _ties_of_places(addresses, roles, known, Kind.ADDRESS, registered=False),
        rings,
    ])  # fmt: skip


@compiled()
def _weigh(edges: Any, roles: Any, reversals: Any, known: Any, out: Any) -> None:
    for i in range(edges.size):
        edge = edges[i]
        one, other = int64(edge.key >> np.uint64(32)), int64(edge.key & np.uint64(0xFFFFFFFF))
        weight = int64(4) if edge.counts[_DEVICE] > 0 else int64(0)
        if edge.counts[_BLOCK] > 0:
            weight += 3
        elif edge.counts[_NETWORK] > 0:
            weight += 2
        for account in (one, other):
            if roles[account] < SENDER:
                friendless = roles[account] != CLEARED and (known[account] & FRIENDLESS) != 0
                weight = weight if friendless else int64(0)
        for kind in (_SENDERS, _RING, _ADDRESS):
            weight += 3 if edge.counts[kind] > 0 else 0
        out[i] = weight >> min(int64(reversals[one]) + int64(reversals[other]), int64(16))


def weigh(edges: Any, roles: Any, reversals: Any, known: Any) -> Any:
    """Return the weight of each edge as a tie of one operator (int64); a chain has none.

    A network or address of senders and a ring join by themselves: they are rebuilt each hour. A
    shared device and registrations within an hour count only between accounts that are senders or
    just came: a family's phone is no operator. A person's decision that one end is benign halves
    the weight, each time.

    Args:
        edges: The edges (dtype EDGE).
        roles: Roles of accounts (`roles_by`).
        reversals: By slot, the number of times that a person found the account benign.
        known: Traits of accounts by slot (`traits`), at least of the edges that last.

    """
    weight = np.zeros(edges.size, np.int64)
    _weigh(edges, roles, reversals, known, weight)
    return weight
