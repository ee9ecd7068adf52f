"""Overview: what happens now, to whom, how sure, and what waits."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

from django.db.models import Count, Sum
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse

from wavebreak.outcomes import ABOVE_ALLOW, BY_RANK
from wavebreak_server.console.demo_story import DemoTour
from wavebreak_server.console.pages import Console, console_of, page, show
from wavebreak_server.pipeline.service import Service
from wavebreak_server.slices.accounts import service as account_facts
from wavebreak_server.slices.appeals import service as appeals
from wavebreak_server.slices.queue import service as review_queue
from wavebreak_server.slices.queue.models import DailyCount
from wavebreak_server.slices.sources import service as sources
from wavebreak_server.slices.versions import service as versions
from wavebreak_server.slices.versions.model_versions import MODEL
from wavebreak_server.slices.versions.policy_versions import POLICY
from wavebreak_server.storage.models import Delivery, Webhook

DAYS = 14
LIVE_S = 2.0
MAX_STREAMS = 50
STREAMS = "console"
"""The name under which open streams of the console are counted, beside those of API keys."""


@page("view_overview")
def overview(request: HttpRequest) -> HttpResponse:
    """Show the overview."""
    console = console_of(request)
    newest = DailyCount.objects.order_by("-day").values_list("day", flat=True).first()
    counts = DailyCount.objects.filter(day__gt=(newest or 0) - DAYS)
    return show(
        request,
        "console/overview.html",
        live=live_values(console.service),
        tour=console.context.app.state_of(DemoTour),
        decisions=console.service.progress().decisions,
        coverage=sources.notices(console.service),
        people=_people(),
        by_stage=_by_stage(counts),
        waiting=_waiting(console),
        webhooks=_webhooks(),
        days=DAYS,
    )


def _people() -> list[tuple[str, int]]:
    """Return how many accounts have each outcome in force that does something, worst first."""
    found = account_facts.accounts_by_outcome()
    return [(name, found[name]) for name in reversed(ABOVE_ALLOW) if found.get(name)]


def _by_stage(counts: Any) -> list[tuple[str, dict[str, int]]]:
    table: dict[str, dict[str, int]] = {}
    for outcome, stage, total in counts.values_list("outcome", "stage").annotate(
        total=Sum("count")
    ):
        table.setdefault(outcome, {})[stage] = total
    return [(name, table[name]) for name in reversed(BY_RANK) if name in table]


def _waiting(console: Console) -> dict[str, Any]:
    """Return what waits for a person, and for this person's approval."""
    cases, oldest = review_queue.open_cases()
    waiting, oldest_appeal = appeals.open_appeals()
    return {
        "cases": cases,
        "oldest": oldest,
        "appeals": waiting if console.user.may("view_appeals") else None,
        "oldest_appeal": oldest_appeal,
        "policies": versions.waiting_for(POLICY, console.user),
        "models": versions.waiting_for(MODEL, console.user),
        "now": console.now_ms,
    }


def _webhooks() -> list[dict[str, Any]]:
    pending = dict(
        Delivery.objects.filter(dead_lettered=False).values_list("webhook").annotate(n=Count("id"))
    )
    dead = dict(
        Delivery.objects.filter(dead_lettered=True).values_list("webhook").annotate(n=Count("id"))
    )
    return [
        {"id": id_, "url": url, "pending": pending.get(id_, 0), "dead": dead.get(id_, 0)}
        for id_, url in Webhook.objects.order_by("created_ms").values_list("id", "url")
    ]


def live_values(service: Service) -> dict[str, Any]:
    """Return what the live line of the overview shows."""
    progress = service.progress()
    return {
        "ready": progress.ready,
        "why": progress.why,
        "logged": progress.logged,
        "behind": max(0, progress.logged - progress.decided),
    }


@page("view_overview")
def live(request: HttpRequest) -> HttpResponse:
    """Stream the live values as server-sent events."""
    console = console_of(request)
    streams = console.context.app.open_streams
    if streams[STREAMS] >= MAX_STREAMS:
        return HttpResponse("too many open streams", status=503, content_type="text/plain")
    response = StreamingHttpResponse(
        _stream(console.service, streams), content_type="text/event-stream"
    )
    response["Cache-Control"] = "no-store"
    response["X-Accel-Buffering"] = "no"
    return response


async def _stream(service: Service, streams: Counter[str]) -> AsyncIterator[bytes]:
    streams[STREAMS] += 1
    try:
        for _ in range(1800):
            await asyncio.sleep(LIVE_S)
            values = live_values(service)
            texts = {name: f"{values[name]:,}" for name in ("logged", "behind")}
            yield b"data: " + json.dumps(texts).encode() + b"\n\n"
    finally:
        streams[STREAMS] -= 1
