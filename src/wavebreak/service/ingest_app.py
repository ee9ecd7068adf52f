"""The hot path's front: a bare ASGI app for /v1/events and /v1/decide; all else goes to Django."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import msgspec

from wavebreak.errors import EventError, WavebreakError
from wavebreak.io.line_splitter import MAX_LINE
from wavebreak.service import cloudevents
from wavebreak.service.idempotency import told
from wavebreak.service.pending_requests import Accepted, BusyError, RepeatedKeyError, error_location
from wavebreak.service.request_decoder import Body, TooLargeError
from wavebreak.service.service import Service

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_FORMS = {
    b"application/json": "json",
    b"application/x-ndjson": "lines",
    b"application/jsonl": "lines",
    b"application/x-jsonlines": "lines",
    b"application/cloudevents+json": "cloudevents",
    b"application/cloudevents-batch+json": "cloudevents-batch",
    b"application/vnd.apache.arrow.stream": "arrow",
}
_ENCODINGS = {b"": "", b"identity": "", b"gzip": "gzip", b"zstd": "zstd"}
_KEY_BYTES = 255
_SAFE = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
)


@dataclass(frozen=True, slots=True)
class Allowed:
    """A caller that may: the id of its key."""

    key_id: str = ""


@dataclass(frozen=True, slots=True)
class Denied:
    """A caller that may not: 401, 403 or 429, and why."""

    status: int
    detail: str
    retry_after_s: float = 0.0


Guard = Callable[[bytes | None, str], Allowed | Denied]


def anybody(_authorization: bytes | None, _scope: str) -> Allowed | Denied:
    """Let everybody in: for a service that only its own machine reaches."""
    return Allowed()


class _RefusedError(WavebreakError):
    """A request that is answered with an error before it reaches the service."""

    def __init__(self, status: int, what: str, *, fix: str = "", retry_after_s: float = 0) -> None:
        super().__init__(what, fix=fix)
        self.status, self.retry_after_s = status, retry_after_s


def problem(status: int, detail: str, **more: Any) -> bytes:
    """Give a problem document (RFC 9457).

    >>> problem(404, "no such path")
    b'{"type":"about:blank","title":"Not Found","status":404,"detail":"no such path"}'
    """
    title = HTTPStatus(status).phrase
    told = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return msgspec.json.encode(told | more)


class Ingest:
    """The ASGI app. `guard` decides who may, `rest` answers what is not of the hot path.

    `failed` is called when the service cannot start.
    """

    def __init__(
        self, service: Service, guard: Guard, rest: App, failed: Callable[[], None]
    ) -> None:
        self.service, self.guard, self.rest, self.failed = service, guard, rest, failed
        self._paths = {"/v1/events": self._events, "/v1/decide": self._decide}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or the server's start and end."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        answer = self._paths.get(scope["path"]) if scope["type"] == "http" else None
        if answer is None:
            scope["wavebreak"] = self.service
            await self.rest(scope, receive, send)
            return
        try:
            if scope["method"] != "POST":
                raise _RefusedError(405, "only POST is answered here")
            status, body = await answer(scope, receive)
            await _send(send, status, body)
        except WavebreakError as error:
            await self._refuse(error, send)
        except Exception as error:
            self.service.counts["errors"] += 1
            self.service.said(f"failed: {error_location(error)}")
            await _send(send, 500, problem(500, "the service failed"), problem_document=True)

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

    def _allowed(self, headers: dict[bytes, bytes], scope: str) -> Allowed:
        verdict = self.guard(headers.get(b"authorization"), scope)
        if isinstance(verdict, Allowed):
            return verdict
        raise _RefusedError(verdict.status, verdict.detail, retry_after_s=verdict.retry_after_s)

    async def _events(self, scope: Scope, receive: Receive) -> tuple[int, bytes]:
        headers = dict(scope["headers"])
        caller = self._allowed(headers, "ingest")
        body = await self._body(headers, receive)
        key = headers.get(b"idempotency-key", b"")
        if len(key) > _KEY_BYTES:
            raise _RefusedError(400, f"Idempotency-Key is longer than {_KEY_BYTES} bytes")
        name = key.decode("latin-1")
        accepted: Accepted = await self.service.accept(body, sender=caller.key_id, key=name)
        if not accepted.count and accepted.refused:
            answer = msgspec.json.decode(told(accepted))
            return 422, problem(422, "no event was taken", **answer)
        return 202, told(accepted)

    async def _decide(self, scope: Scope, receive: Receive) -> tuple[int, bytes]:
        """Answer one event: what it would lead to, or with `mode=record` what it has led to."""
        headers = dict(scope["headers"])
        caller = self._allowed(headers, "decide")
        modes = {b"": "ask", b"mode=ask": "ask", b"mode=record": "record"}
        mode = modes.get(scope["query_string"])
        if mode is None:
            raise _RefusedError(400, "the query is not understood", fix="mode=ask or mode=record")
        media = headers.get(b"content-type", b"").split(b";")[0].strip().lower()
        if media != b"application/json" or headers.get(b"content-encoding"):
            raise _RefusedError(415, "one event in JSON is read here", fix="application/json")
        content = await self._content(headers, receive, at_most=MAX_LINE)
        answer = await self.service.decide(content, mode, sender=caller.key_id)
        return 200, msgspec.json.encode(answer)

    async def _body(self, headers: dict[bytes, bytes], receive: Receive) -> Body:
        """Read a request's body, within limits, and what it says that it is."""
        media = headers.get(b"content-type", b"").split(b";")[0].strip().lower()
        encoding = headers.get(b"content-encoding", b"").strip().lower()
        binary = b"ce-specversion" in headers and media in (b"", b"application/json")
        if media not in _FORMS and not binary:
            known = ", ".join(m.decode() for m in _FORMS)
            raise _RefusedError(415, "this Content-Type is not read", fix=f"send one of {known}")
        if encoding not in _ENCODINGS:
            raise _RefusedError(415, "this Content-Encoding is not read", fix="gzip, zstd or none")
        content = await self._content(headers, receive)
        if binary:
            if encoding:
                raise _RefusedError(415, "a binary CloudEvent is not compressed")
            return Body(cloudevents.of_headers(headers, content), "lines")
        return Body(content, _FORMS[media], _ENCODINGS[encoding])

    async def _content(
        self, headers: dict[bytes, bytes], receive: Receive, *, at_most: int = 0
    ) -> bytes:
        limit = at_most or self.service.settings.limits.body
        too_large = _RefusedError(413, f"the body is larger than {limit} bytes", fix="send parts")
        length = headers.get(b"content-length", b"0")
        declared = int(length) if length.isdigit() else 0
        if declared > limit:
            raise too_large
        if not at_most:
            self.service.room_for(declared)
        parts, size, more = [], 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _RefusedError(400, "the body broke off")
            part = message.get("body", b"")
            size += len(part)
            if size > limit:
                raise too_large
            parts.append(part)
            more = message.get("more_body", False)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def _refuse(self, error: WavebreakError, send: Send) -> None:
        status, retry_after_s = 400, 0.0
        if isinstance(error, BusyError):
            status, retry_after_s = 503, error.retry_after_s
        elif isinstance(error, RepeatedKeyError):
            status = error.status
        elif isinstance(error, TooLargeError):
            status = 413
        elif isinstance(error, _RefusedError):
            status, retry_after_s = error.status, error.retry_after_s
        elif not isinstance(error, EventError):
            status = 500
        self.service.counts[f"answers.{status}"] += 1
        more = {"fix": error.fix} if error.fix else {}
        headers = [(b"retry-after", str(math.ceil(retry_after_s)).encode())] * (retry_after_s > 0)
        if status == 405:
            headers.append((b"allow", b"POST"))
        if status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        await _send(
            send, status, problem(status, error.what, **more), headers, problem_document=True
        )


async def _send(
    send: Send, status: int, body: bytes, more: list[tuple[bytes, bytes]] | None = None, *,
    problem_document: bool = False,
) -> None:  # fmt: skip
    bad = problem_document or status >= 400
    media = b"application/problem+json" if bad else b"application/json"
    headers = [
        (b"content-type", media), (b"content-length", str(len(body)).encode()), *_SAFE,
        *(more or []),
    ]  # fmt: skip
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
