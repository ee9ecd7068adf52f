"""Problem details (RFC 9457): the one error format of the service.

`describe_error` maps an exception to an `ErrorResponse`; the ASGI apps and the Django API only
differ in how they send it.
"""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from wavebreak.durations import DAY_S
from wavebreak.errors import EventError, WavebreakError
from wavebreak.schema.events import Refusal

MEDIA_TYPE = "application/problem+json"
_FIX = " — fix: "
MAX_RETRY_AFTER_S = DAY_S
"""A key with next to no rate would have to wait for years."""

DESCRIPTIONS = {
    400: "Malformed request",
    401: "Missing or unknown API key",
    403: "API key lacks the scope",
    404: "Not found",
    405: "Method not allowed",
    409: "Conflict",
    413: "Request body too large",
    415: "Unsupported media type",
    422: "Invalid value",
    429: "Rate limit exceeded",
    503: "Service unavailable",
}
"""What each status of a problem means, for the OpenAPI document."""


class Problem(Struct, frozen=True, kw_only=True):
    """Problem details (RFC 9457). They never repeat a value of the request."""

    type: Annotated[str, Meta(description="about:blank: see `status`")]
    title: str
    status: int
    detail: str
    fix: Annotated[str, Meta(description="how to change the request")] | UnsetType = UNSET
    cause: Annotated[str, Meta(description="why an event was rejected")] | UnsetType = UNSET
    field: Annotated[str, Meta(description="the field that is wrong")] | UnsetType = UNSET


class ApiError(WavebreakError):
    """An error with an HTTP status; `retry_after_s` becomes a Retry-After header.

    `cause` and `field` are those of a rejected event.
    """

    def __init__(
        self,
        status: int,
        what: str,
        *,
        fix: str = "",
        retry_after_s: float = 0,
        cause: str = "",
        field: str = "",
    ) -> None:
        super().__init__(what, fix=fix)
        self.status, self.retry_after_s = status, retry_after_s
        self.cause, self.field = cause, field


class RejectedEvent(Struct, frozen=True):
    """A rejected event: its index in the body, the cause, the field, the reason and the fix."""

    index: int
    cause: str
    field: str
    reason: str
    fix: str = ""


def rejected_event(refusal: Refusal) -> RejectedEvent:
    """Return a refusal as responses show it.

    >>> one = rejected_event(Refusal(3, "bad_json", "", "line 3: not JSON — fix: write JSON"))
    >>> one.index, one.reason, one.fix
    (2, 'line 3: not JSON', 'write JSON')
    """
    reason, _, fix = refusal.message.partition(_FIX)
    return RejectedEvent(refusal.line - 1, refusal.cause, refusal.field, reason, fix)


def rejection(refusal: Refusal) -> ApiError:
    """Return the error of a request whose event was rejected."""
    one = rejected_event(refusal)
    return ApiError(422, one.reason, fix=one.fix, cause=one.cause, field=one.field)


class ErrorResponse(NamedTuple):
    """An error as it is sent: status, headers beside Content-Type, and the JSON body."""

    status: int
    headers: dict[str, str]
    body: bytes


def encode_problem(
    status: int, detail: str, fix: str = "", *, cause: str = "", field: str = "", **members: Any
) -> bytes:
    """Encode the problem details of a status; `members` are extension members.

    >>> encode_problem(404, "no such path")
    b'{"type":"about:blank","title":"Not Found","status":404,"detail":"no such path"}'
    """
    title = HTTPStatus(status).phrase
    problem = Problem(
        type="about:blank",
        title=title,
        status=status,
        detail=detail,
        fix=fix or UNSET,
        cause=cause or UNSET,
        field=field or UNSET,
    )
    return msgspec.json.encode(msgspec.to_builtins(problem) | members if members else problem)


def error_status(error: WavebreakError) -> int:
    """Return the HTTP status of an error: its own `status`, 400 for a bad event, else 500."""
    status: int = getattr(error, "status", 400 if isinstance(error, EventError) else 500)
    return status


def describe_error(error: WavebreakError) -> ErrorResponse:
    """Return the response to an error.

    >>> describe_error(ApiError(429, "rate limit exceeded", retry_after_s=0.2)).headers
    {'Retry-After': '1'}
    """
    status = error_status(error)
    headers = {}
    if retry_after_s := getattr(error, "retry_after_s", 0.0):
        headers["Retry-After"] = str(math.ceil(min(retry_after_s, MAX_RETRY_AFTER_S)))
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    cause, field = getattr(error, "cause", ""), getattr(error, "field", "")
    body = encode_problem(status, error.what, error.fix, cause=cause, field=field)
    return ErrorResponse(status, headers, body)
