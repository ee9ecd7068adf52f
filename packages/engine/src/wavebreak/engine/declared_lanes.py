"""Which accounts hold a declared lane, of an engine or of a snapshot, and what each lane allows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from msgspec import Struct

from wavebreak.features.interner import Interner
from wavebreak.features.layout import SHARDS
from wavebreak.rules.model import Policy
from wavebreak.schema.events import LANES, Lane

if TYPE_CHECKING:
    from wavebreak.engine.engine import Engine


class LaneFloor(Struct, frozen=True):
    """What a lane allows: first messages an hour that nobody answered, by which rules.

    `strangers_1h` is None where no enforced rule of the policy reads allowances.
    """

    lane: Lane
    strangers_1h: int | None
    rules: tuple[str, ...]


def lanes_by_slot(engine: Engine) -> dict[int, Lane]:
    """Return the lane of each account of these shards that holds one, by slot; on its thread."""
    core = engine.core
    return _by_slot(
        (s, rows["rare"], core.rares[s].records[: int(core.shards[s]["rare_n"])]["lane"])
        for s, rows in zip(core.held, core.used_rows(), strict=True)
    )


def stored_lanes(arrays: Mapping[str, Any]) -> dict[str, Lane]:
    """Return the lane of each account that holds one in a snapshot's state, by name."""
    found = _by_slot(
        (s, arrays[f"core.rows{s}"]["rare"], arrays[f"core.rares{s}"]["lane"])
        for s in range(SHARDS)
    )
    if not found:
        return {}
    names = Interner()
    names.load({part: arrays[f"fanout.accounts.{part}"] for part in ("where", "arenas", "lengths")})
    return dict(zip(names.texts(list(found)).to_pylist(), found.values(), strict=True))


def _by_slot(shards: Iterable[tuple[int, Any, Any]]) -> dict[int, Lane]:
    """Return lanes by slot; of each shard its rows' rare numbers and its rare rows' lanes."""
    held: dict[int, Lane] = {}
    for s, rares, lanes in shards:
        # Few accounts have a rare row with a lane: the rows are read where there is any.
        if not lanes.any():
            continue
        at = rares.astype(np.int64)
        of_rows = np.where(at > 0, lanes[at - 1], 0)
        held |= {
            int(n) * SHARDS + s: cast("Lane", LANES[int(of_rows[n])])
            for n in np.flatnonzero(of_rows)
        }
    return held


def lane_floors(policy: Policy) -> list[LaneFloor]:
    """Return what each lane allows under a policy.

    >>> from wavebreak.rules import load_policy
    >>> [(floor.lane, floor.strangers_1h) for floor in lane_floors(load_policy())]
    [('courier', 60), ('clinic', 120), ('code_sender', 300), ('school', 200)]
    """
    rules = tuple(
        rule.id
        for rule in policy.rules
        if rule.mode == "enforce" and "first_contact_allowance_1h" in rule.expression
    )
    return [
        LaneFloor(
            cast("Lane", lane), getattr(policy.allowances, lane).others if rules else None, rules
        )
        for lane in LANES
        if lane != "none"
    ]
