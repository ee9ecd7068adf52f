"""Sole ownership of a service's directory and database: of two servers on one log, one decides.

An owner locks the file `HOME/owner.lock` and, with PostgreSQL, an advisory lock of the database, on
a session of its own. The system releases both when the process ends, however it ends.

A lock can be lost while its owner goes on: the database restarts, the network parts, somebody
removes the file. So each owner also raises the epoch (table `owner`). A transaction of the owner's
process that writes reads the epoch first, and holds its row until the end: if a later owner has
raised it, nothing is written, and the process is fenced. `lost` then says why, and the service
refuses requests until it is started again.

PostgreSQL through a pooler that shares sessions between transactions holds no advisory lock; the
epoch then still fences the earlier owner.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from django.db import Error, connection, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from wavebreak.errors import ServiceError
from wavebreak_server.storage import database

LOCK_FILE = "owner.lock"
WAIT_S = 3.0
"""How long a start waits for an owner that is ending."""
WATCH_S = 2.0
"""Seconds between two checks that the locks are still held."""
KEEPALIVE = "-c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3"
"""Options of the session that holds the lock: one whose machine is lost ends within 30 seconds."""
_ADVISORY = (0x57617665, 0x6272656B)
_WRITES = ("INSERT", "UPDATE", "DELETE")
_EPOCH = "SELECT epoch FROM owner WHERE id = 1"
_RAISE = "UPDATE owner SET epoch = epoch + 1, holder = %s, since_ms = %s WHERE id = 1"


class OwnershipLostError(ServiceError, Error):
    """Another server has taken over the log: nothing was written."""

    status = 503
    retry_after_s = 1.0


@contextlib.contextmanager
def owned(home: Path, *, wait_s: float = WAIT_S) -> Iterator[Owner]:
    """Own a service's directory and the bound database, whose tables are migrated, for the block.

    Raises:
        ServiceError: Another process owns one of them, or the file system has no locks.
    """
    with contextlib.ExitStack() as stack:
        lock = stack.enter_context(_locked_file(home, time.monotonic() + wait_s))
        session = stack.enter_context(_locked_database(time.monotonic() + wait_s))
        if not database.secure_wal():
            raise ServiceError(
                "the database's write-ahead log cannot be written",
                fix=f"end what else writes to {database.FILE}, and check the disk",
            )
        database.migrate()
        owner = Owner(home / LOCK_FILE, lock, session, _raise_epoch())
        owner.start()
        try:
            yield owner
        finally:
            owner.stop()


def running_owner(home: Path) -> str:
    """Return the process that owns a service's directory on this machine; "" if none does."""
    try:
        lock = os.open(home / LOCK_FILE, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return ""
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return _holder(lock)
    finally:
        os.close(lock)
    return ""


class Owner:
    """What this process holds.

    Attributes:
        epoch: The epoch that it has raised.
        lost: Why it no longer owns the log; empty while it does.
    """

    def __init__(
        self, path: Path, lock: int, session: BaseDatabaseWrapper | None, epoch: int
    ) -> None:
        self.epoch, self.lost = epoch, ""
        self._path, self._lock, self._session = path, lock, session
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="wavebreak-owner", daemon=True)

    def start(self) -> None:
        """Begin to watch the locks, and to check what writes."""
        self._install(connections["default"])
        connection_created.connect(self._on_connection)
        self._thread.start()

    def stop(self) -> None:
        """Stop watching and checking."""
        connection_created.disconnect(self._on_connection)
        self._stopping.set()
        self._thread.join()

    def _on_connection(self, connection: BaseDatabaseWrapper, **_: Any) -> None:
        self._install(connection)

    def _install(self, of: BaseDatabaseWrapper) -> None:
        if self._guard not in of.execute_wrappers:
            of.execute_wrappers.append(self._guard)

    def _guard(
        self, execute: Callable[..., Any], sql: Any, params: Any, many: Any, context: Any
    ) -> Any:
        """Check the epoch before a statement that writes, until the owner ends."""
        if not self._stopping.is_set() and str(sql).lstrip()[:6].upper() in _WRITES:
            self.check(context["connection"])
        return execute(sql, params, many, context)

    def check(self, of: BaseDatabaseWrapper) -> None:
        """Check the epoch once in each transaction; raises OwnershipLostError."""
        if self.lost:
            self._refuse()
        if of.in_atomic_block and any(known is _checked for _, known, _ in of.run_on_commit):
            return
        shared = " FOR SHARE" if of.vendor == "postgresql" and of.in_atomic_block else ""
        self._compare(of, shared)
        if self.lost:
            self._refuse()
        if of.in_atomic_block:
            transaction.on_commit(_checked, using=of.alias)

    def _refuse(self) -> NoReturn:
        raise OwnershipLostError(self.lost, fix="stop this server: the other one decides")

    def _compare(self, of: BaseDatabaseWrapper, shared: str = "") -> None:
        with of.cursor() as cursor:
            cursor.execute(_EPOCH + shared)
            row = cursor.fetchone()
        if row is None or row[0] != self.epoch:
            self.lost = "another server has taken over this log"

    def _watch(self) -> None:
        while not self.lost and not self._stopping.wait(WATCH_S):
            if not _is_file(self._path, self._lock):
                self.lost = f"{self._path} was removed or replaced"
            elif self._session is not None:
                # An unreachable database is no loss: what cannot write does no harm.
                with contextlib.suppress(Error):
                    self._check_session(self._session)

    def _check_session(self, session: BaseDatabaseWrapper) -> None:
        try:
            self._compare(session)
        except Error:
            # The lock ended with the session. Whoever took it meanwhile has raised the epoch.
            session.close()
            _try_advisory_lock(session)
            self._compare(session)


def _checked() -> None:
    """Mark a transaction whose epoch was checked; Django drops the mark when it ends."""


@contextlib.contextmanager
def _locked_file(home: Path, until: float) -> Iterator[int]:
    """Lock the directory's file; no child process inherits the lock."""
    path = home / LOCK_FILE
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise ServiceError(
            f"{path} cannot be opened: {error.strerror}", fix=f"make {home} writable"
        ) from None
    try:
        while not _try_file_lock(lock, path):
            if time.monotonic() >= until:
                raise ServiceError(
                    f"{home} is in use by another process ({_holder(lock)})",
                    fix="stop that process first, or give a directory of its own",
                )
            time.sleep(0.05)
        os.ftruncate(lock, 0)
        os.pwrite(lock, json.dumps({"holder": _own_name()}).encode() + b"\n", 0)
        yield lock
    finally:
        os.close(lock)


def _try_file_lock(lock: int, path: Path) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise ServiceError(
            f"{path} cannot be locked: {error.strerror}",
            fix="use a directory on a file system with locks (flock)",
        ) from None
    return True


def _is_file(path: Path, lock: int) -> bool:
    """Whether the locked file is still the one with this name."""
    try:
        return os.path.samestat(os.stat(path, follow_symlinks=False), os.fstat(lock))
    except OSError:
        return False


def _holder(lock: int) -> str:
    try:
        return str(json.loads(os.pread(lock, 1024, 0))["holder"])
    except (ValueError, KeyError, TypeError):
        return "unknown"


def _own_name() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"


@contextlib.contextmanager
def _locked_database(until: float) -> Iterator[BaseDatabaseWrapper | None]:
    """Lock the bound database, if it is PostgreSQL; the lock lasts as long as the session."""
    bound = connections["default"]
    if bound.vendor != "postgresql":
        yield None
        return
    session = bound.copy()
    session.inc_thread_sharing()
    options = session.settings_dict["OPTIONS"]
    options["options"] = f"{options.get('options', '')} {KEEPALIVE}".strip()
    try:
        while not _try_advisory_lock(session):
            if time.monotonic() >= until:
                raise ServiceError(
                    f"the database is in use by another server ({_database_holder(session)})",
                    fix="stop that server first, or give another --database; the lock of a machine "
                    "that is lost ends within 30 seconds",
                )
            time.sleep(0.05)
        yield session
    except Error as error:
        if isinstance(error, ServiceError):
            raise
        raise database.unusable(error) from None
    finally:
        session.close()


def _try_advisory_lock(session: BaseDatabaseWrapper) -> bool:
    with session.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", _ADVISORY)
        return bool(cursor.fetchone()[0])


def _database_holder(session: BaseDatabaseWrapper) -> str:
    try:
        with session.cursor() as cursor:
            cursor.execute("SELECT holder FROM owner WHERE id = 1")
            row = cursor.fetchone()
    except Error:
        return "unknown"
    return str(row[0]) if row and row[0] else "unknown"


def _raise_epoch() -> int:
    now_ms = time.time_ns() // 1_000_000
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_RAISE, (_own_name()[:128], now_ms))
        cursor.execute(_EPOCH)
        return int(cursor.fetchone()[0])
