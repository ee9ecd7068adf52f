"""A database that is locked or gone: the service says so early, ends when asked, and names no host.

Another process that holds the lock is what a backup tool, a shell, or a migration is.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support import service_harness
from support.service_harness import migrated, running
from support.service_process import KEY, Answered, Server, serving
from wavebreak_server.pipeline import pipeline
from wavebreak_server.settings import Limits
from wavebreak_server.storage import database
from wavebreak_server.storage.models import AppliedPosition

EVENT = {"ts": 1_767_222_000_000, "type": "message.sent", "account": "ann", "peer": "bob"}
BODY = json.dumps([EVENT]).encode()
QUICK = Limits(stall_s=0.2)


@contextlib.contextmanager
def locked(home: Path) -> Iterator[None]:
    """The service's database, locked for writing by another process."""
    path = home / "wavebreak.sqlite3"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        yield


def asked(server: Server, path: str) -> Answered:
    return server.post(b"", path, timeout=5, method="GET")


def key_command(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = "from wavebreak.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", program, "key", arguments[0], str(home), *arguments[1:]],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | {"NO_COLOR": "1", "WAVEBREAK_KEY": KEY},
    )


def test_locked_database_is_reported_and_the_service_ends(tmp_path: Path) -> None:
    with serving(tmp_path / "home", "--no-console") as server:
        assert server.post(BODY).status == 202
        with locked(server.home):
            waiting: list[int] = []
            first = threading.Thread(target=lambda: waiting.append(server.post(BODY).status))
            first.start()
            refused = 0
            while first.is_alive() or not refused:
                answer = asked(server, "/readyz")
                refused += answer.status == 503
                first.join(0.2)
            assert waiting == [503]
            # From now on nobody waits.
            answer = server.post(BODY, timeout=2)
            assert (answer.status, answer.headers["retry-after"]) == (503, "1")
            answer = asked(server, "/readyz")
            assert (answer.status, "locked" in answer.body.decode()) == (503, False)
            assert asked(server, "/healthz").status == 200
            shown = key_command(
                server.home, "create", "name", "--scope", "read", "--reason", "because a test asks"
            )
            assert shown.returncode == 2
            assert "Traceback" not in shown.stderr
            assert "locked" in shown.stderr
            assert "fix:" in shown.stderr
            server.terminate()
            # Fifteen seconds, on a machine that does nothing else.
            assert server.ended(30) in (0, -signal.SIGTERM)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    with migrated("sqlite", tmp_path):
        yield tmp_path


def test_body_is_refused_while_a_transaction_lasts(home: Path) -> None:
    async def run() -> None:
        async with running(home, limits=QUICK) as made:
            assert (await post(made)).status_code == 202
            hidden, shown, refused = set[str](), set[str](), set[str]()
            with locked(home):
                first = asyncio.ensure_future(post(made))
                while not first.done():
                    await asyncio.sleep(0.02)
                    answer = await made.ask("GET", "/readyz", "")
                    if answer.status_code == 503:
                        hidden.add(answer.json()["detail"])
                        shown.add((await made.ask("GET", "/readyz")).json()["detail"])
                        refused.add((await post(made)).json()["detail"])
            assert first.result().status_code == 503
            assert "not ready: the database does not answer" in hidden
            assert any("a transaction has lasted" in each for each in shown)
            assert "the database does not answer" in refused
            await made.wait_until_applied()

    asyncio.run(run())


async def post(made: service_harness.Running) -> Any:
    return await made.ask("POST", "/v1/events", json=[EVENT])


def test_lock_that_outlasts_the_wait_is_recovered_from(home: Path) -> None:
    async def run() -> None:
        async with running(home, limits=QUICK) as made:
            with locked(home):
                first = await post(made)
                assert (first.status_code, first.json()["detail"]) == (
                    503, "the log cannot be written",
                )  # fmt: skip
                # It can be read, and is still not ready.
                for _ in range(20):
                    assert (await made.ask("GET", "/readyz", "")).status_code == 503
                    await asyncio.sleep(0.02)
            await made.wait_until_applied()
            assert (await post(made)).status_code == 202

    asyncio.run(run())


def test_home_that_cannot_be_written_is_an_error_with_a_fix(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no directory")
    shown = key_command(tmp_path / "file" / "home", "list")
    assert (shown.returncode, "Traceback" in shown.stderr) == (2, False)
    program = "from wavebreak.cli import main; main()"
    command = [sys.executable, "-c", program, "serve", str(tmp_path / "file" / "home")]
    served = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (served.returncode, "Traceback" in served.stderr) == (2, False)
    assert "fix:" in served.stderr


def test_start_is_refused_while_the_write_ahead_log_cannot_be_emptied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a failed sync left there must be on disk before anything is written after it."""
    monkeypatch.setattr(pipeline, "START_S", 0.3)

    async def start() -> int:
        async with running(tmp_path) as one:
            return int((await one.ask("POST", "/v1/events", json=[EVENT])).status_code)

    with migrated("sqlite", tmp_path):
        path = tmp_path / "wavebreak.sqlite3"
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT * FROM log_applied").fetchall()
            AppliedPosition.objects.get_or_create(id=1)
            with pytest.raises(AssertionError, match="cannot be emptied"):
                asyncio.run(start())
        assert asyncio.run(start()) == 202


def test_service_writes_again_only_after_its_log_was_emptied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[float] = []

    def truncate_wal(wait_s: float = 5.0) -> bool:
        tried.append(wait_s)
        return len(tried) > 3

    async def run() -> None:
        async with running(tmp_path) as one:
            with monkeypatch.context() as patched:
                patched.setattr(database, "truncate_wal", truncate_wal)
                with locked(tmp_path):
                    refused = await one.ask("POST", "/v1/events", json=[EVENT])
                assert refused.status_code == 503
                async with asyncio.timeout(30):
                    while not one.service.progress().ready:
                        await asyncio.sleep(0.01)
            assert len(tried) == 4
            await one.send([EVENT])

    with migrated("sqlite", tmp_path):
        asyncio.run(run())
        assert len(service_harness.logged()) == 1
