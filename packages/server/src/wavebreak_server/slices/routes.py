"""Every operation of the API, in the order of the document, and the URL patterns."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec
from django.http import HttpResponse

from wavebreak_server.http import ingest_app
from wavebreak_server.http.openapi import build_document, docs_page
from wavebreak_server.http.operations import Operation, RequestContext, Router, url_patterns
from wavebreak_server.http.responses import JSON, PAGE
from wavebreak_server.service_plugins import plugin_operations
from wavebreak_server.slices.accounts import api as accounts
from wavebreak_server.slices.appeals import api as appeals
from wavebreak_server.slices.decisions import api as decisions
from wavebreak_server.slices.keys import api as keys
from wavebreak_server.slices.lists import api as lists
from wavebreak_server.slices.operators import api as operators
from wavebreak_server.slices.sources import api as sources
from wavebreak_server.slices.statements import api as statements
from wavebreak_server.slices.states import api as states
from wavebreak_server.slices.system import api as system
from wavebreak_server.slices.webhooks import api as webhooks

router = Router()


@cache
def document() -> dict[str, Any]:
    """Return the OpenAPI document as a JSON value.

    >>> document()["openapi"], "/v1/events" in document()["paths"]
    ('3.1.0', True)
    """
    return build_document(OPERATIONS)


@router.operation("GET", "/api/openapi.json", "The OpenAPI document of this API.")
async def openapi(_context: RequestContext) -> HttpResponse:
    """Return the OpenAPI document."""
    return HttpResponse(_encoded_document(), content_type=JSON)


@router.operation("GET", "/api/docs", "The OpenAPI document as a page.", media=PAGE)
async def docs(_context: RequestContext) -> HttpResponse:
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
    return docs_page(document())


OPERATIONS: tuple[Operation, ...] = (
    *router.operations,
    *ingest_app.OPERATIONS,
    *accounts.router.operations,
    *decisions.router.operations,
    *states.router.operations,
    *statements.router.operations,
    *appeals.router.operations,
    *lists.router.operations,
    *operators.router.operations,
    *sources.router.operations,
    *webhooks.router.operations,
    *keys.router.operations,
    *system.router.operations,
    *plugin_operations(),
)
urlpatterns: list[Any] = url_patterns(OPERATIONS)
handler400 = handler500 = "wavebreak_server.http.responses.malformed"
handler403 = handler404 = "wavebreak_server.http.responses.not_found"
