"""Operations on sources: what feeds the service, what each carries, and what its platform can."""

from __future__ import annotations

from typing import Annotated

from django.http import HttpRequest
from ninja import Path, Router

from wavebreak_server.errors import ApiError
from wavebreak_server.http.app_context import run_query, run_write
from wavebreak_server.http.openapi import problems
from wavebreak_server.http.requests import ApiKeyAuth, RequestContext, StrictQuery
from wavebreak_server.slices import schemas
from wavebreak_server.slices.sources import service as sources
from wavebreak_server.slices.sources.overview import SourcesOverview, sources_overview
from wavebreak_server.storage.models import Source

router = Router()


_MEANINGS = {
    "unchanged": "this decides already",
    "live": "this decides from now on",
    "pending": "this decides once the service can be switched, at the latest after its next start",
    "waiting": "nothing has changed: this declares less than the service decides by, or changes it "
    "twice in a day, so that an administrator has to approve it",
}


def _shown(source: Source) -> schemas.Source:
    asked = schemas.AskedDeclaration(
        carries=source.asked_carries.split(),
        can=list(sources.abilities_of(source.asked_can)),
        at_ms=source.asked_ms,
    )
    return schemas.Source(
        name=source.name,
        carries=source.carries.split(),
        can=list(sources.abilities_of(source.can)),
        created_ms=source.created_ms,
        changed_ms=source.changed_ms,
        asked=asked if source.asked_ms else None,
    )


async def _applied(context: RequestContext, *, waits: bool = False) -> schemas.Application:
    service = context.service
    done = await (sources.waiting if waits else sources.apply)(service)
    service.waiting = await run_query(sources.waiting_sources)
    return schemas.Application(
        applied=done.applied,
        carries=list(done.carries),
        challenges=done.challenges,
        rules_off=list(done.rules_off),
        waited_s=done.waited_s,
        meaning=_MEANINGS[done.applied],
    )


async def _shown_applied(context: RequestContext, source: Source) -> schemas.DeclaredSource:
    applied = await _applied(context, waits=bool(source.asked_ms))
    return schemas.DeclaredSource(source=_shown(source), coverage=applied)


@router.get(
    "/v1/sources",
    auth=ApiKeyAuth("admin"),
    response=schemas.SourcesJson,
    operation_id="sources",
    summary="What feeds the service: what each source carries and its platform can do, when it was "
    "seen, and which rules lack what they read.",
)
async def listed(request: HttpRequest) -> SourcesOverview:
    """Return every source."""
    service = RequestContext.of(request).service
    return await run_query(lambda: sources_overview(service.responder.policy, service.measured))


@router.post(
    "/v1/sources",
    auth=ApiKeyAuth("admin"),
    response=schemas.DeclaredSource,
    summary="Declare a source, or what it carries and can from now on. Accounts are judged by what "
    "the source carries that reports their acts; where it cannot ask for a challenge, a limit is "
    "decided.",
    openapi_extra=problems(409),
)
async def declare_source(request: HttpRequest, new: schemas.NewSource) -> schemas.DeclaredSource:
    """Declare a source."""
    context = RequestContext.of(request)
    arguments = (new.name, new.carries, new.can, context.now_ms, context.key, new.reason)
    source = await run_write(lambda: sources.declare(*arguments))
    return await _shown_applied(context, source)


@router.put(
    "/v1/sources/self",
    auth=ApiKeyAuth("ingest", "decide"),
    response=schemas.DeclaredSource,
    summary="Declare what the source of this key carries and can, as an adapter does when it "
    "starts. What is less than before waits for an administrator, but before the first event.",
    openapi_extra=problems(409),
)
async def declare_self(
    request: HttpRequest, declaration: schemas.Declaration
) -> schemas.DeclaredSource:
    """Declare the source that the caller's key belongs to."""
    context = RequestContext.of(request)
    name = context.app.key_ring.source_of(context.key)
    if not name:
        raise ApiError(
            409,
            "this key belongs to no source",
            fix="create one that does: wavebreak key create HOME NAME --source SOURCE",
        )
    source = await run_write(
        lambda: sources.declare_own(
            name,
            declaration.carries,
            declaration.can,
            context.now_ms,
            context.key,
            declaration.reason,
            senders=tuple(context.service.skews.seen_ms),
        )
    )
    return await _shown_applied(context, source)


@router.post(
    "/v1/sources/{name}/approval",
    auth=ApiKeyAuth("admin"),
    response=schemas.DeclaredSource,
    summary="Approve what a source has declared by its own key: from now on it decides.",
    openapi_extra=problems(404, 409),
)
async def approve_source(
    request: HttpRequest, name: Path[schemas.SourceName], approval: schemas.Approval
) -> schemas.DeclaredSource:
    """Approve a source's declaration."""
    context = RequestContext.of(request)
    arguments = (name, context.now_ms, context.key, approval.reason, approval.at_ms)
    source = await run_write(lambda: sources.approve(*arguments))
    return await _shown_applied(context, source)


@router.delete(
    "/v1/sources/{name}",
    auth=ApiKeyAuth("admin"),
    response=schemas.Application,
    summary="Remove a source; its accounts are judged by what all others carry.",
    openapi_extra=problems(404),
)
async def remove_source(
    request: HttpRequest,
    name: Path[schemas.SourceName],
    query: Annotated[schemas.JustificationQuery, StrictQuery(...)],
) -> schemas.Application:
    """Remove a source."""
    context = RequestContext.of(request)
    await run_write(lambda: sources.remove(name, context.now_ms, context.key, query.reason))
    return await _applied(context)
