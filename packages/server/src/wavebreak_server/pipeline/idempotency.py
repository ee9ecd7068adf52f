"""Idempotent ingestion: the stored response to a request with an Idempotency-Key.

The same key with the same body gets the stored response; with another body it is an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from django.db import connection

from wavebreak_server.errors import RejectedEvent, rejected_event
from wavebreak_server.pipeline.pending_requests import (
    Accepted,
    IdempotencyConflictError,
    IdempotencyKey,
)

_INSERT = "INSERT INTO idempotency (key, body, answer, at_ms) VALUES (%s,%s,%s,%s)"
_SELECT = "SELECT body, answer FROM idempotency WHERE key = %s"
_DELETE = "DELETE FROM idempotency WHERE at_ms < %s"


class IngestResponse(msgspec.Struct, frozen=True):
    """How many events are durably in the log, and which were rejected.

    `late` events are so far behind the log's time that they change nothing, `duplicates` have an
    id that the log has: both as far as the engine has read the log, duplicates only while it is
    idle. At most the first 100 rejected events are listed; `refused_total` counts all.
    """

    accepted: int
    late: int = 0
    duplicates: int = 0
    refused: tuple[RejectedEvent, ...] = ()
    refused_total: int = 0


def encode_response(accepted: Accepted) -> bytes:
    """Encode the response to an ingested body as JSON."""
    if accepted.answer:
        return accepted.answer
    rejected = tuple(map(rejected_event, accepted.refused))
    return msgspec.json.encode(
        IngestResponse(
            accepted.count, accepted.late, accepted.duplicates, rejected, accepted.refused_total
        )
    )


def find_response(key: IdempotencyKey) -> Accepted | IdempotencyConflictError | None:
    """Return the stored response to a key, an error for another body, or None for a new key."""
    with connection.cursor() as cursor:
        cursor.execute(_SELECT, (key.key,))
        row = cursor.fetchone()
    if row is None:
        return None
    if bytes(row[0]) != key.body:
        return IdempotencyConflictError(
            "this Idempotency-Key was used with another body", 422, fix="use a new key"
        )
    answer = bytes(row[1])
    return Accepted(msgspec.json.decode(answer).get("accepted", 0), answer=answer)


def store_responses(
    cursor: Any, responses: Sequence[tuple[IdempotencyKey, Accepted]], now_ms: int
) -> None:
    """Store responses in the transaction that stores their events."""
    rows = [(key.key, key.body, encode_response(a), now_ms) for key, a in responses]
    cursor.executemany(_INSERT, rows)


def delete_expired(cursor: Any, before_ms: int) -> None:
    """Delete responses stored before a time."""
    cursor.execute(_DELETE, (before_ms,))
