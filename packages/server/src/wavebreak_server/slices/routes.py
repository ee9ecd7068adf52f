"""The control-plane API on django-ninja: routers, documentation, error handlers, URL patterns.

Requests to the hot path (`ingest_app`) do not come here, although their operations are declared in
the same OpenAPI document.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any

import msgspec
import structlog
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.decorators import async_only_middleware
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError
from ninja.operation import Operation
from ninja.renderers import BaseRenderer

from wavebreak import __version__
from wavebreak.errors import WavebreakError
from wavebreak_server.errors import MEDIA_TYPE, ApiError, describe_error
from wavebreak_server.http import hot_path
from wavebreak_server.http.openapi import (
    INTRODUCTION,
    JSON,
    PAGE,
    build_document,
    media,
    render_docs_page,
)
from wavebreak_server.http.requests import ApiParser
from wavebreak_server.slices.accounts import api as accounts
from wavebreak_server.slices.admin import api as admin
from wavebreak_server.slices.appeals import api as appeals
from wavebreak_server.slices.decisions import api as decisions
from wavebreak_server.slices.operators import api as operators
from wavebreak_server.slices.sources import api as sources
from wavebreak_server.slices.statements import api as statements
from wavebreak_server.slices.states import api as states
from wavebreak_server.slices.system import api as system

logger = structlog.stdlib.get_logger("wavebreak.api")

_DOCS = "see /api/docs"


class JsonRenderer(BaseRenderer):
    """Encodes responses with msgspec, so that stored JSON passes through unchanged."""

    media_type = "application/json"

    def render(self, request: HttpRequest, data: Any, *, response_status: int) -> bytes:
        """Encode a response."""
        return msgspec.json.encode(data)


class Api(NinjaAPI):
    """The API, whose content type has no charset: JSON is UTF-8."""

    def get_content_type(self) -> str:
        """Return the content type of JSON responses."""
        return str(self.renderer.media_type)

    def get_openapi_operation_id(self, operation: Operation) -> str:
        """Return the id of an operation that declares none: the name of its function."""
        return str(operation.view_func.__name__)


api = Api(
    title="Wavebreak",
    version=__version__,
    description=INTRODUCTION,
    openapi_url=None,
    docs_url=None,
    openapi_extra={"info": {"license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}}},
    renderer=JsonRenderer(),
    parser=ApiParser(),
)
for _router in (
    hot_path.router, accounts.router, decisions.router, states.router, statements.router,
    appeals.router, operators.router, sources.router, admin.router, system.router,
):  # fmt: skip
    api.add_router("", _router)


@cache
def document() -> dict[str, Any]:
    """Return the OpenAPI document as a JSON value.

    >>> document()["openapi"], "/v1/events" in document()["paths"]
    ('3.1.0', True)
    """
    return build_document(api)


@api.get(
    "/api/openapi.json",
    summary="The OpenAPI document of this API.",
    openapi_extra=media(JSON),
)
async def openapi(request: HttpRequest) -> HttpResponse:
    """Return the OpenAPI document."""
    return HttpResponse(_encoded_document(), content_type=JSON)


@api.get(
    "/api/docs",
    summary="The OpenAPI document as a page.",
    openapi_extra=media(PAGE),
)
async def docs(request: HttpRequest) -> HttpResponse:
    """Return the documentation page, which loads nothing from elsewhere."""
    page, policy = _page()
    response = HttpResponse(page, content_type=f"{PAGE}; charset=utf-8")
    response["Content-Security-Policy"] = policy
    return response


@cache
def _encoded_document() -> bytes:
    return msgspec.json.encode(document())


@cache
def _page() -> tuple[str, str]:
    """The page, and the Content-Security-Policy that allows its inline style."""
    page = render_docs_page(document())
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    digest = hashlib.sha256((style[1] if style else "").encode()).digest()
    style_source = f"style-src 'sha256-{base64.b64encode(digest).decode()}'"
    return page, f"default-src 'none'; {style_source}; base-uri 'none'; frame-ancestors 'none'"


def problem_response(error: WavebreakError) -> HttpResponse:
    """Return an error as problem details."""
    problem = describe_error(error)
    return HttpResponse(
        problem.body, content_type=MEDIA_TYPE, status=problem.status, headers=problem.headers
    )


@api.exception_handler(WavebreakError)
def _on_error(_request: HttpRequest, error: WavebreakError) -> HttpResponse:
    return problem_response(error)


@api.exception_handler(HttpError)
def _on_http_error(_request: HttpRequest, error: HttpError) -> HttpResponse:
    # ninja wraps whatever its parser raises.
    cause = error.__cause__
    if isinstance(cause, ApiError):
        return problem_response(cause)
    return problem_response(ApiError(error.status_code, "the request is malformed", fix=_DOCS))


@api.exception_handler(ValidationError)
def _on_validation_error(_request: HttpRequest, error: ValidationError) -> HttpResponse:
    first = error.errors[0]
    source, *names = first["loc"]
    if source == "body":
        names = names[1:]
    if first["type"] == "extra_forbidden":
        # The name of an unknown field is a value of the request.
        names = names[:-1]
    where = "".join(f"[{n}]" if isinstance(n, int) else f".{n}" for n in names).lstrip(".")
    what = f"{source} {where}".strip() + f": {first['msg']}"
    return problem_response(ApiError(422, what, fix=_DOCS))


@api.exception_handler(DatabaseError)
def _on_database_error(_request: HttpRequest, error: DatabaseError) -> HttpResponse:
    logger.warning("database error", cause=type(error).__name__)
    what = "the database is unavailable"
    return problem_response(ApiError(503, what, fix="try again later", retry_after_s=1))


@api.exception_handler(Exception)
def _on_exception(request: HttpRequest, _error: Exception) -> HttpResponse:
    match = request.resolver_match
    logger.exception("request failed", route=match.route if match else "")
    return problem_response(ApiError(500, "internal error"))


def not_found(_request: HttpRequest, **_details: Any) -> HttpResponse:
    """Answer a request to an unknown path."""
    return problem_response(ApiError(404, "no operation at this path", fix=_DOCS))


def malformed(_request: HttpRequest, **_details: Any) -> HttpResponse:
    """Answer a request that Django could not read."""
    return problem_response(ApiError(400, "the request is malformed", fix=_DOCS))


@async_only_middleware
def method_not_allowed(
    get_response: Callable[[HttpRequest], Awaitable[HttpResponseBase]],
) -> Callable[[HttpRequest], Awaitable[HttpResponseBase]]:
    """Return Django middleware that turns ninja's 405 response into a problem."""

    async def middleware(request: HttpRequest) -> HttpResponseBase:
        response = await get_response(request)
        # Metrics count the statuses; Django would log each refusal, and each probe.
        response._has_been_logged = True
        if response.status_code != 405:
            return response
        allowed = response["Allow"]
        problem = problem_response(
            ApiError(405, "this method is not allowed here", fix=f"use {allowed}")
        )
        problem["Allow"] = allowed
        return problem

    return middleware


urlpatterns: list[Any] = api.urls[0]
handler400 = "wavebreak_server.slices.routes.malformed"
handler403 = handler404 = "wavebreak_server.slices.routes.not_found"
handler500 = "wavebreak_server.slices.routes.malformed"
