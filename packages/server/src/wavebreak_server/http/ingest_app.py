"""ASGI app of the hot path: /v1/events and /v1/decide; every other path goes to Django."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Annotated

import msgspec
from msgspec import Meta

from wavebreak.errors import EventError, WavebreakError
from wavebreak.io.line_splitter import MAX_LINE
from wavebreak.outcomes import WITHOUT_NOTICE
from wavebreak.schema.events import AnyEvent
from wavebreak_server import errors
from wavebreak_server.http.app_context import AppContext
from wavebreak_server.http.auth import Allowed, Authorize, require
from wavebreak_server.http.operations import HotPath, Operation
from wavebreak_server.http.rate_limit import KeyBudgets
from wavebreak_server.http.responses import (
    JSON,
    App,
    Receive,
    Scope,
    Send,
    read_body,
    send_body,
    send_problem,
    too_large,
)
from wavebreak_server.pipeline.decide import MAX_EVENTS, DecideResponse
from wavebreak_server.pipeline.holder_notices import with_notice
from wavebreak_server.pipeline.idempotency import IngestResponse, encode_response
from wavebreak_server.pipeline.pending_requests import Accepted, error_location
from wavebreak_server.pipeline.request_decoder import Body, TooLargeError
from wavebreak_server.pipeline.service import Service

EVENTS_PATH, DECIDE_PATH = "/v1/events", "/v1/decide"
HOT_PATHS = frozenset({EVENTS_PATH, DECIDE_PATH})
_FORMS = {
    b"application/json": "json",
    b"application/x-ndjson": "lines",
    b"application/jsonl": "lines",
    b"application/x-jsonlines": "lines",
    b"application/vnd.apache.arrow.stream": "arrow",
}
EVENT_MEDIA_TYPES = tuple(
    media.decode()
    for media in _FORMS
    if media not in (b"application/jsonl", b"application/x-jsonlines")
)
_ENCODINGS = {b"": "", b"identity": "", b"gzip": "gzip", b"zstd": "zstd"}
_MODES = {b"": "ask", b"mode=ask": "ask", b"mode=record": "record", b"mode=attempt": "attempt"}
MAX_ASKED = 4 * MAX_LINE
"""Bytes of the events of one question."""
NOTICE_S = 1.0
"""How long an answer waits for the notice to the holder."""
_MAX_KEY_BYTES = 255

_KEY_PARAMETER = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "a request with the same key and body is processed once; empty: no key",
    "schema": {"type": "string", "maxLength": _MAX_KEY_BYTES},
}
_MODE_PARAMETER = {
    "name": "mode",
    "in": "query",
    "required": False,
    "description": "ask: decide without recording; record: add the events to the log; "
    "attempt: the log takes those that are refused, as acts that did not happen, and the "
    "same ids get the same answer for a day",
    "schema": {"enum": ["ask", "record", "attempt"], "default": "ask"},
}
_PROBLEMS = (400, 409, 413, 415, 422, 503)
EVENTS = Operation(
    "POST",
    EVENTS_PATH,
    "take_events",
    "Ingest events. The response is sent when they are durable in the log. A key with the scope "
    "`list` tells account.listed and account.unlisted, and no other key does.",
    ("ingest", "list"),
    _PROBLEMS,
    statuses=(202,),
    hot=HotPath(
        IngestResponse,
        (_KEY_PARAMETER,),
        {media: list[AnyEvent] if media == JSON else None for media in EVENT_MEDIA_TYPES},
    ),
)
DECIDE = Operation(
    "POST",
    DECIDE_PATH,
    "decide",
    "Decide up to 50 events of one account before they happen (`mode=ask`, or "
    "`mode=attempt`, which records what is refused) or as they happen (`mode=record`).",
    ("decide",),
    _PROBLEMS,
    hot=HotPath(
        DecideResponse,
        (_MODE_PARAMETER, _KEY_PARAMETER),
        {JSON: AnyEvent | Annotated[list[AnyEvent], Meta(min_length=1, max_length=MAX_EVENTS)]},
    ),
)
OPERATIONS = (EVENTS, DECIDE)


class IngestApp:
    """The ASGI app of the hot path.

    Args:
        authorize: Authorizes a caller for a scope.
        fallback: The app that answers all other paths.
        failed: Called when the service cannot start.
    """

    def __init__(
        self, service: Service, authorize: Authorize, fallback: App, failed: Callable[[], None]
    ) -> None:
        self.service, self.authorize = service, authorize
        self.fallback, self.failed = fallback, failed
        limits = service.settings.limits
        self._budgets = KeyBudgets(limits.key_events, limits.key_bytes, time.monotonic)
        self._handlers = {EVENTS_PATH: self._events, DECIDE_PATH: self._decide}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request, or the server's start and stop."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        handler = self._handlers.get(scope["path"]) if scope["type"] == "http" else None
        if handler is None:
            scope["wavebreak"] = self.service
            await self.fallback(scope, receive, send)
            return
        try:
            if scope["method"] != "POST":
                raise errors.ApiError(405, "only POST is allowed here", fix="use POST")
            status, body = await handler(scope, receive)
            media = errors.MEDIA_TYPE if status >= 400 else JSON
            await send_body(send, status, body, [(b"content-type", media.encode())])
        except WavebreakError as error:
            await self._send_error(error, send)
        except Exception as error:
            self.service.counts["errors"] += 1
            self.service.report(f"request failed: {error_location(error)}")
            await send_problem(send, errors.describe_error(errors.ApiError(500, "internal error")))

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self.service.start(self.failed)
                await send({"type": "lifespan.startup.complete"})
            else:
                await self.service.stop()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _events(self, scope: Scope, receive: Receive) -> tuple[int, bytes]:
        """Ingest events; the response is sent when they are durable."""
        headers = dict(scope["headers"])
        caller = require(self.authorize(headers.get(b"authorization"), *EVENTS.scopes))
        if scope.get("query_string"):
            raise errors.ApiError(422, "unknown query parameter", fix="send none")
        if caller.key_id and (wait_s := self._budgets.wait_s(caller.key_id)):
            raise errors.ApiError(
                429,
                "this key's budget of events or bytes is spent",
                fix="send fewer events, or smaller ones",
                retry_after_s=wait_s,
            )
        body = await self._read_body(headers, receive, caller.key_id)
        accepted = await self._accept(body, caller, _idempotency_key(headers))
        if not accepted.count and accepted.refused:
            members = msgspec.json.decode(encode_response(accepted))
            first = errors.rejected_event(accepted.refused[0])
            return 422, errors.encode_problem(
                422, first.reason, first.fix, cause=first.cause, field=first.field, **members
            )
        return 202, encode_response(accepted)

    async def _accept(self, body: Body, caller: Allowed, name: str) -> Accepted:
        """Pass a body on, and charge its key for it."""
        events, size = 0, 0
        try:
            accepted: Accepted = await self.service.accept(
                body, caller.sender, key=name, audit=f"POST {EVENTS_PATH}", arriving=True
            )
            events = accepted.count + accepted.refused_total
            size = max(len(body.content), accepted.unpacked)
        except EventError as error:
            too_large = isinstance(error, TooLargeError)
            size = self.service.settings.limits.unpacked if too_large else len(body.content)
            raise
        finally:
            if caller.key_id and (events or size):
                self._budgets.charge(caller.key_id, events, size)
                caller.charge_events(events)
        return accepted

    async def _decide(self, scope: Scope, receive: Receive) -> tuple[int, bytes]:
        """Decide events of one account: before they happen, or with `mode=record` since they did.

        With `mode=attempt` the log takes those that are refused, as acts that did not happen.
        """
        headers = dict(scope["headers"])
        caller = require(self.authorize(headers.get(b"authorization"), *DECIDE.scopes))
        mode = _MODES.get(scope["query_string"])
        if mode is None:
            raise errors.ApiError(
                422,
                "unknown query parameter or mode",
                fix="send mode=ask, mode=record or mode=attempt, and nothing else",
            )
        media = headers.get(b"content-type", b"").split(b";")[0].strip().lower()
        if media != b"application/json" or headers.get(b"content-encoding"):
            raise errors.ApiError(
                415, "the body must be events in JSON", fix="send Content-Type application/json"
            )
        content = await self._read_content(headers, receive, caller.key_id, at_most=MAX_ASKED)
        response = await self.service.decide(
            content, mode, caller.sender, key=_idempotency_key(headers)
        )
        context = scope.get("wavebreak.context")
        told = response.outcome not in WITHOUT_NOTICE or response.listed_by
        if context is not None and told:
            response = await self._with_notice(context, response)
        return 200, msgspec.json.encode(response)

    async def _with_notice(self, context: AppContext, response: DecideResponse) -> DecideResponse:
        """Add the notice to the holder, from when, and where; nothing of it delays an answer."""
        try:
            async with asyncio.timeout(NOTICE_S):
                return await context.executors.notices.run(
                    lambda: with_notice(response, context.holder_notices)
                )
        except TimeoutError:
            return response

    async def _read_body(self, headers: dict[bytes, bytes], receive: Receive, sender: str) -> Body:
        """Read a request's body, within limits, with its media type and encoding."""
        media = headers.get(b"content-type", b"").split(b";")[0].strip().lower()
        encoding = headers.get(b"content-encoding", b"").strip().lower()
        if media not in _FORMS:
            known = ", ".join(m.decode() for m in _FORMS)
            raise errors.ApiError(415, "unsupported Content-Type", fix=f"send one of {known}")
        if encoding not in _ENCODINGS:
            raise errors.ApiError(
                415, "unsupported Content-Encoding", fix="send gzip, zstd or none"
            )
        content = await self._read_content(headers, receive, sender)
        return Body(content, _FORMS[media], _ENCODINGS[encoding])

    async def _read_content(
        self, headers: dict[bytes, bytes], receive: Receive, sender: str, *, at_most: int = 0
    ) -> bytes:
        limit, fix = at_most or self.service.settings.limits.body, "split the batch"
        length = headers.get(b"content-length", b"0")
        declared = int(length) if length.isdigit() else 0
        if declared > limit:
            raise too_large(limit, fix)
        if not at_most:
            self.service.check_capacity(declared, sender)
        with nullcontext(None) if at_most else self.service.receiving(sender) as arrived:
            return await read_body(receive, limit, arrived, fix=fix)

    async def _send_error(self, error: WavebreakError, send: Send) -> None:
        response = errors.describe_error(error)
        self.service.counts[f"answers.{errors.error_status(error)}"] += 1
        if response.status == 405:
            response.headers["Allow"] = "POST"
        await send_problem(send, response)


def _idempotency_key(headers: dict[bytes, bytes]) -> str:
    """Return the Idempotency-Key; raises ApiError (400) if it is too long."""
    key = headers.get(b"idempotency-key", b"")
    if len(key) > _MAX_KEY_BYTES:
        raise errors.ApiError(
            400, f"Idempotency-Key is longer than {_MAX_KEY_BYTES} bytes", fix="shorten it"
        )
    return key.decode("latin-1")
