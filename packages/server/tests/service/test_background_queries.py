"""Background tasks ask the database that is bound, and leave no connection behind."""

from __future__ import annotations

import asyncio
from pathlib import Path

from django.db import connection, connections

from support import service_harness
from wavebreak_server.http.app_context import run_background_query
from wavebreak_server.storage import database


def asked() -> tuple[str, bool]:
    """Return the file of the database, and whether a connection was open before the question."""
    was_open = connection.connection is not None
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return str(connections["default"].settings_dict["NAME"]), was_open


def test_a_task_asks_the_database_that_is_bound_and_keeps_no_connection(tmp_path: Path) -> None:
    for home in (tmp_path / "first", tmp_path / "second"):

        async def ask_twice() -> list[tuple[str, bool]]:
            return [await run_background_query(asked) for _ in range(2)]

        with service_harness.migrated("sqlite", home):
            found = asyncio.run(ask_twice())
        assert found == [(str(home / database.FILE), False)] * 2
