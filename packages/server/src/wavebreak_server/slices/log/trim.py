"""Trim of the log: rows that every kept snapshot is ahead of, and that are old enough, are removed.

What is left is what a start needs: the snapshots, and the log from the oldest of them on. The
decisions, the ledger, the audit log and what is in force stay. What can no longer be done with the
events that go: replay them under another policy, recount the evidence of decisions on them, or
start with a policy, model or version that no snapshot is of.

Idle accounts can be evicted besides, to free memory: then the snapshot at the log's end is written
anew without them, and all before it goes, since a replay of it would bring them back. What is
decided from there on is a function of that snapshot and of the log after it, live and in a replay.

A trim is sealed in the ledger and written to the audit log before a row goes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from django.db import connection, transaction

from wavebreak.engine import snapshot
from wavebreak.engine.eviction import evict
from wavebreak.engine.state_check import check_state
from wavebreak.errors import ServiceError
from wavebreak.ledger import Draft
from wavebreak.ledger.entries import TrimEntry
from wavebreak_server.http.app_context import write_audit_entry
from wavebreak_server.pipeline.recovery import list_snapshots, usable_snapshots
from wavebreak_server.slices.acts.actions import mark_done
from wavebreak_server.storage import event_log, log_bodies
from wavebreak_server.storage.ledger_store import LedgerStore
from wavebreak_server.storage.models import AppliedPosition, LogBatch
from wavebreak_server.storage.row_macs import bound_key

ROWS_AT_ONCE = 1_000
"""Rows that one transaction removes: a running service waits for none of them for long."""
_FIX = "start the service, let it stop in order, which writes a snapshot, and trim again"


@dataclass(frozen=True)
class TrimPlan:
    """What a trim removes: rows from position `first` to `end - 1`; nothing where they are equal.

    Attributes:
        first: Position of the oldest event.
        end: Position of the oldest event that stays.
        rows: How many rows go.
        received_ms: When the newest of them came in.
        evicted: How many idle accounts are forgotten.
        snapshots: The snapshots from which a start goes on, newest first.
        state: What the first of them is to hold (None: as it is).
    """

    first: int
    end: int
    rows: int
    received_ms: int
    snapshots: tuple[Path, ...]
    evicted: int = 0
    state: snapshot.EngineState | None = field(default=None, repr=False)


def plan(home: Path, before_ms: int) -> TrimPlan:
    """Return what a trim of the bound database would remove: what came in before a time.

    Args:
        home: Directory of the service.
        before_ms: Rows of this time and later stay.

    Raises:
        ServiceError: No snapshot is whole and of the versions that decide, so that a start after
            the trim would have nothing to go on from.
    """
    kept = list(usable_snapshots(home))
    if not kept:
        raise ServiceError("there is no snapshot from which the service could start", fix=_FIX)
    return _planned(min(position for position, _ in kept), before_ms, [path for _, path in kept])


def plan_eviction(home: Path, idle_ms: int) -> TrimPlan:
    """Return what a trim would remove that also evicts the idle accounts.

    Args:
        home: Directory of the service, which is stopped.
        idle_ms: Accounts are idle that did and met nothing for as long before the log's end, by the
            log's time.

    Raises:
        ServiceError: There is no snapshot at the log's end.
    """
    applied = AppliedPosition.objects.filter(id=1).first()
    kept = [path for position, path in usable_snapshots(home) if position == event_log.log_end()]
    if applied is None or applied.position != event_log.log_end() or not kept:
        raise ServiceError("there is no snapshot at the end of the log", fix=_FIX)
    state = snapshot.read(kept[0], bound_key("snapshot"))
    newest_ms = int(state.arrays["fanout.clock"]["newest"][0])
    check_state(state.arrays, state.arrays["fired"].size)
    arrays, evicted = evict(state.arrays, (newest_ms - idle_ms) // 1000)
    check_state(arrays, arrays["fired"].size)
    planned = _planned(event_log.log_end(), None, kept)
    return replace(planned, evicted=evicted, state=snapshot.EngineState(state.about, arrays))


def _planned(limit: int, before_ms: int | None, kept: list[Path]) -> TrimPlan:
    """Return the rows before a position, and before a time if one is given."""
    rows = LogBatch.objects.order_by("first").values_list("first", "count", "received_ms")
    first = event_log.log_start().position
    end, removed, received = first, 0, 0
    for begin, count, at in rows.iterator():
        if (before_ms is not None and at >= before_ms) or begin + count > limit:
            break
        end, removed, received = begin + count, removed + 1, at
    return TrimPlan(first, end, removed, received, tuple(kept))


def trim(
    planned: TrimPlan,
    ledger_store: LedgerStore,
    *,
    now_ms: int,
    reason: str,
    by: str,
    progress: Callable[[int], None] = lambda _: None,
) -> None:
    """Seal a trim, write it to the audit log, and remove the rows.

    Args:
        planned: What to remove, as `plan` returned it.
        ledger_store: Seals the trim.
        now_ms: The time.
        reason: Why, for the audit log.
        by: Who asks for it.
        progress: Called with the position reached.
    """
    if planned.first == planned.end and not planned.evicted:
        return
    target = f"{planned.first}-{planned.end - 1}"
    with transaction.atomic(), ledger_store.sealing() as sealing:
        number = write_audit_entry(now_ms, by, "log.trim", target, reason, "asked")
        entry = TrimEntry(
            planned.first, planned.end, planned.rows, planned.received_ms, planned.evicted
        )
        sealing.add([Draft("trim", entry, {"by": by, "reason": reason})])
    if planned.state is not None:
        (kept,) = planned.snapshots
        snapshot.write(planned.state, kept, bound_key("snapshot"))
        for _, _, path in list_snapshots(kept.parent):
            if path != kept:
                path.unlink()
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA secure_delete = ON")
    position = planned.first
    while position < planned.end:
        # From the oldest on: what an interrupted trim leaves has no gap.
        rows = LogBatch.objects.filter(first__lt=planned.end).order_by("first")
        position = min(
            planned.end, sum(list(rows.values_list("first", "count")[:ROWS_AT_ONCE])[-1])
        )
        with transaction.atomic():
            event_log.remove_rows_before(position)
        progress(position)
    # A service may run meanwhile.
    log_bodies.bound().remove_strays(log_bodies.STRAY_AGE_S)
    with transaction.atomic():
        mark_done(number)
    ledger_store.seal_changes()
    # The ledger names where the log begins now.
    ledger_store.commit_log()
