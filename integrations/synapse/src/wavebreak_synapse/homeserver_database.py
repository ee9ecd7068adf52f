"""Synapse's database, as a command opens it that an administrator runs beside Synapse."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping
from typing import Any


class CommandError(Exception):
    """A command cannot do its work; the text says why, and the fix."""


@contextlib.contextmanager
def open_database(config: Mapping[str, Any], *, writes: bool = False) -> Iterator[tuple[Any, str]]:
    """Open the database that `homeserver.yaml` names; yields a connection, and its mark of a value.

    Args:
        config: What `homeserver.yaml` holds.
        writes: Whether it may be changed.

    Raises:
        CommandError: Where the database is not named, or cannot be opened.
    """
    named = config.get("databases") or {"main": config.get("database")}
    found = [each for each in named.values() if _holds_main(each)]
    if not found:
        raise CommandError("homeserver.yaml names no database. Fix: give the file that does")
    settings = dict(found[0].get("args") or {})
    settings = {name: each for name, each in settings.items() if not name.startswith("cp_")}
    try:
        if found[0].get("name") == "psycopg2":
            import psycopg2

            settings["dbname"] = settings.pop("database", None) or settings.pop("dbname", None)
            connection: Any = psycopg2.connect(**settings)
            connection.set_session(readonly=not writes)
            mark = "%s"
        else:
            path = f"file:{settings['database']}?mode={'rw' if writes else 'ro'}"
            connection, mark = sqlite3.connect(path, uri=True, timeout=60), "?"
    except Exception as error:
        # Its text would show the connection's settings.
        raise CommandError(
            f"Synapse's database cannot be opened ({type(error).__name__})."
            " Fix: run it as Synapse's user, with Synapse's own Python"
        ) from error
    try:
        yield connection, mark
    finally:
        connection.close()


def _holds_main(database: Any) -> bool:
    return isinstance(database, Mapping) and "main" in database.get("data_stores", ["main"])
