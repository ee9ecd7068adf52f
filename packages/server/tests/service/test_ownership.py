"""One process owns a directory and a database; whoever was overtaken writes nothing more."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.db import connection, transaction

from support import service_harness
from support.service_harness import Running, abuser
from wavebreak.errors import ServiceError
from wavebreak_server.storage import database, ownership
from wavebreak_server.storage.models import ApiKey, AuditEntry

KINDS = pytest.mark.parametrize("kind", service_harness.DATABASES)
RELEASE_S = 20
"""Longest time until the system has released a lock, which it does a moment after its process or
session ends: a new program is told started before its inherited files are closed."""


@pytest.fixture
def bound(kind: str, tmp_path: Path) -> Iterator[Path]:
    """A fresh database of a kind, bound, with a directory."""
    with service_harness.fresh(kind) as url:
        database.connect(url, tmp_path)
        try:
            yield tmp_path
        finally:
            connection.close()
            database.connect("", tmp_path)


def audit() -> None:
    AuditEntry.objects.create(at_ms=1, key="k", action="a", object="o", reason="r", outcome="done")


def overtake() -> None:
    """Raise the epoch, as a server does that takes the log over."""
    with connection.cursor() as cursor:
        # No check stands before this spelling, as none stands before another process.
        cursor.execute("/* another server */ UPDATE owner SET epoch = epoch + 1")


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


@KINDS
def test_second_owner_of_a_directory_is_refused(bound: Path) -> None:
    with ownership.owned(bound):
        with (
            pytest.raises(ServiceError, match=r"is in use by another process \(process \d+ on"),
            ownership.owned(bound, wait_s=0),
        ):
            pass
        audit()
    with ownership.owned(bound, wait_s=RELEASE_S):
        audit()
    assert AuditEntry.objects.count() == 2


def test_second_owner_of_a_postgresql_database_is_refused(tmp_path: Path) -> None:
    with (
        service_harness.migrated("postgresql", tmp_path),
        ownership.owned(tmp_path / "one") as owner,
    ):
        with (
            pytest.raises(ServiceError, match=r"database is in use by another server \(process"),
            ownership.owned(tmp_path / "two", wait_s=0),
        ):
            pass
        assert owner.lost == ""


@KINDS
def test_overtaken_owner_writes_nothing(bound: Path) -> None:
    with ownership.owned(bound) as owner:
        audit()
        overtake()
        with pytest.raises(ownership.OwnershipLostError), transaction.atomic():
            audit()
        assert "another server has taken over" in owner.lost
        with pytest.raises(ownership.OwnershipLostError):
            ApiKey.objects.all().delete()
        with pytest.raises(ownership.OwnershipLostError):
            ApiKey.objects.update(ends_ms=None)
        assert AuditEntry.objects.count() == 1
    audit()
    assert AuditEntry.objects.count() == 2


@pytest.mark.parametrize("kind", ["sqlite"])
def test_each_owner_has_an_epoch_of_its_own(bound: Path) -> None:
    with ownership.owned(bound) as first:
        audit()
    with ownership.owned(bound) as second:
        audit()
    assert second.epoch == first.epoch + 1


@KINDS
def test_epoch_is_checked_again_in_each_transaction(bound: Path) -> None:
    with ownership.owned(bound):
        with transaction.atomic():
            audit()
            audit()
        overtake()
        with pytest.raises(ownership.OwnershipLostError), transaction.atomic():
            audit()
        assert AuditEntry.objects.count() == 2


def test_transaction_of_the_owner_holds_the_epoch(tmp_path: Path) -> None:
    with service_harness.migrated("postgresql", tmp_path), ownership.owned(tmp_path):
        other = connection.copy()
        try:
            with transaction.atomic():
                audit()
                with other.cursor() as cursor:
                    cursor.execute("SET lock_timeout = 50")
                    with pytest.raises(Exception, match="lock timeout"):
                        cursor.execute("/* another */ UPDATE owner SET epoch = epoch + 1")
        finally:
            other.close()


@pytest.mark.parametrize("kind", ["sqlite"])
def test_removed_lock_file_ends_ownership(bound: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ownership, "WATCH_S", 0.01)
    with ownership.owned(bound) as owner:
        (bound / ownership.LOCK_FILE).unlink()
        wait_for(lambda: owner.lost)
        assert "was removed or replaced" in owner.lost


def test_broken_session_takes_its_lock_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ownership, "WATCH_S", 0.01)
    held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"

    def locks() -> int:
        with connection.cursor() as cursor:
            cursor.execute(held)
            return int(cursor.fetchone()[0])

    with service_harness.migrated("postgresql", tmp_path), ownership.owned(tmp_path) as owner:
        assert locks() == 1
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
            )
        wait_for(lambda: locks() == 1)
        audit()
        assert owner.lost == ""


@pytest.mark.parametrize("kind", ["sqlite"])
def test_child_process_does_not_keep_the_lock(bound: Path) -> None:
    with ownership.owned(bound):
        child = subprocess.Popen(
            [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False
        )
    try:
        with ownership.owned(bound, wait_s=RELEASE_S):
            audit()
    finally:
        child.communicate(b"\n")
    assert AuditEntry.objects.count() == 1


@pytest.mark.parametrize("kind", ["sqlite"])
def test_link_in_place_of_the_lock_is_refused(bound: Path) -> None:
    (bound / ownership.LOCK_FILE).symlink_to(bound / "elsewhere")
    with pytest.raises(ServiceError, match="cannot be opened"), ownership.owned(bound):
        pass
    assert not (bound / "elsewhere").exists()


@pytest.mark.parametrize("kind", ["sqlite"])
def test_running_owner_is_named_to_commands(bound: Path) -> None:
    assert ownership.running_owner(bound) == ""
    with ownership.owned(bound):
        assert ownership.running_owner(bound).startswith("process ")


@KINDS
def test_overtaken_service_refuses_and_says_so(bound: Path) -> None:
    async def test(made: Running) -> None:
        await made.send(abuser(10))
        await asyncio.to_thread(overtake)
        event = abuser(1, "ben")
        answers = [await made.ask("POST", "/v1/events", json=event) for _ in range(2)]
        assert [a.status_code for a in answers] == [503, 503]
        ready = await made.ask("GET", "/readyz")
        assert ready.status_code == 503
        assert "another server has taken over" in ready.json()["detail"]
        asked = await made.ask("POST", "/v1/decide", json=event[0])
        assert asked.status_code == 503
        label = {"labels": [{"account": "ann", "label": "abusive", "source": "analyst"}]}
        change = await made.ask("POST", "/v1/labels", json=label | {"reason": "a good reason"})
        assert change.status_code == 503

    async def whole(owner: ownership.Owner) -> None:
        async with service_harness.running(bound) as made:
            made.service.running.lost = lambda: owner.lost
            await test(made)

    with ownership.owned(bound) as owner:
        asyncio.run(whole(owner))
    assert len(service_harness.logged()) == 11
