"""From a request to an answer: the same way for every declared endpoint.

The key is asked for first, then path, query and body are read as their types say, then the view is
asked. Whatever fails becomes a problem that repeats nothing of what was sent.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, HttpResponseBase

from wavebreak.errors import EventError, WavebreakError
from wavebreak.service.api.openapi import ENDPOINTS, JSON, Endpoint
from wavebreak.service.api.schemas import AccountId, DecisionId
from wavebreak.service.app_context import Desk
from wavebreak.service.errors import MEDIA_TYPE, RefusedError, problem
from wavebreak.service.ingest_app import Denied
from wavebreak.service.pending_requests import BusyError
from wavebreak.service.service import Service

logger = logging.getLogger("wavebreak.api")

_WHERE = re.compile(r" - at `(\$[A-Za-z0-9_.\[\]…-]{0,80})`$")


@dataclass(frozen=True)
class Call:
    """One request, read: what is asked, by which key, and what it is asked of."""

    service: Service
    desk: Desk
    key: str
    path: Mapping[str, str]
    query: Any
    body: Any
    headers: Mapping[str, str]

    @property
    def now_ms(self) -> int:
        """The service's clock, in milliseconds."""
        return self.service.clock()


View = Callable[[Call], Awaitable[Any]]


async def answer(request: HttpRequest, views: Mapping[str, View], **path: str) -> HttpResponseBase:
    """Answer a request to a path with these parameters."""
    offered: dict[str, Endpoint] = {e.method: e for e in ENDPOINTS if e.name in views}
    endpoint = offered.get(str(request.method))
    if endpoint is None:
        refused = told(RefusedError(405, "this method is not offered here"))
        refused["Allow"] = ", ".join(sorted(offered))
        return refused
    try:
        made = await views[endpoint.name](_call(request, endpoint, path))
    except (BusyError, RefusedError, EventError) as error:
        return told(error)
    except DatabaseError as error:
        logger.warning("the database failed", extra={"told": {"cause": type(error).__name__}})
        return told(RefusedError(503, "the database does not answer just now", retry_after_s=1))
    except Exception:
        logger.exception("an answer failed", extra={"told": {"route": endpoint.path}})
        return told(RefusedError(500, "the service failed"))
    if isinstance(made, HttpResponseBase):
        return made
    if endpoint.status == 204:
        return HttpResponse(status=204)
    return HttpResponse(msgspec.json.encode(made), content_type=JSON, status=endpoint.status)


def told(error: WavebreakError) -> HttpResponse:
    """An error as a problem."""
    status = getattr(error, "status", 503 if isinstance(error, BusyError) else 422)
    body = msgspec.json.encode(problem(status, error.what, error.fix))
    made = HttpResponse(body, content_type=MEDIA_TYPE, status=status)
    wait = getattr(error, "retry_after_s", 0.0)
    if wait:
        made["Retry-After"] = str(math.ceil(wait))
    if status == 401:
        made["WWW-Authenticate"] = "Bearer"
    return made


def _call(request: HttpRequest, endpoint: Endpoint, path: Mapping[str, str]) -> Call:
    scope: Any = getattr(request, "scope")  # noqa: B009 - Django's type has none
    desk: Desk = scope["wavebreak.desk"]
    key = ""
    if endpoint.scope is not None:
        given = request.headers.get("Authorization")
        verdict = desk.ring.guard(given.encode() if given else None, endpoint.scope)
        if isinstance(verdict, Denied):
            raise RefusedError(verdict.status, verdict.detail, retry_after_s=verdict.retry_after_s)
        key = verdict.key_id
    if "account" in path:
        _read("the account", lambda: msgspec.convert(path["account"], AccountId))
    if "decision" in path:
        _read("the decision", lambda: msgspec.convert(path["decision"], DecisionId))
    query = None
    if endpoint.query is not None:
        query = _query(request, endpoint.query)
    body = _body(request, endpoint) if endpoint.body is not None else None
    return Call(scope["wavebreak"], desk, key, path, query, body, request.headers)


def _query(request: HttpRequest, kind: Any) -> Any:
    given = dict(request.GET.lists())
    if any(len(values) > 1 for values in given.values()):
        raise RefusedError(422, "a parameter of the query is given twice", fix="give it once")
    one = {name: values[0] for name, values in given.items()}
    return _read("the query", lambda: msgspec.convert(one, kind, strict=False))


def _body(request: HttpRequest, endpoint: Endpoint) -> Any:
    if request.content_type not in endpoint.bodies:
        fix = f"send {' or '.join(endpoint.bodies)}"
        raise RefusedError(415, "this Content-Type is not read here", fix=fix)
    return _read(
        "the body",
        lambda: msgspec.convert(_whole(msgspec.json.decode(request.body)), endpoint.body),
    )


def _whole(value: Any) -> Any:
    """A JSON value whose whole numbers are integers: 1.0 is one, by JSON Schema."""
    if isinstance(value, dict):
        return {name: _whole(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_whole(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _read(what: str, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except msgspec.ValidationError as error:
        # The rest of the message may quote what was sent.
        where = _WHERE.search(str(error))
        at = f" at {where[1]}" if where else ""
        fix = "see /api/docs for what is taken"
        raise RefusedError(422, f"{what} is not as declared{at}", fix=fix) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise RefusedError(400, f"{what} is not JSON", fix="send JSON in UTF-8") from None
