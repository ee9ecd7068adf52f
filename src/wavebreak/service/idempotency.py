"""Requests that come again: the same key and body have the same answer, another body has none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from wavebreak.service.models import Idempotency
from wavebreak.service.pending_requests import Accepted, Repeat, RepeatedKeyError

_KEEP = "INSERT INTO idempotency (key, body, answer, at_ms) VALUES (%s,%s,%s,%s)"
_OUT = "DELETE FROM idempotency WHERE at_ms < %s"


def told(accepted: Accepted) -> bytes:
    """Give the answer to a body, as JSON: how many events are in the log, which are not and why."""
    if accepted.answer:
        return accepted.answer
    refused = [
        {"index": r.line - 1, "cause": r.cause, "field": r.field, "reason": r.message}
        for r in accepted.refused
    ]
    return msgspec.json.encode({"accepted": accepted.count, "refused": refused})


def known(repeat: Repeat) -> Accepted | RepeatedKeyError | None:
    """What is to be said to a request whose key was seen; None where it is new."""
    found = Idempotency.objects.filter(key=repeat.key).values_list("body", "answer").first()
    if found is None:
        return None
    if bytes(found[0]) != repeat.body:
        return RepeatedKeyError(
            "this Idempotency-Key came with another body before", 422, fix="use a new key"
        )
    answer = bytes(found[1])
    return Accepted(msgspec.json.decode(answer)["accepted"], answer=answer)


def keep(cursor: Any, answers: Sequence[tuple[Repeat, Accepted]], now_ms: int) -> None:
    """Keep answers, in the transaction that makes them true."""
    cursor.executemany(_KEEP, [(r.key, r.body, told(a), now_ms) for r, a in answers])


def forget(cursor: Any, before_ms: int) -> None:
    """Forget answers older than a time."""
    cursor.execute(_OUT, (before_ms,))
