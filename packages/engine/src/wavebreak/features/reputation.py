"""Merge of an epoch's contributions into the shared state: reputations, credibility, enforcement.

Contributions are sums of integers, so that the order of shards does not matter; an account's own
enforcement state, registration and places come from its shard alone and in its order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from wavebreak.compiled.numba_runtime import compiled, int64
from wavebreak.features import layout
from wavebreak.features.facts import begin_groups
from wavebreak.features.shared_state import EPOCHS_A_DAY
from wavebreak.features.values import ARRIVALS_HALF_LIFE, ONE, REPUTATION_HALF_LIFE, WEEK_HALF_LIFE
from wavebreak.features.windows import decay


@compiled()
def _add_newcomer(newcomers: Any, slot: int) -> None:
    """Keep the largest slots: a set, so that the order of contributions does not matter."""
    low = 0
    for j in range(newcomers.slots.size):
        if newcomers.slots[j] == slot:
            return
        if newcomers.slots[j] < newcomers.slots[low]:
            low = j
    newcomers.slots[low] = max(slot, np.int64(newcomers.slots[low]))


@compiled()
def _merge_cluster(e: Any, table: int, amount: int, epoch: int) -> None:
    """Merge activity of young accounts on an entity; no reputation changes, so no re-evaluation."""
    if epoch > e.stirred:
        e.joined = decay(e.joined, e.stirred, epoch, WEEK_HALF_LIFE)
        e.cold = decay(e.cold, e.stirred, epoch, ARRIVALS_HALF_LIFE)
        e.opened = decay(e.opened, e.stirred, epoch, WEEK_HALF_LIFE)
        e.answered = decay(e.answered, e.stirred, epoch, WEEK_HALF_LIFE)
        e.stirred = epoch
    if table == layout.JOINED:
        e.joined += amount * ONE
    elif table == layout.COLD:
        e.cold += amount * ONE
    elif table == layout.OPENED:
        e.opened += amount * ONE
    elif table == layout.ANSWERED:
        e.answered += amount * ONE


@compiled(inline="always")
def _add_to_day(many: int, before: int, newest: int, amount: int, epoch: int) -> Any:
    """Count on the newest day and the one before: `many`, `before` and `newest` with `amount`."""
    day = epoch // EPOCHS_A_DAY + 1
    if day != newest:
        before = many if day == newest + 1 else int64(0)
        many = int64(0)
    return min(many + amount, 255), before, day


@compiled()
def _merge_approaches(p: Any, amount: int, epoch: int) -> None:
    """Merge approaches of an account by young strangers."""
    p.approached, p.approached_before, p.approached_day = _add_to_day(
        int64(p.approached), int64(p.approached_before), int64(p.approached_day), amount, epoch
    )


@compiled()
def _merge_blind_reports(p: Any, amount: int, epoch: int) -> None:
    """Merge blind reports of an account."""
    p.accused, p.accused_before, p.accused_day = _add_to_day(
        int64(p.accused), int64(p.accused_before), int64(p.accused_day), amount, epoch
    )


@compiled()
def _merge_entity(e: Any, table: int, amount: int, epoch: int) -> None:
    if table == layout.CAME_IN:
        e.joined += amount
        return
    if table > layout.ARRIVALS:
        _merge_cluster(e, table, amount, epoch)
        return
    if epoch > e.epoch:
        e.good = decay(e.good, e.epoch, epoch, REPUTATION_HALF_LIFE)
        e.bad = decay(e.bad, e.epoch, epoch, REPUTATION_HALF_LIFE)
        e.arrivals = decay(e.arrivals, e.epoch, epoch, ARRIVALS_HALF_LIFE)
        e.epoch = epoch
    if table == layout.GOOD:
        e.good += amount * ONE
    elif table == layout.BAD:
        e.bad += amount * ONE
    elif table == layout.ARRIVALS:
        e.arrivals += amount * ONE


@compiled()
def merge_contributions(
    deltas: Any, n: int, entities: Any, newcomers: Any, people: Any, epoch: int
) -> None:  # fmt: skip
    """Add the contributions of a closed epoch to the shared state.

    Sums do not depend on their order; BORN, ENFORCEMENT, UNTIL and places have one writer each,
    whose order is kept.
    """
    for i in range(n):
        table, key, amount = deltas[i].table, deltas[i].key, np.int64(deltas[i].amount)
        if table >= layout.FOUND:
            continue
        if table == layout.JOINED:
            _add_newcomer(newcomers[key], amount)
            amount = np.int64(1)
        if table <= layout.LAST_OF_ENTITY:
            _merge_entity(entities[key], table, amount, epoch)
        elif table == layout.FRIEND:
            _add_friend(people[key], amount + 1)
        elif table == layout.IN_GROUP:
            _add_group(people[key], amount)
        elif table == layout.LEFT_GROUP:
            _remove_group(people[key], amount)
        elif table == layout.IN_ORGANISATION:
            people[key].organisation = amount
        else:
            _merge_person(people[key], table, amount, epoch)


@compiled()
def sort_by_shard(deltas: Any, out: Any) -> None:
    """Copy contributions in the order of the shards that made them, of each in their order."""
    fill, offsets = np.zeros(layout.SHARDS + 1, np.int64), np.zeros(layout.SHARDS + 1, np.int64)
    for i in range(deltas.size):
        fill[int64(deltas[i].shard)] += 1
    begin_groups(fill, offsets)
    for i in range(deltas.size):
        s = int64(deltas[i].shard)
        out[fill[s]] = deltas[i]
        fill[s] += 1


@compiled()
def _put_first(slots: Any, last: int, slot: int) -> None:
    """Put a slot before the others, of which the one in place `last` gives way."""
    for j in range(last, 0, -1):
        slots[j] = slots[j - 1]
    slots[0] = slot


@compiled()
def _add_friend(person: Any, friend: int) -> None:
    """Add an account (its slot plus one) to the newest friends of another."""
    last = person.friends.size - 1
    for j in range(last):
        if person.friends[j] == friend:
            last = j
            break
    _put_first(person.friends, last, friend)


@compiled()
def _add_group(person: Any, group: int) -> None:
    """Add a group (PERSON.groups) to the newest of an account; who joined it once has joined it."""
    last = person.groups.size - 1
    for j in range(last + 1):
        if person.groups[j] >> 1 == group >> 1:
            group, last = group | (int64(person.groups[j]) & 1), j
            break
    _put_first(person.groups, last, group)


@compiled()
def _remove_group(person: Any, group: int) -> None:
    """Remove a group (its slot plus one) from those of an account."""
    kept = 0
    for j in range(person.groups.size):
        held = person.groups[j]
        person.groups[j] = 0
        if held >> 1 != group:
            person.groups[kept] = held
            kept += 1


@compiled()
def _merge_person(person: Any, table: int, amount: int, epoch: int) -> None:
    if table == layout.CONFIRMED:
        person.confirmed = min(np.int64(person.confirmed) + amount, 65535)
    elif table == layout.REFUTED:
        person.refuted = min(np.int64(person.refuted) + amount, 65535)
    elif table == layout.HUNTED:
        person.targeted = min(np.int64(person.targeted) + amount, 255)
    elif table == layout.COURTED:
        _merge_approaches(person, amount, epoch)
    elif table == layout.ACCUSED:
        _merge_blind_reports(person, amount, epoch)
    elif table >= layout.ON_NETWORK:
        person.places[table - layout.ON_NETWORK] = amount
    elif table == layout.BORN:
        person.born = amount & 0xFFFFFFFF
    elif table == layout.ENFORCEMENT:
        person.enforcement = amount
    elif table == layout.UNTIL:
        person.until = amount & 0xFFFFFFFF


def newcomers_beside(partials: Sequence[Any], newcomers: Any) -> Any:
    """Return slots of newcomers on entities where an account was restricted (int64, rising).

    `partials` are contributions (dtype DELTA) that are merged by now.
    """
    blamed = [p["key"][(p["table"] == layout.BAD) & (p["amount"] > 0)] for p in partials]
    keys = np.unique(np.concatenate([np.zeros(0, np.uint32), *blamed]))
    found = np.unique(newcomers["slots"][keys]).astype(np.int64)
    return found[found > 0] - 1


OPENING_EPOCHS = 30 * 1_440
"""Epochs (minutes) from a log's first one in which the share counts."""
MOST_MINUTES = 1 << 46
"""Most minutes that are held, in 1/65,536."""
_LONG_AGO = 1


class NewcomerShare:
    """Share of newcomers among the accounts that are active: whether a platform has just opened.

    A model that was trained on settled platforms takes an account's youth, and that of its peers,
    for a sign of abuse. Where everybody is new it is none. The share is taken over minutes: each
    account of this platform (not of a remote server) counts in each epoch in which it acts, or in
    which somebody acts on it whose network or registration is known; minutes halve in a day. It
    counts for the first thirty days of a log only, so that a flood of newcomers cannot silence a
    model later.

    >>> share = NewcomerShare()
    >>> share.open(0)
    >>> share.add(0, 10, 6)
    >>> share.exceeds(ONE // 2, 1), share.exceeds(ONE * 7 // 10, 1)
    (True, False)
    >>> share.exceeds(ONE // 2, OPENING_EPOCHS)
    False
    """

    def __init__(self) -> None:
        # Epochs are plus one (0: none yet), minutes in 1/65,536.
        self._first = self._counted = self._everybody = self._new = 0

    def open(self, epoch: int) -> None:
        """Take over the log's first epoch, where none is known."""
        self._first = self._first or epoch + 1

    def is_counted(self, epoch: int) -> bool:
        """Whether the log is so young in an epoch that the share counts."""
        return epoch + 1 - self._first < OPENING_EPOCHS

    def add(self, epoch: int, active: int, newcomers: int) -> None:
        """Add the accounts that were active in a closed epoch, and the newcomers among them."""
        if not active:
            return
        since = self._counted - 1
        everybody = int(decay(self._everybody, since, epoch, ARRIVALS_HALF_LIFE)) + active * ONE
        new = int(decay(self._new, since, epoch, ARRIVALS_HALF_LIFE)) + newcomers * ONE
        self._counted = epoch + 1
        self._everybody, self._new = min(everybody, MOST_MINUTES), min(new, MOST_MINUTES)

    def exceeds(self, most: int, epoch: int) -> bool:
        """Whether the share is above `most` (in 1/65,536) in an epoch of a log so young."""
        return self.is_counted(epoch) and self._new * ONE > most * self._everybody

    def dump(self) -> Any:
        """Return the log's first epoch, the last one counted, and minutes of both: int64[4]."""
        return np.array([self._first, self._counted, self._everybody, self._new], np.int64)

    def load(self, numbers: Any | None) -> None:
        """Restore a dump; without any, the log counts as long begun."""
        held = (_LONG_AGO, 0, 0, 0) if numbers is None else (int(n) for n in numbers)
        self._first, self._counted, self._everybody, self._new = held
