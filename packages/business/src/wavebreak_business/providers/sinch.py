"""Sinch: delivery reports of recipients (`recipient_delivery_report_sms`) and inbound messages."""

from __future__ import annotations

from typing import Any

from wavebreak_business.providers.inbound import add_inbound
from wavebreak_business.providers.values import instant_ms, text
from wavebreak_business.record_table import Kind, RecordTable

NAME = "sinch"
_STATUSES = {
    "Queued": Kind.SENT, "Dispatched": Kind.SENT, "Delivered": Kind.DELIVERED,
    "Failed": Kind.FAILED, "Rejected": Kind.FAILED, "Expired": Kind.FAILED,
    "Aborted": Kind.FAILED, "Cancelled": Kind.FAILED, "Deleted": Kind.FAILED,
    "Unknown": Kind.SENT,  # the carrier has it, and no readable receipt came
}  # fmt: skip


def read(payload: dict[str, Any], records: RecordTable, at_ms: int | None) -> bool:
    """Add what a report says; returns whether it is one of this provider."""
    kind = text(payload.get("type"))
    if kind in ("mo_text", "mo_binary", "mo_media"):
        add_inbound(
            records, instant_ms(payload.get("received_at")) or at_ms, payload.get("body"),
            provider=NAME, person=text(payload.get("from")), sender=text(payload.get("to")),
            message=text(payload.get("id")), category="sms",
        )  # fmt: skip
        return True
    if not (kind.startswith("recipient_delivery_report") and "recipient" in payload):
        return False
    status = records.status_kind(_STATUSES, text(payload.get("status")))
    if status is None:
        return True
    recipient = text(payload.get("recipient"))
    records.add(
        status, instant_ms(payload.get("at")) or at_ms, provider=NAME, person=recipient,
        sender=text(payload.get("applied_originator")),
        # A batch has many recipients; both together name one message.
        message=f"{text(payload.get('batch_id'))} {recipient}",
        code=text(payload.get("code")) or "none" if status is Kind.FAILED else "",
        label=text(payload.get("client_reference")), category="sms",
    )  # fmt: skip
    return True
