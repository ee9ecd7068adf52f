"""What the console offers to the API and to webhooks: links for holders, and their appeals."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.conf import settings

from wavebreak.engine import Engine
from wavebreak.notices import Language, Statement
from wavebreak_server.service.app_context import AppContext
from wavebreak_server.service.errors import ApiError
from wavebreak_server.service.holder_notices import HolderNotices, NewAppeal, Notice
from wavebreak_server.service.ledger_store import LedgerStore
from wavebreak_server.service.service import Background
from wavebreak_server.slices.appeals import service as appeals
from wavebreak_server.slices.appeals.models import Appeal
from wavebreak_server.slices.queue.contact_warnings import ContactWarner
from wavebreak_server.slices.statements import service as statements


def open_holder_pages(app: AppContext, local: Path | None) -> list[Background]:
    """Offer pages for holders to the API and to webhooks; return their background tasks."""
    settings.CONSOLE_POLICY = local
    app.holder_pages = ConsolePages(app)
    return [appeals.AppealUpkeep(), ContactWarner(app)]


class ConsolePages:
    """`HolderPages` by the console's public pages.

    Args:
        app: What has `holder_notices`, as they are now.

    """

    def __init__(self, app: AppContext) -> None:
        self._app = app

    @property
    def _notices(self) -> HolderNotices:
        return self._app.holder_notices

    def notice(self, decision: Mapping[str, Any]) -> Notice | None:
        """Return where a decision's statement is; None where there is no notice."""
        return statements.notice_of(self._notices, decision)

    def statement(self, decision: Mapping[str, Any], language: Language, now_ms: int) -> Statement:
        """Return the statement with its links and corrections, and store it as shown."""
        made = statements.statement_of(self._notices, decision, language, now_ms)
        statements.keep_shown(decision, made, now_ms)
        return made

    def ties(self, engine: Engine, account: str) -> appeals.Ties:
        """Read what appeals are grouped by, on the engine's thread."""
        return appeals.ties_of(engine, account)

    def open_appeal(
        self,
        new: NewAppeal,
        ties: appeals.Ties,
        by: str,
        reason: str,
        now_ms: int,
        store: LedgerStore,
    ) -> tuple[dict[str, Any], bool]:
        """Open an appeal in the open transaction; return it, and whether it is new.

        Raises ApiError (404) without such a decision, (409) where it cannot be appealed against.
        """
        decision = statements.stored_decision(new.decision)
        if decision is None or not statements.has_notice(decision):
            raise ApiError(404, "no decision with this id can be appealed against")
        found = appeals.appeal_of(new.decision)
        live = found is not None and found.state != Appeal.UNVERIFIED
        if not live and not appeals.may_appeal(self._notices, decision, now_ms):
            raise ApiError(409, "the time for an appeal has ended, or nothing is restricted")
        language = new.language or self._notices.platform.default_language
        statement = appeals.clean_statement(new.statement)
        made, opened = appeals.open_from_platform(
            decision, statement, language, ties, store, by, reason, now_ms
        )
        return appeal_json(made), opened

    def appeals(self, since: int, limit: int) -> list[dict[str, Any]]:
        """Return appeals with an id above `since`, in order."""
        live = Appeal.objects.filter(id__gt=since, state__in=(Appeal.OPEN, Appeal.DECIDED))
        return [appeal_json(one) for one in live.order_by("id")[:limit]]

    def appeal(self, appeal_id: int) -> dict[str, Any] | None:
        """Return an appeal that was confirmed."""
        live = Appeal.objects.filter(id=appeal_id, state__in=(Appeal.OPEN, Appeal.DECIDED))
        found = live.first()
        return None if found is None else appeal_json(found)


def appeal_json(appeal: Appeal) -> dict[str, Any]:
    """Return an appeal as the API shows it: without its statement and its reviewer."""
    return {
        "id": appeal.id,
        "decision": appeal.decision,
        "account": appeal.account,
        "state": appeal.state,
        "language": appeal.language,
        "opened_ms": appeal.opened_ms,
        "deadline_ms": appeal.deadline_ms,
        "decided_ms": appeal.decided_ms,
        "result": appeal.result or None,
        "reason": appeal.reason or None,
        "outcome": appeal.new_outcome or None,
        "until_ms": appeal.new_until_ms,
    }
