"""ASGI middleware of every request: metrics, traces, security headers, and limits of bodies.

Django reads a body before it asks who sends it. Here the key of an API operation is checked first,
and a body that the operation does not take is not read.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from django.conf import settings
from opentelemetry.trace import Tracer

from wavebreak_server.errors import ApiError, describe_error
from wavebreak_server.http import responses
from wavebreak_server.http.app_context import AppContext
from wavebreak_server.http.auth import require
from wavebreak_server.http.form_files import FileClamp
from wavebreak_server.http.ingest_app import HOT_PATHS
from wavebreak_server.http.operations import (
    BUSY,
    CALLER,
    MAX_BODY,
    SMALL_BODY,
    TOO_LARGE,
    Operation,
)

MAX_BODIES = 64 << 20
"""Maximum bytes of all bodies that are read for Django at once."""
_PAGES = ("/console", "/notice/", "/appeal/", "/help/", "/business/")
"""Paths whose forms the console's pages take, with sessions instead of keys."""
_UNREAD = {413: TOO_LARGE, 503: BUSY}
"""Errors of a form's body that its page says."""
_METHODS = frozenset({"GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"})


class Operations:
    """The operations that an API declares, by route and method."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        self._declared = {(one.route, one.method): one for one in operations if one.listed}
        # Longest first: an account's id may hold slashes, as in the API's own routes.
        routes = sorted({route for route, _ in self._declared}, key=len, reverse=True)
        self._plain = frozenset(route for route in routes if "{" not in route)
        self._patterns = tuple((_pattern(route), route) for route in routes if "{" in route)

    def route_of(self, path: str) -> str:
        """Return the declared route of a request's path, or `other`.

        >>> paths = "/v1/events", "/v1/accounts/{account}", "/v1/accounts/{account}/override"
        >>> declared = Operations(Operation("GET", path, "name", "") for path in paths)
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


class RequestMiddleware:
    """Wraps an ASGI app. `clock` returns monotonic seconds."""

    def __init__(
        self,
        app: responses.App,
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

    async def __call__(
        self, scope: responses.Scope, receive: responses.Receive, send: responses.Send
    ) -> None:
        """Handle a request: trace it, limit its body, count the response."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["wavebreak.context"] = self._context
        await self._context.load_unknown(_authorization(scope))
        route, began = self._operations.route_of(scope["path"]), self._clock()

        async def send_counted(message: responses.Scope) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = responses.with_headers(message.get("headers", ()))
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
                    body = await self._read(scope, receive, at_most, hold)
                    await self._app(scope, _replay(body, receive), send_counted)
            except ApiError as error:
                await responses.send_problem(send_counted, describe_error(error))

    async def _read(
        self,
        scope: responses.Scope,
        receive: responses.Receive,
        at_most: int,
        hold: Callable[[int], None],
    ) -> bytes:
        """Return the body; of a page's form that cannot be read none, and the page says why."""
        if not at_most:
            return b""
        is_page = scope["path"].startswith(_PAGES)
        clamp = FileClamp.of(dict(scope["headers"]).get(b"content-type", b"")) if is_page else None
        try:
            return await responses.read_body(
                receive,
                at_most,
                hold,
                fix="send a smaller body",
                keep=clamp.keep if clamp else None,
            )
        except ApiError as error:
            if not is_page or error.status not in _UNREAD:
                raise
            scope[_UNREAD[error.status]] = True
            return b""

    def _admit(self, scope: responses.Scope, route: str) -> int:
        """Return how many bytes of a body are read; raises ApiError (401, 403, 429) before any."""
        operation = self._operations.get(route, scope["method"])
        headers = dict(scope["headers"])
        if operation is None:
            if not scope["path"].startswith(_PAGES):
                return 0
            cookie = f"{settings.SESSION_COOKIE_NAME}=".encode()
            return MAX_BODY if cookie in headers.get(b"cookie", b"") else SMALL_BODY
        if operation.scopes:
            ring = self._context.key_ring
            caller = require(ring.authorize(headers.get(b"authorization"), *operation.scopes))
            # `Operation.respond` does not charge the key again.
            scope[CALLER] = (operation.scopes, caller.key_id)
        return operation.max_body if operation.takes_body else 0

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


def _authorization(scope: responses.Scope) -> bytes | None:
    return next((value for name, value in scope["headers"] if name == b"authorization"), None)


def _replay(body: bytes, receive: responses.Receive) -> responses.Receive:
    """Return a `receive` that gives a body, and drops what else arrives until the disconnect."""
    pending: list[responses.Scope] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> responses.Scope:
        if pending:
            return pending.pop()
        while (message := await receive())["type"] == "http.request":
            pass
        return message

    return receive_again
