"""Warnings to people whom a banned account wrote to first; off unless platform.toml says so.

The platform is sent one message for each ban, with the people and the texts in every language; it
shows the warning beside the chat. A cursor of its own makes each ban count once.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import structlog
from django.db import transaction

from wavebreak.notices import contact_warning, get_language
from wavebreak.schema.events import TYPES
from wavebreak_server.http.app_context import AppContext, run_background_query
from wavebreak_server.pipeline.holder_notices import HolderNotices
from wavebreak_server.pipeline.platform_messages import enqueue_message
from wavebreak_server.pipeline.service import Service
from wavebreak_server.slices.accounts.service import events_from_the_end
from wavebreak_server.slices.queue.models import IndexerState
from wavebreak_server.storage.models import Decision, EnforcementState

logger = structlog.stdlib.get_logger("wavebreak.console")

MOST_PEOPLE = 1_000
BATCH = 20
SCANNED = 2_000
PACE_S = 2.0
_SENT = TYPES.index("message.sent")


def first_contacts(account: str, most: int = MOST_PEOPLE) -> list[str]:
    """Return people whom an account wrote to before they wrote to it, newest contact first.

    As far back as the timeline of an account reads the log.
    """
    wrote: dict[str, int] = {}
    heard: dict[str, int] = {}
    for events in events_from_the_end():
        if events is None or "peer" not in events.schema.names:
            continue
        _add_messages(events, account, wrote, heard)
    first = [(at, peer) for peer, at in wrote.items() if at < heard.get(peer, at + 1)]
    return [peer for _, peer in sorted(first, reverse=True)[:most]]


def _add_messages(
    events: pa.RecordBatch, account: str, wrote: dict[str, int], heard: dict[str, int]
) -> None:
    narrow = events.select(["type", "ts", "account", "peer"])
    narrow = narrow.filter(pc.equal(narrow.column("type"), _SENT))
    peers = pc.fill_null(pc.equal(narrow.column("peer"), account), False)
    for event in narrow.filter(
        pc.or_(pc.equal(narrow.column("account"), account), peers)
    ).to_pylist():
        mine = event["account"] == account
        other, at = event["peer"] if mine else event["account"], int(event["ts"])
        if other is not None:
            held = wrote if mine else heard
            held[other] = min(at, held.get(other, at))


def warn_contacts(notices: HolderNotices, now_ms: int) -> int:
    """Send warnings about new bans, where the operator warns; return how many decisions were read.

    The warning waits for the ban's own notice, and a ban that ended meanwhile has none.
    """
    state, _ = IndexerState.objects.get_or_create(id=1)
    newer = Decision.objects.after(state.warned)
    if not notices.platform.warn_contacts:
        last = Decision.objects.order_by("-number").values_list("number", flat=True).first()
        IndexerState.objects.filter(id=1).update(warned=last or 0)
        return 0
    rows = list(newer.values_list("number", "outcome", "account", "body")[:SCANNED])
    bans = [row for row in rows if row[1] == "ban"]
    done = rows if len(bans) <= BATCH else [row for row in rows if row[0] <= bans[BATCH - 1][0]]
    messages = [
        _message(notices, account, msgspec.json.decode(bytes(body)))
        for _, outcome, account, body in done
        if outcome == "ban"
    ]
    with transaction.atomic():
        for data, due_ms in filter(None, messages):
            enqueue_message("contact.warning", data, now_ms, due_ms=due_ms)
        if done:
            IndexerState.objects.filter(id=1).update(warned=done[-1][0])
    return len(done)


def _message(
    notices: HolderNotices, account: str, decision: dict[str, Any]
) -> tuple[dict[str, Any], int] | None:
    state = EnforcementState.objects.filter(account=account, outcome="ban").exists()
    people = first_contacts(account) if state else []
    if not people:
        return None
    platform = notices.platform
    written = (
        contact_warning(decision, platform=platform, language=get_language(code))
        for code in platform.languages
    )
    warnings = {w.language: msgspec.to_builtins(w) for w in written if w is not None}
    data = {"account": account, "decision": decision["id"], "people": people, "warnings": warnings}
    return data, notices.notify_at_ms(decision)


class ContactWarner:
    """Sends the warnings while the service runs; a coroutine of `Service(background=…)`."""

    def __init__(self, app: AppContext) -> None:
        self._app = app

    async def __call__(self, service: Service) -> None:
        """Warn until cancelled."""
        while True:
            try:
                count = await run_background_query(
                    lambda: warn_contacts(self._app.holder_notices, service.clock())
                )
            except Exception as error:
                logger.exception("warning contacts failed", cause=type(error).__name__)
                count = 0
            if count < SCANNED:
                await asyncio.sleep(PACE_S)
