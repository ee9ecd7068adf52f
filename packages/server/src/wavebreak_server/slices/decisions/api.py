"""Operations on decisions, by page or as a stream, and on the ledger: checkpoint and proofs."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import msgspec
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from ninja import Path, Router

from wavebreak.ledger import merkle_tree
from wavebreak.ledger.proofs import encode_hashes, encode_proof
from wavebreak_server.errors import ApiError
from wavebreak_server.http.app_context import run_query
from wavebreak_server.http.openapi import STREAM, TEXT, media, problems
from wavebreak_server.http.requests import ApiKeyAuth, RequestContext, StrictQuery
from wavebreak_server.slices import schemas
from wavebreak_server.slices.streams.api import StreamSource, stream_response
from wavebreak_server.storage.authentic_rows import checked_decisions
from wavebreak_server.storage.ledger_store import OpeningRows
from wavebreak_server.storage.models import Decision

router = Router()


def numbered_decision(number: int, body: Any) -> schemas.NumberedDecision:
    """Return a stored decision with its number; its JSON is passed through unchanged."""
    return schemas.NumberedDecision(number=number, decision=msgspec.Raw(bytes(body)))


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


class _Position(NamedTuple):
    """How far a reader is: the last decision's number."""

    number: int


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

    def load(at: _Position, limit: int) -> list[tuple[_Position, bytes]]:
        found = load_decisions(at.number, limit)
        return [(_Position(number), bytes(body)) for number, body in found]

    return stream_response(
        request, StreamSource("decision", _Position, load, ("read",)), query.since
    )


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
