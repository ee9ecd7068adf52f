"""Changes the module's tables for an administrator: deletes them all, or resumes a list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wavebreak_synapse import tables
from wavebreak_synapse.homeserver_database import CommandError, open_database


def release(config: Mapping[str, Any]) -> tuple[int, int]:
    """Lift the module's suspensions and delete its tables; return how many of each there were.

    Suspensions that an administrator set are left. While Synapse runs it has suspended accounts in
    memory, and would make the tables again: it must be stopped.

    Raises:
        CommandError: Where the database cannot be opened or changed.
    """
    with open_database(config, writes=True) as (connection, mark):
        cursor = connection.cursor()
        try:
            there = _names_of_tables(cursor, mark)
            released = 0
            if "wavebreak_suspensions" in there:
                cursor.execute(
                    f"UPDATE users SET suspended = {mark} WHERE name IN"  # noqa: S608
                    " (SELECT account FROM wavebreak_suspensions)",
                    (False,),
                )
                released = cursor.rowcount
            for name in there:
                cursor.execute(f"DROP TABLE {name}")
            connection.commit()
        except Exception as error:
            # Its text might quote an account. What was not committed is undone.
            raise CommandError(
                f"Synapse's database cannot be changed ({type(error).__name__})."
                " Fix: stop Synapse first, and run it as Synapse's user"
            ) from error
    return released, len(there)


def resume_list(config: Mapping[str, Any], name: str) -> bool:
    """Take a list's size as it is now for usual; return whether there is such a list.

    Raises:
        CommandError: Where the database cannot be opened.
    """
    with open_database(config, writes=True) as (connection, mark):
        cursor = connection.cursor()
        statement = f"DELETE FROM wavebreak_positions WHERE name = {mark}"  # noqa: S608
        cursor.execute(statement, (f"{tables.LIST_SIZE}{name}",))
        connection.commit()
        return bool(cursor.rowcount)


def _names_of_tables(cursor: Any, mark: str) -> list[str]:
    there = []
    for name in tables.TABLES:
        if mark == "?":
            cursor.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (name,))
        else:
            cursor.execute("SELECT 1 WHERE to_regclass(%s) IS NOT NULL", (name,))
        there += [name] * (cursor.fetchone() is not None)
    return there
