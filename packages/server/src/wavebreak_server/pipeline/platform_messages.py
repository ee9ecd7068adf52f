"""Messages to the platform that are no decisions: codes and answers of appeals, warnings.

A message is stored with a delivery for each webhook, in the transaction of what it reports, and
sent by the webhook dispatcher as decisions are: signed, at least once, with retries and dead
letters. Every webhook gets every type of message, but a state that changed without a decision and
is no lift, which those get that receive states (see `webhooks`), and what plug-ins send, which
those get that ask for its kind. A one-time code is not stored: it
is derived from the deployment's key and the message's id when the message is sent, so that a copy
of the database holds no code.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from wavebreak_server.storage.authentic_rows import authentic
from wavebreak_server.storage.models import Delivery, PlatformMessage, Webhook

MessageType = Literal["appeal.code", "appeal.decided", "contact.warning", "state.changed"]
CODE_DIGITS = 6


def enqueue_message(
    kind: MessageType | str,
    data: Any,
    now_ms: int,
    *,
    due_ms: int | None = None,
    to: Sequence[Webhook] | None = None,
) -> str:
    """Store a message for webhooks, in the open transaction.

    Args:
        kind: The type of the message: one of the service's own, or of a plug-in.
        data: What it says, as JSON values.
        now_ms: The service's clock.
        due_ms: When to send it first (None: now).
        to: Who receives it (None: every webhook).

    Returns:
        The message's id; empty where there is no webhook, so that nobody would receive it.
    """
    webhooks = list(authentic(Webhook.objects.all())) if to is None else to
    if not webhooks:
        return ""
    message = PlatformMessage.objects.create(
        id=new_message_id(), type=kind, data=msgspec.json.encode(data), created_ms=now_ms
    )
    next_ms = now_ms if due_ms is None else max(now_ms, due_ms)
    Delivery.objects.bulk_create(
        [Delivery(webhook=webhook, message=message, next_ms=next_ms) for webhook in webhooks]
    )
    return str(message.id)


def new_message_id() -> str:
    """Return the id of a new message."""
    return f"msg_{secrets.token_hex(16)}"


def one_time_code(key: bytes, message: str) -> str:
    """Return the code that a message carries: six digits, by the deployment's key.

    >>> one_time_code(b"0" * 32, "msg_1") == one_time_code(b"0" * 32, "msg_1")
    True
    >>> len(one_time_code(b"0" * 32, "msg_2")), one_time_code(b"0" * 32, "msg_2").isdigit()
    (6, True)
    """
    digest = hmac.digest(key, f"wavebreak code\0{message}".encode(), hashlib.sha256)
    return str(int.from_bytes(digest[:8]) % 10**CODE_DIGITS).zfill(CODE_DIGITS)


def message_body(message: PlatformMessage, key: bytes, webhook: str) -> bytes:
    """Return the body of a message for a webhook: type, time and data, with any code of it."""
    data = msgspec.json.decode(bytes(message.data))
    if message.type == "appeal.code":
        data["code"] = one_time_code(key, message.id)
    at = datetime.fromtimestamp(message.created_ms / 1000, UTC).isoformat(timespec="milliseconds")
    head = {"type": message.type, "timestamp": f"{at[:-6]}Z", "webhook": webhook}
    return msgspec.json.encode(head | {"data": data})


def remove_delivered(message: str) -> None:
    """Remove a message that no webhook waits for, in the open transaction."""
    if not Delivery.objects.filter(message_id=message).exists():
        PlatformMessage.objects.filter(id=message).delete()
