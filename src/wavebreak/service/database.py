"""The one SQL database: SQLite in a file, or PostgreSQL by URL. Durable, or not acknowledged."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from django.core.management import call_command
from django.db import DatabaseError, connections

from wavebreak.errors import ServiceError

FILE = "wavebreak.sqlite3"
_FIX = "give postgresql://USER:PASSWORD@HOST:PORT/NAME, or leave it out for SQLite"
# FULL: a commit is on disk before it returns. No commit carries the WAL over (see checkpoints.py);
# the last connection that is closed does.
_PRAGMAS = (
    "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA busy_timeout=30000; "
    "PRAGMA wal_autocheckpoint=0; PRAGMA journal_size_limit=67108864; "
    "PRAGMA foreign_keys=ON; PRAGMA cache_size=-16000;"
)


def described(url: str, home: Path, *, reading: bool = False) -> dict[str, Any]:
    """Django's description of a database: `url`, or the SQLite file of `home` where it is empty.

    With `reading` a transaction does not keep the one writer out. Raises ServiceError for a URL
    that is not of PostgreSQL.

    >>> described("", Path("/srv/w"))["NAME"]
    '/srv/w/wavebreak.sqlite3'
    >>> found = described("postgresql://me@db:5433/abuse", Path("."))
    >>> found["HOST"], found["PORT"], found["NAME"], found["USER"]
    ('db', 5433, 'abuse', 'me')
    """
    if not url:
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": str(home / FILE),
            "OPTIONS": {
                "init_command": _PRAGMAS,
                "timeout": 30,
                "transaction_mode": "DEFERRED" if reading else "IMMEDIATE",
            },
        }
    try:
        parts = urlsplit(url)
        port = parts.port or 5432
    except ValueError:
        raise ServiceError("the database URL cannot be read", fix=_FIX) from None
    if parts.scheme not in ("postgresql", "postgres") or len(parts.path) < 2:
        raise ServiceError("the database is not a PostgreSQL database", fix=_FIX)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path[1:]),
        "HOST": parts.hostname or "",
        "PORT": port,
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        # On: a commit is on disk before it returns, whatever the server's own default is.
        "OPTIONS": {"options": "-c synchronous_commit=on", "connect_timeout": 5},
    }


def connect(url: str, home: Path, *, reading: bool = False) -> None:
    """Bind the database as Django's default, in place of any before; opens nothing yet."""
    connections.close_all()
    for alias in list(connections.settings):
        if hasattr(connections._connections, alias):
            delattr(connections._connections, alias)
    connections.settings = connections.configure_settings(
        {"default": described(url, home, reading=reading)}
    )


def read_one_moment() -> None:
    """Have the open transaction, which has read nothing yet, see the database as of one moment."""
    if connections["default"].vendor == "postgresql":
        with connections["default"].cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")


def migrate() -> None:
    """Bring the database's tables to this version; raises ServiceError where it cannot be."""
    try:
        call_command("migrate", verbosity=0, interactive=False)
    except DatabaseError as error:
        raise ServiceError(
            f"the database cannot be used: {str(error).splitlines()[0]}",
            fix="check the URL, the server, and that the directory can be written",
        ) from None
