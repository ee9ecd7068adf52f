"""A busy database is waited for: no writer and no reader of a service meets an error of it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.db import DatabaseError, connection

from support.service_harness import Running, migrated, now_ms, running
from wavebreak_server.http.app_context import write_audit_entry
from wavebreak_server.pipeline import log_writer
from wavebreak_server.storage.database import in_transaction
from wavebreak_server.storage.models import AuditEntry

SECONDS, WRITERS, READERS, SENDERS = 4.0, 8, 4, 4
BECAUSE = "because a test asks for it"


@pytest.fixture(name="home")
def _home(tmp_path: Path) -> Iterator[Path]:
    with migrated("sqlite", tmp_path):
        yield tmp_path


def write() -> None:
    in_transaction(lambda: write_audit_entry(now_ms(), "test", "test", "load", BECAUSE))
    # A statement outside a transaction is one by itself.
    AuditEntry.objects.filter(number=0).update(outcome="done")


def read() -> None:
    assert len(AuditEntry.objects.all()[:50]) <= 50


def repeat(work: Callable[[], None], end_s: float, counts: Counter[str]) -> None:
    try:
        while time.monotonic() < end_s:
            try:
                work()
                counts[work.__name__] += 1
            except DatabaseError:
                counts["database errors"] += 1
    finally:
        connection.close()


async def send(made: Running, number: int, end_s: float, counts: Counter[str]) -> None:
    ts = now_ms()
    while time.monotonic() < end_s:
        counts["sent"] += 1
        event = {"ts": ts, "type": "message.sent", "account": f"a{number}", "peer": "b"}
        body = {"name": f"k{number}-{counts['sent']}", "scopes": ["read"], "reason": BECAUSE}
        for answer in (
            await made.ask("POST", "/v1/events", json=[event]),
            await made.ask("POST", "/v1/keys", json=body),
            await made.ask("GET", "/v1/audit?limit=50"),
            await made.ask("GET", "/readyz"),
        ):
            counts["requests"] += 1
            counts["database errors"] += answer.status_code >= 500


def test_no_database_error_reaches_a_client_under_load(
    home: Path, record_property: Callable[[str, object], None]
) -> None:
    counts = Counter[str]()

    async def run() -> None:
        async with running(home) as made:
            end_s = time.monotonic() + SECONDS
            threads = [
                threading.Thread(target=repeat, args=(work, end_s, counts))
                for work in [write] * WRITERS + [read] * READERS
            ]
            for thread in threads:
                thread.start()
            await asyncio.gather(*(send(made, n, end_s, counts) for n in range(SENDERS)))
            for thread in threads:
                await asyncio.to_thread(thread.join)
            await made.wait_until_applied()

    asyncio.run(run())
    record_property("told", ", ".join(f"{counts[n]} {n}" for n in sorted(counts)))
    assert counts["database errors"] == 0
    assert min(counts["write"], counts["read"], counts["requests"]) > 0


def test_service_that_cannot_write_is_not_ready_though_nobody_writes(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_writer, "PROBE_S", 0.05)

    def failing() -> tuple[int, int]:
        raise DatabaseError("the disk has a fault")

    async def until(made: Running, status: int) -> str:
        async with asyncio.timeout(30):
            while (answer := await made.ask("GET", "/readyz", "")).status_code != status:
                await asyncio.sleep(0.01)
        return str(answer.text)

    async def run() -> None:
        async with running(home) as made:
            with monkeypatch.context() as patch:
                patch.setattr(log_writer, "_try_to_write", failing)
                assert "the log cannot be written" in await until(made, 503)
            assert await until(made, 200) == "ready\n"

    asyncio.run(run())


def test_readiness_names_the_tasks_that_fail(home: Path) -> None:
    async def run() -> None:
        async with running(home) as made:
            made.service.failing_tasks["indexer"] = "OperationalError"
            line = "background task indexer fails (OperationalError) and restarts\n"
            assert line in (await made.ask("GET", "/readyz", made.keys["read"])).text
            assert (await made.ask("GET", "/readyz", "")).text == "ready\n"
            del made.service.failing_tasks["indexer"]
            assert line not in (await made.ask("GET", "/readyz", made.keys["read"])).text

    asyncio.run(run())
