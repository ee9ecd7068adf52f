"""Operations on sources: what feeds the service, what each carries, and what its platform can."""

from __future__ import annotations

from typing import Annotated

from django.http import HttpRequest
from ninja import Path, Router

from wavebreak.service import sources
from wavebreak.service.api import schemas
from wavebreak.service.api.openapi import problems
from wavebreak.service.api.requests import ApiKeyAuth, RequestContext, StrictQuery
from wavebreak.service.app_context import run_query, run_write
from wavebreak.service.errors import ApiError
from wavebreak.service.models import Source
from wavebreak.service.source_overview import SourcesOverview, sources_overview

router = Router()


def _shown(source: Source) -> schemas.Source:
    return schemas.Source(
        name=source.name,
        carries=source.carries.split(),
        can=[ability for ability in sources.ABILITIES if ability in source.can.split()],
        created_ms=source.created_ms,
        changed_ms=source.changed_ms,
    )


async def _applied(context: RequestContext) -> schemas.Application:
    done = await sources.apply(context.service)
    return schemas.Application(
        applied=done.applied,
        carries=list(done.carries),
        challenges=done.challenges,
        rules_off=list(done.rules_off),
        waited_s=done.waited_s,
    )


async def _declare(
    request: HttpRequest, name: str, declaration: schemas.Declaration
) -> schemas.DeclaredSource:
    context = RequestContext.of(request)
    source, _ = await run_write(
        lambda: sources.declare(
            name,
            declaration.carries,
            declaration.can,
            context.now_ms,
            context.key,
            declaration.reason,
        )
    )
    return schemas.DeclaredSource(source=_shown(source), coverage=await _applied(context))


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
    summary="Declare a source, or what it carries and can from now on. The service covers what "
    "every source carries; where one cannot ask for a challenge, a limit is decided.",
    openapi_extra=problems(409),
)
async def declare_source(request: HttpRequest, new: schemas.NewSource) -> schemas.DeclaredSource:
    """Declare a source."""
    return await _declare(request, new.name, new)


@router.put(
    "/v1/sources/self",
    auth=ApiKeyAuth("ingest", "decide"),
    response=schemas.DeclaredSource,
    summary="Declare what the source of this key carries and can, as an adapter does when it "
    "starts.",
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
    return await _declare(request, name, declaration)


@router.delete(
    "/v1/sources/{name}",
    auth=ApiKeyAuth("admin"),
    response=schemas.Application,
    summary="Remove a source; the coverage is that of the others.",
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
