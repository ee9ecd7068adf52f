"""Operations without an account: health, readiness, metrics, and the API's documentation."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache

import msgspec
from django.http import HttpRequest, HttpResponse
from ninja import Router

from wavebreak.service.api.openapi import JSON, PAGE, TEXT, media, render_docs_page
from wavebreak.service.api.requests import ApiKeyAuth, RequestContext
from wavebreak.service.errors import ApiError

router = Router()

METRICS_TEXT = "text/plain; version=0.0.4; charset=utf-8"


@router.get(
    "/metrics",
    auth=ApiKeyAuth("read"),
    operation_id="metrics",
    summary="Metrics in the Prometheus text format.",
    openapi_extra=media(TEXT),
)
async def metrics(request: HttpRequest) -> HttpResponse:
    """Return the metrics."""
    text = RequestContext.of(request).app.metrics.text()
    return HttpResponse(text, content_type=METRICS_TEXT)


@router.get(
    "/healthz",
    operation_id="healthz",
    summary="Liveness: whether the process responds.",
    openapi_extra=media(TEXT),
)
async def healthz(request: HttpRequest) -> HttpResponse:
    """Return `ok`."""
    return HttpResponse("ok\n", content_type="text/plain")


@router.get(
    "/readyz",
    operation_id="readyz",
    summary="Readiness: whether events are accepted and decided.",
    openapi_extra=media(TEXT, 503),
)
async def readyz(request: HttpRequest) -> HttpResponse:
    """Return `ready`, or 503 with the reason."""
    progress = RequestContext.of(request).service.progress()
    if not progress.ready:
        raise ApiError(503, f"not ready: {progress.why}", fix="try again later", retry_after_s=1)
    return HttpResponse("ready\n", content_type="text/plain")


@router.get(
    "/api/openapi.json",
    operation_id="openapi",
    summary="The OpenAPI document of this API.",
    openapi_extra=media(JSON),
)
async def openapi(request: HttpRequest) -> HttpResponse:
    """Return the OpenAPI document."""
    return HttpResponse(_encoded_document(), content_type=JSON)


@router.get(
    "/api/docs",
    operation_id="docs",
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
    from wavebreak.service.api.routes import document

    return msgspec.json.encode(document())


@cache
def _page() -> tuple[str, str]:
    """The page, and the Content-Security-Policy that allows its inline style."""
    from wavebreak.service.api.routes import document

    page = render_docs_page(document())
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    digest = hashlib.sha256((style[1] if style else "").encode()).digest()
    style_source = f"style-src 'sha256-{base64.b64encode(digest).decode()}'"
    return page, f"default-src 'none'; {style_source}; base-uri 'none'; frame-ancestors 'none'"
