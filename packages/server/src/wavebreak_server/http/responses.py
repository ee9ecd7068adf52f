"""What every response has, the problem that it may be, and how the body of a request is read.

Django, the ASGI apps and the protocol of a connection send in their ways what is made here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from functools import lru_cache
from typing import Any

import structlog
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse

from wavebreak.errors import WavebreakError
from wavebreak_server.errors import ApiError, ErrorResponse, describe_error

logger = structlog.stdlib.get_logger("wavebreak.api")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_RECEIVED = 64 << 20
"""Maximum bytes of a body, those that are not kept too."""
JSON, TEXT, STREAM, PAGE = "application/json", "text/plain", "text/event-stream", "text/html"
HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
)
"""Headers of a response that has none of their name."""


def with_headers(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return a response's headers, with those that every response has."""
    present = list(headers)
    return present + _missing_headers(tuple(bytes(name).lower() for name, _ in present))


@lru_cache(256)
def _missing_headers(present: tuple[bytes, ...]) -> list[tuple[bytes, bytes]]:
    return [(name, value) for name, value in HEADERS if name not in present]


def error_of(exception: Exception, route: str) -> WavebreakError:
    """Return what an exception of an operation is for its caller; logs what nobody expects."""
    if isinstance(exception, WavebreakError):
        return exception
    if isinstance(exception, DatabaseError):
        logger.warning("database error", cause=type(exception).__name__)
        return ApiError(503, "the database is unavailable", fix="try again later", retry_after_s=1)
    logger.error("request failed", route=route, exc_info=exception)
    return ApiError(500, "internal error")


def problem_response(error: WavebreakError) -> HttpResponse:
    """Return an error as a response of Django."""
    problem = describe_error(error)
    response = HttpResponse(problem.body, status=problem.status, headers=problem.headers)
    # Metrics count the statuses; Django would log each refusal, and each probe.
    setattr(response, "_has_been_logged", True)  # noqa: B010 - not in Django's type
    return response


def not_found(_request: HttpRequest, **_details: Any) -> HttpResponse:
    """Answer a request to an unknown path."""
    return problem_response(ApiError(404, "no operation at this path", fix="see /api/docs"))


def malformed(_request: HttpRequest, **_details: Any) -> HttpResponse:
    """Answer a request that Django could not read."""
    return problem_response(ApiError(400, "the request is malformed", fix="see /api/docs"))


async def send_problem(send: Send, problem: ErrorResponse) -> None:
    """Send a problem from an ASGI app."""
    await send_body(send, problem.status, problem.body, encoded_headers(problem))


def encoded_headers(problem: ErrorResponse) -> list[tuple[bytes, bytes]]:
    """Return the headers of a problem as ASGI has them."""
    return [(name.lower().encode(), value.encode()) for name, value in problem.headers.items()]


async def send_body(
    send: Send, status: int, body: bytes, headers: Iterable[tuple[bytes, bytes]]
) -> None:
    """Send a response from an ASGI app."""
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [length, *headers]})
    await send({"type": "http.response.body", "body": body})


async def read_body(
    receive: Receive, at_most: int, arrived: Callable[[int], None] | None, *, fix: str,
    keep: Callable[[bytes], bytes] | None = None,
) -> bytes:  # fmt: skip
    """Return a whole body; its time is bounded by the HTTP protocol.

    Args:
        receive: The ASGI callable.
        at_most: Bytes of the body.
        arrived: Called with the bytes of each part; may raise (None: nobody counts them).
        fix: What whoever sends too much can do.
        keep: Returns the bytes of a part that count and are kept (None: all).

    Raises:
        ApiError: The body is too large (413), or is never complete (400).
    """
    parts, size, received, more = [], 0, 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ApiError(400, "the client disconnected before the body was complete")
        part = message.get("body", b"")
        received += len(part)
        part = keep(part) if keep else part
        size += len(part)
        if size > at_most or received > MAX_RECEIVED:
            raise too_large(at_most, fix)
        if arrived:
            arrived(len(part))
        parts.append(part)
        more = message.get("more_body", False)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def too_large(at_most: int, fix: str) -> ApiError:
    """Return the error of a body with too many bytes."""
    return ApiError(413, f"the body exceeds {at_most} bytes", fix=fix)
