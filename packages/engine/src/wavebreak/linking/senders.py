"""Ties between senders: networks that hardly anybody else uses, and rings that chat together.

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
from wavebreak.linking.edges import (
    EDGE,
    LEAST_TARGETS,
    MOST_TARGETS,
    TARGET_SHARE,
    Kind,
    edge_keys,
)

MOST_AT_NETWORK: Final = 40
"""A network with more accounts is a crowd (a carrier's, a campus) and ties nobody."""
MOST_CHATS: Final = 16
"""Chats of one account that a ring is looked for in: its newest."""
_TARGETS, _SUCCESSION, _DEVICE = int(Kind.TARGETS), int(Kind.SUCCESSION), int(Kind.DEVICE)
_BLOCK, _NETWORK = int(Kind.BLOCK), int(Kind.NETWORK)
_SENDERS, _RING = int(Kind.SENDERS), int(Kind.RING)
BEYOND_CHANCE, LEAST_CROWD = 16, 4_096
"""Shared targets count if they are so many times more than two senders would share by chance, had
each drawn its strangers from all accounts, or from so many where the log has fewer."""
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
    for i in range(begin, end if end - begin <= MOST_AT_NETWORK else begin):
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
def _are_new_pair(sightings: Any, begin: int, end: int, roles: Any, known: Any) -> bool:
    """Whether somebody complained of the two senders of a network, and both registered here.

    Two neighbours who both write to strangers are no wonder; two such newcomers are.
    """
    for i in range(begin, end):
        account = int64(sightings[i].key & np.uint64(0xFFFFFFFF))
        here = (known[account] & REGISTERED) != 0
        if roles[account] == SENDER or (roles[account] == COMPLAINED and not here):
            return False
    return True


@compiled()
def _network_ties(sightings: Any, roles: Any, known: Any, at: Any, to: Any) -> int:
    """Tie the accounts of each network of senders to the two that follow; fill in positions."""
    n, begin, members = int64(0), int64(0), np.zeros(MOST_AT_NETWORK, np.int64)
    while begin < sightings.size:
        end = _end_of(sightings, begin)
        senders = _senders_between(sightings, begin, end, roles)
        if senders < 2 or (senders == 2 and not _are_new_pair(sightings, begin, end, roles, known)):
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


def sender_ties(roles: Any, known: Any, networks: Any, chats: Any) -> Any:
    """Return the ties between senders as of now (dtype EDGE).

    Args:
        roles: What accounts are (`roles_by`).
        known: Traits of accounts by slot (`traits`), at least of `beside_senders`.
        networks: Who was on which network (dtype SIGHTING).
        chats: With whom accounts chat, both ways (dtype SIGHTING, with marks).

    """
    at, to = np.zeros(2 * networks.size, np.int64), np.zeros(2 * networks.size, np.int64)
    n = _network_ties(networks, roles, known, at, to)
    one, other, slots = networks[at[:n]], networks[to[:n]], np.uint64(0xFFFFFFFF)
    ties = np.zeros(n, EDGE)
    ties["key"] = edge_keys(one["key"] & slots, other["key"] & slots)
    ties["first"] = np.minimum(one["epoch"], other["epoch"])
    ties["last"] = np.maximum(one["epoch"], other["epoch"])
    ties["counts"][:, Kind.SENDERS] = 1
    circles, at = np.zeros(roles.size, np.uint8), np.zeros(chats.size, np.int64)
    _weigh_circles(chats, roles, circles)
    chosen = chats[at[: _ring_ties(chats, circles, at)]]
    rings = np.zeros(chosen.size, EDGE)
    rings["key"] = chosen["key"]
    rings["first"] = rings["last"] = chosen["epoch"]
    rings["counts"][:, Kind.RING] = 1
    return np.concatenate([ties, rings])


@compiled()
def _place_weight(edge: Any, one: int, other: int, roles: Any, known: Any) -> int:
    """Weight of where both were; on a device or at registration only of senders and newcomers."""
    weight = int64(0)
    if edge.counts[_DEVICE] > 0:
        weight += 4
    if edge.counts[_BLOCK] > 0:
        weight += 3
    elif edge.counts[_NETWORK] > 0:
        weight += 2
    for account in (one, other):
        if weight > 0 and roles[account] < SENDER:
            friendless = roles[account] != CLEARED and (known[account] & FRIENDLESS) != 0
            weight = weight if friendless else int64(0)
    weight += 3 if edge.counts[_SENDERS] > 0 else 0
    return weight + (3 if edge.counts[_RING] > 0 else 0)


@compiled()
def _weigh(
    edges: Any, roles: Any, reversals: Any, known: Any, contacted: Any, out: Any
) -> None:  # fmt: skip
    for i in range(edges.size):
        edge = edges[i]
        one, other = int64(edge.key >> np.uint64(32)), int64(edge.key & np.uint64(0xFFFFFFFF))
        weight = _place_weight(edge, one, other, roles, known)
        after = int64(edge.counts[_SUCCESSION])
        shared = int64(edge.counts[_TARGETS]) + after
        if roles[one] >= SENDER and roles[other] >= SENDER and shared > 0:
            wrote, others = int64(contacted[one]), int64(contacted[other])
            enough = shared >= LEAST_TARGETS and shared * TARGET_SHARE >= min(wrote, others)
            by_chance = shared * max(roles.size, LEAST_CROWD) < BEYOND_CHANCE * wrote * others
            if (enough or weight > 0) and not by_chance:
                weight += min(shared + after, int64(MOST_TARGETS))
        out[i] = weight >> min(int64(reversals[one]) + int64(reversals[other]), int64(16))


def weigh(edges: Any, roles: Any, reversals: Any, known: Any, contacted: Any) -> Any:
    """Return the weight of each edge as a tie of one operator (int64); a chain has none.

    A network of senders and a ring join by themselves: they are looked for anew each hour. Other
    ties count between accounts that are senders or just came: a family's phone and two couriers
    with one list of customers are no operator. Shared targets count between senders alone, from
    three on if they are a quarter of the strangers of the one who wrote to fewer, or beside another
    tie, and where two who know nothing of each other would share far fewer; a successor's count
    double. A person's decision that one end is benign halves the weight, each time.

    Args:
        edges: The edges (dtype EDGE).
        roles: What accounts are (`roles_by`).
        reversals: How often a person found each account benign, by slot.
        known: Traits of accounts by slot (`traits`), at least of the edges that last.
        contacted: How many strangers accounts wrote to, by slot.

    """
    weight = np.zeros(edges.size, np.int64)
    _weigh(edges, roles, reversals, known, contacted, weight)
    return weight
