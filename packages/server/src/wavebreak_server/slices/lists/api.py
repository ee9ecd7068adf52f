"""Operations on outside lists: the mode and size of each, and our own convictions to publish."""

from __future__ import annotations

from typing import cast

import msgspec
from django.http import HttpResponse

from wavebreak_server.http.app_context import run_query
from wavebreak_server.http.operations import RequestContext, Router
from wavebreak_server.http.responses import JSON
from wavebreak_server.http.schemas import Response
from wavebreak_server.pipeline.states import StateTerms
from wavebreak_server.slices.lists import service as lists
from wavebreak_server.slices.lists.service import Conviction, OutsideList


class OutsideLists(Response):
    """Every outside list that is configured or has sent events."""

    lists: list[OutsideList]


class Convicted(Response):
    """The convictions that an edge may publish; `version` is that of the header `ETag`."""

    items: list[Conviction]
    version: str


router = Router()


@router.operation(
    "GET",
    "/v1/lists",
    "Outside lists: the mode of each, how many accounts and servers it names, its newest event.",
    503,
    scopes=("read",),
)
async def outside_lists(context: RequestContext) -> OutsideLists:
    """Return every list."""
    terms = context.service.responder.lists
    overviews: list[OutsideList] = await context.service.ask(
        lambda engine: lists.overview(engine.lists, terms)
    )
    return OutsideLists(lists=overviews)


@router.operation(
    "GET",
    "/v1/lists/convicted",
    "Convictions that stand, for the lists that an edge publishes: by reactions or by a person, "
    "once the holder was notified. With `If-None-Match` and nothing new the response is 304. What "
    "is no longer in it was lifted.",
    scopes=("list", "read"),
)
async def convicted(context: RequestContext) -> Convicted:
    """Return the convictions, as far as the caller does not have them."""
    responder, published = context.service.responder, context.app.state_of(lists.Published)
    terms = StateTerms(context.app.holder_notices.feedback, responder.challenges)
    items, version = await run_query(lambda: published.read(context.now_ms, terms))
    tag = f'"{version}"'
    if tag in context.headers.get("If-None-Match", ""):
        response = HttpResponse(status=304)
    else:
        body = msgspec.json.encode(Convicted(items=items, version=version))
        response = HttpResponse(body, content_type=JSON)
    response["ETag"] = tag
    return cast("Convicted", response)
