"""Operations of the deployment: metrics, liveness, readiness, and the audit log."""

from __future__ import annotations

import msgspec
from django.http import HttpResponse

from wavebreak_server.errors import ApiError, DomainError
from wavebreak_server.http.app_context import run_query
from wavebreak_server.http.auth import Allowed
from wavebreak_server.http.operations import RequestContext, Router
from wavebreak_server.http.responses import TEXT
from wavebreak_server.http.schemas import DecisionNumber, PageQuery, Response
from wavebreak_server.slices.sources import service as sources
from wavebreak_server.storage import models

router = Router()
ABSTAINS = (
    "the model abstains: nearly all active accounts registered within a week; the rules decide"
)

METRICS_TEXT = "text/plain; version=0.0.4; charset=utf-8"


class AuditLogEntry(Response):
    """One administrative change."""

    number: int
    at_ms: int
    key: str
    action: str
    object: str
    reason: str
    outcome: str


class AuditLog(Response):
    """Administrative changes, oldest first; the next page starts at `since` = `next`."""

    entries: list[AuditLogEntry]
    next: DecisionNumber


@router.operation(
    "GET", "/metrics", "Metrics in the Prometheus text format.", scopes=("read",), media=TEXT
)
async def metrics(context: RequestContext) -> HttpResponse:
    """Return the metrics."""
    text = context.app.metrics.text()
    return HttpResponse(text, content_type=METRICS_TEXT)


@router.operation("GET", "/healthz", "Liveness: whether the process responds.", media=TEXT)
async def healthz(context: RequestContext) -> HttpResponse:
    """Return `ok`."""
    return HttpResponse("ok\n", content_type="text/plain")


@router.operation(
    "GET", "/readyz", "Readiness: whether events are accepted and decided.", 503, media=TEXT
)
async def readyz(context: RequestContext) -> HttpResponse:
    """Return `ready`, or 503 with the reason; with a key that reads, in detail."""
    progress = context.service.progress()
    header = context.headers.get("Authorization")
    verdict = header and context.app.key_ring.authorize(header.encode(), "read")
    reads = isinstance(verdict, Allowed)
    if not progress.ready:
        detailed = reads and progress.detail not in ("", progress.why)
        why = f"{progress.why}: {progress.detail}" if detailed else progress.why
        raise ApiError(503, f"not ready: {why}", fix="try again later", retry_after_s=1)
    if fault := context.service.clock_fault():
        raise DomainError("clock-fault", fault=f"not ready: {fault}", retry_after_s=1)
    lines = ["ready"]
    if reads:
        lines += context.service.skews.faults()
        failing = context.service.failing_tasks.items()
        lines += [f"background task {name} fails ({error}) and restarts" for name, error in failing]
        lines += filter(None, [context.service.coverage.lacking])
        lines += sources.notices(context.service)
        lines += [ABSTAINS] * context.service.model_abstains()
    return HttpResponse("\n".join(lines) + "\n", content_type="text/plain")


@router.operation(
    "GET", "/v1/audit", "The audit log: who changed what, when and why.", scopes=("admin",)
)
async def audit(context: RequestContext, query: PageQuery) -> AuditLog:
    """Return a page of the audit log."""
    rows = await run_query(
        lambda: list(models.AuditEntry.objects.after(query.since)[: query.limit])
    )
    return AuditLog(
        entries=[msgspec.convert(row, AuditLogEntry, from_attributes=True) for row in rows],
        next=query.next_page(row.number for row in rows),
    )
