"""Operations on enforcement states: a snapshot by page, a stream, and a query by account."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import msgspec
from django.http import StreamingHttpResponse
from msgspec import Meta

from wavebreak_server.http import schemas
from wavebreak_server.http.app_context import run_query
from wavebreak_server.http.auth import Scope
from wavebreak_server.http.operations import MAX_BODY, RequestContext, Router
from wavebreak_server.http.responses import STREAM
from wavebreak_server.http.streams import StreamSource, stream_response
from wavebreak_server.pipeline import states as enforcement_states
from wavebreak_server.pipeline.states import MAX_ACCOUNTS, MAX_PAGE

SCOPES: tuple[Scope, ...] = ("read", "decide")


class StatesQuery(schemas.Request):
    """A page of enforcement states: of decisions with a number above `since`, at most `limit`."""

    since: schemas.DecisionNumber = 0
    limit: Annotated[int, Meta(ge=1, le=MAX_PAGE)] = MAX_PAGE


class Accounts(schemas.Request):
    """Accounts whose enforcement states are asked for."""

    accounts: Annotated[list[schemas.AccountId], Meta(min_length=1, max_length=MAX_ACCOUNTS)]

    def __post_init__(self) -> None:
        """Raise ValueError for an id that is too long."""
        schemas.check_account_ids(self.accounts)


router = Router(*SCOPES)


def _terms(context: RequestContext) -> enforcement_states.StateTerms:
    feedback, responder = context.app.holder_notices.feedback, context.service.responder
    return enforcement_states.StateTerms(feedback, responder.challenges)


@router.operation(
    "GET",
    "/v1/states",
    "The enforcement states in force, by the number of their decisions: a snapshot.",
)
async def states(context: RequestContext, query: StatesQuery) -> enforcement_states.StatesPage:
    """Return a page of the states that are not `allow`."""
    terms, as_of = _terms(context), context.service.as_of()
    return await run_query(
        lambda: enforcement_states.states_page(
            query.since, query.limit, context.now_ms, terms, as_of
        )
    )


@router.operation(
    "GET",
    "/v1/states/stream",
    "Enforcement states as they change, lifts included, as server-sent events; the event "
    "id is the decision's number.",
    media=STREAM,
)
async def follow_states(
    context: RequestContext, query: schemas.StreamQuery
) -> StreamingHttpResponse:
    """Stream enforcement states from a number on."""

    def load(
        at: enforcement_states.StreamPosition, limit: int
    ) -> list[tuple[enforcement_states.StreamPosition, bytes]]:
        changed = enforcement_states.states_after(at, limit, _terms(context))
        return [(position, msgspec.json.encode(state)) for position, state in changed]

    begin = enforcement_states.StreamPosition.begin
    return stream_response(context, StreamSource("state", begin, load, SCOPES), query.since)


@router.operation(
    "POST",
    "/v1/states/query",
    "The enforcement states of up to 1,000 accounts, in their order; an account without a "
    "decision is allowed.",
    max_body=MAX_BODY,
)
async def query_states(context: RequestContext, body: Accounts) -> enforcement_states.States:
    """Return the state of each account."""
    as_of = context.service.as_of()
    find: Any = partial(
        enforcement_states.states_of, body.accounts, context.now_ms, _terms(context)
    )
    return enforcement_states.States(await run_query(find), as_of or msgspec.UNSET)
