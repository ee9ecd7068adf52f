"""What accounts share: reputations and credibility, read as of the last closed epoch.

Written as sums of integers at an epoch's close, so that the order of shards does not matter; an
account's own standing and birth come from its shard alone and in its order.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from wavebreak.features.jit import compiled
from wavebreak.features.reading import ARRIVALS_HALF_LIFE, ONE, REPUTATION_HALF_LIFE
from wavebreak.features.rings import decayed
from wavebreak.features.state import (
    ARRIVALS,
    BAD,
    BORN,
    DOUBTED,
    GOOD,
    HUNTED,
    STANDING,
    TRUSTED,
    UNTIL,
)


@compiled()
def _entity(e: Any, table: int, amount: int, epoch: int) -> None:
    age = epoch - e.epoch
    if age > 0:
        e.good = decayed(e.good, age, REPUTATION_HALF_LIFE)
        e.bad = decayed(e.bad, age, REPUTATION_HALF_LIFE)
        e.arrivals = decayed(e.arrivals, age, ARRIVALS_HALF_LIFE)
        e.epoch = epoch
    if table == GOOD:
        e.good += amount * ONE
    elif table == BAD:
        e.bad += amount * ONE
    elif table == ARRIVALS:
        e.arrivals += amount * ONE


@compiled()
def merge(deltas: Any, n: int, entities: Any, people: Any, epoch: int) -> None:
    """Add the contributions of a closed epoch to what accounts share.

    Sums do not depend on their order; BORN, STANDING and UNTIL have one writer each, whose order
    is kept.
    """
    for i in range(n):
        table, key, amount = deltas[i].table, deltas[i].key, np.int64(deltas[i].amount)
        if table <= ARRIVALS:
            _entity(entities[key], table, amount, epoch)
        elif table == TRUSTED:
            people[key].trusted = min(np.int64(people[key].trusted) + amount, 65535)
        elif table == DOUBTED:
            people[key].doubted = min(np.int64(people[key].doubted) + amount, 65535)
        elif table == HUNTED:
            people[key].hunted = min(np.int64(people[key].hunted) + amount, 255)
        elif table == BORN:
            people[key].born = amount & 0xFFFFFFFF
        elif table == STANDING:
            people[key].standing = amount
        elif table == UNTIL:
            people[key].until = amount & 0xFFFFFFFF
