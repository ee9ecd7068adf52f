"""Webhooks of the WhatsApp Business Cloud API: `entry[].changes[]`, by their field.

Read: messages (statuses, inbound messages, errors, changes of ids), user_preferences, status and
quality of templates, limits, account updates; and answers to calls that were refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from wavebreak_business.providers.inbound import add_inbound
from wavebreak_business.providers.shapes import describe_field
from wavebreak_business.providers.values import instant_ms, seconds_ms, table, tables, text
from wavebreak_business.record_table import REINSTATED, Kind, RecordTable
from wavebreak_business.settings import MESSENGER

NAME = MESSENGER
_STATUSES = {
    "sent": Kind.SENT, "accepted": Kind.SENT, "delivered": Kind.DELIVERED, "read": Kind.READ,
    "played": Kind.READ, "failed": Kind.FAILED, "held_for_quality_assessment": Kind.HELD,
}  # fmt: skip
_CHANGES = ("user_changed_number", "customer_changed_number", "user_changed_user_id")
"""A changed identity, of another phone with the same number, is none of these."""
_FREE_WINDOWS = ("free_customer_service", "free_entry_point")
_TIERS = {"TIER_NOT_SET": 0, "TIER_UNLIMITED": -1, "UNLIMITED": -1}


def read(payload: dict[str, Any], records: RecordTable, at_ms: int | None) -> bool:
    """Add what a webhook says; returns whether it is one of this provider."""
    error = table(payload.get("error"))
    if "code" in error and "fbtrace_id" in error:
        # The answer to a call that was refused at once; no webhook follows it.
        records.add_error(NAME, text(error.get("code")))
        return True
    entries = tables(payload.get("entry"))
    if not entries or not any(isinstance(each.get("changes"), list) for each in entries):
        return False
    for entry in entries:
        sent_ms = seconds_ms(entry.get("time")) or at_ms
        for change in tables(entry.get("changes")):
            field, value = text(change.get("field")), table(change.get("value"))
            reader = _FIELDS.get(field)
            if reader:
                reader(value, records, sent_ms)
            else:
                records.add_unread(f"whatsapp: {describe_field(field)}")
    return True


def _sender(value: dict[str, Any]) -> str:
    metadata = table(value.get("metadata"))
    return text(metadata.get("display_phone_number")) or text(metadata.get("phone_number_id"))


def _read_messages(value: dict[str, Any], records: RecordTable, at_ms: int | None) -> None:
    sender = _sender(value)
    for contact in tables(value.get("contacts")):
        records.add_alias(text(contact.get("wa_id")), text(contact.get("user_id")))
    for status in tables(value.get("statuses")):
        _read_status(status, sender, records, at_ms)
    for message in tables(value.get("messages")):
        _read_inbound(message, sender, records, at_ms)
    for error in tables(value.get("errors")):
        records.add_error(NAME, text(error.get("code")))


def _read_status(
    status: dict[str, Any], sender: str, records: RecordTable, at_ms: int | None
) -> None:
    held = text(status.get("message_status")) == "held_for_quality_assessment"
    kind = Kind.HELD if held else records.status_kind(_STATUSES, text(status.get("status")))
    if kind is None:
        return
    number, user = text(status.get("recipient_id")), text(status.get("recipient_user_id"))
    records.add_alias(number, user)
    pricing = table(status.get("pricing"))
    billable = pricing.get("billable")
    errors = tables(status.get("errors"))
    records.add(
        kind,
        seconds_ms(status.get("timestamp")) or at_ms,
        provider=NAME,
        person=number or user,
        sender=sender,
        message=text(status.get("id")),
        code=text(errors[0].get("code")) if errors else "" if kind is not Kind.FAILED else "none",
        category=text(pricing.get("category")),
        label=text(status.get("biz_opaque_callback_data")),
        billed=billable if isinstance(billable, bool) else None,
        inside=text(pricing.get("type")) in _FREE_WINDOWS,
    )


def _read_inbound(
    message: dict[str, Any], sender: str, records: RecordTable, at_ms: int | None
) -> None:
    sent_ms = seconds_ms(message.get("timestamp")) or at_ms
    number, user = text(message.get("from")), text(message.get("from_user_id"))
    if text(message.get("type")) == "system":
        _read_system(table(message.get("system")), number or user, sender, records, sent_ms)
        return
    records.add_alias(number, user)
    add_inbound(
        records, sent_ms, *_said(message), provider=NAME, word_category="marketing",
        person=number or user, sender=sender, message=text(message.get("id")),
    )  # fmt: skip


def _said(message: dict[str, Any]) -> Iterator[Any]:
    """Yield what a message or a pressed button says, and what the button sends."""
    yield table(message.get("text")).get("body")
    interactive, button = table(message.get("interactive")), table(message.get("button"))
    for reply in (
        button,
        table(interactive.get("button_reply")),
        table(interactive.get("list_reply")),
    ):
        yield from (reply.get(name) for name in ("text", "payload", "title", "id"))


def _read_system(
    system: dict[str, Any], person: str, sender: str, records: RecordTable, at_ms: int | None
) -> None:
    """Read what the platform says of a person: a new number or id, or a preference."""
    kind = text(system.get("type"))
    if kind == "user_preference_changed":
        _add_preference(person, text(system.get("marketing")), sender, records, at_ms)
        return
    if kind not in _CHANGES:
        records.add_unread("whatsapp: system")
        return
    former = text(system.get("previous_user_id"))
    number = text(system.get("wa_id")) or text(system.get("new_wa_id"))
    user = text(system.get("user_id"))
    old, new = person or former, number or user
    records.add_alias(old, new, at_ms)
    records.add_alias(former, user, at_ms)
    records.add_alias(number, user)
    records.add_alias(old, former)


def _read_preferences(value: dict[str, Any], records: RecordTable, at_ms: int | None) -> None:
    sender = _sender(value)
    for preference in tables(value.get("user_preferences")):
        number, user = text(preference.get("wa_id")), text(preference.get("user_id"))
        records.add_alias(number, user)
        if text(preference.get("category")) not in ("", "marketing_messages"):
            records.add_unread("whatsapp: user_preferences")
            continue
        said_ms = seconds_ms(preference.get("timestamp")) or at_ms
        _add_preference(number or user, text(preference.get("value")), sender, records, said_ms)


def _add_preference(
    person: str, value: str, sender: str, records: RecordTable, at_ms: int | None
) -> None:
    kind = {"stop": Kind.STOP, "resume": Kind.RESUME}.get(value)
    if kind is None:
        records.unusable["preference_unknown"] += 1
        return
    records.add(
        kind, at_ms, provider=NAME, person=person, sender=sender, category="marketing"
    )  # fmt: skip


def _read_template(
    field: str, change: str, value: dict[str, Any], records: RecordTable, at_ms: int | None
) -> None:
    """Read a change of a template's `status` or `quality`; `change` is the member that names it."""
    records.add_template(
        at_ms,
        text(value.get("message_template_name")),
        text(value.get("message_template_language")),
        field,
        text(value.get(change)),
        text(table(value.get("other_info")).get("title")),
    )


def limit_of(value: Any) -> int | None:
    """Return a limit of people a day from a number or a tier's name; -1 for none.

    >>> [limit_of(v) for v in ("TIER_2K", "TIER_250", 10000, "-1", "TIER_UNLIMITED", "x")]
    [2000, 250, 10000, -1, -1, None]
    """
    plain = text(value).upper()
    if plain in _TIERS:
        return _TIERS[plain] or None
    plain = plain.removeprefix("TIER_")
    if plain == "-1":
        return -1
    thousands = plain.endswith("K")
    plain = plain.removesuffix("K")
    if not (plain.isascii() and plain.isdigit() and len(plain) < 9):
        return None
    return int(plain) * (1000 if thousands else 1)


def _read_limit(value: dict[str, Any], records: RecordTable, at_ms: int | None) -> None:
    for name in (
        "max_daily_conversations_per_business", "max_daily_conversation_per_phone",
        "current_limit",
    ):  # fmt: skip
        limit = limit_of(value.get(name))
        if limit:
            records.add_limit(at_ms, limit)
            return


def _read_account(value: dict[str, Any], records: RecordTable, at_ms: int | None) -> None:
    state = text(table(value.get("ban_info")).get("waba_ban_state"))
    lifted = state == "REINSTATE"
    ends = [instant_ms(each.get("expiration")) for each in tables(value.get("restriction_info"))]
    known = [end for end in ends if end is not None]
    # Several restrictions end with the last; one without an end lasts.
    until_ms = max(known) if known and len(known) == len(ends) else None
    records.add_account(at_ms, REINSTATED if lifted else text(value.get("event")), until_ms)


def _read_number(value: dict[str, Any], records: RecordTable, at_ms: int | None) -> None:
    """Read the quality of a number: an event, and perhaps the limit that goes with it."""
    records.add_number(at_ms, text(value.get("display_phone_number")), text(value.get("event")))
    _read_limit(value, records, at_ms)


_FIELDS: dict[str, Callable[[dict[str, Any], RecordTable, int | None], None]] = {
    "messages": _read_messages,
    "user_preferences": _read_preferences,
    "message_template_status_update": partial(_read_template, "status", "event"),
    "message_template_quality_update": partial(_read_template, "quality", "new_quality_score"),
    "business_capability_update": _read_limit,
    "phone_number_quality_update": _read_number,
    "account_update": _read_account,
}
