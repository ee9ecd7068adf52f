"""Operations on decisions, by page or as a stream, and on the ledger: checkpoint and proofs."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import msgspec
from django.http import HttpResponse, StreamingHttpResponse
from msgspec import Meta

from wavebreak.engine.decision import Decision
from wavebreak.ledger import merkle_tree
from wavebreak.ledger.ledger import encode_hashes, encode_proof
from wavebreak_server.errors import ApiError
from wavebreak_server.http import schemas
from wavebreak_server.http.app_context import run_query
from wavebreak_server.http.operations import RequestContext, Router
from wavebreak_server.http.responses import STREAM, TEXT
from wavebreak_server.http.streams import StreamSource, stream_response
from wavebreak_server.storage import models
from wavebreak_server.storage.authentic_rows import checked_decisions
from wavebreak_server.storage.ledger_store import OpeningRows

LedgerSize = Annotated[int, Meta(ge=0, le=2**53 - 1, description="number of ledger entries")]


class NumberedDecision(schemas.Response):
    """A decision with its number in the order of the log."""

    number: int
    decision: Annotated[msgspec.Raw, schemas.encoded(Decision)]


class Decisions(schemas.Response):
    """Decisions in the order of the log; the next page starts at `since` = `next`."""

    decisions: list[NumberedDecision]
    next: schemas.DecisionNumber


class InclusionProof(schemas.Response):
    """A ledger entry with its inclusion proof: a line of a proof bundle's `proofs.jsonl`.

    `leaf` and `path` are hashes in base64; `openings` holds a salt (hex) and a value per field.
    """

    entry: dict[str, Any]
    leaf: str
    openings: dict[str, tuple[str, Any]]
    path: list[str]
    position: int


class SealedDecision(schemas.Response):
    """A decision's ledger entry, proved under a checkpoint (a signed note)."""

    checkpoint: str
    proof: InclusionProof


class ConsistencyQuery(schemas.Request):
    """The two ledger sizes to compare; `new` defaults to the current size."""

    old: LedgerSize
    new: LedgerSize | msgspec.UnsetType = msgspec.UNSET


class ConsistencyProof(schemas.Response):
    """Hashes (base64, RFC 9162 2.1.4) that prove the `new` ledger to extend the `old` one.

    `checkpoint` is the last one; if `new` is its size, the hashes lead to its root.
    """

    old: int
    new: int
    path: list[str]
    checkpoint: str


router = Router("read")


def numbered_decision(number: int, body: Any) -> NumberedDecision:
    """Return a stored decision with its number; its JSON is passed through unchanged."""
    return NumberedDecision(number=number, decision=msgspec.Raw(bytes(body)))


def load_decisions(after: int, limit: int) -> list[tuple[int, Any]]:
    """Load decisions with a number above `after`, as (number, JSON).

    Raises ServiceError for one that was changed since it was stored.
    """
    rows = checked_decisions(models.Decision.objects.after(after)[:limit])
    return [(row.number, row.body) for row in rows]


@router.operation("GET", "/v1/decisions", "Decisions after a number, in the order of the log.")
async def decisions(context: RequestContext, query: schemas.PageQuery) -> Decisions:
    """Return a page of decisions."""
    rows = await run_query(lambda: load_decisions(query.since, query.limit))
    return Decisions(
        decisions=[numbered_decision(*row) for row in rows],
        next=query.next_page(number for number, _ in rows),
    )


class _Position(NamedTuple):
    """How far a reader is: the last decision's number."""

    number: int


@router.operation(
    "GET",
    "/v1/decisions/stream",
    "Decisions as they are made, as server-sent events; the event id is the number.",
    media=STREAM,
)
async def follow_decisions(
    context: RequestContext, query: schemas.StreamQuery
) -> StreamingHttpResponse:
    """Stream decisions from a number on."""

    def load(at: _Position, limit: int) -> list[tuple[_Position, bytes]]:
        found = load_decisions(at.number, limit)
        return [(_Position(number), bytes(body)) for number, body in found]

    return stream_response(
        context, StreamSource("decision", _Position, load, ("read",)), query.since
    )


@router.operation(
    "GET",
    "/v1/ledger/checkpoint",
    "The ledger's last checkpoint, a signed note: whoever keeps it detects any later "
    "change of the entries before it.",
    media=TEXT,
)
async def checkpoint(context: RequestContext) -> HttpResponse:
    """Return the last checkpoint as a signed note."""
    note = await run_query(lambda: context.service.ledger_store.ledger().note)
    return HttpResponse(note, content_type="text/plain; charset=utf-8")


@router.operation(
    "GET",
    "/v1/ledger/decisions/{decision}",
    "A decision's ledger entry with its openings and its inclusion proof under the last "
    "checkpoint.",
    404,
)
async def sealed_decision(context: RequestContext, decision: schemas.DecisionId) -> SealedDecision:
    """Return a decision's ledger entry with its inclusion proof."""

    def load() -> SealedDecision:
        openings = OpeningRows()
        ledger = context.service.ledger_store.ledger()
        positions = openings.positions("id", decision)
        positions = [p for p in positions if ledger.entry(p).kind == "decision"]
        if not positions:
            raise ApiError(404, "no decision with this id is sealed, or it was erased")
        proof = encode_proof(ledger, positions[0], openings.of(positions[0]))
        return SealedDecision(
            checkpoint=ledger.note.decode(), proof=msgspec.convert(proof, InclusionProof)
        )

    return await run_query(load)


@router.operation(
    "GET",
    "/v1/ledger/consistency",
    "The proof that the ledger extends its state of an earlier size.",
    404,
    name="continued",
)
async def consistency(context: RequestContext, query: ConsistencyQuery) -> ConsistencyProof:
    """Return the consistency proof between two sizes of the ledger."""

    def load() -> ConsistencyProof:
        ledger, old = context.service.ledger_store.ledger(), query.old
        size = ledger.sealed.size
        new = size if query.new is msgspec.UNSET else query.new
        if not old <= new <= size:
            raise ApiError(404, "the sizes are not in order, or beyond the ledger's size")
        path = merkle_tree.consistency_proof(ledger.storage.node, old, new)
        return ConsistencyProof(
            old=old, new=new, path=list(encode_hashes(path)), checkpoint=ledger.note.decode()
        )

    return await run_query(load)
