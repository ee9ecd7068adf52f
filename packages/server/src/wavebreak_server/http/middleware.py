"""ASGI middleware of every request: metrics, traces, security headers, and limits of bodies.

Django reads a body before it asks who sends it. Here the key of an API operation is checked first,
and a body that the operation does not take is not read.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, lru_cache
from typing import Any, NamedTuple

from django.conf import settings
from opentelemetry.trace import Tracer

from wavebreak_server.errors import MEDIA_TYPE, ApiError, describe_error
from wavebreak_server.http.app_context import AppContext
from wavebreak_server.http.auth import Denied
from wavebreak_server.http.ingest_app import CALLER, HOT_PATHS, App, Receive, Scope, Send
from wavebreak_server.http.openapi import SECURITY_SCHEME

MAX_BODY = 1 << 20
"""Maximum bytes of a body for Django, which would write a larger one to disk."""
SMALL_BODY = 64 << 10
"""Maximum bytes of a body of most operations, and of a page's form without a session."""
MAX_BODIES = 64 << 20
"""Maximum bytes of all bodies that are read for Django at once."""
_LARGE_BODIES = frozenset({"/v1/labels", "/v1/states/query"})
_PAGES = ("/console", "/notice/", "/appeal/", "/help/", "/business/")
"""Paths whose forms the console's pages take, with sessions instead of keys."""
HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_CONTENT_POLICY = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
_NO_STORE = (b"cache-control", b"no-store")
_METHODS = frozenset({"GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"})


class Operation(NamedTuple):
    """The scopes of which an operation needs one (none: no key), and the bytes of its body."""

    scopes: tuple[str, ...]
    body: int


class Operations:
    """The operations that an API declares, by route and method.

    Args:
        document: The OpenAPI document.

    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        # Longest first: an account's id may hold slashes, as in the API's own routes.
        paths = sorted(document["paths"], key=len, reverse=True)
        self._plain = frozenset(path for path in paths if "{" not in path)
        self._patterns = tuple((_pattern(path), path) for path in paths if "{" in path)
        self._declared = {
            (route, method.upper()): _operation(route, operation)
            for route, methods in document["paths"].items()
            for method, operation in methods.items()
        }

    def route_of(self, path: str) -> str:
        """Return the declared route of a request's path, or `other`.

        >>> paths = "/v1/events", "/v1/accounts/{account}", "/v1/accounts/{account}/override"
        >>> declared = Operations({"paths": {path: {} for path in paths}})
        >>> [declared.route_of(path) for path in ("/v1/accounts/ann", "/v1/events", "/x")]
        ['/v1/accounts/{account}', '/v1/events', 'other']
        >>> declared.route_of("/v1/accounts/a/b/override")
        '/v1/accounts/{account}/override'
        """
        if path in self._plain:
            return path
        matching = (route for pattern, route in self._patterns if pattern.fullmatch(path))
        return next(matching, "other")

    def get(self, route: str, method: str) -> Operation | None:
        """Return the operation of a route and a method, if it is declared."""
        return self._declared.get((route, method))


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"{\w+}", "[^/]+", path.replace("{account}", ".+")))


def _operation(route: str, declared: Mapping[str, Any]) -> Operation:
    scopes = tuple(one[SECURITY_SCHEME][0] for one in declared.get("security", ()))
    size = MAX_BODY if route in _LARGE_BODIES else SMALL_BODY
    return Operation(scopes, size if "requestBody" in declared else 0)


class RequestMiddleware:
    """Wraps an ASGI app. `clock` returns monotonic seconds."""

    def __init__(
        self,
        app: App,
        context: AppContext,
        tracer: Tracer,
        operations: Operations,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._app, self._context, self._tracer, self._clock = app, context, tracer, clock
        self._operations = operations
        self._metrics, self._held = context.metrics, 0
        # Looking a metric's child up by its labels takes twice as long as counting.
        self._cached_counters = cache(self._counters)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request: trace it, limit its body, count the response."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["wavebreak.context"] = self._context
        await self._context.load_unknown(_authorization(scope))
        route, began = self._operations.route_of(scope["path"]), self._clock()

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
            try:
                at_most = self._admit(scope, route)
                with self._holding() as hold:
                    body = await _read_body(receive, at_most, hold) if at_most else b""
                    await self._app(scope, _replay(body, receive), send_counted)
            except ApiError as error:
                await _send_error(send_counted, error)

    def _admit(self, scope: Scope, route: str) -> int:
        """Return how many bytes of a body are read; raises ApiError (401, 403, 429) before any."""
        operation = self._operations.get(route, scope["method"])
        headers = dict(scope["headers"])
        if operation is None:
            if not scope["path"].startswith(_PAGES):
                return 0
            cookie = f"{settings.SESSION_COOKIE_NAME}=".encode()
            return MAX_BODY if cookie in headers.get(b"cookie", b"") else SMALL_BODY
        if operation.scopes:
            verdict = self._context.key_ring.authorize(
                headers.get(b"authorization"), *operation.scopes
            )
            if isinstance(verdict, Denied):
                raise ApiError(
                    verdict.status,
                    verdict.detail,
                    fix=verdict.fix,
                    retry_after_s=verdict.retry_after_s,
                )
            # `api.requests.ApiKeyAuth` does not charge the key again.
            scope[CALLER] = (operation.scopes, verdict.key_id)
        return operation.body

    @contextmanager
    def _holding(self) -> Iterator[Callable[[int], None]]:
        """Give what counts bytes that are held while the block runs."""
        own = 0

        def hold(size: int) -> None:
            nonlocal own
            if self._held + size > MAX_BODIES:
                raise ApiError(
                    503, "too many bodies are being read", fix="try again later", retry_after_s=1
                )
            own, self._held = own + size, self._held + size

        try:
            yield hold
        finally:
            self._held -= own

    def _count(self, route: str, method: str, status: int, began: float) -> None:
        requests, seconds = self._cached_counters(
            route, method if method in _METHODS else "other", status
        )
        requests.inc()
        seconds.observe(self._clock() - began)

    def _counters(self, route: str, method: str, status: int) -> tuple[Any, Any]:
        metrics = self._metrics
        return metrics.requests.labels(route, method, str(status)), metrics.seconds.labels(route)


def _authorization(scope: Scope) -> bytes | None:
    return next((value for name, value in scope["headers"] if name == b"authorization"), None)


def _with_headers(headers: list[Any]) -> list[Any]:
    return headers + _missing_headers(tuple(bytes(name).lower() for name, _ in headers))


@lru_cache(256)
def _missing_headers(present: tuple[bytes, ...]) -> list[tuple[bytes, bytes]]:
    defaults = (*HEADERS, _CONTENT_POLICY, _NO_STORE)
    return [(name, value) for name, value in defaults if name not in present]


async def _read_body(receive: Receive, at_most: int, hold: Callable[[int], None]) -> bytes:
    """Return the whole body; raises ApiError if it is too large, or is never complete.

    Its time is bounded by the HTTP protocol.
    """
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ApiError(400, "the client disconnected before the body was complete")
        part = message.get("body", b"")
        if len(body) + len(part) > at_most:
            raise ApiError(413, f"the body exceeds {at_most} bytes", fix="send a smaller body")
        hold(len(part))
        body += part
        if not message.get("more_body", False):
            return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives a body, and drops what else arrives until the disconnect."""
    pending: list[Scope] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Scope:
        if pending:
            return pending.pop()
        while (message := await receive())["type"] == "http.request":
            pass
        return message

    return receive_again


async def _send_error(send: Send, error: ApiError) -> None:
    response = describe_error(error)
    headers = [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", str(len(response.body)).encode()),
        *((name.lower().encode(), value.encode()) for name, value in response.headers.items()),
    ]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})
