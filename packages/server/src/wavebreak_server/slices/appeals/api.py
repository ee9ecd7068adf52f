"""Operations for platforms on appeals of their account holders."""

from __future__ import annotations

from typing import Annotated, Any

from django.http import HttpRequest
from ninja import Path, Router, Status

from wavebreak_server.errors import ApiError
from wavebreak_server.http.app_context import run_query, run_write
from wavebreak_server.http.openapi import problems
from wavebreak_server.http.requests import ApiKeyAuth, RequestContext, StrictQuery
from wavebreak_server.slices import schemas
from wavebreak_server.slices.appeals import service
from wavebreak_server.slices.appeals.models import Appeal
from wavebreak_server.slices.config import settings_of
from wavebreak_server.slices.statements.service import offered_language
from wavebreak_server.storage.models import Decision

router = Router()


def _as_json(appeal: Appeal) -> schemas.HolderAppeal:
    """Return an appeal as the API shows it: without its statement and its reviewer."""
    return schemas.HolderAppeal(
        id=appeal.id,
        decision=appeal.decision,
        account=appeal.account,
        state=appeal.state,
        language=appeal.language,
        opened_ms=appeal.opened_ms,
        deadline_ms=appeal.deadline_ms,
        decided_ms=appeal.decided_ms,
        result=appeal.result or None,
        reason=appeal.reason or None,
        outcome=appeal.new_outcome or None,
        until_ms=appeal.new_until_ms,
    )


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
    notices = context.app.holder_notices
    rows = Decision.objects.filter(id=new.decision).values_list("account", flat=True)
    account = await run_query(rows.first)
    if account is None:
        raise ApiError(404, "no decision with this id can be appealed against")
    language = offered_language(notices.platform, new.language)
    wanted = service.PlatformAppeal(new.decision, new.statement, language, context.key, new.reason)
    ties = await context.service.ask(lambda engine: service.ties_of(engine, account))
    store, terms = context.service.ledger_store, settings_of(context.app).appeals
    made, opened = await run_write(
        lambda: service.submit_for_holder(notices, wanted, ties, store, context.now_ms, terms)
    )
    return Status(201 if opened else 200, _as_json(made))


@router.get(
    "/v1/appeals",
    auth=ApiKeyAuth("read"),
    response=schemas.HolderAppeals,
    summary="Appeals that their holders confirmed, by id.",
)
async def list_appeals(
    request: HttpRequest, query: Annotated[schemas.PageQuery, StrictQuery(...)]
) -> schemas.HolderAppeals:
    """Return a page of appeals."""
    later = service.confirmed_appeals().filter(id__gt=query.since).order_by("id")
    rows = await run_query(lambda: list(later[: query.limit]))
    return schemas.HolderAppeals(
        appeals=[_as_json(appeal) for appeal in rows],
        next=query.next_page(appeal.id for appeal in rows),
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
    row = await run_query(service.confirmed_appeals().filter(id=appeal).first)
    if row is None:
        raise ApiError(404, "there is no such appeal", fix="list the appeals")
    return _as_json(row)
