"""Answers that ask nobody: health, metrics, the audit, the API's own document."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from typing import Any

import msgspec
from django.http import HttpResponse

from wavebreak.service.api import schemas
from wavebreak.service.api.openapi import JSON, PAGE, docs_page, document
from wavebreak.service.api.requests import Call
from wavebreak.service.app_context import read
from wavebreak.service.errors import RefusedError
from wavebreak.service.models import Change
from wavebreak.service.observability import Gauges
from wavebreak.service.service import Service

METRICS_TEXT = "text/plain; version=0.0.4; charset=utf-8"


async def healthz(_call: Call) -> HttpResponse:
    """Say that the process answers."""
    return HttpResponse("ok\n", content_type="text/plain")


async def readyz(call: Call) -> HttpResponse:
    """Say whether events are taken and decided on."""
    found = call.service.progress()
    if not found.ready:
        raise RefusedError(503, f"not ready: {found.why}", retry_after_s=1)
    return HttpResponse("ready\n", content_type="text/plain")


async def metrics(call: Call) -> HttpResponse:
    """Give the metrics."""
    return HttpResponse(call.desk.metrics.text(), content_type=METRICS_TEXT)


def gauges(service: Service) -> Gauges:
    """What the service tells of itself, for `Metrics.watch`."""
    found = service.progress()
    return {
        "ready": ("1 while events are taken and decided on.", float(found.ready)),
        "log_position": ("Position behind the newest event in the log.", found.logged),
        "decided_position": ("Position up to which the engine has decided.", found.decided),
        "applied_position": ("Position up to which decisions are written.", found.applied),
        "lag_events": ("Events in the log that are not decided yet.",
                       found.logged - found.decided),
        "queue_bodies": ("Bodies that wait for the log.", found.waiting_bodies),
        "queue_bytes": ("Bytes that wait for the log.", found.waiting_bytes),
        "earlier_decisions_differ": (
            "Decisions made under a former policy or model that would come out otherwise now.",
            service.differ),
        "snapshot_position": ("Position of the newest snapshot.", found.snapshot),
        "events_total": ("Events taken.", service.counts["events"]),
        "bodies_total": ("Bodies taken.", service.counts["bodies"]),
        "busy_total": ("Bodies refused since the service was busy.", service.counts["busy"]),
    }  # fmt: skip


def causes(service: Service) -> dict[str, int]:
    """Events refused, by cause."""
    begin = "refused."
    counts = dict(service.counts)
    return {n.removeprefix(begin): c for n, c in counts.items() if n.startswith(begin)}


async def audit(call: Call) -> schemas.Audit:
    """Tell what was changed, from a number on."""
    asked = call.query

    def find() -> list[Any]:
        found = Change.objects.filter(number__gt=asked.since).order_by("number")
        return list(found[: asked.limit])

    entries = tuple(
        schemas.AuditEntry(**{f: getattr(one, f) for f in schemas.AuditEntry.__struct_fields__})
        for one in await read(find)
    )
    return schemas.Audit(entries=entries, next=entries[-1].number if entries else asked.since)


@cache
def _document() -> bytes:
    return msgspec.json.encode(document())


@cache
def _page() -> tuple[str, str]:
    """The page, and what its style is allowed by."""
    page = docs_page()
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    digest = hashlib.sha256((style[1] if style else "").encode()).digest()
    allowed = f"style-src 'sha256-{base64.b64encode(digest).decode()}'"
    return page, f"default-src 'none'; {allowed}; base-uri 'none'; frame-ancestors 'none'"


async def openapi(_call: Call) -> HttpResponse:
    """Give the OpenAPI document."""
    return HttpResponse(_document(), content_type=JSON)


async def docs(_call: Call) -> HttpResponse:
    """Give the document as a page."""
    page, policy = _page()
    made = HttpResponse(page, content_type=f"{PAGE}; charset=utf-8")
    made["Content-Security-Policy"] = policy
    return made
