"""Payloads of providers in their documented shapes, made up here, and checks of them in memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from wavebreak_business.answers import Findings, Options
from wavebreak_business.findings import find
from wavebreak_business.identities import Identities
from wavebreak_business.providers import read_payload
from wavebreak_business.record_table import RecordTable
from wavebreak_business.settings import load_settings

KEY = bytes(range(16))
NOON = 1_793_880_000
"""5 November 2026, 12:00 UTC, in seconds."""
HOUR, DAY = 3_600, 86_400
SHOP, OTHER = "442079460100", "442079460199"
Payload = dict[str, Any]


def person(number: int) -> str:
    """A number of a range that is kept for fiction."""
    return f"447700900{number:03d}"


def hook(field: str, value: Payload, at_s: int = NOON) -> Payload:
    """A webhook of the Cloud API with one change."""
    changes = [{"field": field, "value": value}]
    entry = {"id": "100200300400500", "time": at_s, "changes": changes}
    return {"object": "whatsapp_business_account", "entry": [entry]}


def messages(at_s: int = NOON, *, shop: str = SHOP, **lists: list[Payload]) -> Payload:
    """A webhook of the field `messages`."""
    metadata = {"display_phone_number": shop, "phone_number_id": "106000000000001"}
    return hook("messages", {"messaging_product": "whatsapp", "metadata": metadata, **lists}, at_s)


def status(
    message: str, to: str, kind: str, at_s: int, *, code: int = 0, category: str = "marketing",
    shop: str = SHOP, **more: Any,
) -> Payload:  # fmt: skip
    """A webhook with one status of a message."""
    one: Payload = {"id": message, "status": kind, "timestamp": str(at_s), "recipient_id": to}
    if code:
        one["errors"] = [{"code": code, "title": "a title"}]
    elif category:
        one["pricing"] = {"billable": True, "category": category, "type": "regular"}
    return messages(at_s, shop=shop, statuses=[one | more])


def inbound(message: str, sender: str, at_s: int, **more: Any) -> Payload:
    """A webhook with a message of a person."""
    one = {"id": message, "from": sender, "timestamp": str(at_s), "type": "text"}
    return messages(at_s, messages=[one | {"text": {"body": "hello"}} | more])


def preference(sender: str, value: str, at_s: int, *, shop: str = SHOP) -> Payload:
    """A webhook with a person's stop or resume."""
    said = {"wa_id": sender, "category": "marketing_messages", "value": value, "timestamp": at_s}
    metadata = {"display_phone_number": shop}
    return hook("user_preferences", {"metadata": metadata, "user_preferences": [said]}, at_s)


def template(name: str, at_s: int, **value: Any) -> Payload:
    """A webhook with a change of a template: `event`, or `new_quality_score`."""
    field = "quality" if "new_quality_score" in value else "status"
    named = {"message_template_name": name, "message_template_language": "en"}
    return hook(f"message_template_{field}_update", named | value, at_s)


def limit(people: int | str, at_s: int = NOON) -> Payload:
    """A webhook with the portfolio's limit."""
    return hook(
        "business_capability_update", {"max_daily_conversations_per_business": people}, at_s
    )


def read(*payloads: Any) -> RecordTable:
    """What payloads say."""
    table = RecordTable(Identities(KEY))
    for payload in payloads:
        read_payload(payload, table)
    return table


def check(*payloads: Any, options: Options | None = None) -> Findings:
    """What a check finds in payloads."""
    return find(read(*payloads), load_settings(), options or Options())


def write_lines(path: Path, *payloads: Any) -> Path:
    """Write payloads, one a line; a text is written as it is."""
    lines = (each if isinstance(each, str) else json.dumps(each) for each in payloads)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path
