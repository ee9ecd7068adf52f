"""Budgets of a sender: what one key may cost, and what it may not do to the others."""

from __future__ import annotations

import asyncio
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from support import service_harness
from support.service_harness import Running
from wavebreak_server.errors import ApiError, describe_error
from wavebreak_server.http import ingest_app
from wavebreak_server.http.ingest_app import IngestApp
from wavebreak_server.http.rate_limit import KeyBudgets
from wavebreak_server.settings import Limits

LINES = {"content-type": "application/x-ndjson"}
PACKED = LINES | {"content-encoding": "gzip"}
LIMITS = Limits(
    body=60_000, unpacked=2 << 20, queue_bytes=100_000, key_events=100, key_bytes=4 << 20
)


def events(count: int, account: str) -> bytes:
    one = {"ts": 1_772_366_400_000, "type": "message.sent", "account": account, "peer": "p"}
    return b"".join(
        json.dumps(one | {"id": f"{account}{n}"}).encode() + b"\n" for n in range(count)
    )


async def post(made: Running, key: str, body: bytes, headers: Any = LINES) -> Any:
    return await made.ask("POST", "/v1/events", key, content=body, headers=headers)


async def new_key(made: Running) -> str:
    wanted = {"name": "sender", "scopes": ["ingest"], "reason": "for this test"}
    answer = await made.ask("POST", "/v1/keys", json=wanted)
    assert answer.status_code == 201, answer.text
    await made.context.refresh()
    return str(answer.json()["text"])


def test_sender_is_held_to_its_budgets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # On a busy machine a budget would fill faster than the test spends it.
    monkeypatch.setattr(
        ingest_app, "KeyBudgets", lambda events, size, _clock: KeyBudgets(events, size, lambda: 0.0)
    )

    async def live() -> None:
        async with service_harness.running(tmp_path, limits=LIMITS) as made:
            await refusals_are_listed_up_to_a_hundred(made)
            await key_in_debt_waits_and_others_do_not(made)
            await refused_events_are_charged(made)
            await unpacked_bytes_are_charged(made)
            await unfinished_bodies_count_until_they_end(made)
            await bodies_of_the_control_plane_are_strict(made)

    with service_harness.migrated("sqlite", tmp_path):
        asyncio.run(live())


async def refusals_are_listed_up_to_a_hundred(made: Running) -> None:
    key = await new_key(made)
    answer = await post(made, key, gzip.compress(b"{}\n" * 900, mtime=0), PACKED)
    assert answer.status_code == 422
    assert (len(answer.json()["refused"]), answer.json()["refused_total"]) == (100, 900)
    assert [one["index"] for one in answer.json()["refused"]] == list(range(100))
    mixed = await post(made, key, b"{}\n" * 50 + events(1, "m") + b"{}\n" * 50)
    assert (mixed.json()["accepted"], mixed.json()["refused_total"]) == (1, 100)
    metrics = (await made.ask("GET", "/metrics")).content
    assert b'wavebreak_events_refused_total{cause="missing_field"} 1000.0' in metrics


async def key_in_debt_waits_and_others_do_not(made: Running) -> None:
    key, other = await new_key(made), await new_key(made)
    for n in range(4):
        assert (await post(made, key, events(500, f"a{n}"))).status_code == (202 if n < 3 else 429)
    answer = await post(made, key, events(1, "b"))
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["retry-after"]) <= 12
    assert "budget" in answer.json()["detail"]
    assert (await post(made, other, events(300, "c"))).json()["accepted"] == 300


async def refused_events_are_charged(made: Running) -> None:
    key = await new_key(made)
    statuses = [(await post(made, key, b"{}\n" * 500)).status_code for _ in range(4)]
    assert statuses == [422, 422, 422, 429]


async def unpacked_bytes_are_charged(made: Running) -> None:
    key, bomb = await new_key(made), gzip.compress(b" " * (20 << 20), mtime=0)
    statuses = [(await post(made, key, bomb, PACKED)).status_code for _ in range(25)]
    assert statuses[0] == 413
    assert statuses[-1] == 429


async def unfinished_bodies_count_until_they_end(made: Running) -> None:
    app = IngestApp(made.service, made.context.key_ring.authorize, no_page, lambda: None)
    one, two, three = [await new_key(made) for _ in range(3)]
    first, again, second, third = [Upload(app, key) for key in (one, one, two, three)]
    await first.send(40_000)
    assert made.service.progress().waiting_bytes == 40_000
    await again.send(40_000)
    assert await again.status() == 503
    await second.send(40_000)
    assert made.service.progress().waiting_bytes == 80_000
    await third.send(40_000)
    assert await third.status() == 503
    for upload in (first, second):
        await upload.disconnect()
    assert made.service.progress().waiting_bytes == 0


class Upload:
    """A request whose body arrives in parts."""

    def __init__(self, app: IngestApp, key: str) -> None:
        self._parts: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._answers: list[Any] = []
        headers = [
            (b"authorization", f"Bearer {key}".encode()),
            (b"content-type", b"application/json"),
        ]
        scope = {"type": "http", "path": "/v1/events", "method": "POST", "headers": headers}
        self._task = asyncio.create_task(app(scope, self._parts.get, self._answer))

    async def _answer(self, message: Any) -> None:
        self._answers.append(message)

    async def send(self, size: int) -> None:
        part = {"type": "http.request", "body": b"x" * size, "more_body": True}
        await self._parts.put(part)
        for _ in range(5):
            await asyncio.sleep(0)

    async def disconnect(self) -> None:
        await self._parts.put({"type": "http.disconnect"})
        await self._task

    async def status(self) -> int:
        await self._task
        return int(self._answers[0]["status"])


async def no_page(scope: Any, receive: Any, send: Any) -> None:
    """Answer nothing."""


async def bodies_of_the_control_plane_are_strict(made: Running) -> None:
    start = '{"scopes":["read"],"reason":"for a test of it","name":"n",'
    for body, status in (
        ("[" * 30_000 + "]" * 30_000, 400),
        ("[" * 60_000 + "]" * 60_000, 413),
        (start + '"name":"m"}', 400),
        (start + '"rate":5e-324}', 422),
        (start + '"rate":1e-300}', 422),
        ('{"scopes":["read"],"name":"n","reason":"        "}', 422),
    ):
        headers = {"content-type": "application/json"}
        answer = await made.ask("POST", "/v1/keys", content=body, headers=headers)
        assert (answer.status_code, body[:40]) == (status, body[:40])


@pytest.mark.parametrize("seconds", [1e300, float("inf")])
def test_retry_after_is_at_most_a_day(seconds: float) -> None:
    error = ApiError(429, "rate limit exceeded", retry_after_s=seconds)
    assert describe_error(error).headers["Retry-After"] == "86400"
