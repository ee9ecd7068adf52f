"""Indexer: reads new decisions into the queue's tables, in a background task of the service.

Each pass reads decisions behind a cursor, counts them by day, opens or refreshes the account's
review case, and moves the cursor in the same transaction, so that every decision counts once.
Between passes it measures some of the open cases again, those first whose measure is oldest, and
groups those that wait into campaigns.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import msgspec
from django.db import transaction
from django.db.models import F, Min

from wavebreak.durations import DAY_MS
from wavebreak.engine.account_queries import (
    LiveAccount,
    SendingTraits,
    live_accounts,
    operators,
    sending_traits,
)
from wavebreak.linking import Operator
from wavebreak_server.http.app_context import run_background_query
from wavebreak_server.pipeline.pending_requests import BusyError
from wavebreak_server.pipeline.service import Service
from wavebreak_server.slices.config import Queue
from wavebreak_server.slices.queue.campaign_rows import group_cases
from wavebreak_server.slices.queue.campaigns import NEW, measured_traits
from wavebreak_server.slices.queue.live_accounts import can_change, priority_left
from wavebreak_server.slices.queue.models import DailyCount, IndexerState, ReviewCase
from wavebreak_server.slices.queue.service import becomes_case, priority_of
from wavebreak_server.storage.models import Decision, LedgerEntry, LedgerOpening

BATCH = 500
PACE_S = 0.5
MEASURED = 300
"""Open cases that one pass measures again."""
MEASURE_MS = 60_000
"""How old the measure of an open case may be before it is taken again."""
GROUPED_S = 30.0
"""How old the list of operators, and the campaigns, may be before they are made again."""
TRAITS = ("in_force", "reached", "complained", "shape", "network", "targets", "operator")
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
        for number, decision in decisions:
            _index_case(settings, number, decision, now_ms)
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


def _index_case(settings: Queue, number: int, decision: dict[str, Any], now_ms: int) -> None:
    """Open an account's case or refresh it; what was lifted needs no review any more."""
    opened = ReviewCase.objects.filter(account=decision["account"], state=ReviewCase.OPEN)
    if decision["outcome"] == "allow" or decision.get("basis") == "person":
        opened.filter(reopened_at__lt=number).update(
            state=ReviewCase.CLOSED, closed_ms=now_ms, verdict="ended", version=F("version") + 1
        )
        return
    priority = priority_of(settings, decision)
    if not becomes_case(settings, decision, priority) or _is_overridden(decision):
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
        "idle": False,
        "measured_ms": 0,
    }
    if opened.update(**values, decisions=F("decisions") + 1, version=F("version") + 1):
        return
    ReviewCase.objects.create(
        account=decision["account"], opened_ms=now_ms, in_force=decision["outcome"],
        campaign=NEW, **values,
    )  # fmt: skip


def _is_overridden(decision: dict[str, Any]) -> bool:
    """Whether a person decided on the account after a decision was sealed.

    The indexer lags behind: a decision from before a verdict would ask for the verdict again. One
    that is sealed while the verdict is carried out counts as older than the verdict.
    """
    sealed = LedgerOpening.objects.filter(subject=decision["id"]).aggregate(at=Min("position"))
    if sealed["at"] is None:
        return False
    later = LedgerOpening.objects.filter(
        account=decision["account"], position__gt=sealed["at"]
    ).values_list("position", flat=True)
    lines = LedgerEntry.objects.filter(position__in=list(later)).values_list("line", flat=True)
    return any(msgspec.json.decode(bytes(line))["kind"] == "override" for line in lines)


async def measure_cases(
    settings: Queue, service: Service, linked: Mapping[str, Operator] | None = None
) -> int:
    """Measure anew what is left to prevent in the open cases whose turn it is; return how many.

    `linked` are the operators by account.
    """
    now = service.clock()
    cases: list[ReviewCase] = await run_background_query(lambda: _cases_to_measure(now))
    if not cases:
        return 0
    accounts = sorted({case.account for case in cases})
    live = await service.query(live_accounts, accounts)
    traits = await service.query(sending_traits, accounts)
    kinds = {rule.id: rule.abuse for rule in service.responder.policy.rules}
    await run_background_query(
        lambda: _store_measures(settings, cases, live, traits, linked or {}, kinds, now)
    )
    return len(cases)


def _cases_to_measure(now_ms: int) -> list[ReviewCase]:
    opened = ReviewCase.objects.filter(state=ReviewCase.OPEN, measured_ms__lte=now_ms - MEASURE_MS)
    return list(opened.order_by("measured_ms")[:MEASURED])


def _store_measures(
    settings: Queue, cases: list[ReviewCase], live: dict[str, LiveAccount],
    traits: Mapping[str, SendingTraits], linked: Mapping[str, Operator],
    kinds: Mapping[str, str], now_ms: int,
) -> None:  # fmt: skip
    for case in cases:
        case.measured_ms, case.abuse = now_ms, kinds.get(case.rule, case.abuse)
        account = live.get(case.account)
        if account is not None:
            left = priority_left(settings, case, account)
            case.harm, case.priority = left.harm, left.value
            case.idle = not can_change(settings, account, left)
            found = measured_traits(account, traits.get(case.account), linked.get(case.account))
            for name, value in found.items():
                setattr(case, name, value)
    # The version stays: what a person reads in a case is not changed by it.
    fields = ["measured_ms", "abuse", "harm", "priority", "idle", *TRAITS]
    with transaction.atomic():
        ReviewCase.objects.bulk_update(cases, fields, batch_size=100)


class Indexer:
    """Indexes while the service runs; a coroutine of `Service(background=…)`."""

    def __init__(self, settings: Queue) -> None:
        self._settings = settings

    async def __call__(self, service: Service) -> None:
        """Index until cancelled."""
        linked: Mapping[str, Operator] = {}
        grouped_s = -GROUPED_S
        while True:
            count, cursor = await run_background_query(
                lambda: index_decisions(self._settings, service.clock())
            )
            if count < BATCH:
                with suppress(BusyError):
                    if is_due := time.monotonic() - grouped_s >= GROUPED_S:
                        linked = await linked_accounts(service)
                        grouped_s = time.monotonic()
                    await measure_cases(self._settings, service, linked)
                    if is_due:
                        await measure_new_cases(self._settings, service, linked)
                        await run_background_query(lambda: group_cases(self._settings))
                # Accounts fall silent and outcomes end without a decision.
                with suppress(TimeoutError):
                    async with asyncio.timeout(GROUPED_S):
                        await service.wait_for_decision(cursor)
                await asyncio.sleep(PACE_S)


async def linked_accounts(service: Service) -> dict[str, Operator]:
    """Return the operators by account; none while no case is open."""
    opened = ReviewCase.objects.filter(state=ReviewCase.OPEN)
    if not await run_background_query(opened.exists):
        return {}
    found = await service.query(operators)
    return {account: operator for operator in found for account in operator.accounts}


async def measure_new_cases(
    settings: Queue, service: Service, linked: Mapping[str, Operator]
) -> None:
    """Measure until no open case is left that was never measured."""
    opened = ReviewCase.objects.filter(state=ReviewCase.OPEN)
    while await run_background_query(opened.filter(measured_ms=0).exists):
        await measure_cases(settings, service, linked)
