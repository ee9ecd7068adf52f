"""The operation for platforms on statements of reasons."""

from __future__ import annotations

from typing import Annotated

import msgspec
from django.http import HttpRequest
from ninja import Path, Router

from wavebreak.notices import get_language
from wavebreak_server.errors import ApiError
from wavebreak_server.http.app_context import run_write
from wavebreak_server.http.openapi import problems
from wavebreak_server.http.requests import ApiKeyAuth, RequestContext, StrictQuery
from wavebreak_server.pipeline.statement_links import has_notice, notice_of
from wavebreak_server.slices import schemas
from wavebreak_server.slices.statements import service

router = Router()


@router.get(
    "/v1/decisions/{decision}/statement",
    auth=ApiKeyAuth("read"),
    response=schemas.DecisionStatement,
    summary="A decision's statement of reasons for the account's holder, to show or to send.",
    openapi_extra=problems(404),
)
async def statement(
    request: HttpRequest,
    decision: Path[schemas.DecisionId],
    query: Annotated[schemas.StatementQuery, StrictQuery(...)],
) -> schemas.DecisionStatement:
    """Return a statement of reasons, with its link and the time of notification."""
    context = RequestContext.of(request)
    notices = context.app.holder_notices
    language = get_language(service.offered_language(notices.platform, query.language))

    def load() -> schemas.DecisionStatement:
        made = service.stored_decision(decision)
        if made is None or not has_notice(made):
            raise ApiError(404, "there is no notice of such a decision")
        written = service.statement_of(notices, made, language, context.now_ms)
        service.keep_shown(made, written, context.now_ms)
        notice = notice_of(notices, made)
        return schemas.DecisionStatement(
            decision=written.decision,
            language=written.language,
            direction="rtl" if written.direction == "rtl" else "ltr",
            title=written.title,
            text=written.text(),
            url=notice.url if notice else "",
            notify_at_ms=notices.notify_at_ms(made),
            statement=msgspec.to_builtins(written),
        )

    return await run_write(load)
