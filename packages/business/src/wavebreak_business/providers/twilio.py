"""Twilio: status callbacks and inbound messages as JSON of their form fields, and CloudEvents.

A callback does not say when it was sent; the time that the log puts beside it is taken
(`envelope.TIMES`).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from wavebreak_business.providers.envelope import time_of
from wavebreak_business.providers.inbound import add_inbound
from wavebreak_business.providers.values import instant_ms, number, table, text
from wavebreak_business.record_table import Kind, RecordTable

NAME = "twilio"
EVENTS = "com.twilio.messaging."
_STATUSES = {
    "accepted": Kind.SENT, "scheduled": Kind.SENT, "queued": Kind.SENT, "sending": Kind.SENT,
    "sent": Kind.SENT, "delivered": Kind.DELIVERED, "read": Kind.READ, "failed": Kind.FAILED,
    "undelivered": Kind.FAILED,
}  # fmt: skip
_INBOUND = ("received", "receiving")
_OPT_OUT = {"STOP": Kind.STOP, "START": Kind.RESUME}


def read(payload: dict[str, Any], records: RecordTable, at_ms: int | None) -> bool:
    """Add what a callback or event says; returns whether it is one of this provider."""
    if text(payload.get("type")).startswith(EVENTS) and "specversion" in payload:
        _read_event(payload, records, at_ms)
        return True
    if not ("MessageSid" in payload or "SmsSid" in payload or "SmsMessageSid" in payload):
        return False
    status = text(payload.get("MessageStatus")) or text(payload.get("SmsStatus"))
    _add(
        status or ("received" if "Body" in payload else ""),
        records,
        time_of(payload) or at_ms or _done_ms(payload),
        sid=text(payload.get("MessageSid")) or text(payload.get("SmsSid")),
        code=text(payload.get("ErrorCode")),
        parties=(text(payload.get("From")), text(payload.get("To"))),
        opt_out=text(payload.get("OptOutType")),
        said=(payload.get("Body"), payload.get("ButtonText"), payload.get("ButtonPayload")),
        price=(number(payload.get("Price")), text(payload.get("PriceUnit")).upper()),
    )
    return True


def _read_event(payload: dict[str, Any], records: RecordTable, at_ms: int | None) -> None:
    event = table(payload.get("data"))
    inbound = "inbound-message" in text(payload.get("type"))
    _add(
        "received" if inbound else text(event.get("messageStatus")).lower(),
        records,
        instant_ms(event.get("timestamp")) or instant_ms(payload.get("time")) or at_ms,
        sid=text(event.get("messageSid")),
        code=text(event.get("errorCode")),
        parties=(text(event.get("from")), text(event.get("to"))),
        opt_out=text(event.get("optOutType")),
        said=(event.get("body"),),
        price=(None, ""),
    )


def _add(
    status: str, records: RecordTable, at_ms: int | None, *, sid: str, code: str,
    parties: tuple[str, str], opt_out: str, said: tuple[Any, ...], price: tuple[float | None, str],
) -> None:  # fmt: skip
    """Add a status or an inbound message between two parties, the writer first."""
    writer, reader = parties
    if status in _INBOUND:
        add_inbound(
            records, at_ms, *said, flag=_OPT_OUT.get(opt_out.upper()), provider=NAME,
            category=_channel(writer), word_category="" if _channel(writer) else "marketing",
            person=writer, sender=reader, message=sid,
        )  # fmt: skip
        return
    known = records.status_kind(_STATUSES, status)
    if known is None:
        return
    failed = known is Kind.FAILED
    cost, currency = price
    records.add(
        known, at_ms, provider=NAME, person=reader, sender=writer, message=sid,
        code=(code if code not in ("", "0") else "none") if failed else "",
        category=_channel(reader),
        price=abs(cost) if cost is not None else None, currency=currency,
        billed=bool(cost) if cost is not None else None,
    )  # fmt: skip


def _channel(person: str) -> str:
    """Return the category of a text message; "" on a messenger, whose price nobody says here."""
    return "" if person.startswith(("whatsapp:", "messenger:", "rcs:")) else "sms"


def _done_ms(payload: dict[str, Any]) -> int | None:
    """Return the carrier's time of delivery, YYMMDDhhmm, taken as UTC: the field has no zone."""
    try:
        done = datetime.strptime(text(payload.get("RawDlrDoneDate")), "%y%m%d%H%M")
    except ValueError:
        return None
    return int(done.replace(tzinfo=UTC).timestamp()) * 1000
