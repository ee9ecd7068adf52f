"""Indexer: reads new decisions into the queue's tables, in a background task of the service.

Each pass reads decisions behind a cursor, counts them by day, opens or refreshes the account's
review case, and moves the cursor in the same transaction, so that every decision counts once.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import msgspec
from django.db import transaction
from django.db.models import F

from wavebreak.durations import DAY_MS
from wavebreak_server.http.app_context import run_background_query
from wavebreak_server.pipeline.service import Service
from wavebreak_server.slices.config import Queue
from wavebreak_server.slices.queue.models import DailyCount, IndexerState, ReviewCase
from wavebreak_server.slices.queue.service import becomes_case, is_drawn, priority_of, sample_key
from wavebreak_server.storage.models import Decision

BATCH = 500
PACE_S = 0.5
PERSONS = frozenset({"person", "challenge"})


def index_decisions(settings: Queue, now_ms: int) -> tuple[int, int]:
    """Read up to `BATCH` decisions into the queue's tables; return how many, and the cursor."""
    with transaction.atomic():
        state, _ = IndexerState.objects.select_for_update().get_or_create(id=1)
        newer = Decision.objects.after(state.cursor)[:BATCH]
        rows = list(newer.values_list("number", "account", "ts", "outcome", "stage", "body"))
        if not rows:
            return 0, int(state.cursor)
        decisions = [(number, msgspec.json.decode(bytes(body))) for number, *_, body in rows]
        _count(decisions)
        key = sample_key()
        for number, decision in decisions:
            drawn = is_drawn(settings, decision, number, key)
            _index_case(settings, number, decision, now_ms, drawn=drawn)
        IndexerState.objects.filter(id=1).update(cursor=rows[-1][0])
    return len(rows), int(rows[-1][0])


def _count(decisions: list[tuple[int, dict[str, Any]]]) -> None:
    counts = Counter(
        (d["ts"] // DAY_MS, d["outcome"], d["stage"], d.get("basis") not in PERSONS)
        for _, d in decisions
    )
    for (day, outcome, stage, automated), count in sorted(counts.items()):
        row, _ = DailyCount.objects.get_or_create(
            day=day, outcome=outcome, stage=stage, automated=automated
        )
        DailyCount.objects.filter(id=row.id).update(count=F("count") + count)


def _index_case(
    settings: Queue, number: int, decision: dict[str, Any], now_ms: int, *, drawn: bool
) -> None:
    """Open an account's case or refresh it; what was lifted needs no review any more."""
    opened = ReviewCase.objects.filter(
        account=decision["account"], state=ReviewCase.OPEN, blind=False
    )
    if decision["outcome"] == "allow" or decision.get("basis") == "person":
        opened.filter(reopened_at__lt=number).update(
            state=ReviewCase.CLOSED, closed_ms=now_ms, verdict="ended", version=F("version") + 1
        )
        return
    priority = priority_of(settings, decision)
    if not drawn and not becomes_case(settings, decision, priority):
        return
    rules = decision.get("rules") or [""]
    values = {
        "decision": number,
        "outcome": decision["outcome"],
        "rule": rules[0],
        "basis": decision.get("basis", ""),
        "score": decision.get("score"),
        "changed_ms": now_ms,
        "harm": priority.harm,
        "uncertainty": priority.uncertainty,
        "priority": priority.value,
        "why": priority.why,
    } | ({"drawn": True} if drawn else {})
    if opened.update(**values, decisions=F("decisions") + 1, version=F("version") + 1):
        return
    ReviewCase.objects.create(account=decision["account"], opened_ms=now_ms, **values)


class Indexer:
    """Indexes while the service runs; a coroutine of `Service(background=…)`."""

    def __init__(self, settings: Queue) -> None:
        self._settings = settings

    async def __call__(self, service: Service) -> None:
        """Index until cancelled."""
        while True:
            count, cursor = await run_background_query(
                lambda: index_decisions(self._settings, service.clock())
            )
            if count < BATCH:
                await service.wait_for_decision(cursor)
                await asyncio.sleep(PACE_S)
