"""The backend's connection; Django finds it by its name and that of this module.

After a sync that failed, a transaction is rolled back, but its pages can still be read. A later
connection may take them for committed and go on behind them, or move a half of them into the
database, and a power cut then takes them away. So after an error of the disk, on whichever thread,
the next connection first writes the log's bytes again and syncs them.

Not covered: a disk that fails at that too, while the connection was the last one of all processes,
and loses power during the checkpoint that SQLite makes when the last connection is closed.

A busy database is waited for here, before the first statement of a transaction or around a
statement outside one: nothing has been read, written or sent that a further try would repeat. The
connections of a process write in turns (`write_queue`). For other processes SQLite itself waits
(`busy_timeout`), and where it does not (while a log is recovered), the statement is tried again
until that time is over.
"""

from __future__ import annotations

import random
import re
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from django.db.backends.sqlite3 import base
from django.db.utils import DatabaseErrorWrapper

from wavebreak.durable_files import rewrite
from wavebreak_server.storage.sqlite_backend.write_queue import WriteQueue

wal_in_doubt = threading.Event()
"""Set from an error of the disk until the write-ahead log was written again."""
_DISK_ERRORS = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN})


write_queue = WriteQueue()
"""The turns of all connections of this process."""
QUEUE_WAITS = 6
"""A writer waits for its turn for so many times as long as for SQLite's lock."""
_PAUSE_S, _MAX_PAUSE_S = 0.005, 0.25
_WRITES = re.compile(r"\s*(insert|update|delete|replace)\b", re.IGNORECASE)


def _busy_timeout_s(connection: sqlite3.Connection) -> float:
    return float(connection.execute("PRAGMA busy_timeout").fetchone()[0]) / 1000


class _Cursor(base.SQLiteCursorWrapper):
    """Waits for a busy database, outside transactions."""

    def execute(self, query: str, params: Any = None) -> Any:
        """Run a statement; one that writes by itself takes a turn as a transaction does."""
        run = super().execute
        if self.connection.in_transaction:
            return run(query, params)
        if not _WRITES.match(query):
            return self._repeated(lambda: run(query, params))
        owner = threading.Event()
        write_queue.enter(owner, lambda: QUEUE_WAITS * _busy_timeout_s(self.connection))
        try:
            return self._repeated(lambda: run(query, params))
        finally:
            write_queue.leave(owner)

    def _repeated(self, run: Callable[[], Any]) -> Any:
        begin, pause_s = time.monotonic(), _PAUSE_S
        while True:
            try:
                return run()
            except sqlite3.OperationalError as error:
                if getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_BUSY:
                    raise
                waited_s = time.monotonic() - begin
                if waited_s + pause_s > _busy_timeout_s(self.connection):
                    raise
            time.sleep(pause_s * random.uniform(0.5, 1))
            pause_s = min(2 * pause_s, _MAX_PAUSE_S)


class _NotingErrors(DatabaseErrorWrapper):
    """Notes errors of the disk, and converts them to Django's as the base class does."""

    def __exit__(self, exc_type: Any, exc_value: Any, traceback: Any) -> None:
        if getattr(exc_value, "sqlite_errorcode", 0) & 0xFF in _DISK_ERRORS:
            wal_in_doubt.set()
        super().__exit__(exc_type, exc_value, traceback)


class DatabaseWrapper(base.DatabaseWrapper):
    """A connection to SQLite."""

    @cached_property
    def wrap_database_errors(self) -> _NotingErrors:
        """Return the context manager in which Django runs what may raise the driver's errors."""
        return _NotingErrors(self)

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Open a connection; raises the driver's error where the log cannot be secured."""
        made = super().get_new_connection(conn_params)
        if wal_in_doubt.is_set():
            try:
                secure_wal(made)
            except BaseException:
                made.close()
                raise
        return made

    def create_cursor(self, name: str | None = None) -> Any:
        """Return a cursor that waits for a busy database."""
        return self.connection.cursor(factory=_Cursor)

    def _start_transaction_under_autocommit(self) -> None:
        if self.transaction_mode != "IMMEDIATE":
            super()._start_transaction_under_autocommit()
            return
        write_queue.enter(self, lambda: QUEUE_WAITS * _busy_timeout_s(self.connection))
        try:
            super()._start_transaction_under_autocommit()
        except BaseException:
            write_queue.leave(self)
            raise

    def _commit(self) -> None:
        super()._commit()
        write_queue.leave(self)

    def _rollback(self) -> None:
        try:
            super()._rollback()
        finally:
            write_queue.leave(self)

    def _close(self) -> None:
        try:
            super()._close()
        finally:
            write_queue.leave(self)


def secure_wal(opened: Any) -> None:
    """Write the write-ahead log's bytes again and sync them, while nobody else appends to it.

    Args:
        opened: A connection or cursor of SQLite's driver, or of Django, outside transactions.

    Raises:
        sqlite3.Error: Another process writes, or the disk fails (or Django's error of that).
    """
    path = opened.execute("PRAGMA database_list").fetchone()[2]
    opened.execute("BEGIN IMMEDIATE")
    try:
        rewrite(Path(f"{path}-wal"))
    except OSError as error:
        raise sqlite3.OperationalError(f"the write-ahead log cannot be written: {error}") from None
    finally:
        with suppress(sqlite3.Error):
            opened.execute("ROLLBACK")
    wal_in_doubt.clear()
