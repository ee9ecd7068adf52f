"""Synthetic logs of a shop, in the shapes of three providers, for trying `check` out.

Numbers are of ranges that are kept for fiction. The same call writes the same bytes.
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from wavebreak.durations import DAY_S, HOUR_S
from wavebreak.errors import UsageError

START = 1_794_787_200
"""16 November 2026, 00:00 UTC."""
DAYS = 10
PEOPLE = 1_000
SHOP = "442079460100"
ACCOUNT = "100200300400500"
GROWTH = 18
"""How many more people a day the shop writes to."""

Payload = dict[str, Any]


def write_example(directory: Path) -> list[Path]:
    """Write the logs into a directory, which must be new or empty; returns their paths.

    Raises:
        UsageError: The directory has files.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if any(directory.iterdir()):
        raise UsageError(f"{directory} is not empty", fix="give a new directory")
    hooks = directory / "whatsapp.jsonl.gz"
    lines = [json.dumps(each) for each in whatsapp_webhooks()]
    lines[40:40] = ["{cut off", json.dumps({"note": "of another program"})]
    text = "".join(f"{line}\n" for line in lines)
    hooks.write_bytes(gzip.compress(text.encode(), mtime=0))
    callbacks = directory / "twilio.json"
    callbacks.write_text(json.dumps(list(twilio_callbacks()), indent=1), encoding="utf-8")
    reports = directory / "infobip.json"
    reports.write_text(json.dumps(infobip_report(), indent=1), encoding="utf-8")
    return [hooks, callbacks, reports]


def person(number: int) -> str:
    """Return the phone number of a person of the example."""
    return f"447700900{number % PEOPLE:03d}"


def webhook(field: str, value: Payload, at_s: int) -> Payload:
    """Return a webhook of the WhatsApp Business Cloud API with one change."""
    change = {"field": field, "value": value}
    return {
        "object": "whatsapp_business_account",
        "entry": [{"id": ACCOUNT, "time": at_s, "changes": [change]}],
    }


def of_messages(at_s: int, **lists: list[Payload]) -> Payload:
    """Return a webhook of the field `messages`."""
    metadata = {"display_phone_number": SHOP, "phone_number_id": "106000000000001"}
    return webhook(
        "messages", {"messaging_product": "whatsapp", "metadata": metadata, **lists}, at_s
    )


def status(
    message: str, to: str, kind: str, at_s: int, *, category: str = "marketing",
    template: str = "", code: int = 0,
) -> Payload:  # fmt: skip
    """Return a webhook with one status of a message."""
    one: Payload = {
        "id": f"wamid.{message}", "status": kind, "timestamp": str(at_s), "recipient_id": to,
    }  # fmt: skip
    if template:
        one["biz_opaque_callback_data"] = template
    if code:
        one["errors"] = [{"code": code, "title": "as the platform says it"}]
    elif kind != "failed":
        pricing = {
            "billable": True,
            "pricing_model": "PMP",
            "category": category,
            "type": "regular",
        }
        one["pricing"] = pricing
    return of_messages(at_s, statuses=[one])


def inbound(message: str, sender: str, at_s: int) -> Payload:
    """Return a webhook with a message of a person."""
    one = {
        "id": f"wamid.{message}", "from": sender, "timestamp": str(at_s), "type": "text",
        "text": {"body": "Is it still there?"},
    }  # fmt: skip
    return of_messages(at_s, messages=[one])


def preference(sender: str, value: str, at_s: int) -> Payload:
    """Return a webhook with a person's stop or resume."""
    said = {
        "wa_id": sender, "category": "marketing_messages", "value": value, "timestamp": at_s,
        "detail": f"User requested to {value} marketing messages",
    }  # fmt: skip
    metadata = {"display_phone_number": SHOP, "phone_number_id": "106000000000001"}
    return webhook("user_preferences", {"metadata": metadata, "user_preferences": [said]}, at_s)


def whatsapp_webhooks() -> Iterator[Payload]:
    """Yield the webhooks of ten days: a campaign that grows too fast, with its consequences."""
    chance = random.Random(34)
    yield webhook(
        "business_capability_update", {"max_daily_conversations_per_business": 250}, START
    )
    for day in range(DAYS):
        noon = START + day * DAY_S + 10 * HOUR_S
        template = "spring_sale" if day < 7 else "last_days"
        for n in range(60 + GROWTH * day):
            at_s, to = noon + 7 * n, person(37 * n + 11 * day)
            message = f"D{day}N{n}"
            outcome = chance.random()
            if outcome < 0.84:
                yield status(message, to, "sent", at_s, template=template)
                yield status(message, to, "delivered", at_s + 3, template=template)
                if outcome < 0.5:
                    yield status(message, to, "read", at_s + 900, template=template)
                continue
            code = chance.choice((131026, 131026, 131049, 131049, 130429, 131050))
            if day == 7 and template == "last_days":
                code = 132015
            yield status(message, to, "failed", at_s + 2, template=template, code=code)
        for n in range(12):
            asked_s = noon + 2 * HOUR_S + 60 * n
            customer = person(37 * n + 11 * day)
            yield inbound(f"D{day}I{n}", customer, asked_s)
            answer = f"D{day}A{n}"
            yield status(answer, customer, "delivered", asked_s + 40, category="service")
    yield from _turns()


def _turns() -> Iterator[Payload]:
    """Yield what happens beside the campaign: stops, a new number, a template's bad rating."""
    stop_s = START + 3 * DAY_S
    for n in range(5):
        yield preference(person(900 + n), "stop", stop_s + n)
    for n in range(3):  # two days later the list has them still
        yield status(f"S{n}", person(900 + n), "delivered", stop_s + 2 * DAY_S + n)
    moved_s = START + 4 * DAY_S
    system = {"type": "user_changed_number", "wa_id": person(951), "body": "as it says"}
    moved = {"id": "wamid.M", "from": person(950), "timestamp": str(moved_s), "type": "system"}
    yield of_messages(moved_s, messages=[{**moved, "system": system}])
    yield status("M1", person(950), "delivered", moved_s + DAY_S, category="utility")
    yield status("M2", person(951), "delivered", moved_s + DAY_S + HOUR_S, category="utility")
    rated_s = START + 6 * DAY_S
    for at_s, score in ((rated_s, "YELLOW"), (rated_s + HOUR_S, "RED")):
        rating = {"new_quality_score": score, **_template("last_days")}
        yield webhook("message_template_quality_update", rating, at_s)
    paused = {"event": "PAUSED", "other_info": {"title": "FIRST_PAUSE"}, **_template("last_days")}
    yield webhook("message_template_status_update", paused, START + 9 * DAY_S + 22 * HOUR_S)
    approved = {"event": "APPROVED", **_template("spring_sale")}
    yield webhook("message_template_status_update", approved, START)
    yield webhook("security", {"event": "PIN_CHANGED"}, START + DAY_S)


def _template(name: str) -> Payload:
    return {
        "message_template_id": 1, "message_template_name": name, "message_template_language": "en",
    }  # fmt: skip


def twilio_callbacks() -> Iterator[Payload]:
    """Yield callbacks on text messages, with the time at which the shop's program noted them."""
    start = START + DAY_S
    for n, (kind, code) in enumerate(
        (("delivered", ""), ("delivered", ""), ("undelivered", "30005"), ("failed", "21610"),
         ("undelivered", "30003"), ("delivered", ""))
    ):  # fmt: skip
        at = datetime.fromtimestamp(start + 60 * n, UTC).isoformat()
        callback = {"MessageSid": f"SM{n:032d}", "MessageStatus": kind, "received_at": at}
        ends = {"To": f"+{person(100 + n)}", "From": f"+{SHOP}"}
        yield {**callback, **ends, **({"ErrorCode": code} if code else {})}


def infobip_report() -> Payload:
    """Return a delivery report on text messages, with prices."""
    results = []
    for n, (group, name, error) in enumerate(
        (("DELIVERED", "DELIVERED_TO_HANDSET", "NO_ERROR"),
         ("UNDELIVERABLE", "UNDELIVERABLE_REJECTED_OPERATOR", "EC_UNKNOWN_SUBSCRIBER"),
         ("EXPIRED", "EXPIRED_EXPIRED", "EC_ABSENT_SUBSCRIBER"))
    ):  # fmt: skip
        results.append({
            "messageId": f"ib-{n}", "from": "Shop", "to": person(120 + n),
            "sentAt": "2026-11-18T09:00:00.000+0000", "doneAt": "2026-11-18T09:00:05.000+0000",
            "status": {"groupName": group, "name": name},
            "error": {"name": error, "permanent": error == "EC_UNKNOWN_SUBSCRIBER"},
            "price": {"pricePerMessage": 0.04, "currency": "EUR"},
        })  # fmt: skip
    return {"results": results}
