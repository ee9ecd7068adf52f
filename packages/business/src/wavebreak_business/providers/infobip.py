"""Infobip: delivery, seen and inbound reports, `results[]` of any channel."""

from __future__ import annotations

from typing import Any

from wavebreak_business.providers.inbound import add_inbound
from wavebreak_business.providers.values import instant_ms, number, table, tables, text
from wavebreak_business.record_table import Kind, RecordTable

NAME = "infobip"
_GROUPS = {
    "PENDING": Kind.SENT, "DELIVERED": Kind.DELIVERED, "UNDELIVERABLE": Kind.FAILED,
    "EXPIRED": Kind.FAILED, "REJECTED": Kind.FAILED,
}  # fmt: skip


def read(payload: dict[str, Any], records: RecordTable, at_ms: int | None) -> bool:
    """Add what reports say; returns whether they are of this provider."""
    results = tables(payload.get("results"))
    if not results or not any("messageId" in each for each in results):
        return False
    for result in results:
        _read_result(result, records, at_ms)
    return True


def _read_result(result: dict[str, Any], records: RecordTable, at_ms: int | None) -> None:
    writer = text(result.get("from")) or text(result.get("sender"))
    reader = text(result.get("to")) or text(result.get("destination"))
    message = text(result.get("messageId"))
    channel = text(result.get("channel")) or text(result.get("integrationType"))
    category = "" if channel.upper() == "WHATSAPP" else "sms"
    if "receivedAt" in result:
        content = table(result.get("message"))
        said = (result.get("text"), content.get("text"), content.get("payload"))
        add_inbound(
            records, instant_ms(result.get("receivedAt")) or at_ms, *said, provider=NAME,
            word_category=category or "marketing", person=writer, sender=reader, message=message,
            category=category,
        )  # fmt: skip
        return
    sent_ms = instant_ms(result.get("sentAt")) or at_ms
    known: dict[str, Any] = {
        "provider": NAME, "person": reader, "sender": writer, "message": message,
        "label": text(result.get("callbackData")) or text(result.get("campaignReferenceId")),
    }  # fmt: skip
    if "seenAt" in result:
        records.add(Kind.READ, instant_ms(result.get("seenAt")) or sent_ms, **known)
        return
    status, error = table(result.get("status")), table(result.get("error"))
    kind = records.status_kind(_GROUPS, text(status.get("groupName")))
    if kind is None:
        return
    price = table(result.get("price"))
    cost, currency = number(price.get("pricePerMessage")), text(price.get("currency")).upper()
    priced: dict[str, Any] = {
        "category": category,
        "price": cost, "currency": currency,
        "billed": cost > 0 if cost is not None else None,
    }  # fmt: skip
    records.add(Kind.SENT, sent_ms, **known, **priced)
    if kind is not Kind.SENT:
        reason = text(error.get("name"))
        if reason in ("", "NO_ERROR"):
            reason = text(status.get("name")) or "none"
        records.add(
            kind, instant_ms(result.get("doneAt")) or sent_ms, **known, **priced,
            code=reason if kind is Kind.FAILED else "",
        )  # fmt: skip
