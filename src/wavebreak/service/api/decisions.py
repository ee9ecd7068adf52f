"""Operations on decisions, by page or as a stream, and on the ledger: checkpoint and proofs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated, Any

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from ninja import Path, Router

from wavebreak.ledger import merkle_tree
from wavebreak.ledger.proofs import encode_hashes, encode_proof
from wavebreak.service.api import schemas
from wavebreak.service.api.accounts import numbered_decision
from wavebreak.service.api.openapi import STREAM, TEXT, media, problems
from wavebreak.service.api.requests import ApiKeyAuth, RequestContext, StrictQuery
from wavebreak.service.app_context import closing_connection, run_query
from wavebreak.service.authentic_rows import checked_decisions
from wavebreak.service.errors import ApiError
from wavebreak.service.ledger_store import OpeningRows
from wavebreak.service.models import Decision

router = Router()

STREAM_BATCH = 500
KEEP_ALIVE_S = 15.0
KEY_CHECK_S = 1.0
"""How often a stream checks whether its key still has the scope."""
MAX_STREAMS, MAX_STREAMS_PER_KEY = 200, 20


def load_decisions(after: int, limit: int) -> list[tuple[int, Any]]:
    """Load decisions with a number above `after`, as (number, JSON).

    Raises ServiceError for one that was changed since it was stored.
    """
    rows = checked_decisions(Decision.objects.after(after)[:limit])
    return [(row.number, row.body) for row in rows]


@router.get(
    "/v1/decisions",
    auth=ApiKeyAuth("read"),
    response=schemas.Decisions,
    summary="Decisions after a number, in the order of the log.",
)
async def decisions(
    request: HttpRequest, query: Annotated[schemas.PageQuery, StrictQuery(...)]
) -> schemas.Decisions:
    """Return a page of decisions."""
    rows = await run_query(lambda: load_decisions(query.since, query.limit))
    return schemas.Decisions(
        decisions=[numbered_decision(*row) for row in rows],
        next=query.next_page(number for number, _ in rows),
    )


@router.get(
    "/v1/decisions/stream",
    auth=ApiKeyAuth("read"),
    summary="Decisions as they are made, as server-sent events; the event id is the number.",
    openapi_extra=media(STREAM),
)
async def follow_decisions(
    request: HttpRequest, query: Annotated[schemas.StreamQuery, StrictQuery(...)]
) -> StreamingHttpResponse:
    """Stream decisions from a number on."""
    context = RequestContext.of(request)
    last = request.headers.get("Last-Event-ID", "")
    if last and not (last.isdecimal() and len(last) <= 16):
        raise ApiError(422, "Last-Event-ID is not a decision's number", fix="send a number")
    if not _may_open(context):
        raise ApiError(503, "too many open streams", fix="close one", retry_after_s=5)
    response = StreamingHttpResponse(
        _stream(context, int(last or query.since)), content_type=STREAM
    )
    response["Cache-Control"], response["X-Accel-Buffering"] = "no-store", "no"
    return response


def _may_open(context: RequestContext) -> bool:
    """Whether the caller's key may open one more stream."""
    streams = context.app.open_streams
    return streams[context.key] < MAX_STREAMS_PER_KEY and streams.total() < MAX_STREAMS


async def _stream(context: RequestContext, since: int) -> AsyncIterator[bytes]:
    """Yield decisions until the client closes the stream, or its key no longer reads."""
    streams, key = context.app.open_streams, context.key
    # Requests that came at once have all passed the check of the view.
    if not _may_open(context):
        return
    streams[key] += 1
    try:
        yield b"retry: 2000\n\n"
        quiet_at, newest = time.monotonic() + KEEP_ALIVE_S, since + 1
        while context.app.key_ring.permits(key, "read"):
            if newest > since:
                # A waiting stream holds no database connection.
                load = closing_connection(partial(load_decisions, since, STREAM_BATCH))
                rows = await context.app.executors.streams.run(load)
                for number, body in rows:
                    yield b"id: %d\nevent: decision\ndata: %s\n\n" % (number, bytes(body))
                    since = number
            try:
                async with asyncio.timeout(KEY_CHECK_S):
                    newest = await context.service.wait_for_decision(since)
            except TimeoutError:
                newest = since
            if newest > since:
                quiet_at = time.monotonic() + KEEP_ALIVE_S
            elif time.monotonic() >= quiet_at:
                quiet_at += KEEP_ALIVE_S
                yield b": quiet\n\n"
    finally:
        streams[key] -= 1
        if not streams[key]:
            del streams[key]


@router.get(
    "/v1/ledger/checkpoint",
    auth=ApiKeyAuth("read"),
    summary="The ledger's last checkpoint, a signed note: whoever keeps it detects any later "
    "change of the entries before it.",
    openapi_extra=media(TEXT),
)
async def checkpoint(request: HttpRequest) -> HttpResponse:
    """Return the last checkpoint as a signed note."""
    context = RequestContext.of(request)
    note = await run_query(lambda: context.service.ledger_store.ledger().note)
    return HttpResponse(note, content_type="text/plain; charset=utf-8")


@router.get(
    "/v1/ledger/decisions/{decision}",
    auth=ApiKeyAuth("read"),
    response=schemas.SealedDecision,
    summary="A decision's ledger entry with its openings and its inclusion proof under the last "
    "checkpoint.",
    openapi_extra=problems(404),
)
async def sealed_decision(
    request: HttpRequest, decision: Path[schemas.DecisionId]
) -> schemas.SealedDecision:
    """Return a decision's ledger entry with its inclusion proof."""
    context = RequestContext.of(request)

    def load() -> schemas.SealedDecision:
        openings = OpeningRows()
        ledger = context.service.ledger_store.ledger()
        positions = openings.positions("id", decision)
        positions = [p for p in positions if ledger.entry(p).kind == "decision"]
        if not positions:
            raise ApiError(404, "no decision with this id is sealed, or it was erased")
        proof = encode_proof(ledger, positions[0], openings.of(positions[0]))
        return schemas.SealedDecision(
            checkpoint=ledger.note.decode(), proof=schemas.InclusionProof.model_validate(proof)
        )

    return await run_query(load)


@router.get(
    "/v1/ledger/consistency",
    auth=ApiKeyAuth("read"),
    response=schemas.ConsistencyProof,
    operation_id="continued",
    summary="The proof that the ledger extends its state of an earlier size.",
    openapi_extra=problems(404),
)
async def consistency(
    request: HttpRequest, query: Annotated[schemas.ConsistencyQuery, StrictQuery(...)]
) -> schemas.ConsistencyProof:
    """Return the consistency proof between two sizes of the ledger."""
    context = RequestContext.of(request)

    def load() -> schemas.ConsistencyProof:
        ledger, old = context.service.ledger_store.ledger(), query.old
        size = ledger.sealed.size
        new = size if query.new is None else query.new
        if not old <= new <= size:
            raise ApiError(404, "the sizes are not in order, or beyond the ledger's size")
        path = merkle_tree.consistency_proof(ledger.storage.node, old, new)
        return schemas.ConsistencyProof(
            old=old, new=new, path=list(encode_hashes(path)), checkpoint=ledger.note.decode()
        )

    return await run_query(load)
