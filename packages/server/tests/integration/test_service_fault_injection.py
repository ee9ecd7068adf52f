"""What breaks a service from outside: kills, a full disk, damaged files, a clock that jumps."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from support import crash_test, service_harness
from support.service_process import Server, serving

NOON = 1_772_366_400_000


@dataclass
class Disk:
    """A place of a few megabytes: a file system of its own, or only a bound on each file."""

    home: Path
    mounted: bool

    def limits(self) -> None:
        """What the process may write, where no file system bounds it."""
        if not self.mounted:
            resource.setrlimit(resource.RLIMIT_FSIZE, (4_000_000, 4_000_000))

    def grow(self, server: Server) -> None:
        """Make room: while the server runs, where that can be."""
        if self.mounted:
            command = ["mount", "-o", "remount,size=256m", str(self.home.parent)]
            subprocess.run(command, check=True)
            return
        server.kill()
        server.limits = None
        server.start()


@pytest.fixture
def disk(tmp_path: Path, record_property: Callable[[str, object], None]) -> Iterator[Disk]:
    small = tmp_path / "disk"
    small.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(small)]
    mounted = not subprocess.run(command, capture_output=True, check=False).returncode
    how = "a tmpfs of 6 MB" if mounted else "RLIMIT_FSIZE, since nothing can be mounted here"
    record_property("told", f"the full disk is {how}")
    (small / "home").mkdir()
    try:
        yield Disk(small / "home", mounted)
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(small)], check=True)


def messages(many: int, start: int = 0, ts: int = NOON) -> bytes:
    return json.dumps(
        [
            {
                "id": f"e{i}",
                "ts": ts + i * 100,
                "type": "message.sent",
                "account": f"a{i % 7}",
                "peer": f"p{i % 40}",
                "in_contacts": False,
            }
            for i in range(start, start + many)
        ]
    ).encode()


def test_killed_service_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """`python tests/crash_test.py --kills 100` is the same with more kills."""
    many = int(os.environ.get("WAVEBREAK_KILLS", "4"))
    events = crash_test.world(16)[: 15_000 if many < 50 else None]
    counted = crash_test.run(tmp_path / "home", many, seed=1, events=events)
    assert counted["kills"] == many
    assert counted["events"] == len(events)
    assert counted["decisions"] > 10


def damage(server: Server, query: str) -> None:
    with sqlite3.connect(server.home / "wavebreak.sqlite3") as database:
        assert database.execute(query).rowcount == 1


def test_damaged_log_row_is_skipped_only_with_accept_loss(tmp_path: Path) -> None:
    with serving(tmp_path / "home") as server:
        for start in range(0, 300, 100):
            assert server.post(messages(100, start)).status == 202
            server.settled(start + 100)
        server.kill()
        row = server.rows("SELECT first FROM log_batch WHERE first = 100")
        assert row == [(100,)]
        damage(server, "UPDATE log_batch SET blob = CAST(x'00' || blob AS BLOB) WHERE first = 100")
        server.start(wait=False)
        assert server.ended() == 2
        assert "positions 100 to 199 are damaged" in server.said()
        server.start("--accept-loss")
        assert "positions 100 to 199 are lost" in server.said()
        assert server.post(messages(50, 300)).status == 202
        server.settled(350)


def test_missing_log_row_is_named(tmp_path: Path) -> None:
    with serving(tmp_path / "home") as server:
        for start in (0, 10, 20):
            assert server.post(messages(10, start)).status == 202
            server.settled(start + 10)
        server.kill()
        damage(server, "DELETE FROM log_batch WHERE first = 10")
        server.start(wait=False)
        assert server.ended() == 2
        assert "positions 10 to 19 are missing" in server.said()


def test_damaged_snapshot_is_named_and_not_used(tmp_path: Path) -> None:
    with serving(tmp_path / "home") as server:
        for round_ in range(2):
            assert server.post(messages(200, 200 * round_)).status == 202
            server.settled(200 * (round_ + 1))
            server.stop()
            server.start()
        server.stop()
        old, new = sorted(server.home.glob("state-*"), key=lambda p: int(p.name.split("-")[1]))
        before = server.rows("SELECT number, body FROM decision ORDER BY number")
        content = bytearray(new.read_bytes())
        content[len(content) // 2] ^= 1
        new.write_bytes(content)
        server.start()
        assert f"{new.name} is not used" in server.said()
        server.kill()
        old.write_bytes(b"PK junk")
        server.start()
        assert f"{old.name} is not used" in server.said()
        assert server.post(messages(10, 400)).status == 202
        server.settled(410)
        assert server.rows("SELECT number, body FROM decision ORDER BY number")[: len(before)] == (
            before
        )


def test_changed_decision_is_detected(tmp_path: Path) -> None:
    events = crash_test.world(10)[:15_000]
    with serving(tmp_path / "home") as server:
        for start in range(0, len(events), 5_000):
            body = b"[" + b",".join(events[start : start + 5_000]) + b"]"
            assert server.post(body).status == 202
        server.settled(len(events))
        server.kill()
        damage(
            server,
            "UPDATE decision SET body = CAST(replace(body, 'a', 'b') AS BLOB) WHERE number = 3",
        )
        server.start(wait=False)
        assert server.ended() == 2
        assert "this service did not write its decision 3" in server.said()


def test_full_disk_refuses_and_loses_nothing(disk: Disk) -> None:
    server = Server(disk.home, limits=disk.limits).start()
    acknowledged, refused = 0, 0
    try:
        while refused < 3 and acknowledged < 500_000:
            answer = server.post(messages(2_000, acknowledged))
            if answer.status == 202:
                acknowledged += 2_000
            else:
                assert answer.status == 503
                assert int(answer.headers["retry-after"]) >= 1
                refused += 1
                time.sleep(0.2)
        assert acknowledged > 0
        assert refused == 3
        disk.grow(server)
        while server.post(messages(10, acknowledged)).status != 202:
            time.sleep(0.1)
        server.settled(acknowledged + 10)
        assert len(crash_test.events_in_log(server)) == acknowledged + 10
        server.kill()
        server.limits = None
        server.start()
        expected = crash_test.uninterrupted(server)
        assert [b for (b,) in server.rows("SELECT body FROM decision ORDER BY number")] == expected
        server.stop()
        crash_test.sealed(server)
    finally:
        server.kill()


@pytest.fixture(scope="module")
def poisoned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for every poison: what one does to it, the next would meet."""
    with serving(tmp_path_factory.mktemp("poisoned") / "home") as server:
        yield server


@pytest.mark.parametrize("poison", [b"\x00" * 100, b"[" * 70_000, b"[" + b"1," * 5_000 + b"1]"])
def test_poisoned_body_affects_no_other(poisoned: Server, poison: bytes) -> None:
    before = len(crash_test.events_in_log(poisoned))
    assert poisoned.post(messages(10, before)).status == 202
    assert poisoned.post(poison).status in (400, 422)
    assert poisoned.post(poison, "/v1/decide").status in (400, 413, 422)
    assert poisoned.post(messages(10, before + 10)).status == 202
    poisoned.settled(before + 20)


def test_event_sent_twice_counts_once(tmp_path: Path) -> None:
    with serving(tmp_path / "home") as server:
        first = server.post(messages(50), idempotency_key="one")
        again = server.post(messages(50), idempotency_key="one")
        assert (first.status, first.body) == (again.status, again.body)
        assert server.post(messages(51), idempotency_key="one").status == 422
        assert len(crash_test.events_in_log(server)) == 50
        # Without a key it is in the log again, and the engine counts each id once.
        assert server.post(messages(50)).status == 202
        server.settled(100)
        server.kill()
        server.start()
        assert server.post(messages(50), idempotency_key="one").body == first.body


@pytest.mark.parametrize("jump_ms", [40 * 86_400_000, -20_000])
def test_clock_jump_changes_no_decision(tmp_path: Path, jump_ms: int) -> None:
    """When an event is received is written down, and read by nothing that decides."""
    begin = service_harness.now_ms()

    def lived(name: str, jump_ms: int) -> list[bytes]:
        clock = [begin]

        async def run() -> None:
            async with service_harness.running(home, clock=lambda: clock[0]) as made:
                await made.send(service_harness.abuser(ts=begin - 3_600_000))
                clock[0] += jump_ms
                later = begin - 60_000
                await made.send(service_harness.abuser(account="bob", ts=later))

        (home := tmp_path / name).mkdir()
        with service_harness.migrated("sqlite", home):
            asyncio.run(run())
            return service_harness.decided()

    steady = lived("steady", 0)
    assert {msgspec.json.decode(body)["account"] for body in steady} == {"ann", "bob"}
    assert lived("jumped", jump_ms) == steady
