"""Problem details (RFC 9457): the one error format of the service.

`describe_error` maps an exception to an `ErrorResponse`; the ASGI apps and the Django API only
differ in how they send it.
"""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from wavebreak.durations import DAY_S
from wavebreak.errors import EventError, ServiceError, WavebreakError
from wavebreak.schema.events import Refusal

MEDIA_TYPE = "application/problem+json"
_FIX = " — fix: "
MAX_RETRY_AFTER_S = DAY_S
"""A key with next to no rate would have to wait for years."""


class Fixes(NamedTuple):
    """The way out of an error of the domain, as each adapter says it; values stand in braces."""

    api: str
    command: str
    page: str


class ProblemType(NamedTuple):
    """A kind of problem. `what` and `fixes` are of those that the domain raises by their code."""

    status: int
    title: str
    meaning: str
    what: str = ""
    fixes: Fixes = Fixes("", "", "")


_RESTORE = "restore a backup from before the change"
_VERIFY = f"run `wavebreak ledger verify`, and {_RESTORE}"
_CHANGED = Fixes(
    f"whoever runs the service compares its database with the ledger, and can {_RESTORE}",
    _VERIFY,
    f"ask whoever runs the service to compare its database with the ledger, and to {_RESTORE}",
)

PROBLEMS: dict[str, ProblemType] = {
    # Of a status: what is wrong is in `detail`, the way out in `fix`.
    "malformed-request": ProblemType(
        400, "Bad Request", "The request, or an event of its body, cannot be read."
    ),
    "forbidden": ProblemType(
        403, "Forbidden", "The API key lacks the scope, or the person the role."
    ),
    "not-found": ProblemType(
        404, "Not Found", "There is no operation at this path, or nothing of this id."
    ),
    "method-not-allowed": ProblemType(
        405, "Method Not Allowed", "The path has other methods; the header Allow names them."
    ),
    "request-timeout": ProblemType(
        408, "Request Timeout", "The head or the body of the request took too long."
    ),
    "conflict": ProblemType(
        409, "Conflict", "What was asked for does not go with what is stored by now."
    ),
    "gone": ProblemType(410, "Gone", "It was erased."),
    "body-too-large": ProblemType(413, "Request Entity Too Large", "The body has too many bytes."),
    "unsupported-media-type": ProblemType(
        415, "Unsupported Media Type", "The body is of a type or an encoding that is not taken."
    ),
    "invalid-value": ProblemType(
        422,
        "Unprocessable Entity",
        "A parameter, a field of the body or an event has a value that is not taken. For an event "
        "`cause` and `field` say why.",
    ),
    "rate-limited": ProblemType(
        429, "Too Many Requests", "A limit is used up until the time in Retry-After."
    ),
    "head-too-large": ProblemType(
        431, "Request Header Fields Too Large", "The headers have too many bytes."
    ),
    "internal-error": ProblemType(
        500, "Internal Server Error", "The service failed; its log says where."
    ),
    "unavailable": ProblemType(
        503,
        "Service Unavailable",
        "The service, its engine or its database cannot answer now. The same request may succeed "
        "after Retry-After.",
    ),
    # Of the domain.
    "api-key-missing": ProblemType(
        401,
        "Unauthorized",
        "The API key is missing, unknown or expired.",
        "the API key is missing, unknown or expired",
        Fixes(
            "send `Authorization: Bearer wb_…` with a key of the service (`POST /v1/keys`)",
            "send `Authorization: Bearer wb_…` (`wavebreak key create` creates a key)",
            "create a key under Settings",
        ),
    ),
    "key-without-source": ProblemType(
        409,
        "Conflict",
        "Only a key that belongs to a source can declare it.",
        "this key belongs to no source",
        Fixes(
            "create a key with the field `source` (`POST /v1/keys`)",
            "create one that does: wavebreak key create HOME NAME --source SOURCE",
            "create a key with a source under Settings",
        ),
    ),
    "row-changed": ProblemType(
        500,
        "Internal Server Error",
        "Somebody has changed the database without the deployment's key. Nothing is answered from "
        "such a row.",
        "{row} was changed in the database since it was stored",
        _CHANGED,
    ),
    "database-changed": ProblemType(
        500,
        "Internal Server Error",
        "Somebody has changed the database without the deployment's key, or it is an older copy.",
        "the database was changed: {change}",
        _CHANGED,
    ),
    "foreign-key-row": ProblemType(
        500,
        "Internal Server Error",
        "The database has an API key that this service did not make.",
        "the database was changed: this service did not write its {row}",
        _CHANGED._replace(command=f"{_VERIFY}; or revoke it: wavebreak key revoke HOME {{prefix}}"),
    ),
    "other-deployment-key": ProblemType(
        500,
        "Internal Server Error",
        "A command before the first start had another key of the deployment.",
        "{row} was written under another deployment's key",
        Fixes(
            "start the service with the key of the commands before it",
            "give `serve` the key of the commands before it, such as `wavebreak user create`: "
            "--key FILE, or the environment's WAVEBREAK_KEY",
            "ask whoever runs the service to start it with the key of the commands before it",
        ),
    ),
    "clock-fault": ProblemType(
        503,
        "Service Unavailable",
        "The log's time is ahead of this machine's clock: its clock is wrong now, or was once.",
        "{fault}",
        Fixes(
            "set the machine's clock right; if it is right, its operator stops the service and "
            "repairs the log",
            "set the clock right; if it is right, stop the service and run `wavebreak log repair "
            "HOME`",
            "ask whoever runs the service to set the clock right, or to repair the log",
        ),
    ),
    "model-not-listed": ProblemType(
        404,
        "Not Found",
        "A model is registered from a directory in the service's own.",
        "there is no such model",
        Fixes(
            "copy a trained model to HOME/models",
            "copy what `wavebreak train` wrote to HOME/models",
            "ask whoever runs the service to copy a trained model to HOME/models",
        ),
    ),
    "not-a-data-scientist": ProblemType(
        403,
        "Forbidden",
        "Only a data scientist of the service registers models.",
        "{by} is no data scientist of this service",
        Fixes(
            "name one",
            "wavebreak user create HOME NAME --role data_scientist",
            "ask an administrator for the role under Settings",
        ),
    ),
    "not-a-policy-owner": ProblemType(
        403,
        "Forbidden",
        "Only a policy owner of the service uploads policies.",
        "{by} is no policy owner of this service",
        Fixes(
            "name one",
            "wavebreak user create HOME NAME --role policy_owner",
            "ask an administrator for the role under Settings",
        ),
    ),
}
"""Every kind of problem, by its code. `/api/docs` and the reference document each."""

OF_STATUS = {problem.status: code for code, problem in reversed(PROBLEMS.items())}
"""The code of a problem that only has a status: the first of that status."""
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

    type: Annotated[str, Meta(description="the kind of problem: its code at /api/docs")]
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


class DomainError(ApiError, ServiceError):
    """An error of the domain: the code of a kind of problem, and values.

    What it says comes from `PROBLEMS`. Printed it names commands, as a terminal's reader needs;
    `fix_for` says the way out elsewhere.

    Attributes:
        values: The values in its texts.

    >>> str(DomainError("model-not-listed"))
    'there is no such model — fix: copy what `wavebreak train` wrote to HOME/models'
    """

    def __init__(self, code: str, *, retry_after_s: float = 0, **values: object) -> None:
        problem = PROBLEMS[code]
        super().__init__(
            problem.status,
            problem.what.format(**values),
            fix=problem.fixes.command.format(**values),
            retry_after_s=retry_after_s,
        )
        self.code, self.values = code, values


def fix_for(error: WavebreakError, adapter: Literal["api", "command", "page"]) -> str:
    """Return the way out of an error, in the words of an adapter.

    >>> fix_for(DomainError("model-not-listed"), "page")
    'ask whoever runs the service to copy a trained model to HOME/models'
    >>> fix_for(ApiError(404, "there is no such case", fix="list the cases"), "api")
    'list the cases'
    """
    if not isinstance(error, DomainError):
        return error.fix
    fix: str = getattr(PROBLEMS[error.code].fixes, adapter)
    return fix.format(**error.values)


def type_uri(code: str) -> str:
    """Return the URI of a kind of problem: where the service itself documents it.

    >>> type_uri("not-found")
    '/api/docs#not-found'
    """
    return f"/api/docs#{code}"


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
    """An error as it is sent: status, headers, and the JSON body."""

    status: int
    headers: dict[str, str]
    body: bytes


def encode_problem(
    status: int, detail: str, fix: str = "", *, code: str = "", **members: Any
) -> bytes:
    """Encode the problem details of a status; `members` may be others than those of `Problem`.

    >>> encode_problem(404, "no such path")  # doctest: +NORMALIZE_WHITESPACE
    b'{"type":"/api/docs#not-found","title":"Not Found","status":404,"detail":"no such path"}'
    """
    code = code or OF_STATUS[status]
    known = {name: members.pop(name, "") or UNSET for name in ("cause", "field")}
    problem = Problem(
        type=type_uri(code),
        title=PROBLEMS[code].title,
        status=status,
        detail=detail,
        fix=fix or UNSET,
        **known,
    )
    return msgspec.json.encode(msgspec.to_builtins(problem) | members if members else problem)


def error_status(error: WavebreakError) -> int:
    """Return the HTTP status of an error: its own `status`, 400 for a bad event, else 500."""
    status: int = getattr(error, "status", 400 if isinstance(error, EventError) else 500)
    return status


def describe_error(error: WavebreakError) -> ErrorResponse:
    """Return the response to an error.

    >>> describe_error(ApiError(429, "rate limit exceeded", retry_after_s=0.2)).headers
    {'Content-Type': 'application/problem+json', 'Retry-After': '1'}
    """
    status = error_status(error)
    headers = {"Content-Type": MEDIA_TYPE}
    if retry_after_s := getattr(error, "retry_after_s", 0.0):
        headers["Retry-After"] = str(math.ceil(min(retry_after_s, MAX_RETRY_AFTER_S)))
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    body = encode_problem(
        status,
        error.what,
        fix_for(error, "api"),
        code=error.code if isinstance(error, DomainError) else "",
        cause=getattr(error, "cause", ""),
        field=getattr(error, "field", ""),
    )
    return ErrorResponse(status, headers, body)
