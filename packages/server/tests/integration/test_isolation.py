"""Receivers that hang, streams and keys: what one of them does, nothing else waits for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
from django.db import connection
from standardwebhooks.webhooks import Webhook as Verifier

from support import service_harness
from support.service_harness import Running, abuser, migrated, running
from support.webhook_receiver import HostileReceiver, Receiver, listening
from wavebreak_server.http.app_context import run_in_transaction
from wavebreak_server.http.streams import MAX_STREAMS_PER_KEY
from wavebreak_server.slices.keys import service as api_keys
from wavebreak_server.slices.webhooks.service import RetryPolicy, WebhookDispatcher, webhook_secret
from wavebreak_server.storage.models import ApiKey, Webhook

BECAUSE = "because a test asks for it"
SLOW = RetryPolicy(answer_s=60.0, whole_s=60.0)
HOSTILE = 100
STREAM = "/v1/decisions/stream"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    with migrated("sqlite", tmp_path):
        yield tmp_path


async def until(found: Any, seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not found():
            await asyncio.sleep(0.02)


async def add_webhook(made: Running, url: str, status: int = 201, **more: Any) -> Any:
    answer = await made.ask("POST", "/v1/webhooks", json={"url": url, "reason": BECAUSE, **more})
    assert answer.status_code == status, answer.text
    return answer.json()


async def audited(made: Running, action: str) -> list[Any]:
    entries = (await made.ask("GET", "/v1/audit?limit=1000")).json()["entries"]
    return [one for one in entries if one["action"] == action]


def revoke(text: str) -> None:
    """Revoke a key in the database, as the command line does."""
    prefix = text.split("_")[1]
    run_in_transaction(lambda: api_keys.revoke_key(prefix, service_harness.now_ms(), "me", BECAUSE))


class Stream:
    """A stream of decisions, read over ASGI as it comes; `status` is that of its head."""

    def __init__(self, made: Running, key: str) -> None:
        self.status, self.lines = 0, list[bytes]()
        self._gone = asyncio.Event()
        self.task = asyncio.ensure_future(self._read(made, key))

    async def _read(self, made: Running, key: str) -> None:
        scope = {
            "type": "http", "http_version": "1.1", "method": "GET", "path": STREAM,
            "raw_path": STREAM.encode(), "query_string": b"", "root_path": "", "scheme": "http",
            "headers": [(b"authorization", f"Bearer {key}".encode()), (b"host", b"service")],
            "server": ("service", 80), "client": ("127.0.0.1", 1),
        }  # fmt: skip
        asked = False

        async def receive() -> Any:
            nonlocal asked
            if not asked:
                asked = True
                return {"type": "http.request", "body": b"", "more_body": False}
            await self._gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                self.status = message["status"]
            else:
                self.lines.append(message.get("body", b""))

        await made.app(scope, receive, send)

    async def aclose(self) -> None:
        """Go away, as a client does."""
        self._gone.set()
        await asyncio.wait({self.task}, timeout=10)


@asynccontextmanager
async def besieged(
    home: Path, receiver: HostileReceiver
) -> AsyncIterator[tuple[Running, WebhookDispatcher]]:
    """A service with as many webhooks as there may be, all but one of which never answer."""
    held = service_harness.context()
    dispatcher = WebhookDispatcher(held, Random(1), SLOW)
    async with running(home, held=held, background=[dispatcher]) as made:
        for n in range(HOSTILE - 1):
            await add_webhook(made, receiver.url(str(n)))
        await made.send(abuser())
        await until(lambda: receiver.opened >= HOSTILE - 1)
        yield made, dispatcher


@pytest.mark.parametrize("drips", [False, True])
def test_hostile_receivers_delay_nothing_else(home: Path, drips: bool) -> None:
    async def run() -> None:
        with listening(Receiver()) as healthy, HostileReceiver(drips=drips) as hostile:
            async with besieged(home, hostile) as (made, dispatcher):
                async with asyncio.timeout(20):
                    # Django answers errors in a pool of the event loop.
                    assert (await made.ask("GET", "/v1/decisions?limit=0")).status_code == 422
                    assert (await made.ask("GET", "/v1/decisions", "")).status_code == 401
                    await asyncio.to_thread(revoke, made.keys["decide"])
                    await made.context.refresh()
                    answer = await made.ask("POST", "/v1/decide", made.keys["decide"], json={})
                    assert answer.status_code == 401
                    async with aclosing(Stream(made, made.keys["read"])) as stream:
                        await until(lambda: any(b"event: decision" in one for one in stream.lines))
                    await add_webhook(made, healthy.url)
                    await made.send(abuser(account="bob", ts=1_767_222_060_000))
                    await until(lambda: healthy.requests)
                async with asyncio.timeout(15):
                    await made.service.stop()
                await until(lambda: not dispatcher.in_flight)

    asyncio.run(run())


def test_stream_ends_when_its_key_no_longer_reads(home: Path) -> None:
    def lose_scope(text: str) -> None:
        key = ApiKey.objects.get(prefix=text.split("_")[1])
        key.scopes = "ingest"
        key.save()
        connection.close()

    async def run() -> None:
        async with running(home) as made:
            for change, key in ((revoke, made.keys["read"]), (lose_scope, made.key)):
                async with aclosing(Stream(made, key)) as stream:
                    await until(lambda stream=stream: stream.lines)
                    await asyncio.to_thread(change, key)
                    await made.context.refresh()
                    async with asyncio.timeout(10):
                        await stream.task
            assert made.context.open_streams.total() == 0

    asyncio.run(run())


def test_one_key_opens_only_so_many_streams(home: Path) -> None:
    async def run() -> None:
        async with running(home) as made:
            opened = [Stream(made, made.keys["read"]) for _ in range(MAX_STREAMS_PER_KEY)]
            await until(lambda: all(one.lines for one in opened))
            answer = await made.ask("GET", STREAM, made.keys["read"])
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
            async with aclosing(Stream(made, made.key)) as another:
                await until(lambda: another.lines)
                assert another.status == 200
            await asyncio.gather(*(one.aclose() for one in opened))
            await until(lambda: not made.context.open_streams)

    asyncio.run(run())


def test_webhook_that_fails_for_long_is_disabled(home: Path) -> None:
    async def run() -> None:
        held = service_harness.context()
        policy = RetryPolicy(first_s=0.05, factor=1.0, disable_after_s=0.2)
        dispatcher = WebhookDispatcher(held, Random(1), policy)
        with listening(Receiver()) as heard:
            heard.answers = [500] * 1000
            async with running(home, held=held, background=[dispatcher]) as made:
                hook = await add_webhook(made, heard.url, min_outcome="ban")
                await made.send(abuser())

                async def state() -> Any:
                    return (await made.ask("GET", "/v1/webhooks")).json()["webhooks"][0]

                async with asyncio.timeout(20):
                    while (await state())["disabled_ms"] is None:
                        await asyncio.sleep(0.05)
                await until(lambda: not dispatcher.in_flight)
                assert (await state())["failing_since_ms"]
                (entry,) = await audited(made, "disable_webhook")
                assert (entry["key"], entry["object"]) == ("service", hook["id"])
                tried = len(heard.requests)
                await made.send(abuser(account="bob", ts=1_767_222_060_000))
                await asyncio.sleep(0.5)
                assert len(heard.requests) == tried
                heard.answers = []
                path = f"/v1/webhooks/{hook['id']}/enable"
                answer = await made.ask("POST", path, json={"reason": BECAUSE})
                assert answer.json()["disabled_ms"] is None
                # What it has missed is sent.
                await until(lambda: len({h["webhook-id"] for h, _ in heard.requests}) == 2)
                await until(lambda: not dispatcher.in_flight)
                assert (await state())["failing_since_ms"] is None
                assert await audited(made, "enable_webhook")
                assert (await made.ask("POST", path, json={"reason": BECAUSE})).status_code == 409

    asyncio.run(run())


@pytest.mark.parametrize(
    ("url", "insecure", "status"),
    [
        ("https://receiver.example/in", False, 201),
        ("https://receiver.example:8443/in", False, 201),
        ("https://receiver.example:22/in", False, 422),
        ("http://receiver.example/in", False, 422),
        ("http://receiver.example/in", True, 201),
        ("http://receiver.example:2525/in", True, 422),
    ],
)
def test_new_webhook_goes_to_https_and_a_usual_port(
    home: Path, url: str, insecure: bool, status: int
) -> None:
    async def run() -> None:
        held = service_harness.context()
        held.allow_private_webhooks, held.allow_insecure_webhooks = False, insecure
        held.resolver = lambda host, port: ["1.1.1.1"]
        async with running(home, held=held) as made:
            await add_webhook(made, url, status)

    asyncio.run(run())


def test_earlier_webhook_keeps_its_secret_until_rotated(home: Path) -> None:
    async def run() -> None:
        held = service_harness.context()
        held.webhook_key = b"w" * 32
        held.edge_key = service_harness.SECRET
        dispatcher = WebhookDispatcher(held, Random(1))
        with listening(Receiver()) as heard:
            async with running(home, held=held, background=[dispatcher]) as made:
                hook = await add_webhook(made, heard.url, min_outcome="ban")
                assert hook["secret"] == webhook_secret(held.webhook_key, hook["id"], 1)
                # As a webhook of version 0.2 is.
                await asyncio.to_thread(_without_own_key)
                before = webhook_secret(held.edge_key, hook["id"], 1)
                await made.send(abuser())
                await until(lambda: len(heard.requests) == 1)
                body = {"reason": BECAUSE, "grace_s": 3600}
                path = f"/v1/webhooks/{hook['id']}/rotate"
                after = (await made.ask("POST", path, json=body)).json()["secret"]
                assert after == webhook_secret(held.webhook_key, hook["id"], 2)
                await made.send(abuser(account="bob", ts=1_767_222_060_000))
                await until(lambda: len(heard.requests) == 2)
        for (headers, content), secrets in zip(
            heard.requests, ((before,), (before, after)), strict=True
        ):
            for secret in secrets:
                assert Verifier(secret).verify(content.decode(), headers)

    asyncio.run(run())


def _without_own_key() -> None:
    for webhook in Webhook.objects.all():
        webhook.own_key_from = 0
        webhook.save()
    connection.close()


def test_retry_after_rotation_is_taken_once(home: Path) -> None:
    async def run() -> None:
        async with running(home) as made:
            events, headers = abuser(3), {"Idempotency-Key": "one"}
            key, statuses = made.keys["ingest"], list[int]()
            # A successor's successor is the same sender, too.
            for _ in range(3):
                answer = await made.ask("POST", "/v1/events", key, json=events, headers=headers)
                statuses.append(answer.status_code)
                path = f"/v1/keys/{key.split('_')[1]}/rotate"
                rotated = await made.ask("POST", path, json={"reason": BECAUSE, "grace_s": 0})
                key = rotated.json()["text"]
            assert statuses == [202, 202, 202]
            await made.wait_until_applied()
            assert made.service.progress().logged == len(events)

    asyncio.run(run())


def test_recorded_event_with_a_key_is_recorded_once(home: Path) -> None:
    async def run() -> None:
        async with running(home) as made:
            event = {
                "ts": service_harness.now_ms(), "type": "message.sent", "account": "ann",
                "peer": "bob", "in_contacts": False,
            }  # fmt: skip
            path, headers = "/v1/decide?mode=record", {"Idempotency-Key": "one"}
            answers = [await made.ask("POST", path, json=event, headers=headers) for _ in range(2)]
            assert [one.status_code for one in answers] == [200, 200]
            assert [one.json()["mode"] for one in answers] == ["record", "record"]
            await made.wait_until_applied()
            assert made.service.progress().logged == 1
            changed = event | {"peer": "eve"}
            answer = await made.ask("POST", path, json=changed, headers=headers)
            assert answer.status_code == 422

    asyncio.run(run())
