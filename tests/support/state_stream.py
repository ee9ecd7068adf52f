"""A reader of the streams of enforcement states and of decisions, without a socket."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from support.service_harness import Running


@asynccontextmanager
async def following(
    made: Running, query: str = "", *, event: str = "state", key: str = "", last: str = ""
) -> AsyncIterator[asyncio.Queue[Any]]:
    """Follow a stream; gives a queue of (time, id, state or decision).

    Args:
        made: The service.
        query: Of the address.
        event: What is streamed: state or decision.
        key: An API key (empty: one that may decide).
        last: The Last-Event-ID (empty: none).
    """
    heard: asyncio.Queue[Any] = asyncio.Queue()
    gone = asyncio.Event()
    messages = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> dict[str, Any]:
        if message := next(messages, None):
            return message
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        for sent in message.get("body", b"").decode().split("\n\n"):
            lines = dict(line.split(": ", 1) for line in sent.splitlines() if ": " in line)
            if "data" in lines:
                assert lines["event"] == event
                heard.put_nowait((time.monotonic(), int(lines["id"]), json.loads(lines["data"])))

    headers = [(b"authorization", f"Bearer {key or made.keys['decide']}".encode())]
    if last:
        headers.append((b"last-event-id", last.encode()))
    scope = {
        "type": "http",
        "method": "GET",
        "path": f"/v1/{event}s/stream",
        "headers": headers,
        "query_string": query.encode(),
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "http",
        "server": ("service", 80),
        "client": ("127.0.0.1", 1),
    }
    stream = asyncio.ensure_future(made.app(scope, receive, send))
    try:
        yield heard
    finally:
        gone.set()
        await asyncio.wait_for(stream, 20)


async def next_state(heard: asyncio.Queue[Any]) -> Any:
    return (await asyncio.wait_for(heard.get(), 20))[2]
