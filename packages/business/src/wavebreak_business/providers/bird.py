"""Bird: status reports of messages, as JSON of their query fields."""

from __future__ import annotations

from typing import Any

from wavebreak_business.providers.values import instant_ms, number, text
from wavebreak_business.record_table import Kind, RecordTable

NAME = "bird"
_STATUSES = {
    "scheduled": Kind.SENT, "buffered": Kind.SENT, "sent": Kind.SENT, "delivered": Kind.DELIVERED,
    "expired": Kind.FAILED, "delivery_failed": Kind.FAILED,
}  # fmt: skip


def read(payload: dict[str, Any], records: RecordTable, at_ms: int | None) -> bool:
    """Add what a report says; returns whether it is one of this provider."""
    if not ("statusDatetime" in payload and "recipient" in payload):
        return False
    status = records.status_kind(_STATUSES, text(payload.get("status")))
    if status is None:
        return True
    cost = number(payload.get("price[amount]"))
    records.add(
        status, instant_ms(payload.get("statusDatetime")) or at_ms, provider=NAME,
        person=text(payload.get("recipient")), sender=text(payload.get("originator")),
        message=text(payload.get("id")), label=text(payload.get("reference")), category="sms",
        code=text(payload.get("statusErrorCode")) or "none" if status is Kind.FAILED else "",
        price=cost, currency=text(payload.get("price[currency]")).upper(),
        billed=cost > 0 if cost is not None else None,
    )  # fmt: skip
    return True
