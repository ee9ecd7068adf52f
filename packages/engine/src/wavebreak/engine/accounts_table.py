"""Table of all accounts at the end of a run: activity, enforcement and feedback of each."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from wavebreak.engine.enforcement import FirstMessages
from wavebreak.engine.engine import Engine
from wavebreak.features.layout import MET_CHALLENGE, MET_LIMIT, RARE, SHARDS, STAGES
from wavebreak.outcomes import OUTCOMES
from wavebreak.schema.events import CHANNELS


def accounts_table(engine: Engine) -> pa.Table:
    """Return one row per account that had an account event, ordered by first appearance.

    `first_contacts_attempted` are people written to first or asked for contact, whether or not it
    got through; `first_contacts_refused` those of them to whom it was refused (`first_messages`).
    """
    parts = [_shard_accounts(engine, s) for s in range(SHARDS)]
    slots = np.concatenate([slot for slot, _ in parts])
    order = np.argsort(slots, kind="stable")
    columns = {
        name: pa.concat_arrays([part[name] for _, part in parts]).take(pa.array(order))
        for name in parts[0][1]
    }
    counted = engine.first_messages or FirstMessages()
    attempted = columns["first_contacts"].to_numpy() + counted.waiting(slots[order])
    columns |= {
        "first_contacts_attempted": pa.array(attempted),
        "first_contacts_refused": pa.array(counted.refused(slots[order])),
    }
    names = engine.fanout.accounts.texts(slots[order])
    return pa.table({"account": names} | columns)


def account_row(engine: Engine, slot: int) -> dict[str, Any]:
    """Return the row of one account that had an event, without its attempted first contacts."""
    core, s, local = engine.core, slot % SHARDS, slot // SHARDS
    rows = core.rows[s].records[local : local + 1].copy()
    rares = np.zeros(1, RARE)
    if (at := int(rows["rare"][0])) > 0:
        rares[0] = core.rares[s].records[at - 1]
    return {name: column[0].as_py() for name, column in _account_columns(rows, rares).items()}


def _shard_accounts(engine: Engine, s: int) -> tuple[Any, dict[str, pa.Array]]:
    slots, rows, rares = shard_records(engine, s)
    return slots, _account_columns(rows, rares)


def shard_records(engine: Engine, s: int) -> tuple[Any, Any, Any]:
    """Return slots, rows (ROW) and rare rows (RARE) of a shard's accounts that had an event.

    Copies: an account without a rare row has an empty one.
    """
    core = engine.core
    used = len(range(s, core.accounts, SHARDS))
    rows = core.rows[s].records[:used]
    locals_ = np.flatnonzero(rows["first_seen"] > 0)
    rows = rows[locals_]
    rares = np.zeros(rows.size, RARE)
    with_rare = np.flatnonzero(rows["rare"] > 0)
    rares[with_rare] = core.rares[s].records[rows["rare"][with_rare].astype(np.int64) - 1]
    return locals_ * SHARDS + s, rows, rares


def _account_columns(rows: Any, rares: Any) -> dict[str, pa.Array]:
    acted = rares["action_at"] > 0
    stage = np.array((*STAGES, "review"))[np.minimum(rares["action_stage"], 3)]
    reported = acted & (rares["reported_before"] > 0)
    timed = (rows["until"] > 0) & (rows["enforcement"] > 0)
    return {
        "channel": _decode_enum(CHANNELS, rows["channel"]),
        "first_seen_ms": _milliseconds(rows["first_seen"]),
        "registered_ms": _milliseconds(rows["registered"], rows["registered"] > 0),
        "last_seen_ms": pa.array(rows["clock"].astype(np.int64) * 1000),
        "sends": _int64_array(rows["sends"]),
        "first_contacts": _int64_array(rows["started"]),
        "replied_contacts": _int64_array(rows["mutual"]),
        "received": _int64_array(rows["received"]),
        "groups_created": _int64_array(rares["created"]),
        "members_added": _int64_array(rares["added"]),
        "reports": _int64_array(rares["reports"]),
        "strangers_before_action": _int64_array(rows["to_strangers"]),
        "unwanted": _int64_array(rows["unwanted"]),
        "refused": _int64_array(rares["refused"]),
        "worst": _decode_enum(OUTCOMES, rows["worst"]),
        "outcome": _decode_enum(OUTCOMES, rows["enforcement"]),
        "until_ms": pa.array(rows["until"].astype(np.int64) * 1000, mask=~timed),
        "challenged": pa.array((rares["met"] & MET_CHALLENGE) > 0),
        "limited": pa.array((rares["met"] & MET_LIMIT) > 0),
        "first_action_ms": pa.array(rares["action_at"] - 1, mask=~acted),
        "first_action_stage": pa.array(stage.tolist(), pa.string(), mask=~acted),
        "first_action_position": pa.array(rares["action_position"], mask=~acted),
        "reports_before_action": _int64_array(rares["reports_before"]),
        "last_report_before_action_ms": _milliseconds(rares["reported_before"], reported),
    }


def _int64_array(values: Any) -> pa.Array:
    return pa.array(values.astype(np.int64))


def _milliseconds(seconds_plus_one: Any, valid: Any = None) -> pa.Array:
    """Milliseconds since the epoch, from the kernel's seconds plus one; null where not valid."""
    mask = None if valid is None else ~valid
    return pa.array((seconds_plus_one.astype(np.int64) - 1) * 1000, mask=mask)


def _decode_enum(words: tuple[str, ...], codes: Any) -> pa.Array:
    at = pa.array(np.minimum(codes, len(words) - 1).astype(np.int32))
    return pa.DictionaryArray.from_arrays(at, pa.array(words)).cast(pa.string())
