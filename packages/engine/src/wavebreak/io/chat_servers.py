"""What a chat server's own database says of who wrote to whom: Synapse, Prosody and ejabberd.

One query a server, shipped in `queries`: a database in SQLite is asked directly, read-only; of any
other, an administrator runs the query and imports the CSV that it gives. No query selects content.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from importlib.resources import files
from pathlib import Path
from typing import Final

import pyarrow as pa

from wavebreak.errors import FileError, UsageError

SERVERS: Final = {
    "synapse": ("events", "room_memberships", "users"),
    "prosody": ("prosodyarchive",),
    "ejabberd": ("archive", "archive_prefs"),
}
"""The tables that a server's query cannot do without, by the server's name."""
_MAY_LACK: Final = ("event_reports", "user_reports")
_MAGIC: Final = b"SQLite format 3\x00"
_PART: Final = "\nUNION ALL\n"
_END: Final = "\n)\nSELECT"
_FETCHED: Final = 10_000


def title_of(server: str) -> str:
    """Return what a sentence calls a server.

    >>> title_of("synapse"), title_of("ejabberd")
    ('a Synapse', 'an ejabberd')
    """
    return "an ejabberd" if server == "ejabberd" else f"a {server.capitalize()}"


def is_database(path: Path) -> bool:
    """Whether a file is a database of SQLite."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def query_of(server: str, *, find: str = "STRPOS") -> str:
    """Return the query of a server.

    Args:
        server: One of SERVERS.
        find: The function that finds a text in another: PostgreSQL's, or SQLite's INSTR.

    >>> "content" in query_of("prosody").partition("WITH")[2]
    False
    """
    text = (files("wavebreak.io") / "queries" / f"{server}.sql").read_text(encoding="utf-8")
    return text.format(find=find)


def server_of(path: Path) -> str:
    """Return which server a database is of.

    Raises:
        UsageError: It is of no server that is known.
        FileError: It cannot be read.
    """
    with closing(_open(path)) as database:
        return _server_of(_tables(database, path), path)


def read_columns(path: Path) -> dict[str, pa.Array]:
    """Read a server's database as columns of text by the event field that they give.

    Args:
        path: The file of SQLite; it is opened for reading alone.

    Raises:
        UsageError: The tables are of no server that is known.
        FileError: The database cannot be read.
    """
    with closing(_open(path)) as database:
        tables = _tables(database, path)
        query = _remove_parts(
            query_of(_server_of(tables, path), find="INSTR"), set(_MAY_LACK) - tables
        )
        try:
            # A large sort would else write names to a temporary file.
            database.execute("PRAGMA temp_store = MEMORY")
            rows = database.execute(query)
            names = [column[0] for column in rows.description]
            columns: dict[str, list[str | None]] = {name: [] for name in names}
            while chunk := rows.fetchmany(_FETCHED):
                for name, values in zip(names, zip(*chunk, strict=True), strict=True):
                    columns[name] += [None if value is None else str(value) for value in values]
        except sqlite3.Error as error:
            raise _unreadable(path, error) from None
    return {name: pa.array(values, pa.string()) for name, values in columns.items()}


def _remove_parts(query: str, absent: set[str]) -> str:
    """Return a query without the parts that read tables which a server of its age lacks."""
    body, end, select = query.rpartition(_END)
    parts = [part for part in body.split(_PART) if not any(name in part for name in absent)]
    return _PART.join(parts) + end + select


def _open(path: Path) -> sqlite3.Connection:
    try:
        return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    except sqlite3.Error as error:
        raise _unreadable(path, error) from None


def _tables(database: sqlite3.Connection, path: Path) -> set[str]:
    try:
        return {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
    except sqlite3.Error as error:
        raise _unreadable(path, error) from None


def _server_of(tables: set[str], path: Path) -> str:
    for server, required in SERVERS.items():
        if tables.issuperset(required):
            return server
    servers = " or ".join(SERVERS)
    raise UsageError(
        f"{path} is a database, but of no server that is known ({servers})",
        fix="export a CSV with the columns ts,type,account,peer,group and give that",
    )


def _unreadable(path: Path, error: sqlite3.Error) -> FileError:
    fix = "stop the server or give a copy of the file (sqlite3 FILE '.backup COPY')"
    return FileError(f"the database {path} cannot be read: {error}", fix=fix)
