"""Log writer: the one thread that commits events and decisions, and the WAL checkpointer.

All that is queued goes into one transaction and is acknowledged after its commit: rows of the log,
responses to requests with an Idempotency-Key, and the engine's decisions on earlier rows with their
ledger entries, enforcement states and applied position.

Left to itself, SQLite checkpoints its write-ahead log within the commit that finds it long, and
that commit then waits for tens of megabytes to reach the disk. `WalCheckpointer` does it beside the
commits.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
from django.db import DatabaseError, Error, connection, transaction
from numpy.typing import NDArray

from wavebreak.durations import MINUTE_MS
from wavebreak.engine.decision import Decision
from wavebreak.ledger import Draft
from wavebreak.ledger.entries import LabelEntry
from wavebreak_server.pipeline import idempotency
from wavebreak_server.pipeline.admission import LabelRecord, Mask
from wavebreak_server.pipeline.enforcement_cache import EnforcementCache
from wavebreak_server.pipeline.pending_requests import (
    Accepted,
    BusyError,
    DecidedBatch,
    IdempotencyKey,
    LoggedBatch,
    PendingRequest,
    accepted_of,
    resolve_futures,
)
from wavebreak_server.pipeline.request_decoder import DecodedBatch, DecodeResult
from wavebreak_server.settings import Limits
from wavebreak_server.storage import database, event_log, log_bodies, row_macs
from wavebreak_server.storage.ledger_store import LedgerStore, PendingReceipt
from wavebreak_server.storage.models import AUDIT_KEY, AuditEntry

CHECKPOINT_INTERVAL_S = 2.0
"""Seconds between two checkpoints."""


class WalCheckpointer:
    """A thread that checkpoints most of the write-ahead log; the log writer does the rest.

    SQLite restarts its log only if all of it is checkpointed when a transaction begins: `finish`
    checkpoints what was written while the thread worked. PostgreSQL needs none of this.
    """

    def __init__(self) -> None:
        self._checkpointed, self._stopping = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, name="wavebreak-checkpoint", daemon=True)

    def start(self) -> None:
        """Start, if the database is SQLite."""
        if connection.vendor == "sqlite":
            self._thread.start()

    def finish(self) -> None:
        """Checkpoint the rest; called by the log writer between transactions."""
        if self._checkpointed.is_set():
            self._checkpointed.clear()
            _checkpoint()

    def stop(self) -> None:
        """Stop; the last connection that is closed checkpoints the rest."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _work(self) -> None:
        while not self._stopping.wait(CHECKPOINT_INTERVAL_S):
            # Twice: the first takes long, and what is written meanwhile is most of the rest.
            _checkpoint()
            _checkpoint()
            self._checkpointed.set()
            if database.truncation_due.is_set() and database.truncate_wal(wait_s=0):
                database.truncation_due.clear()
        connection.close()


def _checkpoint() -> None:
    # The next commit reports a full disk or an unreachable database.
    with suppress(Error), connection.cursor() as cursor:
        cursor.execute("PRAGMA wal_checkpoint(PASSIVE)")


MAX_EVENTS_PER_COMMIT = 50_000
"""A transaction with this many events takes no further body."""
PROBE_S = 10.0
"""After this time with nothing to write, the thread tries to: readiness says whether it can."""
DECISIONS_WAIT_S = 0.01
"""How long decisions wait for events to share a commit with."""
_DECISION = (
    "INSERT INTO decision (number, id, account, ts, stage, outcome, until, body, reached, mac) "
    "VALUES (%s,%s,%s,%s,%s,%s,%s,%s,%s,%s)"
)
_ENFORCEMENT_STATE = (
    "INSERT INTO standing (account, outcome, until, ts, decision) VALUES (%s,%s,%s,%s,%s) "
    "ON CONFLICT (account) DO UPDATE SET outcome = excluded.outcome, until = excluded.until, "
    "ts = excluded.ts, decision = excluded.decision"
)
_APPLIED = "UPDATE log_applied SET position = %s, decisions = %s, made_by = %s WHERE id = 1"
_CAN_WRITE = "UPDATE log_applied SET position = position WHERE id = 1"
_RETRY_S = (0.1, 5.0)

_FULL = ("disk is full", "no space left on device")
"""What SQLite and PostgreSQL say where there is no room."""


def refusal_of(fault: str) -> str:
    """Return why bodies are refused while the database cannot be written.

    >>> refusal_of("OperationalError: database or disk is full")
    'the disk is full'
    >>> refusal_of("OperationalError: database is locked")
    'the log cannot be written'
    """
    full = any(said in fault.casefold() for said in _FULL)
    return "the disk is full" if full else "the log cannot be written"


Group = tuple[list[PendingRequest], DecodedBatch]
Row = tuple[LoggedBatch, bytes]
"""Events with their position, and their encoding in the log."""


class LogEnd(NamedTuple):
    """The end of a log: the position after its newest event, and what is stored.

    Attributes:
        end: Position after the newest event.
        applied: Position up to which decisions are stored.
        decisions: How many decisions are stored.
        made_by: Versions of policy, model and features, stored with the decisions.
    """

    end: int
    applied: int
    decisions: int
    made_by: str


class LogHooks(NamedTuple):
    """What a log writer asks and calls.

    Attributes:
        on_logged: Called with each committed batch, in order.
        on_stored: Called with the number of the newest stored decision.
        admit: Returns the bodies that go into the log at a position, without the events for whose
            new names there is no room.
        out_of_time: Returns which events of a batch are late, and which have an id that the log
            has, as far as the engine has read it.
        lost: Returns why this process no longer owns the log; empty while it does.
    """

    on_logged: Callable[[LoggedBatch], None]
    on_stored: Callable[[int], None]
    admit: Callable[[list[Group], int], list[Group]]
    out_of_time: Callable[[pa.RecordBatch], tuple[Mask, Mask]]
    lost: Callable[[], str]


class LogWriter:
    """Owns the end of the log.

    Args:
        hooks: What it asks and calls.
        clock: Returns milliseconds.
        limits: For BusyError while the database fails, and how long responses to requests with an
            Idempotency-Key are kept.
        ledger_store: Seals decisions in the same transaction.
        states: Takes each decision once it is committed.

    Attributes:
        failing: Why the database cannot be written, for operators; empty while it can.
        commits: How many transactions were committed.
    """

    def __init__(
        self,
        log: LogEnd,
        hooks: LogHooks,
        *,
        clock: Callable[[], int],
        limits: Limits,
        ledger_store: LedgerStore,
        states: EnforcementCache,
    ) -> None:
        self.end, self.applied, self.decisions, self._made_by = log
        self.failing = ""
        self.commits = 0
        self._clock, self._keep_ms = clock, int(limits.idempotency_s * 1000)
        self._on_logged, self._on_stored, self._admit, self._out_of_time, self._lost = hooks
        self._retry_after_s = limits.retry_after_s
        self._queue: SimpleQueue[Group | DecidedBatch | threading.Event | None] = SimpleQueue()
        self._groups: deque[Group] = deque()
        self._decided: list[DecidedBatch] = []
        self._ledger_store, self._pending_receipts = ledger_store, ledger_store.pending_receipts()
        self._states = states
        self._doubtful: list[Row] = []
        self._chain = self._next_chain = event_log.log_chain()
        self._checkpoints = WalCheckpointer()
        self._expired_ms = 0
        self._flushed: list[threading.Event] = []
        self._stopping, self._hurry, self._probe_due = False, threading.Event(), False
        self._retry_s, self._began_s = _RETRY_S[0], 0.0
        self._thread = threading.Thread(target=self._work, name="wavebreak-write", daemon=True)

    def start(self) -> None:
        """Start to write."""
        self._checkpoints.start()
        self._thread.start()

    def put(self, item: Group | DecidedBatch) -> None:
        """Queue decoded bodies for the log, or the engine's decisions."""
        self._queue.put(item)

    def check_database(self) -> None:
        """Have the thread find out whether the database fails, as a reader of it has met."""
        self._probe_due = True
        self._queue.put(threading.Event())

    def flush(self) -> None:
        """Return when all that was queued is written or refused, or the thread has ended."""
        done = threading.Event()
        self._queue.put(done)
        self._hurry.set()
        while not done.wait(1.0) and self._thread.is_alive():
            pass

    def stop(self) -> None:
        """Write what is queued, and stop."""
        self._queue.put(None)
        self._hurry.set()
        self._thread.join()
        self._checkpoints.stop()
        if not self.failing:
            with suppress(Error):
                self._ledger_store.seal_changes()
                self._ledger_store.commit_log()
        connection.close()

    @property
    def stalled_s(self) -> float:
        """How long the current transaction has lasted (0: there is none)."""
        began = self._began_s
        return time.monotonic() - began if began else 0.0

    @property
    def finished(self) -> bool:
        """Whether `stop` was called and nothing is left to write, or nothing can be written."""
        if not self._stopping:
            return False
        left = self._groups or self._decided or self._pending_receipts
        return bool(self.failing) or not left

    def turn(self, *, wait: bool = True) -> None:
        """Collect what is queued, and commit it: one turn of the thread.

        Args:
            wait: Wait for the first item, for others to share its commit with, and before the
                next try while the database fails.
        """
        self._collect(wait=wait)
        if self.failing and not self._recovered(wait=wait):
            return
        with suppress(Error):
            self._probe()
            self._write()
        self._release()

    def _probe(self) -> None:
        """Try to write where that is due; raises Django's Error."""
        if self._probe_due:
            self._probe_due = False
            self._began_s = time.monotonic()
            try:
                _try_to_write()
            except Error as error:
                self._failed(error, [], [])
                raise
            finally:
                self._began_s = 0.0

    def _work(self) -> None:
        while not self.finished:
            self.turn()
        connection.close()

    def _collect(self, *, wait: bool) -> None:
        """Collect what is queued; with `wait`, wait for the first item if nothing is."""
        urgent = not wait or self._groups or self._stopping or self.failing or self._flushed
        is_idle = not (urgent or self._decided or self._pending_receipts)
        try:
            self._enqueue(self._queue.get(is_idle, PROBE_S if is_idle else None))
            is_idle = False
            while True:
                self._enqueue(self._queue.get_nowait())
        except Empty:
            self._probe_due |= is_idle
        # Decisions and receipts alone wait a moment for events to share a commit with.
        end = time.monotonic() + DECISIONS_WAIT_S
        while wait and not (self._groups or self._stopping or self.failing or self._flushed):
            try:
                self._enqueue(self._queue.get(timeout=max(0.0, end - time.monotonic())))
            except Empty:
                return

    def _enqueue(self, item: Group | DecidedBatch | threading.Event | None) -> None:
        if item is None:
            self._stopping = True
        elif isinstance(item, DecidedBatch):
            self._decided.append(item)
        elif isinstance(item, threading.Event):
            self._flushed.append(item)
        else:
            self._groups.append(item)

    def _release(self) -> None:
        """Wake callers of `flush` once no body is queued."""
        if not self._groups:
            for flushed in self._flushed:
                flushed.set()
            self._flushed.clear()

    def _next_groups(self) -> list[Group]:
        groups, events = [], 0
        while self._groups and events < MAX_EVENTS_PER_COMMIT:
            groups.append(self._groups.popleft())
            events += groups[-1][1].log.num_rows
        return groups

    def _write(self) -> None:
        """Commit one transaction; raises Django's Error if it fails."""
        groups, batches = self._admit(self._next_groups(), self.end), list(self._decided)
        waiting = [w for some, _ in groups for w in some]
        answers = [answer for _, decoded in groups for answer in self._accepted(decoded)]
        rows, decisions = self._rows(groups), _decisions(batches)
        self._began_s = time.monotonic()
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                self._statements(cursor, rows, batches, waiting, answers)
                pending_receipts = self._seal(decisions, self._labeled(groups))
        except Error as error:
            self._failed(error, rows, waiting)
            raise
        finally:
            self._began_s = 0.0
        self.commits += 1
        self._pending_receipts = pending_receipts
        del self._decided[: len(batches)]
        self._states.decided(decisions)
        self._committed(rows, batches)
        resolve_futures((w, a) for w, a in zip(waiting, answers, strict=True) if not w.ask)
        self._checkpoints.finish()

    def _accepted(self, decoded: DecodedBatch) -> list[Accepted]:
        """Return the result of each body, with its events that change nothing."""
        taken = [read.taken if isinstance(read, DecodeResult) else 0 for read in decoded.reads]
        ends = np.cumsum(taken)
        if not ends.size or not ends[-1]:
            return [Accepted(0)] * len(taken)
        late, repeated = (_counts(mask, ends) for mask in self._out_of_time(decoded.log))
        times = decoded.log.column("ts").to_numpy()
        return [
            accepted_of(
                read,
                late=late[k],
                duplicates=repeated[k],
                newest_ms=int(times[ends[k] - read.taken : ends[k]].max(initial=0)),
            )
            if isinstance(read, DecodeResult)
            else Accepted(0)
            for k, read in enumerate(decoded.reads)
        ]

    def _rows(self, groups: list[Group]) -> list[Row]:
        rows, first = list[Row](), self.end
        for waiting, decoded in groups:
            asked = tuple(w for w in waiting if w.ask)
            counts = (r.taken for r in decoded.reads if isinstance(r, DecodeResult))
            senders = tuple((w.sender, n) for w, n in zip(waiting, counts, strict=True))
            rows.append((LoggedBatch(first, decoded.log, asked, senders), decoded.blob))
            first += decoded.log.num_rows
        return rows

    def _statements(
        self,
        cursor: Any,
        rows: list[Row],
        batches: list[DecidedBatch],
        waiting: list[PendingRequest],
        answers: list[Accepted],
    ) -> None:
        now = self._clock()
        self._next_chain = event_log.append_rows(
            cursor,
            [event_log.NewRow(r.first, r.events.num_rows, now, blob) for r, blob in rows],
            self._chain,
        )
        repeats: list[tuple[IdempotencyKey, Accepted]] = [
            (w.repeat, replace(a, answer=w.response))
            for w, a in zip(waiting, answers, strict=True)
            if w.repeat
        ]
        if repeats:
            idempotency.store_responses(cursor, repeats, now)
        if repeats and now - self._expired_ms > MINUTE_MS:
            self._expired_ms = now
            idempotency.delete_expired(cursor, now - self._keep_ms)
        if batches:
            rows_ = [(*row, d.reached) for d in batches for row in d.rows]
            decided = [(*row, row_macs.row_mac("decision", row)) for row in rows_]
            if decided:
                cursor.executemany(_DECISION, decided)
                newest = {row[2]: (row[2], row[5], row[6], row[3], row[0]) for row in decided}
                cursor.executemany(_ENFORCEMENT_STATE, list(newest.values()))
            decisions = decided[-1][0] if decided else self.decisions
            cursor.execute(_APPLIED, (batches[-1].reached, decisions, self._made_by))

    def _labeled(self, groups: list[Group]) -> list[Draft]:
        """Write the audit entries of labels; return their ledger entries."""
        drafts = list[Draft]()
        for waiting, decoded in groups:
            for one, read in zip(waiting, decoded.reads, strict=True):
                if isinstance(read, DecodeResult) and read.labels:
                    drafts += [_label_draft(label, one.sender) for label in read.labels]
                    if one.audit:
                        _audit_labels(one, read.labels, self._clock())
        return drafts

    def _seal(self, decisions: list[Decision], drafts: list[Draft]) -> list[PendingReceipt]:
        return self._ledger_store.decided(decisions, drafts, self._pending_receipts)

    def _committed(self, rows: list[Row], batches: list[DecidedBatch]) -> None:
        if batches:
            self.applied = batches[-1].reached
            decided = [row for d in batches for row in d.rows]
            if decided:
                self.decisions = decided[-1][0]
                self._on_stored(self.decisions)
        self._chain = self._next_chain
        for logged, _ in rows:
            self.end = logged.first + logged.events.num_rows
            self._on_logged(logged)

    def _failed(self, error: Error, rows: list[Row], waiting: list[PendingRequest]) -> None:
        """Refuse the waiting requests; `_resolve_doubtful_commit` checks the commit later."""
        self.failing = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        connection.close()
        # No request waits for the engine any more, should the events be in the log after all.
        self._doubtful = [(replace(logged, asked=()), blob) for logged, blob in rows]
        self._refuse(waiting)

    def _refuse(self, waiting: list[PendingRequest]) -> None:
        busy = BusyError(refusal_of(self.failing), retry_after_s=self._retry_after_s)
        resolve_futures((w, busy) for w in waiting)

    def _recovered(self, *, wait: bool) -> bool:
        """Refuse new requests, and try once whether the database answers again."""
        for waiting, _ in self._groups:
            self._refuse(waiting)
        self._groups.clear()
        self._release()
        if self._stopping:
            return False
        if wait and self._hurry.wait(self._retry_s):
            # Somebody waits for what is queued to be refused.
            self._hurry.clear()
            return False
        if self._lost():
            return False  # for good: the log has another owner
        try:
            if not database.truncate_wal(wait_s=0):
                raise DatabaseError("the write-ahead log cannot be emptied")
            with database.impatient():
                self._resolve_doubtful_commit()
        except Error:
            connection.close()
            self._retry_s = min(2 * self._retry_s, _RETRY_S[1])
            return False
        self.failing, self._retry_s = "", _RETRY_S[0]
        return True

    def _resolve_doubtful_commit(self) -> None:
        """Find out whether the failed transaction was committed, and reload positions."""
        log_bodies.bound().check()
        if self._doubtful:
            logged, blob = self._doubtful[-1]
            if event_log.contains_row(logged.first, blob):
                self._committed(self._doubtful, [])
            self._doubtful = []
        self._chain = self._next_chain = event_log.log_chain()
        self.applied, self.decisions = _try_to_write()
        self._states.decided(_decisions([d for d in self._decided if d.reached <= self.applied]))
        self._decided = [d for d in self._decided if d.reached > self.applied]
        self._pending_receipts = self._ledger_store.pending_receipts()


def _try_to_write() -> tuple[int, int]:
    """Write what is there already; return the applied position and the count of decisions.

    A database that can be read may still be locked for writing. Raises Django's Error.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_CAN_WRITE)
        cursor.execute("SELECT position, decisions FROM log_applied WHERE id = 1")
        position, decisions = cursor.fetchone()
    return position, decisions


def _decisions(batches: list[DecidedBatch]) -> list[Decision]:
    bodies = (row[7] for d in batches for row in d.rows)
    return [msgspec.json.decode(body, type=Decision) for body in bodies]


def _label_draft(label: LabelRecord, sender: str) -> Draft:
    body = LabelEntry(label.label, label.source)
    return Draft("label", body, {"account": label.account, "by": sender})


def _audit_labels(one: PendingRequest, labels: Sequence[LabelRecord], now_ms: int) -> None:
    target = labels[0].account if len(labels) == 1 else f"{len(labels)} labels"
    AuditEntry.objects.create(
        at_ms=now_ms,
        key=one.sender[:AUDIT_KEY],
        action="label",
        object=target,
        reason=one.audit,
        outcome="done",
    )


def _counts(mask: Mask, ends: NDArray[np.int64]) -> list[int]:
    """Return how many are set up to each end, from the end before it."""
    if not mask.any():
        return [0] * len(ends)
    totals = np.concatenate(([0], np.cumsum(mask)))[np.concatenate(([0], ends))]
    counts: list[int] = np.diff(totals).tolist()
    return counts
