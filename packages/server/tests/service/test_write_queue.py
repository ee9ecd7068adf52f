"""Writers of a process wait for each other in order, and for a busy database; changes run again."""

from __future__ import annotations

import gc
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connection, transaction

from support.service_harness import migrated
from wavebreak_server.storage import database
from wavebreak_server.storage.models import AppliedPosition
from wavebreak_server.storage.sqlite_backend import base
from wavebreak_server.storage.sqlite_backend.write_queue import WriteQueue


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    with migrated("sqlite", tmp_path):
        AppliedPosition.objects.get_or_create(id=1)
        yield tmp_path


def waiting(queue: WriteQueue, count: int) -> None:
    """Wait until so many wait for their turn."""
    while len(queue._waiting) < count:
        threading.Event().wait(0.001)


def test_turns_come_in_the_order_of_asking() -> None:
    queue, order, first = WriteQueue(), list[int](), threading.Event()
    assert queue.enter(first, lambda: 60)

    def take(number: int) -> None:
        owner = threading.Event()
        assert queue.enter(owner, lambda: 60)
        order.append(number)
        queue.leave(owner)

    threads = [threading.Thread(target=take, args=(number,)) for number in range(5)]
    for count, thread in enumerate(threads, 1):
        thread.start()
        waiting(queue, count)
    queue.leave(first)
    for thread in threads:
        thread.join()
    assert order == [0, 1, 2, 3, 4]


def test_turn_of_an_owner_that_is_gone_passes_on() -> None:
    queue, owner, following = WriteQueue(), threading.Event(), threading.Event()
    assert queue.enter(owner, lambda: 60)
    del owner
    gc.collect()
    assert queue.enter(following, lambda: 0.01)


def test_only_the_owner_gives_its_turn_away() -> None:
    queue, owner, other = WriteQueue(), threading.Event(), threading.Event()
    assert queue.enter(owner, lambda: 60)
    queue.leave(other)
    assert not queue.enter(other, lambda: 0.01)


def write() -> None:
    AppliedPosition.objects.filter(id=1).update(decisions=1)


@pytest.mark.parametrize("ending", ["commit", "error", "close"])
def test_transaction_gives_its_turn_away_at_its_end(home: Path, ending: str) -> None:
    try:
        with transaction.atomic():
            assert base.write_queue._holder is not None
            write()
            if ending == "close":
                connection.close()
            if ending != "commit":
                raise KeyError
    except KeyError:
        pass
    assert base.write_queue._holder is None
    write()
    assert base.write_queue._holder is None


def test_transaction_that_cannot_begin_gives_its_turn_away(home: Path) -> None:
    with closing(sqlite3.connect(home / database.FILE, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        with database.impatient():
            with pytest.raises(OperationalError, match="locked"), transaction.atomic():
                raise AssertionError("not reached")
            with pytest.raises(OperationalError, match="locked"):
                write()
    assert base.write_queue._holder is None
    write()


@pytest.mark.parametrize("in_transaction", [True, False])
def test_busy_database_is_tried_again_where_sqlite_does_not_wait(
    home: Path, in_transaction: bool
) -> None:
    """SQLite does not wait where waiting could not help it, such as while a log is recovered."""
    holder = sqlite3.connect(home / database.FILE, isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN IMMEDIATE")
    connection.ensure_connection()
    busy = threading.Event()
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            holder.execute("ROLLBACK")
        busy.wait(0.001)

    with pytest.MonkeyPatch.context() as patch, closing(holder):
        patch.setattr(time, "sleep", sleep)
        patch.setattr(base, "_busy_timeout_s", lambda _: 60.0)
        connection.connection.execute("PRAGMA busy_timeout = 0")
        if in_transaction:
            with transaction.atomic():
                write()
        else:
            write()
    assert len(pauses) == 3
    assert AppliedPosition.objects.get(id=1).decisions == 1


class GivesWay(psycopg.errors.DeadlockDetected):
    """What PostgreSQL says to the transaction that gives way."""


def gives_way() -> OperationalError:
    error = OperationalError("deadlock detected")
    error.__cause__ = GivesWay()
    return error


def test_change_that_gave_way_is_run_again(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    runs: list[int] = []

    def work() -> str:
        runs.append(AppliedPosition.objects.get(id=1).decisions)
        write()
        if len(runs) < 3:
            raise gives_way()
        return "done"

    assert database.in_transaction(work) == "done"
    assert runs == [0, 0, 0]
    assert len(pauses) == 2
    assert 0 < pauses[0] < pauses[1] <= 2 * database.RETRY_S


@pytest.mark.parametrize("error", [gives_way(), OperationalError("the disk has a fault")])
def test_error_that_lasts_is_raised(
    home: Path, monkeypatch: pytest.MonkeyPatch, error: OperationalError
) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    runs: list[int] = []

    def work() -> None:
        runs.append(1)
        raise error

    with pytest.raises(OperationalError):
        database.in_transaction(work)
    assert len(runs) == (database.MAX_RUNS if error.__cause__ else 1)


def test_change_within_a_transaction_is_not_run_again(home: Path) -> None:
    runs: list[int] = []

    def work() -> None:
        runs.append(1)
        raise gives_way()

    with pytest.raises(OperationalError), transaction.atomic():
        database.in_transaction(work)
    assert len(runs) == 1


def test_deadlock_on_postgresql_reaches_nobody(tmp_path: Path) -> None:
    met = threading.Barrier(2)
    done: list[str] = []

    def change(first: int, second: int) -> None:
        attempts: list[Any] = []

        def work() -> None:
            attempts.append(1)
            AppliedPosition.objects.filter(id=first).update(decisions=first)
            if len(attempts) == 1:
                met.wait(30)
            AppliedPosition.objects.filter(id=second).update(decisions=second)

        try:
            database.in_transaction(work)
            done.append(f"after {len(attempts)}")
        finally:
            connection.close()

    with migrated("postgresql", tmp_path):
        for number in (1, 2):
            AppliedPosition.objects.get_or_create(id=number)
        threads = [threading.Thread(target=change, args=pair) for pair in ((1, 2), (2, 1))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(done) == ["after 1", "after 2"]
