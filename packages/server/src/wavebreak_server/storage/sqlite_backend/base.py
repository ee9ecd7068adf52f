"""The backend's connection; Django finds it by its name and that of this module.

After a sync that failed, a transaction is rolled back, but its pages can still be read. A later
connection may take them for committed and go on behind them, or move a half of them into the
database, and a power cut then takes them away. So after an error of the disk, on whichever thread,
the next connection first writes the log's bytes again and syncs them.

Not covered: a disk that fails at that too, while the connection was the last one of all processes,
and loses power during the checkpoint that SQLite makes when the last connection is closed.
"""

from __future__ import annotations

import sqlite3
import threading
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from django.db.backends.sqlite3 import base
from django.db.utils import DatabaseErrorWrapper

from wavebreak.durable_files import rewrite

wal_in_doubt = threading.Event()
"""Set from an error of the disk until the write-ahead log was written again."""
_DISK_ERRORS = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN})


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
