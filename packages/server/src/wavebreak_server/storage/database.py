"""The SQL database: SQLite in a file, or PostgreSQL by URL, with durable commits.

A busy database is waited for where transactions open: on SQLite in `sqlite_backend`, whose writers
wait before their first statement. PostgreSQL may end a transaction in its midst for another one:
`in_transaction` then runs the change again.
"""

from __future__ import annotations

import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import unquote, urlsplit

from django.apps import apps
from django.core.management import call_command
from django.db import DatabaseError, Error, OperationalError, connections, transaction
from django.db.migrations.exceptions import NodeNotFoundError
from django.db.migrations.executor import MigrationExecutor

from wavebreak import extras
from wavebreak.errors import ServiceError
from wavebreak.ledger.audit import SERVICE_DATABASE
from wavebreak_server.storage.row_macs import ROW_KEYS
from wavebreak_server.storage.sqlite_backend import base as sqlite_backend

if TYPE_CHECKING:
    from wavebreak_server.storage.log_bodies import LogBodies

T = TypeVar("T")
LOG_BODIES = "LOG_BODIES"
"""Where the connection's settings hold the store of the log's bodies; see `log_bodies`."""
FILE = SERVICE_DATABASE
LOCK_S = 5
"""Seconds that a transaction waits for a lock of another process, or for a silent server."""
MOMENT_MS, BUSY_MS = 100, LOCK_S * 1000
MAX_RUNS, RETRY_S = 4, 0.05
"""Runs of a change that gives way to others, and the pause before the second run, then doubled."""
_GIVE_WAY = frozenset({"40001", "40P01"})
"""PostgreSQL's codes of a serialization failure and a deadlock."""
_FIX = "use postgresql://USER:PASSWORD@HOST:PORT/NAME, or omit it for SQLite"
# FULL: a commit is on disk before it returns. No commit checkpoints the WAL (see log_writer);
# closing the last connection does. What is removed is overwritten (secure_delete).
_PRAGMAS = (
    f"PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA busy_timeout={BUSY_MS}; "
    "PRAGMA wal_autocheckpoint=0; PRAGMA journal_size_limit=67108864; "
    "PRAGMA foreign_keys=ON; PRAGMA cache_size=-16000; PRAGMA secure_delete=ON;"
)


def database_settings(url: str, home: Path, *, reading: bool = False) -> dict[str, Any]:
    """Return Django's settings of a database: `url`, or the SQLite file in `home` if it is empty.

    With `reading`, transactions do not block the writer. Raises ServiceError for a URL that is not
    a PostgreSQL URL, and MissingExtraError if its client is not installed.

    >>> database_settings("", Path("/srv/w"))["NAME"]
    '/srv/w/wavebreak.sqlite3'
    >>> found = database_settings("postgresql://me@db:5433/abuse", Path("."))
    >>> found["HOST"], found["PORT"], found["NAME"], found["USER"]
    ('db', 5433, 'abuse', 'me')
    """
    if not url:
        return {
            "ENGINE": "wavebreak_server.storage.sqlite_backend",
            "NAME": str(home / FILE),
            "OPTIONS": {
                "init_command": _PRAGMAS,
                "timeout": LOCK_S,
                "transaction_mode": "DEFERRED" if reading else "IMMEDIATE",
            },
        }
    try:
        parts = urlsplit(url)
        port = parts.port or 5432
    except ValueError:
        raise ServiceError("the database URL is malformed", fix=_FIX) from None
    if parts.scheme not in ("postgresql", "postgres") or len(parts.path) < 2:
        raise ServiceError("the database URL is not a PostgreSQL URL", fix=_FIX)
    extras.load("psycopg")
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path[1:]),
        "HOST": parts.hostname or "",
        "PORT": port,
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        # On: a commit is on disk before it returns, whatever the server's default.
        "OPTIONS": {
            "options": f"-c synchronous_commit=on -c lock_timeout={LOCK_S}s",
            "connect_timeout": 5,
            # A server that is gone without a word is noticed as soon as a lock.
            "tcp_user_timeout": BUSY_MS,
        },
    }


def connect(
    url: str, home: Path, *, reading: bool = False, bodies: LogBodies | None = None
) -> None:
    """Bind the database as Django's default, replacing any other; opens no connection yet.

    The deployment's key stays bound.

    Args:
        url: A `postgresql://` URL (empty: SQLite).
        home: Directory of the SQLite file.
        reading: Whether the database is only read.
        bodies: Where the bodies of the log are (None: in its rows).
    """
    keys = connections.settings["default"].get(ROW_KEYS)
    connections.close_all()
    for alias in list(connections.settings):
        if hasattr(connections._connections, alias):
            delattr(connections._connections, alias)
    connections.settings = connections.configure_settings(
        {
            "default": database_settings(url, home, reading=reading)
            | {ROW_KEYS: keys, LOG_BODIES: bodies}
        }
    )


def in_transaction(work: Callable[[], T]) -> T:
    """Run a change in one transaction; run it again where it had to give way to another one.

    Args:
        work: Changes rows, and nothing else: it may run several times, and sends nothing (see
            `transaction_guard`). Within an open transaction it runs once.
    """
    runs = 1 if connections["default"].in_atomic_block else MAX_RUNS
    for run in range(1, runs + 1):
        try:
            with transaction.atomic():
                return work()
        except OperationalError as error:
            if run == runs or getattr(error.__cause__, "sqlstate", "") not in _GIVE_WAY:
                raise
        time.sleep(RETRY_S * 2 ** (run - 1) * random.uniform(0.5, 1))
    raise AssertionError("unreachable")


@contextmanager
def impatient() -> Iterator[None]:
    """Wait for the locks of others for a moment only, in the block."""
    _wait_for_locks(MOMENT_MS)
    try:
        yield
    finally:
        # After an error the connection may be closed: the next one waits as usual.
        with suppress(Error):
            _wait_for_locks(BUSY_MS)


def _wait_for_locks(wait_ms: int) -> None:
    bound = connections["default"]
    setting = "PRAGMA busy_timeout" if bound.vendor == "sqlite" else "SET lock_timeout"
    with bound.cursor() as cursor:
        cursor.execute(f"{setting} = {wait_ms}")


def use_consistent_snapshot() -> None:
    """Make the open transaction, which must not have read yet, see one consistent state."""
    if connections["default"].vendor == "postgresql":
        with connections["default"].cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")


truncation_due = threading.Event()
"""Set while SQLite's write-ahead log may hold what was erased; `WalCheckpointer` sees to it."""


def truncate_wal(wait_s: float = 5.0) -> bool:
    """Move SQLite's write-ahead log into the database and cut it to nothing; outside transactions.

    What was committed is then on disk, and what follows does not depend on it. It is due after an
    error of the disk: pages of a sync that failed can still be read, and SQLite goes on behind
    them when it opens its log again, but a later sync passes without them, and a power cut takes
    them with all that follows, or leaves a half of what was moved. So they are written again first.

    Returns:
        Whether that was possible: readers keep the log while they read.
    """
    if connections["default"].vendor != "sqlite":
        return True
    end = time.monotonic() + wait_s
    with connections["default"].cursor() as cursor:
        # A checkpoint that waits for readers keeps writers waiting as well.
        cursor.execute("PRAGMA busy_timeout = 100")
        try:
            while not (_secured(cursor) and _truncated(cursor)):
                if time.monotonic() >= end:
                    return False
                time.sleep(0.1)
        finally:
            cursor.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
    return True


def secure_wal() -> bool:
    """Have SQLite's write-ahead log on disk as it is read, before anything is written after it.

    Called at a start: a process before this one may have left pages of a sync that failed.

    Returns:
        Whether that was possible: the disk may fail, or another process write.
    """
    if connections["default"].vendor != "sqlite":
        return True
    sqlite_backend.wal_in_doubt.set()
    try:
        with connections["default"].cursor() as cursor:
            return _secured(cursor)
    except Error:
        return False


def _secured(cursor: Any) -> bool:
    """Secure the write-ahead log where it is in doubt; whether that was possible."""
    try:
        if sqlite_backend.wal_in_doubt.is_set():
            sqlite_backend.secure_wal(cursor.connection)
    except sqlite3.Error:
        return False
    return True


def _truncated(cursor: Any) -> bool:
    try:
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return bool(cursor.fetchone()[0] == 0)
    except DatabaseError:
        return False


class SchemaState(NamedTuple):
    """The tables of a database, compared with those of this version.

    Attributes:
        pending: Migrations that this version has and the database lacks, in order of application.
        unknown: Migrations that a later version has applied.
        is_empty: Whether the database has no tables.
    """

    pending: tuple[str, ...]
    unknown: tuple[str, ...]
    is_empty: bool


def schema_state() -> SchemaState:
    """Return the state of the bound database's tables; reads only.

    Raises:
        ServiceError: The database does not answer, or has a part of a squashed migration.
    """
    try:
        executor = MigrationExecutor(connections["default"])
        loader = executor.loader
        plan = executor.migration_plan(loader.graph.leaf_nodes())
    except NodeNotFoundError:
        raise ServiceError(
            "the database has the tables of an unreleased version",
            fix="start the last version that used it, back up, and restore with this version",
        ) from None
    except Error as error:
        raise unusable(error) from None
    applied = set(loader.applied_migrations or ())
    own = {app.label for app in apps.get_app_configs() if app.name.startswith("wavebreak")}
    migrations = loader.disk_migrations.values()
    names = {replaced for migration in migrations for replaced in migration.replaces}
    unknown = {key for key in applied if key[0] in own} - loader.disk_migrations.keys() - names
    return SchemaState(
        tuple(f"{migration.app_label}.{migration.name}" for migration, _ in plan),
        tuple(sorted(f"{label}.{name}" for label, name in unknown)),
        not applied,
    )


def migrate() -> None:
    """Migrate the tables to this version; raises ServiceError if that fails."""
    try:
        if schema_state().pending:
            call_command("migrate", verbosity=0, interactive=False)
        else:
            # The command would first build every model of every migration.
            MigrationExecutor(connections["default"]).check_replacements()
    except DatabaseError as error:
        raise unusable(error) from None


def unusable(error: Error) -> ServiceError:
    """Return the error for a database that does not answer, or does not take what is written."""
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return ServiceError(
        f"the database cannot be used: {reason}",
        fix="check the URL, the server, and that the directory is writable",
    )
