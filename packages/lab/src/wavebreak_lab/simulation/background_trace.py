"""A real trace as background: campaigns run among its accounts, and nothing else changes.

Campaign events keep only event types and fields that the trace itself carries, so a rule on typing
never fires where the trace has no typing events.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wavebreak import io
from wavebreak.durations import DAY_MS
from wavebreak.errors import UsageError
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.schema.events import CODES, PERSONAL, REASONS, TYPES, WIRE_SCHEMA
from wavebreak_lab.simulation.context import Label

MIN_FIELD_SHARE = 0.01
"""Smallest share of a type's events that carry a field for the field to be planted."""

LEAD_IN = 0.1
"""Share of the trace's span before the first campaign starts."""

NAME_SEED_OFFSET = 1 << 31
"""Added to the seed of planted accounts' names, and their ids start far up (`FIRST_ID`): so a
background that was simulated itself shares none with them."""

FIRST_ID = 1 << 39

_LONGEST_STEP = DAY_MS


@dataclass(frozen=True, slots=True)
class Background:
    """A trace: its events on the wire (without personal fields), and the accounts in them.

    `step` is the greatest time that divides all of the trace's times (milliseconds); `lead_in` the
    share of the trace before the first campaign may start.
    """

    events: pa.Table
    accounts: list[str]
    first: int
    last: int
    step: int
    lead_in: float = LEAD_IN

    @property
    def start(self) -> int:
        """When campaigns may start."""
        start = self.first + self.lead_in * (self.last - self.first)
        return int(start) // self.step * self.step


def load_trace(path: Path, lead_in: float = LEAD_IN) -> Background:
    """Read a trace. Phone, address and device are left out; raises UsageError if nothing is there.

    Reading goes over the privacy edge, with a key that is thrown away.
    """
    edge = Pseudonymizer(secrets.token_bytes(32))
    batches = [_to_wire(batch.log) for batch in io.read(path, edge) if batch.log.num_rows]
    if not batches:
        raise UsageError("the background holds no event", fix="give a file with events")
    events = pa.Table.from_batches(batches, schema=WIRE_SCHEMA)
    names = pa.chunked_array(
        [*events["account"].chunks, *events["peer"].drop_null().chunks], pa.string()
    )
    ts = events["ts"].to_numpy()
    step = min(int(np.gcd.reduce(ts)) or 1, _LONGEST_STEP)
    accounts = sorted(pc.unique(names).to_pylist())
    return Background(events, accounts, int(ts.min()), int(ts.max()), step, lead_in)


def _to_wire(log: pa.RecordBatch) -> pa.RecordBatch:
    types = log.column("type").to_numpy()
    arrays = []
    for field in WIRE_SCHEMA:
        if field.name in PERSONAL:
            arrays.append(pa.nulls(log.num_rows, field.type))
        elif field.name == "type":
            arrays.append(pa.array(TYPES).take(log.column("type")))
        elif field.name == "reason":
            arrays.append(_reasons(types, log.column("reason")))
        elif field.name in CODES:
            arrays.append(pa.array(CODES[field.name]).take(log.column(field.name)))
        else:
            arrays.append(log.column(field.name))
    return pa.RecordBatch.from_arrays(arrays, schema=WIRE_SCHEMA)


def _reasons(types: np.ndarray, codes: pa.Array) -> pa.Array:
    texts = pa.nulls(len(codes), pa.string())
    for kind, names in REASONS.items():
        is_kind = pa.array(types == TYPES.index(kind))
        texts = pc.if_else(is_kind, pa.array(names).take(codes.fill_null(0)), texts)
    return pc.if_else(codes.is_valid(), texts, pa.scalar(None, pa.string()))


def merge_campaigns(background: Background, planted: pa.Table) -> pa.Table:
    """Return the trace and the planted events it can carry, sorted by (ts, id)."""
    events = background.events
    parts = [events]
    for kind in pc.unique(planted["type"]).to_pylist():
        theirs = events.filter(pc.equal(events["type"], kind))
        ours = planted.filter(pc.equal(planted["type"], kind))
        if not len(theirs) - theirs["group"].null_count:
            ours = ours.filter(pc.is_null(ours["group"]))
        if len(theirs) or kind == "message.sent":
            parts.append(_drop_absent_fields(theirs, ours))
    combined = pa.concat_tables(parts)
    ts = combined["ts"].to_numpy() // background.step * background.step
    combined = combined.set_column(1, WIRE_SCHEMA.field("ts"), pa.array(ts))
    return combined.sort_by([("ts", "ascending"), ("id", "ascending")])


_ALWAYS_KEPT = frozenset({"id", "ts", "type", "account", "peer", "group", "business"})


def _drop_absent_fields(theirs: pa.Table, ours: pa.Table) -> pa.Table:
    for place, field in enumerate(WIRE_SCHEMA):
        event_count = len(theirs) - theirs[field.name].null_count
        if field.name not in _ALWAYS_KEPT and event_count < MIN_FIELD_SHARE * max(len(theirs), 1):
            ours = ours.set_column(place, field, pa.nulls(len(ours), field.type))
    return ours


def to_record_batches(events: pa.Table, size: int) -> Iterator[pa.RecordBatch]:
    """Yield a table as batches of at most `size` events."""
    for low in range(0, len(events), size):
        yield from events.slice(low, size).combine_chunks().to_batches()


def labels_with_events(
    labels: list[Label], combined: pa.Table, background: Background
) -> list[Label]:
    """Keep the labels of accounts that do something, and of all that the trace names."""
    names = set(pc.unique(combined["account"]).to_pylist()) | set(background.accounts)
    return [label for label in labels if label[0] in names]
