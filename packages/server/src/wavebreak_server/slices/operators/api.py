"""Operations on operators: accounts that seem to be of one hand, and why."""

from __future__ import annotations

from typing import Annotated

from django.http import HttpRequest
from ninja import Path, Router

from wavebreak.linking import Operator
from wavebreak_server.errors import ApiError
from wavebreak_server.http.openapi import problems
from wavebreak_server.http.requests import ApiKeyAuth, RequestContext, StrictQuery
from wavebreak_server.slices import schemas

router = Router()


async def _operators(request: HttpRequest) -> list[Operator]:
    context = RequestContext.of(request)
    found: list[Operator] = await context.service.ask(lambda engine: engine.operators())
    return found


@router.get(
    "/v1/operators",
    auth=ApiKeyAuth("read"),
    response=schemas.Operators,
    summary="Accounts that seem to be of one operator, with the evidence on each edge.",
    openapi_extra=problems(503),
)
async def list_operators(
    request: HttpRequest, query: Annotated[schemas.OperatorsQuery, StrictQuery(...)]
) -> schemas.Operators:
    """Return the operators, those with most accounts first."""
    found = await _operators(request)
    return schemas.Operators(operators=found[: query.limit], total=len(found))


@router.get(
    "/v1/operators/{operator}",
    auth=ApiKeyAuth("read"),
    response=schemas.OperatorJson,
    summary="One operator: its accounts, and each edge between them with what it rests on.",
    openapi_extra=problems(404, 503),
)
async def get_operator(request: HttpRequest, operator: Path[schemas.OperatorId]) -> Operator:
    """Return one operator."""
    for found in await _operators(request):
        if found.id == operator:
            return found
    raise ApiError(404, "there is no such operator", fix="see /v1/operators")
