"""Overview: what happens now, to whom, how sure, and what waits."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

from django.db.models import Count, Min, Q, Sum
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse

from wavebreak.console import review_queue
from wavebreak.console.models import Appeal, DailyCount, ReviewCase
from wavebreak.console.pages import Console, console_of, page, show
from wavebreak.console.wrong_actions import wrong_actions
from wavebreak.features.layout import OUTCOMES
from wavebreak.model import feature_title
from wavebreak.service.models import Delivery, EnforcementState, Webhook
from wavebreak.service.observability import LiveDrift
from wavebreak.service.service import Service

DAYS = 14
SHOWN_FEATURES = 8
LIVE_S = 2.0
MAX_STREAMS = 50
DAY_MS = 86_400_000


@page("view_overview")
def overview(request: HttpRequest) -> HttpResponse:
    """Show the overview."""
    console = console_of(request)
    newest = DailyCount.objects.order_by("-day").values_list("day", flat=True).first()
    days = list(range(newest - DAYS + 1, newest + 1)) if newest else []
    counts = DailyCount.objects.filter(day__in=days)
    wrong, ways = wrong_actions(console.now_ms)
    return show(
        request,
        "console/overview.html",
        live=live_values(console.service),
        people=_people(),
        by_stage=_by_stage(counts),
        chart=_chart(counts, days),
        wrong=wrong,
        ways=ways,
        agreement=review_queue.agreement(review_queue.blind_pairs()),
        waiting=_waiting(console.now_ms),
        webhooks=_webhooks(),
        brokers=list(console.context.app.metrics.brokers.values()),
        drift=_drift(console.context.app.metrics.drift),
        days=DAYS,
    )


def _people() -> list[tuple[str, int]]:
    """Return how many accounts have each outcome in force, most severe first."""
    rows = EnforcementState.objects.values_list("outcome").annotate(n=Count("account"))
    found = dict(rows)
    return [(name, found[name]) for name in reversed(OUTCOMES) if found.get(name)]


def _by_stage(counts: Any) -> list[tuple[str, dict[str, int]]]:
    table: dict[str, dict[str, int]] = {}
    for outcome, stage, total in counts.values_list("outcome", "stage").annotate(
        total=Sum("count")
    ):
        table.setdefault(outcome, {})[stage] = total
    return [(name, table[name]) for name in reversed(OUTCOMES) if name in table]


def _chart(counts: Any, days: list[int]) -> dict[str, Any]:
    values = {
        (day, outcome): total
        for day, outcome, total in counts.values_list("day", "outcome").annotate(total=Sum("count"))
    }
    shown = [name for name in OUTCOMES[2:] if any((day, name) in values for day in days)]
    return {
        "x": [day * 86_400 for day in days],
        "series": [
            {"label": name, "outcome": name, "values": [values.get((d, name), 0) for d in days]}
            for name in shown
        ],
    }


def _waiting(now_ms: int) -> dict[str, Any]:
    cases = ReviewCase.objects.filter(state=ReviewCase.OPEN)
    appeals = Appeal.objects.filter(state=Appeal.OPEN)
    return {
        "cases": cases.count(),
        "oldest": cases.aggregate(oldest=Min("opened_ms"))["oldest"],
        "appeals": appeals.count(),
        "oldest_appeal": appeals.aggregate(oldest=Min("opened_ms"))["oldest"],
        "now": now_ms,
    }


def _drift(drift: LiveDrift | None) -> dict[str, Any] | None:
    """Return what the page shows of the drift: the score's bins as bars, and the worst features."""
    if drift is None:
        return None
    highest = max(*drift.then, *drift.now, 1e-9)
    bins = [
        {
            "label": _bin_label(drift.edges, k),
            "then": then,
            "now": now,
            "then_width": round(100 * then / highest, 1),
            "now_width": round(100 * now / highest, 1),
        }
        for k, (then, now) in enumerate(zip(drift.then, drift.now, strict=True))
    ]
    return {
        "drift": drift,
        "bins": bins,
        "features": [
            {"title": feature_title(one.name), "shift": one}
            for one in drift.features[:SHOWN_FEATURES]
        ],
        "moved": sum(one.verdict == "moved" for one in drift.features),
    }


def _bin_label(edges: tuple[float, ...], k: int) -> str:
    """Return the ends of a bin of the score.

    >>> [_bin_label((0.5, 2.0), k) for k in range(3)]
    ['below 0.50', '0.50 to 2.00', 'from 2.00']
    """
    if k == 0:
        return f"below {edges[0]:.2f}" if edges else "all"
    return f"{edges[k - 1]:.2f} to {edges[k]:.2f}" if k < len(edges) else f"from {edges[-1]:.2f}"


def _webhooks() -> list[dict[str, Any]]:
    """Return each webhook with what waits, what was given up, and the newest error of these."""
    counted = {
        row[0]: row[1:]
        for row in Delivery.objects.values_list("webhook").annotate(
            pending=Count("id", filter=Q(dead_lettered=False)),
            dead=Count("id", filter=Q(dead_lettered=True)),
        )
    }
    return [
        {
            "id": id_,
            "url": url,
            "pending": counted.get(id_, (0, 0))[0],
            "dead": counted.get(id_, (0, 0))[1],
            "error": _last_error(id_) if id_ in counted else "",
        }
        for id_, url in Webhook.objects.order_by("created_ms").values_list("id", "url")
    ]


def _last_error(webhook: str) -> str:
    failed = Delivery.objects.filter(webhook=webhook, attempts__gt=0).order_by("-next_ms")
    row = failed.values_list("last_status", "last_error").first()
    if row is None:
        return ""
    return f"HTTP {row[0]}" if row[0] else str(row[1])


def live_values(service: Service) -> dict[str, Any]:
    """Return what the live line of the overview shows."""
    progress = service.progress()
    return {
        "ready": progress.ready,
        "why": progress.why,
        "logged": progress.logged,
        "behind": max(0, progress.logged - progress.decided),
        "decisions": progress.decisions,
        "waiting": progress.waiting_bodies,
        "refused": sum(n for name, n in service.counts.items() if name.startswith("refused.")),
        "snapshot": progress.snapshot,
    }


_open_streams = 0


@page("view_overview")
def live(request: HttpRequest) -> HttpResponse:
    """Stream the live values as server-sent events, with rates since the last one."""
    if _open_streams >= MAX_STREAMS:
        return HttpResponse("too many open streams", status=503, content_type="text/plain")
    console: Console = console_of(request)
    response = StreamingHttpResponse(_stream(console.service), content_type="text/event-stream")
    response["Cache-Control"] = "no-store"
    response["X-Accel-Buffering"] = "no"
    return response


async def _stream(service: Service) -> AsyncIterator[bytes]:
    global _open_streams
    _open_streams += 1
    try:
        before, since = live_values(service), time.monotonic()
        for _ in range(1800):
            await asyncio.sleep(LIVE_S)
            now, at = live_values(service), time.monotonic()
            rates = {
                f"{name}_rate": f"{(now[name] - before[name]) / (at - since):,.0f}"
                for name in ("logged", "decisions")
            }
            before, since = now, at
            shown = {k: f"{v:,}" if isinstance(v, int) and k != "ready" else v
                     for k, v in now.items()}  # fmt: skip
            yield b"data: " + json.dumps(shown | rates).encode() + b"\n\n"
    finally:
        _open_streams -= 1
