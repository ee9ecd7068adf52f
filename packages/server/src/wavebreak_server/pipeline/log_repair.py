"""Repair of a log whose time is ahead: events dated after they were received.

A service refuses such events, but a log may hold some: of an earlier version, or taken while the
machine's own clock was wrong. One body of them makes everything after it late (docs/adr/0008).

A repair gives each such event the time at which it was received instead of its own, so that
positions, ids and what people decided stay. It is audited, sealed, and recorded in the table
`log_repair`; snapshots that have read such an event are set aside. The next start replays the log
from the first repaired position. What it then decides is stored as new decisions, after those on
record; a decision that is on record already is not stored again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from django.db import transaction
from numpy.typing import NDArray

from wavebreak.errors import FileError, ServiceError
from wavebreak.io.log_rows import decode_row, encode_row
from wavebreak.ledger import Draft
from wavebreak.ledger.entries import RepairEntry
from wavebreak_server.pipeline.recovery import list_snapshots, usable_snapshots
from wavebreak_server.storage import event_log
from wavebreak_server.storage.ledger_store import LedgerStore
from wavebreak_server.storage.models import AppliedPosition, AuditEntry, LogBatch, LogRepair

SET_ASIDE = ".set-aside"
"""Suffix of a snapshot that holds the state of a log before its repair."""


class AheadRow(NamedTuple):
    """A row of the log with events dated after they were received (times in ms).

    `position` is that of the first such event, `events` their number, `bound_ms` the time that they
    are given.
    """

    first: int
    position: int
    events: int
    received_ms: int
    earliest_ms: int
    newest_ms: int
    bound_ms: int


@dataclass(frozen=True)
class Repaired:
    """What a repair did: events given another time, in how many rows, and snapshots set aside."""

    events: int
    rows: int
    position: int
    snapshots: tuple[str, ...]


def find_ahead(now_ms: int, allowed_ms: int) -> list[AheadRow]:
    """Find the rows with events dated more than `allowed_ms` after they were received.

    A row was received before every later row and before `now_ms`, whatever the clock said then.
    """
    return [ahead for _, ahead, _, _ in _read(now_ms, allowed_ms)]


def _read(
    now_ms: int, allowed_ms: int
) -> Iterator[tuple[event_log.LogRow, AheadRow, pa.RecordBatch, NDArray[np.bool_]]]:
    received = list(LogBatch.objects.order_by("first").values_list("first", "received_ms"))
    times = np.array([at for _, at in received] + [now_ms], np.int64)
    bounds = np.minimum.accumulate(times[::-1])[::-1]
    for (first, received_ms), bound in zip(received, bounds[:-1].tolist(), strict=True):
        stored = next(event_log.read_rows(first, rows=1))
        events = _events(stored)
        if events is None:
            continue
        ts = events.column("ts").to_numpy()
        ahead = ts > min(received_ms, now_ms) + allowed_ms
        if ahead.any():
            found = ts[ahead]
            row = AheadRow(
                first,
                first + int(np.argmax(ahead)),
                int(ahead.sum()),
                received_ms,
                int(found.min()),
                int(found.max()),
                bound,
            )
            yield stored, row, events, ahead


def _events(row: event_log.LogRow) -> pa.RecordBatch | None:
    """Decode a row; None if it is damaged or was changed, which a start reports."""
    if not event_log.is_usable(row):
        return None
    try:
        return decode_row(row.blob)
    except FileError:
        return None


def _check_snapshots(home: Path, now_ms: int, allowed_ms: int) -> None:
    """Refuse a repair after which a trimmed log could not be replayed."""
    begin = event_log.log_start().position
    ahead = next(iter(find_ahead(now_ms, allowed_ms)), None) if begin else None
    if ahead is None or any(at <= ahead.position for at, _ in usable_snapshots(home)):
        return
    raise ServiceError(
        f"the log was trimmed and begins at position {begin:,}: a repair from position "
        f"{ahead.position:,} on needs a snapshot from before it, and none is there",
        fix="restore a backup from before these events came, which holds such a snapshot",
    )


def repair(
    home: Path, ledger_store: LedgerStore, now_ms: int, allowed_ms: int, reason: str
) -> Repaired:
    """Give events dated ahead the time at which they were received; the caller owns the log.

    Args:
        home: Directory of the snapshots.
        ledger_store: Seals that the log was repaired.
        now_ms: The machine's clock, which must be right.
        allowed_ms: How far ahead events may be dated.
        reason: For the audit log.

    Raises:
        ServiceError: The log was trimmed, and every snapshot from which it goes on has read the
            events that are to be repaired; nothing is changed.
    """
    _check_snapshots(home, now_ms, allowed_ms)
    with transaction.atomic():
        rows, events, position = 0, 0, event_log.log_end()
        for stored, row, batch, ahead in _read(now_ms, allowed_ms):
            ts = np.where(ahead, row.bound_ms, batch.column("ts").to_numpy())
            at = batch.schema.get_field_index("ts")
            blob = bytes(encode_row(batch.set_column(at, batch.schema.field(at), pa.array(ts))))
            event_log.rewrite_rows([event_log.RewrittenRow(stored, blob)])
            rows, events = rows + 1, events + row.events
            position = min(position, row.position)
        if not rows:
            return Repaired(0, 0, position, ())
        applied, _ = AppliedPosition.objects.get_or_create(id=1)
        LogRepair.objects.create(
            at_ms=now_ms, position=position, end=event_log.log_end(), events=events,
            decisions=applied.decisions,
        )  # fmt: skip
        AuditEntry.objects.create(
            at_ms=now_ms,
            key="command line",
            action="repair_log",
            object=f"{events} events from position {position}",
            reason=reason,
            outcome="done",
        )
        with ledger_store.sealing() as sealing:
            entry = RepairEntry(events, rows, position)
            sealing.add([Draft("repair", entry, {"by": "command line", "reason": reason})])
        ledger_store.seal_changes()
        aside = [path for at, _, path in list_snapshots(home) if at > position]
        for path in aside:
            path.rename(path.with_name(path.name + SET_ASIDE))
    return Repaired(events, rows, position, tuple(path.name for path in aside))
