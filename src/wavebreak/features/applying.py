"""What one fact does to an account: refused or not, and which rows it changes."""

from __future__ import annotations

from typing import Any

import numpy as np

from wavebreak.features.catalog import KINDS
from wavebreak.features.living import (
    accuses,
    complaint,
    labelled,
    lurked,
    member_added,
    rare_of,
    register,
    session,
    tie,
)
from wavebreak.features.memory import pairs_of, people_of
from wavebreak.features.pairs import find, first_of, flags_of, last_of, packed, touched_of
from wavebreak.features.rings import bump, total
from wavebreak.features.state import BLOCKED, DELETED, GROUPED, LINKED, REPLIED, RESTRICT, WROTE
from wavebreak.features.writing import (
    establish,
    hopped,
    known,
    received,
    sent,
    templated,
    volume,
)
from wavebreak.jit import call_int, compiled

(
    REGISTERED, SESSION, TYPING, SENT, SENT_GROUP, RECEIVED, DELIVERED, READ_BY, UNDELIVERABLE,
    LOOKED_UP, CONTACT_ADDED, ADDED_AS_CONTACT, GROUP_CREATED, MEMBER_ADDED, ADDED_TO_GROUP,
    GROUP_JOINED, GROUP_LEFT, MEMBER_LEFT, REPORTED, REPORTED_BY, BLOCKED_OTHER, BLOCKED_BY,
    CHALLENGE_PASSED, CHALLENGE_FAILED, DELETE, LABELLED, READ, EPOCH, CONTACT_REMOVED,
    REMOVED_AS_CONTACT, UNBLOCKED_BY, REFUSED,
) = range(len(KINDS))  # fmt: skip


@compiled()
def refused(w: Any, sh: Any, row: Any, ev: Any, kind: int, local: int, now: int) -> bool:
    """Whether the account's own standing refuses this act; counted when it does."""
    opens = np.int64(0)
    if kind == SENT:
        opens = np.int64((known(sh, local, ev.peer, now) & (WROTE | REPLIED)) == 0)
    hopped(row)
    answer = call_int(
        w.refuse, w.policy, np.int64(row.standing), np.int64(kind), opens,
        np.int64((ev.flags & LINKED) != 0), total(row.first_1d),
    )  # fmt: skip
    if answer == 0:
        return False
    r = rare_of(sh, row)
    r.refused += 1
    r.answered = now + 1
    return True


@compiled()
def undelivered(w: Any, sh: Any, ev: Any, kind: int, local: int, now: int) -> bool:
    """Whether an act of another reaches this account, by the other's standing at the last epoch."""
    person = people_of(w)[ev.account]
    if person.standing < 2 or (person.until > 0 and now >= person.until):
        return False
    opens = np.int64((known(sh, local, ev.account, now) & (WROTE | REPLIED)) == 0)
    zero = np.int64(0)
    standing = np.int64(person.standing)
    return call_int(w.refuse, w.policy, standing, np.int64(kind), opens, zero, zero) > 0


@compiled()
def _send(w: Any, sh: Any, row: Any, ev: Any, local: int, now: int, barred: bool) -> None:
    templated(row, ev)
    opens, stranger = sent(w, sh, row, ev, local, now)
    if stranger:
        if row.worst < RESTRICT:
            row.to_strangers = min(np.int64(row.to_strangers) + 1, 65535)
        if not barred:
            row.unwanted = min(np.int64(row.unwanted) + 1, 65535)
    if opens and row.rare > 0:
        lurked(rare_of(sh, row), now)


@compiled()
def _counted(sh: Any, row: Any, ev: Any, kind: int, now: int) -> None:
    """Facts that count in a rare row."""
    r = rare_of(sh, row)
    clock = np.int64(r.clock)
    if kind == SENT_GROUP:
        row.flags = np.int64(row.flags) | GROUPED
        templated(row, ev)
        if volume(row, ev, now):
            bump(r.group_sends_1d, now // 5760, clock // 5760, 1, 65535)
        r.wrote_group = max(np.int64(r.wrote_group), now + 1)
    elif kind == UNDELIVERABLE:
        bump(r.undeliverable_7d, now // 40320, clock // 40320, 1, 65535)
    elif kind == LOOKED_UP:
        bump(r.lookups_1d, now // 5760, clock // 5760, np.int64(ev.count), 65535)
        bump(r.hits_1d, now // 5760, clock // 5760, np.int64(ev.hits), 65535)
    elif kind == GROUP_CREATED:
        row.flags = np.int64(row.flags) | GROUPED
        r.created += 1
        bump(r.created_1h, now // 240, clock // 240, 1, 255)
        bump(r.created_1d, now // 5760, clock // 5760, 1, 255)
    elif kind == GROUP_JOINED:
        row.flags = np.int64(row.flags) | GROUPED
        r.joined = max(np.int64(r.joined), now + 1)
        bump(r.joins_1d, now // 5760, clock // 5760, 1, 255)
    elif kind == MEMBER_LEFT:
        bump(r.left_7d, now // 40320, clock // 40320, 1, 65535)
    elif kind == CHALLENGE_FAILED:
        r.challenges_failed = min(np.int64(r.challenges_failed) + 1, 255)


@compiled()
def _unblocked(sh: Any, local: int, peer: int) -> None:
    pairs = pairs_of(sh)
    at = find(pairs, sh.pair_capacity, local, peer)
    if at >= 0:
        value = pairs[at].value
        flags = flags_of(value) & ~BLOCKED
        pairs[at].value = packed(flags, first_of(value), last_of(value), touched_of(value))


@compiled()
def _plain(sh: Any, row: Any, ev: Any, kind: int, local: int, now: int) -> None:
    """Facts that count in the row or the pair alone."""
    if kind == TYPING:
        row.typing_at = ev.ts + 1
        row.typing_peer = ev.peer
    elif kind == DELIVERED:
        row.delivered += 1
    elif kind == READ_BY:
        row.read_by += 1
    elif kind == READ:
        row.reads += 1
    elif kind in (ADDED_AS_CONTACT, REMOVED_AS_CONTACT):
        tie(sh, local, ev.account, now, kind == ADDED_AS_CONTACT)
    elif kind == UNBLOCKED_BY:
        _unblocked(sh, local, ev.account)
    elif kind == ADDED_TO_GROUP:
        row.flags = np.int64(row.flags) | GROUPED
    elif kind == DELETE:
        row.flags = np.int64(row.flags) | DELETED


@compiled()
def apply(
    w: Any, sh: Any, row: Any, ev: Any, kind: int, local: int, now: int, barred: bool
) -> bool:
    """Update an account's state by one fact. True when the fact clears the account's standing."""
    if kind == SENT:
        _send(w, sh, row, ev, local, now, barred)
    elif kind == RECEIVED:
        if received(w, sh, row, ev, local, now):
            establish(w, row)
    elif kind in (TYPING, DELIVERED, READ_BY, READ):
        _plain(sh, row, ev, kind, local, now)
    elif kind == REGISTERED:
        register(w, row, ev, now)
    elif kind == SESSION:
        session(w, sh, row, ev, now)
    elif kind == MEMBER_ADDED:
        member_added(w, sh, row, ev, local, now)
    elif kind == REPORTED:
        accuses(w, sh, row, ev, local, now)
    elif kind in (REPORTED_BY, BLOCKED_BY):
        complaint(w, sh, row, rare_of(sh, row), ev, local, now, kind == BLOCKED_BY)
    elif kind == LABELLED:
        return labelled(w, row, rare_of(sh, row), ev)
    elif kind == CHALLENGE_PASSED:
        return bool(row.standing == 2)
    elif kind in (
        SENT_GROUP, UNDELIVERABLE, LOOKED_UP, GROUP_CREATED, GROUP_JOINED, MEMBER_LEFT,
        CHALLENGE_FAILED,
    ):  # fmt: skip
        _counted(sh, row, ev, kind, now)
    else:
        _plain(sh, row, ev, kind, local, now)
    return False
