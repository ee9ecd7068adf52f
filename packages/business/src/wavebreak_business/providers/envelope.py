"""Envelopes that a log puts around a payload: when it came, and the body, perhaps as a text."""

from __future__ import annotations

from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import msgspec

from wavebreak_business.providers.values import instant_ms

BODIES = ("body", "payload", "rawEvent", "data", "event", "eventDetails", "request", "params")
TIMES = (
    "received_at", "receivedAt", "Timestamp", "timestamp", "time", "@timestamp", "ts", "date",
    "createTime",
)  # fmt: skip
MAX_FORM = 100
"""Fields of a body that is a form."""


class Inner(NamedTuple):
    """What lies in an envelope."""

    payload: Any
    at_ms: int | None


def time_of(payload: dict[str, Any]) -> int | None:
    """Return when a payload was received by what stands beside its fields; None where nothing does.

    >>> time_of({"MessageSid": "SM1", "received_at": "2026-11-01T10:00:00Z"})
    1793527200000
    """
    return next((at for name in TIMES if (at := instant_ms(payload.get(name))) is not None), None)


def unwrap(payload: dict[str, Any]) -> Inner | None:
    """Return what lies in an envelope; None where it is none.

    >>> unwrap({"received_at": 1793527200, "body": "MessageSid=SM1&MessageStatus=sent"})
    Inner(payload={'MessageSid': 'SM1', 'MessageStatus': 'sent'}, at_ms=1793527200000)
    """
    for name in BODIES:
        body = payload.get(name)
        if isinstance(body, str):
            body = _decode(body)
        if isinstance(body, dict | list):
            return Inner(body, time_of(payload))
    return None


def _decode(body: str) -> Any:
    """Decode a body of JSON or a form; None where it is neither."""
    if body[:1] in ("{", "["):
        try:
            return msgspec.json.decode(body)
        except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
            return None
    if "MessageSid=" not in body and "MessageStatus=" not in body:
        return None
    try:
        return dict(parse_qsl(body, max_num_fields=MAX_FORM))
    except ValueError:
        return None
