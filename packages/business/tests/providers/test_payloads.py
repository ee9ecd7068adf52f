"""One payload of each documented shape, made up here: what is read of it, and what is not."""

from __future__ import annotations

from typing import Any

import pytest

from support.business_logs import (
    NOON,
    SHOP,
    hook,
    inbound,
    limit,
    messages,
    person,
    preference,
    read,
    status,
    template,
)
from wavebreak_business.record_table import Kind, RecordTable

ANN, BEN = person(1), person(2)
MS = 1000 * NOON


def records(table: RecordTable) -> list[tuple[str, int, str]]:
    """Kind, time and code of each record."""
    found = table.columns()
    return [
        (Kind(kind).name, ts, table.codes.texts[code] if code >= 0 else "")
        for kind, ts, code in zip(
            found.kind.tolist(), found.ts.tolist(), found.code.tolist(), strict=True
        )
    ]


def cloud_event(kind: str, **more: Any) -> dict[str, Any]:
    event = {
        "messageSid": "SM1", "timestamp": "2026-11-05T12:00:00.000Z", "to": f"+{ANN}",
        "from": f"+{SHOP}", "messageStatus": kind.upper(), "body": "hello", **more,
    }  # fmt: skip
    about = {"specversion": "1.0", "type": f"com.twilio.messaging.message.{kind}", "id": "NO1"}
    return about | {"source": "AB1", "data": event}


def infobip(group: str, **more: Any) -> dict[str, Any]:
    return {"results": [{
        "bulkId": "b", "messageId": "m", "to": ANN, "from": "Shop",
        "sentAt": "2026-11-05T12:00:00.000+0000", "doneAt": "2026-11-05T12:00:01.000+0000",
        "status": {"groupName": group, "name": f"{group}_X", "description": "words"},
        "error": {"name": "NO_ERROR", "permanent": False}, **more,
    }]}  # fmt: skip


SINCH = {
    "type": "recipient_delivery_report_sms", "batch_id": "b", "recipient": f"+{ANN}", "code": 402,
    "status": "Failed", "at": "2026-11-05T12:00:00Z", "applied_originator": "Shop",
}  # fmt: skip
BIRD = {
    "id": "m", "recipient": ANN, "status": "delivery_failed", "statusErrorCode": "5",
    "statusDatetime": "2026-11-05T12:00:00+00:00", "originator": "Shop",
}  # fmt: skip
CALLBACK = {
    "MessageSid": "SM1", "AccountSid": "AC1", "MessageStatus": "undelivered", "ErrorCode": "30005",
    "To": f"+{ANN}", "From": f"+{SHOP}",
}  # fmt: skip


@pytest.mark.parametrize(
    ("payload", "provider", "expected"),
    [
        (status("m", ANN, "sent", NOON), "whatsapp", [("SENT", MS, "")]),
        (status("m", ANN, "read", NOON), "whatsapp", [("READ", MS, "")]),
        (status("m", ANN, "failed", NOON, code=131026), "whatsapp",
         [("FAILED", MS, "whatsapp 131026")]),
        (status("m", ANN, "failed", NOON, category=""), "whatsapp",
         [("FAILED", MS, "whatsapp none")]),
        (status("m", ANN, "sent", NOON, message_status="held_for_quality_assessment"), "whatsapp",
         [("HELD", MS, "")]),
        (inbound("i", ANN, NOON), "whatsapp", [("INBOUND", MS, "")]),
        (preference(ANN, "stop", NOON), "whatsapp", [("STOP", MS, "")]),
        (preference(ANN, "resume", NOON), "whatsapp", [("RESUME", MS, "")]),
        (CALLBACK | {"received_at": "2026-11-05T12:00:00Z"}, "twilio",
         [("FAILED", MS, "twilio 30005")]),
        (CALLBACK | {"RawDlrDoneDate": "2611051200"}, "twilio", [("FAILED", MS, "twilio 30005")]),
        (CALLBACK, "twilio", [("FAILED", 0, "twilio 30005")]),
        (cloud_event("delivered"), "twilio", [("DELIVERED", MS, "")]),
        (cloud_event("undelivered", errorCode=30003), "twilio", [("FAILED", MS, "twilio 30003")]),
        (infobip("DELIVERED"), "infobip", [("SENT", MS, ""), ("DELIVERED", MS + 1000, "")]),
        (infobip("REJECTED", status={"groupName": "REJECTED", "name": "REJECTED_PREFIX_MISSING"}),
         "infobip", [("SENT", MS, ""), ("FAILED", MS + 1000, "infobip REJECTED_PREFIX_MISSING")]),
        ({"results": [{"messageId": "i", "from": ANN, "to": "Shop", "text": "hello",
                       "receivedAt": "2026-11-05T12:00:00.000+0000"}]},
         "infobip", [("INBOUND", MS, "")]),
        ({"results": [{"messageId": "m", "to": ANN, "seenAt": "2026-11-05T12:00:00.000+0000"}]},
         "infobip", [("READ", MS, "")]),
        (SINCH, "sinch", [("FAILED", MS, "sinch 402")]),
        (SINCH | {"status": "Deleted"}, "sinch", [("FAILED", MS, "sinch 402")]),
        (SINCH | {"status": "Unknown"}, "sinch", [("SENT", MS, "")]),
        ({"type": "mo_text", "from": ANN, "to": SHOP, "id": "i", "body": "hello",
          "received_at": "2026-11-05T12:00:00Z"}, "sinch", [("INBOUND", MS, "")]),
        (BIRD, "bird", [("FAILED", MS, "bird 5")]),
    ],
)  # fmt: skip
def test_payload_is_read(
    payload: dict[str, Any], provider: str, expected: list[tuple[str, int, str]]
) -> None:
    table = read(payload)
    assert records(table) == expected
    assert table.payloads == {provider: 1}
    assert not table.unread
    assert not table.unusable


def test_template_webhooks_give_status_pause_and_quality() -> None:
    table = read(
        template("spring_sale", NOON, event="PAUSED", other_info={"title": "FIRST_PAUSE"}),
        template("spring_sale", NOON, previous_quality_score="GREEN", new_quality_score="RED"),
    )
    shown = [(e.name, e.language, e.field, e.what, e.detail) for e in table.templates]
    assert shown == [
        ("spring_sale", "en", "status", "PAUSED", "FIRST_PAUSE"),
        ("spring_sale", "en", "quality", "RED", ""),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("payload", "people"),
    [
        (limit(2000), 2000),
        (limit("TIER_10K"), 10_000),
        (limit(-1), -1),
        (
            hook("phone_number_quality_update", {"event": "UPGRADE", "current_limit": "TIER_2K"}),
            2000,
        ),
        (hook("business_capability_update", {"max_daily_conversation_per_phone": 250}), 250),
    ],
)
def test_limits_are_read_as_numbers_or_tiers(payload: dict[str, Any], people: int) -> None:
    assert [each.people for each in read(payload).limits] == [people]


def test_errors_of_no_message_are_counted_by_code() -> None:
    table = read(messages(errors=[{"code": 130429, "title": "a title"}]))
    assert table.errors == {"whatsapp 130429": 1}


@pytest.mark.parametrize(
    ("kind", "people", "changes"),
    [("user_changed_number", 2, 1), ("customer_changed_number", 2, 1),
     ("customer_identity_changed", 0, 0)],
)  # fmt: skip
def test_system_message_changes_an_id_only_where_it_says_so(
    kind: str, people: int, changes: int
) -> None:
    system = {"type": kind, "wa_id": BEN, "identity": "x", "customer": ANN, "body": "words"}
    one = {"id": "s", "from": ANN, "timestamp": str(NOON), "type": "system", "system": system}
    table = read(messages(messages=[one]))
    assert (len(table.people.texts), len(table.aliases)) == (people, changes)
    assert table.unread.total() == 1 - changes


def test_answer_to_a_refused_call_is_counted_by_code() -> None:
    error = {"message": "words", "type": "OAuthException", "code": 131047, "fbtrace_id": "A"}
    table = read({"error": error}, {"received_at": NOON, "body": {"error": error}})
    assert table.errors == {"whatsapp 131047": 2}
    assert not table.unread


def test_shapes_beyond_a_bound_are_not_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wavebreak_business.record_table.MAX_NAMES", 3)
    table = read(*({f"field{n}": 1} for n in range(9)))
    assert (len(table.unread), table.unread.total()) == (4, 9)


@pytest.mark.parametrize(
    "wrapped",
    [
        {"received_at": "2026-11-05T12:00:00Z", "body": CALLBACK},
        {"timestamp": NOON, "payload": '{"MessageSid":"SM1","MessageStatus":"undelivered",'
         f'"ErrorCode":"30005","To":"+{ANN}","From":"+{SHOP}"}}'},
        {"ts": MS, "body": f"MessageSid=SM1&MessageStatus=undelivered&ErrorCode=30005&To=%2B{ANN}"},
        [{"time": "2026-11-05T12:00:00Z", "data": {"body": CALLBACK}}],
    ],
)  # fmt: skip
def test_envelope_of_a_log_is_opened_and_gives_the_time(wrapped: Any) -> None:
    assert records(read(wrapped)) == [("FAILED", MS, "twilio 30005")]


def test_unknown_shapes_are_counted_and_named_by_known_fields_alone() -> None:
    table = read({"type": "x", "dana-cohen": 1}, {"type": "y", "dana-cohen": 2}, 7, "hello", None)
    table2 = read({"type": "x", "dana-cohen": 1})
    (shape,) = table2.unread
    assert shape.startswith("{type, 1 more} ")
    assert table.unread == {shape: 2, "a number": 1, "a text": 1, "true, false or null": 1}


def test_unknown_webhook_fields_are_counted_by_name() -> None:
    table = read(hook("security", {}), hook(ANN, {}))
    assert table.unread == {"whatsapp: security": 1, "whatsapp: another field": 1}


@pytest.mark.parametrize(
    "payload",
    [
        status("m", ANN, "teleported", NOON),
        status("m", "", "sent", NOON),
        status("m", ANN, "sent", 99_999_999_999),
        preference(ANN, "perhaps", NOON),
        template("", NOON, event="PAUSED"),
        template("sale", NOON, event="dana cohen"),
        CALLBACK | {"MessageStatus": "?"},
        infobip("ELSEWHERE"),
        SINCH | {"status": "?"},
        BIRD | {"status": "?"},
    ],
)
def test_record_that_cannot_be_used_is_counted(payload: dict[str, Any]) -> None:
    table = read(payload)
    assert table.unusable.total() == 1
    assert (len(table), len(table.templates)) == (0, 0)


HOSTILE: tuple[Any, ...] = (None, True, 1e308, -1, "", "x" * 5_000, [], {}, [[]], [{}], {"a": []})


def test_values_of_any_type_in_any_place_break_nothing() -> None:
    for known in (
        status("m", ANN, "failed", NOON, code=131026), inbound("i", ANN, NOON),
        preference(ANN, "stop", NOON), template("sale", NOON, event="PAUSED"), limit(250),
        CALLBACK, cloud_event("delivered"), infobip("DELIVERED"), SINCH, BIRD,
    ):  # fmt: skip
        for changed in replaced(known):
            read(changed).columns()


def replaced(value: Any) -> list[Any]:
    """The value with each place in it replaced by each hostile one, in turn."""
    found: list[Any] = list(HOSTILE)
    if isinstance(value, dict):
        for name, inner in value.items():
            found += [value | {name: each} for each in replaced(inner)]
    elif isinstance(value, list):
        found += [[each] for each in replaced(value[0])]
    return found


def test_lists_within_lists_are_opened_to_a_bound() -> None:
    deep: Any = status("m", ANN, "sent", NOON)
    for _ in range(50):
        deep = [deep]
    table = read(deep)
    assert (len(table), table.unread) == (0, {"a list": 1})


def test_one_person_in_every_spelling_is_one_person() -> None:
    callback = CALLBACK | {"To": f"whatsapp:+{ANN}"}
    table = read(status("m", ANN, "sent", NOON), callback, infobip("DELIVERED"), SINCH, BIRD)
    assert len(table.people.texts) == 1


def test_codes_of_refused_calls_are_told_apart_up_to_a_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("wavebreak_business.record_table.MAX_NAMES", 2)
    codes = (131000, 131005, 131008, 131000)
    table = read(*({"error": {"code": code, "fbtrace_id": "A"}} for code in codes))
    assert table.errors == {"whatsapp 131000": 2, "whatsapp 131005": 1, "whatsapp unlisted": 1}


def _whatsapp_says(**said: Any) -> dict[str, Any]:
    message = {"id": "i", "from": ANN, "timestamp": str(NOON), **said}
    return messages(NOON, messages=[message])


def _twilio_says(text: str, **more: Any) -> dict[str, Any]:
    return {"MessageSid": "SM0", "SmsStatus": "received", "Body": text, "From": f"+{ANN}",
            "To": f"+{SHOP}", "received_at": NOON, **more}  # fmt: skip


def _sinch_says(text: str) -> dict[str, Any]:
    return {"type": "mo_text", "id": "x", "from": ANN, "to": SHOP, "body": text,
            "received_at": "2026-11-05T12:00:00Z"}  # fmt: skip


def _infobip_says(text: str) -> dict[str, Any]:
    return {"results": [{"messageId": "m", "from": ANN, "to": SHOP, "text": text,
                         "receivedAt": "2026-11-05T12:00:00.000+0000"}]}  # fmt: skip


@pytest.mark.parametrize(
    "payload",
    [
        _whatsapp_says(type="text", text={"body": "STOP"}),
        _whatsapp_says(type="text", text={"body": "\u200fהסר."}),
        _whatsapp_says(type="text", text={"body": "Baja"}),
        _whatsapp_says(type="text", text={"body": "Stopp!"}),
        _whatsapp_says(type="text", text={"body": "ARRÊT"}),
        _whatsapp_says(type="button", button={"text": "No more, thanks", "payload": "STOP"}),
        _whatsapp_says(
            type="interactive",
            interactive={
                "type": "button_reply",
                "button_reply": {"id": "b", "title": "Unsubscribe"},
            },
        ),
        _twilio_says("Opt-out"),
        _twilio_says("please no more", OptOutType="STOP"),
        _sinch_says("quit"),
        _infobip_says("להסרה"),
    ],
)
def test_word_of_opting_out_is_a_stop_and_a_message(payload: dict[str, Any]) -> None:
    table = read(payload)
    assert [kind for kind, _, _ in records(table)] == ["STOP", "INBOUND"]


@pytest.mark.parametrize(
    ("payload", "kinds"),
    [
        (_whatsapp_says(type="text", text={"body": "we stop at the end of the month"}), []),
        (_whatsapp_says(type="text", text={"body": ["STOP"]}), []),
        (_whatsapp_says(type="text", text={"body": "YES"}), []),
        (_twilio_says("YES"), ["RESUME"]),
        (_twilio_says("Start"), ["RESUME"]),
        (_twilio_says("STOP", OptOutType="HELP"), ["STOP"]),
    ],
)
def test_only_a_word_alone_opts_out_or_in(payload: dict[str, Any], kinds: list[str]) -> None:
    table = read(payload)
    assert [kind for kind, _, _ in records(table)] == [*kinds, "INBOUND"]


def test_text_of_a_message_is_not_kept() -> None:
    table = read(_whatsapp_says(type="text", text={"body": "Stopp"}))
    kept = [*table.people.texts, *table.senders.texts, *table.codes.texts, *table.unread]
    assert not any("stop" in text.casefold() for text in kept)
