"""What an account tells others of itself, and what it reads of them: all through epochs."""

from __future__ import annotations

from typing import Any

import numpy as np

from wavebreak.features.memory import emit, people_of
from wavebreak.features.rings import push
from wavebreak.features.state import BORN, COURTED, ON_BLOCK, ON_DEVICE, ON_NETWORK
from wavebreak.jit import compiled, int64

YOUNG_S = 604_800
EPOCHS_A_DAY = 1_440


@compiled(inline="always")
def was_young(row: Any, now: int) -> bool:
    """Whether the account registered within a week before `now` (s), as far as is known."""
    born = int64(row.registered)
    return bool(born > 0 and now - (born - 1) <= YOUNG_S)


@compiled(inline="always")
def is_young(row: Any) -> bool:
    """Whether the account is young at its own clock."""
    return was_young(row, int64(row.clock))


@compiled(inline="always")
def mark(entity: int) -> int:
    """How a place is told of: nearly the low sixteen bits of an entity plus one; 0 is none."""
    return (int64(entity) - 1) % 65535 + 1 if entity > 0 else int64(0)


@compiled(inline="always")
def _is_kin(row: Any, places: Any) -> bool:
    return bool(
        (places[0] > 0 and places[0] == mark(row.network))
        or (places[1] > 0 and places[1] == mark(row.block))
        or (places[2] > 0 and places[2] == mark(row.device))
    )


@compiled()
def meet(w: Any, row: Any, peer: int, now: int) -> None:
    """A new chat, either way: remember whether the peer is young, and whether it stands near."""
    person = people_of(w)[peer]
    born = np.int64(person.born)
    young = born > 0 and now - (born - 1) <= YOUNG_S
    row.young_bits = push(row.young_bits, young)
    row.kin_bits = push(row.kin_bits, young and _is_kin(row, person.places))


@compiled(inline="always")
def _lately(w: Any, many: Any, before: Any, newest: Any) -> int:
    """What was counted by the last epoch on the open one's day and the day before (at most 255)."""
    days = w.epoch // EPOCHS_A_DAY + 1 - int64(newest)
    found = int64(many) if days <= 1 else int64(0)
    found += int64(before) if days == 0 else int64(0)
    return min(found, 255)


@compiled()
def approach(w: Any, row: Any, peer: int, stranger: bool) -> None:
    """The account writes to, adds or accuses somebody: how many young strangers have done so?"""
    person = people_of(w)[peer]
    row.courted = _lately(w, person.courted, person.courted_before, person.courted_day)
    if stranger and is_young(row):
        emit(w, COURTED, int64(peer), 1)


@compiled()
def accused(w: Any, peer: int) -> int:
    """Blind reports of somebody by the last epoch, on the open one's day and the day before."""
    person = people_of(w)[peer]
    return _lately(w, person.accused, person.accused_before, person.accused_day)


@compiled()
def around(w: Any, row: Any, table: int, amount: int) -> None:
    """Contribute to the network, block and device that the account stands on."""
    for entity in (row.network, row.block, row.device):
        if entity > 0:
            emit(w, table, np.int64(entity) - 1, amount)


@compiled()
def everywhere(w: Any, row: Any, table: int, amount: int) -> None:
    """Contribute to each entity that the account stands on."""
    for entity in (row.network, row.block, row.device, row.client):
        if entity > 0:
            emit(w, table, np.int64(entity) - 1, amount)


@compiled()
def birth(w: Any, account: int, now: int) -> None:
    """Let others know when the account registered."""
    emit(w, BORN, account, now + 1)


@compiled()
def settled(w: Any, row: Any, account: int) -> None:
    """Let others know on which network, block and device the account stands."""
    emit(w, ON_NETWORK, account, mark(row.network))
    emit(w, ON_BLOCK, account, mark(row.block))
    emit(w, ON_DEVICE, account, mark(row.device))
