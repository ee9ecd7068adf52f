"""A reader of the stream of enforcement states, without a socket."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from support.service_harness import Running


@asynccontextmanager
async def following(made: Running, query: str = "") -> AsyncIterator[asyncio.Queue[Any]]:
    """Follow the stream of states; gives a queue of (time, id, state)."""
    heard: asyncio.Queue[Any] = asyncio.Queue()
    gone = asyncio.Event()
    messages = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> dict[str, Any]:
        if message := next(messages, None):
            return message
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        for event in message.get("body", b"").decode().split("\n\n"):
            lines = dict(line.split(": ", 1) for line in event.splitlines() if ": " in line)
            if "data" in lines:
                assert lines["event"] == "state"
                heard.put_nowait((time.monotonic(), int(lines["id"]), json.loads(lines["data"])))

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/v1/states/stream",
        "headers": [(b"authorization", f"Bearer {made.keys['decide']}".encode())],
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
