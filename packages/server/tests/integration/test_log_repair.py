"""A log that events dated ahead have blinded decides again after its repair, and at every start."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from django.db import connection
from typer.testing import CliRunner

from support import service_harness
from support.service_harness import DATABASES, SIGNER, Running, abuser, now_ms
from wavebreak.cli.app import app
from wavebreak.ledger import read_entry
from wavebreak_server.pipeline import log_repair
from wavebreak_server.pipeline.recovery import list_snapshots
from wavebreak_server.storage.ledger_store import LedgerStore
from wavebreak_server.storage.models import LedgerEntry

FAR = 4_070_908_800_000
"""The year 2099."""
ALLOWED_MS = 60_000


async def _poison(made: Running) -> None:
    """Blind the service as one could before it refused such dates."""
    await made.send(abuser(account="early", ts=now_ms() - 15_000))
    clock, made.service.clock = made.service.clock, lambda: FAR + 10_000
    far = {"type": "message.sent", "account": "a", "peer": "b"}
    await made.send([far | {"id": f"f{n}", "ts": FAR + n} for n in range(1200)])
    made.service.clock = clock
    await made.send(abuser(account="hidden", ts=now_ms() - 15_000))
    assert await _outcomes(made, "early", "hidden") == ["ban", "allow"]
    assert (await made.ask("GET", "/readyz", "")).status_code == 503


async def _mended(made: Running) -> None:
    assert (await made.ask("GET", "/readyz", "")).status_code == 200
    assert await _outcomes(made, "early", "hidden") == ["ban", "ban"]
    account = (await made.ask("GET", "/v1/accounts/hidden")).json()
    assert account["decisions"][0]["decision"]["outcome"] == "ban"
    await made.send(abuser(account="late", ts=now_ms() - 15_000))
    assert await _outcomes(made, "late") == ["ban"]


async def _again(made: Running) -> None:
    assert await _outcomes(made, "early", "hidden", "late") == ["ban"] * 3


async def _outcomes(made: Running, *accounts: str) -> list[str]:
    await made.wait_until_applied()
    answers = [await made.ask("GET", f"/v1/accounts/{account}") for account in accounts]
    return [answer.json()["outcome"] for answer in answers]


def _live(home: Path, life: Callable[[Running], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with service_harness.running(home) as made:
            await life(made)

    asyncio.run(whole())


@pytest.mark.parametrize("kind", DATABASES)
def test_repaired_log_decides_again(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAVEBREAK_KEY", service_harness.SECRET.hex())
    with service_harness.migrated(kind, tmp_path):
        _live(tmp_path, _poison)
        before = service_harness.decided()
        (row,) = log_repair.find_ahead(now_ms(), ALLOWED_MS)
        assert (row.events, row.earliest_ms, row.newest_ms) == (1200, FAR, FAR + 1199)
        assert row.bound_ms == row.received_ms
        if kind == "sqlite":
            listed = CliRunner().invoke(app, ["log", "repair", str(tmp_path), "--wide"])
            assert listed.exit_code == 1
            assert "1,200 events dated ahead" in listed.stdout
            assert "2099-01-01 00:00:01" in listed.stdout
        store = LedgerStore(SIGNER, now_ms)
        done = log_repair.repair(tmp_path, store, now_ms(), ALLOWED_MS, "a test asks for it")
        assert (done.events, done.rows, done.position) == (1200, 1, row.position)
        assert log_repair.find_ahead(now_ms(), ALLOWED_MS) == []
        assert list_snapshots(tmp_path) == []
        assert [path.name for path in tmp_path.glob("*.set-aside")] == [
            f"{name}.set-aside" for name in done.snapshots
        ]
        (entry,) = [e for e in service_harness.audited() if e["action"] == "repair_log"]
        assert (entry["key"], entry["reason"]) == ("command line", "a test asks for it")
        lines = LedgerEntry.objects.order_by("position").values_list("line", flat=True)
        kinds = [read_entry(bytes(line)).kind for line in lines.reverse()[:3]]
        assert sorted(kinds) == ["change", "repair", "rewrite"]
        connection.close()
        _live(tmp_path, _mended)
        mended = service_harness.decided()
        assert mended[: len(before)] == before
        assert len(mended) > len(before) + 1
        for _, _, path in list_snapshots(tmp_path):
            path.unlink()
        _live(tmp_path, _again)
        assert service_harness.decided() == mended


def test_sound_log_is_left_alone(tmp_path: Path) -> None:
    with service_harness.migrated("sqlite", tmp_path):
        _live(tmp_path, lambda made: made.send(abuser(3, ts=now_ms() + 20_000)))
        assert log_repair.find_ahead(now_ms(), ALLOWED_MS) == []
        store = LedgerStore(SIGNER, now_ms)
        done = log_repair.repair(tmp_path, store, now_ms(), ALLOWED_MS, "a test asks for it")
        assert (done.events, done.snapshots) == (0, ())
        assert [e for e in service_harness.audited() if e["action"] == "repair_log"] == []
        connection.close()


def test_events_of_a_wrong_server_clock_are_found_later(tmp_path: Path) -> None:
    with service_harness.migrated("sqlite", tmp_path):
        _live(tmp_path, lambda made: made.send(abuser(3, ts=now_ms() - 10_000)))
        (row,) = log_repair.find_ahead(now_ms() - 400 * 86_400_000, ALLOWED_MS)
        connection.close()
    assert row.events == 4
    assert row.bound_ms < row.received_ms
