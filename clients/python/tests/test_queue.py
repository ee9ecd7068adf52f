"""The queue: whatever the network does, the log has what was handed over, each once."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fake_service import Answering, fake_service
from wavebreak_client import AsyncClient, Client, SpoolError, core
from wavebreak_client.delivery import backoff_s, retry_after_s
from wavebreak_client.event_queue import EventQueue
from wavebreak_client.events import AccountRegistered, MessageSent
from wavebreak_client.spool import Spool, read_journal

FAULTS = (
    "none", "lost", "answer lost", "doubled", "delayed", "cut short", "cut silently",
    "503", "429", "500", "502", "409", "401",
)  # fmt: skip


class FaultyService:
    """An httpx handler: the log of the service, behind a network that does as listed."""

    def __init__(self, faults: list[str]) -> None:
        self.faults, self.log = faults, list[dict[str, Any]]()
        self.answers: dict[str, tuple[bytes, bytes]] = {}
        self.most_in_flight = self.in_flight = 0

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            return await self.answer(request)
        finally:
            self.in_flight -= 1

    async def answer(self, request: httpx.Request) -> httpx.Response:
        fault = self.faults.pop(0) if self.faults else "none"
        await asyncio.sleep(0.002 if fault == "delayed" else 0)
        if fault == "lost":
            raise httpx.ConnectError("lost")
        if fault.isdigit():
            return httpx.Response(int(fault), headers={"Retry-After": "0"})
        body = self.take(request)
        if fault == "doubled":
            assert self.take(request) == body
        if fault == "answer lost":
            raise httpx.ReadTimeout("lost")
        if fault == "cut short":
            raise httpx.RemoteProtocolError("cut")
        return httpx.Response(202, content=body[:9] if fault == "cut silently" else body)

    def take(self, request: httpx.Request) -> bytes:
        key = request.headers["Idempotency-Key"]
        if key in self.answers:
            sent, answer = self.answers[key]
            assert sent == request.content, "another body under the same key"
            return answer
        events = json.loads(request.content)
        # The log of a service that knows keys but no ids: the key alone has to do.
        self.log += events
        answer = json.dumps({"accepted": len(events), "refused": []}).encode()
        self.answers[key] = (request.content, answer)
        return answer


@settings(max_examples=40, deadline=None)
@given(
    faults=st.lists(st.sampled_from(FAULTS), max_size=12),
    counts=st.lists(st.integers(1, 60), min_size=1, max_size=4),
    batch=st.integers(1, 50),
)
def test_log_has_each_event_once_whatever_fails(
    faults: list[str], counts: list[int], batch: int
) -> None:
    service = FaultyService(list(faults))

    async def send() -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(core, "backoff_s", lambda *_: 0.0)
            async with AsyncClient(
                "https://wavebreak.example.org",
                "key",
                transport=httpx.MockTransport(service),
                batch_events=batch,
                batch_s=0,
                follow_states=False,
            ) as client:
                number = 0
                for count in counts:
                    for _ in range(count):
                        assert client.tell(MessageSent(account=f"a{number}", peer="b"))
                        number += 1
                    await asyncio.sleep(0)
                assert await client.flush(30)
                assert client.health().counts["accepted"] == number

    asyncio.run(send())
    assert [each["account"] for each in service.log] == [f"a{n}" for n in range(sum(counts))]
    assert service.most_in_flight <= 1


def faulty(chosen: random.Random) -> Callable[[Answering, bytes], bool]:
    """Return faults of real connections; every second request has none."""

    def fault(answering: Answering, body: bytes) -> bool:
        match chosen.randrange(8):
            case 0:
                answering.drop()
            case 1:
                answering.truncate(body)
            case 2:
                answering.reply(503, Retry_After="0")
            case 3:
                answering.accept(body, silent=True)
                answering.drop()
            case _:
                return False
        return True

    return fault


def test_log_has_each_event_once_over_real_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core, "backoff_s", lambda *_: 0.001)
    with fake_service() as service:
        service.fault = faulty(random.Random(22))
        with Client(
            service.url, service.key, batch_events=20, batch_s=0.001, follow_states=False
        ) as client:
            for number in range(1000):
                client.tell(MessageSent(account=f"a{number}", peer="b"))
            assert client.flush(60)
            assert client.health().counts["retries"] > 5
        assert [each["account"] for each in service.log] == [f"a{n}" for n in range(1000)]


def test_batch_waits_for_its_time_or_its_size() -> None:
    now = [0.0]
    ready: list[float] = []
    queue = EventQueue(
        batch_events=3, monotonic_ms=lambda: now[0], ready=lambda: ready.append(now[0])
    )
    assert queue.due_ms() is None
    queue.put({"type": "a"})
    now[0] = 50
    assert queue.due_ms() == 150
    assert queue.due_ms(flush=True) == 0
    queue.put({"type": "b"})
    queue.put({"type": "c"})
    assert queue.due_ms() == 0
    assert ready == [0, 50]


def test_backoff_is_jittered_between_its_bounds() -> None:
    for failures, highest in ((1, 0.4), (3, 1.6), (50, 30.0)):
        drawn = [backoff_s(failures) for _ in range(200)]
        assert 0.2 <= min(drawn) <= max(drawn) <= highest
        assert max(drawn) - min(drawn) > 0.3 * (highest - 0.2)
    assert backoff_s(1, 7.0) == 7.0
    assert retry_after_s("99999", 0) == 600
    assert retry_after_s("nan", 0) is None
    assert retry_after_s("-1", 0) == 0


def dropped(answering: Answering, _body: bytes) -> bool:
    answering.drop()
    return True


CHILD = """
import sys
from wavebreak_client import Client
from wavebreak_client.events import MessageSent
client = Client(sys.argv[1], "wb_key", spool=sys.argv[2], follow_states=False)
for number in range(int(sys.argv[3])):
    assert client.tell(MessageSent(account=f"a{number}", peer="b"))
print("ready", flush=True)
sys.stdin.read()
"""


def test_spool_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "spool.jsonl"
    with fake_service() as service:
        service.fault = dropped
        source = Path(core.__file__).resolve().parents[1]
        with subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(CHILD), service.url, str(path), "700"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(source)},
        ) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == b"ready\n"
            child.send_signal(signal.SIGKILL)
        assert path.stat().st_mode & 0o777 == 0o600
        with path.open("ab") as torn:
            torn.write(b'{"type":"message.se')
        service.fault = lambda _answering, _body: False
        with Client(service.url, service.key, spool=path, follow_states=False) as client:
            client.tell(MessageSent(account="last", peer="b"))
            assert client.flush(30)
        names = [each["account"] for each in service.log]
    assert names == [*(f"a{n}" for n in range(700)), "last"]
    assert path.read_bytes() == b""


def test_spool_keeps_what_close_did_not_deliver(tmp_path: Path) -> None:
    path = tmp_path / "spool.jsonl"
    registered = AccountRegistered(account="a", phone="+14155550100", ip="198.51.100.7")
    client = Client("http://127.0.0.1:9", "key", spool=path, follow_states=False)
    client.tell(registered)
    assert not client.close(0.1)
    assert client.health().counts["dropped_at_close"] == 0
    kept = path.read_bytes()
    assert b'"account":"a"' in kept
    assert b"4155550100" not in kept
    assert b"198.51" not in kept
    client = Client(
        "http://127.0.0.1:9", "key", spool=path, spool_identifiers=True, follow_states=False
    )
    client.tell(registered)
    client.close(0)
    assert b"4155550100" in path.read_bytes()


def test_spool_that_another_client_has_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "spool.jsonl"
    held = Spool(path, max_bytes=1000)
    with pytest.raises(SpoolError, match="another process"):
        Spool(path, max_bytes=1000)
    held.close()
    Spool(path, max_bytes=1000).close()
    with pytest.raises(SpoolError, match="cannot be opened"):
        Spool(tmp_path / "absent" / "spool.jsonl", max_bytes=1000)


def test_spool_that_is_full_keeps_events_in_memory(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.jsonl", max_bytes=100)
    queue = EventQueue(spool=spool, monotonic_ms=lambda: 0)
    for number in range(10):
        assert queue.put({"type": "message.sent", "id": f"{number}"})
    assert spool.in_memory_only == 7
    batch = queue.take()
    assert batch is not None
    assert len(batch.lines) == 10
    queue.settle(batch)
    assert queue.close() == 0


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(st.one_of(st.just("put"), st.integers(1, 5)), max_size=60),
    torn=st.binary(max_size=20),
)
def test_spool_holds_what_is_not_delivered(steps: list[str | int], torn: bytes) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("wavebreak_client.spool._COMPACT_BYTES", 64)
        path = Path(os.environ.get("TMPDIR", "/tmp")) / f"wavebreak-spool-{os.getpid()}.jsonl"
        path.unlink(missing_ok=True)
        spool, expected = Spool(path, max_bytes=1 << 20), list[bytes]()
        for number, step in enumerate(steps):
            if step == "put":
                spool.append({"type": "message.sent", "id": str(number)})
                expected.append(b'{"type":"message.sent","id":"%d"}' % number)
            elif isinstance(step, int) and step <= len(expected):
                spool.delivered(step)
                del expected[:step]
        spool.close()
        content = path.read_bytes()
        assert read_journal(content) == expected
        assert read_journal(content + torn.replace(b"\n", b"")) == expected
        path.unlink()
