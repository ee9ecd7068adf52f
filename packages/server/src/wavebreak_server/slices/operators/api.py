"""Operations on operators: accounts that seem to be of one hand, and why."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from wavebreak.engine.account_queries import operators
from wavebreak.linking import Operator
from wavebreak_server.errors import ApiError
from wavebreak_server.http.operations import RequestContext, Router
from wavebreak_server.http.schemas import Request, Response
from wavebreak_server.texts import translate

OperatorId = Annotated[str, Meta(pattern="^op-[0-9a-f]{12}$", description="the operator's id")]


class OperatorsQuery(Request):
    """How many operators are wanted, those with most accounts first."""

    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class Operators(Response):
    """Accounts that seem to be of one operator; `total` counts those that are not listed too."""

    operators: list[Operator]
    total: int


router = Router("read")


async def _operators(context: RequestContext) -> list[Operator]:
    return await context.service.query(operators)


@router.operation(
    "GET",
    "/v1/operators",
    "Accounts that seem to be of one operator, with the evidence on each edge.",
    503,
)
async def list_operators(context: RequestContext, query: OperatorsQuery) -> Operators:
    """Return the operators, those with most accounts first."""
    found = await _operators(context)
    return Operators(operators=found[: query.limit], total=len(found))


@router.operation(
    "GET",
    "/v1/operators/{operator}",
    "One operator: its accounts, and each edge between them with what it rests on.",
    404,
    503,
)
async def get_operator(context: RequestContext, operator: OperatorId) -> Operator:
    """Return one operator."""
    for found in await _operators(context):
        if found.id == operator:
            return found
    raise ApiError(404, translate("there is no such operator"), fix=translate("see /v1/operators"))
