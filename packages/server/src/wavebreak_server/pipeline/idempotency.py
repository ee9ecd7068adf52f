"""Idempotent requests: the stored response to an Idempotency-Key, and attempts, answered once.

The same key with the same body gets the stored response; with another body it is an error.

An attempt is an act that a platform asks about before it happens. A refused one is in the log, and
its answer in the table of idempotent responses, in one transaction. The answer to an allowed one,
of which nothing is in the log, is in memory alone: after a restart, or when many were answered
since, it is decided anew.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from django.db import Error, connection

from wavebreak.schema.events import Event
from wavebreak_server.errors import ApiError, RejectedEvent, rejected_event
from wavebreak_server.pipeline.executors import DaemonExecutor
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


# Attempts

MAX_REMEMBERED = 20_000
"""Answers to allowed attempts that are remembered."""
_NO_BODY = bytes(32)


def attempt_key(owner: str, events: Sequence[Event]) -> IdempotencyKey:
    """Return the key of an attempt: its owner and the ids of its events.

    Raises:
        ApiError: An event has no id.
    """
    ids = [event.id or "" for event in events]
    if not all(ids):
        raise ApiError(
            422,
            "field `id`: every event of an attempt needs an id",
            fix="give each event an id, and send it under the same id once it has happened",
            cause="missing_field",
            field="id",
        )
    named = msgspec.json.encode(["attempt", owner, *ids])
    return IdempotencyKey(hashlib.sha256(named).digest(), _NO_BODY)


def attempted(event: Event) -> Event:
    """Return an event as an act that was refused before it happened."""
    return msgspec.structs.replace(event, attempted=True)


def encode_lines(events: Sequence[Event]) -> bytes:
    """Return events as JSON Lines, without what they do not say."""
    return b"".join(map(_encode_line, events))


def _encode_line(event: Event) -> bytes:
    fields = msgspec.to_builtins(event)
    return msgspec.json.encode({n: v for n, v in fields.items() if v is not None}) + b"\n"


class AnsweredAttempts:
    """The answers that attempts were given, for as long as requests are idempotent.

    Args:
        clock: Returns milliseconds.
        keep_ms: How long an answer is kept.
    """

    def __init__(self, clock: Callable[[], int], keep_ms: int) -> None:
        self._clock, self._keep_ms = clock, keep_ms
        self._allowed: OrderedDict[bytes, tuple[int, bytes]] = OrderedDict()
        self._executor = DaemonExecutor("attempted", 1)

    def allowed(self, key: IdempotencyKey) -> bytes:
        """Return the answer to an attempt that was allowed; empty if none is remembered."""
        at_ms, answer = self._allowed.get(key.key, (0, b""))
        return answer if self._clock() < at_ms + self._keep_ms else b""

    def remember(self, key: IdempotencyKey, answer: bytes) -> None:
        """Remember the answer to an attempt that is allowed; the oldest one gives way."""
        self._allowed[key.key] = (self._clock(), answer)
        self._allowed.move_to_end(key.key)
        if len(self._allowed) > MAX_REMEMBERED:
            self._allowed.popitem(last=False)

    async def refused(self, key: IdempotencyKey) -> bytes:
        """Return the stored answer to an attempt that was refused; empty if there is none."""
        found = await self._executor.run(lambda: _stored(key))
        return found.answer if isinstance(found, Accepted) else b""


def _stored(key: IdempotencyKey) -> object:
    try:
        return find_response(key)
    except Error:
        # The next query opens a new connection.
        connection.close()
        return None
