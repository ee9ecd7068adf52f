"""Operations on enforcement states: a snapshot by page, a stream, and a query by account."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import msgspec
from django.http import HttpRequest, StreamingHttpResponse
from ninja import Router

from wavebreak_server.http.app_context import run_query
from wavebreak_server.http.auth import Scope
from wavebreak_server.http.openapi import STREAM, media
from wavebreak_server.http.requests import ApiKeyAuth, RequestContext, StrictQuery
from wavebreak_server.pipeline import states as enforcement_states
from wavebreak_server.slices import schemas
from wavebreak_server.slices.streams.api import StreamSource, stream_response

SCOPES: tuple[Scope, ...] = ("read", "decide")
router = Router(auth=ApiKeyAuth(*SCOPES))


def _terms(context: RequestContext) -> enforcement_states.StateTerms:
    feedback, responder = context.app.holder_notices.feedback, context.service.responder
    return enforcement_states.StateTerms(feedback, responder.challenges)


@router.get(
    "/v1/states",
    response=schemas.StatesPageJson,
    summary="The enforcement states in force, by the number of their decisions: a snapshot.",
)
async def states(
    request: HttpRequest, query: Annotated[schemas.StatesQuery, StrictQuery(...)]
) -> enforcement_states.StatesPage:
    """Return a page of the states that are not `allow`."""
    context = RequestContext.of(request)
    terms = _terms(context)
    return await run_query(
        lambda: enforcement_states.states_page(query.since, query.limit, context.now_ms, terms)
    )


@router.get(
    "/v1/states/stream",
    summary="Enforcement states as they change, lifts included, as server-sent events; the event "
    "id is the decision's number.",
    openapi_extra=media(STREAM),
)
async def follow_states(
    request: HttpRequest, query: Annotated[schemas.StreamQuery, StrictQuery(...)]
) -> StreamingHttpResponse:
    """Stream enforcement states from a number on."""
    context = RequestContext.of(request)

    def load(
        at: enforcement_states.StreamPosition, limit: int
    ) -> list[tuple[enforcement_states.StreamPosition, bytes]]:
        changed = enforcement_states.states_after(at, limit, _terms(context))
        return [(position, msgspec.json.encode(state)) for position, state in changed]

    begin = enforcement_states.StreamPosition.begin
    return stream_response(request, StreamSource("state", begin, load, SCOPES), query.since)


@router.post(
    "/v1/states/query",
    response=schemas.StatesJson,
    summary="The enforcement states of up to 1,000 accounts, in their order; an account without a "
    "decision is allowed.",
)
async def query_states(request: HttpRequest, asked: schemas.Accounts) -> enforcement_states.States:
    """Return the state of each account."""
    context = RequestContext.of(request)
    find: Any = partial(
        enforcement_states.states_of,
        asked.accounts,
        context.now_ms,
        _terms(context),
    )
    return enforcement_states.States(await run_query(find))
