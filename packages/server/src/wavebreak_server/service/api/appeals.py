"""Operations for platforms on statements of reasons and on appeals of their account holders."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from django.http import HttpRequest
from ninja import Path, Router, Status

from wavebreak.notices import get_language
from wavebreak.outcomes import WITHOUT_STATEMENT
from wavebreak_server.service.api import schemas
from wavebreak_server.service.api.openapi import problems
from wavebreak_server.service.api.requests import ApiKeyAuth, RequestContext, StrictQuery
from wavebreak_server.service.app_context import run_query, run_write
from wavebreak_server.service.authentic_rows import checked_decisions
from wavebreak_server.service.errors import ApiError
from wavebreak_server.service.holder_notices import HolderPages, NewAppeal
from wavebreak_server.service.models import Decision

router = Router()


def _pages(context: RequestContext) -> HolderPages:
    pages = context.app.holder_pages
    if pages is None:
        raise ApiError(404, "no appeals are taken here", fix="serve with --console")
    return pages


def _language(context: RequestContext, code: str | None) -> str:
    platform = context.app.holder_notices.platform
    if code is None:
        return platform.default_language
    if code not in platform.languages:
        raise ApiError(422, "language is not offered", fix=f"use {', '.join(platform.languages)}")
    return code


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
    notices, pages = context.app.holder_notices, context.app.holder_pages
    language = get_language(_language(context, query.language))

    def load() -> schemas.DecisionStatement:
        rows = checked_decisions(Decision.objects.filter(id=decision))
        made: dict[str, Any] = msgspec.json.decode(bytes(rows[0].body)) if rows else {}
        if not rows or made["outcome"] in WITHOUT_STATEMENT:
            raise ApiError(404, "there is no notice of such a decision")
        made["number"] = rows[0].number
        if pages is None:
            written, url = notices.statement(made, language, context.now_ms), ""
        else:
            written = pages.statement(made, language, context.now_ms)
            notice = pages.notice(made)
            url = notice.url if notice else ""
        return schemas.DecisionStatement(
            decision=written.decision,
            language=written.language,
            direction="rtl" if written.direction == "rtl" else "ltr",
            title=written.title,
            text=written.text(),
            url=url,
            notify_at_ms=notices.notify_at_ms(made),
            statement=msgspec.to_builtins(written),
        )

    return await run_write(load)


@router.post(
    "/v1/appeals",
    auth=ApiKeyAuth("override"),
    response={201: schemas.HolderAppeal, 200: schemas.HolderAppeal},
    summary="Submit an appeal for a holder whom the platform has authenticated; where there is one "
    "against this decision, it is returned.",
    openapi_extra=problems(404, 409, 503),
)
async def submit_appeal(request: HttpRequest, new: schemas.NewAppeal) -> Any:
    """Open an appeal, or return the one that there is."""
    context = RequestContext.of(request)
    pages = _pages(context)
    wanted = NewAppeal(new.decision, new.statement, _language(context, new.language))
    rows = Decision.objects.filter(id=new.decision).values_list("account", flat=True)
    account = await run_query(rows.first)
    if account is None:
        raise ApiError(404, "no decision with this id can be appealed against")
    ties = await context.service.ask(lambda engine: pages.ties(engine, account))
    store = context.service.ledger_store
    made, opened = await run_write(
        lambda: pages.open_appeal(wanted, ties, context.key, new.reason, context.now_ms, store)
    )
    return Status(201 if opened else 200, schemas.HolderAppeal(**made))


@router.get(
    "/v1/appeals",
    auth=ApiKeyAuth("read"),
    response=schemas.HolderAppeals,
    summary="Appeals that their holders confirmed, by id.",
    openapi_extra=problems(404),
)
async def list_appeals(
    request: HttpRequest, query: Annotated[schemas.PageQuery, StrictQuery(...)]
) -> schemas.HolderAppeals:
    """Return a page of appeals."""
    pages = _pages(RequestContext.of(request))
    found = await run_query(lambda: pages.appeals(query.since, query.limit))
    return schemas.HolderAppeals(
        appeals=[schemas.HolderAppeal(**one) for one in found],
        next=query.next_page(one["id"] for one in found),
    )


@router.get(
    "/v1/appeals/{appeal}",
    auth=ApiKeyAuth("read"),
    response=schemas.HolderAppeal,
    summary="An appeal: its state, when it is due, and its answer.",
    openapi_extra=problems(404),
)
async def get_appeal(request: HttpRequest, appeal: Path[schemas.AppealNumber]) -> Any:
    """Return an appeal."""
    pages = _pages(RequestContext.of(request))
    found = await run_query(lambda: pages.appeal(appeal))
    if found is None:
        raise ApiError(404, "there is no such appeal", fix="list the appeals")
    return schemas.HolderAppeal(**found)
