"""SQLite's write-ahead log, carried into the database beside the commits rather than in one.

Left to itself SQLite carries it over within the commit that finds it long: whoever waits for that
commit waits for tens of megabytes to be on disk.

The one writer: whatever waits goes into one transaction, and is acknowledged after its commit.

A transaction holds rows of the log, the answers to repeatable requests, and what the engine made
of earlier rows: decisions, each sealed, standings and the position up to which they are complete.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from queue import Empty, SimpleQueue
from typing import Any

import msgspec
from django.db import Error, connection, transaction

from wavebreak.engine.decision import Decision
from wavebreak.service import event_log, idempotency
from wavebreak.service.ledger_store import Owed, Seals
from wavebreak.service.pending_requests import (
    Accepted,
    BusyError,
    Decided,
    Logged,
    Repeat,
    Waiting,
    resolve_futures,
)
from wavebreak.service.request_decoder import Decoded, Read

EVERY_S = 2.0
"""From one carrying over to the next."""


class Checkpoints:
    """A thread that carries over most of the log; the one writer the rest, so that it begins anew.

    SQLite begins its log anew only where all of it is carried over when a transaction begins: what
    is written while the thread works is left to `finish`. Another database than SQLite looks after
    itself.
    """

    def __init__(self) -> None:
        self._carried, self._stopping = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, name="wavebreak-checkpoint", daemon=True)

    def start(self) -> None:
        """Begin, where there is a log to carry over."""
        if connection.vendor == "sqlite":
            self._thread.start()

    def finish(self) -> None:
        """Carry over what was written meanwhile; called by the writer, between transactions."""
        if self._carried.is_set():
            self._carried.clear()
            _carry()

    def stop(self) -> None:
        """End; the last connection that is closed carries over the rest."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _work(self) -> None:
        while not self._stopping.wait(EVERY_S):
            # Twice: the first takes long, and what is written meanwhile is most of what is left.
            _carry()
            _carry()
            self._carried.set()
        connection.close()


def _carry() -> None:
    # A disk that is full, or a database that is away, is the next commit's to tell of.
    with suppress(Error), connection.cursor() as cursor:
        cursor.execute("PRAGMA wal_checkpoint(PASSIVE)")


EVENTS_AT_ONCE = 50_000
"""Events from which on no further body joins a transaction."""
DECISIONS_WAIT_S = 0.01
"""How long decisions wait for events with which they may share a commit."""
_DECISION = (
    "INSERT INTO decision (number, id, account, ts, stage, outcome, until, body, reached) "
    "VALUES (%s,%s,%s,%s,%s,%s,%s,%s,%s)"
)
_STANDING = (
    "INSERT INTO standing (account, outcome, until, ts, decision) VALUES (%s,%s,%s,%s,%s) "
    "ON CONFLICT (account) DO UPDATE SET outcome = excluded.outcome, until = excluded.until, "
    "ts = excluded.ts, decision = excluded.decision"
)
_APPLIED = "UPDATE log_applied SET position = %s, decisions = %s, made_by = %s WHERE id = 1"
_RETRY_S = (0.1, 5.0)

Group = tuple[list[Waiting], Decoded]
Row = tuple[Logged, bytes]
"""Events under their position, and the bytes that they are in the log."""


class Writer:
    """Owns the end of the log. `onward` is given what has been committed, in order.

    `failing` says why nothing can be written just now, or is empty. `clock` gives milliseconds.
    """

    def __init__(
        self, *, end: int, applied: int, decisions: int, made_by: str,
        onward: Callable[[Logged], None], news: Callable[[int], None], clock: Callable[[], int],
        retry_after_s: float, keep_s: float, seals: Seals,
    ) -> None:  # fmt: skip
        self.end, self.applied, self.decisions = end, applied, decisions
        self.failing = ""
        self.commits = 0
        self._made_by, self._clock, self._keep_ms = made_by, clock, int(keep_s * 1000)
        self._onward, self._news, self._retry_after_s = onward, news, retry_after_s
        self._queue: SimpleQueue[Group | Decided | threading.Event | None] = SimpleQueue()
        self._groups: deque[Group] = deque()
        self._decided: list[Decided] = []
        self._seals, self._owed = seals, seals.owed()
        self._doubtful: list[Row] = []
        self._checkpoints = Checkpoints()
        self._forgot_ms = 0
        self._flushed: list[threading.Event] = []
        self._stopping = False
        self._thread = threading.Thread(target=self._work, name="wavebreak-write", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._checkpoints.start()
        self._thread.start()

    def put(self, waiting: list[Waiting], decoded: Decoded) -> None:
        """Queue bodies for the log."""
        self._queue.put((waiting, decoded))

    def decided(self, made: Decided) -> None:
        """Queue what the engine made of the log."""
        self._queue.put(made)

    def flush(self) -> None:
        """Return when all that was queued has been written (or refused)."""
        done = threading.Event()
        self._queue.put(done)
        done.wait()

    def stop(self) -> None:
        """Write what waits, and end."""
        self._queue.put(None)
        self._thread.join()
        self._checkpoints.stop()
        connection.close()

    def _work(self) -> None:
        while not self._stopping or self._groups or self._decided or self._owed:
            self._gather()
            if self.failing and not self._recovered():
                if self._stopping:
                    break
                continue
            with suppress(Error):
                self._write()
            self._release()
        connection.close()

    def _gather(self) -> None:
        """Take what waits; where nothing does, wait for it."""
        pressing = self._groups or self._stopping or self.failing or self._flushed
        try:
            self._sort(self._queue.get(not (pressing or self._decided or self._owed)))
            while True:
                self._sort(self._queue.get_nowait())
        except Empty:
            pass
        # Decisions and receipts alone wait a moment: events that come meanwhile share their commit.
        end = time.monotonic() + DECISIONS_WAIT_S
        while not (self._groups or self._stopping or self.failing or self._flushed):
            try:
                self._sort(self._queue.get(timeout=max(0.0, end - time.monotonic())))
            except Empty:
                return

    def _sort(self, item: Group | Decided | threading.Event | None) -> None:
        if item is None:
            self._stopping = True
        elif isinstance(item, Decided):
            self._decided.append(item)
        elif isinstance(item, threading.Event):
            self._flushed.append(item)
        else:
            self._groups.append(item)

    def _release(self) -> None:
        """Tell who waits for a flush, once nothing waits for the log."""
        if not self._groups:
            for flushed in self._flushed:
                flushed.set()
            self._flushed.clear()

    def _taken(self) -> list[Group]:
        groups, events = [], 0
        while self._groups and events < EVENTS_AT_ONCE:
            groups.append(self._groups.popleft())
            events += groups[-1][1].log.num_rows
        return groups

    def _write(self) -> None:
        """One transaction; raises Django's Error where it could not be made."""
        groups, made = self._taken(), list(self._decided)
        waiting = [w for some, _ in groups for w in some]
        answers = [_accepted(read) for _, decoded in groups for read in decoded.reads]
        rows = self._rows(groups)
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                self._statements(cursor, rows, made, waiting, answers)
                owed = self._sealed(made, waiting)
        except Error as error:
            self._failed(error, rows, waiting)
            raise
        self.commits += 1
        self._owed = owed
        del self._decided[: len(made)]
        self._committed(rows, made)
        resolve_futures((w, a) for w, a in zip(waiting, answers, strict=True) if not w.ask)
        self._checkpoints.finish()

    def _rows(self, groups: list[Group]) -> list[Row]:
        rows, first = list[Row](), self.end
        for waiting, decoded in groups:
            asked = tuple(w for w in waiting if w.ask)
            rows.append((Logged(first, decoded.log, asked), decoded.blob))
            first += decoded.log.num_rows
        return rows

    def _statements(
        self, cursor: Any, rows: list[Row], made: list[Decided],
        waiting: list[Waiting], answers: list[Accepted],
    ) -> None:  # fmt: skip
        now = self._clock()
        for logged, blob in rows:
            event_log.append(cursor, logged.first, logged.events.num_rows, now, blob)
        repeats: list[tuple[Repeat, Accepted]] = [
            (w.repeat, a) for w, a in zip(waiting, answers, strict=True) if w.repeat
        ]
        if repeats:
            idempotency.keep(cursor, repeats, now)
        if repeats and now - self._forgot_ms > 60_000:
            self._forgot_ms = now
            idempotency.forget(cursor, now - self._keep_ms)
        if made:
            decided = [(*row, d.reached) for d in made for row in d.rows]
            if decided:
                cursor.executemany(_DECISION, decided)
                newest = {row[2]: (row[2], row[5], row[6], row[3], row[0]) for row in decided}
                cursor.executemany(_STANDING, list(newest.values()))
            decisions = decided[-1][0] if decided else self.decisions
            cursor.execute(_APPLIED, (made[-1].reached, decisions, self._made_by))

    def _sealed(self, made: list[Decided], waiting: list[Waiting]) -> list[Owed]:
        bodies = [row[7] for d in made for row in d.rows]
        decisions = [msgspec.json.decode(body, type=Decision) for body in bodies]
        return self._seals.decided(decisions, [d for w in waiting for d in w.drafts], self._owed)

    def _committed(self, rows: list[Row], made: list[Decided]) -> None:
        if made:
            self.applied = made[-1].reached
            decided = [row for d in made for row in d.rows]
            if decided:
                self.decisions = decided[-1][0]
                self._news(self.decisions)
        for logged, _ in rows:
            self.end = logged.first + logged.events.num_rows
            self._onward(logged)

    def _failed(self, error: Error, rows: list[Row], waiting: list[Waiting]) -> None:
        """Tell who waits that nothing is promised; whether it was committed is looked up later."""
        self.failing = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        connection.close()
        # Nobody waits for the engine any more, should the events turn out to be in the log.
        self._doubtful = [(replace(logged, asked=()), blob) for logged, blob in rows]
        self._refuse(waiting)

    def _refuse(self, waiting: list[Waiting]) -> None:
        busy = BusyError("the log cannot be written just now", retry_after_s=self._retry_after_s)
        resolve_futures((w, busy) for w in waiting)

    def _recovered(self) -> bool:
        """Whether the database answers again; until then what comes is refused at once."""
        delay = _RETRY_S[0]
        while not self._stopping:
            for waiting, _ in self._groups:
                self._refuse(waiting)
            self._groups.clear()
            self._release()
            time.sleep(delay)
            try:
                self._settle()
            except Error:
                connection.close()
                delay = min(2 * delay, _RETRY_S[1])
                self._gather()
                continue
            self.failing = ""
            return True
        return False

    def _settle(self) -> None:
        """Find out what came of the transaction that broke off."""
        if self._doubtful:
            logged, blob = self._doubtful[-1]
            if event_log.holds(logged.first, blob):
                self._committed(self._doubtful, [])
            self._doubtful = []
        with connection.cursor() as cursor:
            cursor.execute("SELECT position, decisions FROM log_applied WHERE id = 1")
            self.applied, self.decisions = cursor.fetchone()
        self._decided = [d for d in self._decided if d.reached > self.applied]
        self._owed = self._seals.owed()


def _accepted(read: Any) -> Accepted:
    return Accepted(read.taken, read.refused) if isinstance(read, Read) else Accepted(0)
