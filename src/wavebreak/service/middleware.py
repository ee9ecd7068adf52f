"""What stands before every answer: times, counts, security headers, and a cap on small bodies."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from functools import cache, lru_cache
from typing import Any

import msgspec
from opentelemetry.trace import Tracer

from wavebreak.service.api.openapi import ENDPOINTS
from wavebreak.service.app_context import Desk
from wavebreak.service.errors import MEDIA_TYPE, problem

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_BODY = 1 << 20
"""Bytes of a body that Django reads: it would keep a larger one on disk."""
BODY_S = 30.0
HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_CLOSED = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
_FRESH = (b"cache-control", b"no-store")

_HOT = frozenset(e.path for e in ENDPOINTS if e.hot)
_PLAIN = {e.path: e.path for e in ENDPOINTS if "{" not in e.path}
_PATTERNS = tuple(
    (re.compile(re.sub(r"{\w+}", "[^/]+", path)), path)
    for path in dict.fromkeys(e.path for e in ENDPOINTS if "{" in e.path)
)


def route_of(path: str) -> str:
    """The declared path that a request's path is of; `other` where there is none.

    >>> route_of("/v1/accounts/ann"), route_of("/v1/events"), route_of("/x")
    ('/v1/accounts/{account}', '/v1/events', 'other')
    """
    known = _PLAIN.get(path)
    return known or next((p for pattern, p in _PATTERNS if pattern.fullmatch(path)), "other")


class Front:
    """Wraps an ASGI app. `clock` gives seconds that only rise."""

    def __init__(
        self, app: App, desk: Desk, tracer: Tracer,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:  # fmt: skip
        self._app, self._desk, self._tracer, self._clock = app, desk, tracer, clock
        self._metrics = desk.metrics
        # A child of a metric is found by its labels, which takes as long as counting does twice.
        self._counted = cache(self._counters)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, and count it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["wavebreak.desk"] = self._desk
        route, began = route_of(scope["path"]), self._clock()

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = _with_headers(list(message.get("headers", ())))
                self._count(route, scope["method"], message["status"], began)
                span.set_attribute("http.response.status_code", message["status"])
            await send(message)

        with self._tracer.start_as_current_span(f"{scope['method']} {route}") as span:
            span.set_attribute("http.route", route)
            if route in _HOT:
                await self._app(scope, receive, answer)
                return
            body = await _read(receive)
            if body is None:
                await refuse(answer, 413, f"a body is at most {MAX_BODY} bytes here")
            else:
                await self._app(scope, _once(body, receive), answer)

    def _count(self, route: str, method: str, status: int, began: float) -> None:
        told = method if method in ("GET", "POST", "DELETE", "HEAD", "OPTIONS") else "other"
        requests, seconds = self._counted(route, told, status)
        requests.inc()
        seconds.observe(self._clock() - began)

    def _counters(self, route: str, method: str, status: int) -> tuple[Any, Any]:
        metrics = self._metrics
        return metrics.requests.labels(route, method, str(status)), metrics.seconds.labels(route)


def _with_headers(given: list[Any]) -> list[Any]:
    return given + _lacking(tuple(bytes(name).lower() for name, _ in given))


@lru_cache(256)
def _lacking(there: tuple[bytes, ...]) -> list[tuple[bytes, bytes]]:
    return [(n, v) for n, v in (*HEADERS, _CLOSED, _FRESH) if n not in there]


async def _read(receive: Receive) -> bytes | None:
    """The whole body; None where it is too large or too slow."""
    held = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            while True:
                message = await receive()
                held += message.get("body", b"")
                if len(held) > MAX_BODY or message["type"] == "http.disconnect":
                    return None
                if not message.get("more_body", False):
                    return bytes(held)
    except TimeoutError:
        return None


def _once(body: bytes, receive: Receive) -> Receive:
    told: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return told.pop() if told else await receive()

    return again


async def refuse(send: Send, status: int, detail: str) -> None:
    """Answer with a problem."""
    body = msgspec.json.encode(problem(status, detail))
    headers = [
        (b"content-type", MEDIA_TYPE.encode()), (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]  # fmt: skip
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
