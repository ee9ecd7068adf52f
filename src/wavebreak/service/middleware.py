"""ASGI middleware of every request: metrics, traces, security headers, and a body limit."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any

from opentelemetry.trace import Tracer

from wavebreak.service.api.routes import document
from wavebreak.service.app_context import AppContext
from wavebreak.service.errors import MEDIA_TYPE, ApiError, describe_error
from wavebreak.service.ingest_app import HOT_PATHS, App, Receive, Scope, Send

MAX_BODY = 1 << 20
"""Maximum bytes of a body for Django, which would write a larger one to disk."""
BODY_S = 30.0
HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_CONTENT_POLICY = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
_NO_STORE = (b"cache-control", b"no-store")
_METHODS = frozenset({"GET", "POST", "DELETE", "HEAD", "OPTIONS"})


@cache
def _route_patterns() -> tuple[frozenset[str], tuple[tuple[re.Pattern[str], str], ...]]:
    """Declared paths without parameters, and patterns of those with parameters."""
    paths = document()["paths"]
    patterns = tuple(
        (re.compile(re.sub(r"{\w+}", "[^/]+", path)), path) for path in paths if "{" in path
    )
    return frozenset(path for path in paths if "{" not in path), patterns


def route_of(path: str) -> str:
    """Return the declared route of a request's path, or `other`.

    >>> route_of("/v1/accounts/ann"), route_of("/v1/events"), route_of("/x")
    ('/v1/accounts/{account}', '/v1/events', 'other')
    """
    plain, patterns = _route_patterns()
    if path in plain:
        return path
    return next((route for pattern, route in patterns if pattern.fullmatch(path)), "other")


class RequestMiddleware:
    """Wraps an ASGI app. `clock` returns monotonic seconds."""

    def __init__(
        self,
        app: App,
        context: AppContext,
        tracer: Tracer,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._app, self._context, self._tracer, self._clock = app, context, tracer, clock
        self._metrics = context.metrics
        # Looking a metric's child up by its labels takes twice as long as counting.
        self._cached_counters = cache(self._counters)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request: trace it, limit its body, count the response."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["wavebreak.context"] = self._context
        route, began = route_of(scope["path"]), self._clock()

        async def send_counted(message: Scope) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = _with_headers(list(message.get("headers", ())))
                self._count(route, scope["method"], message["status"], began)
                span.set_attribute("http.response.status_code", message["status"])
            await send(message)

        with self._tracer.start_as_current_span(f"{scope['method']} {route}") as span:
            span.set_attribute("http.route", route)
            if route in HOT_PATHS:
                await self._app(scope, receive, send_counted)
                return
            body = await _read_body(receive)
            if body is None:
                what = f"the body exceeds {MAX_BODY} bytes or took over {BODY_S:g} s"
                await _send_error(send_counted, ApiError(413, what, fix="send a smaller body"))
            else:
                await self._app(scope, _replay(body, receive), send_counted)

    def _count(self, route: str, method: str, status: int, began: float) -> None:
        requests, seconds = self._cached_counters(
            route, method if method in _METHODS else "other", status
        )
        requests.inc()
        seconds.observe(self._clock() - began)

    def _counters(self, route: str, method: str, status: int) -> tuple[Any, Any]:
        metrics = self._metrics
        return metrics.requests.labels(route, method, str(status)), metrics.seconds.labels(route)


def _with_headers(headers: list[Any]) -> list[Any]:
    return headers + _missing_headers(tuple(bytes(name).lower() for name, _ in headers))


@lru_cache(256)
def _missing_headers(present: tuple[bytes, ...]) -> list[tuple[bytes, bytes]]:
    defaults = (*HEADERS, _CONTENT_POLICY, _NO_STORE)
    return [(name, value) for name, value in defaults if name not in present]


async def _read_body(receive: Receive) -> bytes | None:
    """Return the whole body; None if it is too large or too slow."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            while True:
                message = await receive()
                body += message.get("body", b"")
                if len(body) > MAX_BODY or message["type"] == "http.disconnect":
                    return None
                if not message.get("more_body", False):
                    return bytes(body)
    except TimeoutError:
        return None


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives a body that was read before."""
    pending: list[Scope] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Scope:
        return pending.pop() if pending else await receive()

    return receive_again


async def _send_error(send: Send, error: ApiError) -> None:
    response = describe_error(error)
    headers = [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", str(len(response.body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})
