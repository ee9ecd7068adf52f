"""The operation on the audit log."""

from __future__ import annotations

import msgspec

from wavebreak_server.http.app_context import run_query
from wavebreak_server.http.operations import RequestContext, Router
from wavebreak_server.http.schemas import DecisionNumber, PageQuery, Response
from wavebreak_server.storage import models

router = Router("admin")


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
    "GET",
    "/v1/audit",
    "The audit log: who changed what, when and why.",
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
