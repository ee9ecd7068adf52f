"""Operations of the API, declared once: the function that answers says what it takes and returns.

From these declarations follow the parsing of a request, the URLs, the limits that hold before a
body is read, and the OpenAPI document.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from typing import Any, Generic, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import URLPattern, path
from django.views.decorators.csrf import csrf_exempt

from wavebreak_server.errors import ApiError
from wavebreak_server.http.app_context import AppContext
from wavebreak_server.http.auth import Scope, require
from wavebreak_server.http.responses import JSON, error_of, problem_response
from wavebreak_server.http.schemas import AccountId, check_account_ids
from wavebreak_server.pipeline.service import Service

MAX_BODY = 1 << 20
"""Maximum bytes of a body for Django, which would write a larger one to disk."""
SMALL_BODY = 64 << 10
"""Maximum bytes of a body of most operations, and of a page's form without a session."""
CALLER = "wavebreak.caller"
"""Of an ASGI scope: the scopes for one of which the request is authorized already, and its key."""
TOO_LARGE = "wavebreak.too_large"
"""Of an ASGI scope: the body of a page's form was too large, and is left out."""
BUSY = "wavebreak.busy"
"""Of an ASGI scope: the body of a page's form was not read, since too many others are."""
_FIX = "see /api/docs"
_PARAMETER = re.compile(r"{(?:(\w+):)?(\w+)}")
_STATUSES_OF_KEYS, _STATUSES_OF_BODIES = (401, 403, 429), (400, 413, 415, 422)

T = TypeVar("T")
Answer = Callable[..., Awaitable[Any]]
AnswerT = TypeVar("AnswerT", bound=Answer)


@dataclass(frozen=True)
class RequestContext:
    """What an operation needs of a request.

    Attributes:
        app: What operations share beside it.
        key: The caller's key.
        headers: The request's headers.
    """

    service: Service
    app: AppContext
    key: str
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def now_ms(self) -> int:
        """The service's clock, in milliseconds."""
        return self.service.clock()


class WithStatus(NamedTuple, Generic[T]):
    """A response with another status than the first that its operation declares."""

    status: int
    value: T


@dataclass(frozen=True)
class HotPath:
    """What an operation takes and returns that another ASGI app answers than Django.

    Attributes:
        response: The type of its response.
        parameters: Its parameters, as in the document.
        bodies: The type of its body by media type (None: not described).
    """

    response: Any
    parameters: tuple[Mapping[str, Any], ...]
    bodies: Mapping[str, Any]


@dataclass(frozen=True)
class Operation:
    """An operation.

    Attributes:
        path: Its path; `{path:account}` may hold slashes.
        name: Its id.
        scopes: A caller's key needs one of them (none: no key is needed).
        problems: Statuses of its problems, beside those that follow from what it takes.
        answer: Answers a request; None on the hot path.
        statuses: Statuses of success.
        media: The media type of its response.
        max_body: Bytes of its body.
        listed: Whether the document has it.
    """

    method: str
    path: str
    name: str
    summary: str
    scopes: tuple[Scope, ...] = ()
    problems: tuple[int, ...] = ()
    answer: Answer | None = None
    statuses: tuple[int, ...] = (200,)
    media: str = JSON
    max_body: int = SMALL_BODY
    listed: bool = True
    hot: HotPath | None = None

    @cached_property
    def route(self) -> str:
        """The path as documents and metrics name it."""
        return _PARAMETER.sub(r"{\2}", self.path)

    @cached_property
    def _types(self) -> dict[str, Any]:
        return get_type_hints(self.answer, include_extras=True) if self.answer else {}

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """The type of each parameter of the path."""
        return {name: self._types[name] for _, name in _PARAMETER.findall(self.path)}

    @property
    def query(self) -> type[msgspec.Struct] | None:
        """The struct of the query string."""
        return self._types.get("query")

    @property
    def body(self) -> type[msgspec.Struct] | None:
        """The struct of the body."""
        return self._types.get("body")

    @property
    def response(self) -> Any:
        """The type of the response; None where it is no value in JSON."""
        if self.hot is not None:
            return self.hot.response
        declared = self._types.get("return", type(None))
        if get_origin(declared) is WithStatus:
            (declared,) = get_args(declared)
        is_value = self.media == JSON and declared not in (type(None), HttpResponse)
        return declared if is_value else None

    @property
    def takes_body(self) -> bool:
        """Whether a request has a body."""
        return self.body is not None or self.hot is not None

    @property
    def problem_statuses(self) -> set[int]:
        """Statuses of problems: those declared, and those that follow from what it takes."""
        statuses = set(self.problems)
        statuses.update(_STATUSES_OF_KEYS if self.scopes else ())
        statuses.update(_STATUSES_OF_BODIES if self.body else ())
        return statuses | ({422} if self.query or self.parameters else set())

    async def respond(self, request: HttpRequest, captured: dict[str, Any]) -> HttpResponseBase:
        """Answer a request; `captured` are the parameters of its path."""
        scope: Any = getattr(request, "scope")  # noqa: B009 - not in Django's type
        service, app = scope["wavebreak"], scope["wavebreak.context"]
        checked, key = scope.get(CALLER, ((), ""))
        if checked != self.scopes:
            header = request.headers.get("Authorization")
            key = require(
                app.key_ring.authorize(header.encode() if header else None, *self.scopes)
            ).key_id
        values = {
            name: _converted(f"path {name}", captured[name], kind)
            for name, kind in self.parameters.items()
        }
        if self.query is not None:
            values["query"] = _read_query(request, self.query)
        if self.body is not None:
            values["body"] = _converted("body", _read_json(request), self.body, strict=True)
        if self.answer is None:
            raise ApiError(500, "the hot path is not installed")
        result = await self.answer(RequestContext(service, app, key, request.headers), **values)
        if isinstance(result, HttpResponseBase):
            return result
        status, value = result if isinstance(result, WithStatus) else (self.statuses[0], result)
        # JSON is UTF-8: the content type has no charset.
        body = b"" if status == HTTPStatus.NO_CONTENT else msgspec.json.encode(value)
        return HttpResponse(body, status=status, content_type=JSON)


class Router:
    """The operations of a slice, in the order of their URLs.

    Args:
        scopes: Of operations that name none.
    """

    def __init__(self, *scopes: Scope) -> None:
        self._scopes = scopes
        self.operations: list[Operation] = []

    def operation(
        self, method: str, path: str, summary: str, *problems: int, **declared: Any
    ) -> Callable[[AnswerT], AnswerT]:
        """Return a decorator that declares a function's operation; `declared`: of `Operation`.

        Its parameters are those of the path, `query` and `body`; its name is the operation's.
        """
        declared.setdefault("scopes", self._scopes)

        def declare(answer: AnswerT) -> AnswerT:
            named = {"name": answer.__name__} | declared
            self.operations.append(
                Operation(method, path, summary=summary, problems=problems, answer=answer, **named)
            )
            return answer

        return declare


def url_patterns(operations: Iterable[Operation]) -> list[URLPattern]:
    """Return the URL patterns of operations, in their order."""
    paths: dict[str, dict[str, Operation]] = {}
    for operation in operations:
        if operation.answer is not None:
            paths.setdefault(operation.path, {})[operation.method] = operation
    return [
        path(
            _PARAMETER.sub(lambda found: f"<{found[1] or 'str'}:{found[2]}>", at).lstrip("/"),
            _view(methods),
        )
        for at, methods in paths.items()
    ]


def _view(methods: Mapping[str, Operation]) -> Callable[..., Awaitable[HttpResponseBase]]:
    allowed = ", ".join(sorted(methods))

    async def view(request: HttpRequest, **captured: Any) -> HttpResponseBase:
        operation = methods.get(str(request.method))
        try:
            if operation is None:
                raise ApiError(405, "this method is not allowed here", fix=f"use {allowed}")
            response = await operation.respond(request, captured)
        except Exception as exception:
            response = problem_response(error_of(exception, next(iter(methods.values())).route))
        if operation is None:
            response["Allow"] = allowed
        return response

    # Keys, not cookies, say who asks.
    exempt: Callable[..., Awaitable[HttpResponseBase]] = csrf_exempt(view)
    return exempt


# Parsing


def _read_query(request: HttpRequest, kind: type[msgspec.Struct]) -> msgspec.Struct:
    """Return a query string as its struct; raises ApiError (422)."""
    lists = dict(request.GET.lists())
    known = kind.__struct_fields__
    if set(lists) - set(known):
        raise ApiError(422, "unknown query parameter", fix=f"use {', '.join(known)}")
    if any(len(values) > 1 for values in lists.values()):
        raise ApiError(422, "a query parameter is repeated", fix="send each parameter once")
    found: msgspec.Struct = _converted("query", {n: v for n, (v,) in lists.items()}, kind)
    return found


def _read_json(request: HttpRequest) -> Any:
    """Return a JSON body, in which no object has a name twice; raises ApiError (415 or 400)."""
    if request.content_type != JSON:
        raise ApiError(415, "unsupported Content-Type", fix=f"send {JSON}")
    try:
        value = _with_integers(msgspec.json.decode(request.body))
        json.loads(request.body, object_pairs_hook=_refuse_repetition)
    except RecursionError:
        raise ApiError(400, "the body is nested too deeply", fix="send flat JSON") from None
    except (msgspec.DecodeError, ValueError):
        raise ApiError(400, "the body is not JSON", fix="send JSON in UTF-8") from None
    return value


def _refuse_repetition(members: list[tuple[str, Any]]) -> None:
    """Refuse an object with two members of one name: a reader may take either."""
    if len({name for name, _ in members}) < len(members):
        raise ApiError(400, "an object of the body has a name twice", fix="send each name once")


def _with_integers(value: Any) -> Any:
    """Return a JSON value with whole numbers as integers: JSON Schema takes 1.0 for one."""
    if isinstance(value, dict):
        return {name: _with_integers(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_with_integers(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _converted(source: str, value: Any, kind: Any, *, strict: bool = False) -> Any:
    """Return a value of a request as its type; raises ApiError (422)."""
    try:
        converted = msgspec.convert(value, kind, strict=strict)
        if kind == AccountId:
            check_account_ids([converted])
        return converted
    except (msgspec.ValidationError, ValueError) as error:
        raise ApiError(422, describe_invalid(source, str(error)), fix=_FIX) from None


def describe_invalid(source: str, message: str) -> str:
    """Return what is wrong with a request, without a value of it.

    >>> describe_invalid("body", "Expected `str`, got `int` - at `$.labels[0].account`")
    'body labels[0].account: expected `str`, got `int`'
    >>> describe_invalid("body", "Object contains unknown field `secret` - at `$.labels[0]`")
    'body labels[0]: unknown field'
    >>> describe_invalid("body", "Invalid enum value 'secret' - at `$.verdict`")
    'body verdict: not one of the values that are allowed'
    """
    what, _, at = message.rpartition(" - at `$") if " - at `$" in message else (message, "", "")
    if what.startswith("Object contains unknown field"):
        what = "unknown field"
    elif what.startswith("Invalid enum value"):
        what = "not one of the values that are allowed"
    where = f"{source} {at.strip('.`')}".strip()
    return f"{where}: {what[:1].lower()}{what[1:]}"
