"""The table of accounts that a run ends with: what each did, and what was decided."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from wavebreak.events import CHANNELS
from wavebreak.features.state import (
    MET_CHALLENGE,
    MET_LIMIT,
    OUTCOMES,
    RARE,
    SHARDS,
    STAGES,
)
from wavebreak.pipeline.engine import Engine


def table(engine: Engine) -> pa.Table:
    """One row an account that had a fact, in order of first appearance in the log."""
    parts = [_of_shard(engine, s) for s in range(SHARDS)]
    slots = np.concatenate([slot for slot, _ in parts])
    order = np.argsort(slots, kind="stable")
    columns = {
        name: pa.concat_arrays([part[name] for _, part in parts]).take(pa.array(order))
        for name in parts[0][1]
    }
    names = engine.fanout.accounts.texts(slots[order])
    return pa.table({"account": names} | columns)


def _of_shard(engine: Engine, s: int) -> tuple[Any, dict[str, pa.Array]]:
    core = engine.core
    used = len(range(s, core.accounts, SHARDS))
    rows = core.rows[s].records[:used]
    locals_ = np.flatnonzero(rows["first_seen"] > 0)
    rows = rows[locals_]
    rares = np.zeros(rows.size, RARE)
    there = np.flatnonzero(rows["rare"] > 0)
    rares[there] = core.rares[s].records[rows["rare"][there].astype(np.int64) - 1]
    return locals_ * SHARDS + s, _columns(rows, rares)


def _columns(rows: Any, rares: Any) -> dict[str, pa.Array]:
    acted = rares["action_at"] > 0
    stage = np.array((*STAGES, "review"))[np.minimum(rares["action_stage"], 3)]
    reported = acted & (rares["reported_before"] > 0)
    timed = (rows["until"] > 0) & (rows["standing"] > 0)
    return {
        "channel": _words(CHANNELS, rows["channel"]),
        "first_seen_ms": _times(rows["first_seen"]),
        "registered_ms": _times(rows["registered"], rows["registered"] > 0),
        "last_seen_ms": pa.array(rows["clock"].astype(np.int64) * 1000),
        "sends": _count(rows["sends"]),
        "first_contacts": _count(rows["started"]),
        "replied_contacts": _count(rows["mutual"]),
        "received": _count(rows["received"]),
        "groups_created": _count(rares["created"]),
        "members_added": _count(rares["added"]),
        "reports": _count(rares["reports"]),
        "strangers_before_action": _count(rows["to_strangers"]),
        "unwanted": _count(rows["unwanted"]),
        "refused": _count(rares["refused"]),
        "worst": _words(OUTCOMES, rows["worst"]),
        "outcome": _words(OUTCOMES, rows["standing"]),
        "until_ms": pa.array(rows["until"].astype(np.int64) * 1000, mask=~timed),
        "challenged": pa.array((rares["met"] & MET_CHALLENGE) > 0),
        "limited": pa.array((rares["met"] & MET_LIMIT) > 0),
        "first_action_ms": pa.array(rares["action_at"] - 1, mask=~acted),
        "first_action_stage": pa.array(stage.tolist(), pa.string(), mask=~acted),
        "first_action_position": pa.array(rares["action_position"], mask=~acted),
        "reports_before_action": _count(rares["reports_before"]),
        "last_report_before_action_ms": _times(rares["reported_before"], reported),
    }


def _count(values: Any) -> pa.Array:
    return pa.array(values.astype(np.int64))


def _times(seconds_plus_one: Any, there: Any = None) -> pa.Array:
    """Milliseconds from the kernel's seconds plus one."""
    mask = None if there is None else ~there
    return pa.array((seconds_plus_one.astype(np.int64) - 1) * 1000, mask=mask)


def _words(words: tuple[str, ...], codes: Any) -> pa.Array:
    at = pa.array(np.minimum(codes, len(words) - 1).astype(np.int32))
    return pa.DictionaryArray.from_arrays(at, pa.array(words)).cast(pa.string())
