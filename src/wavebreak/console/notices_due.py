"""Messages that a delayed notice has become due, so that the platform can tell the holder then.

`decision.made` reaches the platform at once, with the time of the notice. What is delayed (the
policy's `[feedback]`) waits in a table; when it is due, the platform is sent `decision.notice_due`,
if the decision is still in force: who was freed meanwhile, or has a newer decision, gets none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec
import structlog
from django.db import transaction

from wavebreak.console import statements
from wavebreak.console.models import IndexerState, NoticeDue
from wavebreak.service.app_context import AppContext, closing_connection
from wavebreak.service.holder_notices import HolderNotices
from wavebreak.service.models import Decision, EnforcementState
from wavebreak.service.platform_messages import enqueue_message
from wavebreak.service.service import Service

logger = structlog.stdlib.get_logger("wavebreak.console")

BATCH = 500
PACE_S = 2.0


def note_delayed(notices: HolderNotices, now_ms: int) -> int:
    """Put delayed notices of new decisions on the calendar; return how many decisions were read.

    The first time it begins with the newest decision: holders are notified of nothing old.
    """
    with transaction.atomic():
        state, _ = IndexerState.objects.select_for_update().get_or_create(id=1)
        if state.noticed is None:
            newest = Decision.objects.order_by("-number").values_list("number", flat=True).first()
            IndexerState.objects.filter(id=1).update(noticed=newest or 0)
            return 0
        rows = list(Decision.objects.after(state.noticed).values_list("number", "body")[:BATCH])
        if not rows:
            return 0
        made = ((number, msgspec.json.decode(bytes(body))) for number, body in rows)
        due = ((number, d, _due_ms(notices, d)) for number, d in made if d["outcome"] != "allow")
        NoticeDue.objects.bulk_create(
            [
                NoticeDue(number=number, account=decision["account"], due_ms=due_ms)
                for number, decision, due_ms in due
                if due_ms > now_ms
            ],
            ignore_conflicts=True,
        )
        IndexerState.objects.filter(id=1).update(noticed=rows[-1][0])
    return len(rows)


def _due_ms(notices: HolderNotices, decision: Mapping[str, Any]) -> int:
    """Return when a decision's notice is due; 0 where there is none."""
    return notices.notify_at_ms(decision) if statements.has_notice(decision) else 0


def send_due(notices: HolderNotices, now_ms: int) -> int:
    """Send the messages of notices that are due now; return how many were due."""
    with transaction.atomic():
        rows = NoticeDue.objects.select_for_update().filter(due_ms__lte=now_ms)
        due = list(rows.order_by("due_ms")[:BATCH])
        for row in due:
            _send(notices, row, now_ms)
        NoticeDue.objects.filter(number__in=[row.number for row in due]).delete()
    return len(due)


def _send(notices: HolderNotices, row: NoticeDue, now_ms: int) -> None:
    held = EnforcementState.objects.filter(account=row.account, decision=row.number).first()
    body = Decision.objects.filter(number=row.number).values_list("body", flat=True).first()
    if held is None or body is None or (held.until is not None and held.until <= now_ms):
        return
    decision = msgspec.json.decode(bytes(body)) | {"number": row.number}
    notice = statements.notice_of(notices, decision)
    if notice is None:
        return
    data = {
        "account": row.account,
        "decision": decision["id"],
        "outcome": decision["outcome"],
        "until_ms": decision.get("until"),
        "notify_at_ms": row.due_ms,
        "url": notice.url,
    }
    enqueue_message("decision.notice_due", data, now_ms)


class NoticeCalendar:
    """Sends the messages while the service runs; a coroutine of `Service(background=…)`."""

    def __init__(self, app: AppContext) -> None:
        self._app = app

    async def __call__(self, service: Service) -> None:
        """Note and send until cancelled."""
        while True:
            try:
                count = await asyncio.to_thread(closing_connection(lambda: self._turn(service)))
            except Exception as error:
                logger.exception("sending due notices failed", cause=type(error).__name__)
                count = 0
            if count < BATCH:
                await asyncio.sleep(PACE_S)

    def _turn(self, service: Service) -> int:
        notices, now_ms = self._app.holder_notices, service.clock()
        return max(note_delayed(notices, now_ms), send_due(notices, now_ms))
