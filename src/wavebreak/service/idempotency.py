"""Idempotent ingestion: the stored response to a request with an Idempotency-Key.

The same key with the same body gets the stored response; with another body it is an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from wavebreak.service.models import Idempotency
from wavebreak.service.pending_requests import Accepted, IdempotencyConflictError, IdempotencyKey

_INSERT = "INSERT INTO idempotency (key, body, answer, at_ms) VALUES (%s,%s,%s,%s)"
_DELETE = "DELETE FROM idempotency WHERE at_ms < %s"


class RejectedEvent(msgspec.Struct, frozen=True):
    """An event that was rejected: its index in the body, the cause, the field, the reason."""

    index: int
    cause: str
    field: str
    reason: str


class IngestResponse(msgspec.Struct, frozen=True, omit_defaults=True):
    """How many events are durably in the log, and which were rejected.

    At most the first 100 rejected events are listed; `refused_total` (absent: 0) counts all.
    """

    accepted: int
    refused: tuple[RejectedEvent, ...]
    refused_total: int = 0


def encode_response(accepted: Accepted) -> bytes:
    """Encode the response to an ingested body as JSON."""
    if accepted.answer:
        return accepted.answer
    rejected = tuple(
        RejectedEvent(r.line - 1, r.cause, r.field, r.message) for r in accepted.refused
    )
    return msgspec.json.encode(IngestResponse(accepted.count, rejected, accepted.refused_total))


def find_response(key: IdempotencyKey) -> Accepted | IdempotencyConflictError | None:
    """Return the stored response to a key, an error for another body, or None for a new key."""
    row = Idempotency.objects.filter(key=key.key).values_list("body", "answer").first()
    if row is None:
        return None
    if bytes(row[0]) != key.body:
        return IdempotencyConflictError(
            "this Idempotency-Key was used with another body", 422, fix="use a new key"
        )
    answer = bytes(row[1])
    return Accepted(msgspec.json.decode(answer)["accepted"], answer=answer)


def store_responses(
    cursor: Any, responses: Sequence[tuple[IdempotencyKey, Accepted]], now_ms: int
) -> None:
    """Store responses in the transaction that stores their events."""
    rows = [(key.key, key.body, encode_response(a), now_ms) for key, a in responses]
    cursor.executemany(_INSERT, rows)


def delete_expired(cursor: Any, before_ms: int) -> None:
    """Delete responses stored before a time."""
    cursor.execute(_DELETE, (before_ms,))
