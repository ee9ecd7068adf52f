"""Operations of the deployment: metrics, liveness and readiness."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from ninja import Router

from wavebreak_server.errors import ApiError
from wavebreak_server.http.auth import Allowed
from wavebreak_server.http.openapi import TEXT, media
from wavebreak_server.http.requests import ApiKeyAuth, RequestContext
from wavebreak_server.pipeline.log_clock import FAULT_FIX
from wavebreak_server.slices.sources import service as sources

router = Router()
ABSTAINS = (
    "the model abstains: nearly all active accounts registered within a week; the rules decide"
)

METRICS_TEXT = "text/plain; version=0.0.4; charset=utf-8"


@router.get(
    "/metrics",
    auth=ApiKeyAuth("read"),
    summary="Metrics in the Prometheus text format.",
    openapi_extra=media(TEXT),
)
async def metrics(request: HttpRequest) -> HttpResponse:
    """Return the metrics."""
    text = RequestContext.of(request).app.metrics.text()
    return HttpResponse(text, content_type=METRICS_TEXT)


@router.get(
    "/healthz",
    summary="Liveness: whether the process responds.",
    openapi_extra=media(TEXT),
)
async def healthz(request: HttpRequest) -> HttpResponse:
    """Return `ok`."""
    return HttpResponse("ok\n", content_type="text/plain")


@router.get(
    "/readyz",
    summary="Readiness: whether events are accepted and decided.",
    openapi_extra=media(TEXT, 503),
)
async def readyz(request: HttpRequest) -> HttpResponse:
    """Return `ready`, or 503 with the reason; with a key that reads, in detail."""
    context = RequestContext.of(request)
    progress = context.service.progress()
    header = request.headers.get("Authorization")
    verdict = header and context.app.key_ring.authorize(header.encode(), "read")
    reads = isinstance(verdict, Allowed)
    if not progress.ready:
        detailed = reads and progress.detail not in ("", progress.why)
        why = f"{progress.why}: {progress.detail}" if detailed else progress.why
        raise ApiError(503, f"not ready: {why}", fix="try again later", retry_after_s=1)
    if fault := context.service.clock_fault():
        raise ApiError(503, f"not ready: {fault}", fix=FAULT_FIX, retry_after_s=1)
    lines = ["ready"]
    if reads:
        lines += context.service.skews.faults()
        lines += [context.service.lacking] * bool(context.service.lacking)
        lines += sources.notices(context.service)
        lines += [ABSTAINS] * context.service.model_abstains()
    return HttpResponse("\n".join(lines) + "\n", content_type="text/plain")
