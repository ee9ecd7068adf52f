"""Operations for platforms on appeals of their account holders."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from wavebreak.outcomes import Outcome
from wavebreak_server.errors import ApiError
from wavebreak_server.http.app_context import run_query, run_write
from wavebreak_server.http.operations import RequestContext, Router, WithStatus
from wavebreak_server.http.schemas import DecisionNumber, Justification, PageQuery, Response
from wavebreak_server.slices.appeals import service
from wavebreak_server.slices.appeals.models import Appeal
from wavebreak_server.slices.config import settings_of
from wavebreak_server.slices.statements.api import LanguageCode
from wavebreak_server.slices.statements.service import offered_language
from wavebreak_server.storage import models
from wavebreak_server.texts import translate

AppealNumber = Annotated[int, Meta(ge=1, le=2**53 - 1, description="the appeal's id")]


class NewAppeal(Justification):
    """An appeal of a holder whom the platform has authenticated, in the holder's words."""

    decision: Annotated[
        str, Meta(pattern="^[0-9a-f]{32}$", description="the id of the decision appealed against")
    ]
    statement: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=2000,
            pattern=r"[^\s\x00-\x1f\x7f]",
            description="why the holder thinks that it is wrong; stored encrypted",
        ),
    ]
    language: LanguageCode | None = None


class HolderAppeal(Response):
    """An appeal: its state, when it is due, and its answer; never its statement or its reviewer."""

    id: int
    decision: str
    account: str
    state: Literal["open", "decided"]
    language: str
    opened_ms: int | None
    deadline_ms: int | None
    decided_ms: int | None
    result: Literal["unchanged", "partially_reversed", "reversed"] | None
    reason: str | None
    outcome: Outcome | None
    until_ms: int | None


class HolderAppeals(Response):
    """Appeals in the order in which they came; the next page starts at `since` = `next`."""

    appeals: list[HolderAppeal]
    next: DecisionNumber


router = Router()


def _as_json(appeal: Appeal) -> HolderAppeal:
    """Return an appeal as the API shows it: without its statement and its reviewer."""
    return HolderAppeal(
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


@router.operation(
    "POST",
    "/v1/appeals",
    "Submit an appeal for a holder whom the platform has authenticated; where there is one "
    "against this decision, it is returned.",
    404,
    409,
    503,
    scopes=("override",),
    statuses=(201, 200),
)
async def submit_appeal(context: RequestContext, body: NewAppeal) -> WithStatus[HolderAppeal]:
    """Open an appeal, or return the one that there is."""
    notices = context.app.holder_notices
    rows = models.Decision.objects.filter(id=body.decision).values_list("account", flat=True)
    account = await run_query(rows.first)
    if account is None:
        raise ApiError(404, translate("no decision with this id can be appealed against"))
    language = offered_language(notices.platform, body.language)
    wanted = service.PlatformAppeal(
        body.decision, body.statement, language, context.key, body.reason
    )
    operator = await service.operator_of(context.service, account)
    store, terms = context.service.ledger_store, settings_of(context.app).appeals
    made, opened = await run_write(
        lambda: service.submit_for_holder(notices, wanted, operator, store, context.now_ms, terms)
    )
    return WithStatus(201 if opened else 200, _as_json(made))


@router.operation(
    "GET", "/v1/appeals", "Appeals that their holders confirmed, by id.", scopes=("read",)
)
async def list_appeals(context: RequestContext, query: PageQuery) -> HolderAppeals:
    """Return a page of appeals."""
    later = service.confirmed_appeals().filter(id__gt=query.since).order_by("id")
    rows = await run_query(lambda: list(later[: query.limit]))
    return HolderAppeals(
        appeals=[_as_json(appeal) for appeal in rows],
        next=query.next_page(appeal.id for appeal in rows),
    )


@router.operation(
    "GET",
    "/v1/appeals/{appeal}",
    "An appeal: its state, when it is due, and its answer.",
    404,
    scopes=("read",),
)
async def get_appeal(context: RequestContext, appeal: AppealNumber) -> HolderAppeal:
    """Return an appeal."""
    row = await run_query(service.confirmed_appeals().filter(id=appeal).first)
    if row is None:
        raise ApiError(404, translate("there is no such appeal"), fix=translate("list the appeals"))
    return _as_json(row)
