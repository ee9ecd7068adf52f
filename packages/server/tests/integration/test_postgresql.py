"""A PostgreSQL that goes away and comes back: nothing acknowledged is lost, nothing doubled."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import crash_test
from support.external_servers import postgresql
from support.service_harness import administer, fresh, migrated_template
from support.service_process import Server


@pytest.fixture
def database() -> Iterator[str]:
    """A fresh database, by name."""
    with fresh("postgresql", migrated_template("postgresql")) as url:
        yield url.rpartition("/")[2]


@pytest.fixture
def server(tmp_path: Path, database: str) -> Iterator[Server]:
    home = tmp_path / "home"
    home.mkdir()
    server = Server(home, database=f"{postgresql().url}/{database}").start()
    yield server
    server.stop()


def cut(database: str) -> None:
    """Break every connection to the database off, as a failing server or network would."""
    administer(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        f"WHERE datname = '{database}' AND pid <> pg_backend_pid()"
    )


def test_lost_connections_lose_and_double_nothing(server: Server, database: str) -> None:
    events = crash_test.world(16)[:15_000]
    load = crash_test.Load(server, events, seed=3)
    load.thread.start()
    cuts = 0
    while load.thread.is_alive():
        done = len(load.acknowledged)
        cut(database)
        cuts += 1
        load.thread.join(0.3)
        # However slow the machine is, some events are taken between two cuts.
        while load.thread.is_alive() and len(load.acknowledged) == done:
            load.thread.join(0.05)
    assert cuts >= 3
    crash_test.check(server, load.acknowledged)
    assert len(load.acknowledged) == len(events)
    server.settled(len(events))
    decided = [bytes(b) for (b,) in server.rows("SELECT body FROM decision ORDER BY number")]
    assert decided == crash_test.uninterrupted(server)
    assert len(decided) > 10


def test_service_waits_for_an_unreachable_database(server: Server, database: str) -> None:
    events = crash_test.world(10)[:3_000]
    one = b"[" + events[0] + b"]"
    assert server.post(one).status == 202
    administer(f"ALTER DATABASE {database} ALLOW_CONNECTIONS false")
    cut(database)
    body = b"[" + b",".join(events[1:]) + b"]"
    answers = [server.post(body, idempotency_key="k") for _ in range(5)]
    assert {a.status for a in answers} == {503}
    assert all(int(a.headers["retry-after"]) >= 1 for a in answers)
    # Where the database is, nobody without a key learns: neither its host nor what libpq says.
    end = time.monotonic() + 10
    while (ready := server.post(b"", "/readyz", method="GET")).status == 200:
        assert time.monotonic() < end, "a service that takes no event said that it was ready"
    assert b"not ready: the log cannot be written" in ready.body
    assert all(part not in ready.body for part in (b"127.0.0.1", b"host", database.encode()))
    # What needs no log goes on.
    assert server.post(events[0], "/v1/decide").json()["mode"] == "ask"
    back = threading.Timer(1.0, administer, [f"ALTER DATABASE {database} ALLOW_CONNECTIONS true"])
    back.start()
    while server.post(body, idempotency_key="k").status != 202:
        time.sleep(0.1)
    back.join()
    server.settled(len(events))
    assert len(crash_test.events_in_log(server)) == len(events)
